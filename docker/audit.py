"""Known vulnerabilities in the locked packages: the build fails on one that is not allowed.

    python3 docker/audit.py             exit code 1 on a vulnerability or an expired exception
    python3 docker/audit.py --must      exit code 1 too when a package could not be audited

pip-audit asks the index's own advisory database. Where that cannot be reached pip-audit skips a
package and still says "No known vulnerabilities found"; here such a package is "not audited".
Exceptions are dated, in docker/audit-allowed.toml.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIELDS = ("id", "package", "reason", "expires")


class AuditError(Exception):
    """One sentence for the person who runs this."""


@dataclass(frozen=True)
class Allowed:
    """An exception: this advisory, for this package, until that day."""

    id: str
    package: str
    reason: str
    expires: datetime.date


@dataclass
class Findings:
    """What an audit says. ``failures`` end the build; ``unknown`` is what nobody looked at."""

    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    audited: int = 0


def locked(folder: Path) -> list[str]:
    """``name==version`` of every lock file, once; a local version such as +cpu is left out."""
    found = set()
    for path in folder.glob("*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if matched := re.match(r"([A-Za-z0-9_.-]+)==([^\s;+]+)", line):
                found.add(f"{matched[1]}=={matched[2]}")
    return sorted(found)


def allowed(path: Path) -> list[Allowed]:
    """The exceptions; every field is required, and nothing else may be there."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("allowed", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AuditError(f"{path.name} cannot be read: {error}") from None
    found = []
    for entry in entries:
        if set(entry) != set(FIELDS):
            raise AuditError(f"{path.name}: an entry has exactly {', '.join(FIELDS)}: {entry}")
        if type(entry["expires"]) is not datetime.date:
            raise AuditError(f"{path.name}: expires of {entry['id']} is a day, like 2027-01-31")
        if not str(entry["reason"]).strip():
            raise AuditError(f"{path.name}: {entry['id']} has no reason")
        found.append(Allowed(**entry))
    return found


def judge(report: dict[str, Any], exceptions: list[Allowed], today: datetime.date) -> Findings:
    """pip-audit's JSON report against the exceptions."""
    findings, used = Findings(), set()
    for package in report["dependencies"]:
        name = package["name"]
        if "skip_reason" in package:
            findings.unknown.append(f"{name}: {package['skip_reason']}")
            continue
        findings.audited += 1
        for found in package["vulns"]:
            names = {found["id"], *found.get("aliases", ())}
            excepted = [one for one in exceptions if one.package == name and one.id in names]
            used.update(excepted)
            if any(one.expires >= today for one in excepted):
                findings.notes.append(f"allowed: {found['id']} in {name}: {excepted[0].reason}")
                continue
            fix = ", ".join(found.get("fix_versions", ())) or "no version yet"
            findings.failures.append(
                f"{found['id']} in {name} {package['version']}; fixed in {fix}"
            )
    for one in exceptions:
        if one.expires < today:
            findings.failures.append(
                f"the exception for {one.id} in {one.package} expired on {one.expires}"
            )
        elif one not in used and not findings.unknown:
            findings.notes.append(f"no longer needed: the exception for {one.id} in {one.package}")
    return findings


def batches(packages: list[str]) -> list[list[str]]:
    """No name twice in one: platforms lock different versions of torch, pip-audit refuses both."""
    found: list[dict[str, str]] = []
    for package in packages:
        name = package.partition("==")[0]
        batch = next((one for one in found if name not in one), None)
        if batch is None:
            found.append(batch := {})
        batch[name] = package
    return [list(one.values()) for one in found]


def ask(packages: list[str]) -> dict[str, Any]:
    """pip-audit's report; where there is none every package is skipped, with its last words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "locked.txt"
        path.write_text("\n".join(packages) + "\n")
        command = [sys.executable, "-m", "pip_audit", "-r", str(path), "--no-deps", "--disable-pip"]
        command += ["--format", "json", "--desc", "off", "--progress-spinner", "off"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report: dict[str, Any] = json.loads(ended.stdout)
        return report
    except json.JSONDecodeError:
        words = ended.stderr.strip().splitlines() or [f"pip-audit ended with {ended.returncode}"]
        return {"dependencies": [{"name": one, "skip_reason": words[-1]} for one in packages]}


def told(findings: Findings, must: bool) -> int:
    """Print what was found; the exit code."""
    for line in findings.notes:
        print(f"audit: {line}")
    for line in findings.failures:
        print(f"audit: FAIL: {line}")
    if findings.unknown:
        print(f"audit: not audited: {len(findings.unknown)} packages; the first, ", end="")
        print(findings.unknown[0])
    if findings.audited:
        clean = "see above" if findings.failures else "no known vulnerability that is not allowed"
        print(f"audit: {findings.audited} packages audited: {clean}")
    return int(bool(findings.failures) or (must and bool(findings.unknown)))


def main() -> int:
    parser = argparse.ArgumentParser(description="Audit the locked packages.")
    parser.add_argument("--must", action="store_true", help="fail when something is not audited")
    must = parser.parse_args().must
    today = datetime.datetime.now(datetime.UTC).date()
    try:
        exceptions = allowed(HERE / "audit-allowed.toml")
    except AuditError as error:
        print(f"audit: FAIL: {error}")
        return 1
    reports = [ask(batch) for batch in batches(locked(HERE / "locks"))]
    found = [package for report in reports for package in report["dependencies"]]
    return told(judge({"dependencies": found}, exceptions, today), must)


if __name__ == "__main__":
    sys.exit(main())
