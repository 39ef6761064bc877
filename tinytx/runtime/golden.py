"""Golden outputs: prompts with the greedy tokens that every machine must reproduce."""

from pathlib import Path

import numpy as np

from tinytx.bundle import Bundle, GoldenCase
from tinytx.errors import BundleError, UsageError
from tinytx.runtime.engine import Engine
from tinytx.runtime.generate import prompt_ids

NEAR_TIE = 0.01
"""Logits closer than this may change places between processors: golden tokens end before."""


def greedy(engine: Engine, prompt: str, limit: int) -> tuple[list[int], list[float]]:
    """At most ``limit`` greedy tokens, and by how much each logit led the second best."""
    engine.reset()
    pending = prompt_ids(engine, prompt)
    tokens: list[int] = []
    leads: list[float] = []
    while len(tokens) < limit and engine.length + len(pending) <= engine.facts.max_seq_length:
        logits = engine.append(pending)
        second, first = np.partition(logits, -2)[-2:]
        tokens.append(int(logits.argmax()))
        leads.append(float(first - second))
        pending = tokens[-1:]
    return tokens, leads


def verify(folder: Path, threads: int = 1) -> tuple[Bundle, int]:
    """Check a bundle's files and reproduce its golden outputs on this machine.

    Returns the bundle and the number of tokens reproduced. Raises :class:`BundleError`.
    """
    bundle = Bundle(folder)
    bundle.check_files()
    engine = Engine.load(folder, threads)
    cases = bundle.golden().cases
    if not any(case.tokens for case in cases):
        raise BundleError(f"{folder} holds no golden outputs")
    return bundle, sum(_check_case(engine, case, folder) for case in cases)


def _check_case(engine: Engine, case: GoldenCase, folder: Path) -> int:
    try:
        tokens, _ = greedy(engine, case.prompt, len(case.tokens))
    except UsageError as error:
        raise BundleError(f"a golden prompt of {folder} does not fit its model") from error
    if tokens != case.tokens:
        at = next(
            (
                i
                for i, pair in enumerate(zip(tokens, case.tokens, strict=False))
                if pair[0] != pair[1]
            ),
            len(tokens),
        )
        raise BundleError(
            f"{folder} does not reproduce its golden outputs on this machine: "
            f"after {case.prompt!r}, token {at + 1} differs",
            "the bundle or this machine's onnxruntime computes something else; do not trust it",
        )
    return len(tokens)
