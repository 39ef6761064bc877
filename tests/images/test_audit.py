"""The audit of the locks, with answers of pip-audit that were recorded or made up."""

import datetime
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TODAY = datetime.date(2026, 11, 26)
# As pip-audit 2.10 writes it; the first package has an advisory, the third was not found.
RECORDED = {
    "dependencies": [
        {
            "name": "jinja2",
            "version": "3.1.2",
            "vulns": [
                {
                    "id": "PYSEC-2024-1",
                    "fix_versions": ["3.1.3"],
                    "aliases": ["CVE-2024-22195", "GHSA-h5c8-rqwp-cp95"],
                    "description": "",
                }
            ],
        },
        {"name": "numpy", "version": "2.4.6", "vulns": []},
        {
            "name": "torch",
            "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0)",
        },
    ],
    "fixes": [],
}


@pytest.fixture
def audit(script: Callable[[str], ModuleType]) -> Any:
    return script("audit")


def exceptions(audit: Any, expires: datetime.date, advisory: str = "CVE-2024-22195") -> list[Any]:
    return [audit.Allowed(advisory, "jinja2", "templates are ours", expires)]


def test_a_known_vulnerability_fails_and_names_the_version_that_fixes_it(audit: Any) -> None:
    findings = audit.judge(RECORDED, [], TODAY)
    assert findings.failures == ["PYSEC-2024-1 in jinja2 3.1.2; fixed in 3.1.3"]
    assert audit.told(findings, must=False) == 1


def test_what_was_skipped_is_not_audited_and_never_clean(
    audit: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = [{"name": "numpy", "skip_reason": "not found"}]
    findings = audit.judge({"dependencies": skipped}, [], TODAY)
    assert audit.told(findings, must=False) == 0
    out = capsys.readouterr().out
    assert out == "audit: not audited: 1 packages; the first, numpy: not found\n"
    assert audit.told(findings, must=True) == 1


@pytest.mark.parametrize("advisory", ["PYSEC-2024-1", "GHSA-h5c8-rqwp-cp95"])
def test_an_exception_holds_through_its_last_day_under_each_of_the_names(
    audit: Any, advisory: str
) -> None:
    findings = audit.judge(RECORDED, exceptions(audit, TODAY, advisory), TODAY)
    assert findings.failures == []
    assert findings.notes == ["allowed: PYSEC-2024-1 in jinja2: templates are ours"]


def test_an_expired_exception_fails_even_when_nothing_needs_it(audit: Any) -> None:
    yesterday = TODAY - datetime.timedelta(days=1)
    findings = audit.judge({"dependencies": []}, exceptions(audit, yesterday), TODAY)
    assert findings.failures == ["the exception for CVE-2024-22195 in jinja2 expired on 2026-11-25"]
    findings = audit.judge(RECORDED, exceptions(audit, yesterday), TODAY)
    assert len(findings.failures) == 2


def test_an_exception_is_for_one_package_and_is_missed_when_not_needed(audit: Any) -> None:
    complete = {"dependencies": RECORDED["dependencies"][:2]}
    other = [audit.Allowed("PYSEC-2024-1", "numpy", "no", TODAY)]
    findings = audit.judge(complete, other, TODAY)
    assert len(findings.failures) == 1
    assert findings.notes == ["no longer needed: the exception for PYSEC-2024-1 in numpy"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[allowed]]\nid = 'a'\n", "exactly id, package, reason, expires"),
        (
            "[[allowed]]\nid='a'\npackage='b'\nreason='c'\nexpires='2027-01-01'\n",
            "expires of a is a day",
        ),
        ("[[allowed]]\nid='a'\npackage='b'\nreason=' '\nexpires=2027-01-01\n", "has no reason"),
        ("[[allowed", "cannot be read"),
    ],
)
def test_a_bad_list_of_exceptions_is_one_sentence(
    audit: Any, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "allowed.toml"
    path.write_text(text)
    with pytest.raises(audit.AuditError, match=said):
        audit.allowed(path)


def test_the_list_in_the_repository_can_be_read(audit: Any) -> None:
    audit.allowed(ROOT / "docker/audit-allowed.toml")


def test_every_lock_is_read_and_no_batch_has_a_name_twice(audit: Any) -> None:
    packages = audit.locked(ROOT / "docker/locks")
    assert {"torch==2.8.0", "torch==2.13.0"} <= set(packages)  # +cpu is not the index's
    found = audit.batches(packages)
    assert sorted(package for batch in found for package in batch) == packages
    for batch in found:
        assert len({package.partition("==")[0] for package in batch}) == len(batch)


@pytest.mark.parametrize(("stdout", "skipped"), [(json.dumps(RECORDED), False), ("", True)])
def test_an_audit_that_gave_no_report_skips_all_with_its_last_words(
    audit: Any, monkeypatch: pytest.MonkeyPatch, stdout: str, skipped: bool
) -> None:
    def answer(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[:3] == [sys.executable, "-m", "pip_audit"]
        return subprocess.CompletedProcess(command, 1, stdout, "trying\nno route to host\n")

    monkeypatch.setattr(subprocess, "run", answer)
    report = audit.ask(["numpy==2.4.6"])
    none = {"dependencies": [{"name": "numpy==2.4.6", "skip_reason": "no route to host"}]}
    assert report == (none if skipped else RECORDED)
