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

from tinytx.bundle import Bundle, GoldenCase, Precision
from tinytx.errors import BundleError, UsageError
from tinytx.runtime.engine import Engine, Logits
from tinytx.runtime.generate import prompt_ids
from tinytx.runtime.processor import default_precision

NEAR_TIES: dict[Precision, float] = {"float32": 0.01, "int8": 0.5, "int4": 0.5}
"""Logits closer than this may change places between processors."""
FINGERPRINT = 32
"""Numbers in a fingerprint."""
FINGERPRINT_TOLERANCES: dict[Precision, float] = {"float32": 1e-4, "int8": 0.06, "int4": 0.06}
"""How far each may be off on another processor, less what all are off by. The most that was seen at
any step of many bundles on six of them is 2e-6 and 0.026 (docs/processors.md)."""


def greedy(engine: Engine, prompt: str, limit: int) -> tuple[list[int], list[float]]:
    """At most ``limit`` greedy tokens, and by how much each logit led the second best."""
    tokens, leads, _ = greedy_logits(engine, prompt_ids(engine, prompt), limit)
    return tokens, leads


def greedy_logits(
    engine: Engine, ids: Sequence[int], limit: int
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
    sizes = [len(range(i, vocab_size, FINGERPRINT)) for i in range(len(found))]
    with np.errstate(over="ignore", invalid="ignore"):  # a hostile bundle's
        # Each on its own: beside a huge recorded number what was found would vanish.
        one, other = (np.asarray(x) - np.average(x, weights=sizes) for x in (found, recorded))
        return float(np.abs(one - other).max())


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
        engine = Engine.load(folder, threads, precision)
        told = (_check_case(engine, case, precision, folder) for case in cases)
        return next(filter(None, told), "")
    except BundleError as error:
        if must_run:
            raise
        return error.message


def _check_case(engine: Engine, case: GoldenCase, precision: Precision, folder: Path) -> str:
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
        allowed = NEAR_TIES[precision] if step in ties else 0.0
        if not behind <= allowed:  # a NaN is refused as well
            return f"after {case.prompt!r}, token {step + 1} differs"
        pending = [token]
    return _check_fingerprint(case, logits, precision, folder)


def _check_fingerprint(case: GoldenCase, logits: Logits, precision: Precision, folder: Path) -> str:
    if not case.logits:
        return ""
    found = fingerprint(logits)
    if len(found) != len(case.logits):
        raise BundleError(f"the golden logits of {folder} are not of its model")
    apart = distance(found, case.logits, len(logits))
    if apart <= FINGERPRINT_TOLERANCES[precision]:
        return ""
    return f"after {case.prompt!r}, the logits of the last step are off by {apart:.2g}"


def _refusal(folder: Path, precision: Precision, how: str, others: list[Precision]) -> BundleError:
    remedy = "the bundle or this machine's onnxruntime computes something else; do not trust it"
    if others:
        remedy += f" (what its {' and '.join(others)} should say is reproduced)"
    return BundleError(
        f"{folder} does not reproduce its golden outputs on this machine: {how} ({precision})",
        remedy,
    )
