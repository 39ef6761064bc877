"""The code blocks of a page, and whether what one printed is what the page says.

A block's kind is what stands behind its fence. ``<!-- prints -->`` before a block without a kind
says that it is what the block before it prints. ``<!-- prints, figures within 5 % -->`` lets each
number in it be off by so much; ``...`` stands for the rest of a line, or alone for any lines.
"""

import re
from pathlib import Path
from typing import NamedTuple

FENCED = re.compile(
    r"^(?P<said><!-- prints(?:, figures within (?P<percent>[\d.]+) %)? -->\n)?"
    r"```(?P<kind>.*)\n(?P<code>(?:.*\n)*?)```$",
    re.MULTILINE,
)
NUMBER = r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"


class Printed(NamedTuple):
    """What a page says that a block prints."""

    text: str
    tolerance: float
    """How far each number may be off, as a share of it; 0 asks for the very text."""


class Block(NamedTuple):
    kind: str
    code: str
    line: int
    """Of the page, where its first line of code stands."""
    printed: Printed | None = None

    @property
    def first(self) -> str:
        return self.code.partition("\n")[0]


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in their order, each with what it prints."""
    text = page.read_text("utf-8")
    found: list[Block] = []
    for match in FENCED.finditer(text):
        if match["said"]:
            printed = Printed(match["code"], float(match["percent"] or 0) / 100)
            found[-1] = found[-1]._replace(printed=printed)
        else:
            line = text.count("\n", 0, match.start("code")) + 1
            found.append(Block(match["kind"], match["code"], line))
    return found


def difference(printed: Printed, found: str) -> str:
    """Why ``found`` is not what the page says; nothing where it is."""
    match = re.fullmatch(_pattern(printed), _even(found))
    if match is None:
        return f"the page says\n{printed.text}\nprinted was\n{found}"
    wanted = re.findall(NUMBER, _even(printed.text)) if printed.tolerance else []
    for said, got in zip(wanted, match.groups(), strict=True):
        one, other = (float(number.replace(",", "")) for number in (said, got))
        if abs(other - one) > printed.tolerance * abs(one):
            return f"the page says {said}, printed was {got} (within {printed.tolerance:.1%})"
    return ""


def _pattern(printed: Printed) -> str:
    lines = []
    for line in _even(printed.text).splitlines():
        if line == "...":
            lines.append(r"(?:.*\n)*?")
            continue
        parts = [_part(part, bool(printed.tolerance)) for part in line.split("...")]
        lines.append(".*".join(parts) + r"\n")
    return "".join(lines)


def _part(text: str, tolerant: bool) -> str:
    """A pattern of one line's part: its numbers are groups where they may differ."""
    if not tolerant:
        return re.escape(text)
    words = re.split(f"({NUMBER})", text)
    return "".join(f"({NUMBER})" if i % 2 else re.escape(word) for i, word in enumerate(words))


def _even(text: str) -> str:
    """Columns by one space, no space at the end of a line: their width follows the figures."""
    return "".join(re.sub(r" +", " ", line).rstrip() + "\n" for line in text.splitlines())
