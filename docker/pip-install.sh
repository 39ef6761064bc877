#!/bin/sh
# pip-install ARCHITECTURE LOCK FOLDER: unpack the wheels of a lock file, every hash checked, for
# another architecture than this machine's if need be. Runs inside the build.
set -eu
architecture=$1 lock=$2 folder=$3
[ -s /run/secrets/ca ] && export PIP_CERT=/run/secrets/ca
set -- --quiet --require-hashes --no-deps --only-binary=:all: --no-compile --target "$folder" -r "$lock"
if ls /wheels/*.whl >/dev/null 2>&1; then
    set -- "$@" --find-links /wheels
elif grep -q '+cpu' "$lock"; then
    set -- "$@" --extra-index-url "$TORCH_INDEX_URL"
fi
case $architecture in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    any) machine= ;;
    *) echo "no lock file is kept for $architecture: amd64 and arm64 are" >&2; exit 1 ;;
esac
if [ -n "$machine" ]; then
    for glibc in 2_36 2_35 2_34 2_31 2_28 2_27 2_26 2_24 2_17; do
        set -- "$@" --platform "manylinux_${glibc}_$machine"
    done
    set -- "$@" --platform "manylinux2014_$machine"
fi
if ! python3 -m pip install "$@"; then
    echo "the packages of $lock could not be installed. Without a network, or where TLS is" >&2
    echo "re-signed, see docs/images.md: PIP_INDEX_URL and the build secret ca." >&2
    exit 1
fi
