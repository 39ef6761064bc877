"""Weighted grammars: sample them, and count the derivations of a text.

A grammar is an acyclic graph of five kinds of node. Its language is finite, each choice is made
with small integer weights, and a choice that is needed again later (a name, its pronouns) is made
once, at a `Bind`, and spelled again by a `Reference`. A text's probability is the product of
weight / total over the choices of its derivation: exact, provided that the derivation is the only
one, which `proof.find_clash` proves by a walk over the grammar itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

Table = tuple[tuple[int, Mapping[str, str]], ...]
"""The values of a variable: (weight, its forms by field name)."""


class GrammarError(ValueError):
    """A grammar is malformed, or a text is not a text of the grammar."""


@dataclass(frozen=True, eq=False, slots=True)
class Literal:
    """Spells `text`."""

    text: str


@dataclass(frozen=True, eq=False, slots=True)
class Sequence:
    """Spells its parts, one after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Choice:
    """Spells option i with probability weights[i] / sum(weights).

    `wheel` repeats (cost in bits, option) weight times: a uniform draw of a position is the
    weighted draw of an option.
    """

    weights: tuple[int, ...]
    options: tuple[Node, ...]
    wheel: tuple[tuple[float, Node], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wheel", _wheel(self.weights, self.options))


@dataclass(frozen=True, eq=False, slots=True)
class Bind:
    """Draws a record, keeps it under `variable`, and spells its field `form`."""

    variable: str
    form: str
    weights: tuple[int, ...]
    records: tuple[Mapping[str, str], ...]
    wheel: tuple[tuple[float, Mapping[str, str]], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wheel", _wheel(self.weights, self.records))


@dataclass(frozen=True, eq=False, slots=True)
class Reference:
    """Spells field `form` of the record bound to `variable`; `values` are all it can spell."""

    variable: str
    form: str
    values: tuple[str, ...]


Node = Literal | Sequence | Choice | Bind | Reference


_T = TypeVar("_T")


def _wheel(weights: tuple[int, ...], values: tuple[_T, ...]) -> tuple[tuple[float, _T], ...]:
    total = sum(weights)
    pairs = zip(weights, values, strict=True)
    return tuple((math.log2(total / w), value) for w, value in pairs for _ in range(w))


class SplitMix64:
    """A generator of 64-bit integers with a fixed sequence; integer arithmetic only.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014;
    constants as in Vigna's public-domain splitmix64.c.
    """

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def next(self) -> int:
        """Return the next integer, 0 <= n < 2**64."""
        self._state = z = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(self, n: int) -> int:
        """Return an unbiased integer, 0 <= i < n: draws past the last multiple of n are redrawn."""
        limit = _MASK - (_MASK + 1) % n
        while (z := self.next()) > limit:
            pass
        return z % n


_MASK = (1 << 64) - 1


def sample(root: Node, random: SplitMix64) -> tuple[str, float]:
    """Draw a text; return it with its information -log2 p, in bits."""
    stack: list[Node] = [root]
    out: list[str] = []
    env: dict[str, Mapping[str, str]] = {}
    bits = 0.0
    while stack:
        node = stack.pop()
        kind = type(node)
        if kind is Literal:
            out.append(node.text)  # type: ignore[union-attr]
        elif isinstance(node, Choice):
            cost, option = node.wheel[random.below(len(node.wheel))]
            bits += cost
            stack.append(option)
        elif isinstance(node, Sequence):
            stack.extend(reversed(node.parts))
        elif isinstance(node, Reference):
            out.append(env[node.variable][node.form])
        elif isinstance(node, Bind):
            cost, record = node.wheel[random.below(len(node.wheel))]
            bits += cost
            env[node.variable] = record
            out.append(record[node.form])
    return "".join(out), bits


Path = tuple[Node, "Path"] | None
"""What is left to spell: a linked list, so that branches share their tails."""


@dataclass(frozen=True, slots=True)
class _State:
    """A way through the grammar that fits the text up to `at`, at a cost of `bits`."""

    at: int
    path: Path
    env: Mapping[str, Mapping[str, str]]
    bits: float


def parse(root: Node, text: str) -> list[float]:
    """Return the information -log2 p, in bits, of every derivation of `text`; none: no text of it.

    The search is exhaustive: it never stops at the first derivation.
    """
    found: list[float] = []
    agenda = [_State(0, (root, None), {}, 0.0)]
    while agenda:
        state = agenda.pop()
        if state.path is not None:
            agenda.extend(_advance(state, *state.path, text))
        elif state.at == len(text):
            found.append(state.bits)
    return found


def _advance(state: _State, node: Node, rest: Path, text: str) -> Iterator[_State]:
    """Yield the states after one step: unfold `node`, or spell it where the text agrees."""
    at, env, bits = state.at, state.env, state.bits
    if isinstance(node, Choice):
        total = sum(node.weights)
        for weight, option in zip(node.weights, node.options, strict=True):
            if not isinstance(option, Literal) or text.startswith(option.text, at):
                yield _State(at, (option, rest), env, bits + math.log2(total / weight))
    elif isinstance(node, Sequence):
        for part in reversed(node.parts):
            rest = (part, rest)
        yield _State(at, rest, env, bits)
    elif isinstance(node, Bind):
        total = sum(node.weights)
        for weight, record in zip(node.weights, node.records, strict=True):
            if text.startswith(word := record[node.form], at):
                bound = {**env, node.variable: record}
                yield _State(at + len(word), rest, bound, bits + math.log2(total / weight))
    else:
        word = node.text if isinstance(node, Literal) else env[node.variable][node.form]
        if text.startswith(word, at):
            yield _State(at + len(word), rest, env, bits)


def nodes(root: Node) -> Iterator[Node]:
    """Yield every node of the graph once, in a fixed order."""
    seen: set[Node] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            yield node
            if isinstance(node, Sequence):
                stack.extend(node.parts)
            elif isinstance(node, Choice):
                stack.extend(node.options)
