"""What an item is, what the fourteen are, and what all of them together say."""

import shlex
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from tinytx.errors import BudgetFailed, MeasurementInvalid
from tinytx.wording import printable

SCHEMA = 1


class State(StrEnum):
    """How far an item is."""

    DONE = "done"
    NOT_DONE = "not done"
    UNKNOWN = "cannot be told from here"


EXIT_CODES = {
    State.DONE: 0,
    State.NOT_DONE: BudgetFailed.exit_code,
    State.UNKNOWN: MeasurementInvalid.exit_code,
}

ITEMS: dict[str, tuple[str, str]] = {
    "hashes": ("every file is what the manifest says", "tinytx verify {bundle}"),
    "golden": ("the golden tokens are reproduced here", "tinytx verify {bundle}"),
    "parity": ("the graph says what PyTorch said", "tinytx export --output-dir OUTPUT_DIR"),
    "quality": ("quality is measured on held-out text", "tinytx export --output-dir OUTPUT_DIR"),
    "size": ("the model's size is within the budget", "tinytx bench {bundle}"),
    "budgets": (
        "the budgets are kept on the target",
        "there, with little else to do: tinytx release prove {release} --whole",
    ),
    "limit": (
        "a memory limit was shown to bite on the target",
        "there: systemd-run --user --scope -p Delegate=yes tinytx bench {bundle} --device CLASS "
        "--report report.json",
    ),
    "golden_there": (
        "the golden tokens are reproduced on the device",
        "tinytx deploy {device} {bundle}",
    ),
    "telemetry": ("telemetry is off", "env -u ORT_DISABLE_TELEMETRY tinytx checklist {bundle}"),
    "offline": (
        "it opens no socket",
        'strace -f -e trace=socket tinytx generate {bundle} "Once"',
    ),
    "signed": (
        "a signed statement is about it",
        "tinytx publish {bundle} SITE --key KEY; tinytx checklist {bundle} --statement "
        "SITE/stable.json --signers ALLOWED_SIGNERS",
    ),
    "in_force": ("it is in force on the device", "tinytx deploy {device} {bundle}"),
    "rollback": (
        "a rollback was tried on the device",
        'tinytx rollback {device} --reason "a trial" && tinytx deploy {device} {bundle}',
    ),
    "silent": (
        "it tells nothing about the machine it was made on",
        "grep -rlaE '/(home|Users|root|tmp)/' {bundle}",
    ),
}
"""Each item's title, and the command that settles it."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One item, judged."""

    number: int
    name: str
    title: str
    state: State
    told: str
    """What was found, or why nothing could be."""
    command: str
    """What settles it."""


class Found(msgspec.Struct, frozen=True):
    """What a check found."""

    state: State
    told: str


def done(told: str) -> Found:
    return Found(State.DONE, told)


def not_done(told: str) -> Found:
    return Found(State.NOT_DONE, told)


def unknown(told: str) -> Found:
    return Found(State.UNKNOWN, told)


def together(several: Iterable[Found]) -> Found:
    """What several sources say about one item: a failure counts most, then whatever shows it."""
    found = list(several)
    for state in (State.NOT_DONE, State.DONE, State.UNKNOWN):
        words = [one.told for one in found if one.state is state]
        if words:
            return Found(state, "; ".join(words))
    return unknown("nothing was found out")


def item(name: str, found: Found, bundle: str, device: str, release: str = "ID") -> Item:
    """The item called ``name`` with what was found; ``release`` is the bundle's id."""
    title, command = ITEMS[name]
    return Item(
        number=list(ITEMS).index(name) + 1,
        name=name,
        title=title,
        state=found.state,
        told=printable(found.told),
        command=command.format(
            bundle=shlex.quote(bundle), device=device or "DEVICE", release=release[:12]
        ),
    )


def overall(items: Iterable[Item]) -> State:
    """All done, or the worst of them: what is not done comes before what cannot be told."""
    states = {one.state for one in items}
    return next((s for s in (State.NOT_DONE, State.UNKNOWN) if s in states), State.DONE)
