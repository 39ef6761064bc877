#!/bin/sh
# Prepares a Debian or Raspberry Pi OS device for tinytx. Says each thing that it changes, changes
# nothing that is right already, and takes away with --undo what it brought.
#
#   sudo sh prepare.sh [--wheels DIR | --wheel FILE] [--ssh-user NAME]     a service of systemd
#   sudo sh prepare.sh --way compose [--image FILE] [--ssh-user NAME]      two containers
#   sudo sh prepare.sh --undo [--purge]    --purge: the store too, with all releases
#
#   --dry-run            only say what would be changed (needs no root)
#   --wheels DIR         a folder with the wheels of tinytx[serve] and all that it needs; no index is
#                        asked. With pip's wheel among them the device needs no python3-venv
#   --wheel FILE         this wheel of tinytx, and what it needs from the index
#   --image FILE         what `docker save tinytx:runtime` wrote
#   --ssh-user NAME      who may run the device half from afar, and nothing else: `tinytx release`
#   --class NAME, --budgets NAME, --group NAME, --channel NAME    set in the store's device.toml
#   --signers FILE       whose signatures the device trusts (OpenSSH's allowed signers)
#   --pull ADDRESS       look there for a newer release every hour
#   --kernel-parameters  turn the kernel's memory controller on (Raspberry Pi OS); without this a
#                        terminal is asked, and nothing is changed where there is none
#
# Exit codes: 0 prepared; 1 this machine lacks something, said how to get it; 64 wrong usage.
set -eu

way=systemd wheels='' wheel='' image='' ssh_user='' signers='' pull='' kernel='' undo='' purge='' dry=''
class='' budgets='' group='' channel='' restart='' changed=0
here=$(cd "$(dirname "$0")" && pwd)
store=/var/lib/tinytx
home=/opt/tinytx           # a link to one of $envs, switched by a rename
envs=/opt/tinytx.d
etc=/etc/tinytx
record=$etc/prepared       # what was brought: lines of `user NAME`, `file PATH`, `member GROUP NAME`
units=/etc/systemd/system
sudoers=/etc/sudoers.d/tinytx
container_user=10001       # the images' own
cmdline=${TINYTX_CMDLINE:-}
services='tinytx-serve.socket tinytx-serve.service tinytx-watch.service tinytx-pull.service tinytx-pull.timer'

say() { printf 'prepare: %s\n' "$*"; }
lacks() { printf 'prepare: %s\n' "$*" >&2; exit 1; }
wrong() { printf 'prepare: %s (sh prepare.sh --help)\n' "$*" >&2; exit 64; }
have() { command -v "$1" >/dev/null 2>&1; }
change() { # change SENTENCE COMMAND...: says it, and does it unless nothing is to be done
    changed=$((changed + 1))
    if [ -n "$dry" ]; then say "would: $1"; return 0; fi
    say "$1"
    shift
    "$@"
}
noted() { grep -qxF "$1" "$record" 2>/dev/null; }
note() { # remembered for --undo, before the thing itself is made
    [ -z "$dry" ] || return 0
    mkdir -p "$etc"
    noted "$1" || { printf '%s\n' "$1" >>"$record" && sync "$record"; }
}
put() { # put MODE TARGET <CONTENT: a whole file or none, after a loss of power too
    mkdir -p "$(dirname "$2")"
    cat >"$2.tinytx-new"
    chmod "$1" "$2.tinytx-new"
    sync "$2.tinytx-new"
    mv -fT "$2.tinytx-new" "$2"
}
write() { # write MODE TARGET TEXT
    if [ -f "$2" ] && printf '%s\n' "$3" | cmp -s - "$2"; then return 0; fi
    note "file $2"
    if [ -f "$2" ]; then change "changes $2" write_now "$@"; else change "writes $2" write_now "$@"; fi
}
write_now() { printf '%s\n' "$3" | put "$1" "$2"; }
as_owner() { # as_owner USER:GROUP COMMAND...: in the store nothing is done as root, since its owner may
    owner=$1 # have put links there that lead elsewhere
    shift
    if [ "$(id -u)" -ne 0 ]; then "$@"; return; fi
    setpriv --reuid "${owner%:*}" --regid "${owner#*:}" --clear-groups -- "$@"
}
put_owned() { # put_owned USER:GROUP MODE TARGET <CONTENT
    # shellcheck disable=SC2016 # what is between the quotes is for the other shell
    as_owner "$1" sh -c 'set -eu
        rm -f "$2.tinytx-new"
        set -C
        cat >"$2.tinytx-new"
        chmod "$1" "$2.tinytx-new"
        sync "$2.tinytx-new"
        mv -fT "$2.tinytx-new" "$2"' put "$2" "$3"
}
drop() { # drop PATH: a file that we wrote
    [ ! -e "$1" ] || change "removes $1" rm -f "$1"
}

# --- the command line ---------------------------------------------------------------------------

plain() { # plain FLAG VALUE: a word that can stand in device.toml as it is
    case $2 in '' | *[!A-Za-z0-9._/-]*) wrong "$1 takes letters, digits, . _ / and - only, not '$2'" ;; esac
}
arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --way | --wheels | --wheel | --image | --ssh-user | --class | --budgets | --group | --channel | --signers | --pull)
                [ $# -ge 2 ] || wrong "$1 needs a value"
                value "$1" "$2"
                shift ;;
            --kernel-parameters) kernel=yes ;;
            --dry-run) dry=yes ;;
            --undo) undo=yes ;;
            --purge) purge=yes ;;
            -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"; exit 0 ;;
            *) wrong "unknown argument $1" ;;
        esac
        shift
    done
    [ -z "$purge" ] || [ -n "$undo" ] || wrong "--purge goes with --undo only"
    [ -z "$wheels" ] || [ -z "$wheel" ] || wrong "--wheels and --wheel exclude each other"
    if [ "$way" = compose ]; then
        [ -z "$wheels$wheel" ] || wrong "--way compose runs an image (--image FILE), no wheels"
        [ -z "$pull" ] || wrong "--pull goes with --way systemd only: run tinytx release pull in the container"
    fi
    [ -z "$image" ] || [ "$way" = compose ] || wrong "--image goes with --way compose only"
}
value() {
    case $1 in
        --way) case $2 in systemd | compose) way=$2 ;; *) wrong "--way is systemd or compose, not '$2'" ;; esac ;;
        --wheels) [ -d "$2" ] || wrong "--wheels: $2 is no folder"; wheels=$(cd "$2" && pwd) ;;
        --wheel) [ -f "$2" ] || wrong "--wheel: there is no file $2"; wheel=$(cd "$(dirname "$2")" && pwd)/$(basename "$2") ;;
        --image) [ -f "$2" ] || wrong "--image: there is no file $2"; image=$2 ;;
        --signers) [ -f "$2" ] || wrong "--signers: there is no file $2"; signers=$2 ;;
        --ssh-user)
            case $2 in '' | -* | *[!A-Za-z0-9_.-]*) wrong "--ssh-user: '$2' is no name of a user" ;; esac
            ssh_user=$2 ;;
        --class) plain "$1" "$2"; class=$2 ;;
        --budgets) plain "$1" "$2"; budgets=$2 ;;
        --group) plain "$1" "$2"; group=$2 ;;
        --channel) plain "$1" "$2"; channel=$2 ;;
        --pull)
            case $2 in *[[:space:]\'\"\\]* | *[![:print:]]*) wrong "--pull: an address has no spaces or quotes" ;;
                https://?* | http://?* | file:/?*) pull=$2 ;;
                *) wrong "--pull takes an address that begins with https://, http:// or file:, not '$2'" ;;
            esac ;;
    esac
}

# --- what the machine must have -----------------------------------------------------------------

machine() {
    [ -r /etc/debian_version ] || lacks "this is no Debian or Raspberry Pi OS; tinytx itself installs anywhere with pip (docs/raspberry-pi.md)"
    [ -n "$dry" ] || [ "$(id -u)" -eq 0 ] || lacks "this changes the system and needs root: sudo sh $0 ... (or --dry-run)"
    case "$(uname -m) $(getconf LONG_BIT)" in
        'x86_64 64' | 'aarch64 64') ;;
        *) lacks "this system is $(uname -m) with $(getconf LONG_BIT)-bit programs; a 64-bit one (amd64, arm64) is needed: docs/raspberry-pi.md" ;;
    esac
    [ "$(date +%Y)" -ge 2026 ] || say "NOTE: the clock says $(date -u +%F); until it is right no expiry date means anything and TLS fails (timedatectl)"
    [ -z "$ssh_user" ] || getent passwd "$ssh_user" >/dev/null || lacks "there is no user $ssh_user here"
}
python_here() {
    have python3 || lacks "there is no python3: sudo apt install python3"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        || lacks "python3 is $(python3 -c 'import platform; print(platform.python_version())'); tinytx needs 3.11 or newer: Debian 12, Raspberry Pi OS 12 or newer"
    python3 -c 'import venv' 2>/dev/null || lacks "this Python has no module venv: sudo apt install python3-venv"
    set -- "$wheels"/pip-*.whl
    [ -n "$wheels" ] && [ -f "$1" ] || python3 -c 'import ensurepip' 2>/dev/null \
        || lacks "nothing here can install wheels: sudo apt install python3-venv, or put pip's wheel into --wheels DIR (pip download pip)"
}
systemd_here() {
    [ -d /run/systemd/system ] || lacks "systemd does not run here: see --way compose"
    have systemctl || lacks "there is no systemctl: sudo apt install systemd"
    for unit in $services; do
        [ -f "$here/units/$unit" ] || lacks "$here/units/$unit is missing: copy the whole folder deploy/"
    done
}
docker_here() {
    have docker || lacks "there is no docker: docs/raspberry-pi.md says how to install it, or --way systemd"
    docker version --format '{{.Server.Version}}' >/dev/null 2>&1 || lacks "no Docker engine answers: sudo systemctl start docker"
    docker compose version >/dev/null 2>&1 || lacks "docker has no compose: sudo apt install docker-compose (Debian 13)"
    [ -f "$here/compose.yaml" ] || lacks "$here/compose.yaml is missing: copy the whole folder deploy/"
}
memory_controller() {
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then grep -qw memory /sys/fs/cgroup/cgroup.controllers
    else awk '$1 == "memory" && $4 == 1 { found = 1 } END { exit !found }' /proc/cgroups 2>/dev/null
    fi
}
limits() {
    if memory_controller; then return 0; fi
    say "NOTE: this kernel has no memory controller: MemoryMax and mem_limit are silently ignored, and nothing holds the service to its budget"
    find_cmdline
    if [ -n "$cmdline" ]; then kernel_parameters
    else say "NOTE: the kernel's command line is '$(cat /proc/cmdline)'; without cgroup_disable=memory in it the limit would hold"
    fi
}
find_cmdline() { # only Raspberry Pi OS has it
    [ -n "$cmdline" ] && return 0
    for path in /boot/firmware/cmdline.txt /boot/cmdline.txt; do
        if [ -f "$path" ]; then cmdline=$path; return 0; fi
    done
}
kernel_parameters() {
    [ -f "$cmdline" ] || lacks "there is no $cmdline"
    old=$(head -n 1 "$cmdline" | tr -d '\r')
    new=$(with_memory "$old")
    if [ "$old" = "$new" ]; then
        say "NOTE: $cmdline asks for the memory controller already: restart, and if it stays off: sudo apt full-upgrade"
        return 0
    fi
    if [ -z "$kernel" ] && [ -t 0 ] && [ -z "$dry" ]; then
        printf 'prepare: put cgroup_enable=memory cgroup_memory=1 into %s? [y/N] ' "$cmdline"
        read -r answer
        case $answer in y | Y | yes) kernel=yes ;; esac
    fi
    if [ -z "$kernel" ]; then
        say "NOTE: --kernel-parameters turns it on (cgroup_enable=memory cgroup_memory=1 in $cmdline)"
        return 0
    fi
    [ -e "$cmdline.before-tinytx" ] || change "keeps a copy: $cmdline.before-tinytx" cp "$cmdline" "$cmdline.before-tinytx"
    note "cmdline $cmdline"
    change "writes into $cmdline: $new" set_cmdline "$new"
    restart=yes
}
with_memory() { # one line: our two words at its end, and none that wins over them
    line=''
    for word in $1; do
        case $word in cgroup_disable=memory | cgroup_enable=memory | cgroup_memory=*) ;; *) line="$line$word " ;; esac
    done
    case " $1 " in
        *' cgroup_disable=memory '*) ;;
        *' cgroup_enable=memory '*' cgroup_memory=1 '*) printf '%s' "$1"; return 0 ;;
    esac
    printf '%s' "${line}cgroup_enable=memory cgroup_memory=1"
}
set_cmdline() { printf '%s\n' "$1" | put 755 "$cmdline"; } # vfat: its mode has no effect

# --- what both ways have ------------------------------------------------------------------------

store_folder() { # store_folder USER: the folder, its owner, and whether links work there
    if [ ! -d "$store" ]; then
        [ ! -e "$store" ] || lacks "$store is there and is no folder: move it away"
        change "makes $store" mkdir -p "$store"
    fi
    if [ -d "$store" ]; then
        no_links="$store cannot be written, or its file system ($(stat -f -c %T "$store")) has no links: use one with links (ext4)"
        [ -z "$(find "$store" ! -user "$1" -print -quit 2>/dev/null)" ] \
            || change "gives $store to user $1" chown -hR "$1:$2" "$store" || lacks "$no_links"
        [ -n "$dry" ] || links_work "$1:$2" || lacks "$no_links"
        [ "$(stat -c %a "$store")" = 750 ] || change "lets only user $1 and its group into $store" chmod 750 "$store"
    fi
    device_toml "$1" "$2"
    if [ -n "$signers" ] && ! as_owner "$1:$2" cmp -s - "$store/allowed_signers" <"$signers"; then
        change "writes $store/allowed_signers: from now on only releases signed by these keys" store_file "$1" "$2" allowed_signers "$signers"
    fi
}
store_file() { put_owned "$1:$2" 640 "$store/$3" <"$4"; }
links_work() { # links_work USER:GROUP
    # shellcheck disable=SC2016 # for the other shell
    as_owner "$1" sh -c 'cd "$1" && rm -f .link .link-2 && ln -s x .link && mv -T .link .link-2 && rm .link-2' links "$store" 2>/dev/null
}
device_toml() {
    text=$(as_owner "$1:$2" cat "$store/device.toml" 2>/dev/null || cat <<'TOML'
# What this device expects of a release; yours to edit. Keys that are not here have their defaults.
schema = 1
TOML
    )
    wanted=$text
    [ -z "$class" ] || wanted=$(with_key device "$class")
    [ -z "$budgets" ] || wanted=$(with_key budgets "$budgets")
    [ -z "$group" ] || wanted=$(with_key group "$group")
    [ -z "$channel" ] || wanted=$(with_key channel "$channel")
    if [ "$wanted" != "$text" ] || [ ! -f "$store/device.toml" ]; then
        change "writes $store/device.toml" write_device "$1" "$2"
    fi
}
with_key() { # with_key KEY VALUE: $wanted with that line changed or added
    printf '%s\n' "$wanted" | awk -v key="$1" -v value="$2" '
        $1 == key || index($1, key "=") == 1 { if (!done) print key " = \"" value "\""; done = 1; next }
        { print }
        END { if (!done) print key " = \"" value "\"" }'
}
write_device() { printf '%s\n' "$wanted" | put_owned "$1:$2" 640 "$store/device.toml"; }

# --- the way of systemd ---------------------------------------------------------------------------

user() {
    if ! getent passwd tinytx >/dev/null; then
        note "user tinytx"
        have useradd || lacks "there is no useradd: sudo apt install passwd"
        change "makes the user tinytx, who cannot log in" \
            useradd --system --user-group --home-dir "$store" --no-create-home --shell /usr/sbin/nologin tinytx
    fi
    [ -n "$dry" ] || [ "$(id -u tinytx)" -ne 0 ] || lacks "the user tinytx here is root: rename it"
}
key() { # what the environment is made of: Python's version and the wheels, by content
    { python3 -V
      if [ -n "$wheels" ]; then cat "$wheels"/*.whl; elif [ -n "$wheel" ]; then cat "$wheel"; else echo index; fi
    } | sha256sum | cut -c1-12
}
environment() {
    if [ -n "$wheels" ]; then set -- "$wheels"/tinytx-*.whl; [ -f "$1" ] || lacks "$wheels holds no tinytx-*.whl"; fi
    if [ -z "$wheels$wheel" ] && [ -x "$home/bin/tinytx" ]; then return 0; fi
    target=$envs/$(key)
    if [ -d "$home" ] && [ ! -L "$home" ]; then lacks "$home is there and is not ours: move it away (an older tinytx?)"; fi
    [ ! -e "$target/whole" ] || [ "$(readlink "$home" 2>/dev/null)" != "$target" ] || return 0
    [ -e "$target/whole" ] || change "makes a virtual environment in $target (minutes on a small board)" make_environment
    change "makes $home a link to it" switch_environment
    renewed=yes
}
make_environment() { # who waits at the other end of a connection hears that it lives
    while sleep 20; do say "... at work"; done &
    alive=$!
    trap 'kill $alive 2>/dev/null || true' EXIT
    make_environment_now
    kill $alive
    trap - EXIT
}
make_environment_now() {
    rm -rf "$target"
    mkdir -p "$envs"
    set -- "$wheels"/pip-*.whl
    if [ -n "$wheels" ] && [ -f "$1" ]; then
        python3 -m venv --without-pip "$target"
        set -- "$target/bin/python3" "$1/pip"
    else
        python3 -m venv "$target"
        set -- "$target/bin/python3" -m pip
    fi
    set -- "$@" install --quiet --disable-pip-version-check --no-input --no-compile --no-cache-dir
    if [ -n "$wheels" ]; then set -- "$@" --no-index --find-links "$wheels" 'tinytx[serve]'
    elif [ -n "$wheel" ]; then set -- "$@" "tinytx[serve] @ file://$wheel"
    else set -- "$@" 'tinytx[serve]'
    fi
    env -u PIP_REQUIRE_VIRTUALENV PIP_CONFIG_FILE="${PIP_CONFIG_FILE:-}" "$@" \
        || lacks "the wheels could not be installed, see above; nothing that runs was touched"
    "$target/bin/python3" -m compileall -q "$target/lib" >/dev/null || true
    "$target/bin/tinytx" --version >/dev/null || lacks "the new tinytx does not start; nothing that runs was touched"
    chmod -R go=u-w "$target"
    sync
    : >"$target/whole"
    sync -f "$target/whole"
}
switch_environment() {
    ln -sfn "$target" "$home.next"
    mv -T "$home.next" "$home"
    sync -f "$envs"
    for old in "$envs"/*; do [ "$old" = "$target" ] || rm -rf "$old"; done # what runs has its files open
}
sudoers_file() {
    [ -n "$ssh_user" ] || return 0
    if [ "$(id -u "$ssh_user")" -eq 0 ]; then say "root needs no rule of sudo"; have sudo || lacks "there is no sudo: apt install sudo"; return 0; fi
    if ! have sudo || ! have visudo; then lacks "there is no sudo: apt install sudo"; fi
    # CWD: not in the user's own folder, where Python could find modules and we could find files.
    rule="$ssh_user ALL=(tinytx) CWD=/ NOPASSWD: $home/bin/tinytx release *"
    [ -f "$sudoers" ] && grep -qxF "$rule" "$sudoers" && return 0
    note "file $sudoers"
    change "lets $ssh_user run '$home/bin/tinytx release' as tinytx, without a password ($sudoers)" write_sudoers
}
write_sudoers() {
    checked=$(mktemp)
    { grep -v "^$ssh_user ALL=(tinytx) " "$sudoers" 2>/dev/null || true; printf '%s\n' "$rule"; } >"$checked"
    visudo -qcf "$checked" || { rm -f "$checked"; lacks "visudo refuses the rule; nothing was changed"; }
    put 440 "$sudoers" <"$checked"
    rm -f "$checked"
    visudo -qc || { rm -f "$sudoers"; lacks "visudo refuses the whole of /etc/sudoers; $sudoers is gone again"; }
}
install_units() {
    fresh=''
    for unit in $services; do
        cmp -s "$here/units/$unit" "$units/$unit" && continue
        fresh=yes
        write 644 "$units/$unit" "$(cat "$here/units/$unit")"
    done
    [ -z "$pull" ] || write 644 "$etc/pull.env" "TINYTX_CHANNEL=$pull"
    [ -z "$fresh" ] || change "has systemd read the units" systemctl daemon-reload
    for unit in tinytx-serve.socket tinytx-serve.service tinytx-watch.service ${pull:+tinytx-pull.timer}; do
        systemctl -q is-enabled "$unit" 2>/dev/null || change "starts $unit with the machine" systemctl -q enable "$unit"
    done
    if [ -n "$fresh$renewed" ]; then
        change "starts the services with what is new" restart_units
    else
        for unit in tinytx-serve.socket tinytx-serve.service tinytx-watch.service ${pull:+tinytx-pull.timer}; do
            systemctl -q is-active "$unit" || change "starts $unit" systemctl start --no-block "$unit"
        done
    fi
}
restart_units() { # the socket stays: connections wait for the new process
    systemctl reset-failed 'tinytx-*' 2>/dev/null || true
    systemctl start tinytx-serve.socket
    systemctl restart --no-block tinytx-serve.service tinytx-watch.service
    [ -z "$pull" ] || systemctl start tinytx-pull.timer
}

# --- the way of compose -----------------------------------------------------------------------------

containers() {
    if [ -n "$image" ]; then change "loads the image from $image" docker load --quiet --input "$image"; fi
    [ -n "$dry" ] || docker image inspect tinytx:runtime >/dev/null 2>&1 \
        || lacks "the engine has no image tinytx:runtime: give --image FILE (docker save tinytx:runtime, for this platform)"
    write 644 "$etc/compose.yaml" "$(cat "$here/compose.yaml")"
    if [ -n "$ssh_user" ] && [ "$(id -u "$ssh_user")" -ne 0 ] && ! id -nG "$ssh_user" | grep -qw docker; then
        note "member docker $ssh_user"
        change "puts $ssh_user into the group docker, which is as mighty as root" usermod -aG docker "$ssh_user"
    fi
    change "starts the containers that do not run yet" docker compose --file "$etc/compose.yaml" up --detach --quiet-pull
}

# --- the end ---------------------------------------------------------------------------------------

answers() { # the service says what it serves; an empty store is an answer too
    [ -z "$dry" ] || return 0
    python3 - "${TINYTX_HEALTH:-http://127.0.0.1:8765/health}" <<'PYTHON' || lacks "the service does not answer: journalctl -u tinytx-serve (compose: docker logs tinytx-serve)"
import json, sys, time, urllib.error, urllib.request
for _ in range(120):
    try:
        body = urllib.request.urlopen(sys.argv[1], timeout=10).read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except OSError:
        time.sleep(1)
        continue
    health = json.loads(body)
    print("prepare: the service answers:", health.get("status"), health.get("release") or "")
    break
else:
    sys.exit(1)
PYTHON
}
take_away() {
    if have docker && [ -f "$etc/compose.yaml" ] && noted "file $etc/compose.yaml"; then
        change "removes the containers (the image stays)" docker compose --file "$etc/compose.yaml" down
    fi
    for unit in tinytx-pull.timer tinytx-pull.service tinytx-watch.service tinytx-serve.socket tinytx-serve.service; do
        if have systemctl && [ -e "$units/$unit" ]; then change "stops $unit" stop_unit "$unit"; fi
    done
    [ ! -f "$record" ] || while read -r kind first second; do
        case $kind in
            file) drop "$first" ;;
            member) change "takes $second out of the group $first" gpasswd -q -d "$second" "$first" ;;
            cmdline) cmdline=$first; old_cmdline ;;
        esac
    done <"$record"
    ! have systemctl || [ ! -d /run/systemd/system ] || [ -n "$dry" ] || systemctl daemon-reload
    if [ -L "$home" ]; then change "removes $home" rm -f "$home"; fi
    if [ -d "$envs" ]; then change "removes $envs" rm -rf "$envs"; fi
    if [ -d "$store" ]; then
        if [ -n "$purge" ]; then change "removes $store with all releases" rm -rf "$store"
        else say "leaves $store with its releases (--purge removes it)"
        fi
    fi
    if noted 'user tinytx' && getent passwd tinytx >/dev/null; then change "removes the user tinytx" userdel tinytx; fi
    [ ! -d "$etc" ] || change "removes $etc" rm -rf "$etc"
}
stop_unit() { systemctl -q disable --now "$1" 2>/dev/null || true; systemctl reset-failed "$1" 2>/dev/null || true; }
old_cmdline() {
    [ -f "$cmdline.before-tinytx" ] || return 0
    if [ "$(with_memory "$(head -n 1 "$cmdline.before-tinytx")")" = "$(head -n 1 "$cmdline")" ]; then
        change "puts the old $cmdline back" mv -f "$cmdline.before-tinytx" "$cmdline"
        restart=yes
    else say "leaves $cmdline, which was edited since; the old one is $cmdline.before-tinytx"
    fi
}

arguments "$@"
machine
renewed=''
if [ -n "$undo" ]; then
    take_away
elif [ "$way" = systemd ]; then
    python_here
    systemd_here
    limits
    user
    store_folder tinytx tinytx
    environment
    sudoers_file
    install_units
    answers
else
    docker_here
    limits
    store_folder "$container_user" "$container_user"
    containers
    answers
fi
if [ "$changed" -eq 0 ]; then say "nothing to change: all is as it should be"; fi
[ -z "$restart" ] || say "RESTART the machine for the kernel's parameters: sudo reboot"
say "done"
