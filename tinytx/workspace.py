"""The output directory: where everything lies, atomic writes, and stage stamps.

A stage (corpus, tokenizer, tokens, export) leaves a stamp: the sha256 of what it read and
wrote, and its own settings. A stage whose stamp still matches the files is skipped; a changed
setting, a changed input or a tampered output makes it run again.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

STAMP_SCHEMA = 1


@dataclass(frozen=True)
class Workspace:
    """Names every file of an output directory; creates nothing by itself."""

    root: Path

    @property
    def train_text(self) -> Path:
        return self.root / "corpus" / "train.txt"

    @property
    def val_text(self) -> Path:
        return self.root / "corpus" / "val.txt"

    @property
    def corpus_facts(self) -> Path:
        return self.root / "corpus" / "corpus.json"

    @property
    def downloads(self) -> Path:
        """Files that were downloaded, whole or in part, for a later run."""
        return self.root / "corpus" / "downloads"

    @property
    def tokenizer(self) -> Path:
        return self.root / "tokenizer.model"

    @property
    def train_tokens(self) -> Path:
        return self.root / "tokens" / "train.bin"

    @property
    def val_tokens(self) -> Path:
        return self.root / "tokens" / "val.bin"

    @property
    def best_model(self) -> Path:
        return self.root / "best_model.pt"

    @property
    def final_model(self) -> Path:
        return self.root / "final_model.pt"

    @property
    def last_checkpoint(self) -> Path:
        """The state that ``--resume`` continues from; removed when a run ends."""
        return self.root / "last_checkpoint.pt"

    @property
    def metrics(self) -> Path:
        return self.root / "training_metrics.json"

    @property
    def plan(self) -> Path:
        """The settings that were chosen for a run, as ``tinytx train --config`` reads them."""
        return self.root / "plan.toml"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    @property
    def bundle(self) -> Path:
        return self.root / "bundle"

    def stamp(self, stage: str) -> "Stamp":
        return Stamp(self.root, self.root / "stamps" / f"{stage}.json")


@dataclass(frozen=True)
class Stamp:
    """Remembers what a finished stage read, wrote and was told."""

    root: Path
    path: Path

    def matches(self, settings: object, inputs: Mapping[str, str]) -> bool:
        """Whether the stage ran with these settings and inputs and its outputs are untouched.

        ``settings`` is anything that JSON can hold; ``inputs`` maps a name to a sha256.
        """
        try:
            stamp = json.loads(self.path.read_bytes())
            return (
                stamp["schema"] == STAMP_SCHEMA
                and stamp["settings"] == _plain(settings)
                and stamp["inputs"] == dict(inputs)
                and all(
                    sha256_file(self.root / name) == digest
                    for name, digest in stamp["outputs"].items()
                )
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def write(
        self,
        settings: object,
        inputs: Mapping[str, str],
        outputs: list[Path],
        made_with: Mapping[str, str] | None = None,
    ) -> None:
        """Record a finished stage. ``outputs`` lie below the output directory; ``made_with`` are
        versions of what made them, which decide nothing."""
        document = {
            "schema": STAMP_SCHEMA,
            "settings": _plain(settings),
            "inputs": dict(inputs),
            "outputs": {str(p.relative_to(self.root)): sha256_file(p) for p in outputs},
            "made_with": dict(made_with or {}),
        }
        write_json(self.path, document)

    def made_with(self, output: Path) -> dict[str, str]:
        """The versions that made a file, if it is still the one that the stage wrote."""
        try:
            stamp = json.loads(self.path.read_bytes())
            same = stamp["outputs"][str(output.relative_to(self.root))] == sha256_file(output)
            return dict(stamp["made_with"]) if same else {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _plain(value: object) -> object:
    """``value`` as it comes back from JSON, so that tuples and lists compare equal."""
    return json.loads(json.dumps(value))


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces ``path`` whole when the block ends, or not at all.

    The bytes go to a temporary file beside it, are flushed to the disk, and take the name by a
    rename: whoever is killed at any instant leaves the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        _sync_directory(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, data: bytes) -> None:
    """Replace ``path`` with ``data``: see :func:`atomic_file`."""
    with atomic_file(path) as file:
        file.write(data)


def write_json(path: Path, document: object) -> None:
    """Replace ``path`` with an indented JSON document; names that are no UTF-8 are escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(path, text.encode("utf-8", "backslashreplace") + b"\n")


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``path`` when the block ends, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        _sync_directory(temporary)
        _take_place(temporary, path)
        _sync_directory(path.parent)
    finally:  # what lies here now is the old folder, or one that failed
        _remove(temporary)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder below ``parent`` that is gone when the block ends."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".work.", suffix=".tmp", dir=parent))
    try:
        yield folder
    finally:
        _remove(folder)


def move_durably(path: Path, target: Path) -> None:
    """Let a finished file on the same file system take the place of ``target``, whole or not at
    all, as :func:`atomic_file` does."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.chmod(0o644)
    path.replace(target)
    _sync_directory(target.parent)


def _take_place(new: Path, path: Path) -> None:
    """Rename ``new`` to ``path``; what was there is then called ``new``, or is gone."""
    if not os.path.lexists(path):
        new.replace(path)
    elif not _exchange(new, path):  # then there is an instant without a ``path``
        retired = new.with_suffix(".old")
        path.replace(retired)
        try:
            new.replace(path)
        except BaseException:
            retired.replace(path)
            raise
        _remove(retired)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step (Linux, renameat2), so that neither is ever missing."""
    import ctypes

    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _remove(path: Path) -> None:
    """Delete a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(root: Path) -> None:
    """Delete the temporary files that a killed run left behind."""
    for leftover in [*root.glob(".*.tmp"), *root.glob("*/.*.tmp"), *root.glob(".*.old")]:
        _remove(leftover)


def _sync_directory(path: Path) -> None:
    """Make a rename durable: the directory entry is flushed as well."""
    with suppress(OSError):  # some file systems do not allow it
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
