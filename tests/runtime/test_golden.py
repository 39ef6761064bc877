"""Golden outputs: reproduced by the bundle that was exported, and by no other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tinytx import bundle
from tinytx.bundle import GOLDEN, GRAPH, Bundle, Golden, GoldenCase
from tinytx.cli.main import run
from tinytx.errors import BundleError
from tinytx.runtime.engine import Engine
from tinytx.runtime.golden import greedy, verify

Seal = Callable[..., Any]


def golden(*cases: tuple[str, list[int]]) -> dict[str, bytes]:
    rows = [GoldenCase(prompt=prompt, tokens=tokens) for prompt, tokens in cases]
    return {GOLDEN: bundle.encode(Golden(schema=1, cases=rows))}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_bundle_reproduces_its_golden_outputs(tiny_bundle: Path, threads: int) -> None:
    checked, tokens = verify(tiny_bundle, threads)
    cases = checked.golden().cases
    assert tokens == sum(len(case.tokens) for case in cases) > 50
    assert checked.id == Bundle(tiny_bundle).id
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
    with pytest.raises(BundleError, match=f"token {len(tokens) + 1} differs"):
        verify(copy)


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
