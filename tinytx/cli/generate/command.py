"""``tinytx generate``: continue a prompt with a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import bundle_argument, json_option, precision_option, quiet_option

if TYPE_CHECKING:
    from tinytx.bundle import Precision


@click.command(name="generate")
@bundle_argument
@click.argument("prompt", required=False)
@click.option(
    "--prompts", metavar="FILE", type=click.Path(), help="Prompts, one a line; - is stdin."
)
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
@click.option(
    "--min-p",
    type=float,
    default=0.0,
    show_default=True,
    help="Least probability kept, as a share of the best token's.",
)
@click.option(
    "--repetition-penalty",
    type=float,
    default=1.0,
    show_default=True,
    help="Above 1: words that were there already become less probable.",
)
@click.option("--seed", type=int, help="The same seed gives the same text on the same machine.")
@click.option(
    "--stop", multiple=True, metavar="TEXT", help="End before this text appears; may be repeated."
)
@click.option(
    "--when-full",
    type=click.Choice(["stop", "slide"]),
    default="stop",
    show_default=True,
    help="When the context is full: end, or go on without its older half.",
)
@click.option(
    "--stream/--no-stream",
    default=None,
    help="Write the text as it comes, or each one whole; by default as it comes on a terminal.",
)
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
    prompt: str | None,
    prompts: str | None,
    threads: int | None,
    precision: "Precision | None",
    **options: Any,
) -> None:
    """Continue PROMPT, or each line of a file, with the model in BUNDLE.

    The text goes to stdout; the speed, the seed and why it ended go to stderr. Several prompts
    are separated by an empty line, and each is continued as if it were the only one.

    \b
    Example:
      tinytx generate data/bundle "Once upon a time" --max-tokens 64
      tinytx generate data/bundle --prompts questions.txt --stop "." --json
    """
    from tinytx.cli.generate.output import write_texts
    from tinytx.cli.generate.request import Prompt, Request, read_prompts
    from tinytx.errors import UsageError
    from tinytx.runtime.engine import Engine

    if (prompt is None) == (prompts is None):
        raise UsageError(
            "give one prompt or --prompts FILE"
            if prompt is None
            else "a prompt and --prompts FILE cannot be given together"
        )
    request = Request.of(options)
    texts = [Prompt(prompt)] if prompt is not None else read_prompts(str(prompts))
    write_texts(Engine.load(bundle, threads, precision), texts, request)
