"""A run that ends in time: it watches its pace, and shortens its schedule where steps are too slow.

A step's learning rate is a function of its place in the planned schedule, 0 to N - 1 for N planned
steps. While all planned steps fit into ``training.time_limit``, step n has place n: such a run is
the run without a limit, bit for bit. Where only m of the steps that are left fit, each goes the
m-th part of the way that is left, so that the last one has place N - 1 in any case: warm-up and
cosine are run through to their floor, in fewer steps. m is estimated anew before each step from
the steps just done; it grows again where the machine recovers, to the planned steps at most.

The pace is a median of means: of the last blocks of a few steps each, so that neither one step that
took long nor the first ones of a process decide. Validation and checkpoints are timed apart, and
what comes after the last step is kept free.
"""

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from tinytx.errors import TrainingError
from tinytx.train.distributed import ALONE, Group

clock = time.perf_counter
"""Seconds that only ever grow; the zero of :attr:`Job.began` is this clock's."""

STEPS_IN_BLOCK = 4
BLOCKS = 9
"""How many of the latest blocks the median is taken of."""
BLOCKS_AT_LEAST = 3
EARLY = 0.1
"""Share of the limit after which these few blocks are enough to judge by."""
FORWARD_SHARE = 0.5
"""Of a step's time, what validating as many tokens takes, until it has been measured."""
ENDING_VALIDATIONS = 4.0
ENDING_SECONDS = 5.0
"""What is kept free for the end: the mean of the last weights is scored, the best model is loaded
back and scored in float32 (so many validations of this run), files are written and a sample is
drawn."""
MARGIN = 0.01
"""Share of the limit that is kept free besides."""
LEAST_SHARE = 0.05
"""Share of the limit below which nothing worth while can be trained in what preparing leaves."""


class PaceState(msgspec.Struct, kw_only=True, frozen=True):
    """What a checkpoint keeps."""

    done: int
    """Steps."""
    place: float
    """Of the last step in the planned schedule; -1 before the first one."""
    spent: float
    """Seconds since the run began, those between its parts not counted."""
    validation: float | None
    told: bool


class Pace:
    """Where in its schedule a run is, and how many steps it has left.

    ``limit`` in seconds from ``began`` on (by :data:`clock`); 0 for none. ``steps_in`` each epoch,
    after which ``share`` times as many tokens are validated as a step has.
    """

    def __init__(
        self,
        limit: float,
        steps_in: list[int],
        share: float,
        began: float,
        group: Group = ALONE,
    ) -> None:
        self.limit, self.total, self._share = limit, sum(steps_in), share
        self._per_epoch = self.total / len(steps_in)
        self._group = group
        self.done, self.place, self._told = 0, -1.0, False
        self._began, self._earlier = began, 0.0
        self._validation: float | None = None
        self._size = max(1, min(STEPS_IN_BLOCK, self.total // 200))
        self._block: list[float] = []
        self._blocks: deque[float] = deque(maxlen=BLOCKS)
        self._fresh = True  # the first block of a process is unlike the others
        self._mark = self._first = clock()

    @property
    def over(self) -> bool:
        """Whether the schedule has been run through."""
        return self.place >= self.total - 1

    @property
    def expected(self) -> int:
        """Steps of the whole run, as far as one can tell now."""
        return self.done if self.over else self.done + max(1, self._left())

    def spent(self) -> float:
        """Seconds that this run has taken so far."""
        return self._earlier + clock() - self._began

    def begin(self) -> None:
        """Steps begin now. Raises :class:`TrainingError` where preparing has left a fresh run no
        time for any."""
        self._mark = self._first = clock()
        late = bool(self.limit) and not self.done and self._free() < LEAST_SHARE * self.limit
        if self._group.any(self._group.first and late):
            raise TrainingError(
                f"preparing took {self.spent():.0f} s: of the {self.limit:g} s for the whole run "
                "too few are left to train in",
                "give it more time, or run it again: what has been prepared is kept",
            )

    def advance(self) -> str:
        """Choose the place of the step that comes. Returns what the user should know the first
        time that not all planned steps fit; else nothing."""
        if not self.limit:
            self.place = float(self.done)
            return ""
        mine = self._next() if self._group.first else 0.0
        self.place = self._group.sum(mine)  # the first process decides for all
        if self.place == self.done or self._told:
            return ""
        self._told = True
        return self._story()

    def stepped(self) -> None:
        """A step is done."""
        now = clock()
        self.done += 1
        self._block.append(now - self._mark)
        self._mark = now
        if len(self._block) == self._size:
            if not self._fresh:
                self._blocks.append(statistics.fmean(self._block))
            self._fresh, self._block = False, []

    @contextmanager
    def apart(self, validation: bool = False) -> Iterator[None]:
        """What happens in this block is no part of a step."""
        began = clock()
        try:
            yield
        finally:
            self._mark = clock()
            if validation:
                self._validation = self._mark - began

    def state(self) -> PaceState:
        """For a checkpoint."""
        return PaceState(
            done=self.done,
            place=self.place,
            spent=self.spent(),
            validation=self._validation,
            told=self._told,
        )

    def restore(self, state: PaceState) -> None:
        """Go on from an earlier part of the run, whose time counts."""
        self.done, self.place, self._told = state.done, state.place, state.told
        self._earlier, self._validation = state.spent, state.validation

    def _next(self) -> float:
        left, last = self._left(), self.total - 1
        if left >= self.total - self.done and self.place == self.done - 1:
            return float(self.done)  # on time, and never late before
        return float(last) if left <= 1 else self.place + (last - self.place) / left

    def _left(self) -> int:
        """Whole steps that fit, the coming one included, at most as many as planned."""
        planned = self.total - self.done
        if not self.limit:
            return planned
        free = self._free()
        if free <= 0:
            return min(1, planned)
        step = self._step_seconds()
        if not step:
            return planned
        each = step + self._validation_seconds(step) / self._per_epoch
        return min(planned, max(1, int(free / each)))

    def _free(self) -> float:
        """Seconds for further steps and the validations between them."""
        step = self._step_seconds() or 0.0
        ending = (1 + ENDING_VALIDATIONS) * self._validation_seconds(step) + ENDING_SECONDS
        return self.limit * (1 - MARGIN) - ending - self.spent()

    def _step_seconds(self) -> float | None:
        """The present pace; None while too little of it has been seen."""
        early = clock() - self._first < EARLY * self.limit
        if len(self._blocks) < (BLOCKS if early else BLOCKS_AT_LEAST):
            return None
        return statistics.median(self._blocks)

    def _validation_seconds(self, step: float) -> float:
        if self._validation is not None:
            return self._validation
        return FORWARD_SHARE * self._share * step

    def _story(self) -> str:
        step, planned = self._step_seconds(), self.total - self.done
        pace = f"a step takes {step:.3g} s here: " if step else ""
        return (
            f"{pace}of the {planned:,} steps that are left about {self._left():,} "
            f"fit into the {self.limit:g} s of this run, whose schedule is shortened to end in time"
        )
