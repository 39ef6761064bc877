"""Threads are chosen by measurement, remembered, and never in the way."""

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinytx.runtime import calibration
from tinytx.runtime.engine import Engine

KEY = "ab" * 32


class Clock:
    """Time that passes only while a model works."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter_ns(self) -> int:
        return self.now


class Fake:
    """A model with ``threads`` threads that takes a known time, now and then much longer."""

    def __init__(self, clock: Clock, cost: int) -> None:
        self.clock, self.cost, self.calls, self.length = clock, cost, 0, 0
        self.facts = SimpleNamespace(max_seq_length=24)

    def reset(self) -> None:
        self.length = 0

    def append(self, ids: Sequence[int]) -> None:
        self.length += len(ids)
        assert self.length <= self.facts.max_seq_length
        self.calls += 1
        self.clock.now += self.cost * (50 if self.calls % 7 == 0 else 1)


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function that calibrates fake models and tells which were made."""
    clock = Clock()
    monkeypatch.setattr(calibration, "time", clock)
    monkeypatch.setenv("TINYTX_CACHE_DIR", str(tmp_path))

    def run(costs: dict[int, int], cores: int = 4, key: str = KEY) -> tuple[int, list[int]]:
        monkeypatch.setattr(calibration, "usable_cores", lambda: cores)
        made: list[int] = []

        def make(threads: int) -> Fake:
            made.append(threads)
            return Fake(clock, costs[threads])

        return calibration.threads_for(key, make), made

    return run


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ({1: 100, 2: 60, 4: 50}, 4),
        ({1: 100, 2: 60, 4: 58}, 2),  # 3 % is not worth two more cores
        ({1: 100, 2: 97, 4: 200}, 1),
        ({1: 100, 2: 100, 4: 100}, 1),
        ({1: 50, 2: 90, 4: 120}, 1),
        ({1: 100, 2: 96, 4: 93}, 4),  # each step is small, both together are not
    ],
)
def test_more_threads_are_taken_only_when_they_are_clearly_faster(
    costs: Any, times: dict[int, int], chosen: int
) -> None:
    assert costs(times) == (chosen, [1, 2, 4])


def test_the_answer_is_remembered_per_bundle_and_machine(
    costs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert costs({1: 100, 2: 50, 4: 80}) == (2, [1, 2, 4])
    assert costs({1: 1, 2: 50, 4: 80}) == (2, [])
    assert costs({1: 1, 2: 50, 4: 80}, key="cd" * 32) == (1, [1, 2, 4])
    monkeypatch.setattr(calibration, "machine_name", lambda: "another")
    assert costs({1: 1, 2: 50, 4: 80}) == (1, [1, 2, 4])
    monkeypatch.undo()


def test_both_machines_of_a_shared_home_are_remembered(
    costs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, cost in (("one", 10), ("other", 900)):
        monkeypatch.setattr(calibration, "machine_name", lambda name=name: name)
        costs({1: 100, 2: cost, 4: 900})
    for name, threads in (("one", 2), ("other", 1)):
        monkeypatch.setattr(calibration, "machine_name", lambda name=name: name)
        assert costs({}) == (threads, [])


def test_one_core_needs_no_measurement_and_no_cache(costs: Any, tmp_path: Path) -> None:
    assert costs({}, cores=1) == (1, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cores", "candidates"),
    [(2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (64, [1, 2, 4, 8])],
)
def test_few_numbers_of_threads_are_tried(costs: Any, cores: int, candidates: list[int]) -> None:
    assert costs(dict.fromkeys(candidates, 10), cores=cores) == (1, candidates)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe not json",
        b"[" * 90_000,
        b"[]",
        b"{}",
        b'{"schema": 1}',
        b'{"schema": 1, "threads": [2]}',
        b'{"schema": 2, "threads": {"here": 2}}',
        b'{"schema": 1, "threads": {"here": "2"}}',
        b'{"schema": 1, "threads": {"here": true}}',
        b'{"schema": 1, "threads": {"here": 3}}',
        b'{"schema": 1, "threads": {"here": 1000000}}',
        b'{"schema": 1, "threads": {"here": 2}, "more": "' + b"x" * 200_000 + b'"}',
    ],
    ids=lambda content: content[:40],
)
def test_a_cache_that_is_broken_or_foreign_is_measured_and_written_anew(
    costs: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    monkeypatch.setattr(calibration, "machine_name", lambda: "here")
    path = tmp_path / "threads" / f"{KEY}.json"
    path.parent.mkdir()
    path.write_bytes(content)
    assert costs({1: 100, 2: 200, 4: 10}) == (4, [1, 2, 4])
    assert json.loads(path.read_bytes()) == {"schema": 1, "threads": {"here": 4}}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_cache_that_cannot_be_read_or_written_is_done_without(costs: Any, tmp_path: Path) -> None:
    (tmp_path / "threads").write_text("a file where a folder should be")
    assert costs({1: 100, 2: 10, 4: 300}) == (2, [1, 2, 4])
    (tmp_path / "threads").unlink()
    (tmp_path / "threads" / f"{KEY}.json").mkdir(parents=True)
    assert costs({1: 100, 2: 10, 4: 300}) == (2, [1, 2, 4])
    assert [p.name for p in (tmp_path / "threads").iterdir()] == [f"{KEY}.json"]


def test_many_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "threads" / "x.json"
    writers = [
        threading.Thread(target=calibration._write, args=(path, {"m": n})) for n in range(1, 9)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert calibration._read(path)["m"] in range(1, 9)
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"TINYTX_CACHE_DIR": "/a/b", "XDG_CACHE_HOME": "/c"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/tinytx"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/tinytx"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/tinytx"),
    ],
)
def test_the_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    for name in ("TINYTX_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert calibration.cache_folder() == Path(folder)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has nothing to choose")
def test_an_engine_without_a_number_of_threads_is_calibrated_once(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYTX_CACHE_DIR", str(tmp_path))
    engine = Engine.load(tiny_bundle, threads=None)
    assert engine.length == 0
    path = tmp_path / "threads" / f"{engine.bundle_id}.json"
    remembered = json.loads(path.read_bytes())["threads"]
    assert list(remembered) == [calibration.machine_name()]
    assert 1 <= remembered[calibration.machine_name()] <= 8
    monkeypatch.setattr(calibration, "measure", None)  # a second measurement would fail
    Engine.load(tiny_bundle, threads=None)


def test_what_was_measured_under_a_quota_is_remembered_for_that_quota_only(
    costs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    even = {1: 100, 2: 60, 4: 50}
    assert costs(even) == (4, [1, 2, 4])
    monkeypatch.setattr(calibration, "quota_name", lambda: "3.50")
    assert costs(even) == (4, [1, 2, 4])
    assert costs(even) == (4, [])
    monkeypatch.setattr(calibration, "quota_name", lambda: "")
    assert costs(even) == (4, [])
