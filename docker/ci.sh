#!/usr/bin/env bash
# From a bare Debian machine to images that are proven: engine, images for both platforms, the
# compose chain, the tests with a real engine (conformance of the arm64 image on every Raspberry
# Pi's processor among them), and the figures. Run it again and what is cached is not done again.
#
#   sudo bash docker/ci.sh             everything
#   sudo bash docker/ci.sh images      one part: engine, images, chain, tests, arm64 or figures
#
# Needs a python3 with pip. What pip finds here (a CA bundle, a folder of wheels) the build gets too.
set -euo pipefail
cd "$(dirname "$0")/.."
project=tinytx-ci
cache=${TINYTX_CACHE:-$HOME/.cache/tinytx-docker}
python=${PYTHON:-python3}
part=${1:-all}
step() { printf '\n== docker: %s (%s s)\n' "$1" "$SECONDS"; }
wanted() { [ "$part" = all ] || [ "$part" = "$1" ]; }
case $part in all|engine|images|chain|tests|arm64|figures) ;;
    *) echo "unknown part $part: engine, images, chain, tests, arm64 or figures" >&2; exit 64 ;;
esac

mkdir -p "$cache/wheels"
CA=$("$python" -m pip config get global.cert 2>/dev/null || true)
export CA=${CA:-${PIP_CERT:-${SSL_CERT_FILE:-}}} TINYTX_CA REVISION COMPOSE_PROJECT_NAME=$project
export WHEELS="$cache/wheels" TINYTX_WHEELS="$cache/wheels"
TINYTX_CA=${CA:-/dev/null}
REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH

engine() {
    step "an engine that builds for both platforms"
    bash docker/engine.sh
}
wheels() { # a CPU build of torch that this machine's pip knows of; else the build asks PyTorch's index
    local lock=docker/locks/train-amd64.txt
    ls "$cache"/wheels/torch-* >/dev/null 2>&1 && return 0
    "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
        --platform manylinux_2_28_x86_64 --dest "$cache/wheels" \
        "$(sed -n 's/^\(torch==[^ ]*\) .*/\1/p' $lock)" 2>/dev/null \
        || echo "docker: torch comes from PyTorch's own index"
}
images() {
    step "images for both platforms"
    wheels
    # The largest first, one at a time: together they would need too much memory and disk at once.
    docker buildx bake --progress quiet -f docker/bake.hcl runtime
    docker buildx bake --progress quiet -f docker/bake.hcl train
    docker image ls tinytx
}
service() { docker compose run --rm -T "$@"; }
judged() { local code=0; "$@" || code=$?; [ "$code" -eq 0 ] || [ "$code" -eq 8 ] || exit "$code"; }
chain() {
    step "the compose chain: train, export, verify, bench, generate"
    docker compose down --volumes --remove-orphans >/dev/null 2>&1 || true
    service train --epochs 1 --quiet
    service export --quiet
    service verify
    judged service bench --time-limit 60
    service generate "Once upon a time" --max-tokens 40 --seed 1
    service test tests/test_bundle.py tests/test_config.py tests/runtime -q
}
tests() {
    step "tests with the real engine; the arm64 image on every Pi's processor"
    "$python" -m pytest -m docker tests/docker -q -p no:cacheprovider --durations=5
}
arm64() {
    step "a short training in the arm64 image, exported on this machine's platform"
    bash docker/train-arm64.sh
}
figures() {
    step "figures"
    "$python" docker/figures.py
}

for name in engine images chain tests arm64 figures; do
    if wanted $name; then $name; fi
done
[ "$part" = all ] && docker compose down --volumes >/dev/null 2>&1
step "done"
