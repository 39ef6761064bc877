"""Golden outputs: prompts with the greedy tokens that every machine must reproduce.

Processors sum in different orders, so logits differ: by about 1e-5 in float32, by up to 0.3 in a
quantised graph, whose products round their activations to 8 bits (a sum that differs in the last
place can round to the next code). Where two tokens are closer than that either may win without
anything being wrong. Such steps are written down as near-ties: there the recorded token must only
be among the best, and it is fed on, so that the steps after it are compared all the same. At
every other step the token must be the very one (docs/decisions/0004, 0014 and 0031).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinytx.bundle import Bundle, GoldenCase, Precision
from tinytx.errors import BundleError, UsageError
from tinytx.runtime.decoder import Decoder, Logits
from tinytx.runtime.generate import prompt_ids
from tinytx.runtime.processor import default_precision

NEAR_TIES: dict[Precision, float] = {"float32": 0.01, "int8": 0.5, "int4": 0.5}
"""Logits closer than this may change places between processors."""
FINGERPRINT = 32
"""Numbers in a fingerprint."""
FINGERPRINT_TOLERANCE = 1e-4
"""How far each may be off on another processor, less what all are off by: 2e-6 is the most that was
seen in float32, 1e-5 is what recorded ones are rounded by."""
SPREAD_SHARES: dict[Precision, float] = {"float32": 0.0, "int8": 0.12, "int4": 0.2}
"""What more is let through where activations are rounded, as a share of how far the recorded ones
spread: twice the most that was seen at any step of many bundles on six processors, and thrice the
most at the steps that are recorded (docs/processors.md)."""


def greedy(engine: Decoder, prompt: str, limit: int) -> tuple[list[int], list[float]]:
    """At most ``limit`` greedy tokens, and by how much each logit led the second best."""
    tokens, leads, _ = greedy_logits(engine, prompt_ids(engine, prompt), limit)
    return tokens, leads


def greedy_logits(
    engine: Decoder, ids: Sequence[int], limit: int
) -> tuple[list[int], list[float], list[Logits]]:
    """As :func:`greedy`, from token ids, with the logits of every step."""
    engine.reset()
    pending = list(ids)
    tokens: list[int] = []
    leads: list[float] = []
    rows: list[Logits] = []
    while len(tokens) < limit and engine.length + len(pending) <= engine.facts.max_seq_length:
        logits = engine.append(pending)
        second, first = np.partition(logits, -2)[-2:]
        tokens.append(int(logits.argmax()))
        leads.append(float(first - second))
        rows.append(logits)
        pending = tokens[-1:]
    return tokens, leads, rows


def fingerprint(logits: Logits) -> list[float]:
    """Means of every 32nd logit, from the first on, the second on, ...: each logit counts once.

    A changed weight that leaves every greedy token as it was still moves one of these. Compare
    them by :func:`distance`.
    """
    groups = [logits[i::FINGERPRINT] for i in range(min(FINGERPRINT, len(logits)))]
    return [round(float(group.mean(dtype=np.float64)), 5) for group in groups]


def distance(found: Sequence[float], recorded: Sequence[float], vocab_size: int) -> float:
    """How far two fingerprints of as many logits are apart, each less the mean of its logits.

    A quantised product may shift all logits together by more than it moves any against another.
    Softmax sees nothing of a common shift, and so a model says the same (docs/processors.md).
    """
    if len(found) != len(recorded) or not recorded:
        raise ValueError("fingerprints of different models")
    with np.errstate(over="ignore", invalid="ignore"):  # a hostile bundle's
        # Each on its own: beside a huge recorded number what was found would vanish.
        apart = _centred(found, vocab_size) - _centred(recorded, vocab_size)
        return float(np.abs(apart).max())


def allowed(cases: Sequence[GoldenCase], precision: Precision, vocab_size: int) -> float:
    """The largest distance from any of the recorded fingerprints of a model that is let through.

    What processors make of one model grows with its logits, and so does what an error does to them.
    """
    whole = [c.logits for c in cases if len(c.logits) == min(FINGERPRINT, vocab_size)]
    if not whole:
        return FINGERPRINT_TOLERANCE
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.stack([_centred(logits, vocab_size) for logits in whole])
        spread = float(np.sqrt(np.mean(rows**2)))
    more = SPREAD_SHARES[precision] * spread
    return FINGERPRINT_TOLERANCE + (more if np.isfinite(more) else 0.0)


def _centred(means: Sequence[float], vocab_size: int) -> NDArray[np.float64]:
    """A fingerprint less the mean of all the logits that it was made of."""
    sizes = [len(range(i, vocab_size, FINGERPRINT)) for i in range(len(means))]
    array = np.asarray(means, np.float64)
    result: NDArray[np.float64] = array - np.average(array, weights=sizes)
    return result


@dataclass(frozen=True)
class Verified:
    """A bundle that computes here what it computed where it was made."""

    bundle: Bundle
    judged: Precision
    """What this machine would load, or what was asked for: its golden outputs are reproduced."""
    tokens: dict[Precision, int]
    """Golden tokens reproduced, by precision."""
    differing: dict[Precision, str]
    """How each other model of the bundle computes something else here, or that it cannot run."""


def verify(folder: Path, threads: int = 1, precision: Precision | None = None) -> Verified:
    """Check a bundle's files and reproduce its golden outputs on this machine.

    Of every graph in it, or of ``precision`` alone. Raises :class:`BundleError` when a file is
    damaged or the graph that this machine would load (or ``precision``) computes something else;
    that another one does is in the result. Raises :class:`UsageError` when the bundle lacks
    ``precision``.
    """
    bundle = Bundle(folder)
    bundle.check_files()
    golden = bundle.golden()
    judged = bundle.manifest.choose(precision or default_precision(bundle.manifest))
    tokens: dict[Precision, int] = {}
    differing: dict[Precision, str] = {}
    for each in [judged] if precision else bundle.manifest.precisions:
        cases = golden.cases if each == "float32" else golden.variants.get(each, [])
        tokens[each] = sum(len(case.tokens) - len(set(case.near_ties)) for case in cases)
        if tokens[each] < 1:
            raise BundleError(f"{folder} holds no golden outputs of {each}")
        if how := _difference(folder, threads, each, cases, must_run=each == judged):
            differing[each] = how
            del tokens[each]
    if judged in differing:
        raise _refusal(folder, judged, differing[judged], list(tokens))
    return Verified(bundle, judged, tokens, differing)


def _difference(
    folder: Path, threads: int, precision: Precision, cases: list[GoldenCase], *, must_run: bool
) -> str:
    """How one model differs from its golden outputs; nothing when it does not."""
    try:
        engine = Decoder.load(folder, threads, precision)
        limits = NEAR_TIES[precision], allowed(cases, precision, engine.facts.vocab_size)
        told = (_check_case(engine, case, folder, *limits) for case in cases)
        return next(filter(None, told), "")
    except BundleError as error:
        if must_run:
            raise
        return error.message


def _check_case(
    engine: Decoder, case: GoldenCase, folder: Path, near_tie: float, most_apart: float
) -> str:
    """The first step that differs; nothing when none does."""
    try:
        pending = prompt_ids(engine, case.prompt)
    except UsageError as error:
        raise BundleError(f"a golden prompt of {folder} does not fit its model") from error
    if len(pending) + len(case.tokens) - 1 > engine.facts.max_seq_length:
        raise BundleError(f"the golden tokens of {folder} do not fit its model")
    engine.reset()
    ties, logits = set(case.near_ties), np.zeros(0, np.float32)
    for step, token in enumerate(case.tokens):
        logits = engine.append(pending)
        behind = float(logits.max() - logits[token]) if token < len(logits) else np.inf
        if not behind <= (near_tie if step in ties else 0.0):  # a NaN is refused as well
            return f"after {case.prompt!r}, token {step + 1} differs"
        pending = [token]
    return _check_fingerprint(case, logits, folder, most_apart)


def _check_fingerprint(case: GoldenCase, logits: Logits, folder: Path, most_apart: float) -> str:
    if not case.logits:
        return ""
    found = fingerprint(logits)
    if len(found) != len(case.logits):
        raise BundleError(f"the golden logits of {folder} are not of its model")
    apart = distance(found, case.logits, len(logits))
    if apart <= most_apart:
        return ""
    return (
        f"after {case.prompt!r}, the logits of the last step are off by {apart:.2g}, "
        f"at most {most_apart:.2g} is allowed"
    )


def _refusal(folder: Path, precision: Precision, how: str, others: list[Precision]) -> BundleError:
    remedy = "the bundle or this machine's onnxruntime computes something else; do not trust it"
    if others:
        remedy += f" (what its {' and '.join(others)} should say is reproduced)"
    return BundleError(
        f"{folder} does not reproduce its golden outputs on this machine: {how} ({precision})",
        remedy,
    )
