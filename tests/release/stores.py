"""Stores for tests: bundles of a few bytes, and the way of one through a store."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tinytx import bundle as bundles
from tinytx.release import install as installing
from tinytx.release import intake, states, switch, wayback, work
from tinytx.release.journal import read
from tinytx.release.prove import Proof
from tinytx.release.store import Store, open_store

HASH = hashlib.sha256(b"").hexdigest()


def made(folder: Path, name: str) -> Path:
    """A bundle that no runtime could load and every check of a store accepts. Those of all names
    have their tokenizer in common."""
    files = {
        "model.onnx": f"the graph of {name} ".encode() * 90,
        "golden.json": f"the words of {name}".encode(),
        "tokenizer.model": b"the same pieces " * 50,
    }
    facts: dict[str, Any] = {
        "schema": 1,
        "id": "",
        "files": {},
        "model": {
            "layers": 1, "width": 16, "heads": 1, "head_size": 16, "hidden": 16,
            "max_seq_length": 16, "vocab_size": 300, "rope_base": 10_000.0, "parameters": 1,
            "precision": "float32",
        },
        "start_id": 0,
        "provenance": {
            "tinytx": "0", "run_id": name, "checkpoint_sha256": HASH, "tokenizer_sha256": HASH,
            "train_sha256": HASH, "val_sha256": HASH, "settings": {}, "versions": {},
        },
        "training": {
            "epochs": 1, "epoch_seconds": [1.0], "setup_seconds": 1.0, "complete": True,
            "machine": {},
        },
        "parity": {
            "prompts": 1, "greedy_tokens": 1, "max_abs_logit_difference": 0.0, "tolerance": 0.1,
            "torch_bits_per_byte": 1.0, "onnx_bits_per_byte": 1.0, "compared_bytes": 1,
        },
        "quality": {"bits_per_byte": 1.0, "bytes": 1},
    }  # fmt: skip
    folder.mkdir(parents=True)
    bundles.write(folder, msgspec.convert(facts, bundles.Manifest), files)
    return folder


class Bytes:
    """A source of what lies in memory, which may stop, or fall silent, before the end."""

    def __init__(self, data: bytes, *, silent: bool = False) -> None:
        self.data, self.silent = data, silent

    def read(self, size: int, seconds: float) -> bytes | None:
        piece, self.data = self.data[:size], self.data[size:]
        return None if self.silent and not piece else piece


@dataclass(frozen=True)
class Device:
    """A store and the bundles that go there, by one-letter names."""

    root: Path
    folder: Path

    @property
    def store(self) -> Store:
        return open_store(self.root, create=True)

    def bundle(self, name: str) -> Path:
        folder = self.folder / name
        return folder if folder.is_dir() else made(folder, name)

    def id(self, name: str) -> str:
        return bundles.Bundle(self.bundle(name)).id

    def offer(self, name: str) -> intake.Offer:
        raw = (self.bundle(name) / bundles.MANIFEST).read_bytes()
        with work.begun(self.root, "test", create=True) as here:
            return intake.offer(here.store, raw)

    def send(self, name: str) -> list[str]:
        """All that is missing; returns the names of the files."""
        missing = self.offer(name).missing
        for one in missing:
            data = (self.bundle(name) / one.name).read_bytes()[one.held :]
            intake.receive(self.store, one.sha256, one.size, one.held, Bytes(data))
        return [one.name for one in missing]

    def install(self, name: str) -> installing.Installed:
        with work.begun(self.root, "test") as here:
            return installing.install(here, self.id(name))

    def prove(self, name: str, **options: Any) -> Proof:
        with work.begun(self.root, "test") as here:
            return switch.prove(here, self.id(name), **options)

    def switch(self, name: str) -> bool:
        with work.begun(self.root, "test") as here:
            return switch.switch(here, self.id(name))

    def prepare(self, name: str) -> None:
        """Up to where it can be switched to."""
        self.send(name)
        self.install(name)
        self.prove(name)

    def decide(self, why: str = "") -> None:
        """As the watch does: commit, or take back and say ``why``."""
        store = Store(self.root)
        journal = store.journal("test")
        trial = states.on_trial(journal.entries())
        assert trial is not None
        if why:
            wayback.take_back(store, journal, trial.release, why)
        else:
            wayback.commit(store, journal, trial.release)

    def deploy(self, *names: str) -> None:
        """Up to the commit."""
        for name in names:
            self.prepare(name)
            self.switch(name)
            self.decide()

    def recover(self) -> list[str]:
        with work.begun(self.root, "test") as here:
            return here.recovered

    @property
    def current(self) -> str:
        """The name of what is served; empty for nothing."""
        release = Store(self.root).target(self.root / "current")
        return next((p.name for p in self.folder.iterdir() if self.id(p.name) == release), release)

    def lines(self, name: str = "") -> list[str]:
        """What the journal says, of one release or of all: ``state phase``."""
        entries = read(self.root / "journal").entries
        wanted = self.id(name) if name else ""
        return [f"{e.state} {e.phase}" for e in entries if not name or e.release == wanted]

    def why(self, name: str) -> str:
        return states.newest(read(self.root / "journal").entries)[self.id(name)].why


def clone(source: Path, target: Path) -> None:
    """A copy with the same links and hard links."""
    seen: dict[int, Path] = {}
    for path, folders, files in os.walk(source):
        here = target / Path(path).relative_to(source)
        here.mkdir()
        for each in [*folders, *files]:
            one = Path(path) / each
            if one.is_symlink():
                (here / each).symlink_to(one.readlink())
            elif one.is_file() and one.stat().st_ino in seen:
                (here / each).hardlink_to(seen[one.stat().st_ino])
            elif one.is_file():
                shutil.copy2(one, here / each)
                seen[one.stat().st_ino] = here / each
    for path, _, _ in os.walk(source):
        (target / Path(path).relative_to(source)).chmod(Path(path).stat().st_mode)


def passing(folder: Path, *rest: object, **options: object) -> Proof:
    """In place of the proof, which needs a model."""
    identity = bundles.Bundle(folder).id
    return Proof(
        bundle=identity, verdict="PASS", seconds=0.1, golden={}, rows=[], unproven=[], report=None
    )
