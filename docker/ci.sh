#!/usr/bin/env bash
# From a bare Debian machine to images that are proven: engine, images for both platforms, the
# compose chain, the tests with a real engine (conformance of the arm64 image on every Raspberry
# Pi's processor among them), a training under emulation, and the figures. Run it again and what
# is cached is not done again.
#
#   sudo bash docker/ci.sh             everything, what is emulated beside what is not
#   sudo bash docker/ci.sh images      one part: engine, runtime, images, chain, tests,
#                                      deployment, conformance, arm64 or figures
#
# Needs a python3 with tinytx[dev]. What pip finds here (a CA bundle, a folder of wheels) the build
# gets too. Exit code 69: this machine cannot have an engine, and engine.sh has said why.
set -euo pipefail
cd "$(dirname "$0")/.."
project=tinytx-ci
cache=${TINYTX_CACHE:-$HOME/.cache/tinytx-docker}
python=${PYTHON:-python3}
part=${1:-all}
parts="engine runtime images chain tests deployment conformance arm64 figures"
deployments=(tests/docker/test_{compose_device,deploy,deploy_kills,deploy_load,random_kills,bad_releases,rollout}.py)
work=$(mktemp -d)
began_engine=
lane=
trap 'tidy' EXIT
step() { printf '\n== docker: %s (%s s)\n' "$1" "$SECONDS"; }
took() { printf '%s %s\n' "$1" "$2" >>"$work/times"; }
timed() { # timed PART: run it, remember how long it took
    local began=$SECONDS
    "$1"
    took "$1" $((SECONDS - began))
}
tidy() {
    local code=$?
    trap - EXIT
    if [ -n "$lane" ]; then kill -- "-$lane" 2>/dev/null || true; fi
    if [ "$part" = all ]; then
        docker compose down --volumes --remove-orphans >/dev/null 2>&1 || true
        [ -z "$began_engine" ] || bash docker/engine.sh --stop || true
    fi
    rm -rf "$work"
    exit "$code"
}
case " $parts all " in *" $part "*) ;; *)
    echo "unknown part $part: ${parts// /, } or all" >&2
    exit 64 ;;
esac

mkdir -p "$cache/wheels"
CA=$("$python" -m pip config get global.cert 2>/dev/null || true)
export CA=${CA:-${PIP_CERT:-${SSL_CERT_FILE:-}}} TINYTX_CA REVISION COMPOSE_PROJECT_NAME=$project
export WHEELS="$cache/wheels" TINYTX_WHEELS="$cache/wheels" SBOM=tinytx:sbom
TINYTX_CA=${CA:-/dev/null}
REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH

engine() {
    step "an engine that builds for both platforms"
    timeout 20 docker version >/dev/null 2>&1 || began_engine=yes
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
bake() { # a second try: an index that did not answer once is no reason to fail
    local options=(--progress quiet -f docker/bake.hcl)
    docker buildx bake "${options[@]}" "$@" && return 0
    echo "docker: the build of $* failed; once more, in full" >&2
    docker buildx bake --progress plain -f docker/bake.hcl "$@"
}
runtime() {
    step "the runtime image for both platforms"
    bake sbom
    bake runtime
}
images() {
    [ "$part" = all ] || runtime
    step "the training image for both platforms"
    wheels
    bake train
    touch "$work/images-are-there"
    docker image ls tinytx
}
service() { docker compose run --rm -T "$@"; }
judged() { # INVALID (8) is the machine's fault; so is a FAIL (7) of the training time alone
    local code=0 failed
    service bench --time-limit 60 --report /data/report.json || code=$?
    case $code in 0|8) return ;; 7) ;; *) exit "$code" ;; esac
    failed=$(docker compose run --rm -T --entrypoint python3 bench -c 'import json
rows = json.load(open("/data/report.json"))["budgets"]
print(*sorted(row["name"] for row in rows if row["verdict"] == "FAIL"))')
    echo "FAIL on this machine: $failed"
    [ "$failed" = training_20_epochs ] || exit 7
}
compiled() { # torch.compile works in the image: a run that goes on without it says so in its metrics
    docker compose run --rm -T --entrypoint python3 bench -c 'import json, sys
machine = json.load(open("/data/training_metrics.json"))["machine"]
print("compiled:", machine["compiled"], machine.get("eager_because", ""))
sys.exit(machine["compiled"] is not True)'
}
chain() {
    step "the compose chain: train, export, verify, bench, generate"
    docker compose down --volumes --remove-orphans >/dev/null 2>&1 || true
    # one thread: the emulated tests keep the other core busy
    service train --epochs 1 --threads 1 --compile on --quiet
    compiled
    service export --quiet
    service verify
    judged
    service generate "Once upon a time" --max-tokens 40 --seed 1
    service test tests/test_bundle.py tests/test_config.py tests/runtime -q
}
engine_tests() { TINYTX_ENGINE_TESTS=1 "$python" -m pytest -n 0 -m docker -q -p no:cacheprovider --durations=5 "$@"; }
tests() {
    step "tests with the real engine"
    engine_tests tests/docker --ignore tests/docker/test_conformance.py "${deployments[@]/#/--ignore=}"
}
deployment() { # two files at a time: they wait as much as they work
    step "deployments to devices that are killed, cut off, misled and asked all the time"
    engine_tests -n 2 --dist loadfile "${deployments[@]}"
}
conformance() {
    step "the arm64 image on every Raspberry Pi's processor"
    engine_tests tests/docker/test_conformance.py
}
arm64() {
    step "a short training in the arm64 image, exported on this machine's platform"
    bash docker/train-arm64.sh
}
figures() {
    step "figures"
    "$python" docker/figures.py
}
emulated() { # what one core can do beside the rest; its words come when it has ended
    timed conformance
    until [ -e "$work/images-are-there" ]; do sleep 2; done
    timed arm64
}
everything() {
    timed engine
    timed runtime
    set -m # the lane gets a process group, so that it ends with us
    emulated >"$work/emulated.log" 2>&1 &
    lane=$!
    set +m
    timed images
    timed chain
    timed tests
    timed deployment
    local code=0
    step "waiting for what runs under emulation"
    wait "$lane" || code=$?
    lane=
    cat "$work/emulated.log"
    [ "$code" -eq 0 ] || { echo "docker: what runs under emulation failed ($code), see above" >&2; exit 1; }
    timed figures
    step "seconds of each part (conformance and arm64 ran beside images, chain, tests and deployment)"
    cat "$work/times"
}

if [ "$part" = all ]; then everything; else "$part"; fi
step "done"
