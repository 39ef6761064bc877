"""Prove on the grammar itself that every text has one derivation."""

from __future__ import annotations

from tinytx.train.corpus.grammar import (
    Bind,
    Choice,
    Literal,
    Node,
    Path,
    Reference,
    Sequence,
    nodes,
)


def find_clash(root: Node) -> str | None:
    """Look for a choice that the text does not decide; None proves that there is none.

    At every choice, no text of an alternative may be a prefix of a text of another. Then the text
    after any choice fits at most one alternative, so each text has at most one derivation (and
    the language of every node is a prefix code). The walk compares two alternatives along all
    pairs of ways through them. A `Reference` may spell any value of its field, which allows for
    more texts than there are, so a proof holds; a clash may be spurious.
    """
    for node in nodes(root):
        if isinstance(node, Choice):
            options = node.options
        elif isinstance(node, Bind):
            options = tuple(Literal(record[node.form]) for record in node.records)
        else:
            continue
        for i, left in enumerate(options):
            for right in options[:i]:
                if (clash := _clash((left, None), (right, None))) is not None:
                    return clash
    return None


def _clash(left: Path, right: Path) -> str | None:
    """Return a text of one path that is a prefix of a text of the other, if there is one.

    A node that both paths have reached together is passed over, with an example of its texts: they
    are a prefix code (its own choices are checked elsewhere) or one bound word, so only equal
    texts can go on.
    """
    seen: set[tuple[Path, Path, bool]] = set()
    literals: dict[str, Literal] = {}
    work: list[tuple[Path, Path, bool, str]] = [(left, right, False, "")]
    while work:
        a, b, rebound, text = work.pop()
        if a is None or b is None:
            return text
        if (a, b, rebound) in seen:
            continue
        seen.add((a, b, rebound))
        if a[0] is b[0] and not (rebound and isinstance(a[0], Reference)):
            work.append((a[1], b[1], rebound, text + _example(a[0])))
            continue
        if _rank(a[0]) < _rank(b[0]):
            a, b = b, a
        (node, rest), (other, after) = a, b
        if isinstance(node, Literal) and isinstance(other, Literal):
            if len(node.text) < len(other.text):
                (node, rest), (other, after) = (other, after), (node, rest)
            if node.text.startswith(other.text):
                if tail := node.text[len(other.text) :]:
                    rest = (literals.setdefault(tail, Literal(tail)), rest)
                work.append((rest, after, rebound, text + other.text))
            continue
        rebound = rebound or isinstance(node, Bind)
        work.extend((way, b, rebound, text) for way in _ways(node, rest, other, literals))
    return None


def _rank(node: Node) -> int:
    """Return how early to unfold a node: words last, so that shared nodes meet unspelled."""
    if isinstance(node, Choice):
        return 1 if all(isinstance(option, Literal) for option in node.options) else 3
    return {Sequence: 4, Bind: 2, Reference: 1, Literal: 0}[type(node)]


def _ways(node: Node, rest: Path, other: Node, literals: dict[str, Literal]) -> list[Path]:
    """Unfold `node` by one step, without the words that do not fit the literal `other`."""
    if isinstance(node, Sequence):
        for part in reversed(node.parts):
            rest = (part, rest)
        return [rest]
    options: list[Node]
    if isinstance(node, Choice):
        options = list(node.options)
    else:
        words = (
            [record[node.form] for record in node.records]
            if isinstance(node, Bind)
            else list(node.values)
            if isinstance(node, Reference)
            else []
        )
        options = [literals.setdefault(word, Literal(word)) for word in words]
    return [(option, rest) for option in options if _fits(option, other)]


def _fits(option: Node, other: Node) -> bool:
    if not isinstance(option, Literal) or not isinstance(other, Literal):
        return True
    return option.text.startswith(other.text) or other.text.startswith(option.text)


def _example(node: Node) -> str:
    """Return one text of `node`, references with any of their values."""
    if isinstance(node, Literal):
        return node.text
    if isinstance(node, Sequence):
        return "".join(_example(part) for part in node.parts)
    if isinstance(node, Choice):
        return _example(node.options[0])
    return node.values[0] if isinstance(node, Reference) else node.records[0][node.form]
