"""The benchmark of the runtime: its comparison computes the same model, its figures are right."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinytx.bundle import Bundle, ModelFacts
from tinytx.export.graph import build_graph
from tinytx.runtime.engine import Engine

BENCH = Path(__file__).parents[2] / "bench"

FACTS = ModelFacts(
    layers=2,
    width=48,
    heads=3,
    head_size=16,
    hidden=40,
    max_seq_length=32,
    vocab_size=97,
    rope_base=500.0,
    pair_rows=80,
    parameters=0,
    precision="float32",
)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    names = ("plain_graph", "traced_graph", "runtime")
    yield SimpleNamespace(**{name: load(name) for name in names})
    for name in names:
        del sys.modules[name]


def loud_weights(bench: Any) -> dict[str, Any]:
    """Random weights with attention far from uniform, and norms that are not all one."""
    random = np.random.default_rng(4)
    weights = bench.runtime.random_weights(FACTS)
    return {
        name: (w * 2 if w.ndim == 2 else random.normal(1, 0.3, w.shape)).astype(np.float32)
        for name, w in weights.items()
    }


def test_both_comparisons_have_the_logits_of_the_fused_graph_at_every_step(bench: Any) -> None:
    weights = loud_weights(bench)
    tokenizer: Any = SimpleNamespace()
    fused = Engine(FACTS, build_graph(weights, FACTS).SerializeToString(), tokenizer)
    graphs = [
        bench.plain_graph.build_plain_graph(weights, FACTS).SerializeToString(),
        bench.traced_graph.build_traced_graph(weights, FACTS),
    ]
    others = [bench.plain_graph.PlainEngine(FACTS, graph) for graph in graphs]
    ids = np.random.default_rng(5).integers(0, FACTS.vocab_size, 32).tolist()
    for _ in range(2):  # the second time after a reset
        for model in (fused, *others):
            model.reset()
        for chunk in (ids[:9], ids[9:14], *([i] for i in ids[14:])):
            ours = fused.append(chunk)
            assert ours.std() > 1
            for other in others:
                np.testing.assert_allclose(other.append(chunk), ours, rtol=1e-4, atol=1e-4)


def test_the_plain_graph_uses_standard_operators_only(bench: Any) -> None:
    graph = bench.plain_graph.build_plain_graph(loud_weights(bench), FACTS)
    assert {node.domain for node in graph.graph.node} == {""}
    kinds = {node.op_type for node in graph.graph.node}
    assert {"Softmax", "Concat", "Sigmoid", "ReduceMean"} <= kinds
    assert not kinds & {"Attention", "RMSNormalization", "RotaryEmbedding"}


def test_speed_figures_come_from_medians_of_the_rounds(bench: Any) -> None:
    ours, theirs = np.full((5, 96), 10.0), np.full((5, 96), 30.0)
    alone = np.full((5, 96), 10.0)
    alone[:, 64:] = 14.0  # longest contexts
    alone[:, 29:32] = 12.0  # 3 of 32 are over the p95 of their contexts
    for part in (ours, alone):
        part[0] = 1000.0  # one disturbed round
    made = bench.runtime._speed_figures(ours, theirs, alone, "m", ">= 2.9")
    figures = {f.name: f.value for f in made}
    assert figures["m: next token"] == 10.0
    assert figures["m: speed against the plain graph"] == 3.0
    assert figures["m: the same, fastest round at each position"] == 3.0
    assert figures["m: longest context against 16"] == 1.4
    assert figures["m: p95 against median, worst context"] == 1.2


@pytest.mark.long
def test_a_worker_tells_its_memory_as_it_generates_past_a_full_context(
    bench: Any, tiny_bundle: Path
) -> None:
    marks = bench.runtime.worker("generate", tiny_bundle, 120, 60)
    assert [mark["tokens"] for mark in marks] == [60, 120]
    for mark in marks:
        assert 10e6 < mark["anonymous"] < mark["rss"] < mark["peak"] < 200e6


@pytest.mark.long
def test_the_long_bundle_has_the_same_sizes_and_a_longer_context(
    bench: Any, tiny_bundle: Path, tmp_path: Path
) -> None:
    source = Bundle(tiny_bundle)
    engine = Engine.load(bench.runtime.long_bundle(source, tmp_path / "long", "float32"))
    assert engine.facts.max_seq_length == 512
    assert engine.facts.width == source.manifest.model.width
    assert np.isfinite(engine.append([1] * 500)).all()
    times = bench.runtime.token_times(engine, 40)
    assert len(times) == 40 - 16
    assert all(clock > 0 and busy >= 0 for clock, busy in times)
