"""A stored report, read back: the JSON document of :func:`tinytx.measure.report.document`."""

from pathlib import Path
from typing import Any

import msgspec

from tinytx.errors import UsageError, os_errors_as
from tinytx.measure.budgets import FIGURES, Budget, Quantity, Row, Verdict
from tinytx.measure.report import SCHEMA, Report

MAX_BYTES = 1_000_000_000


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
            f"{source} is a report of schema {plain['schema']}; this tinytx reads {SCHEMA}",
            "read it with the tinytx that wrote it, or bench again",
        )
    try:
        machine = msgspec.convert(plain.pop("machine"), dict[str, Any])
        plain["budgets"] = [_row(row) for row in msgspec.convert(plain["budgets"], list[_Flat])]
        return msgspec.convert({**plain, **machine}, Report)
    except msgspec.ValidationError as error:
        raise UsageError(f"{foreign}: {error}") from error


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
