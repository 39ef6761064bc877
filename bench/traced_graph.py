"""The second comparison of ``bench/runtime.py``: the same model as ``torch.onnx.export`` traces it.

What a person gets who writes the model as PyTorch modules and exports it with a cache that is
concatenated at each step. Inputs and outputs are those of :mod:`plain_graph`, so that its engine
runs both.
"""

import io
import warnings

import torch
from plain_graph import EPSILON, Weights, _rotary
from torch import Tensor, nn
from torch.nn import functional as F

from tinytx.bundle import ModelFacts

OPSET = 17


class Model(nn.Module):
    """tokens [B, T], positions [T], mask [T, N] and the cache [B, H, P, S]."""

    def __init__(self, weights: Weights, facts: ModelFacts) -> None:
        super().__init__()
        self.facts = facts
        self.w = nn.ParameterDict(
            {name.replace(".", "_"): torch.from_numpy(w.copy()) for name, w in weights.items()}
        )
        cos, sin = (torch.from_numpy(table).float() for table in _rotary(facts))
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean = x.pow(2).mean(-1, keepdim=True)
        return x * torch.rsqrt(mean + EPSILON) * self.w[f"{name}_weight"]

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        turned = torch.cat((-second, first), dim=-1)
        return x * self.cos[positions] + turned * self.sin[positions]

    def forward(
        self, tokens: Tensor, positions: Tensor, mask: Tensor, pairs: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        facts, w = self.facts, self.w
        batch, step = tokens.shape
        x = F.embedding(tokens, w["embedding_weight"])
        if facts.pair_rows:
            x = x + F.embedding(pairs, w["pairs_weight"])
        x = x * facts.width**0.5
        present: list[Tensor] = []
        for i in range(facts.layers):
            p = f"blocks_{i}"
            if f"{p}_embedding_weight" in w:
                x = x + F.embedding(tokens, w[f"{p}_embedding_weight"]) * facts.width**0.5
            qkv = F.linear(self.norm(x, f"{p}_attention_norm"), w[f"{p}_attention_qkv_weight"])
            q, k, v = (
                part.view(batch, step, facts.heads, facts.head_size).transpose(1, 2)
                for part in qkv.chunk(3, dim=-1)
            )
            q, k = self.rotate(q, positions), self.rotate(k, positions)
            k = torch.cat((past[2 * i], k), dim=2)
            v = torch.cat((past[2 * i + 1], v), dim=2)
            present += [k, v]
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            mixed = mixed.transpose(1, 2).reshape(batch, step, facts.width)
            x = x + F.linear(mixed, w[f"{p}_attention_out_weight"])
            both = F.linear(self.norm(x, f"{p}_mlp_norm"), w[f"{p}_mlp_gate_up_weight"])
            gate, up = both.chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, w[f"{p}_mlp_down_weight"])
        last = self.norm(x, "norm")[:, -1]
        return (F.linear(last, w["embedding_weight"]), *present)


def build_traced_graph(weights: Weights, facts: ModelFacts) -> bytes:
    """The ONNX file, with the names of :func:`plain_graph.build_plain_graph`."""
    kinds = [f"{kind}.{i}" for i in range(facts.layers) for kind in ("key", "value")]
    past, present = [f"past_{k}" for k in kinds], [f"present_{k}" for k in kinds]
    step, before = 3, 2
    cache = torch.zeros(1, facts.heads, before, facts.head_size)
    example = (
        torch.zeros(1, step, dtype=torch.int64),
        torch.arange(before, before + step),
        torch.zeros(step, before + step),
        torch.zeros(1, step, dtype=torch.int64),
        *(cache for _ in kinds),
    )
    axes = {name: {0: "batch", 1: "step"} for name in ("tokens", "pairs")}
    axes |= {"positions": {0: "step"}}
    axes |= {"mask": {0: "step", 1: "total"}, "logits": {0: "batch"}}
    axes |= {name: {0: "batch", 2: "past"} for name in past}
    axes |= {name: {0: "batch", 2: "total"} for name in present}
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # that tracing is the old way
        torch.onnx.export(
            Model(weights, facts).eval(),
            example,
            file,
            input_names=["tokens", "positions", "mask", "pairs", *past],
            output_names=["logits", *present],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    return file.getvalue()
