"""Drawings of the chain, the model, and what a position may see: from the default settings."""

from drawing.svg import WIDTH, Canvas

from tinytx.config import Settings
from tinytx.train.model import Transformer

DEFAULT = Settings()


def chain() -> Canvas:
    """From a text to a verdict, and which machine does what."""
    canvas = Canvas(
        "From a text to a verdict",
        "Four commands in a row. Train makes a checkpoint of a text. Export makes a bundle of the "
        "checkpoint. Generate and verify run the bundle. Bench judges it: PASS, FAIL or INVALID. "
        "Train and export need PyTorch, the others do not.",
        236,
    )
    canvas.text(14, 22, "with PyTorch, on a larger machine", "small soft")
    canvas.labelled(14, 32, 96, 46, "none", "text", "UTF-8 files")
    canvas.labelled(152, 32, 96, 46, "a", "train", "five phases")
    canvas.labelled(290, 32, 96, 46, "a", "export", "refuses, if unlike")
    canvas.arrow(110, 55, 150, 55)
    canvas.arrow(248, 55, 288, 55)
    canvas.text(WIDTH / 2, 96, "best_model.pt", "mono small", "middle")
    canvas.line(14, 112, 386, 112, "grid dash")
    canvas.text(14, 130, "without PyTorch, on the device", "small soft")
    canvas.arrow(338, 78, 338, 138)
    canvas.labelled(290, 140, 96, 46, "none", "bundle", "one folder")
    canvas.labelled(152, 140, 96, 46, "c", "generate", "verify, serve")
    canvas.labelled(14, 140, 96, 46, "c", "bench", "in fresh processes")
    canvas.arrow(290, 163, 250, 163)
    canvas.path([(338, 186), (338, 200), (62, 200)], "line")
    canvas.arrow(62, 200, 62, 188)
    canvas.text(14, 222, "PASS, FAIL or INVALID: one verdict for each budget", "small bold")
    return canvas


def parts_of_the_model() -> list[tuple[str, int]]:
    """What the default model's weights are, counted in the model itself."""
    model = Transformer(DEFAULT.model, DEFAULT.tokenizer.vocab_size)
    counts = {"pairs": 0, "tables": 0, "head": 0, "attention": 0, "feed-forward": 0, "norms": 0}
    for name, weight in model.named_parameters():
        if weight.dim() < 2:
            part = "norms"
        elif name == "pairs.weight":
            part = "pairs"
        elif name == "embedding.weight":
            part = "head"
        elif name.endswith(".embedding.weight"):
            part = "tables"
        else:
            part = "attention" if ".attention." in name else "feed-forward"
        counts[part] += weight.numel()
    return list(counts.items())


def parameters() -> Canvas:
    """Which parts hold the weights of the default model."""
    parts = parts_of_the_model()
    total = sum(count for _, count in parts)
    looked_up = dict(parts)["pairs"] + dict(parts)["tables"]
    products = total - looked_up - dict(parts)["norms"]
    canvas = Canvas(
        f"Where the default model's {total:,} weights are",
        "; ".join(f"{name}: {count:,} weights, {count / total:.1%}" for name, count in parts)
        + f". Tables that are only looked up hold {looked_up / total:.0%} of all.",
        232,
    )
    labels = {
        "pairs": "table of token pairs",
        "tables": "a table for each block",
        "head": "embedding = head",
        "attention": "attention",
        "feed-forward": "SwiGLU",
        "norms": "norms",
    }
    kinds = {"pairs": "e", "tables": "e", "head": "b", "attention": "a", "feed-forward": "a"}
    canvas.text(14, 22, f"{total:,} weights", "bold")
    for i, (name, count) in enumerate(parts):
        y = 36 + 26 * i
        canvas.text(14, y + 13, labels[name], "small")
        canvas.box(140, y, max(1.0, 120 * count / parts[0][1]), 18, kinds.get(name, "none"))
        canvas.text(386, y + 13, f"{count:,} ({count / total:.1%})", "small", "end")
    canvas.box(14, 196, 10, 10, "e")
    canvas.text(28, 205, "only looked up", "small soft")
    canvas.box(130, 196, 10, 10, "b")
    canvas.text(144, 205, "looked up, and a product", "small soft")
    canvas.box(290, 196, 10, 10, "a")
    canvas.text(304, 205, "products", "small soft")
    canvas.text(14, 222, f"{products:,} weights take part in products", "small")
    return canvas


def block() -> Canvas:
    """What a token passes on its way to the probabilities of the next one."""
    model, vocabulary = DEFAULT.model, DEFAULT.tokenizer.vocab_size
    canvas = Canvas(
        "One token on its way through the model",
        f"Embedding and pair row are added, to a vector of {model.width} numbers. In each of "
        f"{model.layers} blocks a row of the block's table is added, then attention of the normed "
        "vector, then SwiGLU of the normed vector. A last norm and the product with the embedding "
        f"give {vocabulary:,} logits.",
        388,
    )
    canvas.text(14, 24, "token", "bold")
    canvas.text(14, 44, f"1 of {vocabulary:,}", "small soft")
    canvas.labelled(96, 10, 124, 38, "b", "embedding", f"row of {vocabulary:,} x {model.width}")
    canvas.labelled(
        232, 10, 154, 38, "e", "pair row", f"hash of two, {model.pair_rows:,} x {model.width}"
    )
    canvas.arrow(56, 20, 94, 20)
    canvas.arrow(158, 48, 158, 76)
    canvas.path([(309, 48), (309, 62), (166, 62)], "line")
    canvas.text(174, 75, "+, times the root of the width", "small soft")
    canvas.box(60, 84, 326, 214, "grid", 6)
    canvas.text(174, 102, f"block, {model.layers} times", "bold")
    rows = (
        (112, "e", "row of this block's table", f"{vocabulary:,} x {model.width}"),
        (
            172,
            "a",
            "norm, attention",
            f"{model.heads} head of {model.head_size}, to {model.max_seq_length} back",
        ),
        (232, "a", "norm, SwiGLU", f"{model.width} to 2 x {model.hidden}, back to {model.width}"),
    )
    canvas.arrow(158, 76, 158, 306)
    for y, kind, name, words in rows:
        canvas.labelled(200, y, 172, 44, kind, name, words)
        canvas.arrow(200, y + 22, 166, y + 22)
        canvas.box(150, y + 14, 16, 16, "none", 8)
        canvas.text(158, y + 26, "+", "bold", "middle")
    canvas.text(74, 196, "the residual", "small soft")
    canvas.text(74, 210, f"stream: {model.width}", "small soft")
    canvas.text(74, 224, "numbers", "small soft")
    canvas.labelled(96, 308, 124, 30, "none", "norm")
    canvas.arrow(220, 323, 250, 323)
    canvas.labelled(252, 308, 134, 38, "b", "head", "the embedding again")
    canvas.arrow(319, 346, 319, 366)
    canvas.text(386, 380, f"{vocabulary:,} logits, one for each next token", "small", "end")
    return canvas


def attention_mask(length: int = 8) -> Canvas:
    """Who may look at whom: the model's own mask, and why no position sees the next token."""
    mask = Transformer(DEFAULT.model, 300).mask[:length, :length]
    words = ("\\n", "The", " red", " bo", "at", " sa", "ils", ".")
    canvas = Canvas(
        "What each position may look at",
        f"A square of {length} by {length} positions. Row by row a position may look at itself and "
        "at all positions before it; the upper right half, which is the future, is masked.",
        262,
    )
    side, left, top = 24, 92, 46
    canvas.text(14, 22, "reads (columns)", "small soft")
    canvas.text(14, 36, "at (rows)", "small soft")
    for i in range(length):
        canvas.text(left + side * i + side / 2, top - 6, words[i], "small mono", "middle")
        canvas.text(left - 8, top + side * i + 16, words[i], "small mono", "end")
        for j in range(length):
            seen = float(mask[i, j]) == 0.0
            canvas.box(
                left + side * j + 1, top + side * i + 1, side - 2, side - 2, "a" if seen else "none"
            )
    canvas.box(300, 60, 12, 12, "a")
    canvas.text(318, 70, "seen", "small")
    canvas.box(300, 82, 12, 12, "none")
    canvas.text(318, 92, "masked:", "small")
    canvas.text(318, 106, "-1e9 is", "small soft")
    canvas.text(318, 119, "added", "small soft")
    canvas.text(14, 254, "The target of a row is the token of the next row.", "small")
    return canvas
