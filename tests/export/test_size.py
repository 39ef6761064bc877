"""The counted size of a graph against real exports."""

import pytest

from tinytx.bundle import Precision
from tinytx.config import ModelSettings, Settings, TokenizerSettings
from tinytx.export.exporter import model_facts
from tinytx.export.graph import build_graph
from tinytx.export.quantize import RECIPES, QuantisedBuilder
from tinytx.export.size import graph_bytes
from tinytx.train.model import Transformer

SHAPES = {
    "tables, a width of whole blocks": (
        1_024,
        ModelSettings(layers=3, width=64, heads=2, hidden=176, pair_rows=2_000),
    ),
    "no tables, a width that is padded": (
        512,
        ModelSettings(layers=2, width=80, heads=1, hidden=160, block_tables=False, pair_rows=700),
    ),
    "no pairs": (600, ModelSettings(layers=1, width=48, heads=1, hidden=96, pair_rows=0)),
}


@pytest.mark.parametrize("precision", ["float32", "int8", "int4"])
@pytest.mark.parametrize("name", list(SHAPES))
def test_the_counted_size_is_that_of_the_graph_to_within_one_percent(
    name: str, precision: Precision
) -> None:
    vocabulary, model = SHAPES[name]
    settings = Settings(model=model, tokenizer=TokenizerSettings(vocab_size=vocabulary))
    facts = model_facts(settings)
    weights = {k: v.numpy() for k, v in Transformer(model, vocabulary).state_dict().items()}
    builder = None if precision == "float32" else QuantisedBuilder(facts, RECIPES[precision])
    made = len(build_graph(weights, facts, builder).SerializeToString())
    assert graph_bytes(model, vocabulary, precision) == pytest.approx(made, rel=0.01)
