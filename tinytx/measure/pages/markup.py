"""HTML and SVG from Python: every text is escaped, unless it is markup already.

    el("p", "5 < 6", class_="note")   ->   <p class="note">5 &lt; 6</p>

An attribute's underscores become hyphens (``stroke_width``), a trailing one is dropped
(``class_``), None leaves it out. Characters that a reader cannot see but that change what is
read (control characters, bidirectional overrides, lone surrogates) become U+FFFD.
"""

import html
import re
from collections.abc import Iterable

UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
VOID = frozenset({"meta", "br", "hr", "col", "link"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | Iterable[str] | None
Attribute = str | int | float | None


def clean(text: str) -> str:
    """``text`` without characters that cannot be seen or not be written."""
    return UNSEEN.sub("\ufffd", text)


def escape(text: str) -> Markup:
    """``text`` as HTML shows it, letter by letter; what is markup already stays."""
    return text if isinstance(text, Markup) else Markup(html.escape(clean(text), quote=True))


def join(*children: Child) -> Markup:
    """Several pieces as one."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        parts += [escape(child)] if isinstance(child, str) else [escape(one) for one in child]
    return Markup("".join(parts))


def el(tag: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """One element."""
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(clean(number(value)))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in VOID:
        return Markup(f"<{tag}{told}>")
    return Markup(f"<{tag}{told}>{join(*children)}</{tag}>")


def number(value: str | int | float) -> str:
    """A coordinate in as few digits as a screen can show."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def percent(share: float) -> str:
    """A place along a drawing, as a share of its width."""
    return f"{number(100.0 * share)}%"
