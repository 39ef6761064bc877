"""A small canvas that writes SVG: text, boxes, lines, plots; light and dark, for 360 px and more.

Colours are classes, so that ``prefers-color-scheme`` can change them. A word that would leave the
drawing is an error here, not something for a reader to find.
"""

import math
from collections.abc import Callable, Sequence
from html import escape

WIDTH = 400
SIZE = 12.0
LETTER = 0.6
"""Width of a letter of these words on average, as a share of its size."""
STYLE = """
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#1f2328}
.mono{font-family:ui-monospace,"Cascadia Mono",Menlo,Consolas,monospace}
.bold{font-weight:600}.small{font-size:10.5px}.soft{fill:#59636e}
.paper{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d1d9e0;fill:none}
.line{stroke:#59636e;fill:none;stroke-width:1.2}.tip{fill:#59636e}.none{fill:#eff2f5}
.a{fill:#cfe3fb}.b{fill:#fbdcc4}.c{fill:#cdeed8}.d{fill:#e3d9f8}.e{fill:#f6e6a9}
.sa,.sb,.sc,.sd,.se{fill:none;stroke-width:2}
.sa{stroke:#0b62c4}.sb{stroke:#b3480e}.sc{stroke:#1a7f37}.sd{stroke:#6e40c9}.se{stroke:#8a6100}
.dot{stroke-width:0}.da{fill:#0b62c4}.db{fill:#b3480e}.dc{fill:#1a7f37}.dd{fill:#6e40c9}
.dash{stroke-dasharray:4 3}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.soft{fill:#9aa4af}.paper{fill:#12171e;stroke:#3d444d}.grid{stroke:#353c45}
.line{stroke:#9aa4af}.tip{fill:#9aa4af}.none{fill:#232a33}
.a{fill:#123d6b}.b{fill:#6a3413}.c{fill:#164f2c}.d{fill:#412b78}.e{fill:#5a4708}
.sa{stroke:#6cb2ff}.sb{stroke:#ff9a57}.sc{stroke:#56d27a}.sd{stroke:#b79cff}.se{stroke:#e2c04a}
.da{fill:#6cb2ff}.db{fill:#ff9a57}.dc{fill:#56d27a}.dd{fill:#b79cff}}
"""
Point = tuple[float, float]


class Canvas:
    """A drawing of :data:`WIDTH` by ``height``, with its title and its text alternative."""

    def __init__(self, title: str, description: str, height: float) -> None:
        self.title, self.description, self.height = title, description, height
        self._parts: list[str] = []

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        """Words whose base line is at ``y``. Raises ValueError where they would leave the page."""
        size = 10.5 if "small" in kind else SIZE
        wide = len(words) * size * (0.62 if "mono" in kind else LETTER)
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[anchor]
        if left < 2 or left + wide > WIDTH - 2 or not size <= y <= self.height - 3:
            raise ValueError(f"{words!r} leaves the drawing {self.title!r}")
        self._add("text", {"x": x, "y": y, "class": kind, "text-anchor": anchor}, escape(words))

    def box(
        self, x: float, y: float, width: float, height: float, kind: str, corner: float = 3
    ) -> None:
        sizes = {"x": x, "y": y, "width": width, "height": height, "rx": corner, "class": kind}
        self._add("rect", sizes)

    def labelled(
        self, x: float, y: float, width: float, height: float, kind: str, *words: str
    ) -> None:
        """A box with lines of words in its middle, the first one bold."""
        self.box(x, y, width, height, kind)
        top = y + height / 2 - 7 * (len(words) - 1) + 4
        for i, line in enumerate(words):
            style = "bold" if not i else "small"
            self.text(x + width / 2, top + 14 * i, line, style, "middle")

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "line") -> None:
        self._add("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": kind})

    def path(self, points: Sequence[Point], kind: str) -> None:
        joined = "L".join(f"{_short(x)} {_short(y)}" for x, y in points)
        self._add("path", {"d": f"M{joined}", "class": kind})

    def dot(self, x: float, y: float, kind: str, radius: float = 3) -> None:
        self._add("circle", {"cx": x, "cy": y, "r": radius, "class": f"dot {kind}"})

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """A line with a tip at its second end."""
        self.line(x1, y1, x2, y2)
        turn, size = math.atan2(y2 - y1, x2 - x1), 6
        tip = [(x2, y2)] + [
            (x2 - size * math.cos(turn + side), y2 - size * math.sin(turn + side))
            for side in (0.45, -0.45)
        ]
        self.path(tip, "tip")

    def _add(self, tag: str, attributes: dict[str, str | float], inside: str = "") -> None:
        told = "".join(
            f' {name}="{value if isinstance(value, str) else _short(value)}"'
            for name, value in attributes.items()
            if value not in ("", "start")
        )
        self._parts.append(f"<{tag}{told}>{inside}</{tag}>" if inside else f"<{tag}{told}/>")

    def svg(self) -> str:
        """The file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_short(self.height)}" '
            f'width="{WIDTH * 3 // 2}" height="{_short(self.height * 1.5)}" role="img" '
            'aria-labelledby="title desc">'
        )
        paper = f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{_short(self.height - 1)}"'
        return "\n".join(
            [
                head,
                f'<title id="title">{escape(self.title)}</title>',
                f'<desc id="desc">{escape(self.description)}</desc>',
                f"<style>{STYLE}</style>",
                f'{paper} rx="6" class="paper"/>',
                *self._parts,
                "</svg>\n",
            ]
        )


Scale = Callable[[float], float]


class Plot:
    """Two axes on a canvas: ``x`` and ``y`` are (least, most), logarithmic where asked."""

    def __init__(
        self,
        canvas: Canvas,
        x: Point,
        y: Point,
        top: float = 40,
        left: float = 46,
        bottom: float = 40,
        right: float = 20,
        log_x: bool = False,
    ) -> None:
        self.canvas = canvas
        self.left, self.right = left, WIDTH - right
        self.top, self.bottom = top, canvas.height - bottom
        self.x = _scale(x, (self.left, self.right), log_x)
        self.y = _scale(y, (self.bottom, self.top), False)

    def x_axis(self, ticks: Sequence[tuple[float, str]], label: str) -> None:
        for value, words in ticks:
            self.canvas.line(self.x(value), self.top, self.x(value), self.bottom, "grid")
            self.canvas.text(self.x(value), self.bottom + 14, words, "small soft", "middle")
        middle = (self.left + self.right) / 2
        self.canvas.text(middle, self.bottom + 30, label, "small", "middle")

    def y_axis(self, ticks: Sequence[tuple[float, str]], label: str) -> None:
        for value, words in ticks:
            self.canvas.line(self.left, self.y(value), self.right, self.y(value), "grid")
            self.canvas.text(self.left - 5, self.y(value) + 4, words, "small soft", "end")
        self.canvas.text(10, self.top - 10, label, "small")

    def curve(self, points: Sequence[Point], kind: str, dots: str = "") -> None:
        placed = [(self.x(x), self.y(y)) for x, y in points]
        self.canvas.path(placed, kind)
        for x, y in placed if dots else []:
            self.canvas.dot(x, y, dots, 2.5)


def _scale(values: Point, places: Point, log: bool) -> Scale:
    shape: Scale = math.log10 if log else float
    low, high = shape(values[0]), shape(values[1])
    return lambda value: places[0] + (shape(value) - low) / (high - low) * (places[1] - places[0])


def _short(value: float) -> str:
    """A coordinate to a tenth, so that the last bits of a processor do not show."""
    return f"{value:.1f}".removesuffix(".0").replace("-0", "0" if value > -0.05 else "-0")
