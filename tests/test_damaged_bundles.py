"""Thousands of damaged bundles: each is refused with exit 9 and one sentence, quickly and small."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DAMAGED, SEALED = 5_000, 60
COUNTS = (str(DAMAGED // 2), str(SEALED // 2))  # of each of two processes


@pytest.mark.long
def test_thousands_of_damaged_bundles_each_end_with_9_and_one_sentence_within_2_s_and_200_mb(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    """The limits are the issue's own: processor seconds of one bundle, peak of one process."""
    script = ROOT / "tests" / "fixtures" / "damage.py"
    halves = [  # side by side, with other damage each
        subprocess.Popen(
            [sys.executable, script, tiny_bundle, tmp_path / seed, *COUNTS, seed],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    outputs = [half.communicate(timeout=170) for half in halves]
    assert [half.returncode for half in halves] == [0, 0], outputs
    tellings = [json.loads(out) for out, _ in outputs]
    words = sum((Counter(told["words"]) for told in tellings), Counter[str]())
    ends = sum((Counter(told["ends"]) for told in tellings), Counter[str]())
    assert [told["wrong"] for told in tellings] == [[], []]
    assert words.total() == DAMAGED
    assert len(words) >= 9, words  # every kind of damage was met
    assert set(ends) <= {"refused", "whole"}, ends
    assert ends.total() == SEALED
    assert ends["refused"] > SEALED / 2
    assert max(told["seconds"] for told in tellings) < 2.0
    assert max(told["bytes"] for told in tellings) < 200_000_000
