import json
from pathlib import Path

import msgspec
import pytest

from tinytx.cache import cache_folder
from tinytx.config import Settings
from tinytx.fit import machine
from tinytx.fit.machine import Rates, keep, measure_rates, rates_of_this_machine, recalled
from tinytx.train.others import Others

FACTS = {"processor": "a fast one", "threads": 2}


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TINYTX_CACHE_DIR", str(tmp_path))


def test_rates_are_found_again_for_the_same_machine_alone(rates: Rates) -> None:
    keep(FACTS, rates)
    assert recalled(FACTS) == rates
    assert recalled({**FACTS, "threads": 1}) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"schema": 1}', b"\xff" * 100, b"[" * 50_000],
)
def test_a_damaged_file_is_as_good_as_none(rates: Rates, content: bytes) -> None:
    keep(FACTS, rates)
    (file,) = (cache_folder() / "fit").iterdir()
    file.write_bytes(content)
    assert recalled(FACTS) is None


def test_a_rate_that_cannot_be_divided_by_is_not_taken(rates: Rates) -> None:
    keep(FACTS, msgspec.structs.replace(rates, stream=0.0))
    assert recalled(FACTS) is None
    (file,) = (cache_folder() / "fit").iterdir()
    document = json.loads(file.read_text())
    document["rates"] |= {"stream": 1e9, "products": {}}
    file.write_text(json.dumps(document))
    assert recalled(FACTS) is None


def test_a_cache_that_cannot_be_written_is_done_without(
    rates: Rates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYTX_CACHE_DIR", str(tmp_path / "file"))
    keep(FACTS, rates)
    assert recalled(FACTS) is None


@pytest.mark.parametrize("busy", [0.0, 1.5])
def test_what_was_measured_beside_other_programs_is_not_kept(
    rates: Rates, busy: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def measure(precision: str, threads: int) -> Rates:
        measured.append(threads)
        return rates

    monkeypatch.setattr(machine, "measure_rates", measure)
    monkeypatch.setattr(machine, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(Others, "look", lambda _: busy)
    settings = msgspec.structs.replace(
        Settings(), training=msgspec.structs.replace(Settings().training, threads=1)
    )
    found = [rates_of_this_machine(settings) for _ in range(2)]
    assert len(measured) == (1 if not busy else 2)
    assert [one.busy for one in found] == [busy, busy]


@pytest.mark.long
def test_every_rate_of_this_machine_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ONCE", 0.001)
    found = measure_rates("float32", 1)
    assert machine._usable(found)
    assert set(found.products) == set(machine.WIDTHS)
    assert found.precision == "float32"
