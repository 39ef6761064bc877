"""What ``tinytx generate`` does with its prompts: continue, print, count."""

import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import console, print_json
from tinytx.errors import UsageError, os_errors_as

if TYPE_CHECKING:
    from rich.console import Console

    from tinytx.runtime.engine import Engine
    from tinytx.runtime.generate import Outcome

LARGEST_PROMPTS = 10_000_000  # bytes
SEEDS = 2**32


@dataclass
class Generation:
    """One prompt's continuation, complete or as far as it came."""

    prompt: str
    outcome: "Outcome"
    parts: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def document(self) -> dict[str, Any]:
        return {
            "prompt": self.prompt,
            "text": "".join(self.parts),
            "prompt_tokens": self.outcome.prompt_tokens,
            "tokens": self.outcome.tokens,
            "slides": self.outcome.slides,
            "stopped": self.outcome.stopped,
            "seconds": self.seconds,
        }


def read_prompts(path: Path) -> list[str]:
    """The lines of a file that hold more than white space. Raises :class:`UsageError`."""
    with os_errors_as(UsageError, "read --prompts"):
        if path.exists() and not path.is_file():
            raise UsageError(f"--prompts {path} is not a file")
        if path.stat().st_size > LARGEST_PROMPTS:
            raise UsageError(f"--prompts {path} is larger than {LARGEST_PROMPTS:,} bytes")
        data = path.read_bytes()
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"--prompts {path} is not UTF-8 text") from error
    prompts = [line for line in lines if line.strip()]
    if not prompts:
        raise UsageError(f"--prompts {path} holds no prompt: one a line is expected")
    return prompts


def generate_all(bundle: Path, prompts: list[str], flags: dict[str, Any], one: bool) -> None:
    """Continue each prompt; ``one``: it came from the command line, so its JSON is flat.

    Raises :class:`UsageError` before anything is printed when a prompt does not fit.
    """
    from tinytx.runtime.engine import Engine
    from tinytx.runtime.generate import prompt_ids
    from tinytx.runtime.sampling import Sampling

    seed = random.randrange(SEEDS) if flags["seed"] is None else flags["seed"]
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    sampling = Sampling(**{name: flags[name] for name in names}, seed=seed)
    engine = Engine.load(bundle, flags["threads"], flags["precision"])
    for number, prompt in enumerate(prompts, 1):
        try:
            prompt_ids(engine, prompt)
        except UsageError as error:
            raise UsageError(
                error.message if one else f"prompt {number}: {error.message}"
            ) from None
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    as_json, people = flags["as_json"], console(flags["quiet"])
    documents = []
    for number, prompt in enumerate(prompts):
        if number and not as_json:
            click.echo()
        made = _one(engine, prompt, sampling, flags, people)
        documents.append(made.document)
    if as_json:
        about = {"seed": seed, "bundle": engine.bundle_id}
        print_json({**documents[0], **about} if one else {"results": documents, **about})


def _one(
    engine: "Engine", prompt: str, sampling: Any, flags: dict[str, Any], people: "Console"
) -> Generation:
    """Continue one prompt. What was generated until Ctrl-C stays, with its line on stderr."""
    from tinytx.runtime.generate import Outcome

    made = Generation(prompt, Outcome())
    options = {name: flags[name] for name in ("max_tokens", "stop", "when_full")}
    pieces = engine.generate(prompt, sampling=sampling, outcome=made.outcome, **options)
    shown = not flags["as_json"]
    streams = shown and flags["stream"]
    if streams:
        click.echo(prompt, nl=False)
    began = time.perf_counter()
    try:
        for piece in pieces:
            made.parts.append(piece)
            if streams:
                click.echo(piece, nl=False)
                sys.stdout.flush()
    finally:
        made.seconds = time.perf_counter() - began
        if streams:
            click.echo()
        elif shown:
            click.echo(prompt + "".join(made.parts))
        _tell(engine, made, people)
    return made


def _tell(engine: "Engine", made: Generation, people: "Console") -> None:
    """How it ended, and how fast it was."""
    outcome, longest = made.outcome, engine.facts.max_seq_length
    if outcome.stopped == "context":
        people.print(
            f"(stopped: the context of {longest} tokens is full; --when-full slide goes on)"
        )
    if outcome.slides:
        people.print(f"(the context of {longest} tokens was full {outcome.slides} times)")
    people.print(f"({outcome.tokens} tokens, {outcome.tokens / made.seconds:,.0f} tokens/s)")
