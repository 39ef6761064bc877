"""Quantised variants of a model: built, measured on the held-out text, shipped or refused.

A variant ships only when its bits per byte are within ``MOST_LOSS`` of float32's and its graph is
at least ``LEAST_GAIN`` smaller than that of the next more precise one that ships. Both are the
same wherever export runs, so that the same checkpoint gives the same bundle; speed is not, and is
measured by ``bench/precisions.py`` (docs/decisions/0014).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from tinytx.bundle import GoldenCase, ModelFacts, Precision, Variant
from tinytx.errors import ExportError, ParityError
from tinytx.export.graph import LAST_POSITION, Weights, build_graph
from tinytx.export.parity import GREEDY_TOKENS, engine_logits, held_out_windows, total_bits
from tinytx.export.quantize import RECIPES, QuantisedBuilder
from tinytx.runtime.decoder import pairs_of
from tinytx.runtime.engine import Engine
from tinytx.runtime.generate import prompt_ids
from tinytx.runtime.golden import NEAR_TIES, fingerprint, greedy_logits
from tinytx.runtime.session import reason
from tinytx.tokenizer import Tokenizer
from tinytx.train.data import Tokens

MOST_LOSS = 0.01
"""Of bits per byte, relative to float32."""
LEAST_GAIN = 0.2
"""Of bytes, relative to the next more precise graph in the bundle."""
PARITY_TOLERANCE = 0.01
"""Relative, in bits: the graph that ships against the one that was scored."""
BATCH_BYTES = 8_000_000
"""Logits of the windows that are scored at once."""


@dataclass(frozen=True)
class Made:
    """A variant, and what goes into the bundle when it is shipped."""

    facts: Variant
    graph: bytes
    cases: list[GoldenCase]


@dataclass(frozen=True)
class HeldOut:
    """The text that quality is measured on."""

    tokens: Tokens
    text_bytes: int
    float32_bits_per_byte: float


def make_variant(
    precision: Precision,
    weights: Weights,
    facts: ModelFacts,
    tokenizer: Tokenizer,
    held_out: HeldOut,
    prompts: list[str],
    more_precise_size: int,
) -> Made:
    """Quantise, score and judge. Raises :class:`ParityError` when what would ship is not what
    was scored, and :class:`ExportError` when onnxruntime cannot run it."""
    recipe = RECIPES[precision]
    scored = build_graph(weights, facts, QuantisedBuilder(facts, recipe, every_position=True))
    ships = build_graph(weights, facts, QuantisedBuilder(facts, recipe))
    _check_weights(ships, scored)
    graph = ships.SerializeToString()
    session = _session(scored.SerializeToString())
    bits = sum(
        total_bits(logits, targets)
        for inputs, targets in _windows(held_out.tokens, facts)
        for logits, targets in zip(
            run_windows(session, inputs, facts.pair_rows), targets, strict=True
        )
    )
    bits_per_byte = bits / held_out.text_bytes
    reason = judge(bits_per_byte, held_out.float32_bits_per_byte, len(graph), more_precise_size)
    made = Variant(shipped=not reason, reason=reason, size=len(graph), bits_per_byte=bits_per_byte)
    if reason:
        return Made(made, graph, [])
    engine = Engine(facts, graph, tokenizer, name=f"the {precision} graph")
    _check_same(engine, session, held_out.tokens)
    return Made(made, graph, [_golden_case(engine, prompt, precision) for prompt in prompts])


def judge(bits_per_byte: float, float32: float, size: int, more_precise_size: int) -> str:
    """Why a variant does not ship; empty when it does."""
    loss, gain = bits_per_byte / float32 - 1, 1 - size / more_precise_size
    if not loss <= MOST_LOSS:  # a NaN does not ship either
        return f"bits per byte {loss:.2%} over float32's; at most {MOST_LOSS:.0%} is allowed"
    if gain < LEAST_GAIN:
        return f"only {gain:.1%} smaller than the next more precise; {LEAST_GAIN:.0%} is asked"
    return ""


def run_windows(
    session: ort.InferenceSession, inputs: NDArray[np.int64], pair_rows: int
) -> NDArray[np.float32]:
    """Logits [B, T, V] of windows [B, T], each a context of its own, by a graph with logits at
    every position and a table of so many rows for the pairs."""
    batch, length = inputs.shape
    feed: dict[str, NDArray[np.generic]] = {
        "tokens": inputs,
        "last_position": np.full(batch, length - 1, np.int32),
        "total_length": np.array([length], np.int32),
    }
    for item in session.get_inputs():
        if item.name == "pairs":
            feed["pairs"] = pairs_of(inputs, pair_rows)
        elif item.name not in feed:
            feed[item.name] = np.zeros([batch, *item.shape[1:]], np.float32)
    logits: NDArray[np.float32] = session.run(["logits"], feed)[0]
    return logits


def _windows(
    val: Tokens, facts: ModelFacts
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """As ``tinytx.train.evaluate``: windows that do not overlap, inputs and targets [B, T]."""
    length = facts.max_seq_length
    batch = max(1, BATCH_BYTES // (4 * length * facts.vocab_size))
    full = (len(val) - 1) // length
    for start in range(0, full, batch):
        count = min(batch, full - start)
        part = val[start * length : (start + count) * length + 1].astype(np.int64)
        yield part[:-1].reshape(count, length), part[1:].reshape(count, length)
    rest = val[full * length :].astype(np.int64)
    if len(rest) > 1:
        yield rest[None, :-1], rest[None, 1:]


def _check_weights(ships: onnx.ModelProto, scored: onnx.ModelProto) -> None:
    """Every code and scale that ships is one that is scored: a single changed one moves neither
    quality nor golden outputs by more than processors differ, so nothing else would find it."""
    known = {tensor.name: tensor for tensor in scored.graph.initializer}
    for tensor in ships.graph.initializer:
        if tensor.name != LAST_POSITION and tensor != known.get(tensor.name):
            raise ParityError(f"a quantised graph holds other {tensor.name} than were scored")


def _check_same(engine: Engine, session: ort.InferenceSession, val: Tokens) -> None:
    """Half a window as a prompt and half token by token cost what they cost where it was scored."""
    ours, scored = 0.0, 0.0
    for inputs, targets in held_out_windows(val, engine.facts.max_seq_length):
        split = max(1, len(inputs) // 2)
        rows = engine_logits(engine, inputs.tolist(), split)
        ours += total_bits(rows, targets[split - 1 :])
        whole = run_windows(session, inputs[None], engine.facts.pair_rows)[0]
        scored += total_bits(whole[split - 1 :], targets[split - 1 :])
    if not abs(ours - scored) <= PARITY_TOLERANCE * scored:
        raise ParityError(
            f"a quantised graph costs {ours:.1f} bits token by token and {scored:.1f} at once"
        )


def _golden_case(engine: Engine, prompt: str, precision: Precision) -> GoldenCase:
    ids = prompt_ids(engine, prompt)
    tokens, leads, rows = greedy_logits(engine, ids, GREEDY_TOKENS)
    ties = [i for i, lead in enumerate(leads) if lead < NEAR_TIES[precision]]
    return GoldenCase(prompt=prompt, tokens=tokens, near_ties=ties, logits=fingerprint(rows[-1]))


def _session(graph: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own error types share no public base
        told = reason(error)
        raise ExportError(f"onnxruntime cannot load a quantised graph: {told}") from error
