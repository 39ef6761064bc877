"""The device files, good and bad, and what a bench on one machine says about another."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tinytx.errors import UsageError
from tinytx.measure.machine.facts import Machine, observe
from tinytx.measure.policy.budgets import Budget, Quantity, Row, Verdict, load_budgets, policy_names
from tinytx.measure.policy.devices import Device, annotated, is_here, load_device, standing
from tinytx.measure.policy.scenarios import SECTIONS

Tree = Callable[..., Path]
BENCH = Path(__file__).parents[3] / "bench"
ROOT = BENCH.parent
NAMES = ["pi-3b-plus", "pi-4", "pi-5", "pi-zero-2w", "x86-1gb"]


def test_the_five_devices_are_there_and_say_what_they_are() -> None:
    assert policy_names("devices") == NAMES
    devices = {name: load_device(name) for name in NAMES}
    assert {n: (d.cores, d.memory_bytes >> 20, d.architecture) for n, d in devices.items()} == {
        "pi-3b-plus": (4, 1024, "aarch64"),
        "pi-4": (4, 1024, "aarch64"),
        "pi-5": (4, 1024, "aarch64"),
        "pi-zero-2w": (4, 512, "aarch64"),
        "x86-1gb": (2, 1024, "x86_64"),
    }
    assert str(devices["pi-5"]) == (
        "Raspberry Pi 5: 4 x Cortex-A76 at 2,400 MHz, 1,074 MB, aarch64 "
        "(asimd, fphp, asimdhp, asimddp), microSD card or NVMe"
    )
    assert all(device.expect for device in devices.values())


def test_an_installed_wheel_has_every_policy_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for path in BENCH.rglob("*.toml"):
        inside = path.relative_to(ROOT)
        assert any(inside.is_relative_to(folder) for folder in included), path


def test_the_readme_of_the_folder_names_every_key() -> None:
    text = (BENCH / "README.md").read_text()
    keys = [*Device.__struct_fields__, *SECTIONS]
    keys += [key for section in SECTIONS.values() for key in section.__struct_fields__]
    keys += [budget.name for budget in load_budgets()]
    assert [key for key in keys if f"`{key}`" not in text] == []


GOOD = (
    'schema = 1\ntitle = "Board"\nprocessor = "Core"\narchitecture = "aarch64"\ncores = 2\n'
    'clock_mhz = 900\nfeatures = ["asimd"]\nmemory_bytes = 500_000_000\nstorage = "flash"\n'
)


def test_a_file_of_ones_own_is_a_device(tmp_path: Path) -> None:
    (tmp_path / "board.toml").write_text(GOOD)
    assert load_device(str(tmp_path / "board.toml")).title == "Board"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("cores", "cors"), ["unknown key 'cors'", "did you mean 'cores'?"]),
        (("cores = 2", "cores = 0"), ["cores", ">= 1"]),
        (("cores = 2", "cores = 2\ncores = 3"), ["duplicate"]),
        (("500_000_000", "-1"), ["memory_bytes"]),
        (("500_000_000", '"1 GB"'), ["memory_bytes", "int"]),
        (('"asimd"', '"asimdd"'), ["unknown feature 'asimdd'", "did you mean 'asimd"]),
        (('storage = "flash"\n', ""), ["storage"]),
        (("schema = 1", "schema = 2"), ["schema must be 1, not 2"]),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_reason(
    tmp_path: Path, change: tuple[str, str], words: list[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(UsageError) as caught:
        load_device(str(path))
    for word in ["mine.toml", *words]:
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pi4", "no device is called 'pi4'; did you mean 'pi-4'?"),
        ("PI-ZERO", "did you mean 'pi-zero-2w'?"),
        ("toaster", "known are pi-3b-plus, pi-4, pi-5, pi-zero-2w, x86-1gb"),
        ("", "known are"),
        ("../budgets/stretch", "No such file"),
        ("none.toml", "cannot read none.toml"),
    ],
)
def test_an_unknown_device_is_answered_with_the_nearest_one(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_device(name)
    assert words in caught.value.message


PROMISE = load_budgets()


def on(tree: Tree, name: str, changes: dict[str, str] | None = None) -> Machine:
    architecture = "x86_64" if name == "vm" else "aarch64"
    return observe(tree(name, changes), architecture)


def test_a_machine_is_the_device_that_its_firmware_names(tree: Tree) -> None:
    pi4 = on(tree, "pi4")
    assert [name for name in NAMES if is_here(load_device(name), pi4)] == ["pi-4"]
    assert not any(is_here(load_device(name), on(tree, "vm")) for name in NAMES)
    found = standing(load_device("pi-4"), pi4, PROMISE, threads=1)
    assert (found.here, found.says, found.warnings) == (True, {}, [])


def test_an_emulated_board_is_not_the_device(tree: Tree) -> None:
    board = {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"}
    assert not is_here(load_device("pi-4"), on(tree, "qemu", board))


def test_a_foreign_latency_is_labelled_and_the_size_is_the_same(tree: Tree) -> None:
    found = standing(load_device("pi-4"), on(tree, "vm"), PROMISE, threads=1)
    assert found.says["next_token_p95"] == (
        "this is the latency of AMD EPYC, not of the Raspberry Pi 4 Model B"
    )
    assert found.says["model_size"] == "the size is the same on the Raspberry Pi 4 Model B"
    assert "aarch64 there, x86_64 here" in found.says["rss"]
    assert len(found.warnings) == 1
    assert "another instruction set runs on the Raspberry Pi 4" in found.warnings[0]


def test_memory_speaks_of_a_device_of_the_same_architecture(tree: Tree) -> None:
    found = standing(load_device("x86-1gb"), on(tree, "vm"), PROMISE, threads=3)
    assert "is about the same" in found.says["peak_memory"]
    assert found.warnings == [
        "the x86 box with 1 GB lacks avx, avx2, fma, which this processor has: slower code",
        "3 threads were used, the x86 box with 1 GB has 2 cores",
    ]


def test_a_budget_that_the_device_cannot_grant_is_said(tree: Tree) -> None:
    found = standing(load_device("pi-zero-2w"), on(tree, "pi4"), PROMISE, threads=1)
    (warning,) = found.warnings
    assert warning == (
        "the budget of 512 MB for peak memory is more than the Raspberry Pi Zero 2 W can spare: "
        "about 429 MB of its 537 MB"
    )


def test_the_rows_say_what_they_are_worth_and_keep_their_verdicts(tree: Tree) -> None:
    found = standing(load_device("pi-5"), on(tree, "vm"), PROMISE, threads=1)
    budget = Budget("next_token_p95", Quantity(250, "ms"))
    row = Row(budget=budget, verdict=Verdict.PASS, basis="worst of 9")
    (after,) = annotated([row], found)
    assert after.basis == "worst of 9; " + found.says["next_token_p95"]
    assert msgspec.structs.replace(after, basis=row.basis) == row
