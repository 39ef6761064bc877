"""How many threads make the next token fastest here: measured once, then remembered.

A small model's products are too short to share: on some machines two threads are slower than
one, on others faster. So a tenth of a second decides, once per machine and bundle. The answer
lies in ``threads/<bundle id>.json`` of the cache folder: ``TINYTX_CACHE_DIR``, or ``tinytx`` in
``XDG_CACHE_HOME`` or ``~/.cache``. It is only ever a hint: an unreadable cache is written anew,
one that cannot be written is done without.
"""

import json
import logging
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import onnxruntime as ort

from tinytx.cache import cache_folder
from tinytx.cgroup import quota_name, usable_cores

log = logging.getLogger(__name__)

SCHEMA = 1
MOST_THREADS = 8  # no model of this size gains from more
ROUNDS, STEPS = 5, 16
WORTH_A_THREAD = 0.95  # more threads must be 5 % faster: they take cores from others
MOST_BYTES = 100_000  # of a cache file; a larger one is none of ours


class Facts(Protocol):
    @property
    def max_seq_length(self) -> int: ...


class Model(Protocol):
    """The part of :class:`tinytx.runtime.engine.Engine` that is measured."""

    @property
    def facts(self) -> Facts: ...
    @property
    def length(self) -> int: ...
    def reset(self) -> None: ...
    def append(self, ids: Sequence[int], /) -> object: ...


def threads_for(key: str, make: Callable[[int], Model]) -> int:
    """The number of threads for the model called ``key``, such as a bundle's id.

    ``make`` loads it with so many threads; it is called only when nothing is remembered.
    """
    candidates = _candidates(usable_cores())
    if len(candidates) == 1:
        return 1
    path, machine = cache_folder() / "threads" / f"{key}.json", machine_name()
    remembered = _read(path)
    if remembered.get(machine) in candidates:
        return remembered[machine]
    times = measure([make(threads) for threads in candidates])
    chosen = choose(dict(zip(candidates, times, strict=True)))
    log.info("%d threads: %s us a token", chosen, [round(t / 1e3) for t in times])
    _write(path, {**remembered, machine: chosen})
    return chosen


def choose(times: dict[int, float]) -> int:
    """The fewest threads that no larger number beats by more than is worth a thread."""
    best = min(times)
    for threads in sorted(times):
        if times[threads] < times[best] * WORTH_A_THREAD:
            best = threads
    return best


def measure(models: Sequence[Model]) -> list[float]:
    """Nanoseconds of one token, per model: the best median of a few interleaved rounds."""
    medians: list[list[float]] = [[] for _ in models]
    for _ in range(ROUNDS):
        for model, found in zip(models, medians, strict=True):
            found.append(_median_step(model))
    return [min(found) for found in medians]


def _median_step(model: Model) -> float:
    """From a context that is half full (or nearly, in a short one)."""
    steps = min(STEPS, model.facts.max_seq_length // 2)
    model.reset()
    model.append([0] * (model.facts.max_seq_length // 2))
    samples = []
    for _ in range(steps):
        start = time.perf_counter_ns()
        model.append([0])
        samples.append(time.perf_counter_ns() - start)
    return statistics.median(samples)


def _candidates(cores: int) -> list[int]:
    """1, 2, 4, ... and all the cores, as far as threads can pay."""
    most = min(cores, MOST_THREADS)
    return sorted({1, most} | {n for n in (2, 4) if n <= most})


def machine_name() -> str:
    """What the answer depends on besides the model: processor, cores, quota, onnxruntime."""
    processor = platform.machine()
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        for line in file:
            if line.startswith(("model name", "Model")):
                processor = line.partition(":")[2].strip()
                break
    cores = f"{usable_cores()} cores"
    if quota := quota_name():
        cores += f" (a quota of {quota})"
    return f"{processor}, {cores}, onnxruntime {ort.__version__}"


def _read(path: Path) -> dict[str, int]:
    """Threads per machine; empty when there is no such file or it is not ours."""
    try:
        with path.open("rb") as file:
            document: Any = json.loads(file.read(MOST_BYTES))
        threads = document["threads"]
        if document["schema"] == SCHEMA and all(type(n) is int for n in threads.values()):
            return dict(threads)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return {}


def _write(path: Path, threads: dict[str, int]) -> None:
    """Whole or not at all: several processes may calibrate at once."""
    document = json.dumps({"schema": SCHEMA, "threads": threads}, indent=2)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(document + "\n")
        Path(temporary).replace(path)
    except OSError as error:
        log.debug("the number of threads is not remembered: %s", error)
        with suppress(OSError):
            Path(temporary).unlink(missing_ok=True)
