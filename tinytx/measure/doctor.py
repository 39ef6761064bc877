"""Can this machine run, be measured, train and export? Every check with its reason and remedy.

Libraries are imported in child processes: see :mod:`tinytx.measure.machine.native`. The doctor
itself rests on the standard library alone, so that it outlives what it has to tell of.
"""

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from tinytx import compiler
from tinytx.errors import PrerequisiteError, TinytxError
from tinytx.measure.limits.canary import COMMAND, guard
from tinytx.measure.machine import conditions, containers, native
from tinytx.measure.machine.facts import ROOT, Machine, observe
from tinytx.measure.machine.watch import Observation
from tinytx.measure.memory import process
from tinytx.wording import counted

PYTHON = (3, 11)
RUN_DISK = 50_000_000
TRAIN_DISK = 2_000_000_000
RUN_MEMORY = 100_000_000
"""Bytes `tinytx generate` and `verify` need with the largest models (docs/log/measuring.md)."""
MEASURE_MEMORY = 150_000_000
"""The bench's own process and one worker of it."""
WORK_MEMORY = 750_000_000
"""What the presets take in training at a first run, while torch.compile builds its kernels."""
LEAST_WORK_MEMORY = 400_000_000
"""The same with the preset low-memory; exporting takes less."""
CLOSE, RAISE = "close other programs", "raise that limit"
TRIAL_LIMIT = 64_000_000
"""Bytes of the limit that a canary tries out: little, but more than an interpreter needs."""
WORK_LIBRARIES = {"torch": ("train", "export"), "onnx": ("export",)}


class Ability(StrEnum):
    """What a machine may be able to do."""

    RUN = "run"
    MEASURE = "be measured"
    TRAIN = "train"
    EXPORT = "export"


NEEDED = (Ability.RUN, Ability.MEASURE)
"""What must be possible for the doctor to be content."""
ALL = tuple(Ability)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool | None
    """None: not known."""
    found: str
    """What was found, or why it is a problem."""
    remedy: str = ""
    prevents: tuple[Ability, ...] = ()
    """What is impossible when the check is not ok; nothing for mere advice."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All checks, and the machine that they speak of."""

    schema: int = 1
    checks: list[Check]
    machine: Machine | None

    def can(self, ability: Ability) -> bool:
        return all(check.ok or ability not in check.prevents for check in self.checks)

    @property
    def healthy(self) -> bool:
        return all(self.can(ability) for ability in NEEDED)


def diagnose(
    root: Path = ROOT, folder: Path = Path(), python: Sequence[str] = (sys.executable, "-P")
) -> Diagnosis:
    """Run every check. ``folder`` is where output would go; ``python`` starts the children."""
    machine: Machine | None = None
    checks = [check_python(sys.version_info[:3])]
    names = [*native.LIBRARIES, *WORK_LIBRARIES]
    with ThreadPoolExecutor(2) as pool:
        checks += pool.map(lambda name: check_library(name, python, root), names)
    checks.append(check_disk(folder))
    try:
        machine = observe(root)
    except PrerequisiteError as error:
        checks.append(_problem("/proc", error, (Ability.MEASURE,)))
    else:
        checks += [check_memory(machine), check_swap(machine), check_speed(machine)]
        checks += [check_emulation(machine)]
        checks += [*check_proc(root), check_limit(root), check_compiler()]
    if containers.kind(root):
        checks = [advised_inside(check) for check in checks]
    return Diagnosis(checks=checks, machine=machine)


def failure(diagnosis: Diagnosis) -> PrerequisiteError | None:
    """The error that the command ends with; None when the machine can run and be measured."""
    lacking = [ability for ability in NEEDED if not diagnosis.can(ability)]
    if not lacking:
        return None
    remedies = [c.remedy for c in diagnosis.checks if not c.ok and set(lacking) & {*c.prevents}]
    remedy = next((remedy for remedy in remedies if remedy), "")
    return PrerequisiteError(f"this machine cannot {' or '.join(lacking)}", remedy)


def check_python(version: tuple[int, ...]) -> Check:
    text = ".".join(map(str, version))
    if version[:2] >= PYTHON:
        return Check(name="Python", ok=True, found=text)
    return Check(
        name="Python",
        ok=False,
        found=f"{text} is too old",
        remedy="install Python 3.11 or newer",
        prevents=ALL,
    )


def check_library(name: str, python: Sequence[str], root: Path = ROOT) -> Check:
    """Import a library in a process of its own, which may die of it."""
    prevents = ALL
    if name in WORK_LIBRARIES:
        prevents = tuple(Ability(word) for word in WORK_LIBRARIES[name])
    tried = native.try_import(name, python, root)
    if tried.ok:
        return Check(name=name, ok=True, found=tried.found)
    return Check(name=name, ok=False, found=tried.found, remedy=tried.remedy, prevents=prevents)


def check_disk(folder: Path) -> Check:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(name="disk", ok=False, found=f"{folder}: {error.strerror}", prevents=ALL)
    found = f"{free / 1e9:.1f} GB free"
    if free >= TRAIN_DISK:
        return Check(name="disk", ok=True, found=found)
    prevents = ALL if free < RUN_DISK else (Ability.TRAIN,)
    needed = RUN_DISK if free < RUN_DISK else TRAIN_DISK
    remedy = f"free some space: {needed / 1e6:,.0f} MB are needed"
    return Check(name="disk", ok=False, found=found, remedy=remedy, prevents=prevents)


def check_memory(machine: Machine) -> Check:
    """Memory that is available now, or that the control group allows."""
    room = machine.memory_available if machine.group_room is None else machine.group_room
    usable = min(machine.memory_available, room)
    found = f"{usable / 1e6:,.0f} MB available of {machine.memory_total / 1e6:,.0f} MB"
    wider = CLOSE
    if machine.group_limit is not None:
        found += f"; the control groups of this process allow {machine.group_limit / 1e6:,.0f} MB"
        wider = RAISE if room < machine.memory_available else wider
    if usable >= WORK_MEMORY:
        return Check(name="memory", ok=True, found=found)
    for needed, prevents in (
        (RUN_MEMORY, ALL),
        (MEASURE_MEMORY, (Ability.MEASURE, Ability.TRAIN, Ability.EXPORT)),
        (LEAST_WORK_MEMORY, (Ability.TRAIN, Ability.EXPORT)),
    ):
        if usable < needed:
            remedy = f"{wider}: {needed / 1e6:,.0f} MB are needed"
            return Check(name="memory", ok=False, found=found, remedy=remedy, prevents=prevents)
    found += f": training with a preset takes up to {WORK_MEMORY / 1e6:,.0f} MB"
    return Check(name="memory", ok=False, found=found, remedy="tinytx train --preset low-memory")


def check_swap(machine: Machine) -> Check:
    """Swap that holds something is no fault: only moving pages while measuring is one."""
    if not machine.swap_total:
        return Check(name="swap", ok=True, found="none")
    used, total = machine.swap_used / 1e6, machine.swap_total / 1e6
    found = f"{used:,.0f} MB of {total:,.0f} MB in use"
    return Check(name="swap", ok=True, found=found)


def check_speed(machine: Machine) -> Check:
    """Whether the processor is held slow: governor, heat, power supply."""
    now = [b for b in conditions.breaches(machine, machine) if b.name in ("governor", "throttled")]
    if not now:
        governor = machine.governor or "no frequency governor to be seen"
        told = conditions.open_questions(Observation(before=machine, after=machine))
        found = "; ".join(part for part in (governor, told) if part)
        return Check(name="processor speed", ok=None if told else True, found=found)
    remedy = "use a better power supply or cooling"
    if now[0].name == "governor":
        remedy = "sudo cpupower frequency-set --governor performance"
    return Check(
        name="processor speed",
        ok=False,
        found=now[0].reason,
        remedy=remedy,
        prevents=(Ability.MEASURE,),
    )


def check_emulation(machine: Machine) -> Check:
    features = ", ".join(machine.features) or "no extensions known"
    if not machine.emulation:
        found = f"{machine.processor}, {counted(machine.usable_cores, 'core')} ({features})"
        if quota := conditions.cores_told(machine.cpu_quota):
            found += f"; a CPU quota grants {quota}"
        return Check(name="processor", ok=True, found=found)
    return Check(
        name="processor",
        ok=False,
        found=f"emulated: {'; '.join(machine.emulation)}",
        remedy="measure on the device itself; emulation shows function only",
        prevents=(Ability.MEASURE,),
    )


def check_proc(root: Path) -> list[Check]:
    """The two kernel features that memory is measured with."""
    prevents = (Ability.MEASURE,)
    try:
        rss = process.resident(root / "proc").rss
        exact = Check(name="smaps_rollup", ok=True, found=f"readable ({rss / 1e6:.0f} MB here)")
    except PrerequisiteError as error:
        exact = _problem("smaps_rollup", error, prevents)
    if os.access(root / "proc/self/clear_refs", os.W_OK):
        return [exact, Check(name="clear_refs", ok=True, found="peaks can be reset per phase")]
    found = "peaks cannot be reset: the phases of a bench will accumulate"
    return [exact, Check(name="clear_refs", ok=False, found=found)]


def check_limit(root: Path, canary: tuple[str, ...] = COMMAND) -> Check:
    """Whether a memory limit can be proven: tried with a small one. Mere advice when not."""
    with guard(TRIAL_LIMIT, root, canary) as guarded:
        proof = guarded.proof
    assert proof is not None
    if proof.enforced:
        found = f"can be proven by {proof.mechanism} (canary {proof.canary})"
        return Check(name="memory limit", ok=True, found=found)
    found = f"cannot be proven: {proof.doubt}"
    return Check(name="memory limit", ok=False, found=found, remedy=proof.remedy)


def check_compiler() -> Check:
    """torch.compile makes C++ of the model; where that does not work training is slower."""
    if not (reason := compiler.problem()):
        return Check(name="C++ compiler", ok=True, found="builds and loads a function")
    found = f"{reason}: training works, without torch.compile and so more slowly"
    remedy = "sudo apt install g++ libpython3-dev" if platform.system() == "Linux" else ""
    return Check(name="C++ compiler", ok=False, found=found, remedy=remedy)


def advised_inside(check: Check) -> Check:
    """The check with a remedy that can be followed where an image is built and not mended."""
    if check.ok or not check.remedy:
        return check
    remedy = check.remedy
    if check.name in native.LIBRARIES or check.name == "Python":
        remedy = "take another image of tinytx, or build this one again: docs/images.md"
    elif check.name in WORK_LIBRARIES or check.name == "C++ compiler":
        remedy = "training and exporting have an image of their own: docker compose run --rm train"
    elif remedy.startswith(RAISE):
        remedy += " (`mem_limit` in compose.yaml, or `docker run --memory`)"
    elif check.name == "processor speed" or remedy.startswith(CLOSE):
        remedy = f"on the host: {remedy}"
    return replace(check, remedy=remedy)


def _problem(name: str, error: TinytxError, prevents: tuple[Ability, ...]) -> Check:
    return Check(name=name, ok=False, found=error.message, remedy=error.remedy, prevents=prevents)
