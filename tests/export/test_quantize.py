"""The quantiser against onnxruntime's own, and quantised graphs against PyTorch."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi import _pybind_state

from tests.export.test_graph import SHAPES, Shape, make, reference
from tinytx.export import quantize
from tinytx.export.graph import build_graph
from tinytx.export.quantize import (
    PRODUCT_BLOCK,
    RECIPES,
    QuantisedBuilder,
    Recipe,
    quantise,
    row_block,
)
from tinytx.runtime.decoder import pairs_of
from tinytx.runtime.engine import Engine
from tinytx.train.model import Transformer

Matrix = NDArray[np.float32]
EXAMPLES = [(8, 32, 5, 96), (4, 32, 7, 64), (4, 16, 3, 48), (8, 16, 1, 33), (4, 32, 9, 1)]


def random(rows: int, columns: int, seed: int = 3) -> Matrix:
    source = np.random.default_rng(seed)
    matrix = source.normal(size=(rows, columns)) * 10.0 ** source.integers(-3, 3, (rows, 1))
    matrix[0, : columns // 2] = 0  # whole blocks of zeros
    return matrix.astype(np.float32)


@pytest.mark.parametrize(("bits", "block", "rows", "columns"), EXAMPLES)
def test_codes_and_scales_are_those_of_onnxruntimes_own_quantiser(
    bits: int, block: int, rows: int, columns: int
) -> None:
    matrix = random(rows, columns)
    blocks = -(-columns // block)
    packed = np.zeros((rows, blocks, block * bits // 8), np.uint8)
    scales = np.zeros((rows, blocks), np.float32)
    zeros = np.zeros((rows, (blocks * bits + 7) // 8), np.uint8)
    native = getattr(_pybind_state, f"quantize_matmul_{bits}bits")
    native(packed, np.ascontiguousarray(matrix.T), scales, zeros, block, rows, columns, True)
    ours = quantise(matrix, bits, block)
    used = np.abs(scales) > 0
    np.testing.assert_allclose(ours.scales[used], scales[used], rtol=1e-6)
    apart = np.abs(ours.packed.astype(int) - packed)[used]
    if columns % block == 0:  # a tie may be rounded the other way; padding is theirs to choose
        assert np.mean(apart != 0) < 0.02


@pytest.mark.parametrize(("bits", "block", "rows", "columns"), EXAMPLES)
def test_onnxruntime_restores_what_restore_says(
    bits: int, block: int, rows: int, columns: int
) -> None:
    """Row i of the identity times the matrix is its column i, with nothing to round."""
    q = quantise(random(rows, columns), bits, block)
    tensors = {"codes": q.packed, "scales": q.scales}
    node = helper.make_node(
        "MatMulNBits", ["x", "codes", "scales"], ["y"], domain="com.microsoft",
        K=columns, N=rows, bits=bits, block_size=block, accuracy_level=0,
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "one product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [columns, columns])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [columns, rows])],
        [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (restored,) = session.run(None, {"x": np.eye(columns, dtype=np.float32)})
    np.testing.assert_allclose(restored.T, q.restore(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("bits", "block", "rows", "columns"), EXAMPLES)
def test_no_weight_is_moved_by_more_than_half_a_step_or_by_a_step_where_codes_end(
    bits: int, block: int, rows: int, columns: int
) -> None:
    matrix = random(rows, columns)
    q = quantise(matrix, bits, block)
    step = np.repeat(np.abs(q.scales), block, axis=1)[:, :columns]
    last = (q.codes == 2**bits - 1).reshape(rows, -1)[:, :columns]
    apart = np.abs(matrix - q.restore())
    assert np.all(apart <= np.where(last, 1.0, 0.5) * step * (1 + 1e-5))
    assert np.all(q.restore()[matrix == 0] == 0)


def test_a_block_by_hand() -> None:
    q = quantise(np.array([[-4.0, 1.0, 0.2, 4.0]], np.float32), 4, 4)
    assert q.scales.tolist() == [[0.5]]  # the first of the two largest, -4, is code 0
    assert q.codes.tolist() == [[[0, 10, 8, 15]]]  # 4 would be code 16
    assert q.packed.tolist() == [[[0 | 10 << 4, 8 | 15 << 4]]]
    assert q.restore().tolist() == [[-4.0, 1.0, 0.0, 3.5]]


def test_rows_are_in_blocks_of_32_where_32_divides_the_width_and_of_16_elsewhere() -> None:
    assert [row_block(width) for width in (96, 128, 32, 48, 16, 240)] == [32, 32, 32, 16, 16, 16]


def restore_into(model: Transformer, recipe: Recipe) -> None:
    """Replace every matrix by what its codes stand for, the tables as they enter the blocks."""
    rows = row_block(model.model.width)

    def rounded(tensor: torch.Tensor, bits: int, block: int = PRODUCT_BLOCK) -> torch.Tensor:
        return torch.from_numpy(quantise(tensor.numpy(), bits, block).restore())

    head = model.embedding.weight.detach().clone()
    for name, tensor in model.state_dict().items():
        if name.startswith("blocks.") and name.endswith("embedding.weight"):
            first = name.startswith("blocks.0.")
            entering = rounded(tensor + head if first else tensor, recipe.row_bits, rows)
            tensor.copy_(entering - rounded(head, recipe.head_bits) if first else entering)
        elif name == "pairs.weight":
            tensor.copy_(rounded(tensor, recipe.row_bits, rows))
        elif tensor.dim() == 2 and name != "embedding.weight":
            tensor.copy_(rounded(tensor, recipe.bits))
    model.state_dict()["embedding.weight"].copy_(rounded(head, recipe.head_bits))


@pytest.mark.parametrize(("level", "share"), [(1, 1e-4), (4, 0.2)], ids=["float", "int8"])
@pytest.mark.parametrize("precision", RECIPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_quantised_graph_is_pytorch_with_the_restored_weights(
    shape: Shape, precision: str, level: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To float32's precision where the products leave their left side alone (level 1); as it
    ships they round that to 8 bits as well."""
    monkeypatch.setattr(quantize, "ACCURACY_LEVEL", level)
    model, facts = make(shape)
    recipe = RECIPES[precision]
    weights = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    restore_into(model, recipe)
    graph = build_graph(weights, facts, QuantisedBuilder(facts, recipe))
    onnx.checker.check_model(graph)
    tokenizer: Any = SimpleNamespace()
    engine = Engine(facts, graph.SerializeToString(), tokenizer)
    ids = np.random.default_rng(2).integers(0, facts.vocab_size, (1, facts.max_seq_length))
    expected = reference(model, ids)[0]
    for prompt in (1, facts.max_seq_length // 2, facts.max_seq_length):
        engine.reset()
        rows = [engine.append(ids[0, :prompt].tolist())]
        rows += [engine.append([int(token)]) for token in ids[0, prompt:]]
        apart = np.stack(rows) - expected[prompt - 1 :]
        assert np.sqrt(np.mean(apart**2)) < share * np.sqrt(np.mean(expected**2))


@pytest.mark.parametrize("precision", RECIPES)
def test_the_graph_with_logits_of_every_position_is_the_one_that_ships(precision: str) -> None:
    model, facts = make(SHAPES[3])
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    ids = np.random.default_rng(5).integers(0, facts.vocab_size, (1, 9))
    cache = np.zeros((1, facts.heads, facts.max_seq_length, facts.head_size), np.float32)
    feed = {"tokens": ids, "last_position": np.array([8], np.int32)}
    feed["total_length"] = np.array([9], np.int32)
    feed["pairs"] = pairs_of(ids, facts.pair_rows)
    for i in range(facts.layers):
        feed |= {f"past_key.{i}": cache, f"past_value.{i}": cache}
    found = []
    for every in (False, True):
        builder = QuantisedBuilder(facts, RECIPES[precision], every)
        graph = build_graph(weights, facts, builder).SerializeToString()
        found.append(onnxruntime.InferenceSession(graph).run(["logits"], feed)[0])
    assert found[1].shape == (1, 9, facts.vocab_size)
    np.testing.assert_allclose(found[1][:, -1], found[0], rtol=1e-4, atol=1e-2)


def test_every_product_has_constant_weights_without_onnxruntimes_optimiser() -> None:
    """Otherwise it cannot pack them when it loads and restores the matrix at every step."""
    model, facts = make(SHAPES[3])
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    graph = build_graph(weights, facts, QuantisedBuilder(facts, RECIPES["int4"])).graph
    constants = {tensor.name for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulNBits"]
    assert len(products) == 5 * facts.layers + 1
    assert all(set(node.input[1:]) <= constants for node in products)


def test_the_codes_take_the_room_of_their_bits() -> None:
    model, facts = make((2, 2, 16, 64, 24, 1_000, 10_000.0, 200))
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    graph = build_graph(weights, facts, QuantisedBuilder(facts, RECIPES["int4"]))
    size = {t.name: len(t.raw_data) for t in graph.graph.initializer}
    assert size["head.codes"] == 1_000 * 32
    assert size["head.scales"] == 1_000 * 4
    assert size["tables.codes"] == 1_000 * 2 * 32 // 2
    assert size["tables.scales"] == 1_000 * 2 * 4
    assert size["pair_table.codes"] == 200 * 32 // 2
    assert size["pair_table.scales"] == 200 * 4
    assert size["blocks.0.mlp.down.codes"] == 32 * 64 // 2
    assert sum(size.values()) < 1.25 * (2_100 * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 64) // 2 + 6_000)
