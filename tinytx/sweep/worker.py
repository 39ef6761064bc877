"""The process of one trial: a task on stdin, messages on stdout, "go" on stdin after each.

When stdin ends, the sweep has gone, and this process goes at once: nobody wants its result.
"""

import os
import statistics
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

import msgspec

from tinytx.config import settings_from
from tinytx.errors import TinytxError
from tinytx.sweep.protocol import Done, EpochEnd, Failed, Listen, Message, Pace, Task
from tinytx.train.job import Options
from tinytx.train.metrics import EpochRecord
from tinytx.train.pipeline import Pipeline
from tinytx.train.progress import Reporter, StepReport
from tinytx.workspace import Workspace

UNUSUAL_STEPS = 3  # at the start, while caches and allocator warm up
TIMED_STEPS, TIMED_SECONDS = 10, 1.0  # at least both, before the pace is told
FORWARD_SHARE = 1 / 3  # of a training step's work: what validation does per token


def train(task: Task, listen: Listen) -> Done:
    """Train in this process. Raises :class:`TinytxError`, and what ``listen`` raises."""
    settings = settings_from(task.settings, "the trial's settings")
    space = Workspace(Path(task.folder))
    given = Options(skip_corpus=True, skip_tokenizer=True, overwrite=True)
    pipeline = Pipeline(settings, space, given, Watcher(space, listen))
    pipeline.corpus()
    pipeline.tokenizer()
    metrics = pipeline.training(None)
    seconds = [epoch.seconds for epoch in metrics.epochs]
    best = min(epoch.val_bits_per_byte for epoch in metrics.epochs)
    speed = statistics.fmean(epoch.tokens_per_second for epoch in metrics.epochs)
    return Done(best, seconds, metrics.setup_seconds, speed)


class Watcher(Reporter):
    """Tells the sweep of the pace and of each epoch."""

    def __init__(self, space: Workspace, listen: Listen) -> None:
        self._space, self._listen = space, listen
        self._times: list[float] = []
        self._told = False

    def step(self, report: StepReport) -> None:
        if self._told:
            return
        self._times.append(time.perf_counter())
        timed = self._times[UNUSUAL_STEPS:]
        if len(timed) > TIMED_STEPS and timed[-1] - timed[0] > TIMED_SECONDS:
            self._told = True
            fastest = min(after - before for before, after in pairwise(timed))
            steps = report.total / report.epochs
            self._listen(Pace(20 * steps * fastest * (1 + self._validation()) * 1e9))

    def epoch(self, record: EpochRecord) -> None:
        self._told = True  # a step after a validation would count it in
        self._listen(EpochEnd(record.epoch, record.val_bits_per_byte))

    def _validation(self) -> float:
        """Its work, as a share of an epoch's steps."""
        sizes = [p.stat().st_size for p in (self._space.val_tokens, self._space.train_tokens)]
        return FORWARD_SHARE * sizes[0] / sizes[1]


def main() -> None:
    """Serve one task."""
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints is no message
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    answers: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_wait_for_answers, args=(answers,), daemon=True).start()

    def tell(message: Message) -> None:
        _send(channel, message)
        answers.get()

    try:
        last: Message = train(task, tell)
    except TinytxError as error:
        last = Failed(error.message, error.remedy)
    except Exception as error:
        last = Failed(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    _send(channel, last)
    os._exit(0)  # no library's clean-up can hang it


def _wait_for_answers(answers: "SimpleQueue[bytes]") -> None:
    while line := sys.stdin.buffer.readline():
        answers.put(line)
    os._exit(1)


def _send(channel: BinaryIO, message: Message) -> None:
    channel.write(msgspec.json.encode(message) + b"\n")


if __name__ == "__main__":
    main()
