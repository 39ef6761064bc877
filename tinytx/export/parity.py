"""Do the ONNX graph and the PyTorch model agree? If not, nothing is shipped.

Four comparisons, all of the very engine that runs on the device:

- greedy tokens and logits at every step of every golden prompt, PyTorch computing the whole
  context without a cache;
- logits at every position of held-out windows, half a prompt and half token by token;
- the engine against itself: each step computed once more as one prompt, without the cache;
- bits per byte of those windows.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tinytx.bundle import GoldenCase, Parity
from tinytx.errors import ParityError, UsageError
from tinytx.runtime.engine import Engine
from tinytx.runtime.generate import prompt_ids
from tinytx.runtime.golden import NEAR_TIES, fingerprint, greedy_logits
from tinytx.train.data import Tokens
from tinytx.train.model import Transformer
from tinytx.train.waiting import one_thread

TOLERANCE = 1e-3
"""Largest absolute logit difference; float32 sums in another order differ by about 1e-5."""
BITS_TOLERANCE = 1e-4
"""Largest relative difference in bits per byte; what is seen is about 1e-8."""
NEAR_TIE = NEAR_TIES["float32"]
GREEDY_TOKENS = 96
"""The most after one prompt."""
WINDOWS = 4
CACHED_STEPS = 256
"""Steps that are recomputed without the cache: all of a context of so many tokens."""


@dataclass(frozen=True)
class Comparison:
    """Both models on the same windows."""

    max_abs_difference: float
    torch_bits: float
    onnx_bits: float
    text_bytes: int


@dataclass(frozen=True)
class Greedy:
    """Both models after one prompt."""

    case: GoldenCase
    max_abs_difference: float
    context: int
    """Tokens in the context at the last step."""


def check_parity(
    engine: Engine, model: Transformer, val: Tokens, prompts: list[str]
) -> tuple[Parity, list[GoldenCase]]:
    """The parity record and the golden outputs. Raises :class:`ParityError`."""
    compared = compare_logits(engine, model, val)
    _within_tolerance(compared.max_abs_difference, "the ONNX logits differ from PyTorch's")
    cached = cache_difference(engine, val)
    _within_tolerance(cached[1], "logits with the cache differ from those without it")
    bits = (compared.torch_bits, compared.onnx_bits)
    if not abs(bits[0] - bits[1]) <= BITS_TOLERANCE * bits[0]:
        told = [f"{bit / compared.text_bytes:.6f}" for bit in bits]
        raise ParityError(f"PyTorch finds {told[0]} bits per byte, the ONNX graph {told[1]}")
    answers = [greedy_case(engine, model, prompt) for prompt in prompts]
    steps = sum(len(answer.case.tokens) for answer in answers)
    ties = sum(len(answer.case.near_ties) for answer in answers)
    if steps == ties:
        raise ParityError("every greedy choice is a near-tie: no golden outputs can be proven")
    record = Parity(
        prompts=len(answers),
        greedy_tokens=steps - ties,
        near_ties=ties,
        longest_context=max(answer.context for answer in answers),
        max_abs_logit_difference=max(
            compared.max_abs_difference, *(answer.max_abs_difference for answer in answers)
        ),
        tolerance=TOLERANCE,
        cached_steps=cached[0],
        max_abs_cache_difference=cached[1],
        torch_bits_per_byte=compared.torch_bits / compared.text_bytes,
        onnx_bits_per_byte=compared.onnx_bits / compared.text_bytes,
        bits_tolerance=BITS_TOLERANCE,
        compared_bytes=compared.text_bytes,
    )
    return record, [answer.case for answer in answers]


def _within_tolerance(difference: float, what: str) -> None:
    if not difference <= TOLERANCE:  # a NaN is refused as well
        raise ParityError(f"{what} by {difference:.3g}; at most {TOLERANCE:g} is allowed")


def compare_logits(engine: Engine, model: Transformer, val: Tokens) -> Comparison:
    """Logits at every position of a few held-out windows: half as a prompt, half token by token,
    so that both uses of the graph and its cache are compared."""
    worst, torch_bits, onnx_bits, text_bytes = 0.0, 0.0, 0.0, 0
    table = engine.tokenizer.piece_bytes
    for inputs, targets in held_out_windows(val, engine.facts.max_seq_length):
        reference = torch_logits(model, inputs.tolist())
        split = max(1, len(inputs) // 2)
        ours = engine_logits(engine, inputs.tolist(), split)
        difference = np.abs(ours - reference[split - 1 :]).max()
        worst = float(np.maximum(worst, difference))  # unlike max(), it keeps a NaN
        torch_bits += total_bits(reference[split - 1 :], targets[split - 1 :])
        onnx_bits += total_bits(ours, targets[split - 1 :])
        text_bytes += sum(len(table[t]) for t in targets[split - 1 :])
    return Comparison(worst, torch_bits, onnx_bits, text_bytes)


def held_out_windows(val: Tokens, length: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Inputs and targets, spread over the held-out text."""
    starts = np.linspace(0, max(0, len(val) - length - 1), WINDOWS).astype(int)
    windows = [val[s : s + length + 1].astype(np.int64) for s in sorted(set(starts.tolist()))]
    return [(window[:-1], window[1:]) for window in windows]


def torch_logits(model: Transformer, ids: list[int]) -> NDArray[np.float32]:
    """PyTorch's logits at every position, [T, V]."""
    with torch.inference_mode(), one_thread():
        result: NDArray[np.float32] = model(torch.tensor([ids]))[0].numpy()
    return result


def engine_logits(engine: Engine, ids: list[int], split: int) -> NDArray[np.float32]:
    """The engine's logits from position ``split - 1`` on, [T - split + 1, V]."""
    engine.reset()
    rows = [engine.append(ids[:split]), *(engine.append([i]) for i in ids[split:])]
    return np.stack(rows)


def cache_difference(engine: Engine, val: Tokens) -> tuple[int, float]:
    """Steps, and the largest absolute difference of a step with the cache and one without."""
    ids = val[: engine.facts.max_seq_length].astype(np.int64).tolist()
    try:
        cached = engine_logits(engine, ids, 1)
    except UsageError as error:
        raise ParityError(f"the engine miscounts its own context: {error.message}") from error
    steps = sorted({round(n) for n in np.linspace(1, len(ids), min(len(ids), CACHED_STEPS))})
    worst = 0.0
    for n in steps:
        engine.reset()
        apart = np.abs(engine.append(ids[:n]) - cached[n - 1]).max()
        worst = float(np.maximum(worst, apart))
    return len(steps), worst


def greedy_case(engine: Engine, model: Transformer, prompt: str) -> Greedy:
    """Greedy tokens of a prompt, equal in both but for near-ties.

    Raises :class:`ParityError` when they differ where the choice is clear.
    """
    ids = prompt_ids(engine, prompt)
    tokens, leads, rows = greedy_logits(engine, ids, GREEDY_TOKENS)
    context = [*ids, *tokens[:-1]]
    reference = torch_logits(model, context)[len(ids) - 1 :]  # [steps, V]
    for i, (token, lead) in enumerate(zip(tokens, leads, strict=True)):
        expected = int(reference[i].argmax())
        if token != expected and not lead < NEAR_TIE:
            raise ParityError(
                f"after {prompt!r} the ONNX graph's token {i + 1} is {token}, "
                f"PyTorch's is {expected}"
            )
    apart = float(np.abs(np.stack(rows) - reference).max())
    _within_tolerance(apart, f"after {prompt!r} the ONNX logits differ from PyTorch's")
    ties = [i for i, lead in enumerate(leads) if lead < NEAR_TIE]
    case = GoldenCase(prompt=prompt, tokens=tokens, near_ties=ties, logits=fingerprint(rows[-1]))
    return Greedy(case, apart, len(context))


def total_bits(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """Total -log2 of the targets' probabilities; logits [T, V]."""
    peak = logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(logits - peak).sum(axis=-1, dtype=np.float64)) + peak[:, 0]
    nats = log_sum - logits[np.arange(len(targets)), targets]
    return float(nats.sum()) / math.log(2)
