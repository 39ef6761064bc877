"""Choices about arithmetic and compiler: what the user says wins."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tinytx import compiler
from tinytx.config import Settings
from tinytx.train import speed
from tinytx.train.others import Others

MakeSettings = Callable[..., Settings]
LONG = 10**12  # tokens


@pytest.fixture
def cxx(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    def installed(present: bool) -> None:
        monkeypatch.setattr(compiler, "problem", lambda: "" if present else "there is none")

    return installed


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_chosen_precision_is_kept_and_nothing_is_measured(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delattr(speed, "_product_seconds")
    assert speed.choose_precision(make_settings(training__precision=name)) is getattr(torch, name)


@pytest.mark.parametrize(
    ("float32", "bfloat16", "chosen"),
    [(1.0, 0.4, torch.bfloat16), (1.0, 0.95, torch.float32), (1.0, 3.0, torch.float32)],
)
def test_auto_takes_bfloat16_only_where_it_is_clearly_faster(
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    float32: float,
    bfloat16: float,
    chosen: torch.dtype,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("TINYTX_CACHE_DIR", str(tmp_path))
    seconds = {torch.float32: float32, torch.bfloat16: bfloat16}
    monkeypatch.setattr(speed, "_product_seconds", lambda *shape: seconds[shape[-1]])
    assert speed.choose_precision(make_settings(training__precision="auto")) is chosen


def test_a_product_takes_some_time_in_both_arithmetics() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert 0 < speed._product_seconds(8, 8, 8, dtype) < float("inf")


@pytest.mark.parametrize("present", [True, False])
def test_the_users_word_on_compiling_is_kept(
    make_settings: MakeSettings, cxx: Callable[[bool], None], present: bool
) -> None:
    cxx(present)
    for tokens in (1, LONG):
        assert speed.should_compile(make_settings(training__compile="on"), tokens)
        assert not speed.should_compile(make_settings(training__compile="off"), tokens)


def test_auto_compiles_long_runs_where_there_is_a_compiler(
    make_settings: MakeSettings, cxx: Callable[[bool], None]
) -> None:
    settings = make_settings(training__compile="auto")
    cxx(True)
    assert speed.should_compile(settings, LONG)
    assert not speed.should_compile(settings, 1_000)
    cxx(False)
    assert not speed.should_compile(settings, LONG)


def test_only_a_run_that_compiled_steps_would_pay_for_lacks_a_compiler(
    make_settings: MakeSettings, cxx: Callable[[bool], None]
) -> None:
    cxx(False)
    settings = make_settings(training__compile="auto")
    assert speed.lacks_compiler(settings, LONG) == "there is none"
    assert speed.lacks_compiler(settings, 1_000) == ""
    assert speed.lacks_compiler(make_settings(training__compile="off"), LONG) == ""
    cxx(True)
    assert speed.lacks_compiler(settings, LONG) == ""


def test_the_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= speed.usable_cores() <= len(os.sched_getaffinity(0))


def test_what_was_measured_under_a_quota_is_remembered_for_that_quota_only(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TINYTX_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(speed, "usable_cores", lambda: 8)
    measured: list[int] = []
    monkeypatch.setattr(speed, "_product_seconds", lambda *_: measured.append(1) or 1.0)
    counts = []
    for quota in ("", "0.50", "", "0.50", "7.50"):
        monkeypatch.setattr(speed, "quota_name", lambda quota=quota: quota)
        speed.choose_threads(make_settings(training__threads=0))
        counts.append(len(measured))
    assert counts == [2, 4, 4, 4, 6]


def test_what_was_measured_with_fewer_instructions_is_remembered_for_those_only(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TINYTX_CACHE_DIR", str(tmp_path))
    for name in speed.INSTRUCTIONS:
        monkeypatch.delenv(name, raising=False)
    found = []
    for held, faster in (("", 0.1), ("AVX2", 1.0), ("", 1.0), ("avx2", 0.1)):
        if held:
            monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", held)
        else:
            monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
        monkeypatch.setattr(
            speed,
            "_product_seconds",
            lambda *shape, faster=faster: faster if shape[-1] is torch.bfloat16 else 1.0,
        )
        found.append(speed.choose_precision(make_settings(training__precision="auto")))
    assert found == [torch.bfloat16, torch.float32, torch.bfloat16, torch.float32]


@pytest.mark.parametrize(
    ("seconds", "chosen"), [({8: 1.0, 4: 0.97}, 8), ({8: 1.0, 4: 0.9}, 4), ({8: 1.0, 4: 2.0}, 8)]
)
def test_threads_are_those_that_were_asked_for_or_what_is_measured_once(
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    seconds: dict[int, float],
    chosen: int,
) -> None:
    monkeypatch.setenv("TINYTX_CACHE_DIR", str(tmp_path))
    now: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", now.append)
    monkeypatch.setattr(speed, "usable_cores", lambda: 8)
    monkeypatch.setattr(speed, "_product_seconds", lambda *_: seconds[now[-1]])
    assert speed.set_up_torch(make_settings(training__threads=3)) == 3
    assert now == [3]
    for tried in ([3, 8, 4, chosen], [3, 8, 4, chosen, chosen]):
        assert speed.set_up_torch(make_settings(training__threads=0)) == chosen
        assert now == tried


def test_beside_a_busy_program_all_cores_are_used_and_nothing_is_kept(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TINYTX_CACHE_DIR", str(tmp_path))
    now: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", now.append)
    monkeypatch.setattr(speed, "usable_cores", lambda: 2)
    monkeypatch.setattr(speed, "_product_seconds", lambda *_: float(now[-1]))
    monkeypatch.setattr(Others, "look", lambda _: 1.0)
    assert speed.choose_threads(make_settings(training__threads=0)) == 2
    monkeypatch.setattr(Others, "look", lambda _: 0.0)
    assert speed.choose_threads(make_settings(training__threads=0)) == 1


def test_one_core_has_no_threads_to_choose(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "usable_cores", lambda: 1)
    monkeypatch.setattr(speed, "_product_seconds", lambda *_: pytest.fail("measured"))
    assert speed.choose_threads(make_settings(training__threads=0)) == 1


def test_a_run_that_goes_on_keeps_its_threads_on_the_same_cores_only(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(speed, "usable_cores", lambda: 6)
    monkeypatch.setattr(speed, "choose_threads", lambda _: 5)
    settings = make_settings(training__threads=0)
    machine = {"threads": 3, "cores": 6, "processes": 1}
    assert speed.set_up_torch(settings, machine) == 3
    assert speed.set_up_torch(settings, {**machine, "cores": 4}) == 5
    assert speed.set_up_torch(settings, {**machine, "processes": 2}) == 5
    assert speed.set_up_torch(settings, {}) == 5


def test_keeping_freed_memory_is_harmless_where_the_c_library_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Without:
        def __init__(self, name: object) -> None:
            pass

    speed.keep_freed_memory()
    monkeypatch.setattr(speed.ctypes, "CDLL", Without)
    speed.keep_freed_memory()


def test_the_machine_is_described_in_plain_values() -> None:
    facts = speed.machine_facts(2)
    assert facts["threads"] == 2
    assert all(isinstance(value, (str, int)) and value != "" for value in facts.values())
