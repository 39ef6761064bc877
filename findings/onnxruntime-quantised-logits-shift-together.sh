#!/usr/bin/env bash
# onnxruntime 1.32.0 (CPU, MatMulNBits, accuracy_level 4): the same model, the same input, another
# processor, and all outputs are shifted together by several times more than their means are moved
# against one another.
#
# accuracy_level 4 lets the product round its input to int8. With AVX2 (or Arm's dot product) it
# does; without it computes with the input as it is. The rounding moves the output j by w_j . d, and
# the rows w_j of a language model's head have a direction in common, so that most of a mean over
# many logits moves together. Softmax does not see such a shift; a tolerance for logits, or for means
# of them, does. In float32 the processors agree to the last places.
#
# Here: a product of 2,048 rows of 80, each the same vector of length 0.45 plus its own of length
# 1.15 (as the heads of a dozen small trained models had it), 300 inputs, 32 means of 64 outputs each.
#
# Runs on x86-64 with Debian's qemu-user (`qemu-x86_64` on the PATH, or unpacked here by apt-get) and,
# where apt-get has the arm64 packages of Debian 12, on three Arm processors as well. Exit code 0: it
# behaves so; 1: it has changed; 77: there is no emulator, so nothing was compared.
#
# Seen on 2026-11-29 (AMD Zen 4 with AVX-512, qemu-user 10.0.13, Debian 12):
#
#     processor    model     32 means     shift  means less shift
#     Nehalem      int8          0.01    0.0077            0.0032
#     Nehalem      float32    7.7e-08   9.8e-09           7.5e-08
#     SandyBridge  int8          0.01    0.0077            0.0032
#     Haswell      int8       1.7e-07   1.8e-08           1.6e-07
#     cortex-a53   int8          0.01    0.0077            0.0032
#     cortex-a72   int8          0.01    0.0077            0.0032
#     cortex-a76   int8       3.7e-06   2.5e-06           1.8e-06
set -euo pipefail
[ "$(uname -m)" = x86_64 ] || { echo "this script compares with an x86-64 processor"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export ORT_DISABLE_TELEMETRY=1
packages="onnxruntime==1.32.0 numpy==2.4.6"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check $packages onnx==1.23.2

cat >make.py <<'PYTHON'
import numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
N, K, BLOCK = 2048, 80, 32
source = np.random.default_rng(1)
def of_length(length, *shape):
    vectors = source.normal(size=shape)
    return length * vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
w = (of_length(0.45, K) + of_length(1.15, N, K)).astype(np.float32)
x = source.normal(size=(300, K)).astype(np.float32)
np.save("x.npy", x)
blocks = -(-K // BLOCK)
padded = np.zeros((N, blocks * BLOCK), np.float32)
padded[:, :K] = w
values = padded.reshape(N, blocks, BLOCK)
scales = np.abs(values).max(-1) / 127 + np.float32(1e-9)
codes = (np.rint(values / scales[..., None]) + 128).astype(np.uint8)
def save(name, node, tensors, domain):
    value = lambda name, size: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
    graph = helper.make_graph([node], name, [value("x", K)], [value("y", N)], [numpy_helper.from_array(t, n) for n, t in tensors.items()])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(model, f"{name}.onnx")
attributes = dict(K=K, N=N, bits=8, block_size=BLOCK, accuracy_level=4)
save("int8", helper.make_node("MatMulNBits", ["x", "codes", "scales"], ["y"], domain="com.microsoft", **attributes), {"codes": codes, "scales": scales.astype(np.float32)}, "com.microsoft")
save("float32", helper.make_node("MatMul", ["x", "w"], ["y"]), {"w": np.ascontiguousarray(w.T)}, "")
PYTHON
cat >run.py <<'PYTHON'
import sys
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
for name in ("int8", "float32"):
    session = ort.InferenceSession(f"{name}.onnx", options, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {"x": row[None]})[0][0] for row in np.load("x.npy")]
    np.save(f"{sys.argv[1]}.{name}.npy", np.stack(rows))
PYTHON
cat >judge.py <<'PYTHON'
import sys
import numpy as np
def most(values):
    return np.abs(values).max()
print(f"{'processor':12} {'model':8} {'32 means':>9} {'shift':>9} {'means less shift':>17}")
shown = set()
for where in sys.argv[1:]:
    for name in ("int8", "float32"):
        apart = (np.load(f"{where}.{name}.npy").astype(float) - np.load(f"here.{name}.npy"))
        means = np.stack([apart[:, i::32].mean(1) for i in range(32)], 1)
        shift = apart.mean(1, keepdims=True)
        raw, common, rest = most(means), most(shift), most(means - shift)
        print(f"{where:12} {name:8} {raw:9.2g} {common:9.2g} {rest:17.2g}")
        if name == "int8" and raw > 1e-3 and raw > 2 * rest and common > 2 * rest:
            shown.add(where)
        if name == "float32" and raw > 1e-5:
            sys.exit("CHANGED: the float32 product differs between processors")
old = {"Nehalem", "SandyBridge", "cortex-a53", "cortex-a72"} & set(sys.argv[1:])
if not old <= shown:
    sys.exit(f"CHANGED: the outputs do not shift together on {', '.join(sorted(old - shown))}")
print("as stated: what the quantised product moves, it moves together")
PYTHON

venv/bin/python -c 'import numpy, onnxruntime; print("numpy", numpy.__version__, "onnxruntime", onnxruntime.__version__)'
venv/bin/python make.py
venv/bin/python run.py here

# Emulators: on the PATH, or Debian's package unpacked here, which changes nothing on the machine.
if ! command -v qemu-x86_64 >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
    (mkdir qemu && cd qemu && apt-get download qemu-user >/dev/null 2>&1 && dpkg -x qemu-user_*.deb .) || true
    export PATH="$work/qemu/usr/bin:$PATH"
fi
command -v qemu-x86_64 >/dev/null || { echo "no qemu-x86_64 (Debian: qemu-user): nothing compared"; exit 77; }
qemu-x86_64 --version | head -n 1
processors=
for cpu in Nehalem SandyBridge Haswell; do # OpenBLAS, which numpy brings, mistakes what is emulated
    OPENBLAS_CORETYPE=$cpu qemu-x86_64 -cpu $cpu venv/bin/python run.py $cpu 2>/dev/null
    processors="$processors $cpu"
done

arm() { # Debian's arm64 Python unpacked into root/, the wheels into site/
    local apt="apt-get -oAPT::Architecture=arm64 -oAPT::Architectures=arm64 -oDir::State::Lists=$work/lists"
    apt="$apt -oDir::State::status=/dev/null -oDir::Cache=$work/cache"
    mkdir -p lists/partial cache/archives/partial root
    $apt update >/dev/null 2>&1 || return 1
    $apt -y --no-install-recommends --download-only install python3 libstdc++6 >/dev/null 2>&1 || return 1
    for deb in cache/archives/*.deb; do dpkg -x "$deb" root; done
    [ -x root/usr/bin/python3.11 ] || return 1
    venv/bin/python -m pip install --quiet --disable-pip-version-check --target site --python-version 3.11 \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
        --platform any --only-binary=:all: $packages
}
if command -v qemu-aarch64 >/dev/null && arm; then
    for cpu in cortex-a53 cortex-a72 cortex-a76; do
        PYTHONPATH=site qemu-aarch64 -L root -cpu $cpu root/usr/bin/python3.11 run.py $cpu
        processors="$processors $cpu"
    done
else
    echo "no arm64 here (qemu-aarch64 and Debian 12's arm64 packages): x86-64 alone"
fi
# shellcheck disable=SC2086
venv/bin/python judge.py $processors
