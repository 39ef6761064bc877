"""A stored report, read back: the document of :func:`tinytx.measure.record.report.document`."""

import math
from pathlib import Path
from typing import Any

import msgspec

from tinytx.errors import UsageError, os_errors_as
from tinytx.measure.policy.budgets import FIGURES, UNITS, Budget, Quantity, Row, Verdict
from tinytx.measure.record.report import SCHEMA, Report

MAX_BYTES = 1_000_000_000
LARGEST = 2**63
"""No figure of a report is beyond it: 292 years in nanoseconds."""


def read_report(path: Path) -> Report:
    """The report in ``path``. Raises :class:`UsageError` when there is none that can be read."""
    with os_errors_as(UsageError, f"read the report {path}"):
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a file with a report of `tinytx bench --report`")
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is too large for a report ({MAX_BYTES:,} bytes at most)")
        data = path.read_bytes()
    return parse_report(data, str(path))


def parse_report(data: bytes, source: str) -> Report:
    """The report in ``data``; ``source`` is what messages call it. Raises as above."""
    foreign = f"{source} is not a report of `tinytx bench --report`"
    try:
        plain = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{foreign}: {error}") from error
    if not {"schema", "scenarios", "machine", "budgets"} <= plain.keys():
        raise UsageError(f"{foreign}: it lacks what every report has")
    if plain["schema"] != SCHEMA:
        raise UsageError(
            f"{source} is a report of schema {plain['schema']!r:.40}; this tinytx reads {SCHEMA}",
            "read it with the tinytx that wrote it, or bench again",
        )
    try:
        _check_numbers(plain)
        machine = msgspec.convert(plain.pop("machine"), dict[str, Any])
        plain["budgets"] = [_row(row) for row in msgspec.convert(plain["budgets"], list[_Flat])]
        return msgspec.convert({**plain, **machine}, Report)
    except (msgspec.ValidationError, RecursionError) as error:
        raise UsageError(f"{source} is a damaged report: {error}") from error


def _check_numbers(found: object) -> None:
    """Raise ``ValidationError`` for a number that no measurement gives."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        if found and all(type(one) is int for one in found):
            found = [min(found), max(found)]
        for one in found:
            _check_numbers(one)
    elif isinstance(found, int | float) and not -LARGEST < found < LARGEST:
        raise msgspec.ValidationError("it holds a number that no measurement gives")


class _Flat(msgspec.Struct, frozen=True, kw_only=True):
    """A row as the document has it: every figure in ``unit``."""

    name: str
    limit: float
    strict: bool
    unit: str
    verdict: Verdict
    measured: float | None = None
    upper: float | None = None
    lower: float | None = None
    reason: str = ""
    basis: str = ""


def _row(flat: _Flat) -> Row:
    if flat.name not in FIGURES:
        raise msgspec.ValidationError(f"unknown budget {flat.name!r}")
    if UNITS.get(flat.unit, ("",))[0] != FIGURES[flat.name][0]:
        raise msgspec.ValidationError(f"{flat.unit!r} is no unit of {flat.name}")
    if not 0.0 < flat.limit < math.inf:
        raise msgspec.ValidationError(f"the limit of {flat.name} must be above 0")

    def told(amount: float | None) -> Quantity | None:
        return None if amount is None else Quantity(amount, flat.unit)

    return Row(
        budget=Budget(flat.name, Quantity(flat.limit, flat.unit), flat.strict),
        verdict=flat.verdict,
        measured=told(flat.measured),
        lower=told(flat.lower),
        upper=told(flat.upper),
        reason=flat.reason,
        basis=flat.basis,
    )
