"""Weights found in memory: planted a known number of times, in orders that libraries use."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tinytx.measure.memory import copies
from tinytx.measure.run import launch

RANDOM = np.random.default_rng(3)


def weights(*shape: int) -> np.ndarray:  # type: ignore[type-arg]
    return RANDOM.normal(size=shape).astype(np.float32)


def model(*tensors: onnx.TensorProto) -> bytes:
    graph = helper.make_graph([], "g", [], [], initializer=tensors)
    data: bytes = helper.make_model(graph, producer_name="x" * 200).SerializeToString()
    return data


def test_the_float_initializers_of_a_graph_are_read_as_onnx_reads_them() -> None:
    arrays = [weights(7, 5), weights(1_000), np.arange(9, dtype=np.int64)]
    tensors = [numpy_helper.from_array(a, f"tensor {n}") for n, a in enumerate(arrays)]
    floats, codes = copies.weights_of(model(*tensors))
    assert floats.tobytes() == arrays[0].tobytes() + arrays[1].tobytes()
    assert codes.size == 0


def test_quantised_weights_are_read_eight_bytes_at_a_time() -> None:
    array = RANDOM.integers(0, 256, (16, 3, 32)).astype(np.uint8)
    floats, codes = copies.weights_of(model(numpy_helper.from_array(array, "codes")))
    assert floats.size == 0
    assert codes.tobytes() == array.tobytes()
    noise = RANDOM.bytes(100_003)
    memory = [noise + array.tobytes() + noise, array[::-1].tobytes()]
    assert copies.bytes_held(codes, memory) == 2 * array.nbytes


def test_a_graph_without_weights_has_none() -> None:
    other = helper.make_tensor("w", TensorProto.INT64, [1], b"\1\2\3\4\5\6\7\0", raw=True)
    assert [words.size for words in copies.weights_of(model(other))] == [0, 0]
    assert copies.bytes_held(np.empty(0, np.uint32), [b"1234"]) == 0


def test_copies_are_found_plain_transposed_and_at_odd_addresses() -> None:
    matrix = weights(300, 200)
    words = matrix.ravel().view(np.uint32)
    noise = RANDOM.bytes(1_000_003)
    memory = [
        noise + matrix.tobytes() + noise,  # starts at an address that is no multiple of 4
        np.ascontiguousarray(matrix.T).tobytes(),
        np.ascontiguousarray(matrix.reshape(300, 25, 8).swapaxes(0, 1)).tobytes() + b"\0" * 5_000,
    ]
    assert copies.bytes_held(words, memory) == pytest.approx(3 * matrix.nbytes, rel=0.01)
    assert copies.bytes_held(words, [noise, b"\0" * 1_000_000]) < 0.01 * matrix.nbytes


def test_values_that_are_common_prove_nothing_and_are_left_out() -> None:
    matrix = np.concatenate([weights(1_000), np.ones(1_000, np.float32)])
    words = matrix.view(np.uint32)
    assert copies.bytes_held(words, [np.ones(100_000, np.float32).tobytes()]) == 0
    assert copies.bytes_held(words, [matrix.tobytes()]) == pytest.approx(matrix.nbytes, rel=0.01)
    assert copies.bytes_held(np.zeros(50, np.uint32), [b"\0" * 800]) == 0


HOLDER = """
import numpy as np
from tinytx.measure.memory import copies, smaps
matrix = np.random.default_rng(3).normal(size=(500, 400)).astype(np.float32)
second = matrix.T.copy()
memory = copies.copied(smaps.mappings())
print(copies.bytes_held(matrix.ravel().view(np.uint32), memory) / matrix.nbytes)
"""


def test_a_process_finds_what_it_holds() -> None:
    child = subprocess.run(
        [sys.executable, "-c", HOLDER], capture_output=True, text=True, check=True,
        env=launch.environment(),
    )  # fmt: skip
    assert 2.0 <= float(child.stdout) < 2.1
