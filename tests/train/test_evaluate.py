"""Bits per byte and the unigram model, by hand."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from tinytx.config import ModelSettings
from tinytx.train.evaluate import Score, evaluate, unigram_nats_per_token
from tinytx.train.model import Transformer

VOCAB, LENGTH = 31, 12


@pytest.fixture
def model() -> Transformer:
    settings = ModelSettings(
        layers=1, width=32, heads=2, hidden=24, max_seq_length=LENGTH, pair_rows=40
    )
    made = Transformer(settings, VOCAB, dropout=0.5)
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return made


def stream(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCAB, count).astype(np.uint16)


@pytest.mark.parametrize("count", [2, LENGTH, LENGTH + 1, LENGTH + 2, 5 * LENGTH + 1, 63])
def test_bits_per_byte_is_that_of_predicting_each_token_of_each_window(
    model: Transformer, count: int
) -> None:
    tokens = stream(count)
    nats = 0.0
    with torch.inference_mode():
        model.eval()
        for start in range(0, count - 1, LENGTH):
            window = [int(t) for t in tokens[start : start + LENGTH + 1]]
            for seen in range(1, len(window)):
                logits = model(torch.tensor([window[:seen]]))[0, -1].double()
                nats -= float(logits[window[seen]] - logits.exp().sum().log())
    score = evaluate(model, tokens, text_bytes=200, batch=3)
    assert score.tokens == count - 1
    assert score.total_nats == pytest.approx(nats, rel=1e-5)
    assert score.nats_per_token == pytest.approx(nats / (count - 1), rel=1e-5)
    assert score.bits_per_byte == pytest.approx(nats / math.log(2) / 200, rel=1e-5)


def test_the_score_does_not_depend_on_the_batch_size(model: Transformer) -> None:
    tokens = stream(200)
    scores = [evaluate(model, tokens, 1, batch).total_nats for batch in (1, 4, 7, 64)]
    assert scores == pytest.approx([scores[0]] * 4, rel=1e-5)


def test_evaluating_switches_dropout_off_and_leaves_the_mode_as_it_was(model: Transformer) -> None:
    model.train()
    first, second = (evaluate(model, stream(60), 1, 2).total_nats for _ in range(2))
    assert first == second
    assert model.training
    model.eval()
    evaluate(model, stream(60), 1, 2)
    assert not model.training


def test_bfloat16_gives_nearly_the_same_score(model: Transformer) -> None:
    tokens = stream(200)
    exact = evaluate(model, tokens, 1, 4).nats_per_token
    rough = evaluate(model, tokens, 1, 4, torch.bfloat16).nats_per_token
    assert rough == pytest.approx(exact, rel=0.03)
    assert rough != exact


def test_a_perfect_coin_costs_one_bit_for_each_byte() -> None:
    score = Score(total_nats=math.log(2) * 50, tokens=50, text_bytes=50)
    assert score.bits_per_byte == pytest.approx(1.0)
    assert score.nats_per_token == pytest.approx(math.log(2))


def test_the_unigram_model_counts_with_one_added_to_each() -> None:
    train, val = stream(500, seed=1), stream(80, seed=2)
    train = train[train != 5]  # a token that training never saw
    val[10] = 5
    counts = Counter(train.tolist())
    total = len(train) + VOCAB
    nats = [-math.log((counts[t] + 1) / total) for t in val.tolist()[1:]]
    expected = sum(nats) / len(nats)
    assert unigram_nats_per_token(train, val, VOCAB) == pytest.approx(expected, rel=1e-9)
