"""``tinytx release offer``, ``receive`` and ``statement``: what comes to the device."""

import json
from pathlib import Path

import click

from tinytx.cli.common import print_json
from tinytx.cli.release.common import SCHEMA, answer, answering, release_argument

STDIN = 0
IDLE = 30.0


def _whole_input(limit: int) -> bytes:
    """Standard input, at most ``limit`` bytes of it and one more. Raises :class:`DeviceError`."""
    from tinytx.errors import DeviceError
    from tinytx.release.intake import Descriptor

    source, raw = Descriptor(STDIN), b""
    while len(raw) <= limit:
        piece = source.read(1 << 16, IDLE)
        if piece is None:
            raise DeviceError(f"nothing came on standard input for {IDLE:g} s")
        if not piece:
            return raw
        raw += piece
    raise DeviceError(f"more than {limit:,} bytes came on standard input")


@click.command()
@answering
def offer(store: Path | None, as_json: bool) -> None:
    """Say what is missing of the release whose manifest comes on standard input.

    The answer is JSON on stdout in any case: the bundle, whether it is known, and each missing file
    with the number of bytes that are held of it and their sha256.

    \b
    Example:
      tinytx release offer < data/bundle/manifest.json
    """
    from dataclasses import asdict

    from tinytx import bundle
    from tinytx.release import intake, work

    raw = _whole_input(bundle.MAX_MANIFEST_BYTES)
    with work.begun(store, "release offer", create=True) as here:
        print_json({"schema": SCHEMA, **asdict(intake.offer(here.store, raw))})


@click.command()
@click.argument("sha256")
@click.option("--size", type=click.IntRange(min=0), required=True, help="Bytes of the whole file.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Bytes that are held here.")
@click.option(
    "--idle",
    type=click.FloatRange(min=0.1),
    default=IDLE,
    show_default=True,
    help="Seconds without a byte after which it ends; what came is kept.",
)
@answering
def receive(
    sha256: str, size: int, offset: int, idle: float, store: Path | None, as_json: bool
) -> None:
    """Take the file SHA256 of an offered release, on standard input, from --offset on.

    The answer is JSON on stdout in any case: the bytes held, whether it is done, and what is wrong
    if it is not (offset, cut, idle, length, hash). Exit code 10 then.

    \b
    Example:
      tinytx release receive 0f3a... --size 2526797 < data/bundle/model.int8.onnx
    """
    from tinytx.release import intake, recover

    device = recover.opened(store, "release receive")
    try:
        source = intake.Descriptor(STDIN)
        held = intake.receive(device, sha256, size, offset, source, idle=idle)
    except intake.Cut as error:
        print_json({"sha256": sha256, "held": error.held, "done": False, "error": error.kind})
        error.told = True
        raise
    print_json({"sha256": sha256, "held": held, "done": True})


@click.command()
@release_argument
@answering
def statement(release: str, store: Path | None, as_json: bool) -> None:
    """Keep what was signed about the release ID: JSON on standard input, {"statement": text,
    "signature": text}.

    \b
    Example:
      tinytx release statement 35444ccac1ad < signed.json
    """
    from tinytx.errors import BundleError
    from tinytx.release import trust, work
    from tinytx.release.statement import MAX_BYTES

    raw = _whole_input(4 * MAX_BYTES)
    try:
        document = json.loads(raw)
        text, signature = document["statement"].encode(), str(document["signature"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError("standard input holds no statement and signature") from error
    with work.begun(store, "release statement", create=True) as here:
        chosen = here.store.resolve(release)
        trust.keep(here.store.root, chosen, trust.Signed(text, signature))
    answer(as_json, {"release": chosen, "kept": True}, f"kept what was signed about {chosen}")
