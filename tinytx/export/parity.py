"""Do the ONNX graph and the PyTorch model agree? If not, nothing is shipped.

Three comparisons, all of the very engine that runs on the device: greedy tokens on every golden
prompt, PyTorch recomputing the whole context without a cache at each step; logits at every
position of held-out windows; bits per byte of those windows.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tinytx.bundle import GoldenCase, Parity
from tinytx.errors import ParityError
from tinytx.runtime.engine import Engine
from tinytx.runtime.generate import prompt_ids
from tinytx.runtime.golden import NEAR_TIE, greedy
from tinytx.train.data import Tokens
from tinytx.train.model import Transformer

TOLERANCE = 1e-3
"""Largest absolute logit difference; float32 sums in another order differ by about 1e-5."""
GREEDY_TOKENS = 64
WINDOWS = 4


@dataclass(frozen=True)
class Comparison:
    """Both models on the same windows."""

    max_abs_difference: float
    torch_bits: float
    onnx_bits: float
    text_bytes: int


def check_parity(
    engine: Engine, model: Transformer, val: Tokens, prompts: list[str]
) -> tuple[Parity, list[GoldenCase]]:
    """The parity record and the golden outputs. Raises :class:`ParityError`."""
    compared = compare_logits(engine, model, val)
    if not compared.max_abs_difference <= TOLERANCE:  # a NaN is refused as well
        raise ParityError(
            f"the ONNX logits differ from PyTorch's by {compared.max_abs_difference:.3g}; "
            f"at most {TOLERANCE:g} is allowed"
        )
    cases = [golden_case(engine, model, prompt) for prompt in prompts]
    record = Parity(
        prompts=len(cases),
        greedy_tokens=sum(len(case.tokens) for case in cases),
        max_abs_logit_difference=compared.max_abs_difference,
        tolerance=TOLERANCE,
        torch_bits_per_byte=compared.torch_bits / compared.text_bytes,
        onnx_bits_per_byte=compared.onnx_bits / compared.text_bytes,
        compared_bytes=compared.text_bytes,
    )
    return record, [case for case in cases if case.tokens]


def compare_logits(engine: Engine, model: Transformer, val: Tokens) -> Comparison:
    """Logits at every position of a few held-out windows: half as a prompt, half token by token,
    so that both uses of the graph and its cache are compared."""
    length = engine.facts.max_seq_length
    worst, torch_bits, onnx_bits, text_bytes = 0.0, 0.0, 0.0, 0
    table = engine.tokenizer.piece_bytes
    starts = np.linspace(0, max(0, len(val) - length - 1), WINDOWS).astype(int)
    for start in sorted(set(starts.tolist())):
        window = val[start : start + length + 1].astype(np.int64)
        inputs, targets = window[:-1], window[1:]
        reference = torch_logits(model, inputs.tolist())
        split = max(1, len(inputs) // 2)
        ours = engine_logits(engine, inputs.tolist(), split)
        difference = np.abs(ours - reference[split - 1 :]).max()
        worst = float(np.maximum(worst, difference))  # unlike max(), it keeps a NaN
        torch_bits += _bits(reference[split - 1 :], targets[split - 1 :])
        onnx_bits += _bits(ours, targets[split - 1 :])
        text_bytes += sum(len(table[t]) for t in targets[split - 1 :])
    return Comparison(worst, torch_bits, onnx_bits, text_bytes)


def torch_logits(model: Transformer, ids: list[int]) -> NDArray[np.float32]:
    """PyTorch's logits at every position, [T, V]."""
    with torch.inference_mode():
        result: NDArray[np.float32] = model(torch.tensor([ids]))[0].numpy()
    return result


def engine_logits(engine: Engine, ids: list[int], split: int) -> NDArray[np.float32]:
    """The engine's logits from position ``split - 1`` on, [T - split + 1, V]."""
    engine.reset()
    rows = [engine.append(ids[:split]), *(engine.append([i]) for i in ids[split:])]
    return np.stack(rows)


def golden_case(engine: Engine, model: Transformer, prompt: str) -> GoldenCase:
    """Greedy tokens of a prompt, equal in both, up to the first near-tie.

    Raises :class:`ParityError` when they differ where the choice is clear.
    """
    tokens, leads = greedy(engine, prompt, GREEDY_TOKENS)
    tie = next((i for i, lead in enumerate(leads) if lead < NEAR_TIE), len(leads))
    ids = prompt_ids(engine, prompt)
    for i, token in enumerate(tokens[:tie]):
        expected = int(torch_logits(model, ids)[-1].argmax())
        if token != expected:
            raise ParityError(
                f"after {prompt!r} the ONNX graph's token {i + 1} is {token}, "
                f"PyTorch's is {expected}"
            )
        ids.append(token)
    return GoldenCase(prompt=prompt, tokens=tokens[:tie])


def _bits(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """Total -log2 of the targets' probabilities; logits [T, V]."""
    wide = logits.astype(np.float64)
    peak = wide.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(wide - peak).sum(axis=-1)) + peak[:, 0]
    nats = log_sum - wide[np.arange(len(targets)), targets]
    return float(nats.sum()) / math.log(2)
