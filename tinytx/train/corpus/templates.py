"""Write a grammar as templates: rules, word lists and tables of variables, compiled to nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tinytx.train.corpus.grammar import (
    Bind,
    Choice,
    GrammarError,
    Literal,
    Node,
    Reference,
    Sequence,
    Table,
)

Weighted = tuple[tuple[int, str], ...]
"""The alternatives of a rule: (weight, template)."""


def read_rules(source: str) -> dict[str, Weighted]:
    """Read rules: `name:` at the margin, then one indented `weight template` per line.

    A line that starts with `| ` goes on with the template above it, after a space.

    Raises GrammarError on any other line, and when a name is defined twice.
    """
    rules: dict[str, list[tuple[int, str]]] = {}
    name = ""
    for line in source.strip().splitlines():
        text = line.strip()
        if match := re.fullmatch(r"(\w+):", line):
            name = match[1]
            if name in rules:
                raise GrammarError(f"rule {name!r} is defined twice")
            rules[name] = []
        elif name and (match := re.fullmatch(r"(\d+) (.+)", text)):
            rules[name].append((int(match[1]), match[2]))
        elif text.startswith("| ") and rules.get(name):
            weight, template = rules[name][-1]
            rules[name][-1] = (weight, f"{template} {text[2:]}")
        elif text:
            raise GrammarError(f"cannot read {line!r} in rule {name!r}")
    return {name: tuple(options) for name, options in rules.items()}


def read_words(source: str) -> Weighted:
    """Read words in tiers `common / usual / rare`, the last of weight 2; `_` stands for a space."""
    tiers = source.split("/")
    return tuple(
        (len(tiers) + 1 - i, word.replace("_", " "))
        for i, tier in enumerate(tiers)
        for word in tier.split()
    )


def compile_grammar(start: str, rules: Mapping[str, Weighted], tables: Mapping[str, Table]) -> Node:
    """Compile templates to the node of rule `start`.

    A template is text with `{rule}`; `{variable=field}`, which binds the variable (its table has
    its name) and spells the field; `{variable.field}`; and `[1/3 text]`, text that is present with
    probability 1/3. An optional part is compiled to a choice between "part, rest" and "rest".

    Raises GrammarError when a name is unknown, a rule contains itself, a weight is not positive,
    or a variable can be used before it is bound or be bound twice.
    """
    node = _Compiler(rules, tables).rule(start, ())
    _check_bound(node, frozenset(), {})
    return node


_SLOT = re.compile(r"\{(\w+)(?:([=.])(\w+))?\}|\[(\d+)/(\d+) ([^\]]*)\]")


class _Compiler:
    def __init__(self, rules: Mapping[str, Weighted], tables: Mapping[str, Table]) -> None:
        self._rules, self._tables = rules, tables
        self._done: dict[str, Node] = {}

    def rule(self, name: str, within: tuple[str, ...]) -> Node:
        if name in within:
            raise GrammarError(f"rule {name!r} contains itself")
        if name not in self._rules:
            raise GrammarError(f"rule {name!r} is not defined (used in {within[-1:]})")
        if name not in self._done:
            weights = tuple(weight for weight, _ in self._rules[name])
            if not weights or min(weights) < 1:
                raise GrammarError(f"rule {name!r} needs weights of at least 1")
            options = tuple(self.template(t, (*within, name)) for _, t in self._rules[name])
            self._done[name] = options[0] if len(options) == 1 else Choice(weights, options)
        return self._done[name]

    def template(self, text: str, within: tuple[str, ...]) -> Node:
        """Right to left, so that an optional part can hold the compiled rest."""
        rest: tuple[Node, ...] = ()
        end = len(text)
        for match in reversed(list(_SLOT.finditer(text))):
            rest = _literal(text[match.end() : end]) + rest
            name, sign, form, number, of, optional = match.groups()
            if name:
                rest = (self.slot(name, sign, form, within), *rest)
            else:
                weights, tail = (int(number), int(of) - int(number)), _sequence(rest)
                if min(weights) < 1:
                    raise GrammarError(f"{match[0]!r} needs a probability between 0 and 1")
                part = self.template(optional, within)
                rest = (Choice(weights, (_sequence((part, tail)), tail)),)
            end = match.start()
        if set(_SLOT.sub("", text)) & set("{}[]"):
            raise GrammarError(f"cannot read the template {text!r}")
        return _sequence(_literal(text[:end]) + rest)

    def slot(self, name: str, sign: str | None, form: str, within: tuple[str, ...]) -> Node:
        if sign is None:
            return self.rule(name, within)
        key = f"{name}{sign}{form}"
        if key not in self._done:
            if not all(form in record for _, record in self._tables.get(name, ((0, {}),))):
                raise GrammarError(f"variable {name!r} has no field {form!r}")
            weights, records = zip(*self._tables[name], strict=True)
            values = tuple(dict.fromkeys(record[form] for record in records))
            bind = sign == "="
            self._done[key] = (
                Bind(name, form, weights, records) if bind else Reference(name, form, values)
            )
        return self._done[key]


def _literal(text: str) -> tuple[Node, ...]:
    return (Literal(text),) if text else ()


def _sequence(parts: tuple[Node, ...]) -> Node:
    return parts[0] if len(parts) == 1 else Sequence(parts)


def _check_bound(
    node: Node, bound: frozenset[str], done: dict[tuple[Node, frozenset[str]], frozenset[str]]
) -> frozenset[str]:
    """Return the variables that are bound on every way through `node`."""
    if (node, bound) not in done:
        after = bound
        if isinstance(node, Sequence):
            for part in node.parts:
                after = _check_bound(part, after, done)
        elif isinstance(node, Choice):
            ways = [_check_bound(option, bound, done) for option in node.options]
            after = frozenset.intersection(*ways)
        elif isinstance(node, Bind):
            if node.variable in bound:
                raise GrammarError(f"variable {node.variable!r} is bound twice")
            after = bound | {node.variable}
        elif isinstance(node, Reference) and node.variable not in bound:
            raise GrammarError(f"variable {node.variable!r} can be used before it is bound")
        done[node, bound] = after
    return done[node, bound]
