"""Golden outputs: reproduced by the bundle that was exported, and by no other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from tinytx import bundle
from tinytx.bundle import GOLDEN, GRAPH, Bundle, Golden, GoldenCase
from tinytx.cli.main import run
from tinytx.errors import BundleError
from tinytx.runtime import golden as golden_outputs
from tinytx.runtime.engine import Engine
from tinytx.runtime.golden import greedy, verify

Seal = Callable[..., Any]


def golden(*cases: tuple[str, list[int]]) -> dict[str, bytes]:
    rows = [GoldenCase(prompt=prompt, tokens=tokens) for prompt, tokens in cases]
    return {GOLDEN: bundle.encode(Golden(schema=1, cases=rows))}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_bundle_reproduces_its_golden_outputs(tiny_bundle: Path, threads: int) -> None:
    verified = verify(tiny_bundle, threads)
    cases = verified.bundle.golden().cases
    exact = sum(len(case.tokens) - len(case.near_ties) for case in cases)
    assert verified.tokens == {"float32": exact}
    assert (verified.judged, verified.differing) == ("float32", {})
    assert exact > 200
    assert verified.bundle.id == Bundle(tiny_bundle).id
    prompts = [case.prompt for case in cases]
    assert "" in prompts
    assert any(not prompt.isascii() for prompt in prompts)
    tokenizer = Engine.load(tiny_bundle).tokenizer
    assert max(len(tokenizer.encode(prompt)) for prompt in prompts) >= 10


def change_one_weight(graph: bytes, name: str, by: float) -> bytes:
    model = onnx.load_model_from_string(graph)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    values = np.array(numpy_helper.to_array(tensor))
    values.flat[values.size // 2] += by
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    return model.SerializeToString()


@pytest.mark.parametrize(
    "weight", ["norm.weight", "blocks.1.mlp.down.weight", "blocks.0.attention.qkv.weight"]
)
def test_one_changed_weight_in_a_bundle_with_a_valid_manifest_is_found(
    copy: Path, seal: Seal, capsys: pytest.CaptureFixture[str], weight: str
) -> None:
    changed = change_one_weight((copy / GRAPH).read_bytes(), weight, 30.0)
    seal(copy, {GRAPH: changed})
    Bundle(copy).check_files()  # every hash is right
    with pytest.raises(BundleError, match="does not reproduce its golden outputs"):
        verify(copy)
    assert run(["verify", str(copy)]) == 9
    err = capsys.readouterr().err
    assert "does not reproduce its golden outputs on this machine" in err
    assert "Traceback" not in err


def test_the_first_token_that_differs_is_named(copy: Path, seal: Seal) -> None:
    tokens = Bundle(copy).golden().cases[0].tokens
    assert len(tokens) > 3
    wrong = [*tokens[:2], (tokens[2] + 1) % 320, *tokens[3:]]
    seal(copy, golden(("", wrong)))
    with pytest.raises(BundleError, match=r"after '', token 3 differs"):
        verify(copy)


def test_more_golden_tokens_than_the_context_holds_are_refused(copy: Path, seal: Seal) -> None:
    tokens, _ = greedy(Engine.load(copy), "The", 1_000)
    seal(copy, golden(("The", [*tokens, 0])))
    with pytest.raises(BundleError, match=r"golden tokens of .* do not fit its model"):
        verify(copy)


def only_case(folder: Path, **changes: Any) -> dict[str, bytes]:
    """The golden case after "The", changed, and no other."""
    case = next(c for c in Bundle(folder).golden().cases if c.prompt == "The")
    changed = msgspec.structs.replace(case, **changes)
    return {GOLDEN: bundle.encode(Golden(schema=1, cases=[changed]))}


def test_at_a_near_tie_the_second_best_token_is_let_through_when_it_is_close_enough(
    copy: Path, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded token is fed on, so that the tokens after it belong to it."""
    engine = Engine.load(copy)
    ids = [engine.tokenizer.start_id, *engine.tokenizer.encode("The")]
    logits = engine.append(ids)
    second = int(logits.argsort()[-2])
    lead = float(logits.max() - logits[second])
    tokens = [second, int(engine.append([second]).argmax())]
    seal(copy, only_case(copy, tokens=tokens, near_ties=[0], logits=[]))
    with pytest.raises(BundleError, match="token 1 differs"):
        verify(copy)
    monkeypatch.setitem(golden_outputs.NEAR_TIES, "float32", lead + 1e-6)
    assert verify(copy).tokens == {"float32": 1}
    seal(copy, only_case(copy, tokens=tokens, near_ties=[], logits=[]))
    with pytest.raises(BundleError, match="token 1 differs"):
        verify(copy)


def test_one_changed_weight_that_leaves_every_token_is_found_by_the_fingerprint(
    copy: Path, seal: Seal
) -> None:
    """A weight of the head's row of a token that no golden output holds, changed by a tenth."""
    golden_ids = {t for case in Bundle(copy).golden().cases for t in case.tokens}
    unseen = next(i for i in range(319, 0, -1) if i not in golden_ids)
    model = onnx.load_model(copy / GRAPH)
    tensor = next(t for t in model.graph.initializer if t.name == "head.weight")
    table = np.array(numpy_helper.to_array(tensor))
    at = np.unravel_index(np.abs(table[unseen]).argmax(), table[unseen].shape)
    table[unseen][at] *= 0.9
    tensor.CopyFrom(numpy_helper.from_array(table, tensor.name))
    seal(copy, {GRAPH: model.SerializeToString()})
    with pytest.raises(BundleError, match="the logits of the last step are off by"):
        verify(copy)
    without = [msgspec.structs.replace(c, logits=[]) for c in Bundle(copy).golden().cases]
    seal(copy, {GOLDEN: bundle.encode(Golden(schema=1, cases=without))})
    verify(copy)  # the tokens alone do not see it


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("logits", [[0.0], [0.0] * 33, [1e30] * 32, [1e200, -1e200] * 16])
def test_a_fingerprint_of_another_model_is_refused(
    copy: Path, seal: Seal, logits: list[float]
) -> None:
    seal(copy, only_case(copy, logits=logits))
    with pytest.raises(BundleError, match=r"not of its model|are off by"):
        verify(copy)


def test_a_fingerprint_counts_every_logit_once() -> None:
    logits = np.arange(100, dtype=np.float32)
    found = golden_outputs.fingerprint(logits)
    assert found[:2] == [np.mean([0, 32, 64, 96]), np.mean([1, 33, 65, 97])]
    assert len(found) == 32
    assert golden_outputs.fingerprint(logits[:3]) == [0.0, 1.0, 2.0]


@given(shift=st.floats(-1e3, 1e3), vocab_size=st.integers(3, 200), seed=st.integers(0, 99))
def test_the_distance_of_fingerprints_does_not_see_a_common_shift_and_sees_any_other(
    shift: float, vocab_size: int, seed: int
) -> None:
    """Recorded fingerprints are rounded to 1e-5."""
    logits = np.random.default_rng(seed).normal(size=vocab_size).astype(np.float32)
    one = golden_outputs.fingerprint(logits)
    assert golden_outputs.distance(one, [x + shift for x in one], vocab_size) < 1e-9
    moved = logits.copy()
    moved[-1] += 1.0
    found = golden_outputs.distance(golden_outputs.fingerprint(moved), one, vocab_size)
    group = (vocab_size - 1) % 32
    members = len(range(group, vocab_size, 32))
    assert found == pytest.approx(1 / members - 1 / vocab_size, abs=1e-4)


def test_what_is_let_through_where_values_are_rounded_grows_with_the_recorded_spread() -> None:
    cases = [GoldenCase(prompt="", tokens=[1], logits=[s * 2.0, s * -2.0] * 16) for s in (1, 0)]
    spread = np.sqrt(2)  # of 4 and 0
    assert golden_outputs.allowed(cases, "float32", 320) == 1e-4
    assert golden_outputs.allowed(cases, "int8", 320) == pytest.approx(1e-4 + 0.12 * spread)
    shifted = [msgspec.structs.replace(c, logits=[x + 7 for x in c.logits]) for c in cases]
    assert golden_outputs.allowed(shifted, "int8", 320) == pytest.approx(1e-4 + 0.12 * spread)
    assert golden_outputs.allowed([], "int8", 320) == 1e-4
    huge = [GoldenCase(prompt="", tokens=[1], logits=[1e200, -1e200] * 16)]
    assert golden_outputs.allowed(huge, "int8", 320) == 1e-4


@pytest.mark.parametrize("recorded", [[], [0.0] * 31, [0.0] * 33])
def test_fingerprints_of_different_sizes_have_no_distance(recorded: list[float]) -> None:
    with pytest.raises(ValueError, match="fingerprints of different models"):
        golden_outputs.distance([0.0] * 32, recorded, 320)


def test_a_golden_prompt_that_does_not_fit_is_refused(copy: Path, seal: Seal) -> None:
    seal(copy, golden(("word " * 50, [1])))
    with pytest.raises(BundleError, match="does not fit its model"):
        verify(copy)


@pytest.mark.parametrize("cases", [[], [("The", [])], [("", []), ("The", [])]])
def test_a_bundle_without_golden_tokens_proves_nothing_and_is_refused(
    copy: Path, seal: Seal, cases: list[tuple[str, list[int]]]
) -> None:
    seal(copy, golden(*cases))
    with pytest.raises(BundleError, match="holds no golden outputs"):
        verify(copy)


def test_leads_are_the_distance_to_the_second_best(tiny_bundle: Path) -> None:
    engine = Engine.load(tiny_bundle)
    tokens, leads = greedy(engine, "The", 5)
    ids = [engine.tokenizer.start_id, *engine.tokenizer.encode("The")]
    for token, lead in zip(tokens, leads, strict=True):
        engine.reset()
        logits = sorted(enumerate(engine.append(ids).tolist()), key=lambda pair: -pair[1])
        assert logits[0][0] == token
        assert lead == pytest.approx(logits[0][1] - logits[1][1], abs=1e-4)
        ids.append(token)


def test_greedy_tokens_stop_when_the_context_is_full(tiny_bundle: Path) -> None:
    engine = Engine.load(tiny_bundle)
    tokens, leads = greedy(engine, "", 1_000)
    assert len(tokens) == len(leads) == engine.facts.max_seq_length
