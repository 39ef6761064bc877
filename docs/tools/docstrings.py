"""The text below each field of a class, and that of the class, read from the source."""

import ast
import inspect
import sys
import textwrap
from functools import cache


@cache
def fields(kind: type) -> dict[str, str]:
    """Field to the docstring below it, or the comment behind it; inherited ones too."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        if base.__module__.startswith("tinytx"):
            found |= _own(base)
    return found


def _own(kind: type) -> dict[str, str]:
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for place, field in enumerate(tree.body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        below = tree.body[place + 1] if place + 1 < len(tree.body) else None
        text = ""
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            text = str(below.value.value)
        elif "  # " in (last := lines[(field.end_lineno or field.lineno) - 1]):
            text = last.split("  # ", 1)[1]
        found[field.target.id] = " ".join(text.split())
    return found


def of_class(kind: type) -> str:
    """The class's own docstring, its first paragraph."""
    own = kind.__doc__ if "__doc__" in vars(kind) else ""
    return " ".join((own or "").split("\n\n")[0].split())


def named(module: str, name: str) -> type:
    """The class ``name`` of a module that is loaded."""
    kind: type = getattr(sys.modules[module], name)
    return kind
