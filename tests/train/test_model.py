"""The model against a plain numpy implementation, and its invariants."""

import math

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tinytx.config import MAX_PARAMETERS, ModelSettings, Settings
from tinytx.train.attention import rotate
from tinytx.train.model import RMSNorm, Transformer, rotary_table

Array = NDArray[np.float64]
MODEL = ModelSettings(
    layers=3, width=96, heads=3, hidden=72, max_seq_length=24, rope_base=500.0, pair_rows=70
)  # nothing equals anything else, so that no transposed shape passes
VOCAB = 53


@pytest.fixture
def model() -> Transformer:
    """Large weights, norms too, so that every part of the formula shows in the logits."""
    made = Transformer(MODEL, VOCAB).eval()
    generator = torch.Generator().manual_seed(5)
    for parameter in made.parameters():
        spread = torch.randn(parameter.shape, generator=generator)
        parameter.data = 1 + 0.3 * spread if parameter.dim() == 1 else 0.15 * spread
    return made


def tokens_of(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCAB, (batch, length), generator=generator)


def by_hand(weights: dict[str, Array], ids: list[int]) -> Array:
    """Logits of one sequence, one position and one head at a time."""
    pairs = [(1_000_003 * a + 7_919 * b) % 70 for a, b in zip([0, *ids], ids, strict=False)]
    x = (weights["embedding.weight"][ids] + weights["pairs.weight"][pairs]) * MODEL.width**0.5
    size = MODEL.width // MODEL.heads
    for layer in range(MODEL.layers):
        own = {k.split(".", 2)[2]: v for k, v in weights.items() if k.startswith(f"blocks.{layer}")}
        x = x + own["embedding.weight"][ids] * MODEL.width**0.5
        normed = norm(x, own["attention_norm.weight"])
        q, k, v = np.split(normed @ own["attention.qkv.weight"].T, 3, axis=1)
        heads = np.zeros_like(x)
        for head in range(MODEL.heads):
            part = slice(head * size, (head + 1) * size)
            for t in range(len(ids)):
                query = turned(q[t, part], t)
                scores = [query @ turned(k[s, part], s) / math.sqrt(size) for s in range(t + 1)]
                shares = np.exp(scores - np.max(scores))
                heads[t, part] = (shares / shares.sum()) @ v[: t + 1, part]
        x = x + heads @ own["attention.out.weight"].T
        both = norm(x, own["mlp_norm.weight"]) @ own["mlp.gate_up.weight"].T
        gate, up = both[:, : MODEL.hidden], both[:, MODEL.hidden :]
        x = x + (gate / (1 + np.exp(-gate)) * up) @ own["mlp.down.weight"].T
    return norm(x, weights["norm.weight"]) @ weights["embedding.weight"].T


def norm(x: Array, weight: Array) -> Array:
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5) * weight


def turned(x: Array, position: int) -> Array:
    """Pairs (i, i + half) as complex numbers, turned by position * base^(-2i / size)."""
    half = len(x) // 2
    angles = position * MODEL.rope_base ** (-2 * np.arange(half) / len(x))
    pairs = (x[:half] + 1j * x[half:]) * np.exp(1j * angles)
    return np.concatenate([pairs.real, pairs.imag])


def test_the_logits_are_those_of_a_plain_numpy_implementation(model: Transformer) -> None:
    weights = {name: t.double().numpy() for name, t in model.state_dict().items()}
    tokens = tokens_of(2, MODEL.max_seq_length)
    with torch.inference_mode():
        logits = model(tokens).double().numpy()
    for row, ids in enumerate(tokens.tolist()):
        np.testing.assert_allclose(logits[row], by_hand(weights, ids), rtol=1e-4, atol=1e-4)


def test_a_token_changes_no_logit_before_it_and_changes_its_own(model: Transformer) -> None:
    tokens = tokens_of(1, 20)
    with torch.inference_mode():
        before = model(tokens)
        for position in (0, 1, 7, 19):
            changed = tokens.clone()
            changed[0, position] = (changed[0, position] + 1) % VOCAB
            after = model(changed)
            torch.testing.assert_close(after[:, :position], before[:, :position], rtol=0, atol=1e-5)
            differences = (after - before)[0, position:].abs().amax(dim=1)
            assert (differences > 1e-3).all(), f"token {position} is not seen by all after it"


def test_rotary_scores_depend_on_relative_positions_only() -> None:
    size, length = 16, 40
    cos, sin = rotary_table(length, size, 100.0)
    generator = torch.Generator().manual_seed(1)
    q, k = (torch.randn(1, 1, 1, size, generator=generator).expand(1, 1, length, size),) * 2
    k = k.flip(-1)
    scores = (rotate(q, cos, sin) @ rotate(k, cos, sin).transpose(-1, -2))[0, 0]
    for distance in range(length):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-4)
    assert scores[:, 0].std() > 0.1  # and they do depend on the distance


def test_rotation_keeps_lengths_and_leaves_position_zero_alone() -> None:
    cos, sin = rotary_table(12, 8, 10_000.0)
    x = torch.randn(2, 3, 12, 8, generator=torch.Generator().manual_seed(2))
    turned_x = rotate(x, cos, sin)
    torch.testing.assert_close(turned_x.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(turned_x[:, :, 0], x[:, :, 0])


def test_the_norm_gives_unit_mean_square_whatever_the_scale() -> None:
    x = torch.randn(4, 32, generator=torch.Generator().manual_seed(3))
    for scale in (0.1, 1.0, 1000.0):
        squares = RMSNorm(32)(x * scale).pow(2).mean(-1)
        torch.testing.assert_close(squares, torch.ones(4), rtol=2e-2, atol=0)


@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        ModelSettings(),
        ModelSettings(layers=1, hidden=17, pair_rows=0),
        ModelSettings(block_tables=False),
    ],
)
def test_the_number_of_parameters_is_the_formula_of_the_settings(model: ModelSettings) -> None:
    d, f = model.width, model.hidden
    own = 700 * d if model.block_tables else 0
    by_formula = (
        (700 + model.pair_rows) * d + model.layers * (own + 4 * d * d + 3 * d * f + 2 * d) + d
    )
    made = Transformer(model, 700)
    assert model.parameters(700) == by_formula
    assert made.parameter_count() == by_formula
    assert sum(t.numel() for t in made.state_dict().values()) == by_formula


def test_the_default_model_keeps_the_promised_size() -> None:
    settings = Settings()
    count = Transformer(settings.model, settings.tokenizer.vocab_size).parameter_count()
    assert count == settings.parameters
    assert count <= MAX_PARAMETERS == 2_450_000
    assert 4 * count <= 10_000_000


def test_a_fresh_model_knows_only_the_token_before() -> None:
    """The tied embedding makes a fresh model repeat its input; of the rest it knows nothing."""
    model = Transformer(MODEL, VOCAB)
    model.initialise(torch.Generator().manual_seed(0))
    tokens = tokens_of(8, 24)
    logits = model(tokens).detach()
    repeated = logits.gather(-1, tokens[..., None])
    assert (repeated > logits.mean()).float().mean() > 0.95
    others = logits.scatter(-1, tokens[..., None], -torch.inf).log_softmax(-1)
    chosen = tokens_of(8, 24, seed=9)
    loss = -others.gather(-1, chosen[..., None])[chosen != tokens].mean()
    assert loss.item() == pytest.approx(math.log(VOCAB - 1), rel=0.25)


def test_the_loss_is_the_mean_negative_log_probability_of_the_targets(model: Transformer) -> None:
    tokens, targets = tokens_of(2, 10), tokens_of(2, 10, seed=4)
    with torch.inference_mode():
        loss = float(model.loss(tokens, targets))
        logits = model(tokens).double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    chosen = [log_p[b, t, targets[b, t]] for b in range(2) for t in range(10)]
    assert loss == pytest.approx(-np.mean(chosen), rel=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, second, third = (Transformer(MODEL, VOCAB) for _ in range(3))
    for model, seed in ((first, 1), (second, 1), (third, 2)):
        model.initialise(torch.Generator().manual_seed(seed))
    for one, two, other in zip(
        first.parameters(), second.parameters(), third.parameters(), strict=True
    ):
        assert torch.equal(one, two)
        assert one.dim() < 2 or not one.any() or not torch.equal(one, other)


def test_a_fresh_models_tables_of_the_blocks_are_zero_and_learn_in_one_step() -> None:
    model = Transformer(MODEL, VOCAB)
    model.initialise(torch.Generator().manual_seed(0))
    tokens = tokens_of(2, 9)
    assert not any(block.embedding.weight.any() for block in model.blocks)
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    for block in model.blocks:
        rows = block.embedding.weight.grad.abs().sum(1).nonzero().flatten()
        assert rows.tolist() == sorted(set(tokens[:, :-1].flatten().tolist()))


def test_without_tables_of_the_blocks_the_model_is_that_whose_tables_are_zero(
    model: Transformer,
) -> None:
    for block in model.blocks:
        torch.nn.init.zeros_(block.embedding.weight)
    bare = Transformer(msgspec.structs.replace(MODEL, block_tables=False), VOCAB)
    missing = bare.load_state_dict(model.state_dict(), strict=False)
    assert missing.missing_keys == []
    assert set(missing.unexpected_keys) == {
        f"blocks.{i}.embedding.weight" for i in range(MODEL.layers)
    }
    tokens = tokens_of(2, 11)
    assert torch.equal(bare.eval()(tokens), model.eval()(tokens))
    assert len(list(bare.tables())) == 1  # the pairs'


def test_a_pairs_row_is_dropped_whole_and_the_others_grow_by_as_much() -> None:
    model = Transformer(MODEL, VOCAB, pair_dropout=0.25).train()
    rows = torch.rand(4, 500, 8) + 1.0
    torch.manual_seed(0)
    kept = model.pair_dropout(rows) / rows
    torch.testing.assert_close(kept, kept[..., :1].expand_as(kept))  # all channels or none
    torch.testing.assert_close(kept[kept > 0], torch.tensor(4 / 3).expand((kept > 0).sum()))
    assert 0.2 < (kept == 0).float().mean() < 0.3
    assert model.eval().pair_dropout(rows) is rows


def test_a_fresh_models_pairs_are_zero_and_learn_the_rows_that_were_seen() -> None:
    model = Transformer(MODEL, VOCAB)
    model.initialise(torch.Generator().manual_seed(0))
    tokens = tokens_of(1, 9)
    assert not model.pairs.weight.any()
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    ids = tokens[0, :-1].tolist()
    seen = {(1_000_003 * a + 7_919 * b) % 70 for a, b in zip([0, *ids], ids, strict=False)}
    assert set(model.pairs.weight.grad.abs().sum(1).nonzero().flatten().tolist()) == seen


@pytest.mark.parametrize("dropped", [{"dropout": 0.5}, {"pair_dropout": 0.5}])
def test_dropout_acts_in_training_alone(dropped: dict[str, float]) -> None:
    model = Transformer(MODEL, VOCAB, **dropped)
    model.initialise(torch.Generator().manual_seed(0))
    torch.nn.init.normal_(model.pairs.weight, std=0.1)
    tokens = tokens_of(1, 24)
    torch.manual_seed(0)
    assert not torch.equal(model.train()(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), model(tokens))
