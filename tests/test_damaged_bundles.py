"""Thousands of damaged bundles: each is refused with exit 9 and one sentence, quickly and small."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DAMAGED, SEALED = 5_000, 60


def test_thousands_of_damaged_bundles_each_end_with_9_and_one_sentence_within_2_s_and_200_mb(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    """The limits are the issue's own: processor seconds of one bundle, peak of one process."""
    script = ROOT / "tests" / "fixtures" / "damage.py"
    result = subprocess.run(
        [sys.executable, script, tiny_bundle, tmp_path, str(DAMAGED), str(SEALED)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["wrong"] == []
    assert sum(told["words"].values()) == DAMAGED
    assert len(told["words"]) >= 9, told["words"]  # every kind of damage was met
    assert set(told["ends"]) <= {"refused", "whole"}, told["ends"]
    assert sum(told["ends"].values()) == SEALED
    assert told["ends"]["refused"] > SEALED / 2
    assert told["seconds"] < 2.0
    assert told["bytes"] < 200_000_000
