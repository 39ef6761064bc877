"""A database that workers in one process share: SQLite in the place of PostgreSQL."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.storages import RDBStorage

from tinytx.sweep import cost
from tinytx.sweep.plan import Plan
from tinytx.sweep.protocol import Run
from tinytx.sweep.records import Record
from tinytx.sweep.shared import search
from tinytx.sweep.shared.database import Pulse
from tinytx.sweep.shared.opening import begin, open_shared, take_folder, this_worker
from tinytx.sweep.shared.search import SharedSweep, run_shared
from tinytx.sweep.watch import Watch

PULSE = Pulse(1, 600)
"""However slow the machine is: no worker of these tests is silent for so long by itself."""


def _in_no_hurry_to_the_disk(connection: Any, record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


@dataclass
class FakeServer:
    """What :class:`Server` asks for, over one file."""

    file: Path
    up: float = 1e9
    """Seconds since its last start."""
    fail: Callable[[], None] = lambda: None
    """Called with the lock; may raise what a server that has gone makes Optuna raise."""
    _storages: dict[Pulse | None, RDBStorage] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> str:
        return "postgresql://tx@server/tx"

    def storage(self, pulse: Pulse | None = None) -> RDBStorage:
        """One for all workers of a pulse: they are in one process, and tables take time."""
        if pulse not in self._storages:
            self._storages[pulse] = self._made(pulse)
        return self._storages[pulse]

    def _made(self, pulse: Pulse | None) -> RDBStorage:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = RDBStorage(
                f"sqlite:///{self.file}",
                heartbeat_interval=pulse.interval if pulse else None,
                grace_period=pulse.grace if pulse else None,
                skip_table_creation=True,  # the template has them
                skip_compatibility_check=True,
            )
        sqlalchemy.event.listen(made.engine, "connect", _in_no_hurry_to_the_disk)
        made.engine.dispose()
        return made

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        with self._lock:
            self.fail()
            yield

    def seconds_up(self) -> float:
        return self.up


@pytest.fixture
def server(template: Path, tmp_path: Path) -> FakeServer:
    """An empty database with its tables."""
    file = tmp_path / "server.db"
    file.write_bytes((template / "sweep.db").read_bytes())
    return FakeServer(file)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for the others nor for what a shape costs: these tests are of neither."""
    monkeypatch.setattr(search, "POLL", 0.01)
    monkeypatch.setattr(cost, "measure", lambda settings, tokenizer: cost.Cost(100_000, 2e4))


@dataclass
class Worker:
    """One worker in this process."""

    server: FakeServer
    root: Path
    name: str
    watch: Watch
    run: Run

    def search(self, plan: Plan) -> list[Record]:
        terms = begin(self.server, "s", plan, PULSE, self.watch)
        return run_shared(plan, self.root, self.watch, self.server, "s", terms, self.name, self.run)

    def open(self, plan: Plan) -> SharedSweep:
        """The worker before its first trial."""
        terms = begin(self.server, "s", plan, PULSE, self.watch)
        me = this_worker(take_folder(self.root, terms.uid), self.name)
        study = open_shared(self.server, "s", plan, terms, me, self.watch)
        return SharedSweep(plan, self.root, self.watch, study, self.run)

    def claim(self, plan: Plan) -> tuple[SharedSweep, optuna.Trial]:
        """The worker with a trial of its own; what comes next is the test's."""
        sweep = self.open(plan)
        sweep._begin()
        trial = sweep._claim(float("inf"))
        assert trial is not None
        return sweep, trial


@pytest.fixture
def worker(server: FakeServer, root: Path, tmp_path: Path, formula, follower) -> Worker:
    """The first of them, with the small text prepared."""
    (root / "sweep.db").unlink()
    return Worker(server, root, "anna", follower, formula)


@pytest.fixture
def another(worker: Worker, template: Path, tmp_path: Path) -> Worker:
    """The second, in a folder of its own, with ears of its own."""
    import shutil

    root = tmp_path / "another"
    shutil.copytree(template, root)
    (root / "sweep.db").unlink()
    return replace(worker, root=root, name="ben", watch=type(worker.watch)())
