# A device's start: host keys once, the ssh server, and whatever SERVICES names, each started anew
# when it ends, as the units of deploy/ would. Its words are in /var/log/tinytx/NAME.log.
set -eu
mkdir -p /run/sshd
ssh-keygen -A >/dev/null
chown tinytx:tinytx /var/lib/tinytx
as_user() { setpriv --reuid tinytx --regid tinytx --init-groups env HOME=/home/tinytx "$@"; }
kept_up() { # NAME COMMAND...
    name=$1
    shift
    while :; do
        as_user "$@" >>"/var/log/tinytx/$name.log" 2>&1 || true
        sleep 0.5
    done
}
for service in ${SERVICES:-}; do
    case $service in
        serve) kept_up serve /opt/tinytx/bin/tinytx serve --store /var/lib/tinytx & ;;
        watch) kept_up watch /opt/tinytx/bin/tinytx release watch & ;;
    esac
done
exec /usr/sbin/sshd -D -e -o PasswordAuthentication=no -o AllowUsers=tinytx -o UseDNS=no
