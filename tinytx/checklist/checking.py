"""All fourteen, in their order."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tinytx.bundle import Bundle
from tinytx.checklist import evidence, running, sealed, signature
from tinytx.checklist.items import ITEMS, Found, Item, State, item, together, unknown
from tinytx.errors import UsageError

if TYPE_CHECKING:
    from tinytx.measure.record.report import Report

DAMAGED = "not tried, since its files are not what the manifest says"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What the checklist may look at beside the bundle."""

    budgets: Path | None = None
    report: Path | None = None
    statement: Path | None = None
    signers: Path | None = None
    device: evidence.Device | None = None


def check(bundle: Bundle, given: Given) -> list[Item]:
    """Judge every item. Raises :class:`UsageError` for a file that was given and is none, or is of
    another bundle."""
    report = _report(bundle, given.report)
    found = {**_of_bundle(bundle, given), **_of_target(bundle, given, report)}
    device = given.device.name if given.device else ""
    folder = str(bundle.folder)
    return [item(name, found[name], folder, device, bundle.id) for name in ITEMS]


def _of_bundle(bundle: Bundle, given: Given) -> dict[str, Found]:
    manifest = bundle.manifest
    found = {
        "hashes": sealed.hashes(bundle),
        "parity": sealed.parity(manifest),
        "quality": sealed.quality(manifest),
        "size": sealed.size(manifest, given.budgets),
    }
    if found["hashes"].state is not State.DONE:  # what is damaged is not run
        return {
            **found, **dict.fromkeys(("golden", "telemetry", "offline", "silent"), unknown(DAMAGED))
        }  # fmt: skip
    telemetry, offline = running.telemetry_and_offline(bundle.folder)
    return {
        **found,
        "golden": sealed.golden(bundle),
        "telemetry": telemetry,
        "offline": offline,
        "silent": sealed.silent(bundle),
    }


def _of_target(bundle: Bundle, given: Given, report: "Report | None") -> dict[str, Found]:
    device = given.device
    asked = device is not None
    budgets, limit = [evidence.budgets_of_device(device)], [evidence.limit_of_device(device)]
    signed = [evidence.signed_of_device(device, bundle.id)]
    if report is not None:
        budgets = [*budgets[:asked], evidence.budgets_of_report(report)]
        limit = [*limit[:asked], evidence.limit_of_report(report)]
    if given.statement is not None:
        own = signature.signed(bundle.id, given.statement, given.signers)
        signed = [*signed[:asked], own]
    return {
        "budgets": together(budgets),
        "limit": together(limit),
        "golden_there": evidence.golden_of_device(device),
        "signed": together(signed),
        "in_force": evidence.in_force(device, bundle.id),
        "rollback": evidence.rollback(device),
    }


def _report(bundle: Bundle, path: Path | None) -> "Report | None":
    if path is None:
        return None
    from tinytx.measure.record.reading import read_report

    report = read_report(path)
    if report.bundle.id != bundle.id:
        raise UsageError(
            f"{path} is about the bundle {report.bundle.id[:12]}, not about {bundle.id[:12]}",
            f"tinytx bench {bundle.folder} --report {path}",
        )
    return report
