"""Where a bundle came from, as its manifest tells it: hashes and names, no folder and no user."""

from typing import Annotated

import msgspec
from msgspec import Meta

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class _Record(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Common options, as in :mod:`tinytx.bundle`."""


class CorpusRecord(_Record, frozen=True, kw_only=True):
    """The files that the corpus was made of, without where they lay."""

    files: Count
    names: Annotated[list[str], Meta(max_length=20)]
    """Of the first ones, without their folders."""
    files_sha256: Sha256
    """Of the sha256 of each file in its order, a line each."""


class Provenance(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """Where the bundle came from. It names no folder and no user of the machine it was made on."""

    tinytx: str
    run_id: str
    checkpoint_sha256: Sha256
    tokenizer_sha256: Sha256
    train_sha256: Sha256
    val_sha256: Sha256
    settings: dict[str, dict[str, bool | str | int | float | None]]
    versions: dict[str, str]
    """Of what made the bundle; ``sentencepiece`` is the one that made the tokenizer."""
    corpus: CorpusRecord | None = None
    """None for the built-in corpus, and where it is not known."""
