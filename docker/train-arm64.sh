#!/usr/bin/env bash
# A few steps of training in the emulated arm64 image; the checkpoint is exported in the image of
# this machine's own platform, and the bundle's golden tokens must hold on both.
set -euo pipefail
cd "$(dirname "$0")/.."
volume=tinytx-arm64-$$
own="linux/$(docker version --format '{{.Server.Arch}}')"
text=$(mktemp)
trap 'rm -f "$text"; docker rm -f "$volume" >/dev/null 2>&1 || true; docker volume rm -f "$volume" >/dev/null' EXIT
docker volume create "$volume" >/dev/null
tinytx() { # tinytx PLATFORM IMAGE COMMAND...
    local platform=$1 image=$2
    shift 2
    docker run --rm --name "$volume" --platform "$platform" --network none --read-only \
        --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp:exec \
        -e QEMU_CPU="${QEMU_CPU:-cortex-a72}" -v "$volume:/data" \
        -v "$text:/corpus.txt:ro" "$image" "$@"
}
for _ in $(seq 300); do echo "The small boat went down the quiet river in the morning, and the bird sang a song."; done >"$text"
for number in $(seq 500); do echo "House $number has $((number * 7 % 13)) windows and $((number % 5)) doors."; done >>"$text"
chmod 644 "$text"
tinytx linux/arm64 tinytx:train train --corpus-path /corpus.txt --epochs 1 --batch-size 8 \
    --vocab-size 320 --max-seq-length 48 --set model.layers=2 --set model.width=32 --set model.pair_rows=500 \
    --set model.heads=2 --set model.hidden=48 --set training.precision=float32 \
    --set training.compile=off --set training.threads=1 --quiet
# Where it was trained, as the run itself wrote it down.
docker run --rm --network none -v "$volume:/data:ro" --entrypoint python3 tinytx:runtime -c \
    'import json; print("trained on", json.load(open("/data/training_metrics.json"))["machine"]["architecture"])' \
    | grep -x "trained on aarch64"
tinytx "$own" tinytx:train export --quiet
tinytx "$own" tinytx:runtime verify /data/bundle
tinytx linux/arm64 tinytx:runtime verify /data/bundle
