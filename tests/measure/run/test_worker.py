"""What a worker times, shown with an engine and a clock that count."""

import itertools
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tinytx.measure.policy.scenarios import SamplingPolicy, Scenarios, WarmUp
from tinytx.measure.record.protocol import Answer, Looks, Task
from tinytx.measure.run import launch, worker


@dataclass
class FakeFacts:
    max_seq_length: int = 32
    vocab_size: int = 50


@dataclass
class FakeEngine:
    """Records every call; a step at context length n advances the clock by n ns."""

    facts: FakeFacts = field(default_factory=FakeFacts)
    length: int = 0
    now: int = 0
    calls: list[tuple[int, int]] = field(default_factory=list)

    def reset(self) -> None:
        self.length = 0

    def append(self, ids: list[int], /) -> np.ndarray:  # type: ignore[type-arg]
        assert self.length + len(ids) <= self.facts.max_seq_length
        assert all(0 <= i < self.facts.vocab_size for i in ids)
        self.length += len(ids)
        self.now += self.length
        self.calls.append((len(ids), self.length))
        return np.zeros(self.facts.vocab_size, np.float32)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine()
    monkeypatch.setattr(worker, "clock", lambda: engine.now)
    return engine


def choose(logits: object) -> int:
    return 7


def task(**changes: object) -> Task:
    plain = Task(
        bundle="nowhere",
        kind="next_token",
        length=32,
        threads=1,
        samples=8,
        block=4,
        seconds=1.0,
        sampling=SamplingPolicy(),
        warm_up=WarmUp(window=4, agreement=0.2, windows=10),
    )
    return msgspec.structs.replace(plain, **changes)


def test_blocks_end_exactly_at_the_context_length(engine: FakeEngine) -> None:
    samples = worker.next_token_blocks(engine, choose, length=32, block=4)
    assert list(itertools.islice(samples, 8)) == [29, 30, 31, 32] * 2
    assert engine.calls[:5] == [(28, 28), (1, 29), (1, 30), (1, 31), (1, 32)]


@pytest.mark.parametrize(("length", "block"), [(2, 8), (4, 8), (16, 1)])
def test_short_contexts_have_shorter_blocks(engine: FakeEngine, length: int, block: int) -> None:
    samples = worker.next_token_blocks(engine, choose, length, block)
    expected = list(range(max(2, length - block + 1), length + 1))
    assert list(itertools.islice(samples, len(expected) * 2)) == expected * 2


def test_the_first_token_is_timed_with_its_whole_prompt(engine: FakeEngine) -> None:
    assert list(itertools.islice(worker.first_tokens(engine, choose, 10), 2)) == [10, 10]
    assert engine.calls == [(10, 10), (10, 10)]


def test_sampling_is_inside_the_step(engine: FakeEngine) -> None:
    def slow_choice(logits: object) -> int:
        engine.now += 1000
        return 0

    samples = worker.next_token_blocks(engine, slow_choice, 16, 4)
    assert next(samples) == 1013


def test_warm_up_ends_when_two_windows_agree() -> None:
    falling = iter([100] * 4 + [50] * 4 + [30] * 4 + [28] * 4 + [27] * 4)
    assert worker.warm_up(falling, WarmUp(window=4, agreement=0.1, windows=9), 1 << 62) == (
        True,
        16,
    )
    assert next(falling) == 27


def test_warm_up_that_never_agrees_says_so() -> None:
    wild = itertools.cycle([100] * 4 + [10] * 4)
    assert worker.warm_up(wild, WarmUp(window=4, agreement=0.1, windows=6), 1 << 62) == (False, 24)


def test_warm_up_stops_at_its_deadline() -> None:
    wild = itertools.cycle([100] * 4 + [10] * 4)
    assert worker.warm_up(wild, WarmUp(window=4, agreement=0.1, windows=99), 0) == (False, 8)


LOOKS = Looks(limit_ns=100.0, first=128, most=1024, least_ns=0.0, block=8, cells=1)
LATER = 1 << 62


def test_clear_cases_stop_at_the_first_look() -> None:
    for value in (50, 200):
        taken = worker.sample_until_decided(itertools.repeat(value), task(looks=LOOKS), LATER)
        assert taken == [value] * 128


def test_an_open_case_doubles_its_samples_until_the_most() -> None:
    five_percent = itertools.cycle([50] * 19 + [200])
    taken = worker.sample_until_decided(five_percent, task(looks=LOOKS), LATER)
    assert len(taken) == 1024
    assert max(taken) == 200  # the tail is kept


def test_a_case_that_more_samples_decide_stops_in_between() -> None:
    three_in_hundred = itertools.cycle([50] * 32 + [200])
    taken = worker.sample_until_decided(three_in_hundred, task(looks=LOOKS), LATER)
    assert len(taken) in (256, 512, 1024)


def test_no_look_before_the_samples_add_up_to_the_least_time() -> None:
    patient = msgspec.structs.replace(LOOKS, least_ns=10_000.0)
    for value, count in ((50, 200), (79, 128), (60, 167)):
        taken = worker.sample_until_decided(itertools.repeat(value), task(looks=patient), LATER)
        assert len(taken) == count


def test_the_most_samples_end_the_wait_for_the_least_time() -> None:
    patient = msgspec.structs.replace(LOOKS, least_ns=1e9)
    assert len(worker.sample_until_decided(itertools.repeat(5), task(looks=patient), LATER)) == 1024


def test_no_time_means_one_sample(engine: FakeEngine) -> None:
    engine.now = 10
    assert worker.sample_fixed(itertools.repeat(5), 9, 0) == [5]
    assert worker.sample_until_decided(itertools.repeat(5), task(looks=LOOKS), 0) == [5]


def test_memory_is_looked_at_after_a_generation_to_the_longest_context() -> None:
    engine = FakeEngine()
    phases = worker.measure_memory(lambda: engine, choose)
    assert engine.calls[0] == (31, 31)
    assert engine.calls[1:] == [(1, n) for n in range(1, 33)]
    assert phases.peak >= phases.at_rest.rss > 1_000_000
    assert phases.separate


def serve(bundle: Path, **changes: object) -> tuple[Answer, str]:
    """The answer of a real worker process, and what it wrote to stderr."""
    request = msgspec.json.encode(task(bundle=str(bundle), **changes))
    child = subprocess.run(
        launch.WORKER, input=request, capture_output=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(worker.__file__).parents[3])},
    )  # fmt: skip
    return msgspec.json.decode(child.stdout, type=Answer), child.stderr.decode()


def test_a_damaged_bundle_is_answered_with_its_error(tmp_path: Path) -> None:
    answer, _ = serve(tmp_path)
    assert answer.error_kind == "BundleError"
    assert "manifest.json is missing" in answer.error


def test_every_kind_of_task_is_done_by_a_real_process(tiny_bundle: Path, quick: Scenarios) -> None:
    longest = json.loads((tiny_bundle / "manifest.json").read_text())["model"]["max_seq_length"]
    answer, _ = serve(tiny_bundle, length=longest, looks=LOOKS, warm_up=quick.warm_up)
    assert len(answer.samples_ns) >= 1
    assert min(answer.samples_ns) > 1_000  # no step takes less than a microsecond
    assert answer.load_ns > 0 < answer.import_ns
    answer, _ = serve(tiny_bundle, kind="memory")
    assert answer.memory is not None
    assert 20e6 < answer.memory.interpreter < answer.memory.peak < 400e6
    answer, _ = serve(tiny_bundle, kind="end_to_end", length=4, prompt="Once " * 200, samples=2)
    assert (answer.generated, len(answer.samples_ns), len(answer.tokenise_ns)) == (4, 2, 2)
    answer, _ = serve(tiny_bundle, kind="first_token", length=longest - 1, samples=3)
    assert len(answer.samples_ns) == 3
