"""Two bundles in turns: the order, what goes wrong on one side, and a planted slowdown."""

import runpy
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tinytx.errors import BundleError
from tinytx.measure.compare.comparing import compare_bundles
from tinytx.measure.compare.findings import Comparison, Finding
from tinytx.measure.compare.interleave import Interleaved, InterleaveSettings, interleave
from tinytx.measure.policy.scenarios import NextToken, Scenarios
from tinytx.measure.record.protocol import Answer
from tinytx.measure.run.bench import Progress

Tree = Callable[..., Path]

FAKE = """
import json, sys
task = json.load(sys.stdin)
with open(LOG, "a") as log:
    log.write(f"{SIDE}{task['length']} ")
rest = dict(rss=RSS, anonymous=1, proportional=1, swap=0)
memory = dict(interpreter=1, load=1, prompt=3, decode=4, at_rest=rest, separate=True)
answer = dict(samples_ns=[NS] * task["samples"])
if task["kind"] == "memory":
    answer["memory"] = memory
BODY
print(json.dumps(answer))
"""


def fake(
    log: Path, side: str, *, ns: int = 1_000_000, rss: int = 80_000_000, body: str = ""
) -> tuple[str, ...]:
    words = {"LOG": repr(str(log)), "SIDE": repr(side), "NS": ns, "RSS": rss, "BODY": body}
    code = FAKE
    for name, value in words.items():
        code = code.replace(name, str(value))
    return (sys.executable, "-S", "-c", code)


@pytest.fixture
def run(tiny_bundle: Path, tmp_path: Path, tree: Tree, quick: Scenarios) -> Callable[..., Any]:
    """Interleaves the tiny bundle with itself, with workers that pretend."""

    def interleaved(
        b: dict[str, Any] | None = None, progress: Callable[[Progress], None] | None = None,
        **settings: Any,
    ) -> Interleaved:  # fmt: skip
        log = tmp_path / "log"
        chosen = {
            "pairs": 2,
            "patience": 20.0,
            "scenarios": quick,
            "root": tree("vm"),
            "workers": (fake(log, "A"), fake(log, "B", **(b or {}))),
            **settings,
        }
        return interleave(tiny_bundle, tiny_bundle, InterleaveSettings(**chosen), progress)

    return interleaved


def test_processes_run_in_turns_one_at_a_time(run: Callable[..., Any], tmp_path: Path) -> None:
    told: list[Progress] = []
    done = run(pairs=4, kinds=("next_token",), progress=told.append)
    assert (tmp_path / "log").read_text() == (
        "A16 B16 A48 B48 B16 A16 B48 A48 A16 B16 A48 B48 B16 A16 B48 A48 "
    )
    assert [len(s.pairs) for s in done.scenarios] == [4, 4]
    assert [p.done for p in told] == [*range(8), 8]
    assert all(p.total == 8 for p in told)


def test_a_pair_holds_as_answer_first_in_whatever_order_they_ran(run: Callable[..., Any]) -> None:
    done = run(b={"ns": 2_000_000}, kinds=("next_token",))
    for scenario in done.scenarios:
        assert [(a.samples_ns[0], b.samples_ns[0]) for a, b in scenario.pairs] == [
            (1_000_000, 2_000_000)
        ] * 2


def test_two_pairs_prove_nothing_and_the_warning_says_how_many_would(
    run: Callable[..., Any],
) -> None:
    comparison: Comparison = compare_bundles(run(b={"ns": 2_000_000}))
    assert {f.finding for f in comparison.figures} == {Finding.NONE, Finding.SAME}
    assert "2 pairs can prove nothing: 11 are needed" in comparison.warnings[0]
    assert comparison.overall == "Nothing can be proven by so few processes."


def test_when_the_time_is_up_the_pair_under_way_is_the_last(run: Callable[..., Any]) -> None:
    done = run(pairs=500, kinds=("next_token",), time_limit=0.01)
    assert done.done == 1
    assert [len(s.pairs) for s in done.scenarios] == [1, 1]
    assert "1 pair can prove nothing" in compare_bundles(done).warnings[0]


def test_a_worker_that_crashes_ends_its_scenario_and_no_other(run: Callable[..., Any]) -> None:
    crash = "if task['length'] == 16: raise ValueError('boom')"
    figures = compare_bundles(run(b={"body": crash}, kinds=("next_token",))).figures
    rows = {f.name: f for f in figures}
    assert rows["next token at 16, p95"].finding is Finding.UNMEASURED
    assert "B, next token at 16: its worker process ended with code 1" in (
        rows["next token at 16, p95"].reason
    )
    assert rows["next token at 48, p95"].finding is Finding.NONE


def test_workers_that_hang_do_not_hang_the_comparison(run: Callable[..., Any]) -> None:
    hang = "import time; time.sleep(60)"
    done = run(b={"body": hang}, patience=0.5, time_limit=0.5)
    assert "hung" in done.scenarios[0].trouble and "hung" in done.scenarios[1].trouble
    assert {s.trouble for s in done.scenarios[2:]} == {"not run: two other scenarios hung"}


def test_a_disturbed_machine_is_a_warning_since_both_sides_share_it(
    run: Callable[..., Any],
) -> None:
    comparison = compare_bundles(run(b={"body": "answer['waited'] = 0.5"}, kinds=("next_token",)))
    assert comparison.invalid == {}
    assert "4 of 8 processes had to wait for a processor" in comparison.warnings[1]


def test_under_emulation_latency_proves_nothing(
    run: Callable[..., Any], tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    comparison = compare_bundles(run(root=tree("qemu"), kinds=("next_token",)))
    assert "is emulated" in comparison.invalid["latency"][0]
    assert {f.finding for f in comparison.figures[:-2]} == {Finding.INVALID}


def test_too_few_steps_in_a_process_are_warned_of(run: Callable[..., Any]) -> None:
    few = run(b={"body": "answer['samples_ns'] = [5] * 7"}, kinds=("next_token",))
    told = "a process measured 7 steps only: a longer --time-limit helps"
    assert told in compare_bundles(few).warnings


def test_medians_that_go_the_other_way_than_the_pairs_are_pointed_out(
    run: Callable[..., Any],
) -> None:
    """The median of A is 20 ms and of B 21, yet B is the faster one in most pairs."""
    measured = run(kinds=("next_token",))
    for scenario in measured.scenarios:
        scenario.pairs[:] = [
            (Answer(samples_ns=[a * 1_000_000] * 100), Answer(samples_ns=[b * 1_000_000] * 100))
            for a, b in ((18, 21), (20, 17), (40, 30))
        ]
    comparison = compare_bundles(measured)
    (told,) = [one for one in comparison.warnings if "the medians of A and B go one way" in one]
    assert told.endswith("the change is what counts, it is taken pair by pair")
    figure = comparison.figures[0]
    assert figure.a is not None and figure.b is not None and figure.difference is not None
    assert figure.a.amount < figure.b.amount
    assert figure.difference.change < 0.0


def test_more_time_is_not_advised_where_the_scenarios_ask_for_so_few_steps(
    run: Callable[..., Any],
) -> None:
    few = run(kinds=("next_token",), b={"body": "answer['samples_ns'] = [5] * 7"})
    token = msgspec.structs.replace(few.policy.next_token, first_look=7)
    asked = replace(few, policy=msgspec.structs.replace(few.policy, next_token=token))
    told = "a process measured 7 steps only: the scenarios ask for no more"
    assert told in compare_bundles(asked).warnings


def test_a_bundle_that_changes_meanwhile_is_refused(
    tiny_bundle: Path, tmp_path: Path, tree: Tree, quick: Scenarios
) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    body = f"open({str(copy / 'golden.json')!r}, 'ab').write(b'x')"
    workers = (fake(tmp_path / "log", "A"), fake(tmp_path / "log", "B", body=body))
    settings = InterleaveSettings(pairs=1, scenarios=quick, root=tree("vm"), workers=workers)
    with pytest.raises(BundleError, match="changed while it was measured"):
        interleave(tiny_bundle, copy, settings)


def test_a_damaged_bundle_is_refused_before_anything_is_measured(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (copy / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="is damaged"):
        interleave(tiny_bundle, copy)


@pytest.mark.long
def test_a_real_engine_that_burns_twice_the_time_is_found_to_be_slower(tiny_bundle: Path) -> None:
    """With 5 per cent the same script takes minutes, and a machine that is not crowded."""
    script = runpy.run_path(str(Path(__file__).parents[3] / "bench" / "plant_slowdown.py"))
    settings = InterleaveSettings(
        pairs=10,
        kinds=("next_token",),
        scenarios=Scenarios(next_token=NextToken(contexts=("longest",))),
        workers=(script["slowed"](0.0), script["slowed"](1.0)),
    )
    comparison = compare_bundles(interleave(tiny_bundle, tiny_bundle, settings))
    assert "B is slower in next token at 48, p10 by " in comparison.overall
    assert not {f.finding for f in comparison.figures} & {Finding.FASTER, Finding.UNMEASURED}


def test_threads_and_precision_reach_the_worker(run: Callable[..., Any], tmp_path: Path) -> None:
    words = "f\"{task['threads']} {task['precision']}\""
    body = f"open({str(tmp_path / 'told')!r}, 'w').write({words})"
    done = run(b={"body": body}, threads=3, pairs=1, precision=("float32", "float32"))
    assert (tmp_path / "told").read_text() == "3 float32"
    assert msgspec.to_builtins(done.policy)["processes"]["threads"] == 3
