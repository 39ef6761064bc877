"""``tinytx generate``: continue a prompt with a bundle."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tinytx.cli.common import bundle_argument, json_option, precision_option, quiet_option

OPTIONS = (
    click.option(
        "--prompts",
        "prompts_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Continue each line of FILE instead of PROMPT.",
    ),
    click.option(
        "--max-tokens",
        type=click.IntRange(min=1),
        default=128,
        show_default=True,
        help="Stop after so many tokens.",
    ),
    click.option("--temperature", type=float, default=0.8, show_default=True, help="0 is greedy."),
    click.option(
        "--top-k", type=int, default=0, show_default=True, help="Most probable tokens kept; 0: all."
    ),
    click.option("--top-p", type=float, default=0.95, show_default=True, help="Probability kept."),
    click.option(
        "--min-p",
        type=float,
        default=0.0,
        show_default=True,
        help="Least probability kept, as a share of the best token's.",
    ),
    click.option(
        "--repetition-penalty",
        type=float,
        default=1.0,
        show_default=True,
        help="Above 1, what was said becomes less likely.",
    ),
    click.option("--seed", type=int, help="The same seed gives the same text on the same machine."),
    click.option("--stop", multiple=True, metavar="TEXT", help="End before this text; repeatable."),
    click.option(
        "--when-full",
        type=click.Choice(["stop", "slide"]),
        default="stop",
        show_default=True,
        help="When the context is full: end, or forget its older half and go on.",
    ),
    click.option(
        "--stream/--no-stream",
        default=True,
        show_default=True,
        help="Print each piece at once, or the text at its end.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(min=1),
        help="Processor threads; by default as many as are fastest here, measured once.",
    ),
)


def generation_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command all of :data:`OPTIONS`, in this order."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


@click.command(name="generate")
@bundle_argument
@click.argument("prompt", required=False)
@generation_options
@precision_option
@json_option
@quiet_option
@click.pass_context
def command(
    context: click.Context,
    /,
    bundle: Path,
    prompt: str | None,
    prompts_file: Path | None,
    **flags: Any,
) -> None:
    """Continue PROMPT with the model in BUNDLE; the text streams to stdout.

    With --prompts, each line of a file is a prompt, and the same seed serves each. The speed and
    the reason for the end go to stderr.

    \b
    Example:
      tinytx generate data/bundle "Once upon a time" --max-tokens 64
      tinytx generate data/bundle --prompts beginnings.txt --json > texts.json
    """
    if prompt is None and prompts_file is None:
        raise click.UsageError("Missing argument: a PROMPT, or --prompts FILE", context)
    if prompt is not None and prompts_file is not None:
        raise click.UsageError("give a PROMPT or --prompts, not both", context)
    from tinytx.cli.generation import generate_all, read_prompts

    prompts = [prompt] if prompt is not None else read_prompts(prompts_file)  # type: ignore[arg-type]
    generate_all(bundle, prompts, flags, one=prompt is not None)
