"""What is promised: limits with units, read from a TOML file; and the verdict on one figure."""

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import msgspec

from tinytx.errors import UsageError

SCHEMA = 1
BUDGETS = "budgets"
CONSTITUTION = f"{BUDGETS}/constitution.toml"

Dimension = Literal["bytes", "time"]
UNITS: dict[str, tuple[Dimension, int]] = {
    "B": ("bytes", 1),
    "kB": ("bytes", 1_000),
    "MB": ("bytes", 1_000_000),
    "ns": ("time", 1),
    "us": ("time", 1_000),
    "ms": ("time", 1_000_000),
    "s": ("time", 1_000_000_000),
}

FIGURES: dict[str, tuple[Dimension, str]] = {
    "rss": ("bytes", "memory at rest (RSS)"),
    "peak_memory": ("bytes", "peak memory"),
    "next_token_p95": ("time", "next token, p95"),
    "model_size": ("bytes", "model size"),
    "training_20_epochs": ("time", "20 epochs of training"),
}


class Verdict(StrEnum):
    """What a figure proves about a budget."""

    PASS = "PASS"
    FAIL = "FAIL"
    INVALID = "INVALID"


class Quantity(msgspec.Struct, frozen=True):
    """A figure: a number and the unit that it is told in."""

    amount: float
    unit: str

    @classmethod
    def of(cls, base: float, unit: str) -> "Quantity":
        """``base`` bytes or nanoseconds, told in ``unit``."""
        return cls(base / UNITS[unit][1], unit)

    @property
    def base(self) -> float:
        """The figure in bytes or nanoseconds."""
        return self.amount * UNITS[self.unit][1]

    def __str__(self) -> str:
        digits = 0 if self.amount == round(self.amount) else _digits(self.amount)
        return f"{self.amount:,.{digits}f} {self.unit}"


def _digits(amount: float) -> int:
    """Decimals that show three significant digits."""
    return max(0, 2 - math.floor(math.log10(abs(amount)))) if amount else 0


class Budget(msgspec.Struct, frozen=True):
    """One promise: a figure and its limit."""

    name: str
    limit: Quantity
    strict: bool = False
    """Whether the figure must be under the limit, not merely at most at it."""

    @property
    def title(self) -> str:
        return FIGURES[self.name][1]

    def kept_by(self, base: float) -> bool:
        """Whether ``base`` bytes or nanoseconds are within the limit."""
        limit = self.limit.base
        return base < limit if self.strict else base <= limit

    def told(self, base: float) -> Quantity:
        """``base`` bytes or nanoseconds in the unit of the limit."""
        return Quantity.of(base, self.limit.unit)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one budget, with the figures that it rests on."""

    budget: Budget
    verdict: Verdict
    measured: Quantity | None = None
    lower: Quantity | None = None
    upper: Quantity | None = None
    reason: str = ""
    """Why the verdict is not PASS."""
    basis: str = ""
    """How the figure and its bounds came about."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, in bytes or nanoseconds, before it is judged."""

    measured: float | None = None
    lower: float | None = None
    upper: float | None = None
    basis: str = ""
    trouble: str = ""
    """Why the figure means nothing, when it does."""
    unproven: str = "the bounds lie on both sides of the limit"
    """What to say when neither bound decides."""
    proof: str = ""
    """What shows that the figure is over the limit, when no measured figure does."""


def judge(budget: Budget, figure: Figure, breaches: Iterable[str] = ()) -> Row:
    """PASS when the upper bound keeps the limit, FAIL when the lower bound breaks it, INVALID
    when neither is so, or when there is ``trouble`` or a breach of the machine's conditions.
    """
    told = {
        name: None if base is None else budget.told(base)
        for name, base in (
            ("measured", figure.measured),
            ("lower", figure.lower),
            ("upper", figure.upper),
        )
    }
    troubles = [*([figure.trouble] if figure.trouble else []), *breaches]
    if troubles:
        verdict, reason = Verdict.INVALID, "; ".join(troubles)
    elif figure.upper is not None and budget.kept_by(figure.upper):
        verdict, reason = Verdict.PASS, ""
    elif figure.lower is not None and not budget.kept_by(figure.lower):
        over = figure.proof or f"{budget.told(figure.lower)} is over the limit"
        verdict, reason = Verdict.FAIL, over
    else:
        verdict, reason = Verdict.INVALID, f"not proven: {figure.unproven}"
    return Row(budget=budget, verdict=verdict, reason=reason, basis=figure.basis, **told)


def policy_file(relative: str) -> Path:
    """A file of numbers that users edit: from the installed package, else the source checkout.

    Raises :class:`UsageError` when neither has it.
    """
    here = Path(__file__).resolve().parent
    for path in (here / "files" / relative, here.parents[2] / "bench" / relative):
        if path.exists():
            return path
    raise UsageError(f"this installation of tinytx lacks its file {relative}", "reinstall tinytx")


def policy_names(folder: str) -> list[str]:
    """The names of the files in a folder of such numbers."""
    return sorted(path.stem for path in policy_file(folder).glob("*.toml"))


def load_budgets(file: Path | None = None) -> list[Budget]:
    """Read a budget file: a path, the name of one that is installed ("stretch"), or the
    constitution. Raises :class:`UsageError`.
    """
    path = budget_file(file)
    source = str(path)
    document = read_toml(path)
    check_keys(document, ("schema", "budget"), source)
    if document.get("schema") != SCHEMA:
        raise UsageError(f"{source}: schema must be {SCHEMA}, not {document.get('schema')!r}")
    tables = document.get("budget")
    if not isinstance(tables, Mapping) or not tables:
        raise UsageError(f"{source}: no [budget.NAME] table; known are {', '.join(FIGURES)}")
    check_keys(tables, FIGURES, source, "budget.")
    return [_budget(name, table, source) for name, table in tables.items()]


def budget_file(file: Path | None) -> Path:
    """``file``, the installed one of this name, or without a name the constitution.

    A plain name is never a path that is missing. Raises :class:`UsageError`.
    """
    if file is None:
        return policy_file(CONSTITUTION)
    if len(file.parts) != 1 or file.suffix or _there(file):
        return file
    known = policy_names(BUDGETS)
    if file.name not in known:
        hint = nearest(file.name, known)
        raise UsageError(f"--budgets {file}: no such file, and no budgets of this name; {hint}")
    return policy_file(f"{BUDGETS}/{file.name}.toml")


def _there(file: Path) -> bool:
    """A folder that may not be looked into (of who called sudo, for example) holds no such file."""
    try:
        return file.exists()
    except PermissionError:
        return False


def _budget(name: str, table: object, source: str) -> Budget:
    where = f"{source}: budget.{name}"
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} must be a table with at_most or under, and unit")
    check_keys(table, ("at_most", "under", "unit"), source, f"budget.{name}.")
    if ("at_most" in table) == ("under" in table):
        raise UsageError(f"{where} needs one limit: at_most or under")
    strict = "under" in table
    key = "under" if strict else "at_most"
    limit, unit = table[key], table.get("unit")
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
        raise UsageError(f"{where}.{key} must be a number, not {limit!r}")
    if limit <= 0:
        raise UsageError(f"{where}.{key} must be above 0, not {limit}")
    dimension = FIGURES[name][0]
    units = [symbol for symbol, (kind, _) in UNITS.items() if kind == dimension]
    if unit not in units:
        hint = nearest(str(unit), units)
        asked = f"; {hint}" if hint.startswith("did") else ""
        raise UsageError(f"{where}.unit must be one of {', '.join(units)}, not {unit!r}{asked}")
    return Budget(name, Quantity(float(limit), str(unit)), strict)


def read_toml(path: Path) -> dict[str, Any]:
    """The contents of a TOML file. Raises :class:`UsageError`, for a duplicate key as well."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        text = str(error)
        twice = "twice" in text or "Cannot overwrite a value" in text
        what = "has a duplicate key" if twice else "is not valid TOML"
        raise UsageError(f"{path} {what}: {text}") from error


def check_keys(
    table: Mapping[str, object], known: Iterable[str], source: str, prefix: str = ""
) -> None:
    """Raise :class:`UsageError` for a key that is not known, with the nearest one that is."""
    names = list(known)
    for key in table:
        if key not in names:
            hint = nearest(key, names, prefix)
            raise UsageError(f"{source}: unknown key {prefix + key!r}; {hint}")


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """A question with the nearest known word, or all of them where none is near."""
    names = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), names, n=1)
    if close:
        return f"did you mean {prefix + names[close[0]]!r}?"
    return f"known are {', '.join(names.values())}"
