"""One fresh process, one scenario: ``python -m tinytx.measure.run.worker``.

Reads a :class:`Task` as JSON from stdin, writes an :class:`Answer` as JSON to stdout and nothing
else: whatever a native library prints to stdout goes to stderr instead. Latency and memory are
never measured by the same process.
"""

import ctypes
import math
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from tinytx import cgroup
from tinytx.errors import TinytxError
from tinytx.measure import stats
from tinytx.measure.machine.scheduling import scheduled, wait_share
from tinytx.measure.memory import process
from tinytx.measure.policy.scenarios import WarmUp
from tinytx.measure.record.protocol import Answer, Looks, Phases, Task

clock = time.perf_counter_ns
PR_SET_PDEATHSIG = 1


class Facts(Protocol):
    """The part of a model's facts that measuring needs."""

    @property
    def max_seq_length(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...


class Model(Protocol):
    """The part of :class:`tinytx.runtime.engine.Engine` that measuring needs."""

    @property
    def facts(self) -> Facts: ...
    def reset(self) -> None: ...
    def append(self, ids: list[int], /) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]": ...


Choose = Callable[["np.ndarray[tuple[int, ...], np.dtype[np.float32]]"], int]


def next_token_blocks(model: Model, choose: Choose, length: int, block: int) -> Iterator[int]:
    """Endless nanoseconds of one step (append one token, sample the next).

    Each block: a prompt that is not timed, then ``block`` steps; the last one is appended as
    token number ``length`` (at least 2) of the context.
    """
    steps = min(block, length - 1)
    prompt = _some_ids(model, length - steps)
    while True:
        model.reset()
        token = choose(model.append(prompt))
        for _ in range(steps):
            start = clock()
            token = choose(model.append([token]))
            yield clock() - start


def first_tokens(model: Model, choose: Choose, length: int) -> Iterator[int]:
    """Endless nanoseconds of a whole prompt and the choice of the first token."""
    prompt = _some_ids(model, length)
    while True:
        model.reset()
        start = clock()
        choose(model.append(prompt))
        yield clock() - start


def warm_up(samples: Iterator[int], policy: WarmUp, deadline: int) -> tuple[bool, int]:
    """Drop samples until the medians of two windows in a row agree.

    Returns whether they did before ``deadline`` (ns of the clock), and how many were dropped.
    """
    previous = 0.0
    for number in range(1, policy.windows + 1):
        median = statistics.median(next(samples) for _ in range(policy.window))
        if abs(median - previous) <= policy.agreement * min(median, previous):
            return True, number * policy.window
        if clock() > deadline and number > 1:
            return False, number * policy.window
        previous = median
    return False, policy.windows * policy.window


def sample_fixed(samples: Iterator[int], count: int, deadline: int) -> list[int]:
    """``count`` samples, or as many (at least one) as there is time for."""
    taken: list[int] = []
    while len(taken) < count:
        taken.append(next(samples))
        if clock() > deadline:
            break
    return taken


def sample_until_decided(samples: Iterator[int], task: Task, deadline: int) -> list[int]:
    """Samples until a look proves the p95 within the limit or over it, or time is up.

    The first look waits until the samples add up to ``least_ns``. A look at a number of samples
    between two doublings counts like the next full one.
    """
    looks = task.looks
    assert looks is not None
    taken: list[int] = []
    goal = looks.first
    while True:
        taken += sample_fixed(samples, goal - len(taken), deadline)
        if clock() > deadline or goal >= looks.most:
            return taken
        missing = looks.least_ns - sum(taken)
        if missing > 0:
            goal = len(taken) + max(math.ceil(missing * len(taken) / sum(taken)), 1)
        elif _decided(taken, looks):
            return taken
        else:
            goal = len(taken) * 2
        goal = min(goal, looks.most)


def _decided(taken: list[int], looks: Looks) -> bool:
    return stats.decided(taken, looks.limit_ns, looks.first, looks.cells, looks.block)


def _some_ids(model: Model, count: int) -> list[int]:
    """Token ids that stand for a prompt: the same on every machine."""
    # not numpy.random, which would add 4 MB to the memory that is measured
    return random.Random(count).choices(range(model.facts.vocab_size), k=count)


def read_longest_prompt(model: Model, choose: Choose) -> None:
    """All but one token of the longest context at once, and the choice of the last."""
    choose(model.append(_some_ids(model, model.facts.max_seq_length - 1)))


def generate_longest(model: Model, choose: Choose) -> None:
    """From one token to the longest context, one by one."""
    model.reset()
    token = choose(model.append(_some_ids(model, 1)))
    for _ in range(model.facts.max_seq_length - 1):
        token = choose(model.append([token]))


def measure_memory(load: Callable[[], Model], choose: Choose) -> Phases:
    """The high-water mark of each phase, then the resident set at rest."""
    marks: list[int] = []
    separate: list[bool] = []

    def mark() -> None:
        """End a phase: note its high-water mark and start the next one's."""
        marks.append(process.high_water_or_none() or 0)
        separate.append(process.reset_high_water())

    mark()
    model = load()
    mark()
    read_longest_prompt(model, choose)
    mark()
    generate_longest(model, choose)
    mark()
    interpreter, loaded, prompted, decoded = marks
    return Phases(
        interpreter=interpreter,
        load=loaded,
        prompt=prompted,
        decode=decoded,
        at_rest=process.resident(),
        separate=all(separate),
        marked=all(marks),
    )


def measure_latency(model: Model, choose: Choose, task: Task) -> Answer:
    """Warm up, then sample the next token or the first one."""
    if task.kind == "next_token":
        samples = next_token_blocks(model, choose, task.length, task.block)
    else:
        samples = first_tokens(model, choose, task.length)
    start = clock()
    settled, dropped = warm_up(samples, task.warm_up, start + int(task.seconds * 0.5e9))
    deadline = start + int(task.seconds * 1e9)
    before, stopped = scheduled(), cgroup.quota().stalled_us
    if task.looks is not None:
        taken = sample_until_decided(samples, task, deadline)
    else:
        taken = sample_fixed(samples, task.samples, deadline)
    waited = wait_share(before, scheduled())
    ended = cgroup.quota().stalled_us
    return Answer(
        settled=settled,
        warm_up_samples=dropped,
        samples_ns=taken,
        waited=waited,
        quota_us=None if stopped is None or ended is None else ended - stopped,
    )


def reproduce_golden(task: Task) -> Answer:
    """Check every file and every golden token; raises what :func:`golden.verify` raises."""
    from tinytx.runtime.golden import verify

    verified = verify(Path(task.bundle), task.threads, task.precision)
    return Answer(golden=dict(verified.tokens), differing=dict(verified.differing))


def run(task: Task) -> Answer:
    """Do the task with the real engine."""
    if task.kind == "golden":
        return reproduce_golden(task)
    start = clock()
    from tinytx.runtime.engine import Engine
    from tinytx.runtime.sampling import Sampler, Sampling

    imported = clock() - start
    policy = task.sampling
    choose = Sampler(Sampling(policy.temperature, policy.top_k, policy.top_p, policy.seed))

    def load() -> Engine:
        return Engine.load(task.bundle, threads=task.threads, precision=task.precision)

    if task.kind == "memory":
        return Answer(import_ns=imported, memory=measure_memory(load, choose))
    start = clock()
    engine = load()
    loaded = clock() - start
    if task.kind == "end_to_end":
        from tinytx.measure.run.end_to_end import measure_end_to_end

        answer = measure_end_to_end(engine, choose.sampling, task)
    else:
        answer = measure_latency(engine, choose, task)
    return msgspec.structs.replace(answer, import_ns=imported, load_ns=loaded)


def main() -> None:
    """Serve one task, and die when the bench that asked for it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    reply_to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        answer = run(msgspec.json.decode(sys.stdin.buffer.read(), type=Task))
    except TinytxError as error:
        kind = type(error).__name__
        answer = Answer(error=error.message, error_kind=kind, error_remedy=error.remedy)
    except MemoryError:
        answer = Answer(error="it ran out of memory", error_kind="MemoryError")
    reply_to.write(msgspec.json.encode(answer))
    reply_to.flush()


if __name__ == "__main__":
    main()
