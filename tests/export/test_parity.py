"""Planted errors: each is refused with exit 6, and nothing of it is left."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest

from tinytx.bundle import Bundle, ModelFacts
from tinytx.cli.main import run
from tinytx.errors import ExportError, ParityError
from tinytx.export import exporter, parity
from tinytx.export.graph import build_graph
from tinytx.export.parity import TOLERANCE, check_parity, compare_logits
from tinytx.runtime.decoder import Logits
from tinytx.runtime.engine import Engine
from tinytx.tokenizer import Tokenizer
from tinytx.train.checkpoint import load_model
from tinytx.train.data import open_tokens
from tinytx.workspace import Workspace

Weights = dict[str, Any]
Snapshot = Callable[[Workspace], dict[str, str]]
export = partial(exporter.export, precision="float32")


def change(name: str, by: float, at: int = 5) -> Callable[[Weights, ModelFacts], Any]:
    """Builds the graph with one weight changed."""

    def build(weights: Weights, facts: ModelFacts) -> Any:
        changed = weights[name].copy()
        changed.flat[at] += by
        return build_graph({**weights, name: changed}, facts)

    return build


def other_base(weights: Weights, facts: ModelFacts) -> Any:
    return build_graph(weights, msgspec.structs.replace(facts, rope_base=facts.rope_base / 2))


def swapped_layers(weights: Weights, facts: ModelFacts) -> Any:
    turn = {"blocks.0.": "blocks.1.", "blocks.1.": "blocks.0."}
    return build_graph(
        {turn.get(name[:9], name[:9]) + name[9:]: array for name, array in weights.items()}, facts
    )


BUILDERS = {
    "a weight of the head": change("embedding.weight", 0.1),
    "a weight of attention": change("blocks.0.attention.qkv.weight", 1.0),
    "a weight of the last norm": change("norm.weight", 0.01),
    "a weight that is no number": change("norm.weight", math.nan),
    "a weight that is infinite": change("blocks.1.mlp.down.weight", math.inf),
    "another rotary base": other_base,
    "layers in another order": swapped_layers,
}


class SkipsAPosition(Engine):
    """Its second step is appended one place too far."""

    def append(self, ids: Sequence[int]) -> Logits:
        logits = super().append(ids)
        if self._length < self.facts.max_seq_length / 2:
            self._length += 1
        return logits


class Overwrites(Engine):
    """Each step after the first overwrites the last token of the cache."""

    def append(self, ids: Sequence[int]) -> Logits:
        if self._length:
            self._length -= 1
        return super().append(ids)


class SeesTooLittle(Engine):
    """Says that the context is one token shorter than it is."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        real = self._run_session

        def one_less(*run: Any) -> None:
            if self._length > 1:
                self._last_position -= 1
            real(*run)

        self._run_session = one_less


ENGINES = [SkipsAPosition, Overwrites, SeesTooLittle]


@pytest.fixture(params=["never exported", "exported before"])
def output(request: pytest.FixtureRequest, space: Workspace) -> Workspace:
    """An output directory with, or without, an older bundle; its stamp asks for a new export."""
    space.stamp("export").remove()
    if request.param == "never exported":
        request.getfixturevalue("unexported")
    return space


def assert_refused(output: Workspace, snapshot: Snapshot) -> None:
    before = snapshot(output)
    with pytest.raises(ParityError):
        export(output)
    assert snapshot(output) == before
    assert not [p for p in output.root.rglob(".*")]
    if output.bundle.exists():
        Bundle(output.bundle).check_files()


@pytest.mark.parametrize("planted", BUILDERS)
def test_a_graph_that_is_not_the_model_is_refused_and_the_old_bundle_survives(
    output: Workspace, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    monkeypatch.setattr(exporter, "build_graph", BUILDERS[planted])
    assert_refused(output, snapshot)


@pytest.mark.parametrize("planted", ENGINES)
def test_an_engine_whose_cache_is_off_by_one_is_refused_and_the_old_bundle_survives(
    output: Workspace,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    planted: type[Engine],
) -> None:
    monkeypatch.setattr(exporter, "Engine", planted)
    assert_refused(output, snapshot)


def test_on_the_command_line_a_refusal_ends_with_6_and_says_how_far_apart_they_are(
    unexported: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exporter, "build_graph", BUILDERS["a weight of the head"])
    assert run(["export", "--output-dir", str(unexported.root), "--json"]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert "the ONNX logits differ from PyTorch's by" in err
    assert "at most 0.001 is allowed" in err
    assert not unexported.bundle.exists()


@pytest.mark.parametrize("planted", ["another rotary base", "a cache off by one"])
def test_planted_errors_end_with_6_one_sentence_and_no_bundle(
    unexported: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    planted: str,
) -> None:
    if planted in BUILDERS:
        monkeypatch.setattr(exporter, "build_graph", BUILDERS[planted])
    else:
        monkeypatch.setattr(exporter, "Engine", Overwrites)
    assert run(["export", "--output-dir", str(unexported.root)]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "differ" in err
    assert not unexported.bundle.exists()


def test_where_every_choice_is_a_near_tie_nothing_can_be_proven_and_nothing_is_shipped(
    output: Workspace, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "NEAR_TIE", 1e9)
    before = snapshot(output)
    with pytest.raises(ExportError, match="golden outputs"):
        export(output)
    assert snapshot(output) == before


def loaded(space: Workspace, build: Callable[[Weights, ModelFacts], Any] = build_graph) -> Any:
    """(engine, model, validation tokens) of a finished run."""
    model, _, _ = load_model(space.best_model)
    facts = Bundle(space.bundle).manifest.model
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    graph = build(weights, facts).SerializeToString()
    engine = Engine(facts, graph, Tokenizer.load(space.tokenizer))
    return engine, model, open_tokens(space.val_tokens)


def test_greedy_tokens_alone_refuse_a_difference_that_the_logits_allow(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "TOLERANCE", 1e9)
    monkeypatch.setattr(parity, "BITS_TOLERANCE", 1e9)
    with pytest.raises(ParityError, match=r"after 'The' the ONNX graph's token \d+ is \d+, PyTor"):
        check_parity(*loaded(space, swapped_layers), ["The"])


def test_bits_per_byte_alone_refuse_a_difference_that_the_logits_allow(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "TOLERANCE", 1e9)
    with pytest.raises(ParityError, match=r"finds 0\.\d+ bits per byte, the ONNX graph 0\.\d+"):
        check_parity(*loaded(space, change("norm.weight", 0.3)), ["The"])


@pytest.mark.parametrize("planted", ENGINES)
def test_the_cache_is_compared_with_none_at_every_step(
    space: Workspace, planted: type[Engine]
) -> None:
    """No PyTorch needed: the engine contradicts itself."""
    engine, _, val = loaded(space)
    assert parity.cache_difference(engine, val)[0] == 48
    off = planted(engine.facts, (space.bundle / "model.onnx").read_bytes(), engine.tokenizer)
    try:
        steps, difference = parity.cache_difference(off, val)
    except ParityError as error:
        assert "miscounts its own context" in error.message
    else:
        assert steps == 48
        assert difference > 10 * TOLERANCE


def test_at_a_near_tie_either_token_may_win_and_the_recorded_one_is_fed_on(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = parity.greedy_case(*loaded(space)[:2], "The").case
    monkeypatch.setattr(parity, "NEAR_TIE", 1e9)
    monkeypatch.setattr(parity, "TOLERANCE", 1e9)
    case = parity.greedy_case(*loaded(space)[:2], "The").case
    assert case.tokens == clear.tokens
    assert case.near_ties == list(range(len(case.tokens)))
    parity.greedy_case(*loaded(space, swapped_layers)[:2], "The")  # other tokens, all near-ties


def test_a_planted_difference_shows_in_the_logits_and_in_the_bits(space: Workspace) -> None:
    engine, model, val = loaded(space)
    assert compare_logits(engine, model, val).max_abs_difference < TOLERANCE / 10
    compared = compare_logits(*loaded(space, change("norm.weight", 0.5)))
    assert compared.max_abs_difference > 100 * TOLERANCE
    assert compared.onnx_bits != pytest.approx(compared.torch_bits, rel=1e-4)


def test_the_record_says_what_was_compared(space: Workspace) -> None:
    record, cases = check_parity(*loaded(space), ["", "The", "señor"])
    assert record.prompts == 3
    steps = sum(len(case.tokens) for case in cases)
    ties = sum(len(case.near_ties) for case in cases)
    assert (record.greedy_tokens, record.near_ties) == (steps - ties, ties)
    assert record.longest_context == record.cached_steps == 48
    assert record.tolerance == TOLERANCE
    assert 0 < record.max_abs_cache_difference < TOLERANCE / 10
    assert record.torch_bits_per_byte == pytest.approx(record.onnx_bits_per_byte, rel=1e-5)
    assert 0 < record.compared_bytes < space.val_text.stat().st_size


def test_bits_are_minus_the_binary_logarithm_of_the_probabilities() -> None:
    logits = np.log(np.array([[1, 1, 2], [8, 4, 4], [1, 1, 1e-30]], np.float32))
    bits = parity.total_bits(logits, np.array([2, 1, 0]))
    assert bits == pytest.approx(1 + 2 + 1)
    huge = np.array([[1e30, 0.0]], np.float32)
    assert parity.total_bits(huge, np.array([0])) == 0.0
