#!/usr/bin/env bash
# From a bare Debian 12 or 13 machine to one that builds and runs linux/amd64 and linux/arm64
# images without any image registry: engine, buildx, compose, emulator, base images.
#
#   sudo bash docker/engine.sh           install what is missing, say what was done
#   bash docker/engine.sh --check        only say what is missing; exit code 1 when something is
#   sudo bash docker/engine.sh --stop    stop the dockerd that this script started
#   sudo bash docker/engine.sh --undo    take away what this script installed
#
# Exit codes: 0 ready; 69 this machine cannot have an engine (not root, not Debian 12 or 13, no
# package mirror, a container without the right to mount); 1 anything else that went wrong.
# Run it as often as you like. Where Docker with both platforms works already it does nothing.
# Settings (environment): TINYTX_MIRROR, a Debian mirror; TINYTX_ENGINE_LOG, dockerd's log file;
# TINYTX_BINFMT, where the kernel's list of emulators is mounted.
set -euo pipefail

mirror=${TINYTX_MIRROR:-http://deb.debian.org/debian}
log=${TINYTX_ENGINE_LOG:-/var/log/tinytx-dockerd.log}
base=debian:bookworm-slim
home=/usr/local/lib/tinytx-engine # the emulator, and which packages we brought
source_file=/etc/apt/sources.list.d/tinytx-trixie.sources
pin_file=/etc/apt/preferences.d/tinytx-trixie
daemon_file=/etc/docker/daemon.json
binfmt=${TINYTX_BINFMT:-/proc/sys/fs/binfmt_misc}
newer="docker.io docker-cli docker-buildx docker-compose qemu-user" # runc, containerd: Debian 12's
oldest_emulator=8 # 7.2 (Debian 12) hangs or crashes in `import onnxruntime`; 10.0 works

say() { printf 'engine: %s\n' "$*"; }
die() { printf 'engine: %s\n' "$*" >&2; exit 1; }
cannot() { printf 'engine: %s\n' "$*" >&2; exit 69; }
have() { command -v "$1" >/dev/null 2>&1; }

case $(uname -m) in
    x86_64) foreign=aarch64 ours=amd64 theirs=arm64 ;;
    aarch64) foreign=x86_64 ours=arm64 theirs=amd64 ;;
    *) die "this script knows x86_64 and aarch64 machines; this one is $(uname -m)" ;;
esac

# --- what works already? Each prints nothing when content, else one sentence. -----------------

lacks_engine() {
    have docker || { echo "there is no docker command"; return; }
    timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1 \
        || echo "no Docker engine answers (is dockerd running, and may you use its socket?)"
}
lacks_plugins() {
    docker buildx version >/dev/null 2>&1 || echo "docker has no buildx plugin"
    docker compose version >/dev/null 2>&1 || echo "docker has no compose plugin"
}
lacks_store() { # either the containerd store, or a builder of its own, keeps several platforms
    docker info --format '{{.DriverStatus}}' 2>/dev/null | grep -q containerd.snapshotter && return
    docker buildx inspect 2>/dev/null | grep -Eq '^Driver: +(docker-container|kubernetes|remote)' \
        || echo "the engine cannot keep an image of two platforms (containerd-snapshotter is off)"
}
emulator_of() { sed -n 's/^interpreter //p' "$binfmt/qemu-$foreign" 2>/dev/null || true; }
version_of() { "$1" --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/\1/p' | head -n 1; }
lacks_emulator() {
    local emulator version
    if ! grep -qx enabled "$binfmt/qemu-$foreign" 2>/dev/null; then
        # An engine in a virtual machine of its own (Docker Desktop) has its own emulator.
        docker buildx inspect 2>/dev/null | grep -q "linux/$theirs" && [ ! -d "$binfmt" ] && return
        echo "no emulator is registered for $foreign programs"
        return
    fi
    grep -q '^flags:.*F' "$binfmt/qemu-$foreign" \
        || { echo "the emulator is registered without the flag F: containers cannot see it"; return; }
    emulator=$(emulator_of)
    [ -x "$emulator" ] || return 0 # loaded by another container: its version cannot be asked
    version=$(version_of "$emulator")
    [ "${version:-0}" -ge "$oldest_emulator" ] \
        || echo "the emulator is QEMU ${version:-unknown}: 7.2 hangs when onnxruntime is imported, $oldest_emulator or newer is needed"
}
lacks_base() { # here for both platforms, or a registry has it
    local platform
    for platform in "linux/$ours" "linux/$theirs"; do
        if ! docker run --rm --pull never --platform "$platform" --network none "$base" true \
            >/dev/null 2>&1; then
            timeout 10 docker buildx imagetools inspect "$base" >/dev/null 2>&1 \
                || echo "$base for $platform is neither here nor can a registry be reached"
        fi
    done
}
missing() {
    local engine
    engine=$(lacks_engine)
    if [ -n "$engine" ]; then echo "$engine"; return; fi
    lacks_plugins
    lacks_store
    lacks_emulator
    lacks_base
}

# --- doing -------------------------------------------------------------------------------------

need_root() {
    [ "$(id -u)" -eq 0 ] || cannot "this changes the system and needs root: sudo bash docker/engine.sh"
    [ -r /etc/debian_version ] || cannot "this is not Debian: install Docker from docs.docker.com/engine/install, then run this with --check"
    case $(. /etc/os-release; echo "${VERSION_ID:-}") in
        12|13) ;;
        *) cannot "only Debian 12 and 13 are known: install Docker yourself, then run this with --check" ;;
    esac
    # Bit 21 of the capabilities is CAP_SYS_ADMIN: without it nothing can be mounted.
    [ $((0x$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status) >> 21 & 1)) -eq 1 ] \
        || cannot "root has no right to mount here: this is a container that an engine cannot run in"
}
bring() { # install packages and remember those that were not there, for --undo
    local package new=""
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || new="$new $package"
    done
    [ -n "$new" ] || return 0
    say "installing$new"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        --no-remove -o Acquire::Retries=5 $new >"$home/apt.log" 2>&1 \
        || { tail -n 5 "$home/apt.log" >&2; die "apt-get could not install$new (is the network there? see $home/apt.log)"; }
    printf '%s\n' $new >>"$home/packages"
}
trixie() { # Debian 13 beside Debian 12, for the few packages that must be newer
    [ "$(. /etc/os-release; echo "$VERSION_ID")" = 12 ] || return 0
    [ -e "$source_file" ] && [ -e "$pin_file" ] && return 0
    say "adding Debian 13 as a source, for these only: $newer"
    printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' \
        "$mirror" /usr/share/keyrings/debian-archive-keyring.gpg >"$source_file"
    printf 'Package: *\nPin: release n=trixie\nPin-Priority: -10\n\nPackage: %s\nPin: release n=trixie\nPin-Priority: 700\n' \
        "$newer" >"$pin_file"
}
update() {
    [ -n "${updated:-}" ] && return 0
    local try
    for try in 1 2 3; do # -o: else a mirror that does not answer is only a warning
        apt-get update -qq -o APT::Update::Error-Mode=any >"$home/apt.log" 2>&1 && updated=1 && return 0
        [ "$try" = 3 ] || sleep 10
    done
    tail -n 3 "$home/apt.log" >&2
    cannot "apt-get update failed three times: Debian's package mirror cannot be reached"
}
packages() {
    local wanted="docker.io iptables ca-certificates"
    have docker || wanted="$wanted docker-cli"
    docker buildx version >/dev/null 2>&1 || wanted="$wanted docker-buildx"
    docker compose version >/dev/null 2>&1 || wanted="$wanted docker-compose"
    have dockerd && [ "$wanted" = "docker.io iptables ca-certificates" ] && return 0
    trixie
    update
    # shellcheck disable=SC2086
    bring $wanted
}
start() { # no init system may run here, so dockerd is started by hand
    [ -z "$(lacks_engine)" ] && [ -z "$(lacks_store)" ] && return 0
    if [ ! -e "$daemon_file" ]; then
        mkdir -p /etc/docker
        echo '{"features": {"containerd-snapshotter": true}}' >"$daemon_file"
        echo "$daemon_file" >>"$home/files"
        say "wrote $daemon_file"
    elif ! grep -q containerd-snapshotter "$daemon_file"; then
        die "$daemon_file is yours: add \"features\": {\"containerd-snapshotter\": true} to it and restart dockerd"
    fi
    if [ -n "$(lacks_engine)" ]; then
        say "starting dockerd, log in $log"
        if [ -d /run/systemd/system ]; then systemctl start docker
        else
            nohup setsid dockerd >"$log" 2>&1 </dev/null &
            touch /run/tinytx-engine-started
        fi
        for _ in $(seq 240); do [ -z "$(lacks_engine)" ] && return 0; sleep 0.5; done
        tail -n 5 "$log" >&2 || true
        die "dockerd does not answer after 120 s; its last words are above, the rest is in $log"
    fi
    [ -z "$(lacks_store)" ] || die "restart dockerd so that it reads $daemon_file"
}
emulator() {
    [ -z "$(lacks_emulator)" ] && return 0
    local folder binary="$home/qemu-$foreign" version magic mask
    version=$([ -x "$binary" ] && version_of "$binary" || true)
    if [ "${version:-0}" -lt "$oldest_emulator" ]; then
        say "unpacking the emulator (qemu-user of Debian 13) into $home"
        trixie
        update
        folder=$(mktemp -d)
        (cd "$folder" && apt-get download -qq -o Acquire::Retries=5 qemu-user >/dev/null 2>&1 && dpkg-deb -x qemu-user_*.deb .) \
            || die "qemu-user could not be downloaded: is the network there?"
        install -m 755 "$folder/usr/bin/qemu-$foreign" "$binary"
        rm -rf "$folder"
    fi
    [ -e "$binfmt/register" ] || mount -t binfmt_misc binfmt_misc "$binfmt" \
        || cannot "binfmt_misc cannot be mounted: the kernel lacks it, or this is a container"
    if [ -e "$binfmt/qemu-$foreign" ]; then echo -1 >"$binfmt/qemu-$foreign"; fi
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    case $foreign in # the ELF header: 64 bits, little endian, then the machine's number
        aarch64) magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00' ;;
        x86_64) magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00' ;;
    esac
    say "registering the emulator for $foreign programs"
    # O: pass the open file, C: keep credentials, F: load it now, so containers need nothing.
    printf '%s' ":qemu-$foreign:M::$magic:$mask:$binary:OCF" >"$binfmt/register"
}
bootstrap() { # a root file system of Debian 12 for one architecture
    local architecture=$1 folder=$2
    mmdebstrap --quiet --variant=minbase --architectures="$architecture" --aptopt='Acquire::Retries "5"' \
        --include=usr-is-merged --hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        bookworm "$folder/rootfs-$architecture.tar" "$mirror" >"$home/mmdebstrap-$architecture.log" 2>&1
}
base_images() {
    [ -z "$(lacks_base)" ] && return 0
    local folder other
    update
    bring mmdebstrap arch-test
    folder=$(mktemp -d)
    say "making $base for $ours and $theirs from Debian's packages"
    bootstrap "$theirs" "$folder" & # emulated, so it takes longer
    other=$!
    bootstrap "$ours" "$folder" \
        || { tail -n 5 "$home/mmdebstrap-$ours.log" >&2; die "mmdebstrap failed for $ours; see $home/mmdebstrap-$ours.log"; }
    wait $other \
        || { tail -n 5 "$home/mmdebstrap-$theirs.log" >&2; die "mmdebstrap failed for $theirs; see $home/mmdebstrap-$theirs.log"; }
    # shellcheck disable=SC2016
    printf 'FROM scratch\nARG TARGETARCH\nADD rootfs-${TARGETARCH}.tar /\nCMD ["bash"]\n' >"$folder/Dockerfile"
    docker buildx build --quiet --provenance=false --platform "linux/$ours,linux/$theirs" \
        --tag "$base" "$folder" >/dev/null || die "the base image could not be built"
    rm -rf "$folder"
}
stop() { # only what this script started
    local pid
    [ -e /run/tinytx-engine-started ] || { say "nothing to stop: this script started no dockerd"; return 0; }
    rm -f /run/tinytx-engine-started
    pid=$(cat /var/run/docker.pid 2>/dev/null || true)
    [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 0
    kill "$pid"
    for _ in $(seq 120); do [ -d "/proc/$pid" ] || { say "dockerd has stopped"; return 0; }; sleep 0.5; done
    die "dockerd (process $pid) does not stop"
}
undo() {
    need_root
    stop
    say "removing containers, images and volumes stays with you: docker system prune -a --volumes"
    [ -e "$binfmt/qemu-$foreign" ] && [ "$(emulator_of)" = "$home/qemu-$foreign" ] \
        && echo -1 >"$binfmt/qemu-$foreign" && say "the emulator is unregistered"
    if [ -s "$home/packages" ]; then
        # shellcheck disable=SC2046
        apt-get remove -qq -y $(sort -u "$home/packages" | grep -vx ca-certificates) >/dev/null
        say "packages are gone: $(sort -u "$home/packages" | tr '\n' ' ')"
    fi
    [ -s "$home/files" ] && xargs rm -f <"$home/files"
    rm -rf "$home" "$source_file" "$pin_file"
}

case ${1:-} in
    --check)
        lacking=$(missing)
        [ -z "$lacking" ] && { say "everything is here: engine, buildx, compose, emulator, $base for both platforms"; exit 0; }
        while read -r line; do say "$line"; done <<<"$lacking"
        die "run: sudo bash docker/engine.sh"
        ;;
    --stop) stop ;;
    --undo) undo ;;
    "")
        lacking=$(missing)
        [ -z "$lacking" ] && { say "nothing to do: Docker works here for both platforms"; exit 0; }
        need_root
        mkdir -p "$home"
        packages
        start
        emulator
        base_images
        lacking=$(missing)
        [ -z "$lacking" ] || die "still missing: $lacking"
        say "ready: docker $(docker version --format '{{.Server.Version}}'), both platforms"
        ;;
    *) die "unknown argument $1: none, --check, --stop or --undo" ;;
esac
