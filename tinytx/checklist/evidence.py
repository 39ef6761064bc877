"""What a report of the target shows, and what a device says when it is asked."""

from typing import TYPE_CHECKING

import msgspec

from tinytx.checklist.items import Found, done, not_done, unknown
from tinytx.errors import TinytxError
from tinytx.release.states import ON_TRIAL
from tinytx.release.status import TRANSPORT_ONLY
from tinytx.remote import words
from tinytx.remote.answers import Status
from tinytx.remote.devices import Named
from tinytx.remote.link import Link

if TYPE_CHECKING:
    from tinytx.measure.record.report import Report

NOBODY = "no device was asked (--device NAME)"
NO_REPORT = f"no report of the target was given (--report FILE), and {NOBODY}"
NO_STATEMENT = f"no statement was given (--statement FILE), and {NOBODY}"


class Row(msgspec.Struct, kw_only=True, frozen=True):
    name: str
    verdict: str
    reason: str = ""


class Limit(msgspec.Struct, kw_only=True, frozen=True):
    enforced: bool
    reason: str = ""


class Proof(msgspec.Struct, kw_only=True, frozen=True):
    """The proof of a release on its device, without samples."""

    verdict: str
    reason: str = ""
    golden: dict[str, int] = {}
    rows: list[Row] = []
    limit: Limit | None = None


class WentBack(msgspec.Struct, kw_only=True, frozen=True):
    """The last time that a device returned to the release before."""

    release: str
    to: str
    at: str = ""


class Shown(msgspec.Struct, kw_only=True, frozen=True):
    """The answer of ``tinytx release show ID --json``."""

    release: str
    proof: Proof | None = None
    went_back: WentBack | None = None


class Device(msgspec.Struct, kw_only=True, frozen=True):
    """A device that was asked, or why it could not be."""

    name: str
    status: Status | None = None
    shown: Shown | None = None
    why: str = ""


def ask(named: Named, bundle_id: str) -> Device:
    """Two questions to a device; what goes wrong is in the answer."""
    link = Link(named)
    status = None
    try:
        status = link.status(patient=False)
        shown = link.ask(words.release(named.device, "show", bundle_id), Shown)
    except TinytxError as error:
        return Device(name=named.name, status=status, why=error.message)
    return Device(name=named.name, status=status, shown=shown)


def budgets_of_report(report: "Report") -> Found:
    """Only a report that knows its machine to be the target speaks of the target."""
    told = f"{report.verdict} on {_machine(report)}, {report.started_at[:10]}"
    rows = [f"{row.budget.title}: {row.reason}" for row in report.budgets if row.verdict != "PASS"]
    told = "; ".join([told, *rows])
    if report.device is None or not report.device.here:
        return unknown(f"{told}; nothing says that this is the target (bench --device CLASS there)")
    return {"PASS": done, "FAIL": not_done}.get(report.verdict, unknown)(told)


def limit_of_report(report: "Report") -> Found:
    """Whether a canary died of the limit while memory was measured."""
    if report.device is None or not report.device.here:
        return unknown("the report does not say that its machine is the target")
    if report.limit is None:
        return unknown("the report judges no peak memory, so no limit was set")
    if not report.limit.enforced:
        return not_done(report.limit.doubt)
    return done(f"at {report.limit.limit:,} bytes, {report.limit.mechanism}: {report.limit.canary}")


def budgets_of_device(device: Device | None) -> Found:
    """What the device's own proof says."""
    proof = _proof(device, NO_REPORT)
    if isinstance(proof, Found):
        return proof
    told = f"{proof.verdict} by the proof on the device"
    reason = f"{told}: {proof.reason}" if proof.reason else told
    return {"PASS": done, "FAIL": not_done}.get(proof.verdict, unknown)(reason)


def limit_of_device(device: Device | None) -> Found:
    """Whether a canary died of the limit during that proof."""
    proof = _proof(device, NO_REPORT)
    if isinstance(proof, Found):
        return proof
    if proof.limit is None:
        return unknown("the proof on the device judged no peak memory")
    if not proof.limit.enforced:
        return not_done(f"no limit was in force during the proof there: {proof.limit.reason}")
    return done("a canary died of it before the proof on the device")


def golden_of_device(device: Device | None) -> Found:
    """Golden tokens during that proof."""
    proof = _proof(device)
    if isinstance(proof, Found):
        return proof
    if not proof.golden:
        return not_done(proof.reason or "the proof there reproduced none")
    return done(", ".join(f"{count} of {name}" for name, count in proof.golden.items()))


def signed_of_device(device: Device | None, bundle_id: str) -> Found:
    """Whether the device took it by its signature."""
    if device is None or device.status is None:
        return unknown(_silence(device, NO_STATEMENT))
    line = device.status.line(bundle_id)
    if line is None:
        return unknown(f"{device.name} does not know this release")
    if device.status.trust == TRANSPORT_ONLY:
        return not_done(f"{device.name} has no allowed_signers: it takes what is not signed")
    if line.serial is None:
        return not_done(f"{device.name} took it before it asked for signatures")
    return done(f"{device.name} checked the signature, serial {line.serial}")


def in_force(device: Device | None, bundle_id: str) -> Found:
    """Whether the device serves it and has committed it."""
    if device is None or device.status is None:
        return unknown(_silence(device))
    status = device.status
    if status.serves(bundle_id):
        at = status.committed.at if status.committed else ""
        return done(f"{device.name} committed it at {at}")
    line = status.line(bundle_id)
    if line is not None and line.state in ON_TRIAL:
        return unknown(f"{device.name} is still watching it ({line.state})")
    if line is not None and line.state == "rolled-back":
        return not_done(f"{device.name} went back from it: {line.why}")
    serves = status.current[:12] if status.current else "nothing"
    return not_done(f"{device.name} serves {serves}")


def rollback(device: Device | None) -> Found:
    """Whether the device has ever gone back to a release before."""
    if device is None or device.shown is None:
        return unknown(_silence(device))
    went = device.shown.went_back
    if went is None or not went.to:
        return not_done(f"{device.name} has never gone back to a release before")
    return done(f"{device.name} went back from {went.release[:12]} to {went.to[:12]} at {went.at}")


def _proof(device: Device | None, silence: str = NOBODY) -> Proof | Found:
    if device is None or device.shown is None:
        return unknown(_silence(device, silence))
    return device.shown.proof or unknown(f"{device.name} has no proof of this release")


def _silence(device: Device | None, words: str = NOBODY) -> str:
    return words if device is None else device.why


def _machine(report: "Report") -> str:
    return report.before.device or report.before.processor
