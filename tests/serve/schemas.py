"""JSON Schema, as much of it as /openapi.json uses: does a value fit, and values that do. A keyword
that is not known here is an error, so that nothing of a schema goes unheeded."""

import re
from typing import Any

from hypothesis import strategies as st

Schema = dict[str, Any]
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "null": (type(None),), "array": (list,), "object": (dict,),
}  # fmt: skip
SAID = {"title", "description", "default"}
KNOWN = SAID | {
    "$ref", "anyOf", "type", "enum", "properties", "required", "additionalProperties", "items",
    "minimum", "maximum", "exclusiveMinimum", "minLength", "maxItems",
}  # fmt: skip


class Schemas:
    """Those of a document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._named: dict[str, Schema] = document["components"]["schemas"]

    def _resolved(self, schema: Schema) -> Schema:
        assert set(schema) <= KNOWN, f"what does {set(schema) - KNOWN} mean?"
        if "$ref" not in schema:
            return schema
        found = re.fullmatch(r"#/components/schemas/(\w+)", schema["$ref"])
        assert found, schema
        return self._resolved(self._named[found[1]])

    def wrong(self, value: Any, schema: Schema, where: str = "") -> str:
        """Why ``value`` does not fit; nothing when it does."""
        schema = self._resolved(schema)
        if "anyOf" in schema:
            told = [self.wrong(value, one, where) for one in schema["anyOf"]]
            return "" if "" in told else " and ".join(told)
        if "enum" in schema:
            return "" if any(_same(value, one) for one in schema["enum"]) else f"{where}: not in it"
        kind = schema.get("type")
        if kind is None:
            return ""
        fits = isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
        if not fits:
            return f"{where} is no {kind}: {value!r}"
        if kind == "array":
            return self._wrong_array(value, schema, where)
        if kind == "object":
            return self._wrong_object(value, schema, where)
        return "" if _in_bounds(value, schema) else f"{where} is out of bounds: {value!r}"

    def _wrong_array(self, value: list[Any], schema: Schema, where: str) -> str:
        if len(value) > schema.get("maxItems", len(value)):
            return f"{where} is too long"
        items = schema.get("items", {})
        told = (self.wrong(one, items, f"{where}[{i}]") for i, one in enumerate(value))
        return next(filter(None, told), "")

    def _wrong_object(self, value: dict[str, Any], schema: Schema, where: str) -> str:
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        if lacking := set(schema.get("required", ())) - set(value):
            return f"{where} lacks {lacking}"
        for name, one in value.items():
            if name not in properties and more is False:
                return f"{where} has {name}"
            inner = properties.get(name, more if isinstance(more, dict) else {})
            if told := self.wrong(one, inner, f"{where}.{name}"):
                return told
        return ""

    def fitting(self, schema: Schema) -> st.SearchStrategy[Any]:
        """Values that fit."""
        schema = self._resolved(schema)
        if "anyOf" in schema:
            return st.one_of([self.fitting(one) for one in schema["anyOf"]])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        kind = schema.get("type")
        if kind == "array":
            most = min(schema.get("maxItems", 4), 4)
            return st.lists(self.fitting(schema.get("items", {})), max_size=most)
        if kind == "object":
            properties = {n: self.fitting(one) for n, one in schema.get("properties", {}).items()}
            needed = {name: properties.pop(name) for name in schema.get("required", ())}
            return st.fixed_dictionaries(needed, optional=properties)
        return _scalars(schema)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _in_bounds(value: Any, schema: Schema) -> bool:
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0)
    if not isinstance(value, int | float):
        return True
    return not (
        value < schema.get("minimum", value)
        or value > schema.get("maximum", value)
        or value <= schema.get("exclusiveMinimum", value - 1)
    )


def _scalars(schema: Schema) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("type") == "string":
        return st.text(
            st.characters(codec="utf-8"), min_size=schema.get("minLength", 0), max_size=8
        )
    if schema.get("type") == "integer":
        return st.one_of(st.integers(low, high), st.integers(low or 0, min(high or 40, 40)))
    if schema.get("type") == "number":
        low = schema.get("exclusiveMinimum", low)
        return st.floats(low, high, exclude_min="exclusiveMinimum" in schema, allow_nan=False)
    if schema.get("type") == "boolean":
        return st.booleans()
    if schema.get("type") == "null":
        return st.none()
    return st.none() | st.booleans() | st.text(max_size=3)
