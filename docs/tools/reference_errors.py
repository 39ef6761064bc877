"""The page of exit codes and messages: every failure that the source can raise, by class.

Read from the source, not run: each place that makes an error of ``tinytx/errors.py`` (or one of
click's for wrong usage), with its message as it is written. What changes from case to case stands
in braces.
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from md import code, prose, table

from tinytx import errors

PACKAGE = Path(errors.__file__).parent
CLICK = {"UsageError", "BadParameter", "MissingParameter", "BadArgumentUsage", "BadOptionUsage"}
OTHERS = {0: "done", errors.EXIT_BUG: "a bug in tinytx; please report it"}

INTRODUCTION = """# Exit codes and messages

Every command ends with one of these codes. A failure is one sentence that begins with `tinytx:`,
and often a second line, `->`, with what to do. There is a [page of common
ones](../guide/08-troubleshooting.md) with their remedies.
"""
MESSAGES = """
## Messages by class

As they stand in the source; what changes from case to case is in braces. The module that says it
follows.
"""


@dataclass(frozen=True, order=True)
class Message:
    """One message, and where it is made."""

    kind: str
    text: str
    place: str


def page() -> str:
    """The whole page, as Markdown."""
    kinds = classes()
    codes = [(f"`{number}`", told, "") for number, told in OTHERS.items() if number == 0]
    codes += [
        (f"`{kind.exit_code}`", prose(_story(kind)), code(name))
        for name, kind in kinds.items()
        if name != "TinytxError"
    ]
    codes.append((f"`{errors.EXIT_BUG}`", OTHERS[errors.EXIT_BUG], "anything else"))
    parts = [INTRODUCTION, "\n## Exit codes\n", table(("code", "when", "class"), codes), MESSAGES]
    found = sorted(set(messages()))
    for name in [*kinds, "RequestError"]:
        mine = [message for message in found if message.kind == name]
        if mine:
            parts.append(_section(name, kinds.get(name), mine))
    return "\n".join(parts)


@cache
def classes() -> dict[str, type[errors.TinytxError]]:
    """The error classes by name, ordered by exit code."""
    found = [
        (name, kind)
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.TinytxError)
    ]
    order = list(ast.walk(ast.parse(inspect.getsource(errors))))
    lines = {node.name: node.lineno for node in order if isinstance(node, ast.ClassDef)}
    return dict(sorted(found, key=lambda pair: lines[pair[0]]))


def _story(kind: type) -> str:
    return (kind.__doc__ or "").strip().split("\n\n")[0]


def _section(name: str, kind: type[errors.TinytxError] | None, mine: list[Message]) -> str:
    if kind is None:
        head = "### RequestError\n\nAnswers of the server, with an HTTP status of 400 and above.\n"
    elif name == "TinytxError":
        head = f"### {name}\n\nOf no class of its own; the code is the one of what caused it.\n"
    else:
        head = f"### {name}, exit code {kind.exit_code}\n\n{prose(_story(kind))}\n"
    lines = []
    for text in dict.fromkeys(message.text for message in mine):
        places = dict.fromkeys(m.place for m in mine if m.text == text)
        lines.append(f"- {code(text)} ({', '.join(places)})")
    return f"{head}\n" + "\n".join(lines) + "\n"


def messages(package: Path = PACKAGE) -> Iterator[Message]:
    """Every message of the package's own errors."""
    for file in sorted(package.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        place = file.relative_to(package).as_posix()
        source = Source(tree)
        for call, function in source.calls:
            for kind, text in source.messages_of(call, function):
                yield Message(kind, text, place)


class Source:
    """One file: the calls in it, each with the function that it stands in."""

    def __init__(self, tree: ast.Module) -> None:
        self.functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        self.raised = {id(n.exc) for n in ast.walk(tree) if isinstance(n, ast.Raise)}
        self.calls = list(_calls(tree, None))

    def messages_of(self, call: ast.Call, function: ast.AST | None) -> Iterator[tuple[str, str]]:
        """The class and the messages of a call that makes an error; nothing for any other."""
        kind = _kind(call.func)
        if kind == "kind":  # a class in a variable
            kind = "TinytxError" if id(call) in self.raised else None
        if kind is None or not call.args:
            return
        if kind == "os_errors_as":
            for doing in self.texts(call.args[1], function):
                yield _name(call.args[0]), f"cannot {doing}: {{the system's reason}}"
            return
        for text in self.texts(call.args[0], function):
            yield kind, text

    def texts(self, node: ast.expr, function: ast.AST | None) -> list[str]:
        """What a message can be, as templates: names and helpers are looked up."""
        if isinstance(node, ast.IfExp):
            return self.texts(node.body, function) + self.texts(node.orelse, function)
        if isinstance(node, ast.Name) and function is not None:
            found = [one for value in _assigned(function, node.id) for one in told(value)]
            return found or [template(node)]
        if isinstance(node, ast.Call) and _name(node.func) in self.functions:
            helper = self.functions[_name(node.func)]
            values = [n.value for n in ast.walk(helper) if isinstance(n, ast.Return) and n.value]
            return [one for value in values for one in told(value)] or [template(node)]
        return [template(node)]


def told(value: ast.expr) -> list[str]:
    """The texts that an expression can be, leaving out what is no text or empty."""
    if isinstance(value, ast.IfExp):
        return told(value.body) + told(value.orelse)
    if isinstance(value, ast.Tuple):  # a message and its remedy
        return told(value.elts[0]) if value.elts else []
    texts = isinstance(value, ast.JoinedStr | ast.BinOp) or (
        isinstance(value, ast.Constant) and isinstance(value.value, str)
    )
    text = template(value) if texts else ""
    return [text] if " " in text else []


def _calls(node: ast.AST, function: ast.AST | None) -> Iterator[tuple[ast.Call, ast.AST | None]]:
    """Every call with the innermost function that it stands in."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = node
    if isinstance(node, ast.Call):
        yield node, function
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, function)


def _kind(func: ast.expr) -> str | None:
    name = _name(func)
    if isinstance(func, ast.Attribute):
        return "UsageError" if _name(func.value) == "click" and name in CLICK else None
    known = {*classes(), "RequestError", "os_errors_as", "kind"}
    return name if name in known else None


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def template(node: ast.expr) -> str:
    """An expression as a text, with what changes in braces."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    value = node.value if isinstance(node, ast.FormattedValue) else node
    return f"{{{_short(value)}}}"


def _assigned(function: ast.AST, name: str) -> Iterator[ast.expr]:
    """The values that a name gets within a function."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(_name(target) == name for target in node.targets):
            yield node.value


def _short(node: ast.expr) -> str:
    """What stands for a value: its name, or the last part of it."""
    if isinstance(node, ast.Name | ast.Attribute):
        return _name(node)
    if isinstance(node, ast.Call):
        named = [one for one in map(_short, node.args) if one != "..."]
        return named[-1] if named else _name(node.func) or "..."
    inner = {
        ast.Subscript: "value", ast.BinOp: "left", ast.IfExp: "body", ast.GeneratorExp: "elt",
        ast.Starred: "value", ast.UnaryOp: "operand",
    }  # fmt: skip
    for kind, attribute in inner.items():
        if isinstance(node, kind):
            return _short(getattr(node, attribute))
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isalpha():
        return node.value
    return "..."
