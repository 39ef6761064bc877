"""A search on several machines against a real PostgreSQL server, which the tests start.

They take a minute and need Debian's package: TINYTX_POSTGRES_TESTS=1, which .ci/run sets.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from tests.sweep.shared import cheap_worker
from tests.sweep.shared.cluster import PASSWORD, Cluster
from tinytx.errors import PrerequisiteError, UsageError
from tinytx.sweep.records import Outcome, Record
from tinytx.sweep.shared import address as addresses
from tinytx.sweep.shared.address import parse_address
from tinytx.sweep.shared.database import Postgres, Pulse, database_errors, open_storage
from tinytx.sweep.shared.opening import TERMS, begin
from tinytx.sweep.shared.study import TRIALS
from tinytx.sweep.study import WORKER, record_of
from tinytx.sweep.watch import Watch

pytestmark = pytest.mark.postgres
GRACE = 6
BUDGET = 30


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.remove()


@pytest.fixture
def with_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)


def server_of(address: str) -> Postgres:
    return Postgres(parse_address(address, "the test", may_hold_password=False))


def trials_of(address: str, study: str) -> list[optuna.trial.FrozenTrial]:
    storage = open_storage(server_of(address))
    return optuna.load_study(study_name=study, storage=storage).trials


@dataclass
class Worker:
    """A worker's process, and what it says."""

    process: "subprocess.Popen[bytes]"
    words: Path

    def said(self) -> str:
        return self.words.read_text()

    def ended(self) -> int:
        return self.process.wait(timeout=150)


@dataclass
class Workers:
    """Started processes, none of which outlives the test."""

    folder: Path
    all: list[Worker] = field(default_factory=list)

    def start(self, name: str, *command: str) -> Worker:
        words = self.folder / f"{name}.txt"
        environment = {
            **os.environ,
            "PGPASSWORD": PASSWORD,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        with words.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment,
                cwd=self.folder,
            )  # fmt: skip
        self.all.append(Worker(process, words))
        return self.all[-1]


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    started = Workers(tmp_path)
    yield started
    for worker in started.all:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait()


def wait_until(true: Callable[[], object], seconds: float = 90.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.02)


@dataclass(frozen=True)
class Log:
    """What the workers' trials have written."""

    path: Path

    def numbers(self, what: str, name: str = "") -> list[int]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        words = [line.split() for line in lines]
        return [int(number) for did, number, who, _ in words if did == what and name in ("", who)]

    def at_work(self, name: str) -> set[int]:
        return {*self.numbers("begin", name)} - {*self.numbers("end", name)}


def in_the_middle(log: Log, worker: Worker, name: str, trials: int, how: signal.Signals) -> int:
    """Send a worker a signal in the middle of a trial, once it has ended so many; its number."""
    before = len(log.numbers("end", name)) + trials
    wait_until(lambda: len(log.numbers("end", name)) >= before and log.at_work(name))
    worker.process.send_signal(how)
    (number,) = log.at_work(name)
    return number


def test_of_three_workers_one_is_killed_one_paused_and_the_server_restarted_and_every_trial_ends(
    cluster: Cluster, workers: Workers, text_file: Path, tmp_path: Path, with_password: None
) -> None:
    address, log = cluster.create("chaos"), Log(tmp_path / "log")
    for name in ("anna", "ben", "cleo"):
        root, script = tmp_path / name, cheap_worker.__file__
        arguments = [address, str(root), str(text_file), str(log.path), name, str(BUDGET)]
        workers.start(name, script, *arguments)
    anna, ben, cleo = workers.all
    killed = in_the_middle(log, ben, "ben", 1, signal.SIGKILL)
    paused = in_the_middle(log, cleo, "cleo", 1, signal.SIGSTOP)
    time.sleep(GRACE + 3)
    cleo.process.send_signal(signal.SIGCONT)
    wait_until(lambda: "was given up by the others" in cleo.said())
    cluster.stop()
    time.sleep(1.5)
    cluster.start()
    assert (anna.ended(), cleo.ended(), ben.ended()) == (0, 0, -signal.SIGKILL)

    trials = trials_of(address, "cheap")
    records = [record_of(trial) for trial in trials]
    assert all(trial.state.is_finished() for trial in trials)
    done = [r for r in records if r.outcome in (Outcome.COMPLETE, Outcome.PRUNED)]
    assert len(done) == BUDGET  # not one more
    lost = [r for r in records if r.outcome is Outcome.INTERRUPTED and r.params]
    assert {killed, paused} <= {r.number for r in lost}
    assert len(done) + len(lost) == len([r for r in records if r.params])
    assert_each_lost_one_was_tried_again(lost, records)
    said = anna.said() + cleo.said()
    assert_nothing_was_done_twice(log, done, said)
    for number in (killed, paused):
        assert f"trial {number} is tried again: " in said
    assert "does not answer" in said
    assert "answers again" in said
    assert PASSWORD not in said + ben.said()
    assert "sqlalche.me" not in said  # no library's letters


def assert_each_lost_one_was_tried_again(lost: list[Record], records: list[Record]) -> None:
    for record in lost:
        (again,) = [r for r in records if r.retry_of == record.number]
        assert again.params == record.params


def assert_nothing_was_done_twice(log: Log, done: list[Record], said: str) -> None:
    begun = Counter(log.numbers("begin"))
    assert set(begun.values()) == {1}
    ended = Counter(log.numbers("end"))
    assert set(ended.values()) == {1}
    complete = {r.number for r in done if r.outcome is Outcome.COMPLETE}
    assert complete <= ended.keys()
    for number in ended.keys() - complete:  # done in vain, which has to be told
        assert f"trial {number} was given up by the others" in said


def sweep(storage: str, root: Path, text: Path, *more: str) -> list[str]:
    words = ["-m", "tinytx.cli.main", "sweep", "--storage", storage, "--output-dir", str(root)]
    return [*words, "--corpus-path", str(text), *more]


SETTINGS = [
    f"--set={key}={value}" for key, value in cheap_worker.SMALL.items() if "threads" not in key
] + ["--set=training.threads=1", "--set=training.epochs=4"]


def test_real_trainings_of_three_workers_share_one_budget_when_one_of_them_is_killed(
    cluster: Cluster, workers: Workers, text_file: Path, tmp_path: Path, with_password: None
) -> None:
    address = cluster.create("real")
    search = ["--search", "training.learning_rate=log:1e-3:1e-1", "--trials", "1", "--grace", "6s"]
    begun = sweep(address, tmp_path / "anna", text_file, "--worker", "anna", *search, *SETTINGS)
    assert workers.start("first", *begun).ended() == 0
    storage = open_storage(server_of(address))
    optuna.load_study(study_name="sweep", storage=storage).set_user_attr(TRIALS, 5)
    anna, ben, cleo = (
        workers.start(name, *sweep(address, tmp_path / name, text_file, "--join", "--worker", name))
        for name in ("anna", "ben", "cleo")
    )
    wait_until(lambda: [t for t in trials_of(address, "sweep") if of(t) == "ben"])
    ben.process.kill()
    assert (anna.ended(), cleo.ended()) == (0, 0)
    records = [record_of(trial) for trial in trials_of(address, "sweep")]
    done = [r for r in records if r.outcome in (Outcome.COMPLETE, Outcome.PRUNED)]
    assert len(done) == 5
    assert all(r.tokens_per_second and r.tokens_per_second > 0 for r in done if r.bits_per_byte)
    shown = re.sub(r"\s+", " ", anna.said())
    assert "tokens/s" in shown
    lost = [r for r in records if r.outcome is Outcome.INTERRUPTED and r.params]
    assert_each_lost_one_was_tried_again(lost, records)
    assert all(r.worker == "ben" for r in lost)


def of(trial: optuna.trial.FrozenTrial) -> str:
    return str(trial.user_attrs.get(WORKER, {}).get("name"))


def test_three_that_make_the_tables_at_once_all_have_them_and_one_search(
    cluster: Cluster, text_file: Path, with_password: None
) -> None:
    address, plan = cluster.create("tables"), cheap_worker.cheap_plan(str(text_file), 3)
    uids: list[str] = []

    def one() -> None:
        uids.append(begin(server_of(address), "s", plan, Pulse(1, 6), Watch()).uid)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(uids) == 3
    assert len({*uids}) == 1
    study = optuna.load_study(study_name="s", storage=open_storage(server_of(address)))
    assert study.user_attrs[TERMS]["uid"] == uids[0]


def test_a_worker_that_is_paused_with_the_lock_loses_it_and_is_told_at_its_end(
    cluster: Cluster, with_password: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        addresses, "SESSION", addresses.SESSION.replace("timeout=30s", "timeout=500ms")
    )
    paused, other = server_of(cluster.address()), server_of(cluster.address())
    with pytest.raises(sqlalchemy.exc.DBAPIError), paused.exclusively():
        time.sleep(1.5)
        with other.exclusively():
            assert other.seconds_up() > 0


def test_neither_pgtz_nor_pgoptions_changes_the_time_zone_of_a_session(
    cluster: Cluster, with_password: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGOPTIONS", "-c timezone=Asia/Tokyo")
    server = server_of(cluster.address())
    with server._address.connect() as connection:
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
        limit = connection.execute("SHOW idle_in_transaction_session_timeout").fetchone()
    assert limit == ("30s",)


@pytest.mark.parametrize(
    ("database", "password", "words", "remedy"),
    [
        ("postgres", "wrong", 'password authentication failed for user "tx"', "PGPASSWORD"),
        ("postgres", None, "no password supplied", "--storage-password-file"),
        ("nowhere", PASSWORD, 'database "nowhere" does not exist', "createdb"),
    ],
    ids=["another password", "no password", "no such database"],  # a drawn password is in none
)
def test_what_the_server_refuses_is_one_sentence_with_what_to_do(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    database: str, password: str | None, words: str, remedy: str,
) -> None:  # fmt: skip
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    if password is not None:
        monkeypatch.setenv("PGPASSWORD", password)
    server = server_of(cluster.address(database))
    with pytest.raises(PrerequisiteError) as refusal, database_errors(server.address):
        open_storage(server)
    assert words in refusal.value.message
    assert remedy in refusal.value.remedy
    assert refusal.value.exit_code == 1
    assert password is None or password not in refusal.value.message.replace("password", "")


def test_a_password_file_opens_the_unix_socket_too_and_no_process_or_child_shows_it(
    cluster: Cluster, workers: Workers, text_file: Path, tmp_path: Path
) -> None:
    cluster.create("quiet")
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    search = ["--search", "training.learning_rate=log:1e-3:1e-1", "--trials", "1"]
    command = sweep(cluster.socket_address("quiet"), tmp_path / "o", text_file, *search, *SETTINGS)
    worker = workers.start("w", *command, f"--storage-password-file={file}")
    seen: set[bytes] = set()
    while worker.process.poll() is None:
        seen |= told_of_children(worker.process.pid)
        time.sleep(0.05)
    assert worker.process.returncode == 0, worker.said()
    assert any(b"tinytx.sweep.worker" in one for one in seen)
    assert not [one for one in seen if PASSWORD.encode() in one]
    assert PASSWORD not in worker.said()
    assert f"other users of this machine can read {file}" in worker.said()


def told_of_children(parent: int) -> set[bytes]:
    """Command lines and environments of a process's children, and its own command line."""
    told = (
        {Path(f"/proc/{parent}/cmdline").read_bytes()}
        if Path(f"/proc/{parent}").exists()
        else set()
    )
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                told |= {(status.parent / name).read_bytes() for name in ("cmdline", "environ")}
        except OSError:
            continue
    return told


def test_a_study_of_another_program_is_not_joined(cluster: Cluster, with_password: None) -> None:
    address = cluster.create("others")
    optuna.create_study(study_name="sweep", storage=open_storage(server_of(address)))
    from tinytx.sweep.shared.opening import find

    with pytest.raises(UsageError, match="is none that this tinytx can join"):
        find(server_of(address), "sweep")
