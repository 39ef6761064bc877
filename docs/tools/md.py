"""Small pieces of Markdown that the makers of pages share."""

from collections.abc import Iterable, Sequence

UNDOCUMENTED = "undocumented"
"""What stands where nobody has said what something is; a test refuses it."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells may hold Markdown, but no bars and no line breaks of their own."""
    lines = [line(head), line(["---"] * len(head))]
    return "\n".join([*lines, *(line(row) for row in rows)])


def line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def code(text: str) -> str:
    """``text`` as inline code, whatever quotes of code it holds."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def prose(docstring: str) -> str:
    """A docstring's text as Markdown: its double backquotes and roles become plain code."""
    text = " ".join(docstring.split())
    for role in (":class:", ":func:", ":data:", ":mod:", ":attr:"):
        text = text.replace(role, "")
    return text.replace("``", "`")
