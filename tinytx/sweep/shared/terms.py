"""What whoever begins a search on several machines lays down for all of them."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import optuna

import tinytx
from tinytx.config import CorpusSettings, Settings, as_dict
from tinytx.errors import CorpusError, OverwriteRefused, UsageError
from tinytx.measure.policy.budgets import Budget
from tinytx.sweep.inputs import OtherText, digest
from tinytx.sweep.plan import Identity, Plan, changed
from tinytx.sweep.shared.database import Pulse
from tinytx.sweep.space import Choices, Dimension, Space, parse
from tinytx.train.corpus.source import corpus_files, input_hashes
from tinytx.train.recorded import without_folders
from tinytx.workspace import Workspace, sha256_file

PLACES = ("path", "val_path", "url")
"""Settings that say where this machine's text lies, and not what it is."""
TEXT, HELD_OUT = "the text", "the text held out"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Kept with the study; every worker judges itself by it."""

    uid: str
    """Of this very study: another one of the same name has another."""
    identity: Identity
    settings: dict[str, dict[str, Any]]
    """Paths without their folders."""
    space: dict[str, Any]
    budgets: list[Budget]
    pulse: Pulse
    tinytx: str
    """Versions of whoever began it."""
    optuna: str


def terms_of(plan: Plan, pulse: Pulse, uid: str) -> Terms:
    """What others need to search the same. Raises :class:`CorpusError`."""
    return Terms(
        uid=uid,
        identity=shared_identity(plan),
        settings=as_dict(without_folders(plan.settings)),
        space={key: _plain(dimension) for key, dimension in plan.space.dimensions.items()},
        budgets=list(plan.budgets),
        pulse=pulse,
        tinytx=tinytx.__version__,
        optuna=optuna.__version__,
    )


def read_terms(stored: object, name: str) -> Terms:
    """Terms as a study holds them. Raises :class:`UsageError` for another program's study."""
    try:
        return msgspec.convert(stored, Terms)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"the study {name!r} of this database is none that this tinytx can join ({error})",
            "--study names another; with another version of tinytx use one on all machines",
        ) from error


def space_of(terms: Terms) -> Space:
    return Space({key: parse(key, values, "the search") for key, values in terms.space.items()})


def shared_identity(plan: Plan) -> Identity:
    """Everything that the figures depend on, the same on every machine: of files what is in
    them, not what they are called. Raises :class:`CorpusError`."""
    corpus = plan.settings.corpus
    named = {f"corpus.{key}" for key in PLACES}
    identity = {
        key: value
        for key, value in plan.identity().items()
        if not key.startswith("the file ") and key not in named
    }
    text, held = msgspec.structs.replace(corpus, val_path=None), corpus.val_path
    if corpus.paths:
        identity[TEXT] = _contents(text)
    if held is not None:
        identity[HELD_OUT] = _contents(CorpusSettings(path=held))
    return identity


def check(terms: Terms, identity: Identity, name: str) -> None:
    """That this machine, by its own :func:`shared_identity`, would search the same.

    Raises :class:`OtherText` (exit code 2) for another text, :class:`OverwriteRefused` (64) for
    other settings, with the first difference.
    """
    ours = msgspec.json.decode(msgspec.json.encode(identity))
    for key, what in ((TEXT, "text"), (HELD_OUT, "held-out text")):
        theirs, mine = terms.identity.get(key), ours.get(key)
        if theirs != mine:
            told = [f"sha256 {one[:12]}" if one else "none of its own" for one in (mine, theirs)]
            raise OtherText(
                f"the {what} here ({told[0]}) is not that of the search {name!r} ({told[1]})",
                "give a copy of the very same file or files",
            )
    if difference := changed(terms.identity, ours):
        raise OverwriteRefused(
            f"the search {name!r} is another one: {difference}",
            "--study begins one of another name; --join alone takes what it has",
        )


def check_places(settings: Settings) -> None:
    """That a joining worker's text is there. Raises :class:`CorpusError`."""
    named = [*settings.corpus.paths, *([settings.corpus.val_path] * bool(settings.corpus.val_path))]
    missing = [path for path in named if path is not None and not Path(path).exists()]
    if missing:
        raise CorpusError(
            f"the search is over a text of its own, and {missing[0]} is not here",
            "give this machine's copy with --corpus-path (held out: --val-path)",
        )


def text_key(settings: Settings) -> str:
    """The same on every machine for the same text."""
    plain = as_dict(settings.corpus)
    return digest({key: value for key, value in plain.items() if key not in PLACES})


def text_hash(prepared: Workspace) -> str:
    """Of what is trained on and what is held out, as they were prepared."""
    both = sha256_file(prepared.train_text) + sha256_file(prepared.val_text)
    return hashlib.sha256(both.encode()).hexdigest()


def _contents(corpus: CorpusSettings) -> str:
    """One sha256 of a corpus's files, in their order."""
    hashes = input_hashes(corpus)
    ordered = [hashes.get(str(path), "") for path in corpus_files(corpus.paths)]
    return hashlib.sha256("\n".join(ordered).encode()).hexdigest()


def _plain(dimension: Dimension) -> Any:
    return list(dimension.options) if isinstance(dimension, Choices) else str(dimension)
