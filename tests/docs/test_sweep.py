"""What docs/sweep.md shows is what today's model gives: its command, its shapes, its last line."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tinytx.cli.main import run
from tinytx.config import MAX_PARAMETERS, load_settings
from tinytx.sweep.plan import Plan

PAGE = Path(__file__).parents[2] / "docs" / "sweep.md"
REAL = PAGE.read_text("utf-8").partition("## A real one")[2]
NUMBER = r"([\d.,]+(?:e-?\d+)?)"


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    """What the page's command asks for; nothing is trained."""
    caught: list[Plan] = []

    def note(plan: Plan, *_: Any) -> None:
        caught.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr("tinytx.sweep.search.run_sweep", note)
    command = REAL.partition("    tinytx sweep")[2].partition("\n\n")[0].replace("\\\n", " ")
    assert run(["sweep", *shlex.split(command), "--output-dir", str(tmp_path / "sweep")]) == 130
    return caught[0]


def test_the_parameters_of_the_trials_shown_are_those_of_the_model_today(plan: Plan) -> None:
    text = re.sub(r"\n {8}(?=\S)", " ", REAL)
    shown = re.findall(
        rf"trial \d+: model.layers=(\d+) model.width=(\d+) training.learning_rate={NUMBER}, "
        rf".*?{NUMBER} parameters",
        text,
    )
    assert len(shown) >= 3
    assert any(width == "640" for _, width, *_ in shown)
    for layers, width, rate, told in shown:
        params = {
            "model.layers": int(layers),
            "model.width": int(width),
            "training.learning_rate": float(rate),
        }
        parameters = plan.settings_with(params).parameters
        assert parameters == int(told.replace(",", ""))
        assert (parameters > MAX_PARAMETERS) == (width == "640")


def test_the_line_that_trains_in_full_is_a_command_of_today() -> None:
    (line,) = re.findall(r"in full: tinytx train ((?:.|\n {8})+)", REAL)
    words = shlex.split(line.replace("\n", " "))
    assert words[:2] == ["--output-dir", "sweep/full"]
    assert words[-2:] == ["--preset", "balanced"]
    assert set(words[2:-2:2]) == {"--set"}
    settings = load_settings(assignments=words[3:-2:2])
    assert settings.corpus.train_bytes == 200_000
    assert settings.parameters <= MAX_PARAMETERS
