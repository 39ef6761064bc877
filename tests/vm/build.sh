#!/usr/bin/env bash
# A Debian device as a virtual machine: systemd, ext4, control groups version 2, OpenSSH, sudo,
# Python without venv's installer (a device without access to a package index). Made of Debian's
# packages into a folder outside the repository, once; made again when this script changes.
#
#   sudo bash tests/vm/build.sh [SUITE]    trixie (Python 3.13) or bookworm (3.11); prints the folder
#
# There: kernel, initrd, device.ext4 (never started itself, tests start copies), id_ed25519 (root's
# key; the users pi, who may use sudo, and carrier, who may not, take it too). Needs root and Debian's
# mmdebstrap, e2fsprogs and openssh-client. Exit code 69: this machine cannot do it.
set -euo pipefail

suite=${1:-trixie}
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tinytx/vm/$suite
mirror=${TINYTX_MIRROR:-http://deb.debian.org/debian}
packages=systemd,systemd-sysv,dbus,udev,openssh-server,sudo,python3,iproute2,e2fsprogs,kmod,procps
packages=$packages,linux-image-cloud-amd64,initramfs-tools,zstd

cannot() { printf 'vm: %s\n' "$*" >&2; exit 69; }
[ "$(id -u)" -eq 0 ] || cannot "a root file system is made, which needs root: sudo bash tests/vm/build.sh"
[ "$(uname -m)" = x86_64 ] || cannot "the virtual machine is an x86_64 one; this machine is $(uname -m)"
for command in mmdebstrap mke2fs ssh-keygen; do
    command -v "$command" >/dev/null || cannot "there is no $command: apt install mmdebstrap e2fsprogs openssh-client"
done

stamp=$(sha256sum <"${BASH_SOURCE[0]}")
if [ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "$folder"
    exit 0
fi
rm -rf "$folder"
mkdir -p "$folder"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
nice -n 10 mmdebstrap --quiet --variant=minbase --include="$packages" \
    --aptopt='Acquire::Retries "5"' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    "$suite" "$root" "$mirror" >"$folder/mmdebstrap.log" 2>&1 \
    || cannot "mmdebstrap failed, see $folder/mmdebstrap.log (is the mirror $mirror there?)"

ssh-keygen -q -t ed25519 -N '' -C tinytx-vm -f "$folder/id_ed25519"
in_root() { chroot "$root" "$@" >>"$folder/mmdebstrap.log" 2>&1; }
for user in pi carrier; do in_root useradd --create-home --shell /bin/bash "$user"; done
for home in root home/pi home/carrier; do
    install -d -m 700 "$root/$home/.ssh"
    install -m 600 "$folder/id_ed25519.pub" "$root/$home/.ssh/authorized_keys"
    chown -R --reference="$root/$home" "$root/$home/.ssh"
done
echo 'pi ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/010_pi-nopasswd"
chmod 440 "$root/etc/sudoers.d/010_pi-nopasswd"
printf '[Match]\nName=eth*\n[Network]\nDHCP=ipv4\n' >"$root/etc/systemd/network/50-vm.network"
printf '/dev/vda / ext4 errors=remount-ro,commit=5 0 1\n' >"$root/etc/fstab"
printf '127.0.0.1 localhost tinytx-vm\n' >"$root/etc/hosts"
echo tinytx-vm >"$root/etc/hostname"
printf '[Journal]\nStorage=persistent\nSyncIntervalSec=1s\n' >"$root/etc/systemd/journald.conf"
in_root systemctl enable systemd-networkd.service
in_root systemctl disable systemd-networkd-wait-online.service
# Nothing that works by itself while something is measured or killed.
in_root systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_reap.service \
    e2scrub_all.timer man-db.timer dpkg-db-backup.timer fstrim.timer getty@tty1.service
cp "$root"/boot/vmlinuz-* "$folder/kernel"
cp "$root"/boot/initrd.img-* "$folder/initrd"
mke2fs -q -t ext4 -d "$root" "$folder/device.ext4" 4G >>"$folder/mmdebstrap.log"
echo "$stamp" >"$folder/stamp"
echo "$folder"
