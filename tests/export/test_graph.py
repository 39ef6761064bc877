"""The graph against PyTorch, at random weights of many shapes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from tinytx.bundle import ModelFacts
from tinytx.config import ModelSettings
from tinytx.export.graph import build_graph
from tinytx.runtime.decoder import pairs_of
from tinytx.runtime.engine import Engine
from tinytx.train.model import Transformer

# layers, heads, head size, hidden, context, vocabulary, rope base, rows of pairs
SHAPES = [
    (1, 1, 16, 1, 8, 1, 10_000.0, 1),
    (1, 1, 16, 7, 9, 37, 10_000.0, 0),
    (3, 1, 32, 5, 13, 101, 500.0, 60),
    (2, 3, 16, 33, 17, 53, 10_000.0, 53),
    (1, 5, 48, 11, 31, 64, 1e6, 900),
    (4, 2, 16, 64, 64, 300, 1.5, 0),
    (2, 4, 32, 344, 20, 999, 10_000.0, 2_000),
]
OTHERS = {"cos", "sin", "last", "no_sink"}  # of a graph's tensors: no weights
Shape = tuple[int, int, int, int, int, int, float, int]


def make(
    shape: Shape, seed: int = 1, *, block_tables: bool = True
) -> tuple[Transformer, ModelFacts]:
    """A model with weights large enough that attention is far from uniform."""
    layers, heads, head_size, hidden, context, vocab, base, pairs = shape
    width = heads * head_size
    settings = ModelSettings(
        layers=layers,
        width=width,
        heads=heads,
        hidden=hidden,
        max_seq_length=context,
        rope_base=base,
        pair_rows=pairs,
        block_tables=block_tables,
    )
    model = Transformer(settings, vocab).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        mean = 1.0 if parameter.dim() == 1 else 0.0
        torch.nn.init.normal_(parameter, mean, 0.3, generator=generator)
    facts = ModelFacts(
        layers=layers,
        width=width,
        heads=heads,
        head_size=head_size,
        hidden=hidden,
        max_seq_length=context,
        vocab_size=vocab,
        rope_base=base,
        pair_rows=pairs,
        parameters=settings.parameters(vocab),
        precision="float32",
    )
    return model, facts


def graph_of(model: Transformer, facts: ModelFacts) -> onnx.ModelProto:
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return build_graph(weights, facts)


def reference(model: Transformer, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    with torch.inference_mode():
        logits: NDArray[np.float32] = model(torch.from_numpy(ids)).numpy()
    return logits


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits_are_those_of_pytorch_for_prompts_and_single_tokens(shape: Shape) -> None:
    model, facts = make(shape)
    tokenizer: Any = SimpleNamespace()
    engine = Engine(facts, graph_of(model, facts).SerializeToString(), tokenizer)
    context = facts.max_seq_length
    ids = np.random.default_rng(2).integers(0, facts.vocab_size, (1, context))
    expected = reference(model, ids)[0]
    scale = float(np.abs(expected).max())
    for prompt in (1, 2, context // 2, context - 1, context):
        engine.reset()
        rows = [engine.append(ids[0, :prompt].tolist())]
        rows += [engine.append([int(token)]) for token in ids[0, prompt:]]
        difference = np.abs(np.stack(rows) - expected[prompt - 1 :]).max()
        assert difference < 2e-5 * max(1.0, scale)


def test_rows_of_a_batch_do_not_see_each_other() -> None:
    model, facts = make(SHAPES[3])
    session = onnxruntime.InferenceSession(graph_of(model, facts).SerializeToString())
    ids = np.random.default_rng(3).integers(0, facts.vocab_size, (3, 9))
    cache = np.zeros((3, facts.heads, facts.max_seq_length, facts.head_size), np.float32)
    feed = {
        "tokens": ids,
        "last_position": np.full(3, 8, np.int32),
        "total_length": np.array([9], np.int32),
        "pairs": pairs_of(ids, facts.pair_rows),
    }
    for i in range(facts.layers):
        feed |= {f"past_key.{i}": cache, f"past_value.{i}": cache}
    logits = session.run(["logits"], feed)[0]
    np.testing.assert_allclose(logits, reference(model, ids)[:, -1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_model_whose_blocks_have_no_tables_is_the_same_function_and_holds_no_weight_twice(
    shape: Shape,
) -> None:
    model, facts = make(shape, block_tables=False)
    graph = graph_of(model, facts)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    length = min(9, facts.max_seq_length)
    ids = np.random.default_rng(5).integers(0, facts.vocab_size, (2, length))
    cache = np.zeros((2, facts.heads, facts.max_seq_length, facts.head_size), np.float32)
    feed = {
        "tokens": ids,
        "last_position": np.full(2, length - 1, np.int32),
        "total_length": np.array([length], np.int32),
    }
    if facts.pair_rows:
        feed["pairs"] = pairs_of(ids, facts.pair_rows)
    for i in range(facts.layers):
        feed |= {f"past_key.{i}": cache, f"past_value.{i}": cache}
    logits = session.run(["logits"], feed)[0]
    np.testing.assert_allclose(logits, reference(model, ids)[:, -1], rtol=1e-4, atol=1e-4)
    sizes = {t.name: numpy_helper.to_array(t).size for t in graph.graph.initializer}
    held = sum(size for name, size in sizes.items() if name not in OTHERS)
    assert held == facts.parameters == model.parameter_count()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_inputs_and_outputs_are_those_of_the_contract(shape: Shape) -> None:
    model, facts = make(shape)
    graph = graph_of(model, facts)
    onnx.checker.check_model(graph, full_check=True)
    names = [f"{kind}.{i}" for i in range(facts.layers) for kind in ("key", "value")]
    inputs = {"tokens", "last_position", "total_length", *(f"past_{name}" for name in names)}
    inputs |= {"pairs"} if facts.pair_rows else set()
    assert {item.name for item in graph.graph.input} == inputs
    assert {item.name for item in graph.graph.output} == {
        "logits",
        *(f"present_{name}" for name in names),
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_graph_holds_each_weight_once_and_nothing_else_of_size(shape: Shape) -> None:
    model, facts = make(shape)
    arrays = {t.name: numpy_helper.to_array(t) for t in graph_of(model, facts).graph.initializer}
    weights = {name: array for name, array in arrays.items() if name not in OTHERS}
    assert sum(a.size for a in weights.values()) == facts.parameters == model.parameter_count()
    assert all(a.dtype == np.float32 for a in weights.values())
    tables = np.split(weights["tables"], facts.layers, axis=1)
    for name, tensor in model.state_dict().items():
        expected = tensor.numpy()
        if name == "embedding.weight":
            np.testing.assert_array_equal(weights["head.weight"], expected)
        elif name.endswith("embedding.weight"):  # they enter multiplied, the first with the head's
            layer = int(name.split(".")[1])
            entering = expected + (weights["head.weight"] if layer == 0 else 0.0)
            np.testing.assert_array_equal(tables[layer], entering * np.float32(facts.width**0.5))
        elif name == "pairs.weight":
            entering = expected * np.float32(facts.width**0.5)
            np.testing.assert_array_equal(weights["pair_table"], entering)
        elif name.endswith("gate_up.weight"):
            gate, up = np.split(expected, 2)
            np.testing.assert_array_equal(weights[name.replace("gate_up", "gate")], gate.T)
            np.testing.assert_array_equal(weights[name.replace("gate_up", "up")], up.T)
        else:
            if name.endswith("qkv.weight"):  # the queries hold the scale of the scores
                expected = expected.copy()
                expected[: facts.width] *= np.float32(facts.head_size**-0.5)
            np.testing.assert_array_equal(
                weights[name], expected.T if expected.ndim == 2 else expected
            )


def test_the_same_weights_give_the_same_bytes() -> None:
    model, facts = make(SHAPES[3])
    first = graph_of(model, facts).SerializeToString()
    assert graph_of(model, facts).SerializeToString() == first
    other, _ = make(SHAPES[3], seed=2)
    assert graph_of(other, facts).SerializeToString() != first


def test_the_weights_are_not_changed_by_the_export() -> None:
    model, facts = make(SHAPES[1])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    graph_of(model, facts)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
