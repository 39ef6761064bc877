"""A type and its bounds in words, from what msgspec knows of it."""

from typing import Any

import msgspec.inspect as types

PLAIN = {
    types.AnyType: "anything",
    types.NoneType: "null",
    types.BoolType: "true or false",
    types.IntType: "whole number",
    types.FloatType: "number",
    types.StrType: "text",
    types.DateTimeType: "moment (ISO 8601, with its zone)",
}


def kind(told: Any) -> str:
    """The type in words; a struct is named by its class."""
    if isinstance(told, types.UnionType):
        return " or ".join(dict.fromkeys(kind(part) for part in told.types))
    if isinstance(told, types.LiteralType):
        return " or ".join(f"`{value}`" for value in told.values)
    if isinstance(told, types.EnumType):
        return " or ".join(f"`{member.value}`" for member in told.cls)
    if isinstance(told, types.DictType):
        return f"table of {kind(told.value_type)}"
    if isinstance(told, types.VarTupleType | types.ListType | types.SetType | types.FrozenSetType):
        return f"list of {kind(told.item_type)}"
    if isinstance(told, types.TupleType):
        return f"list ({', '.join(kind(part) for part in told.item_types)})"
    if isinstance(told, types.StructType | types.DataclassType):
        return told.cls.__name__
    return PLAIN[type(told)]


def bounds(told: Any) -> str:
    """The range in words; empty where there is none."""
    if isinstance(told, types.UnionType):
        return "; ".join(filter(None, (bounds(part) for part in told.types)))
    if isinstance(told, types.LiteralType):
        return "these values"
    found = []
    for name, words in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        if (limit := getattr(told, name, None)) is not None:
            found.append(f"{words} {number(limit)}")
    if (factor := getattr(told, "multiple_of", None)) is not None:
        found.append(f"a multiple of {number(factor)}")
    if (pattern := getattr(told, "pattern", None)) is not None:
        found.append(f"matches `{pattern}`")
    if (longest := getattr(told, "max_length", None)) is not None:
        what = "characters" if isinstance(told, types.StrType) else "of them"
        found.append(f"at most {longest:,} {what}")
    return ", ".join(found)


def number(value: float) -> str:
    """A limit as people write it."""
    powers = {2**53: "2^53", 2**63 - 1: "2^63 - 1", 2**50: "2^50"}
    if value in powers:
        return powers[int(value)]
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}"


def default(value: Any) -> str:
    """A default as one types it, in code; None is no value."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`"


def structs(told: Any) -> list[type]:
    """The classes that a type leads to, itself included, in the order in which they are met."""
    if isinstance(told, types.UnionType | types.TupleType):
        parts = told.types if isinstance(told, types.UnionType) else told.item_types
        return [one for part in parts for one in structs(part)]
    if isinstance(told, types.DictType):
        return structs(told.value_type)
    if isinstance(told, types.VarTupleType | types.ListType | types.SetType | types.FrozenSetType):
        return structs(told.item_type)
    if isinstance(told, types.StructType | types.DataclassType):
        return [told.cls]
    return []
