"""The engine against PyTorch recomputing everything, and against misuse."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from tinytx.bundle import GRAPH, Bundle, ModelFacts
from tinytx.errors import BundleError, UsageError
from tinytx.runtime.engine import Engine

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Busy machines are slow; that is no failure."""

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
Seal = Callable[..., Any]


def text(seed: int, size: int = 24) -> list[int]:
    return random.Random(seed).choices(range(320), k=size)


@pytest.fixture(scope="module")
def engine(pair: Any) -> Engine:
    loaded: Engine = pair.engine()
    return loaded


def test_random_weights_make_different_choices(pair: Any) -> None:
    """Else the comparisons below would prove little."""
    logits = pair.reference(text(1))
    assert len(set(logits.argmax(-1).tolist())) > 12
    assert logits.std() > 1


@pytest.mark.parametrize("size", [1, 2, 3, 7, 23, 24])
def test_a_prompt_in_one_go_has_the_logits_of_pytorch(pair: Any, engine: Engine, size: int) -> None:
    ids = text(size, size)
    engine.reset()
    logits = engine.append(ids)
    assert logits.shape == (320,)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, pair.reference(ids)[-1], **CLOSE)


def test_token_by_token_has_the_logits_of_pytorch_at_every_position(
    pair: Any, engine: Engine
) -> None:
    ids = text(2)
    engine.reset()
    ours = []
    for i, token in enumerate(ids):
        assert engine.length == i
        ours.append(engine.append([token]))
    np.testing.assert_allclose(np.stack(ours), pair.reference(ids), **CLOSE)


@settings(CALM, max_examples=25)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 10**6))
def test_chunks_of_any_sizes_have_the_logits_of_pytorch(
    pair: Any, engine: Engine, sizes: list[int], seed: int
) -> None:
    ids = text(seed)
    reference = pair.reference(ids)
    engine.reset()
    for size in sizes:
        start = engine.length
        chunk = ids[start : start + size]
        if chunk:
            logits = engine.append(chunk)
            np.testing.assert_allclose(logits, reference[engine.length - 1], **CLOSE)


@pytest.mark.parametrize("chunk", [1, 5, 23, 24])
def test_a_long_prompt_runs_in_chunks_with_the_logits_of_pytorch(
    pair: Any, engine: Engine, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinytx.runtime.decoder.PROMPT_CHUNK", chunk)
    ids = text(12)
    engine.reset()
    logits = engine.append(ids)
    assert engine.length == 24
    np.testing.assert_allclose(logits, pair.reference(ids)[-1], **CLOSE)


def test_the_weights_are_held_once(pair: Any) -> None:
    """onnxruntime's wrapper would keep the file's bytes beside the session's own copy."""
    assert not getattr(pair.engine()._session, "_model_bytes", None)


def test_logits_stay_what_they_were_while_the_engine_goes_on(engine: Engine) -> None:
    engine.reset()
    first = engine.append(text(3, 5))
    kept = first.copy()
    engine.append([7])
    np.testing.assert_array_equal(first, kept)


def test_a_reset_forgets_a_longer_context_completely(pair: Any, engine: Engine) -> None:
    ids = text(4, 9)
    fresh = pair.engine()
    expected = [fresh.append(ids[:5]), *(fresh.append([i]) for i in ids[5:])]
    engine.reset()
    engine.append(text(5, 24))
    engine.reset()
    assert engine.length == 0
    again = [engine.append(ids[:5]), *(engine.append([i]) for i in ids[5:])]
    np.testing.assert_array_equal(np.stack(again), np.stack(expected))


def test_two_engines_of_one_bundle_do_not_disturb_each_other(pair: Any) -> None:
    one, other = pair.engine(), pair.engine(threads=2)
    ids = text(6, 10)
    one.append(ids[:4])
    other.append(text(7, 20))
    logits = one.append(ids[4:])
    np.testing.assert_allclose(logits, pair.reference(ids)[-1], **CLOSE)


@pytest.mark.parametrize("more", [1, 2, 30])
def test_a_full_context_is_refused_with_both_numbers_and_nothing_changes(
    pair: Any, engine: Engine, more: int
) -> None:
    ids = text(8)
    engine.reset()
    engine.append(ids[: 24 - more + 1] if more <= 24 else ids[:5])
    length = engine.length
    with pytest.raises(UsageError) as caught:
        engine.append([1] * more)
    assert f"holds 24 tokens; {length} are in it and {more} more do not fit" in str(caught.value)
    assert engine.length == length
    if length < 24:
        logits = engine.append([ids[length]])
        np.testing.assert_allclose(logits, pair.reference(ids)[length], **CLOSE)


@pytest.mark.parametrize(
    "ids", [[], [-1], [320], [0, 320], [5, -1, 6], [2**31], [2**63], [-(2**70)], [2**70]]
)
def test_ids_that_are_no_tokens_are_refused_and_nothing_changes(
    pair: Any, engine: Engine, ids: list[int]
) -> None:
    known = text(9, 6)
    engine.reset()
    engine.append(known[:5])
    with pytest.raises(UsageError, match="token ids must be"):
        engine.append(ids)
    assert engine.length == 5
    np.testing.assert_allclose(engine.append(known[5:]), pair.reference(known)[-1], **CLOSE)


def test_a_bundle_loads_with_its_id_its_facts_and_its_tokenizer(tiny_bundle: Path) -> None:
    engine = Engine.load(str(tiny_bundle))
    manifest = Bundle(tiny_bundle).manifest
    assert engine.bundle_id == manifest.id
    assert engine.facts == manifest.model
    assert engine.tokenizer.start_id == manifest.start_id
    assert engine.length == 0


def test_a_graph_that_is_none_is_refused(copy: Path, seal: Seal) -> None:
    for graph in (b"", b"no graph", (copy / GRAPH).read_bytes()[:-1_000]):
        seal(copy, {GRAPH: graph})
        with pytest.raises(BundleError, match=r"model\.onnx") as caught:
            Engine.load(copy)
        assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 1},
        {"layers": 3},
        {"heads": 1},
        {"head_size": 32},
        {"max_seq_length": 47},
        {"heads": 1_000_000, "max_seq_length": 1_000_000, "head_size": 1_000_000},
    ],
    ids=str,
)
def test_facts_that_are_not_those_of_the_graph_are_refused(
    copy: Path, seal: Seal, change: dict[str, int]
) -> None:
    facts = Bundle(copy).manifest.model
    seal(copy, model=msgspec.structs.replace(facts, **change))
    with pytest.raises(BundleError, match=r"not a graph of this runtime|describes (no|a) model"):
        Engine.load(copy)


def test_a_tokenizer_that_is_not_the_one_of_the_manifest_is_refused(copy: Path, seal: Seal) -> None:
    model = Bundle(copy).manifest.model
    seal(copy, start_id=2)
    with pytest.raises(BundleError, match="is not the one of its manifest"):
        Engine.load(copy)
    seal(copy, start_id=1, model=msgspec.structs.replace(model, vocab_size=321))
    with pytest.raises(BundleError, match="is not the one of its manifest"):
        Engine.load(copy)
    seal(copy, {"tokenizer.model": b"garbage"}, model=model)
    with pytest.raises(BundleError, match=r"tokenizer\.model is not a SentencePiece model"):
        Engine.load(copy)


def lower_vocabulary(facts: ModelFacts, model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = facts.vocab_size + 1


def another_name(facts: ModelFacts, model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "ids"
    for node in model.graph.node:
        node.input[:] = ["ids" if name == "tokens" else name for name in node.input]


def half_tokens(facts: ModelFacts, model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32


@pytest.mark.parametrize("change", [lower_vocabulary, another_name, half_tokens])
def test_a_graph_of_another_contract_is_refused_when_loaded_or_run(
    copy: Path, seal: Seal, change: Callable[[ModelFacts, onnx.ModelProto], None]
) -> None:
    model = onnx.load(copy / GRAPH)
    change(Bundle(copy).manifest.model, model)
    seal(copy, {GRAPH: model.SerializeToString()})
    with pytest.raises(BundleError, match=r"model\.onnx"):
        Engine.load(copy).append([1, 2])
