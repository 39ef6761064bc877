"""What is served is what gives a row the same bits in any company: in whole tiles where that mends
it. Processors of several kinds are in tests/docker/test_company.py; here they are acted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures import shapes
from tests.serve.test_http import refused
from tinytx.bundle import Bundle, Precision
from tinytx.errors import BundleError
from tinytx.runtime.batch import Batch
from tinytx.serve import startup

Act = Callable[..., None]


@pytest.fixture(scope="module")
def held(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("shape") / "bundle"
    return Bundle(shapes.make(tiny_bundle, folder, shapes.SHAPES["1x96"]))


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Act:
    """Act one whose products of some graphs have other bits in a tile that is not full."""

    def act(tile: int, *graphs: str) -> None:
        step, run = Batch.step, Batch._run

        def stepped(self: Batch, tokens: Any) -> Any:
            self.__dict__["ran"] = -(-len(tokens) // self.tile) * self.tile
            return step(self, tokens)

        def ran(self: Batch, found: Any) -> None:
            run(self, found)
            rows = self.__dict__.pop("ran", 0)
            if any(graph in self._name for graph in graphs):
                whole = rows - rows % tile
                self._logits[whole:rows] *= np.float32(1 + 1e-6)

        monkeypatch.setattr(Batch, "step", stepped)
        monkeypatch.setattr(Batch, "_run", ran)

    return act


def tiles(trials: list[startup.Trial]) -> dict[Precision, int]:
    return {trial.precision: trial.tile for trial in trials}


@pytest.mark.parametrize("tile", [2, 4, 8])
def test_whole_tiles_are_run_where_others_have_other_bits(
    held: Bundle, processor: Act, tile: int
) -> None:
    processor(tile, "int8", "int4")
    precision, batch, trials = startup.choose(held, 18, "int8")
    assert (precision, batch.tile, batch.slots) == ("int8", tile, 18)
    assert startup.same_bits(batch)
    assert str(trials[0]).endswith(f", by {tile} at a time")


def test_rows_run_as_they_come_where_that_holds(held: Bundle) -> None:
    assert tiles(startup.choose(held, 16)[2])["float32"] == 1
    assert startup.choose(held, 16, "float32")[1].tile == 1


def test_a_precision_that_no_tile_mends_is_not_served(
    held: Bundle, processor: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(7, "int8", "int4")
    precision, _, trials = startup.choose(held, 16)
    assert precision == "float32"
    assert tiles(trials) == {"float32": 1, "int8": 0, "int4": 0}
    assert str(trials[1]).endswith(", bits depend on company")
    with pytest.raises(BundleError, match="would depend on who else is served") as caught:
        startup.choose(held, 16, "int4")
    assert "float32" in caught.value.remedy


def test_nothing_but_float32_is_tried_where_quantised_products_are_slow(
    held: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinytx.runtime.processor.has_int8_products", lambda *_: False)
    assert list(tiles(startup.choose(held, 4)[2])) == ["float32"]
    assert startup.choose(held, 4, "int8")[0] == "int8"


def test_who_is_served_alone_has_no_company(held: Bundle, processor: Act) -> None:
    processor(7, "int8", "int4", "onnx")
    assert set(tiles(startup.choose(held, 1)[2]).values()) == {1}


@pytest.mark.parametrize("spoiled", [1, 3, 6, 11, 15])
def test_a_difference_in_a_late_row_or_a_late_step_is_seen(held: Bundle, spoiled: int) -> None:
    class Spoiled(Batch):
        def step(self, tokens: Any) -> Any:
            found = super().step(tokens)
            if len(tokens) > spoiled and self._positions[:1].max() > 5:
                found[spoiled, 7] += np.float32(1e-5)
            return found

    graph = held.read_file("model.onnx")
    assert startup.same_bits(Batch(held.manifest.model, graph, 16))
    assert not startup.same_bits(Spoiled(held.manifest.model, graph, 16))


def test_a_precision_that_the_bundle_lacks_is_refused_in_one_sentence(tiny_bundle: Path) -> None:
    code, said = refused(str(tiny_bundle), "--precision", "int8")
    assert code == 64 and "this bundle holds no int8 model" in said[0]
