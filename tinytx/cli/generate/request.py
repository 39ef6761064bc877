"""What ``tinytx generate`` was asked for: its flags as one typed value, and its prompts."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tinytx.errors import UsageError
from tinytx.runtime.generate import WhenFull
from tinytx.runtime.sampling import Sampling

MOST_PROMPT_BYTES = 10_000_000
SEED_BYTES = 4


class Prompt(NamedTuple):
    text: str
    where: str = ""
    """Its line and file, for messages."""


@dataclass(frozen=True)
class Request:
    """The flags of one run."""

    sampling: Sampling
    max_tokens: int
    stop: tuple[str, ...]
    when_full: WhenFull
    stream: bool
    as_json: bool
    quiet: bool

    @classmethod
    def of(cls, flags: Mapping[str, Any]) -> "Request":
        """Raises :class:`UsageError` for values that make no sense, or not together."""
        names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
        chosen = {name: flags[name] for name in names}
        if chosen["seed"] is None and chosen["temperature"] != 0.0:  # told, so that it can repeat
            chosen["seed"] = int.from_bytes(os.urandom(SEED_BYTES), "little")
        if "" in flags["stop"]:
            raise UsageError("--stop: a stop text must not be empty")
        if flags["as_json"] and flags["stream"]:
            raise UsageError("--json prints one document at the end: it cannot --stream")
        stream = sys.stdout.isatty() if flags["stream"] is None else flags["stream"]
        return cls(
            Sampling(**chosen),
            **{name: flags[name] for name in ("max_tokens", "stop", "when_full", "as_json")},
            stream=stream and not flags["as_json"],
            quiet=flags["quiet"],
        )


def read_prompts(source: str) -> list[Prompt]:
    """The lines of a file, or of stdin for ``-``, that are not empty. Raises UsageError."""
    name = "stdin" if source == "-" else source
    try:
        with sys.stdin.buffer if source == "-" else Path(source).open("rb") as file:
            raw = file.read(MOST_PROMPT_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--prompts: cannot read {name}: {why}") from error
    if len(raw) > MOST_PROMPT_BYTES:
        raise UsageError(f"--prompts: {name} is larger than {MOST_PROMPT_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(f"--prompts: line {line} of {name} is not UTF-8 text") from error
    lines = enumerate(text.replace("\r\n", "\n").split("\n"), 1)
    prompts = [Prompt(line, f"line {number} of {name}: ") for number, line in lines if line]
    if not prompts:
        raise UsageError(f"--prompts: {name} holds no prompt", "write one prompt on each line")
    return prompts
