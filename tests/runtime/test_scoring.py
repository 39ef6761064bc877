"""Bits per byte: against PyTorch without a cache, and against what a uniform model must give."""

import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tinytx.errors import UsageError
from tinytx.runtime.engine import Engine
from tinytx.runtime.scoring import score
from tinytx.train.checkpoint import load_model

TEXT = "The quiet garden señor.\nLittle 你好 brother\u2028 bread 😀 " * 3


def slow(model: Any, ids: list[int], stride: int) -> tuple[float, int]:
    """Nats and tokens, by PyTorch: each window computed whole, and what is new in it counted."""
    limit, nats, done = model.model.max_seq_length, 0.0, 0
    for start in range(0, len(ids), stride):
        window = ids[start : start + limit + 1]
        fresh = len(window) - 1 - max(0, done - start)
        if fresh <= 0:
            break
        with torch.inference_mode():
            logits = model(torch.tensor([window[:-1]]))[0].double()
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(window[1:]), reduction="none")
        nats += float(loss[-fresh:].sum())
        done = start + len(window) - 1
    return nats, done


@pytest.mark.parametrize("stride", [None, 24, 23, 12, 5, 1])
def test_the_score_is_that_of_pytorch_without_a_cache(pair: Any, stride: int | None) -> None:
    engine = pair.engine()
    ids = [engine.tokenizer.start_id, *engine.tokenizer.encode(TEXT)]
    assert len(ids) > 3 * pair.facts.max_seq_length
    nats, tokens = slow(pair.model, ids, stride or 24)
    scored = score(engine, TEXT, stride)
    assert scored.nats == pytest.approx(nats, rel=1e-5)
    assert scored.tokens == tokens == len(ids) - 1
    assert scored.bytes == len(TEXT.encode())
    assert scored.bits_per_byte == scored.nats / math.log(2) / scored.bytes


def test_a_trained_bundle_scores_as_its_checkpoint_does_in_pytorch(
    tiny_run: Path, tiny_bundle: Path
) -> None:
    text = (tiny_run / "corpus" / "val.txt").read_text(encoding="utf-8")[:1_500]
    engine = Engine.load(tiny_bundle)
    model, _, _ = load_model(tiny_run / "best_model.pt")
    ids = [engine.tokenizer.start_id, *engine.tokenizer.encode(text)]
    nats, _ = slow(model.eval(), ids, 48)
    bits = nats / math.log(2) / len(text.encode())
    scored = engine.score(text)
    assert scored.bits_per_byte == pytest.approx(bits, rel=1e-5)
    assert engine.score(text, stride=12).bits_per_byte < scored.bits_per_byte


@pytest.mark.parametrize("text", ["a", "\n", "ñ", "x" * 23, "x" * 24, "x" * 25, "x" * 49])
def test_every_token_is_predicted_once_at_any_length(pair: Any, text: str) -> None:
    engine = pair.engine()
    ids = [engine.tokenizer.start_id, *engine.tokenizer.encode(text)]
    for stride in (24, 7):
        scored = score(engine, text, stride)
        assert scored.tokens == len(ids) - 1
        assert scored.nats == pytest.approx(slow(pair.model, ids, stride)[0], rel=1e-5)


@pytest.mark.parametrize(("stride", "least"), [(16, 1), (10, 7), (1, 16)])
def test_a_window_keeps_what_the_stride_promises(stride: int, least: int) -> None:
    """A model without opinions: 8 bits per byte, each from as much context as was stated."""
    lengths: list[int] = []
    engine: Any = SimpleNamespace(
        facts=SimpleNamespace(max_seq_length=16),
        tokenizer=SimpleNamespace(start_id=10, encode=lambda text: list(text.encode())),
        length=0,
    )

    def append(ids: list[int]) -> np.ndarray[Any, Any]:
        engine.length += len(ids)
        lengths.append(engine.length)
        return np.full(256, 3.0, np.float32)

    def reset() -> None:
        engine.length = 0

    engine.append, engine.reset = append, reset
    assert score(engine, "abc" * 50, stride).bits_per_byte == pytest.approx(8.0)
    assert min(lengths[16:]) == least
    assert max(lengths) == 16
    assert max(Counter(lengths).values()) < 150 or stride == 1


@pytest.mark.parametrize(
    ("text", "stride", "words"),
    [
        ("", None, "there is no text to score: it is empty"),
        ("\ud800", None, "not valid UTF-8"),
        ("a", 0, "stride must be from 1 to the context's 24 tokens, not 0"),
        ("a", 25, "not 25"),
        ("a", -1, "not -1"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    pair: Any, text: str, stride: int | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        score(pair.engine(), text, stride)
