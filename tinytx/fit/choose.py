"""The best model that is predicted to fit: all shapes, what they cost, and the frontier.

Nothing is trained or compiled here. For each shape that keeps the device's budgets and each number
of epochs on a fixed list: seconds (:mod:`tinytx.fit.cost`) and bits per byte (the law). The fewest
bits within the time win. A longer time only adds to what may be chosen, so it never predicts a
worse model.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from tinytx.config import Settings
from tinytx.errors import PlanError
from tinytx.fit.cost import (
    Amount,
    Seconds,
    model_bytes,
    peak_bytes,
    run_seconds,
    steps_in_epoch,
)
from tinytx.fit.machine import Rates
from tinytx.fit.request import MARGIN
from tinytx.fit.shapes import EPOCHS, LEAST_STEPS, regularised, shapes
from tinytx.fit.steps import step_seconds
from tinytx.fit.target import Target, no_model
from tinytx.fit.times import asked, told
from tinytx.wording import counted

FRONTIER_SECONDS = 2 * 3_600.0
"""Longer runs are not looked at, unless more time is given."""
SMALLEST_PASS = 16  # windows computed at once may be halved down to a sixteenth of the batch


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan is made for."""

    train_bytes: int
    val_bytes: int
    base: Settings
    pinned: frozenset[str]
    """Settings "section.key" that stay as they are in ``base``."""
    target: Target
    rates: Rates
    memory: float
    """Bytes that training may take at its peak."""
    law: Callable[[Settings], float]
    """Bits per byte of the held-out text at the end of a run."""
    bytes_per_token: Callable[[int], float]
    """By the vocabulary's size."""

    def amount(self, vocab_size: int) -> Amount:
        """The text in tokens of such a vocabulary."""
        each = self.bytes_per_token(vocab_size)
        return Amount(
            train_bytes=self.train_bytes,
            val_bytes=self.val_bytes,
            train_tokens=int(self.train_bytes / each),
            val_tokens=int(self.val_bytes / each),
        )


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A shape with its epochs, and what it is predicted to cost and to reach."""

    settings: Settings
    amount: Amount
    seconds: Seconds
    bits_per_byte: float
    model_bytes: int
    peak_bytes: int
    next_token_ns: float


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen, and what else there is."""

    best: Candidate
    frontier: list[Candidate]
    """From quick to slow, each better than all that are quicker."""
    next_larger: str
    """What the next larger model would cost, one sentence."""


def choose(
    problem: Problem,
    seconds: float,
    epochs: int | None,
    *,
    margin: float = MARGIN,
    or_quickest: bool = False,
) -> Choice:
    """The best candidate whose predicted time leaves ``margin`` of ``seconds`` free.

    ``epochs`` None: they are chosen too. ``or_quickest``: where none does, the quickest. Raises
    :class:`PlanError` with one sentence when nothing fits, which names the least time where time is
    what is short.
    """
    within = seconds * (1.0 - margin)
    found = list(candidates(problem, max(FRONTIER_SECONDS, within), epochs))
    affordable = [one for one in found if one.seconds.total <= within]
    if not affordable and or_quickest:
        affordable = [min(found, key=lambda one: one.seconds.total)]
    if not affordable:
        raise PlanError(*too_short(found, seconds, margin))
    best = min(affordable, key=lambda one: (one.bits_per_byte, one.seconds.total))
    return Choice(
        best=best, frontier=frontier(found), next_larger=_next_larger(problem, best, found)
    )


def candidates(problem: Problem, most: float, epochs: int | None) -> list[Candidate]:
    """All that keep the device's budgets and this machine's memory, of at most ``most`` seconds;
    where there is none, the quickest. Raises :class:`PlanError` when nothing keeps them."""
    found: list[Candidate] = []
    quickest: Candidate | None = None
    for shape, amount in fitting(problem):
        for settings, seconds in _by_epochs(problem, shape, amount, epochs):
            if seconds.total <= most:
                found.append(_candidate(problem, settings, amount, seconds))
                continue
            if not found and (quickest is None or seconds.total < quickest.seconds.total):
                quickest = _candidate(problem, settings, amount, seconds)
            break  # more epochs take longer still
    return found or [quickest] if quickest else found


def fitting(problem: Problem) -> Iterator[tuple[Settings, Amount]]:
    """The shapes that the device, the text and this machine's memory allow."""
    closest: dict[str, tuple[float, str]] = {}
    for bare in (False, True):
        found = False
        for one in _fitting(problem, bare, closest):
            found = True
            yield one
        if found:
            return
    raise _nothing(problem, {what: told for what, (_, told) in closest.items()})


def _fitting(
    problem: Problem, bare: bool, closest: dict[str, tuple[float, str]]
) -> Iterator[tuple[Settings, Amount]]:
    """Those with tables and pairs, or the ``bare`` ones; into ``closest`` what those that do not
    fit came nearest to."""
    for shape in shapes(problem.base, problem.pinned, problem.train_bytes, bare):
        amount = problem.amount(shape.tokenizer.vocab_size)
        size = float(model_bytes(shape, problem.target.precision))
        if excess := problem.target.excess(shape):
            _nearest(closest, "device", size, excess)
        elif amount.train_tokens <= shape.model.max_seq_length or amount.val_tokens < 1:
            _nearest(closest, "text", size, f"{problem.train_bytes:,} bytes of text")
        elif (fitted := in_memory(problem, shape, amount)) is None:
            peak = peak_bytes(shape, amount, problem.rates.precision)
            _nearest(closest, "memory", float(peak), f"{peak / 1e6:.0f} MB")
        else:
            yield fitted, amount


def _nearest(closest: dict[str, tuple[float, str]], what: str, size: float, told: str) -> None:
    if what not in closest or size < closest[what][0]:
        closest[what] = size, told


def _nothing(problem: Problem, closest: dict[str, str]) -> PlanError:
    """Why no shape is left."""
    if "text" in closest:
        least = max(problem.base.model.max_seq_length, 128)
        return PlanError(
            f"the text is too small: {closest['text']} to train on and {problem.val_bytes:,} held "
            f"out; a window of {least} tokens and one token held out are the least",
            "add text, or lower --max-seq-length",
        )
    if "memory" in closest:
        return PlanError(
            f"training needs {closest['memory']} of memory at the least, and "
            f"{problem.memory / 1e6:.0f} MB may be taken here",
            "end other programs, raise the container's limit, or lower --batch-size",
        )
    if "device" in closest:
        return no_model(problem.target, closest["device"])
    return PlanError(
        "the settings that were given leave no shape: no width that the heads divide",
        "give fewer of --layers, --width, --heads and --hidden",
    )


def in_memory(problem: Problem, shape: Settings, amount: Amount) -> Settings | None:
    """The shape, its batch in as few parts as this machine's memory allows; None if none does."""
    training = shape.training
    free = "training.micro_batch" not in problem.pinned
    at_once = training.at_once
    while peak_bytes(shape, amount, problem.rates.precision) > problem.memory:
        at_once //= 2
        if not free or at_once * SMALLEST_PASS < training.batch_size:
            return None
        if at_once < 1 or training.batch_size % at_once:
            return None
        shape = msgspec.structs.replace(
            shape, training=msgspec.structs.replace(training, micro_batch=at_once)
        )
    return shape


def _by_epochs(
    problem: Problem, shape: Settings, amount: Amount, epochs: int | None
) -> Iterator[tuple[Settings, Seconds]]:
    """The shape with each number of epochs that may be chosen, fewest first, and what it takes."""
    pinned, train_tokens = problem.pinned, amount.train_tokens
    counts = EPOCHS if epochs is None else (epochs,)
    if given := "training.epochs" in pinned:
        counts = (shape.training.epochs,)
    steps, step = steps_in_epoch(shape, amount), step_seconds(shape, problem.rates)
    for count in counts:
        free = epochs is None and not given
        if free and count * steps < LEAST_STEPS and count < EPOCHS[-1]:
            continue
        settings = regularised(shape, pinned, train_tokens, count)
        yield settings, run_seconds(settings, amount, problem.rates, step)


def _candidate(problem: Problem, settings: Settings, amount: Amount, seconds: Seconds) -> Candidate:
    return Candidate(
        settings=settings,
        amount=amount,
        seconds=seconds,
        bits_per_byte=problem.law(settings),
        model_bytes=model_bytes(settings, problem.target.precision),
        peak_bytes=peak_bytes(settings, amount, problem.rates.precision),
        next_token_ns=problem.target.next_token_ns(settings),
    )


def frontier(found: Iterable[Candidate]) -> list[Candidate]:
    """Those that nothing quicker, or as quick, is predicted to equal."""
    best: list[Candidate] = []
    for one in sorted(found, key=lambda one: (one.seconds.total, one.bits_per_byte)):
        if not best or one.bits_per_byte < best[-1].bits_per_byte:
            best.append(one)
    return best


def too_short(found: Iterable[Candidate], seconds: float, margin: float) -> tuple[str, str]:
    """The sentence for a time in which nothing ends, and what to do."""
    least = min(found, key=lambda one: one.seconds.total)
    epochs = least.settings.training.epochs
    needed = asked(least.seconds.total / (1.0 - margin))
    part = ", or a part of the text" if epochs == 1 else ""
    return (
        f"{told(seconds)} are too short for a useful model: the quickest that may be chosen here, "
        f"{shape_told(least.settings)}, {counted(epochs, 'epoch')}, is predicted at "
        f"{told(least.seconds.total)}",
        f"give at least --time {needed}{part}",
    )


def _next_larger(problem: Problem, best: Candidate, found: Iterable[Candidate]) -> str:
    """What would come next, if there were more time or room."""
    weights = best.settings.parameters
    better = [
        one
        for one in found
        if one.bits_per_byte < best.bits_per_byte and one.seconds.total > best.seconds.total
    ]
    larger = [one for one in better if one.settings.parameters > weights] or better
    if larger:
        next_one = min(larger, key=lambda one: one.seconds.total)
        return (
            f"the next larger, {shape_told(next_one.settings)}, "
            f"{next_one.settings.training.epochs} epochs, would take "
            f"{told(next_one.seconds.total)} and {next_one.model_bytes / 1e6:.2f} MB for "
            f"{next_one.bits_per_byte:.3f} bits per byte (here {best.bits_per_byte:.3f})"
        )
    if told_size := _over_the_budget(problem, best):
        return told_size
    return "no larger model is predicted to be better on this text"


def _over_the_budget(problem: Problem, best: Candidate) -> str:
    """The smallest shape that would be better and is more than the device's budgets."""
    epochs, weights = best.settings.training.epochs, best.settings.parameters
    size, sentence = float("inf"), ""
    for shape in shapes(problem.base, problem.pinned, problem.train_bytes):
        over = model_bytes(shape, problem.target.precision)
        if over >= size or shape.parameters <= weights or not problem.target.excess(shape):
            continue
        amount = problem.amount(shape.tokenizer.vocab_size)
        settings = regularised(shape, problem.pinned, amount.train_tokens, epochs)
        if problem.law(settings) < best.bits_per_byte:
            size = over
            sentence = (
                f"the next larger, {shape_told(shape)}, is more than {problem.target.name} may "
                f"have: {problem.target.excess(shape)}"
            )
    return sentence


def shape_told(settings: Settings) -> str:
    """ "2 layers of 80, 2,048 pieces, 1,930,640 weights"."""
    return (
        f"{settings.model.layers} layers of {settings.model.width}, "
        f"{settings.tokenizer.vocab_size:,} pieces, {settings.parameters:,} weights"
    )
