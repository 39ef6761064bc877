"""The comparison of ``bench/runtime.py``: the same model as a plain ONNX graph.

Standard operators only, rotary positions and attention written out, key and value of each step
concatenated to a cache that the caller hands back. Written by hand and so leaner than what tracing
gives (:mod:`traced_graph`): nobody can say that it was made slow. Nothing of
:mod:`tinytx.export.graph` is in it; the weights and the logits are the same, see tests/bench.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from tinytx.bundle import ModelFacts
from tinytx.pairs import NONE_BEFORE
from tinytx.runtime.decoder import pairs_of

Weights = Mapping[str, NDArray[np.float32]]
OPSET, IR_VERSION = 17, 8
EPSILON = 1e-5
MASKED = -1e9


class _Graph:
    def __init__(self, facts: ModelFacts, weights: Weights) -> None:
        self.facts, self.weights = facts, weights
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def const(self, value: Any, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names if outputs > 1 else names[0]

    def norm(self, x: str, name: str) -> str:
        """RMSNorm, written out."""
        mean = self.op("ReduceMean", self.op("Pow", x, self.const(2.0)), axes=[-1])
        root = self.op("Sqrt", self.op("Add", mean, self.const(EPSILON)))
        weight = self.const(self.weights[f"{name}.weight"])
        return self.op("Mul", weight, self.op("Div", x, root))

    def linear(self, x: str, name: str) -> str:
        return self.op("MatMul", x, self.const(self.weights[f"{name}.weight"].T))

    def heads(self, x: str) -> str:
        """[B, T, D] -> [B, H, T, S]"""
        shape = self.const([0, 0, self.facts.heads, self.facts.head_size], np.int64)
        return self.op("Transpose", self.op("Reshape", x, shape), perm=[0, 2, 1, 3])

    def rotate(self, x: str, cos: str, sin: str) -> str:
        """x cos + (-second half, first half) sin"""
        first, second = self.op("Split", x, outputs=2, axis=-1)
        turned = self.op("Concat", self.op("Neg", second), first, axis=-1)
        return self.op("Add", self.op("Mul", x, cos), self.op("Mul", turned, sin))

    def keep(self, past: str, new: str, present: str) -> str:
        self.nodes.append(helper.make_node("Concat", [past, new], [present], axis=2))
        return present

    def attention(self, i: int, x: str, cos: str, sin: str, mask: str) -> str:
        p, facts = f"blocks.{i}.attention", self.facts
        qkv = self.op("Split", self.linear(x, f"{p}.qkv"), outputs=3, axis=-1)
        q, k, v = (self.heads(part) for part in qkv)
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        k = self.keep(f"past_key.{i}", k, f"present_key.{i}")  # [B, H, N, S]
        v = self.keep(f"past_value.{i}", v, f"present_value.{i}")
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        scaled = self.op("Mul", scores, self.const(facts.head_size**-0.5))
        share = self.op("Softmax", self.op("Add", scaled, mask), axis=-1)  # [B, H, T, N]
        mixed = self.op("Transpose", self.op("MatMul", share, v), perm=[0, 2, 1, 3])
        mixed = self.op("Reshape", mixed, self.const([0, 0, facts.width], np.int64))
        return self.linear(mixed, f"{p}.out")

    def mlp(self, i: int, x: str) -> str:
        p = f"blocks.{i}.mlp"
        gate, up = self.op("Split", self.linear(x, f"{p}.gate_up"), outputs=2, axis=-1)
        silu = self.op("Mul", gate, self.op("Sigmoid", gate))
        return self.linear(self.op("Mul", silu, up), f"{p}.down")

    def run(self) -> None:
        facts = self.facts
        table = self.const(self.weights["embedding.weight"])
        embedded = self.op("Gather", table, "tokens")
        if facts.pair_rows:
            pairs = self.op("Gather", self.const(self.weights["pairs.weight"]), "pairs")
            embedded = self.op("Add", embedded, pairs)
        x = self.op("Mul", embedded, self.const(facts.width**0.5))  # [B, T, D]
        cos, sin = (self.op("Gather", self.const(t), "positions") for t in _rotary(facts))
        for i in range(facts.layers):
            p = f"blocks.{i}"
            if (own := self.weights.get(f"{p}.embedding.weight")) is not None:
                rows = self.op("Gather", self.const(own), "tokens")
                x = self.op("Add", x, self.op("Mul", rows, self.const(facts.width**0.5)))
            mixed = self.attention(i, self.norm(x, f"{p}.attention_norm"), cos, sin, "mask")
            x = self.op("Add", x, mixed)
            x = self.op("Add", x, self.mlp(i, self.norm(x, f"{p}.mlp_norm")))
        head = self.op("Transpose", table, perm=[1, 0])
        last = self.op("Gather", self.norm(x, "norm"), self.const(-1, np.int64), axis=1)
        self.nodes.append(helper.make_node("MatMul", [last, head], ["logits"]))


def _rotary(facts: ModelFacts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """cos and sin for whole heads, [context, head_size]: both halves turn by the same angles."""
    frequencies = facts.rope_base ** -(np.arange(0, facts.head_size, 2) / facts.head_size)
    angles = np.tile(np.outer(np.arange(facts.max_seq_length), frequencies), 2)
    return np.cos(angles), np.sin(angles)


def build_plain_graph(weights: Weights, facts: ModelFacts) -> ModelProto:
    """tokens [B, T], positions [T], mask [T, N] and the cache [B, H, P, S], to logits [B, V]."""
    graph = _Graph(facts, weights)
    graph.run()
    value = helper.make_tensor_value_info
    inputs = [
        value("tokens", TensorProto.INT64, ["batch", "step"]),
        value("positions", TensorProto.INT64, ["step"]),
        value("mask", TensorProto.FLOAT, ["step", "total"]),
    ]
    if facts.pair_rows:
        inputs.append(value("pairs", TensorProto.INT64, ["batch", "step"]))
    outputs = [value("logits", TensorProto.FLOAT, ["batch", facts.vocab_size])]
    for i in range(facts.layers):
        for kind in ("key", "value"):
            shape = ["batch", facts.heads, "past", facts.head_size]
            inputs.append(value(f"past_{kind}.{i}", TensorProto.FLOAT, shape))
            shape[2] = "total"
            outputs.append(value(f"present_{kind}.{i}", TensorProto.FLOAT, shape))
    made = helper.make_graph(graph.nodes, "plain", inputs, outputs, graph.tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    checker.check_model(model)
    return model


class PlainEngine:
    """Runs the plain graph the plain way: ``session.run`` with a dictionary of arrays."""

    def __init__(self, facts: ModelFacts, graph: bytes, threads: int = 1) -> None:
        import onnxruntime as ort  # after tinytx, which turns its telemetry off

        self.facts = facts
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.reset()

    def reset(self) -> None:
        empty = np.zeros((1, self.facts.heads, 0, self.facts.head_size), np.float32)
        self._length, self._previous = 0, NONE_BEFORE
        self._cache = {
            f"past_{kind}.{i}": empty for i in range(self.facts.layers) for kind in ("key", "value")
        }

    def append(self, ids: Sequence[int]) -> NDArray[np.float32]:
        total = self._length + len(ids)
        positions = np.arange(self._length, total)
        mask = np.where(np.arange(total) > positions[:, None], MASKED, 0.0).astype(np.float32)
        tokens = np.array([ids])
        feed = {"tokens": tokens, "positions": positions, "mask": mask, **self._cache}
        if self.facts.pair_rows:
            feed["pairs"] = pairs_of(tokens, self.facts.pair_rows, self._previous)
        logits, *cache = self._session.run(self._outputs, feed)
        self._cache = dict(zip(self._cache, cache, strict=True))
        self._length, self._previous = total, ids[-1]
        result: NDArray[np.float32] = logits[0]
        return result
