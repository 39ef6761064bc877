"""Reads a graph's structure before onnxruntime does, and refuses what no tinytx graph holds.

A manifest vouches for bytes, not for intentions: who rewrites the graph can rewrite the checksums.
So the file is walked as protobuf (https://protobuf.dev/programming-guides/encoding/), message by
message against a list of what our own graphs use (fields and numbers of onnx.proto3): no external
data, no subgraphs and so no loops, no functions, no metadata, only known operators, and every
tensor as long as its shape says. Nothing is copied: weights are skipped over.
"""

import math
from collections.abc import Iterator

from tinytx.bundle import ModelFacts
from tinytx.errors import BundleError

OPERATORS = {
    "": {
        "Add", "Gather", "Gemm", "MatMul", "Mul", "RMSNormalization", "Reshape", "Split",
        "Transpose",
    },
    "com.microsoft": {
        "GatherBlockQuantized", "GroupQueryAttention", "MatMulNBits", "QuickGelu",
        "SkipSimplifiedLayerNormalization",
    },
}  # fmt: skip
"""What :mod:`tinytx.export.graph` and its quantised variants are made of, by domain."""
ITEM_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 10: 2}  # float32, uint8, int8, int32, int64, float16
MOST_NODES = 10_000
MOST_DIMENSIONS = 4
Field = tuple[int, int | memoryview]


class _Refused(Exception):
    """Why a graph is refused."""


def check_graph(graph: bytes, facts: ModelFacts, name: str) -> None:
    """Raises :class:`BundleError` when ``graph`` is not of the form that tinytx exports."""
    try:
        _check_model(memoryview(graph), facts)
    except _Refused as error:
        raise BundleError(f"{name} is not a graph of this runtime: {error}") from None


def _check_model(model: memoryview, facts: ModelFacts) -> None:
    # ir_version, producer_name, producer_version, domain, model_version, doc_string, graph, opset
    graphs = []
    for number, value in _fields(model, "the model", {1, 2, 3, 4, 5, 6, 7, 8}):
        if number == 7:
            graphs.append(_message(value))
    if len(graphs) != 1:
        raise _Refused(f"it holds {len(graphs)} graphs")
    nodes = 0
    # A dimension beyond these can only come from another model, or from no model.
    widest = max(3 * facts.width, 2 * facts.hidden, facts.layers * facts.width)
    most = max(facts.vocab_size, facts.max_seq_length, facts.pair_rows, widest)
    # node, name, initializer, doc_string, input, output
    for number, value in _fields(graphs[0], "the graph", {1, 2, 5, 10, 11, 12}):
        if number == 1:
            _check_node(_message(value))
            nodes += 1
        elif number == 5:
            _check_tensor(_message(value), most)
    if not 1 <= nodes <= MOST_NODES:
        raise _Refused(f"it has {nodes} nodes")


def _check_node(node: memoryview) -> None:
    kind = {4: b"", 7: b""}  # op_type, domain
    # input, output, name, op_type, attribute, domain
    for number, value in _fields(node, "a node", {1, 2, 3, 4, 5, 7}):
        if number in kind:
            kind[number] = bytes(_message(value))
        elif number == 5:
            # name, float, int, string, floats, ints, type: neither tensors nor subgraphs
            for _ in _fields(_message(value), "an attribute", {1, 2, 3, 4, 7, 8, 20}):
                pass
    operator, domain = (kind[number][:80].decode("utf-8", "replace") for number in (4, 7))
    if operator not in OPERATORS.get(domain, ()):
        raise _Refused(f"it uses the operator {operator!r} of the domain {domain!r}")


def _check_tensor(tensor: memoryview, most: int) -> None:
    dims: list[int] = []
    data: list[memoryview] = []
    item = 0
    # dims, data_type, name, raw_data: no external data, and no other kind of data
    for number, value in _fields(tensor, "a tensor", {1, 2, 8, 9}):
        if number == 1:
            dims += [value] if isinstance(value, int) else _varints(value)
        elif number == 2 and isinstance(value, int):
            item = ITEM_BYTES.get(value, 0)
        elif number == 9:
            data.append(_message(value))
    if item == 0 or len(data) != 1 or len(dims) > MOST_DIMENSIONS:
        raise _Refused("a tensor is of an unknown type")
    if max(dims, default=0) > most:
        raise _Refused(f"a tensor has a dimension of {max(dims)}, more than its model")
    if math.prod(dims) * item != len(data[0]):
        raise _Refused("a tensor is not as long as its shape says")


def _fields(message: memoryview, what: str, allowed: set[int]) -> Iterator[Field]:
    """Numbers and values of a message: an int, or the bytes of what has a length."""
    at, size = 0, len(message)
    while at < size:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if number not in allowed:
            raise _Refused(f"{what} has the field {number}, which is not allowed")
        value: int | memoryview
        if wire == 0:
            value, at = _varint(message, at)
        else:
            length = {1: 8, 5: 4}.get(wire)
            if wire == 2:
                length, at = _varint(message, at)
            if length is None or at + length > size:
                raise _Refused(f"{what} is cut off or damaged")
            value = message[at : at + length]
            at += length
        yield number, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        number |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return number, at
    raise _Refused("a number in it is damaged")


def _varints(packed: memoryview) -> list[int]:
    found: list[int] = []
    at = 0
    while at < len(packed) and len(found) <= MOST_DIMENSIONS:
        number, at = _varint(packed, at)
        found.append(number)
    return found


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _Refused("a field in it has the wrong type")
    return value
