"""The ONNX graph of the model, built node by node from the checkpoint's tensors.

One graph serves the prompt and the next token. Ten nodes a block, from onnxruntime's own CPU
operators: GroupQueryAttention applies the rotary positions and appends to a cache that lives
in the caller's buffers; SkipSimplifiedLayerNormalization adds the residual and normalises. What
each form costs, and those that lost: docs/decisions/0012 and 0024.

Inputs   tokens int64 [batch, step]; pairs int64 [batch, step], the row that each token shares with
         the one before it (tinytx.pairs), if the model has that table; last_position int32 [batch]
         (context length after this step, minus one); total_length int32 [1] (the same plus one:
         the longest of the batch);
         past_key.N and past_value.N float32 [batch, heads, max_seq_length, head_size].
Outputs  logits float32 [batch, vocab] of the last token of the step; present_key.N and
         present_value.N, to be bound to the buffers of the past: nothing is copied.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tinytx.bundle import ModelFacts

Weights = Mapping[str, NDArray[np.float32]]
OPSET, IR_VERSION, CONTRIB = 23, 11, "com.microsoft"
NORM_EPSILON = 1e-5
LAST_POSITION = "last"
"""Name of the index of a step's last token: the one tensor that a graph with logits of every
position lacks."""
NO_SINK = -1e30
"""A head sink of this size adds exp(-1e30) = 0 to the sum under the softmax, which changes nothing;
but with a sink onnxruntime multiplies queries and keys by its matrix kernels (docs/decisions/0024).
"""


class GraphBuilder:
    """Collects nodes and initializers; every method returns the name of its output."""

    tied = True
    """Whether the head's matrix can be looked up by the token as well."""

    def __init__(self, facts: ModelFacts, every_position: bool = False) -> None:
        """``every_position``: logits [batch, step, vocab], for scoring a text at export."""
        self.facts, self.every_position = facts, every_position
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.tensors.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def node(self, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        domain = str(attributes.pop("domain", ""))
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, inputs, outputs, name=name, domain=domain, **attributes)
        )
        return outputs[0]

    def block(self, i: int, x: str, residual: str, w: Weights) -> tuple[str, str]:
        """One transformer block. ``x`` is normalised, ``residual`` is the stream before it;
        returns the block's mlp output and the stream that it must be added to."""
        p = f"blocks.{i}"
        qkv = self.linear(x, f"{p}.attention.qkv", w)  # [B, T, 3D]
        mixed = self.node(
            "GroupQueryAttention",
            [
                qkv,
                "",
                "",
                f"past_key.{i}",
                f"past_value.{i}",
                "last_position",
                "total_length",
                "cos",
                "sin",
                "",
                "",
                "no_sink",
            ],
            [f"{p}.mixed", f"present_key.{i}", f"present_value.{i}"],
            domain=CONTRIB,
            do_rotary=1,
            num_heads=self.facts.heads,
            kv_num_heads=self.facts.heads,
            scale=1.0,  # the queries' weights hold it: see _folded
        )
        attended = self.linear(mixed, f"{p}.attention.out", w)
        x, residual = self.add_and_norm(attended, residual, f"{p}.mlp_norm", w)
        gate = self.linear(x, f"{p}.mlp.gate", w)  # [B, T, F]
        up = self.linear(x, f"{p}.mlp.up", w)
        silu = self.node("QuickGelu", [gate], [f"{p}.silu"], domain=CONTRIB, alpha=1.0)
        hidden = self.node("Mul", [silu, up], [f"{p}.hidden"])
        return self.linear(hidden, f"{p}.mlp.down", w), residual

    def linear(self, x: str, name: str, w: Weights) -> str:
        """x [B, T, in] times the transpose of PyTorch's [out, in] weight."""
        weight = self.constant(f"{name}.weight", w[f"{name}.weight"].T)
        return self.node("MatMul", [x, weight], [f"{name}.output"])

    def rows(self, name: str, table: NDArray[np.float32], ids: str) -> str:
        """The rows of a table [V, K] that the input ``ids`` names: [B, T, K]."""
        return self.node("Gather", [self.constant(name, table), ids], [f"{name}.rows"])

    def entries(self, tables: NDArray[np.float32]) -> list[str]:
        """What each of the first N blocks adds to its input, [B, T, D] each: one lookup in the
        tables, which lie side by side in [V, N * D], cut into N parts."""
        rows = self.rows("tables", tables, "tokens")
        count = tables.shape[1] // self.facts.width
        names = [f"blocks.{i}.embedded" for i in range(count)]
        if count == 1:
            return [rows]
        self.node("Split", [rows], names, axis=-1, num_outputs=len(names))
        return names

    def head(self, x: str, table: NDArray[np.float32]) -> str:
        """x [..., D] times the transpose of the table [V, D]: logits [..., V]."""
        if self.every_position:
            return self.node("MatMul", [x, self.constant("head.weight", table.T)], ["logits"])
        return self.node("Gemm", [x, self.constant("head.weight", table)], ["logits"], transB=1)

    def add_and_norm(self, x: str, residual: str, name: str, w: Weights) -> tuple[str, str]:
        """(RMSNorm(x + residual), x + residual)"""
        weight = self.constant(f"{name}.weight", w[f"{name}.weight"])
        out, total = f"{name}.output", f"{name}.sum"
        self.node(
            "SkipSimplifiedLayerNormalization",
            [x, residual, weight],
            [out, "", "", total],
            domain=CONTRIB,
            epsilon=NORM_EPSILON,
        )
        return out, total


def build_graph(
    weights: Weights, facts: ModelFacts, builder: GraphBuilder | None = None
) -> onnx.ModelProto:
    """The graph of a model: ``weights`` are named as in :mod:`tinytx.train.model`.

    ``builder`` decides how matrices are stored; a fresh one per graph, float32 by default.
    """
    builder = builder or GraphBuilder(facts)
    weights = _folded(weights, facts)
    cos, sin = _rotary_tables(facts)
    builder.constant("cos", cos)
    builder.constant("sin", sin)
    builder.constant("no_sink", np.full(facts.heads, NO_SINK, np.float32))
    if builder.tied and not builder.every_position and "blocks.0.embedding.weight" not in weights:
        weights = _tied(weights, facts)
        entering = [builder.node("Gather", ["head.weight", "tokens"], ["tables.rows"])]
    else:
        entering = builder.entries(_tables(weights, facts))
    x, residual = _first(builder, entering[0], weights)
    for i in range(facts.layers):
        out, residual = builder.block(i, x, residual, weights)
        if i + 1 < len(entering):
            residual = builder.node("Add", [residual, entering[i + 1]], [f"blocks.{i + 1}.input"])
        following = f"blocks.{i + 1}.attention_norm" if i + 1 < facts.layers else "norm"
        x, residual = builder.add_and_norm(out, residual, following, weights)
    if not builder.every_position:
        last = builder.constant(LAST_POSITION, np.array(-1, np.int64))
        x = builder.node("Gather", [x, last], ["last_hidden"], axis=1)  # [B, D]
    builder.head(x, weights["embedding.weight"])
    return _assemble(builder, facts)


def _first(builder: GraphBuilder, rows: str, weights: Weights) -> tuple[str, str]:
    """The first block's input, normalised and as it is: rows of the tokens and of their pairs."""
    facts, name = builder.facts, "blocks.0.attention_norm"
    if facts.pair_rows:
        table = weights["pairs.weight"] * np.float32(facts.width**0.5)
        return builder.add_and_norm(rows, builder.rows("pair_table", table, "pairs"), name, weights)
    weight = builder.constant(f"{name}.weight", weights[f"{name}.weight"])
    normed = builder.node(
        "RMSNormalization", [rows, weight], [f"{name}.output"], axis=-1, epsilon=NORM_EPSILON
    )
    return normed, rows


def _folded(weights: Weights, facts: ModelFacts) -> Weights:
    """The weights as the graph holds them, the same function with less to do at each step.

    Gate and up become matrices of their own: no node then has to split, and so to copy, both.
    Scores are divided by sqrt(head_size); here the rows of the queries are, since onnxruntime's
    fast product of one row (MLAS, M = 1) knows no other factor than 1.
    """
    folded = dict(weights)
    for i in range(facts.layers):
        both = folded.pop(f"blocks.{i}.mlp.gate_up.weight")  # [2F, D]
        folded[f"blocks.{i}.mlp.gate.weight"] = both[: facts.hidden]
        folded[f"blocks.{i}.mlp.up.weight"] = both[facts.hidden :]
        qkv = weights[f"blocks.{i}.attention.qkv.weight"].copy()  # [3D, D]
        qkv[: facts.width] *= np.float32(facts.head_size**-0.5)
        folded[f"blocks.{i}.attention.qkv.weight"] = qkv
    return folded


def _tied(weights: Weights, facts: ModelFacts) -> Weights:
    """One matrix for the look-up and for the head, of a model without tables of the blocks: the
    look-up's factor of sqrt(width) stands in it, and the last norm, before the head, divides."""
    size = np.float32(facts.width**0.5)
    scaled = {
        "embedding.weight": weights["embedding.weight"] * size,
        "norm.weight": weights["norm.weight"] / size,
    }
    return {**weights, **scaled}


def _tables(weights: Weights, facts: ModelFacts) -> NDArray[np.float32]:
    """What the tokens add to the input of each block, side by side: [V, L * D]; of a model whose
    blocks have no tables the embedding alone, [V, D].

    The model multiplies by sqrt(width) as the rows enter; here the tables are multiplied. The
    first block's table and the embedding are added up: they enter at the same place.
    """
    names = [f"blocks.{i}.embedding.weight" for i in range(facts.layers)]
    tables = [weights[name] for name in names if name in weights]
    tables[:1] = [sum(tables[:1], start=weights["embedding.weight"])]
    side_by_side: NDArray[np.float32] = np.concatenate(tables, axis=1)
    return side_by_side * np.float32(facts.width**0.5)


def _rotary_tables(facts: ModelFacts) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """cos and sin of position x frequency, [max_seq_length, head_size / 2] each."""
    exponents = np.arange(0, facts.head_size, 2, dtype=np.float64) / facts.head_size
    angles = np.outer(
        np.arange(facts.max_seq_length, dtype=np.float64), facts.rope_base**-exponents
    )
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _assemble(builder: GraphBuilder, facts: ModelFacts) -> onnx.ModelProto:
    """Inputs, outputs, opsets; checked by onnx itself."""
    cache: list[str | int | None] = ["batch", facts.heads, facts.max_seq_length, facts.head_size]
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "step"]),
        helper.make_tensor_value_info("last_position", TensorProto.INT32, ["batch"]),
        helper.make_tensor_value_info("total_length", TensorProto.INT32, [1]),
    ]
    if facts.pair_rows:
        inputs.append(helper.make_tensor_value_info("pairs", TensorProto.INT64, ["batch", "step"]))
    steps = ("step",) if builder.every_position else ()
    shape: list[str | int | None] = ["batch", *steps, facts.vocab_size]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)]
    for i in range(facts.layers):
        for kind in ("key", "value"):
            for prefix, values in (("past", inputs), ("present", outputs)):
                name = f"{prefix}_{kind}.{i}"
                values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, cache))
    graph = helper.make_graph(builder.nodes, "tinytx", inputs, outputs, builder.tensors)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="tinytx")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    return model
