"""``tinytx serve``: a bundle that answers programs over HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import bundle_argument, json_option, precision_option, quiet_option, require

if TYPE_CHECKING:
    from tinytx.bundle import Precision

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(name="serve")
@bundle_argument
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
@precision_option
@json_option
@quiet_option
def command(bundle: Path, precision: "Precision | None", **options: Any) -> None:
    """Answer programs with the model in BUNDLE: OpenAI's completions interface on 127.0.0.1.

    Ctrl-C or SIGTERM lets running answers end. The log, on stderr, holds no prompt and no text.

    \b
    Example:
      tinytx serve data/bundle --slots 8
      curl http://127.0.0.1:8765/v1/completions -d '{"prompt": "Once upon a time"}'
    """
    require("serve", "uvicorn", "starlette", "prometheus_client")
    from tinytx.errors import UsageError

    token = token_in(options["token_file"])
    if options["host"] not in LOOPBACK and not (token or options["insecure"]):
        raise UsageError(
            f"--host {options['host']} can be reached from other machines",
            "give --token-file FILE, or --insecure if anybody may ask",
        )
    _serve(bundle, precision, token, options)


def token_in(path: Path | None) -> str:
    """The token in a file. Raises :class:`UsageError` when there is none."""
    from tinytx.errors import UsageError

    if path is None:
        return ""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not plain ASCII text"
        raise UsageError(f"--token-file: cannot read {path}: {why}") from error
    if len(token.split()) != 1:
        raise UsageError(f"--token-file: {path} must hold one token and nothing else")
    return token


def _serve(
    bundle: Path, precision: "Precision | None", token: str, options: dict[str, Any]
) -> None:
    import logging

    from tinytx.cli.common import print_json
    from tinytx.serve.releases import Settings, load_model
    from tinytx.serve.run import serve
    from tinytx.serve.service import Limits, Service

    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    if options["quiet"]:
        logging.getLogger().setLevel(logging.WARNING)
    names = ("host", "port", "slots", "waiting")
    settings = Settings(bundle=bundle, precision=precision, **{n: options[n] for n in names})
    limits = Limits(per_client=options["per_client"], request_seconds=options["request_seconds"])
    model, trials = load_model(settings)
    batch = model.loop.batch
    lines = [f"  {trial}" for trial in trials]
    lines.append(f"{model.name}, {model.precision}, {batch.slots} slots")
    lines.append(f"their caches take {batch.cache_bytes / 1e6:.1f} MB at most, fixed from now on")

    def tell(line: str) -> None:  # plain: rich would hold 7 MB for good
        if not options["quiet"]:
            click.echo(line, err=True)

    for line in lines:
        tell(line)

    def ready(address: str) -> None:
        tell(f"listening on {address}")
        if options["as_json"]:
            print_json({"address": address, "model": model.name, "precision": model.precision})

    local = not (token or options["insecure"])
    serve(Service(limits, token, local=local), model, settings, ready)
