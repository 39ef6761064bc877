"""What a sweep may vary: for each setting a range of numbers or a list of choices.

2,3,4             one of these
96:192            a whole number from 96 to 192, or any number where the setting takes one
96:192:32         96, 128, 160 or 192
log:3e-3:3e-2     evenly over the logarithm
"""

import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from tinytx.config import SECTIONS, check_setting, read_config
from tinytx.errors import UsageError

Scalar = str | int | float | bool | None
Params = dict[str, Scalar]
"""A value for each setting that is searched."""
Kind = Literal["whole", "number", "other"]

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"(log:)?({NUMBER}):({NUMBER})(?::({NUMBER}))?")
MOST_VALUES = 10_000  # of one setting, that are still counted out


@dataclass(frozen=True)
class Choices:
    """One of a few values."""

    options: tuple[Scalar, ...]

    def __str__(self) -> str:
        return ",".join(_told(option) for option in self.options)

    @property
    def values(self) -> tuple[Scalar, ...] | None:
        return self.options


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; ``step`` 0 means any of them."""

    low: float
    high: float
    step: float
    log: bool
    whole: bool

    def __str__(self) -> str:
        plain = self.step == (1 if self.whole else 0)
        step = "" if plain else f":{self.step!r}"
        return f"{'log:' if self.log else ''}{self.low!r}:{self.high!r}{step}"

    @property
    def values(self) -> tuple[Scalar, ...] | None:
        """All of them, or None where they are too many."""
        if not self.step:
            return None
        count = 1 + int((Decimal(str(self.high)) - Decimal(str(self.low))) / self._exact_step)
        if count > MOST_VALUES:
            return None
        kind = int if self.whole else float
        return tuple(kind(Decimal(str(self.low)) + i * self._exact_step) for i in range(count))

    @property
    def _exact_step(self) -> Decimal:
        return Decimal(str(self.step))


Dimension = Choices | Range


@dataclass(frozen=True)
class Space:
    """Every combination of the values of some settings."""

    dimensions: dict[str, Dimension]

    @property
    def size(self) -> int | None:
        """How many combinations there are; None when they cannot be counted out."""
        total = 1
        for dimension in self.dimensions.values():
            if (values := dimension.values) is None:
                return None
            total *= len(values)
        return total

    def combination(self, index: int) -> Params:
        """One of the :attr:`size` combinations; any number stands for one."""
        params: Params = {}
        for key, dimension in self.dimensions.items():
            values = dimension.values
            assert values is not None
            index, which = divmod(index, len(values))
            params[key] = values[which]
        return params


def same(params: Mapping[str, Any]) -> str:
    """A text that is the same for equal combinations, however they were computed."""
    rounded = {k: float(f"{v:.12g}") if isinstance(v, float) else v for k, v in params.items()}
    return json.dumps(rounded, sort_keys=True)


def load_space(texts: Iterable[str], file: Path | None = None) -> Space:
    """The space of ``--search SECTION.KEY=VALUES`` flags and of a file's [search] table.

    A flag wins over the file. Raises :class:`UsageError`: an unknown setting with the nearest
    one, a range that is none, a value that the setting cannot have.
    """
    dimensions: dict[str, Dimension] = {}
    if file is not None:
        table = read_config(file).get("search", {})
        if not isinstance(table, Mapping):
            raise UsageError(f"{file}: [search] must be a table of settings and what to try")
        source = f"{file}: [search]"
        for key, values in _flat(table):
            dimensions[key] = parse(key, values, source)
    for text in texts:
        match = re.fullmatch(r"\s*(\w+\.\w+)\s*=(.*)", text, re.DOTALL)
        if match is None:
            raise UsageError(f"--search {text!r} is not of the form section.key=values")
        dimensions[match[1]] = parse(match[1], match[2], "--search")
    if not dimensions:
        raise UsageError(
            "there is nothing to search",
            "give a setting and its values, such as --search model.layers=2,3,4",
        )
    return Space(dict(sorted(dimensions.items())))


def parse(key: str, values: object, source: str) -> Dimension:
    """What ``values`` (a text as above, or a list) says about one setting."""
    kind = _kind(key, source)
    where = f"{source} {key}" if source.startswith("--") else f"{source}: {key}"
    if isinstance(values, str) and kind != "other" and ":" in values:
        found = _range(values.strip(), kind, where)
        check_setting(key, found.low, source)
        check_setting(key, found.high, source)
        return found
    choices = _choices(values, where)
    for option in choices.options:
        check_setting(key, option, source)
    return choices


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """``model.layers = ...`` of a TOML table, which nests dotted keys unless they are quoted."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _kind(key: str, source: str) -> Kind:
    section, _, name = key.partition(".")
    told: Any = msgspec.inspect.type_info(SECTIONS[section]) if section in SECTIONS else None
    for field in told.fields if told else ():
        if field.name == name:
            kinds = {msgspec.inspect.IntType: "whole", msgspec.inspect.FloatType: "number"}
            found: Kind = kinds.get(type(field.type), "other")  # type: ignore[assignment]
            return found
    check_setting(key, None, source)  # names the nearest setting
    raise AssertionError(key)


def _range(text: str, kind: Kind, where: str) -> Range:
    match = RANGE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{where}: {text!r} is no range", "write LOW:HIGH, LOW:HIGH:STEP or log:LOW:HIGH"
        )
    log, numbers = match[1] is not None, [part for part in match.groups()[1:] if part is not None]
    if log and len(numbers) == 3:
        raise UsageError(f"{where}: a range over the logarithm takes no step")
    whole = kind == "whole"
    if whole and not all(re.fullmatch(r"[-+]?\d+", number) for number in numbers):
        raise UsageError(f"{where} takes whole numbers, not {text!r}")
    if not all(math.isfinite(float(number)) for number in numbers):
        raise UsageError(f"{where}: {text!r} holds a number that is too large")
    exact = [Decimal(number) for number in numbers]
    low, high, step = exact if len(exact) == 3 else (*exact, Decimal(int(whole)))
    if step < 0 or (step == 0 and len(exact) == 3):
        raise UsageError(f"{where}: the step must be above 0, not {step}")
    if step:
        high = low + (high - low) // step * step  # the last value that the steps reach
    if low >= high:
        raise UsageError(f"{where}: {text!r} holds fewer than two values")
    if log and low <= 0:
        raise UsageError(f"{where}: a range over the logarithm starts above 0, not at {low}")
    kind_of = int if whole else float
    return Range(kind_of(low), kind_of(high), kind_of(step), log, whole)


def _choices(values: object, where: str) -> Choices:
    options: list[Any]
    if isinstance(values, str):
        options = [_scalar(part) for part in values.split(",")]
    else:
        options = values if isinstance(values, list) else [values]
    for option in options:
        if not isinstance(option, str | int | float | bool):
            raise UsageError(f"{where}: {option!r} is not one value")
        if options.count(option) > 1:
            raise UsageError(f"{where}: {_told(option)} is there twice")
    if len(options) < 2:
        raise UsageError(f"{where}: one value is nothing to search; --set gives a fixed one")
    return Choices(tuple(options))


def _scalar(text: str) -> Any:
    """A value as ``--set`` reads it: TOML, or else a text."""
    try:
        document = tomllib.loads(f"x = {text}")
    except tomllib.TOMLDecodeError:
        return text.strip()
    return document["x"] if len(document) == 1 else text.strip()


def _told(option: Scalar) -> str:
    return option if isinstance(option, str) else json.dumps(option)
