"""Drawings of a training step, its schedule, and what it reaches: from code and stored runs."""

import json
from pathlib import Path

from drawing.svg import Canvas, Plot

from tinytx.config import Settings
from tinytx.presets import MEASURED_ON, PRESETS
from tinytx.train.optimizer import ITERATIONS, QUINTIC, learning_rate

DATA = Path(__file__).parents[1] / "data"
STEPS = 20 * 236
"""Of 20 epochs of 2.8 MB of novels: 965,000 tokens an epoch, 4,096 in a step."""


def step() -> Canvas:
    """What one training step does, in its order."""
    canvas = Canvas(
        "One training step",
        "A batch of windows goes forward through the blocks to the loss; the backward pass turns "
        "the loss into a gradient for each weight; the gradient's norm is clipped to 1; Muon "
        "updates the matrices of the blocks, AdamW everything else; the gradients are dropped.",
        214,
    )
    training, model = Settings().training, Settings().model
    rows = (
        (
            "none",
            "batch",
            f"{training.batch_size} windows of {model.max_seq_length} tokens",
        ),
        ("a", "forward", "blocks, then the loss: mean of -ln p(target)"),
        ("b", "backward", "the gradient of the loss, for each weight"),
        ("d", "clip", f"scale all gradients, if their norm is above {training.gradient_clip:g}"),
        ("c", "update", "Muon: matrices of the blocks. AdamW: the rest"),
    )
    for i, (kind, name, words) in enumerate(rows):
        y = 12 + 39 * i
        canvas.box(14, y, 82, 28, kind)
        canvas.text(55, y + 18, name, "bold", "middle")
        canvas.text(104, y + 18, words, "small")
        if i < len(rows) - 1:
            canvas.arrow(55, y + 28, 55, y + 38)
    return canvas


def schedule() -> Canvas:
    """The learning rate of each step of a default run: by the function that training calls."""
    settings = Settings()
    peak = settings.training.learning_rate
    canvas = Canvas(
        "The learning rate over a run",
        f"It rises in a straight line for {settings.training.warmup_steps} steps to {peak:g}, then "
        f"falls along half a cosine to {settings.training.min_learning_rate:.0%} of that.",
        220,
    )
    plot = Plot(canvas, (0, STEPS), (0, 0.014))
    plot.x_axis([(n, f"{n:,}") for n in range(0, STEPS, 1_000)], "step")
    plot.y_axis([(n / 1_000, f"{n / 1_000:g}") for n in range(0, 13, 3)], "learning rate")
    steps = sorted({*range(0, 100, 20), *range(100, STEPS, 60), STEPS - 1})
    plot.curve([(n, learning_rate(n, STEPS, settings)) for n in steps], "sa")
    canvas.text(
        plot.x(180),
        plot.y(peak) - 6,
        f"peak {peak:g} after {settings.training.warmup_steps} steps",
        "small bold",
    )
    middle = learning_rate(STEPS // 2, STEPS, settings)
    canvas.dot(plot.x(STEPS / 2), plot.y(middle), "da")
    canvas.text(plot.x(STEPS / 2) + 8, plot.y(middle) - 4, f"halfway {middle:.4f}", "small")
    return canvas


def polynomial(value: float) -> float:
    """Where Muon's iterations take a singular value between 0 and 1."""
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        value = a * value + b * value**3 + c * value**5
    return value


def muon() -> Canvas:
    """What Muon makes of a gradient's singular values."""
    canvas = Canvas(
        "What Muon does to a gradient's directions",
        f"Singular values before (0 to 1, as shares of the matrix's norm) and after {ITERATIONS} "
        "iterations of the quintic: small ones are lifted and nearly all end between 0.5 and 1.2; "
        "a dashed line shows what no change would be.",
        230,
    )
    plot = Plot(canvas, (0, 1), (0, 1.4))
    plot.x_axis([(n / 5, f"{n / 5:g}") for n in range(6)], "singular value before, of a norm of 1")
    plot.y_axis([(n / 5, f"{n / 5:g}") for n in range(0, 7, 2)], "after")
    plot.curve([(0, 0), (1, 1)], "line dash")
    plot.curve([(n / 200, polynomial(n / 200)) for n in range(201)], "sb")
    canvas.text(plot.x(0.36), plot.y(0.2), "unchanged", "small soft")
    return canvas


def overfitting() -> Canvas:
    """A small text, 14 epochs: the default and a model that is held back."""
    default, held = json.loads((DATA / "overfitting.json").read_text())["runs"]
    canvas = Canvas(
        "Overfitting: what is learned by heart does not help",
        "Nats per token over 14 epochs of Tiny Shakespeare. With the defaults the training loss "
        f"falls to {default['train'][-1]} while the held-out one rises from "
        f"{min(default['held_out'])} at epoch {default['best_epoch']} to "
        f"{default['held_out'][-1]}. Held back, it still falls to {min(held['held_out'])}.",
        266,
    )
    plot = Plot(canvas, (1, 14), (2.2, 4.4), bottom=66)
    plot.x_axis([(n, str(n)) for n in range(2, 15, 2)], "epoch")
    plot.y_axis([(n / 10, f"{n / 10:.1f}") for n in range(24, 45, 4)], "nats per token")
    for run, kind in ((default, "b"), (held, "a")):
        for which, style in (("train", f"s{kind} dash"), ("held_out", f"s{kind}")):
            points = [(i + 1.0, n) for i, n in enumerate(run[which]) if n <= 4.4]
            plot.curve(points, style, f"d{kind}" if which == "held_out" else "")
    for x, kind, words in ((14, "sb", "the defaults"), (120, "sa", "held back")):
        canvas.line(x, 240, x + 18, 240, kind)
        canvas.text(x + 22, 244, words, "small")
    canvas.text(204, 244, "solid held out, dashed trained", "small soft")
    best = f"best: epoch {default['best_epoch']}, held back {held['best_epoch']}"
    canvas.text(plot.x(1.4), plot.y(2.45), best, "small bold")
    return canvas


def ladder() -> Canvas:
    """Bits per byte of the built-in corpus, from knowing nothing to its floor."""
    rungs = (
        ("none", "every byte equally likely", 8.0),
        ("none", "how often each token occurs (unigram)", 2.95),
        ("a", "quickstart, 5 epochs", 0.678),
        ("c", "the floor: the text's own information", 0.577),
    )
    canvas = Canvas(
        "Bits per byte of the built-in corpus",
        "; ".join(f"{words}: {bits:g}" for _, words, bits in rungs) + ".",
        202,
    )
    canvas.text(14, 22, "bits per byte of held-out text", "bold")
    for i, (kind, words, bits) in enumerate(rungs):
        y = 34 + 40 * i
        canvas.text(14, y + 10, words, "small")
        canvas.box(14, y + 15, 320 * bits / 8, 15, kind, 2)
        canvas.text(20 + 320 * bits / 8, y + 27, f"{bits:g}", "small bold")
    return canvas


def presets() -> Canvas:
    """What each preset takes and reaches: the figures that the program itself shows."""
    measured = {p.name: p.measured for p in PRESETS.values() if p.measured}
    canvas = Canvas(
        "What the presets take and reach",
        f"On {MEASURED_ON}: " + "; ".join(f"{name}: {m}" for name, m in measured.items()) + ".",
        244,
    )
    plot = Plot(canvas, (0, 12), (1.58, 1.75))
    plot.x_axis([(n, str(n)) for n in range(0, 13, 2)], "minutes from the command to its end")
    plot.y_axis(
        [(n / 100, f"{n / 100:.2f}") for n in range(160, 176, 5)], "bits per byte, held out"
    )
    for (name, m), kind in zip(measured.items(), "abcd", strict=True):
        x, y = plot.x(m.seconds / 60), plot.y(m.bits_per_byte)
        canvas.dot(x, y, f"d{kind}", 4)
        side = {"quality": "end", "low-memory": "middle"}.get(name, "start")
        put = x + {"end": -9, "middle": 0, "start": 9}[side]
        rise = {"balanced": 12, "low-memory": -22}.get(name, -4)
        canvas.text(put, y + rise, name, "small bold", side)
        canvas.text(put, y + rise + 12, f"peak {m.peak_bytes / 1e6:.0f} MB", "small soft", side)
    canvas.line(plot.x(10), plot.top, plot.x(10), plot.bottom, "line dash")
    canvas.text(plot.x(10) + 4, plot.top + 10, "600 s", "small soft")
    return canvas
