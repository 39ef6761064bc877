"""What is measured, and how often: ``bench/scenarios.toml`` as typed settings."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tinytx.errors import UsageError
from tinytx.measure.policy.budgets import SCHEMA, check_keys, policy_file, read_toml

SCENARIOS = "scenarios.toml"
PROOF = "proof.toml"
"""The few of a short proof."""

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Length = Annotated[int, Meta(ge=2, le=1_000_000)] | Literal["half", "longest"]


class _Section(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Common options of the sections."""


class Processes(_Section, frozen=True, kw_only=True):
    """The fresh processes."""

    per_scenario: Annotated[int, Meta(ge=3, le=100)] = 3
    """Fresh processes per scenario, one at a time; the worst one is judged."""
    threads: Annotated[int, Meta(ge=1, le=1_024)] = 1
    """Threads of onnxruntime."""


class SamplingPolicy(_Section, frozen=True, kw_only=True):
    """How the next token is chosen: part of every step that is timed."""

    temperature: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.8
    top_k: Annotated[int, Meta(ge=0)] = 0
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.95
    seed: Annotated[int, Meta(ge=0)] = 1


class NextToken(_Section, frozen=True, kw_only=True):
    """One more token, batch 1, at given context lengths."""

    contexts: tuple[Length, ...] = (16, "half", "longest")
    """Context lengths in tokens, the new one included."""
    block: Count = 8
    """Tokens in a row that one prompt is followed by; the last one ends at the context length."""
    first_look: Count = 256
    """Samples per process before the first verdict; each further look doubles them."""
    least_seconds: Annotated[float, Meta(ge=0.0, le=3_600.0)] = 1.0
    """What the samples of a process must add up to before the first verdict: a machine that is
    slow for 50 ms once in a second is not seen by 256 samples of 0.3 ms."""
    most: Count = 1_000_000
    """Samples per process after which an open verdict stays open; usually time is up first."""


class FirstToken(_Section, frozen=True, kw_only=True):
    """A whole prompt and the first token after it."""

    prompts: tuple[Length, ...] = (16, "half", "longest")
    """Prompt lengths in tokens; the longest leaves room for one token. None: not measured."""
    samples: Count = 64


class EndToEnd(_Section, frozen=True, kw_only=True):
    """Text in, text out: tokenisation, prompt, tokens and pieces of text."""

    prompt: str = "Once upon a time there was"
    tokens: Count = 48
    samples: Annotated[int, Meta(ge=0, le=1_000_000)] = 16
    """Generations per process; 0: not measured."""


class WarmUp(_Section, frozen=True, kw_only=True):
    """Steps that are not counted, until two windows in a row agree."""

    window: Annotated[int, Meta(ge=4, le=10_000)] = 16
    """Samples in a window."""
    agreement: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.10
    """The largest difference of two medians in a row, as a share of the smaller one."""
    windows: Annotated[int, Meta(ge=2, le=10_000)] = 64
    """Windows after which the machine is said not to settle."""


class Scenarios(_Section, frozen=True, kw_only=True):
    """All of it."""

    schema: int = SCHEMA
    processes: Processes = Processes()
    sampling: SamplingPolicy = SamplingPolicy()
    warm_up: WarmUp = WarmUp()
    next_token: NextToken = NextToken()
    first_token: FirstToken = FirstToken()
    end_to_end: EndToEnd = EndToEnd()


SECTIONS: dict[str, type[_Section]] = {
    "processes": Processes,
    "sampling": SamplingPolicy,
    "warm_up": WarmUp,
    "next_token": NextToken,
    "first_token": FirstToken,
    "end_to_end": EndToEnd,
}


def load_scenarios(file: Path | None = None) -> Scenarios:
    """Read a scenario file, or the one of this installation. Raises :class:`UsageError`."""
    path = file or policy_file(SCENARIOS)
    document = read_toml(path)
    check_keys(document, ("schema", *SECTIONS), str(path))
    for name, table in document.items():
        if name in SECTIONS and isinstance(table, Mapping):
            check_keys(table, SECTIONS[name].__struct_fields__, str(path), f"{name}.")
    try:
        scenarios = msgspec.convert(document, Scenarios)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}") from error
    if scenarios.schema != SCHEMA:
        raise UsageError(f"{path}: schema must be {SCHEMA}, not {scenarios.schema}")
    return scenarios


def lengths(wanted: Iterable[Length], longest: int) -> list[int]:
    """Lengths in tokens for a model whose longest is ``longest``: ascending, without doubles."""
    named = {"half": longest // 2, "longest": longest}
    numbers = {named[one] if isinstance(one, str) else min(one, longest) for one in wanted}
    return sorted({max(number, 2) for number in numbers})
