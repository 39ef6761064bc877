"""``tinytx serve``: a bundle that answers programs over HTTP."""

from pathlib import Path
from typing import Any

import click

from tinytx.cli.common import json_option, precision_option, quiet_option


@click.command(name="serve")
@click.argument("bundle", metavar="[BUNDLE]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--store",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Serve the release that is current in this store, and each that follows.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any free."
)
@click.option(
    "--slots",
    type=click.IntRange(1, 256),
    default=32,
    show_default=True,
    help="Texts that are made at once; each takes its memory at the start.",
)
@click.option(
    "--waiting",
    type=click.IntRange(0, 100_000),
    default=64,
    show_default=True,
    help="Texts that may wait for a slot; further requests get 429.",
)
@click.option(
    "--per-client",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Requests of one address at a time; 0: any number.",
)
@click.option(
    "--request-seconds",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="The longest that a request may take; 0: for ever.",
)
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="Who asks must show the token in it."
)
@click.option(
    "--insecure", is_flag=True, help="Listen beyond this machine without a token: anybody may ask."
)
@click.option(
    "--cors-origin",
    metavar="ORIGIN",
    multiple=True,
    help="A web page of this origin may ask, such as https://app.example; may be repeated.",
)
@precision_option
@json_option
@quiet_option
def command(**options: Any) -> None:
    """Answer programs with the model in BUNDLE, or with the release that is current in a store:
    OpenAI's completions interface on 127.0.0.1.

    Ctrl-C or SIGTERM lets running answers end. The log, on stderr, holds no prompt and no text.

    \b
    Example:
      tinytx serve data/bundle --slots 8
      curl http://127.0.0.1:8765/v1/completions -d '{"prompt": "Once upon a time"}'
    """
    from tinytx.cli.serve.starting import start

    start(options)
