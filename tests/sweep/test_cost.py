"""Predicted figures are those of the real graph."""

from pathlib import Path

from tinytx.bundle import Bundle
from tinytx.config import settings_from
from tinytx.sweep.cost import CostModel, shape_of
from tinytx.tokenizer import Tokenizer
from tinytx.workspace import Workspace


def test_the_predicted_size_is_that_of_the_bundle_of_this_shape(tiny_run: Path) -> None:
    import json

    space = Workspace(tiny_run)
    settings = settings_from(json.loads(space.metrics.read_bytes())["config"], "the fixture")
    model = CostModel()
    cost = model.predict(settings, Tokenizer.load(space.tokenizer))
    assert cost.bytes == Bundle(space.bundle).manifest.files["model.onnx"].size
    assert cost.next_token_ns > 0
    assert model.predict(settings, Tokenizer.load(space.tokenizer)) is cost


def test_a_shape_is_what_the_graph_depends_on(make_plan) -> None:
    plan = make_plan("model.layers=1,2", "training.dropout=0,0.1")
    one, other, deeper = (
        shape_of(plan.settings_with({"model.layers": layers, "training.dropout": dropout}))
        for layers, dropout in ((1, 0.0), (1, 0.1), (2, 0.0))
    )
    assert one == other != deeper
