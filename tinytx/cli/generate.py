"""``tinytx generate``: continue a prompt with a bundle."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinytx.cli.common import (
    bundle_argument,
    console,
    json_option,
    precision_option,
    print_json,
    quiet_option,
)

if TYPE_CHECKING:
    from tinytx.bundle import Precision


@click.command(name="generate")
@bundle_argument
@click.argument("prompt")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="Stop after so many tokens.",
)
@click.option("--temperature", type=float, default=0.8, show_default=True, help="0 is greedy.")
@click.option(
    "--top-k", type=int, default=0, show_default=True, help="Most probable tokens kept; 0: all."
)
@click.option("--top-p", type=float, default=0.95, show_default=True, help="Probability kept.")
@click.option("--seed", type=int, help="The same seed gives the same text on the same machine.")
@click.option("--stop", default="", metavar="TEXT", help="End before this text appears.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Processor threads; by default as many as are fastest here, measured once.",
)
@precision_option
@json_option
@quiet_option
def command(
    bundle: Path,
    prompt: str,
    max_tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int | None,
    stop: str,
    threads: int | None,
    precision: "Precision | None",
    as_json: bool,
    quiet: bool,
) -> None:
    """Continue PROMPT with the model in BUNDLE; the text streams to stdout.

    Ends when the context is full: stderr says so.

    \b
    Example:
      tinytx generate data/bundle "Once upon a time" --max-tokens 64
    """
    from tinytx.runtime.engine import Engine
    from tinytx.runtime.generate import Outcome, generate
    from tinytx.runtime.sampling import Sampling

    sampling = Sampling(temperature, top_k, top_p, seed)
    engine, outcome, parts = Engine.load(bundle, threads, precision), Outcome(), []
    pieces = generate(
        engine, prompt, max_tokens=max_tokens, sampling=sampling, stop=stop, outcome=outcome
    )
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    if not as_json:
        click.echo(prompt, nl=False)
    began = time.perf_counter()
    for piece in pieces:
        parts.append(piece)
        if not as_json:
            click.echo(piece, nl=False)
            sys.stdout.flush()
    seconds = time.perf_counter() - began
    if as_json:
        print_json(
            {
                "prompt": prompt,
                "text": "".join(parts),
                "tokens": outcome.tokens,
                "stopped": outcome.stopped,
                "seconds": seconds,
                "bundle": engine.bundle_id,
            }
        )
    else:
        click.echo()
    out = console(quiet)
    if outcome.stopped == "context":
        out.print(f"(stopped: the context of {engine.facts.max_seq_length} tokens is full)")
    out.print(f"({outcome.tokens} tokens, {outcome.tokens / seconds:,.0f} tokens/s)")
