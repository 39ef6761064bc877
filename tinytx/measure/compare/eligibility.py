"""May two sides be compared at all, and what must be said beside the figures?"""

from collections.abc import Iterator
from typing import Any

from tinytx.errors import UsageError
from tinytx.measure.compare.interleave import Interleaved
from tinytx.measure.machine import conditions
from tinytx.measure.machine.facts import Machine
from tinytx.measure.policy.scenarios import SECTIONS
from tinytx.measure.record.report import BundleFacts, Report
from tinytx.wording import counted

HARMLESS = {
    "processes.per_scenario",
    "next_token.first_look",
    "next_token.least_seconds",
    "next_token.most",
    "first_token.samples",
    "end_to_end.samples",
}
"""Settings that change how much is known, not what is measured."""
FEW = 90
"""Steps of a process below which its p95 is little more than its slowest step."""
LIBRARIES = ("tinytx", "onnxruntime", "numpy")


def check_reports(
    a: Report, b: Report, different_machines: bool = False, different_settings: bool = False
) -> None:
    """Raise :class:`UsageError` when the reports speak of different things."""
    told = _differences(_identity(a.before), _identity(b.before))
    if told and not different_machines:
        raise UsageError(
            f"the reports are of different machines ({told}): latency and memory of one say "
            "nothing about the other",
            "measure both on one machine, or add --different-machines",
        )
    told = _differences(_settings(a), _settings(b))
    if told and not different_settings:
        raise UsageError(
            f"the reports were measured with different settings ({told})",
            "measure both with the same settings, or add --different-settings",
        )


Invalid = dict[str, list[str]]
"""Reasons why the figures of a kind, latency or memory, prove nothing."""


def of_reports(a: Report, b: Report) -> tuple[Invalid, list[str]]:
    """What proves nothing, and what else to warn of."""
    invalid: Invalid = {}
    warnings: list[str] = []
    for side, report in (("A", a), ("B", b)):
        for breach in report.breaches:
            for kind in breach.touches:
                invalid.setdefault(kind, []).append(f"{side}: {breach.reason}")
        unsettled = [s.name for s in report.scenarios if not all(x.settled for x in s.answers)]
        if unsettled:
            told = f"{side}: {unsettled[0]} did not settle in its warm-up"
            invalid.setdefault("latency", []).append(told)
    for what, told in (
        ("the machines", _differences(_identity(a.before), _identity(b.before))),
        ("the settings", _differences(_settings(a), _settings(b))),
        ("the surroundings", _differences(_surroundings(a), _surroundings(b))),
    ):
        if told:
            warnings.append(f"{what} differ: {told}")
    if (a.bundle.id, a.started_at, a.seconds) == (b.bundle.id, b.started_at, b.seconds):
        warnings.append("A and B are one and the same report: that there is no difference is clear")
    return invalid, warnings


def of_run(run: Interleaved) -> tuple[Invalid, list[str]]:
    """As above. A machine that is merely busy disturbs both sides alike: a warning."""
    answers = [
        answer
        for scenario in run.scenarios
        if scenario.kind == "next_token"
        for pair in scenario.pairs
        for answer in pair
    ]
    found = conditions.all_breaches(run.seen)
    emulated = [one for one in found if one.name == "emulation"]
    invalid = {kind: [one.reason] for one in emulated for kind in one.touches}
    warnings = [one.reason for one in found if one.name != "emulation"]
    held = [(answer.quota_us, sum(answer.samples_ns)) for answer in answers]
    stopped = conditions.quota(held, run.seen.after.cpu_quota)
    warnings += [one.reason for one in stopped]
    waited = sum((answer.waited or 0.0) > conditions.WAITED for answer in answers)
    if waited and not stopped:
        warnings.append(
            f"{waited} of {len(answers)} processes had to wait for a processor for more than "
            f"{conditions.WAITED:.0%} of their time: a calmer machine sees smaller differences"
        )
    restless = sum(not answer.settled for answer in answers)
    if restless:
        warnings.append(f"{restless} of {len(answers)} processes did not settle in their warm-up")
    fewest = min((len(answer.samples_ns) for answer in answers), default=FEW)
    if fewest < FEW:
        asked = run.policy.next_token.first_look
        why = "a longer --time-limit helps" if fewest < asked else "the scenarios ask for no more"
        warnings.append(f"a process measured {counted(fewest, 'step')} only: {why}")
    return invalid, warnings


def of_facts(a: BundleFacts, b: BundleFacts) -> list[str]:
    """What differs between the bundles and shifts the meaning of "a token"."""
    if a.tokenizer_sha256 and b.tokenizer_sha256 and a.tokenizer_sha256 != b.tokenizer_sha256:
        return ["the tokenizers differ: a token of A is not the same amount of text as one of B"]
    return []


def of_quality(a: BundleFacts, b: BundleFacts) -> str:
    """Why the bits per byte cannot be compared; "" when they can."""
    if a.id == b.id or (a.val_sha256 and a.val_sha256 == b.val_sha256):
        return ""
    if a.val_sha256 and b.val_sha256:
        return "they were measured on different texts"
    return "a report does not say on which text they were measured"


def _identity(machine: Machine) -> dict[str, object]:
    return {
        "processor": machine.processor,
        "device": machine.device,
        "architecture": machine.architecture,
        "usable cores": min(machine.usable_cores, machine.cpu_quota or machine.usable_cores),
        "emulated": bool(machine.emulation),
    }


def _surroundings(report: Report) -> dict[str, object]:
    machine = report.before
    versions = {name: machine.versions.get(name, "none") for name in LIBRARIES}
    return {
        **versions,
        "Python": machine.python,
        "kernel": machine.kernel,
        "governor": machine.governor,
        "container": _container(report),
        "memory limit": machine.group_limit,
        "CPU quota": machine.cpu_quota,
    }


def _container(report: Report) -> str:
    if report.container is not None:
        return f"{report.container.image}, {report.container.limits}"
    return report.before.container or "none"


def _settings(report: Report) -> dict[str, object]:
    """What decides what is measured, as "section.key"."""
    flat = dict(_flat({name: report.settings.get(name, {}) for name in SECTIONS}))
    return {key: value for key, value in flat.items() if key not in HARMLESS}


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _differences(a: dict[str, object], b: dict[str, object]) -> str:
    """ "key: value of A and value of B" of each that differs."""
    keys = [*a, *(key for key in b if key not in a)]
    return ", ".join(
        f"{key} {a.get(key)!r} and {b.get(key)!r}" for key in keys if a.get(key) != b.get(key)
    )
