"""One place says how a missing package is installed, and what it says works."""

import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx import packages
from tinytx.packages import REQUIREMENTS, TORCH_ON_ARM, how_to_install, requirement

ROOT = Path(__file__).parents[1]
TOOLS = {
    "hypothesis", "mypy", "openai", "pip-audit", "pytest", "pytest-xdist", "ruff", "zensical",
    "zizmor",
}  # fmt: skip


def test_the_requirements_are_those_of_the_project_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = list(project["dependencies"])
    for lines in project["optional-dependencies"].values():
        asked += lines
    ours = {line.split(";")[0].strip() for line in asked if not line.startswith("tinytx[")}
    assert {line for line in ours if re.split("[=>]", line)[0] not in TOOLS} == {
        *REQUIREMENTS.values(),
        TORCH_ON_ARM,
    }


def test_nothing_advises_to_take_this_project_from_the_index_where_it_is_not() -> None:
    listed = [
        "README.md",
        "compose.yaml",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.rglob("tinytx/**/*.py"),
    ]
    listed += [*ROOT.glob("bench/*.py"), *ROOT.glob("docker/*")]
    texts = {path: (ROOT / path).read_text() for path in listed if (ROOT / path).is_file()}
    assert len(texts) > 100
    wrong = re.compile(r"""pip install (?:[^\n&;]*[ '"])?tinytx(?:[\[\s'"`]|$)""")
    ours = ROOT / "tinytx" / "packages.py"
    assert [path for path, text in texts.items() if wrong.search(text) and path != ours] == []
    assert wrong.search("pip install 'tinytx[train]'")
    assert wrong.search("`pip install tinytx`")


def test_whoever_reads_of_pip_reads_of_a_virtual_environment_too() -> None:
    """Debian's pip, a Raspberry Pi's for example, installs nothing elsewhere (PEP 668)."""
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    texts = {page.relative_to(ROOT).as_posix(): page.read_text() for page in pages}
    history = re.compile("docs/(log|decisions)/")  # what was done, not what is to be done
    of_pip = {
        name: text
        for name, text in texts.items()
        if re.search(r"pip.? install", text) and not history.match(name)
    }
    assert {"README.md", "docs/contributing.md", "docs/raspberry-pi.md"} <= of_pip.keys()
    wanted = re.compile("venv|virtual environment")
    assert [name for name, text in of_pip.items() if not wanted.search(text)] == []


def test_pip_takes_the_command_word_by_word() -> None:
    command = how_to_install("numpy", "msgspec")
    assert command.endswith(" -m pip install 'numpy>=1.26' 'msgspec>=0.19'")
    ended = subprocess.run(
        f"{command} --dry-run --no-index --quiet", shell=True, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr  # both are there already
    assert " --force-reinstall " in how_to_install("numpy", again=True)


@pytest.mark.parametrize(
    ("machine", "ending"),
    [
        ("x86_64", f"pip install {packages.CPU_BUILDS} torch==2.13.0 'onnx>=1.18'"),
        ("aarch64", "pip install torch==2.8.0 'onnx>=1.18'"),
    ],
)
def test_torch_is_the_build_for_this_platform_without_cuda(
    monkeypatch: pytest.MonkeyPatch, machine: str, ending: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(sys, "platform", "linux")
    assert how_to_install("torch", "onnx").endswith(ending)


def test_an_unknown_package_is_its_own_requirement() -> None:
    assert requirement("tomli") == "tomli"


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[bool], None]:
    """This interpreter looks like Debian's own, or like an environment made with it."""

    def look(environment: bool) -> None:
        (tmp_path / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n")
        monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
        monkeypatch.setattr(sys, "base_prefix", "/usr")
        monkeypatch.setattr(sys, "prefix", "/home/pi/env" if environment else "/usr")

    return look


def test_where_the_system_refuses_pip_a_virtual_environment_is_advised(
    debian: Callable[[bool], None],
) -> None:
    debian(False)
    advice = how_to_install("docker")
    assert "make a virtual environment (python3 -m venv .venv)" in advice
    assert "docker>=7" in advice
    debian(True)
    assert how_to_install("docker").endswith(" -m pip install 'docker>=7'")


def test_where_there_is_no_pip_the_image_that_has_everything_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    assert "tinytx:train" in how_to_install("torch")


def test_the_interpreter_is_named_by_its_path_unless_python3_is_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert how_to_install("rich").startswith("python3 -m pip ")
    monkeypatch.setenv("PATH", "/usr/bin")
    assert how_to_install("rich").startswith(f"{sys.executable} -m pip ")
