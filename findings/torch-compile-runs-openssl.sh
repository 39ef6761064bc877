#!/usr/bin/env bash
# torch 2.13.0 (CPU, Linux): torch.compile runs the program `openssl` to name a header that it compiles
# beforehand. Where that program is not installed, as in slim images that have a C++ compiler, every
# compilation ends in an error that speaks of a missing file, not of a missing package. No wheel can
# ask for a program, and no page of the documentation on requirements names it (seen 2026-11-29).
#
# Reason: a header's checksum is taken by `openssl sha512` in a child process, for speed.
# What to do: install the program, or set TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS=0 (compiling takes
# longer: 46 s instead of 22 of the compiler's time for a small language model).
#
# Run by hand: bash findings/torch-compile-runs-openssl.sh     (g++ and Python's headers are needed)
# Ends with 0 if it is still so, with 1 if it has changed, with 2 where it cannot be shown.
set -euo pipefail
command -v g++ >/dev/null || { echo "cannot be shown here: there is no g++"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} numpy==2.4.6 torch==2.13.0
mkdir "$folder/bin" # everything on the PATH, but for openssl
IFS=:
for place in $PATH; do
    for program in "$place"/*; do
        name=${program##*/}
        if [ "$name" != openssl ] && [ -x "$program" ] && [ ! -e "$folder/bin/$name" ]; then
            ln -s "$program" "$folder/bin/$name"
        fi
    done
done
unset IFS
cat >"$folder/compile.py" <<'PYTHON'
import sys, torch
function = torch.compile(lambda x: torch.sin(x) + x * 2)
try:
    function(torch.ones(64))
except Exception as error:
    told = str(error).strip().splitlines()[0]
    print(f"  {type(error).__name__}: {told[:90]}")
    sys.exit(3)
print("  compiled")
PYTHON
ask() { # ask NAME PATH [VARIABLE=VALUE]: its exit code
    local code=0
    echo "$1:"
    env PATH="$2" TORCHINDUCTOR_CACHE_DIR="$folder/cache-$1" "${@:3}" "$folder/venv/bin/python" "$folder/compile.py" || code=$?
    return "$code"
}
"$folder/venv/bin/python" -c 'import torch; print("torch", torch.__version__)'
with=0 without=0 switched=0
ask with-openssl "$PATH" || with=$?
ask without-openssl "$folder/bin" || without=$?
ask without-openssl-and-without-such-headers "$folder/bin" TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS=0 || switched=$?
if [ "$with $without $switched" = "0 3 0" ]; then
    echo "as stated: without the program nothing compiles, unless headers are not compiled beforehand"
else
    echo "this has changed"
    exit 1
fi
