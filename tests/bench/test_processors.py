"""The measurement behind the tolerances of `tinytx verify`: its figures are right."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tinytx.bundle import Bundle, GoldenCase
from tinytx.runtime import golden

BENCH = Path(__file__).parents[2] / "bench"
FIGURES = {"raw", "centred", "probability", "last", "share", "last_share", "logit", "behind"}


@pytest.fixture(scope="module")
def processors() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        import processors

        yield processors
    for name in ("processors", "processors_worker"):
        sys.modules.pop(name)


def test_a_common_shift_is_raw_and_neither_centred_nor_a_probability(
    processors: ModuleType,
) -> None:
    here = np.random.default_rng(1).normal(size=(3, 64))
    cases = [GoldenCase(prompt="a", tokens=[0, 0]), GoldenCase(prompt="b", tokens=[0])]
    found = processors.compare(cases, "int8", here, here + 0.25)
    assert found["raw"] == found["raw_last"] == pytest.approx(0.25)
    for name in ("centred", "probability", "last", "logit", "behind", "turned"):
        assert found[name] == pytest.approx(0, abs=1e-12)


def test_what_is_centred_is_the_distance_that_verify_judges_at_the_last_steps(
    processors: ModuleType,
) -> None:
    source = np.random.default_rng(2)
    here = source.normal(size=(5, 70))
    there = here + source.normal(size=(5, 70)) + 3.0
    cases = [GoldenCase(prompt="a", tokens=[0] * 2), GoldenCase(prompt="b", tokens=[0] * 3)]
    judged = [
        golden.distance(golden.fingerprint(there[row]), golden.fingerprint(here[row]), 70)
        for row in (1, 4)
    ]
    found = processors.compare(cases, "int8", here, there)
    assert found["last"] == pytest.approx(max(judged), abs=2e-5)
    assert found["centred"] >= found["last"]
    recorded = [golden.fingerprint(here[row]) for row in (1, 4)]
    kept = [GoldenCase(prompt="", tokens=[0], logits=numbers) for numbers in recorded]
    limit = golden.allowed(kept, "int8", 70) - golden.FINGERPRINT_TOLERANCE
    spread = limit / golden.SPREAD_SHARES["int8"]
    assert found["last_share"] == pytest.approx(found["last"] / spread, abs=1e-4)


def test_a_token_counts_as_turned_only_where_the_choice_was_clear(processors: ModuleType) -> None:
    here = np.zeros((2, 40))
    here[:, 0], here[0, 1], here[1, 1] = 3.0, 2.0, 2.9
    there = here.copy()
    there[:, 1] += 2.0
    found = processors.compare([GoldenCase(prompt="a", tokens=[0, 0])], "int8", here, there)
    assert found["turned"] == 1
    assert found["behind"] == pytest.approx(1.9)


@pytest.mark.long
def test_another_python_of_this_machine_agrees_to_the_last_bit_and_both_tables_are_printed(
    tiny_bundle: Path,
) -> None:
    command = [sys.executable, str(BENCH / "processors.py")]
    measure = [*command, str(tiny_bundle), "--on", f"same={sys.executable}", "--json"]
    rows = json.loads(subprocess.run(measure, check=True, stdout=subprocess.PIPE).stdout)
    (row,) = rows
    assert {row[name] for name in FIGURES} == {0}
    assert row["steps"] == sum(len(case.tokens) for case in Bundle(tiny_bundle).golden().cases)
    stored = tiny_bundle.parents[1] / "rows.json"
    stored.write_text(json.dumps(rows))
    shown = [*command, "--rows", str(stored)]
    out = subprocess.run(shown, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "| float32 | 2x32 | 1 | 0, 0 |" in out
    assert f"| float32 | same | 1 | {row['steps']} | 0 |" in out
