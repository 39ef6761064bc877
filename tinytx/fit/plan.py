"""The plan of a run: settings, what they are predicted to cost and to reach, and why.

A plan is a TOML file that ``tinytx train --config`` reads: facts in [plan], and the sections
[tokenizer], [model] and [training] whole, so that it gives the same run anywhere.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tinytx import cgroup
from tinytx.config import PLAN_SCHEMA, Settings, as_dict, load_settings, read_config
from tinytx.errors import PlanError, UsageError
from tinytx.fit.choose import Candidate, Choice, Problem, choose, shape_told
from tinytx.fit.machine import Rates, rates_of_this_machine
from tinytx.fit.request import Request
from tinytx.fit.shapes import REGULARISATION
from tinytx.fit.target import Target, target_of
from tinytx.fit.times import told
from tinytx.wording import counted

if TYPE_CHECKING:
    from tinytx.fit.text import Text

SECTIONS = ("tokenizer", "model", "training")
MOST_MEMORY = 0.97e9
"""Bytes that training may be predicted to take at its peak, on a machine that has more: predictions
err by 3 %, and 1,000 MB are to be kept."""
SHARE_OF_MEMORY = 0.9
"""Of what this machine has left."""


class Plan(msgspec.Struct, kw_only=True):
    """A run that is predicted to fit."""

    settings: Settings
    seconds: float
    """Predicted, everything included."""
    seconds_asked: float
    bits_per_byte: float
    """Predicted, of the held-out text."""
    peak_bytes: int
    """Predicted, of training."""
    model_bytes: int
    """Of the file that the device loads."""
    model_precision: str
    next_token_ns: float
    """Predicted, about, on the device."""
    reasons: list[str]
    next_larger: str
    schema: int = PLAN_SCHEMA


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and what it was chosen from."""

    plan: Plan
    frontier: list[Candidate]
    target: Target
    rates: Rates


Law = Callable[["Text", Settings], float]
BytesPerToken = Callable[["Text", int], float]


def make_plan(text: "Text", base: Settings, pinned: frozenset[str], request: Request) -> Plan:
    """The best plan for this text on this machine within the request.

    ``pinned`` are settings "section.key" that stay as ``base`` has them. Raises
    :class:`PlanError` when nothing fits, and :class:`UsageError` for an unknown device or file.
    """
    return look_for(text, base, pinned, request).plan


def look_for(text: "Text", base: Settings, pinned: frozenset[str], request: Request) -> Found:
    """:func:`make_plan`, with the frontier that the plan was chosen from."""
    from tinytx.fit.law import bits_per_byte, bytes_per_token, spread

    target = target_of(request.device, request.budgets)
    problem = problem_of(
        *(text, base, pinned, target, rates_of_this_machine(base)),
        law=bits_per_byte,
        bytes_per_token=bytes_per_token,
    )
    return found(problem, request, spread())


def problem_of(
    text: "Text",
    base: Settings,
    pinned: frozenset[str],
    target: Target,
    rates: Rates,
    *,
    law: Law,
    bytes_per_token: BytesPerToken,
    memory: float | None = None,
) -> Problem:
    """Text, machine, device and law in one; ``memory`` in bytes stands for this machine's."""
    if memory is None:
        left = cgroup.available()
        memory = MOST_MEMORY if left is None else min(MOST_MEMORY, SHARE_OF_MEMORY * left)
    known: dict[int, float] = {}

    def tokens(vocab_size: int) -> float:
        if vocab_size not in known:
            known[vocab_size] = bytes_per_token(text, vocab_size)
        return known[vocab_size]

    return Problem(
        train_bytes=text.train_bytes,
        val_bytes=text.val_bytes,
        base=base,
        pinned=pinned,
        target=target,
        rates=rates,
        memory=memory,
        law=lambda settings: law(text, settings),
        bytes_per_token=tokens,
    )


def found(problem: Problem, request: Request, spread: float) -> Found:
    """Choose, and say why."""
    choice, note = _chosen(problem, request)
    best = choice.best
    plan = Plan(
        settings=_limited(problem, best, request.seconds),
        seconds=best.seconds.total,
        seconds_asked=request.seconds,
        bits_per_byte=best.bits_per_byte,
        peak_bytes=best.peak_bytes,
        model_bytes=best.model_bytes,
        model_precision=problem.target.precision,
        next_token_ns=best.next_token_ns,
        reasons=[*note, *reasons(problem, best, request, spread)],
        next_larger=choice.next_larger,
    )
    return Found(plan=plan, frontier=choice.frontier, target=problem.target, rates=problem.rates)


def _limited(problem: Problem, best: Candidate, seconds: float) -> Settings:
    """The settings with what was asked for as the time that the run may take; without a limit where
    even the quickest is predicted to take longer."""
    if "training.time_limit" in problem.pinned:
        return best.settings
    limit = seconds if best.seconds.total < seconds else 0.0
    training = msgspec.structs.replace(best.settings.training, time_limit=limit)
    return msgspec.structs.replace(best.settings, training=training)


def _chosen(problem: Problem, request: Request) -> tuple[Choice, list[str]]:
    """The choice; for a time that nobody asked for, what comes nearest to it."""
    try:
        return choose(problem, request.seconds, request.epochs, margin=request.margin), []
    except PlanError:
        if request.asked:
            raise
    limit = f"{counted(request.epochs or 1, 'epoch')} within {told(request.seconds)}"
    choice = choose(problem, request.seconds, None, margin=request.margin, or_quickest=True)
    longer = choice.best.seconds.total > request.seconds
    instead = "this one, the quickest, takes longer" if longer else "fewer are taken"
    return choice, [f"no model does {limit} with this text on this machine: {instead}"]


def reasons(problem: Problem, best: Candidate, request: Request, spread: float) -> list[str]:
    """Why this shape, in sentences for the user."""
    settings, rates, seconds = best.settings, problem.rates, best.seconds
    hyper, model = settings.training, settings.model
    steps_tokens = hyper.epochs * best.amount.train_tokens
    pace = steps_tokens / max(seconds.steps, 1e-9)
    each = settings.parameters / max(1, best.amount.train_tokens)
    strength = ", ".join(
        f"{name.replace('_', ' ')} {getattr(hyper, name):g}" for name in REGULARISATION
    )
    parts = [
        f"time: {told(request.seconds)} less a margin of {request.margin:.0%}; predicted are "
        f"{told(seconds.total)}: {told(seconds.steps)} of steps at {pace:,.0f} tokens/s "
        f"({rates.precision}, {counted(rates.threads, 'thread')}), {told(seconds.compiling)} to "
        f"compile, {told(seconds.text)} for corpus and tokenizer",
        f"size: {problem.target.reason}; this model has {best.model_bytes / 1e6:.2f} MB",
        f"text: {best.amount.train_tokens:,} tokens of {settings.tokenizer.vocab_size:,} pieces, "
        f"in windows of {model.max_seq_length}, seen {counted(hyper.epochs, 'time')}",
        f"regularisation: {each:.2g} weights for each token: {strength}",
        f"quality: {best.bits_per_byte:.3f} bits per byte, predicted to within about {spread:.0%}",
    ]
    if hyper.at_once != hyper.batch_size:
        parts.append(
            f"memory: {problem.memory / 1e6:.0f} MB may be taken, so {hyper.at_once} of "
            f"{hyper.batch_size} windows are computed at once"
        )
    if kept := sorted(key for key in problem.pinned if not key.startswith("corpus.")):
        parts.append(f"kept as given: {', '.join(kept)}")
    if rates.busy:
        parts.append(f"other programs keep {rates.busy:.1f} cores busy: predicted beside them")
    return parts


def to_toml(plan: Plan) -> str:
    """The plan as a file that ``--config`` reads."""
    facts = {name: getattr(plan, name) for name in plan.__struct_fields__ if name != "settings"}
    lines = [f"# {shape_told(plan.settings)}: made by `tinytx plan`.", "[plan]"]
    lines += _table({"schema": facts.pop("schema"), **facts})
    for section in SECTIONS:
        lines += ["", f"[{section}]", *_table(as_dict(plan.settings)[section])]
    return "\n".join(lines) + "\n"


def _table(values: dict[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}" for name, value in values.items() if value is not None]


def _value(value: object) -> str:
    """As TOML has it: JSON's form but for lists over several lines and DEL, which it leaves raw."""
    if isinstance(value, list):
        return "[\n" + "".join(f"  {_value(one)},\n" for one in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def read_plan(file: Path) -> Plan:
    """A plan that was written by :func:`to_toml`. Raises :class:`UsageError`."""
    document = read_config(file)
    if not isinstance(document.get("plan"), dict):
        raise UsageError(f"{file} is no plan: it has no table [plan]")
    settings = load_settings(file)
    facts = {**document["plan"], "settings": as_dict(settings)}
    try:
        return msgspec.convert(facts, Plan)
    except msgspec.ValidationError as error:
        raise UsageError(f"{file}: [plan] {str(error)[0].lower()}{str(error)[1:]}") from error
