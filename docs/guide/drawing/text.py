"""Drawings of how a text becomes pieces, windows and a held-out part."""

import json
import random
from pathlib import Path

import numpy as np
from drawing.svg import Canvas, Plot

from tinytx.config import Settings
from tinytx.train.corpus.holdout import hold_out_blocks
from tinytx.train.data import EpochOrder

DATA = Path(__file__).parents[1] / "data"


def vocabulary() -> Canvas:
    """Bytes of text for each token, by the size of the vocabulary: measured."""
    points = json.loads((DATA / "vocabulary.json").read_text())["bytes_per_token"]
    canvas = Canvas(
        "A larger vocabulary makes longer pieces",
        "Bytes of held-out text for each token: "
        + ", ".join(f"{size:,} pieces {length:.2f}" for size, length in points)
        + ".",
        230,
    )
    plot = Plot(canvas, (256, 10_000), (0, 4), log_x=True)
    plot.x_axis([(size, f"{size:,}") for size, _ in points], "pieces of the vocabulary")
    plot.y_axis([(n, str(n)) for n in range(5)], "bytes for each token")
    plot.curve([(size, length) for size, length in points], "sa", "da")
    size, length = next(point for point in points if point[0] == Settings().tokenizer.vocab_size)
    canvas.text(plot.x(size) - 8, plot.y(length) - 8, f"default: {length:.2f}", "small bold", "end")
    return canvas


def windows(length: int = 12, tokens: int = 112) -> Canvas:
    """How two epochs cut one text, by the very class that training uses."""
    canvas = Canvas(
        "Two epochs cut the same text in different places",
        f"A text of {tokens} tokens in windows of {length}. Each epoch begins at another offset "
        "and takes the windows in another order; the numbers say in which.",
        196,
    )
    left, wide = 14.0, 372.0
    step = wide / tokens
    canvas.text(
        14, 22, f"a text of {tokens} tokens, windows of {length}, batches of 2", "small soft"
    )
    for epoch in (0, 1):
        y = 52 + 66 * epoch
        order = EpochOrder(np.zeros(tokens, np.uint16), length, batch=2, seed=1, epoch=epoch)
        starts = [int(s) for s in order._starts.flatten()]
        canvas.text(14, y - 6, f"epoch {epoch + 1}: begins at token {min(starts)}", "bold")
        canvas.box(left, y, wide, 26, "none", 2)
        for rank, start in enumerate(starts):
            if starts.index(start) < rank:
                continue  # the last batch is filled up from the first windows
            kind = "abcde"[rank // 2 % 5]
            canvas.box(left + step * start + 0.7, y, step * length - 1.4, 26, kind, 2)
            middle = left + step * (start + length / 2)
            canvas.text(middle, y + 17, str(rank // 2 + 1), "small bold", "middle")
    canvas.text(14, 164, "A number is the step that a window belongs to.", "small")
    canvas.text(14, 179, "What is left over at both ends waits for another epoch.", "small")
    return canvas


def held_out(paragraphs: int = 400, fraction: float = 0.1) -> Canvas:
    """Which parts of a text are held out: by the function that does it."""
    source = random.Random(3)
    text = "".join(
        f"{i:05d} " + "word " * source.randint(12, 40) + "\n\n" for i in range(paragraphs)
    )
    blocks = hold_out_blocks(lambda: [text], len(text), fraction)
    val = "".join(block for is_held, block in blocks if is_held)
    held = {int(part[:5]) for part in val.split("\n\n") if part}
    runs = [i for i in sorted(held) if i - 1 not in held]
    canvas = Canvas(
        "Validation text is held out in blocks, all over the text",
        f"A text of {paragraphs} paragraphs. {len(runs)} contiguous blocks, {len(held)} "
        "paragraphs, are held out, spread evenly from the beginning to the end; each begins and "
        "ends after a paragraph.",
        118,
    )
    left, step = 14.0, 372.0 / paragraphs
    canvas.text(14, 24, f"{paragraphs} paragraphs, a tenth held out", "bold")
    canvas.box(left, 36, 372, 28, "a", 2)
    for first in runs:
        last = next(i for i in range(first, paragraphs + 1) if i not in held)
        canvas.box(left + step * first, 36, step * (last - first), 28, "b", 0)
    canvas.text(14, 80, "beginning", "small soft")
    canvas.text(386, 80, "end", "small soft", "end")
    canvas.box(14, 94, 10, 10, "a")
    canvas.text(28, 103, "to train on", "small")
    canvas.box(120, 94, 10, 10, "b")
    share = len(val.encode()) / len(text.encode())
    canvas.text(134, 103, f"held out: {len(runs)} blocks, {share:.1%} of the bytes", "small")
    return canvas
