#!/usr/bin/env bash
# onnxruntime 1.32.0 (CPU, Python): InferenceSession.run_with_iobinding(binding, run_options) takes
# tens of microseconds longer than the same call without run_options, though the options are new and
# hold nothing. A step of a small language model is 30 us, so it becomes twice as long. With 1.23.2 the
# two calls take the same time.
#
# Reason: since captured graphs can be told apart by an entry of the options, the wrapper asks the
# options for that entry on every call. It is not there, which is answered by a C++ exception that
# becomes a Python one that the wrapper catches. Nobody who runs on a CPU has asked for any of it.
# What to do: no run_options where none are needed, or one set of options with the entry "gpu_graph_id".
#
# Run by hand: bash findings/onnxruntime-run-options-cost-a-step.sh
# Ends with 0 if it is still so, with 1 if it has changed. Seen on 2026-11-30 (AMD Zen 4):
#
#     onnxruntime 1.23.2: without 1.8 us, with new RunOptions 1.4 us; with the entry set once 1.7 us
#     onnxruntime 1.32.0: without 3.0 us, with new RunOptions 27.0 us; with the entry set once 1.8 us
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export ORT_DISABLE_TELEMETRY=1
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" numpy==2.4.6 onnx==1.18.0 onnxruntime==1.32.0
for version in 1.23.2 1.32.0; do
    "${pip[@]}" --no-deps --target "$folder/$version" "onnxruntime==$version"
done
cat >"$folder/time.py" <<'PYTHON'
import statistics, sys, time
import numpy as np, onnx, onnxruntime as ort
from onnx import TensorProto, helper

value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [8])
graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
x, y = np.ones(8, np.float32), np.zeros(8, np.float32)
binding = session.io_binding()
binding.bind_input("x", "cpu", 0, np.float32, x.shape, x.ctypes.data)
binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
empty, named = ort.RunOptions(), ort.RunOptions()
named.add_run_config_entry("gpu_graph_id", "-1")


def microseconds(*options):
    rounds = []
    for _ in range(15):
        begin = time.perf_counter()
        for _ in range(2_000):
            session.run_with_iobinding(binding, *options)
        rounds.append((time.perf_counter() - begin) / 2_000 * 1e6)
    return statistics.median(rounds)


without, fresh, entry = microseconds(), microseconds(empty), microseconds(named)
assert (y == 2).all()
print(f"onnxruntime {ort.__version__}: without {without:.1f} us, with new RunOptions {fresh:.1f} us "
      f"({fresh / without:.1f} x); with the entry set once {entry:.1f} us")
sys.exit(fresh - without > 8.0)
PYTHON
status=0
PYTHONPATH="$folder/1.23.2" "$folder/venv/bin/python" "$folder/time.py" || status=1
PYTHONPATH="$folder/1.32.0" "$folder/venv/bin/python" "$folder/time.py" && status=1
if [ "$status" = 0 ]; then
    echo "as stated: options cost nothing in 1.23.2, and more than 8 us a call in 1.32.0"
else
    echo "this has changed"
    exit 1
fi
