"""Parts from stages, by hand; and on a real bundle against other ways of finding out."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tinytx.measure.memory.attribution import Attribution, Stage, attribute
from tinytx.measure.policy.scenarios import SamplingPolicy, WarmUp
from tinytx.measure.record.protocol import Answer, Task
from tinytx.measure.run import launch

MB = 1_000_000


def seen(name: str, anonymous: int, live: int | None, free: int = 0, **files: int) -> Stage:
    paths = {f"/{path}": size * MB for path, size in files.items()}
    rss = anonymous * MB + sum(paths.values())
    return Stage(name, rss, anonymous * MB, None if live is None else live * MB, free * MB, paths)


STAGES = [
    seen("interpreter", 5, 2, python=4),
    seen("numpy", 12, 6, python=5, numpy=3),
    seen("other libraries", 14, 7, python=5, numpy=4, spm=2),
    seen("onnxruntime", 24, 15, python=5, numpy=4, spm=2, ort=9),
    seen("tinytx", 26, 16, python=5, numpy=4, spm=2, ort=9),
    seen("before the tokenizer", 26, 16, python=5, numpy=4, spm=2, ort=9),
    seen("tokenizer", 27, 17, python=5, numpy=4, spm=2, ort=9),
    seen("before the model", 27, 16, python=5, numpy=4, spm=2, ort=9),
    seen("model", 37, 26, 1, python=5, numpy=4, spm=2, ort=18),
    seen("longest context", 41, 26, 4, python=6, numpy=4, spm=2, ort=20, late=1),
]


def parts(attribution: Attribution) -> dict[str, float]:
    return {part.name: part.bytes / MB for part in attribution.parts}


def test_every_part_is_counted_in_its_own_way() -> None:
    found = attribute(STAGES, weights=5 * MB, one_copy=2 * MB, cache=3 * MB, bundle="/model")
    assert parts(found) == {
        "interpreter": 5 + 6,  # its memory, and its file as it is at the end
        "numpy": 7 + 4,
        "other libraries": 2 + 2,
        "onnxruntime": 10 + 20 + 1,  # what was mapped with the model is its business
        "tinytx": 2,
        "tokenizer": 1,
        "weights": 5,
        "session": 10 - 1 - 5 - 3,
        "key/value cache": 3,
        "activations": 3,
        "freed while loading": 1,
        "not explained": 1,
    }
    assert found.total == 74 * MB == sum(part.bytes for part in found.parts)
    assert found.explained == pytest.approx(73 / 74)
    assert found.weight_copies == 2.5
    assert all(part.knob for part in found.parts)


def test_weights_that_are_a_mapped_file_are_weights_and_no_library() -> None:
    last = STAGES[-1]
    mapped = {**last.files, "/model/model.onnx": 6 * MB}
    stages = [*STAGES[:-1], msgspec.structs.replace(last, files=mapped, rss=last.rss + 6 * MB)]
    found = attribute(stages, weights=0, one_copy=6 * MB, cache=3 * MB, bundle="/model")
    assert (parts(found)["weights"], found.weight_copies) == (6, 1.0)
    assert parts(found)["onnxruntime"] == 31


def test_without_the_allocator_s_account_growth_of_memory_stands_for_it() -> None:
    stages = [msgspec.structs.replace(stage, live=None, free=0) for stage in STAGES]
    found = parts(attribute(stages, weights=5 * MB, one_copy=5 * MB, cache=3 * MB, bundle="/m"))
    assert (found["tokenizer"], found["session"], found["activations"]) == (1, 1, 4)


def test_more_weights_than_the_session_grew_by_show_as_a_shortfall_not_as_a_negative_part() -> None:
    found = parts(attribute(STAGES, weights=9 * MB, one_copy=MB, cache=3 * MB, bundle="/m"))
    assert found["session"] == 0
    assert found["not explained"] == 1 + 1 - 4


@pytest.fixture(scope="module")
def real(tiny_bundle: Path) -> Attribution:
    """What the real process says about the real, small bundle."""
    run = launch.run_worker(task(tiny_bundle, "attribution"), 60, launch.STAGED)
    assert run.answer is not None, run.trouble
    assert run.answer.attribution is not None
    return run.answer.attribution


def task(bundle: Path, kind: str) -> Task:
    return Task(
        bundle=str(bundle), kind=kind, length=1, threads=1, samples=1, block=1, seconds=1.0,
        sampling=SamplingPolicy(), warm_up=WarmUp(),
    )  # fmt: skip


def test_the_parts_explain_the_total_within_five_percent(real: Attribution) -> None:
    assert 0.95 < real.explained < 1.05
    assert sum(part.bytes for part in real.parts) == real.total
    assert all(part.bytes >= 0 for part in real.parts[:-1])
    assert real.stages[-1].rss == real.total


def test_the_total_is_that_of_the_worker_whose_memory_is_judged(
    real: Attribution, tiny_bundle: Path
) -> None:
    run = launch.run_worker(task(tiny_bundle, "memory"), 60)
    assert run.answer is not None and run.answer.memory is not None
    assert real.total == pytest.approx(run.answer.memory.at_rest.rss, rel=0.05)


SECOND = """
import json, sys
from pathlib import Path
import psutil
from tinytx.runtime.engine import Engine
from tinytx.measure.memory import smaps

def use(engine):
    longest = engine.facts.max_seq_length
    engine.append([1] * (longest - 1))
    engine.reset()
    for _ in range(longest):
        engine.append([1])

engines = [Engine.load(sys.argv[1])]
use(engines[0])
maps = psutil.Process().memory_maps(grouped=True)
library = sum(m.rss for m in maps if "onnxruntime" in m.path)
before = smaps.heap()
engines += [Engine.load(sys.argv[1]) for _ in range(4)]
after = smaps.heap()
print(json.dumps([library, before and (after.live - before.live) / 4]))
"""


def test_a_second_engine_takes_what_the_parts_of_the_first_say(
    real: Attribution, tiny_bundle: Path
) -> None:
    """By other means: whole engines instead of found weights, and psutil for the library."""
    child = subprocess.run(
        [sys.executable, "-c", SECOND, tiny_bundle], capture_output=True, check=True,
        env=launch.environment(),
    )  # fmt: skip
    library, engine = json.loads(child.stdout)
    sizes = {part.name: part.bytes for part in real.parts}
    files = sum(size for path, size in real.stages[-1].files.items() if "onnxruntime" in path)
    assert files == pytest.approx(library, rel=0.1)
    assert sizes["onnxruntime"] > files
    if engine is not None:
        own = sum(sizes[n] for n in ("tokenizer", "weights", "session", "key/value cache"))
        assert own == pytest.approx(engine, rel=0.15)


def test_the_cache_and_the_weights_are_those_of_the_manifest(
    real: Attribution, tiny_bundle: Path
) -> None:
    facts = json.loads((tiny_bundle / "manifest.json").read_text())["model"]
    sizes = {part.name: part.bytes for part in real.parts}
    per_token = 2 * facts["layers"] * facts["heads"] * facts["head_size"] * 4
    assert sizes["key/value cache"] == per_token * facts["max_seq_length"]
    assert real.weight_copies > 0.95
    assert sizes["weights"] >= 0.95 * facts["parameters"] * 4


def test_a_damaged_bundle_is_answered_with_its_error(tmp_path: Path) -> None:
    child = subprocess.run(
        launch.STAGED, input=msgspec.json.encode(task(tmp_path, "attribution")),
        capture_output=True, check=True, env=launch.environment(),
    )  # fmt: skip
    answer = msgspec.json.decode(child.stdout, type=Answer)
    assert answer.error_kind == "BundleError"
    assert "manifest.json is missing" in answer.error
