"""Drawings of memory, latency and verdicts: from a stored bench, and from the rule itself."""

import json
from pathlib import Path

from drawing.svg import Canvas, Plot

from tinytx.measure.stats import lower_rank, upper_rank

DATA = Path(__file__).parents[1] / "data"
SHOWN = {
    "interpreter": "Python",
    "numpy": "numpy",
    "other libraries": "other libraries",
    "onnxruntime": "onnxruntime",
    "tinytx": "tinytx's own code",
    "tokenizer": "tokenizer",
    "model": "model loaded",
    "longest context": "a full context",
}


def memory() -> Canvas:
    """Resident memory of a process, stage by stage."""
    document = json.loads((DATA / "memory.json").read_text())
    stages = [(SHOWN[name], size / 1e6) for name, size in document["stages"] if name in SHOWN]
    canvas = Canvas(
        "Resident memory while a bundle is loaded",
        "; ".join(f"{name}: {size:.1f} MB" for name, size in stages)
        + ". Loading the model gives pages of start-up back.",
        256,
    )
    canvas.text(14, 22, "MB resident, after each stage", "bold")
    for i, (name, size) in enumerate(stages):
        y = 36 + 24 * i
        kind = "c" if i >= len(stages) - 2 else "a"
        canvas.text(14, y + 13, name, "small")
        canvas.box(124, y, 3.3 * size, 17, kind, 2)
        canvas.text(130 + 3.3 * size, y + 13, f"{size:.1f}", "small bold")
    canvas.text(14, 246, "Start-up's pages are given back when the model is loaded.", "small soft")
    return canvas


def latency() -> Canvas:
    """How long the next token takes: every step of a bench, with its tail."""
    document = json.loads((DATA / "latency.json").read_text())
    (cell,) = [cell for cell in document["cells"] if cell["context"] == 256]
    worst, upper = max(cell["p95_us_of_each_process"]), 1_000 * document["upper_ms"]
    canvas = Canvas(
        "The next token: the time of each of many steps",
        f"{cell['steps']:,} steps at a context of 256 on a logarithmic scale of microseconds. Half "
        f"take at most {cell['p50_us']}; the p95 of the worst process is {worst}, its upper bound "
        f"{upper:.0f}; the slowest step took {cell['most_us']}.",
        248,
    )
    plot = Plot(canvas, (30, 2_000), (0, 0.7), bottom=60, log_x=True)
    ticks = (30, 50, 100, 200, 500, 1_000, 2_000)
    plot.x_axis([(n, f"{n:,}") for n in ticks], "microseconds (logarithmic)")
    plot.y_axis([(n / 10, f"{10 * n} %") for n in range(0, 8, 2)], "share of the steps")
    for i, count in enumerate(cell["counts"]):
        low, high = 20 * 10 ** (i / 20), 20 * 10 ** ((i + 1) / 20)
        if count and low >= 30:
            x, y = plot.x(low), plot.y(count / cell["steps"])
            wide = min(plot.x(high), plot.right) - x
            canvas.box(x + 0.5, min(y, plot.bottom - 1), wide - 1, max(1, plot.bottom - y), "a", 0)
    for value in (worst, upper):
        canvas.line(plot.x(value), plot.top, plot.x(value), plot.bottom, "sb dash")
    beside = plot.x(upper) + 8
    canvas.text(beside, plot.top + 16, f"p95 {worst:.0f},", "small bold")
    canvas.text(beside, plot.top + 30, f"its upper bound {upper:.0f}", "small bold")
    canvas.text(14, 240, "The limit, 250 ms, is far to the right of this.", "small soft")
    return canvas


def verdicts() -> Canvas:
    """Three figures with their bounds beside a limit."""
    canvas = Canvas(
        "PASS, FAIL and INVALID",
        "A limit as a vertical line and three intervals. The first lies wholly below it: PASS. The "
        "second wholly above: FAIL. The third contains it: INVALID, for neither is proven.",
        186,
    )
    limit = 230
    canvas.line(limit, 28, limit, 152, "sb")
    canvas.text(limit, 20, "the limit", "small bold", "middle")
    rows = (
        (70, 130, "c", "PASS", "even the upper bound is within"),
        (262, 356, "b", "FAIL", "even the lower bound is over"),
        (196, 272, "e", "INVALID", "neither is proven: more samples"),
    )
    for i, (low, high, kind, name, words) in enumerate(rows):
        y = 46 + 40 * i
        canvas.box(low, y - 6, high - low, 12, kind, 6)
        canvas.dot((low + high) / 2, y, "dd", 3.5)
        canvas.text(14, y + 4, name, "bold")
        canvas.text(14, y + 18, words, "small soft")
    canvas.text(14, 174, "dot: what was measured; bar: its 99 % bounds", "small soft")
    return canvas


def ranks() -> Canvas:
    """How many samples a bound needs: the rule of order statistics."""
    counts = (90, 130, 165, 256, 512, 1_024, 4_096)
    above = [(n, n - (upper_rank(n) or 0)) for n in counts]
    canvas = Canvas(
        "How sure the p95 is, by the number of samples",
        "The 99 % bounds of the p95 as quantiles of the samples: "
        + "; ".join(
            f"{n:,} samples: {100 * ((lower_rank(n) or 1) - 1) / n:.1f} to "
            f"{100 * (upper_rank(n) or n) / n:.1f} %"
            for n in counts
        )
        + f". With {counts[0]} samples none may be over the limit, with {counts[1]} one, "
        f"with {counts[2]} two.",
        238,
    )
    plot = Plot(canvas, (80, 5_000), (84, 100), bottom=58, log_x=True)
    plot.x_axis([(n, f"{n:,}") for n in (90, 165, 256, 512, 1_024, 4_096)], "samples (logarithmic)")
    plot.y_axis(
        [(n, str(n)) for n in range(84, 101, 4)], "the bound as a percentage of the samples"
    )
    plot.curve([(80, 95), (5_000, 95)], "line dash")
    plot.curve([(n, 100 * (upper_rank(n) or n) / n) for n in counts], "sb", "db")
    plot.curve([(n, 100 * ((lower_rank(n) or 1) - 1) / n) for n in counts], "sa", "da")
    told = ", ".join(f"{over} of {n}" for n, over in above[:3])
    canvas.text(14, 230, f"so many may be over the limit: {told}", "small soft")
    return canvas
