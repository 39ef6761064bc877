"""From checked words to a running server: what its flags mean, and what it says at the start."""

import logging
from pathlib import Path
from typing import Any

import click

from tinytx.cli.common import print_json, require
from tinytx.errors import UsageError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
NAMES = ("bundle", "store", "precision", "host", "port", "slots", "waiting")


def start(options: dict[str, Any]) -> None:
    """Serve until a signal ends it. Raises :class:`TinytxError`."""
    require("serve", "uvicorn", "starlette", "prometheus_client")
    if (options["bundle"] is None) == (options["store"] is None):
        raise UsageError(
            "what to serve is a BUNDLE or --store FOLDER, one of the two",
            "`tinytx serve --help` has an example",
        )
    token = token_of(options["token_file"])
    if options["host"] not in LOOPBACK and not (token or options["insecure"]):
        raise UsageError(
            f"--host {options['host']} can be reached from other machines",
            "give --token-file FILE, or --insecure if anybody may ask",
        )
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    if options["quiet"]:
        logging.getLogger().setLevel(logging.WARNING)
    _serve(token, options)


def token_of(path: Path | None) -> str:
    """The token in a file. Raises :class:`UsageError` when there is none."""
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


def _serve(token: str, options: dict[str, Any]) -> None:
    from tinytx.serve.origins import checked
    from tinytx.serve.releases import Releases, Settings
    from tinytx.serve.run import serve
    from tinytx.serve.service import Limits, Service

    settings = Settings(**{name: options[name] for name in NAMES})
    limits = Limits(per_client=options["per_client"], request_seconds=options["request_seconds"])
    service = Service(
        limits,
        token,
        local=not (token or options["insecure"]),
        origins=checked(options["cors_origin"]),
    )
    releases = Releases(service, settings)
    lines = [f"  {trial}" for trial in releases.first()]
    model = service.model
    if model is None:
        lines.append("nothing to serve yet: waiting for a release")
    else:
        batch = model.loop.batch
        lines.append(f"{model.name}, {model.precision}, {batch.slots} slots")
        size = batch.cache_bytes / 1e6
        lines.append(f"their caches take {size:.1f} MB at most, fixed from now on")

    def tell(line: str) -> None:  # plain: rich would hold 7 MB for good
        if not options["quiet"]:
            click.echo(line, err=True)

    for line in lines:
        tell(line)

    def ready(address: str) -> None:
        tell(f"listening on {address}")
        if options["as_json"]:
            facts = (model.name, model.precision) if model else (None, None)
            print_json({"address": address, "model": facts[0], "precision": facts[1]})

    serve(service, releases, settings, ready)
