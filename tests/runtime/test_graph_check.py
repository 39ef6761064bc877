"""A graph that is not ours is refused before onnxruntime reads it, whatever its checksums say."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tinytx.bundle import GRAPH, Bundle, ModelFacts
from tinytx.errors import BundleError
from tinytx.runtime.engine import Engine
from tinytx.runtime.graph_check import check_graph

Change = Callable[[onnx.ModelProto], None]


def outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "/etc/passwd"), ("offset", "0"), ("length", "64")):
        tensor.external_data.add(key=key, value=value)


def claimed(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [2**40, 2**40]


def longer(model: onnx.ModelProto) -> None:
    model.graph.initializer[1].dims[0] += 1


def wide(model: onnx.ModelProto) -> None:
    many = np.zeros((1_000_001, 1), np.int8)
    model.graph.initializer.append(numpy_helper.from_array(many, "many"))


def other_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.float_data[:] = [1.0]


def strings(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [1], [b"x"]))


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["x"], body=body))


def subgraph(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", body))


def tensor_attribute(model: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.zeros(1))
    model.graph.node[0].attribute.append(helper.make_attribute("value", value))


def expand(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Expand", ["a", "b"], ["c"]))


def other_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "ai.onnx.ml"


def function(model: onnx.ModelProto) -> None:
    model.functions.append(
        helper.make_function("x", "f", ["a"], ["b"], [], [helper.make_opsetid("", 23)])
    )


def metadata(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="a", value="b")


def no_nodes(model: onnx.ModelProto) -> None:
    model.graph.ClearField("node")


def many_nodes(model: onnx.ModelProto) -> None:
    model.graph.node.extend([model.graph.node[0]] * 10_001)


def no_graph(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (outside, "a tensor has the field 13"),
        (claimed, "more than its model"),
        (longer, "not as long as its shape"),
        (wide, "a dimension of 1000001"),
        (other_data, "a tensor has the field 4"),
        (strings, "a tensor has the field 6"),
        (sparse, "the graph has the field 15"),
        (loop, "an attribute has the field 6|the operator 'Loop'"),
        (subgraph, "an attribute has the field 6"),
        (tensor_attribute, "an attribute has the field 5"),
        (expand, "the operator 'Expand' of the domain ''"),
        (other_domain, "of the domain 'ai.onnx.ml'"),
        (function, "the model has the field 25"),
        (metadata, "the model has the field 14"),
        (no_nodes, "it has 0 nodes"),
        (many_nodes, r"it has 1\d{4} nodes"),
        (no_graph, "it holds 0 graphs"),
    ],
)
def test_what_our_graphs_do_not_hold_is_refused(
    copy: Path, seal: Any, change: Change, words: str
) -> None:
    """Sealed with valid checksums, so that nothing else stands before onnxruntime."""
    model = onnx.load(copy / GRAPH, load_external_data=False)
    change(model)
    seal(copy, {GRAPH: model.SerializeToString()})
    with pytest.raises(BundleError, match=f"is not a graph of this runtime: .*({words})"):
        Engine.load(copy)


def facts_and_graph(bundle: Path) -> tuple[ModelFacts, bytes]:
    opened = Bundle(bundle)
    return opened.manifest.model, opened.read_file(GRAPH)


def test_a_real_graph_passes_and_two_in_a_row_do_not(tiny_bundle: Path) -> None:
    facts, graph = facts_and_graph(tiny_bundle)
    check_graph(graph, facts, "it")
    with pytest.raises(BundleError, match="it holds 2 graphs"):
        check_graph(graph + graph, facts, "it")


def test_whatever_passes_says_the_same_to_onnx_and_what_onnx_refuses_does_not_pass(
    tiny_bundle: Path,
) -> None:
    """Damage of all kinds: the walk ends with a sentence or lets only readable graphs through."""
    facts, graph = facts_and_graph(tiny_bundle)
    source = random.Random(5)
    for _ in range(300):
        changed = bytearray(graph)
        for _ in range(source.randint(1, 3)):
            at = source.choice([source.randrange(400), source.randrange(len(changed))])
            changed[at] = source.randrange(256)
        data = bytes(changed[: source.choice([len(changed), source.randrange(len(changed))])])
        try:
            check_graph(data, facts, "it")
        except BundleError as error:
            assert error.message.startswith("it is not a graph of this runtime: ")
            continue
        try:
            model = onnx.load_from_string(data)
        except Exception:  # names that are no UTF-8: onnxruntime refuses these with a message
            continue
        assert not any(t.external_data or t.data_location for t in model.graph.initializer)
        assert not any(a.HasField("g") for n in model.graph.node for a in n.attribute)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x08", b"\xff" * 20, b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x05ab", b"\x0b", b"\x38\x01"],
)
def test_what_is_no_protobuf_is_refused(tiny_bundle: Path, data: bytes) -> None:
    facts, _ = facts_and_graph(tiny_bundle)
    with pytest.raises(BundleError, match="is not a graph of this runtime"):
        check_graph(data, facts, "it")
