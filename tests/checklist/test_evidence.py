"""What a report and a device say about the items of the target: each fails for its reason."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tinytx.checklist import evidence
from tinytx.checklist.evidence import Device, Limit, Proof, Shown, WentBack
from tinytx.checklist.items import Found, State
from tinytx.measure.limits.canary import LimitProof
from tinytx.measure.policy.budgets import Verdict
from tinytx.measure.policy.devices import Standing, load_device
from tinytx.measure.record.reading import read_report
from tinytx.measure.record.report import Report
from tinytx.remote.answers import Committed, Deployment, Line, Machine, Status

STORED = Path(__file__).parents[1] / "fixtures" / "report-1.json"
ID, OTHER = "a" * 64, "b" * 64
MACHINE = Machine(system="linux", architecture="aarch64", python="3.11.2", clock="")


def status(**facts: Any) -> Status:
    return Status(schema=1, tinytx="0.1.0", machine=MACHINE, **facts)


def pi(proof: Proof | None = None, went_back: WentBack | None = None, **facts: Any) -> Device:
    shown = Shown(release=ID, proof=proof, went_back=went_back)
    return Device(name="pi", status=status(**facts), shown=shown)


def is_(found: Found, state: State, why: str) -> None:
    assert (found.state, why in found.told) == (state, True), found


@pytest.fixture(scope="module")
def stored() -> Report:
    return read_report(STORED)


def there(report: Report, **changes: Any) -> Report:
    """The report as if its machine were the board that was asked for."""
    standing = Standing(device=load_device("pi-4"), here=True, says={}, warnings=[])
    return msgspec.structs.replace(report, device=standing, **changes)


def test_a_report_speaks_of_the_target_only_if_it_was_made_there(stored: Report) -> None:
    is_(evidence.budgets_of_report(stored), State.UNKNOWN, "nothing says that this is the target")
    is_(evidence.limit_of_report(stored), State.UNKNOWN, "does not say")
    standing = Standing(device=load_device("pi-4"), here=False, says={}, warnings=[])
    elsewhere = msgspec.structs.replace(stored, device=standing)
    is_(evidence.budgets_of_report(elsewhere), State.UNKNOWN, "PASS on ")
    is_(evidence.budgets_of_report(there(stored)), State.DONE, "PASS on ")


def test_a_report_that_fails_or_proves_nothing_is_told_with_its_reasons(stored: Report) -> None:
    row = msgspec.structs.replace(stored.budgets[0], verdict=Verdict.FAIL, reason="too much")
    failed = there(stored, verdict=Verdict.FAIL, budgets=[row])
    is_(evidence.budgets_of_report(failed), State.NOT_DONE, f"{row.budget.title}: too much")
    invalid = there(stored, verdict=Verdict.INVALID)
    is_(evidence.budgets_of_report(invalid), State.UNKNOWN, "INVALID on ")


def test_a_limit_counts_only_if_a_canary_died_of_it(stored: Report) -> None:
    died = LimitProof(
        enforced=True, limit=512_000_000, mechanism="control group, version 2", reason="",
        canary="it died",
    )  # fmt: skip
    is_(evidence.limit_of_report(there(stored, limit=died)), State.DONE, "it died")
    lived = LimitProof(
        enforced=False, limit=512_000_000, mechanism="", reason="the canary lived", canary="",
    )  # fmt: skip
    is_(evidence.limit_of_report(there(stored, limit=lived)), State.NOT_DONE, "the canary lived")
    is_(evidence.limit_of_report(there(stored, limit=None)), State.UNKNOWN, "no limit was set")


def test_the_proof_on_the_device_speaks_of_budgets_limit_and_golden_tokens() -> None:
    good = Proof(verdict="PASS", golden={"int8": 300}, limit=Limit(enforced=True))
    is_(evidence.budgets_of_device(pi(good)), State.DONE, "PASS by the proof")
    is_(evidence.limit_of_device(pi(good)), State.DONE, "a canary died")
    is_(evidence.golden_of_device(pi(good)), State.DONE, "300 of int8")
    bad = Proof(verdict="FAIL", reason="next token, p95: too slow",
                limit=Limit(enforced=False, reason="the memory controller is off"))  # fmt: skip
    is_(evidence.budgets_of_device(pi(bad)), State.NOT_DONE, "too slow")
    is_(evidence.limit_of_device(pi(bad)), State.NOT_DONE, "the memory controller is off")
    is_(evidence.golden_of_device(pi(bad)), State.NOT_DONE, "too slow")
    unclear = Proof(verdict="INVALID", reason="other programs")
    is_(evidence.budgets_of_device(pi(unclear)), State.UNKNOWN, "other programs")
    is_(evidence.limit_of_device(pi(unclear)), State.UNKNOWN, "judged no peak memory")


def test_a_device_without_a_proof_or_an_answer_cannot_tell() -> None:
    silent = Device(name="pi", why="pi: no route to host")
    for judge in (
        evidence.budgets_of_device, evidence.limit_of_device, evidence.golden_of_device,
        evidence.rollback,
    ):  # fmt: skip
        is_(judge(None), State.UNKNOWN, "no device was asked")
        is_(judge(silent), State.UNKNOWN, "no route to host")
    is_(evidence.budgets_of_device(pi()), State.UNKNOWN, "no proof of this release")
    is_(evidence.in_force(silent, ID), State.UNKNOWN, "no route to host")
    is_(evidence.signed_of_device(None, ID), State.UNKNOWN, "no statement was given")


def test_only_what_the_device_committed_and_serves_is_in_force() -> None:
    committed = Committed(release=ID, at="2026-11-30")
    is_(evidence.in_force(pi(current=ID, committed=committed), ID), State.DONE, "2026-11-30")
    is_(evidence.in_force(pi(current=OTHER), ID), State.NOT_DONE, f"serves {OTHER[:12]}")
    is_(evidence.in_force(pi(), ID), State.NOT_DONE, "serves nothing")
    gone = [Line(id=ID, state="rolled-back", why="it talks nonsense")]
    is_(evidence.in_force(pi(current=OTHER, releases=gone), ID), State.NOT_DONE, "nonsense")
    trial = pi(
        current=ID, releases=[Line(id=ID, state="watched")],
        deployment=Deployment(release=ID, state="watched"),
    )  # fmt: skip
    is_(evidence.in_force(trial, ID), State.UNKNOWN, "still watching it")


def test_a_device_that_takes_what_is_not_signed_shows_no_signature() -> None:
    line = Line(id=ID, state="committed", serial=4)
    known = {"releases": [line], "trust": "signatures"}
    is_(evidence.signed_of_device(pi(**known), ID), State.DONE, "serial 4")
    loose = {**known, "trust": "transport only"}
    is_(evidence.signed_of_device(pi(**loose), ID), State.NOT_DONE, "takes what is not signed")
    early = {**known, "releases": [msgspec.structs.replace(line, serial=None)]}
    is_(evidence.signed_of_device(pi(**early), ID), State.NOT_DONE, "before it asked")
    is_(evidence.signed_of_device(pi(trust="signatures"), ID), State.UNKNOWN, "does not know")


def test_a_rollback_counts_only_if_it_led_to_a_release() -> None:
    is_(evidence.rollback(pi()), State.NOT_DONE, "has never gone back")
    to_nothing = WentBack(release=ID, to="")
    is_(evidence.rollback(pi(went_back=to_nothing)), State.NOT_DONE, "has never gone back")
    went = WentBack(release=OTHER, to=ID, at="2026-11-30")
    is_(evidence.rollback(pi(went_back=went)), State.DONE, f"from {OTHER[:12]} to {ID[:12]}")


def test_the_stored_report_is_the_one_that_the_tests_change(stored: Report) -> None:
    assert stored.bundle.id == json.loads(STORED.read_text())["bundle"]["id"]
