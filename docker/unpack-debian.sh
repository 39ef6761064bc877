#!/bin/sh
# unpack-debian.sh ARCHITECTURE FOLDER: what Debian gives to the images, for another architecture, laid
# out as a root file system: Python 3.11, byte-compiled once; tini; of OpenSSH only ssh-keygen, which
# checks who signed a release; the authorities behind https. Runs inside the build, on the building
# machine.
set -eu
architecture=$1 folder=$2
packages="python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1 libssl3 tini"
others="openssh-client ca-certificates" # of which little is kept; the second is the same for all
mkdir -p /debs "$folder/var/lib/dpkg/status.d"
cd /debs
dpkg --add-architecture "$architecture"
apt-get update -qq
# shellcheck disable=SC2046,SC2086
apt-get download -qq -o APT::Sandbox::User=root \
    $(printf "%s:$architecture " $packages openssh-client) ca-certificates >/dev/null
for deb in *.deb; do
    dpkg-deb -x "$deb" "$folder"
    dpkg-deb -f "$deb" >"$folder/var/lib/dpkg/status.d/$(dpkg-deb -f "$deb" Package)"
done
cd "$folder"
mv usr/bin/ssh-keygen /ssh-keygen
cat usr/share/ca-certificates/mozilla/*.crt >/authorities.pem
for package in $others; do # everything else of theirs goes, their licences stay
    dpkg-deb --fsys-tarfile /debs/"$package"_*.deb | tar -t | grep -v '/$' | grep -v /copyright |
        while read -r file; do rm -f "$file"; done
done
mkdir -p etc/ssl/certs
mv /ssh-keygen usr/bin/ssh-keygen
mv /authorities.pem etc/ssl/certs/ca-certificates.crt
find . -depth -type d -empty -delete
mkdir -p var/lib/dpkg/status.d
if [ -d lib ]; then # Debian 12 has one /lib, inside /usr; packages may still say otherwise
    cp -a lib/. usr/lib/ && rm -rf lib
fi
ln -s python3.11 usr/bin/python3
rm -rf usr/share/doc/*/changelog* usr/share/man usr/share/lintian usr/share/binfmts \
    usr/share/applications usr/share/pixmaps usr/lib/valgrind
python=usr/lib/python3.11
rm -rf $python/ensurepip $python/lib2to3 $python/pydoc_data $python/distutils $python/venv \
    $python/turtle.py $python/idlelib $python/tkinter $python/curses $python/sqlite3 $python/dbm
rm -f $python/lib-dynload/_curses* $python/lib-dynload/readline* $python/lib-dynload/_dbm* \
    $python/lib-dynload/_sqlite3* $python/lib-dynload/_test* $python/lib-dynload/_tkinter* \
    $python/lib-dynload/_crypt* $python/lib-dynload/nis* $python/lib-dynload/_xx*
python3 /strip.py --keep "$python" /usr/lib/python3.11
