"""Imports go one way, and what runs on the device needs neither torch nor onnx."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "onnx", "numpy", "onnxruntime", "rich", "sentencepiece", "msgspec", "psutil"}
HEAVY |= {"optuna", "sqlalchemy", "psycopg", "uvicorn", "starlette", "prometheus_client"}
HEAVY_PARTS = {"train", "export", "runtime", "measure", "sweep", "serve", "fit"}

# part: the parts of tinytx that it may import besides itself (the table of the design)
ALLOWED = {
    "errors": set(),
    "config": {"errors"},
    "presets": set(),
    "wording": set(),
    "packages": set(),
    "cache": set(),
    "cgroup": set(),
    "compiler": set(),
    "workspace": {"config", "errors"},
    "files": {"errors", "wording"},
    "provenance": set(),
    "bundle": {"files", "provenance", "config", "errors"},
    "tokenizer": {"config", "errors"},
    "pairs": set(),
    "runtime": {
        "tokenizer", "bundle", "cache", "cgroup", "pairs", "packages", "wording", "config",
        "errors",
    },
    "measure": {
        "runtime", "bundle", "tokenizer", "workspace", "cgroup", "compiler", "packages", "wording",
        "config", "errors",
    },
    "train": {
        "tokenizer", "workspace", "cache", "cgroup", "compiler", "pairs", "packages", "wording",
        "config", "errors",
    },
    "export": {
        "train", "runtime", "bundle", "provenance", "tokenizer", "workspace", "config", "errors",
    },
    "release": {
        "runtime", "measure", "bundle", "files", "workspace", "cgroup", "wording", "config",
        "errors",
    },
    "serve": {"release", "runtime", "bundle", "tokenizer", "wording", "config", "errors"},
    "remote": {"release", "bundle", "files", "wording", "config", "errors"},
    "checklist": {
        "remote", "release", "measure", "runtime", "bundle", "files", "wording", "errors",
    },
    "sweep": {
        "train", "export", "runtime", "measure", "tokenizer", "workspace", "wording", "config",
        "errors",
    },
    "fit": {
        "train", "export", "runtime", "measure", "bundle", "tokenizer", "workspace", "cache",
        "cgroup", "presets", "wording", "config", "errors",
    },
    "cli": {
        "checklist", "sweep", "fit", "train", "export", "runtime", "measure", "serve", "remote",
        "release", "bundle", "tokenizer", "workspace", "config",
        "errors", "presets", "wording", "packages",
    },
}  # fmt: skip
# part: what it may import beyond the standard library
FOREIGN = {
    "errors": set(),
    "presets": set(),
    "wording": set(),
    "packages": set(),
    "pairs": set(),
    "cache": set(),
    "cgroup": set(),
    "compiler": set(),
    "workspace": set(),
    "remote": {"msgspec"},
    "checklist": {"msgspec"},
    "release": {"msgspec"},
    "config": {"msgspec"},
    "files": {"msgspec"},
    "provenance": {"msgspec"},
    "bundle": {"msgspec"},
    "tokenizer": {"sentencepiece"},
    "runtime": {"numpy", "onnxruntime"},
    "measure": {"numpy", "psutil", "msgspec", "docker"},
    "train": {"torch", "numpy", "msgspec", "sentencepiece", "psutil"},
    "serve": {"uvicorn", "starlette", "prometheus_client", "numpy", "msgspec"},
    "export": {"torch", "onnx", "onnxruntime", "numpy", "msgspec"},
    "sweep": {"optuna", "sqlalchemy", "psycopg", "msgspec"},
    "fit": {"torch", "numpy", "msgspec"},
    "cli": {"click", "rich", "msgspec", "psutil"},
}
ROOMS = (
    *("stats", "memory", "machine", "policy", "limits", "record", "verdict", "run", "load"),
    *("compare", "pages", "doctor"),
)
"""The rooms of measure, each resting only on those before it."""
IMPORTED_LAZILY = {
    "cli/progress.py", "cli/tables.py", "cli/compare/table.py", "cli/generate/output.py",
    "cli/generate/request.py", "cli/deploy/output.py", "cli/sweep/output.py", "cli/sweep/table.py",
    "cli/serve/starting.py", "cli/plan/output.py",
}  # fmt: skip
"""Heavy modules of cli, most of which draw; they are imported inside functions only."""


def imports(tree: ast.AST, *, top_level: bool = False) -> Iterator[str]:
    """Dotted names that a module imports; what only a type checker sees is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "no relative imports"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        else:
            yield from imports(node, top_level=top_level)


def violations(path: str, source: str) -> list[str]:
    """What a module of tinytx imports against the rule; ``path`` is relative to the package."""
    part = path.split("/")[0].removesuffix(".py")
    tree = ast.parse(source)
    wrong = []
    for name in imports(tree):
        first, *rest = name.split(".")
        if first == "tinytx":
            other = rest[0] if rest else part  # "import tinytx" asks for the version or the path
            if other not in {part, "__version__"} | ALLOWED[part]:
                wrong.append(f"{path}: {name} is against the direction")
            elif rest and other == "measure" == part and not rests_on(path, rest):
                wrong.append(f"{path}: {name} is in a room above")
        elif first not in sys.stdlib_module_names and first not in FOREIGN[part]:
            wrong.append(f"{path}: {name} is not for {part}")
    if part == "cli" and path not in IMPORTED_LAZILY:
        for name in imports(tree, top_level=True):
            first, *rest = name.split(".")
            drawing = first == "tinytx" and IMPORTED_LAZILY & {
                f"{'/'.join(rest[:length])}.py" for length in (2, 3)
            }
            if first in HEAVY or drawing or (first == "tinytx" and HEAVY_PARTS & {*rest[:1]}):
                wrong.append(f"{path}: {name} belongs inside a function")
    return wrong


def rests_on(path: str, name: list[str]) -> bool:
    """Whether a module of measure may import ``measure.ROOM...``: its own room, or one below."""
    rooms = [path.split("/")[1].removesuffix(".py"), *name[1:2]]
    return len(rooms) == 2 and ROOMS.index(rooms[1]) <= ROOMS.index(rooms[0])


def modules() -> list[str]:
    package = ROOT / "tinytx"
    return sorted(
        str(p.relative_to(package)) for p in package.rglob("*.py") if p.name != "__init__.py"
    )


def test_every_part_of_tinytx_is_in_the_table() -> None:
    parts = {path.split("/")[0].removesuffix(".py") for path in modules()}
    assert parts <= set(ALLOWED)
    assert parts <= set(FOREIGN)
    rooms = {path.split("/")[1].removesuffix(".py") for path in modules() if "measure/" in path}
    assert rooms == set(ROOMS)
    assert len(modules()) > 40


@pytest.mark.parametrize("path", modules())
def test_imports_go_one_way(path: str) -> None:
    assert violations(path, (ROOT / "tinytx" / path).read_text()) == []


def test_packages_do_nothing_at_import_but_turn_telemetry_off_on_top() -> None:
    """One place that no import of tinytx can go round; ``os`` is there before any script runs."""
    top = ROOT / "tinytx/__init__.py"
    for path in (ROOT / "tinytx").rglob("__init__.py"):
        found = list(imports(ast.parse(path.read_text()), top_level=True))
        assert found == (["os"] if path == top else []), path
    changes = (
        "import os\nos.environ.pop('ORT_DISABLE_TELEMETRY', None)\nbefore = dict(os.environ)\n"
        "import tinytx\nprint({**os.environ} == before | {'ORT_DISABLE_TELEMETRY': '1'})"
    )
    assert python(changes).stdout == "True\n"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("errors.py", "import numpy"),
        ("errors.py", "from tinytx.config import Settings"),
        ("config.py", "from tinytx import workspace"),
        ("runtime/x.py", "def f():\n    import torch"),
        ("runtime/x.py", "try:\n    import onnx.checker\nexcept ImportError:\n    pass"),
        ("runtime/x.py", "from tinytx.workspace import Workspace"),
        ("runtime/x.py", "def f():\n    from tinytx.train import model"),
        ("measure/run/x.py", "import torch.nn as nn"),
        ("measure/machine/x.py", "from tinytx.measure.policy.budgets import Row"),
        ("measure/stats.py", "from tinytx.measure import memory"),
        ("measure/record/x.py", "def f():\n    from tinytx.measure.run import bench"),
        ("measure/run/x.py", "import tinytx.measure"),
        ("measure/run/x.py", "from tinytx.export import graph"),
        ("train/x.py", "from tinytx.runtime.engine import Engine"),
        ("train/x.py", "import onnx"),
        ("train/x.py", "import rich"),
        ("train/x.py", "from tinytx.sweep import space"),
        ("measure/run/x.py", "import optuna"),
        ("sweep/x.py", "import torch"),
        ("export/x.py", "from tinytx.cli.common import console"),
        ("export/x.py", "from tinytx.measure import stats"),
        ("cli/x.py", "import numpy as np"),
        ("cli/x.py", "from rich.console import Console"),
        ("cli/x.py", "if True:\n    from tinytx.runtime.engine import Engine"),
        ("cli/x.py", "class A:\n    import msgspec"),
        ("cli/x.py", "from tinytx.cli.progress import make_reporter"),
        ("cli/x.py", "from tinytx.cli import tables"),
        ("cli/sweep/x.py", "from tinytx.cli.generate import output"),
        ("cli/x.py", "def f():\n    import torch"),
    ],
)
def test_a_planted_violation_is_found(path: str, source: str) -> None:
    assert violations(path, source) != []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cli/x.py", "def f():\n    from tinytx.runtime.engine import Engine"),
        ("cli/x.py", "if TYPE_CHECKING:\n    import torch"),
        ("cli/x.py", "from tinytx.errors import UsageError\nimport json, click"),
        ("export/x.py", "import torch\nfrom tinytx.train.model import Transformer"),
        ("runtime/x.py", "import numpy\nfrom tinytx import bundle"),
        ("measure/run/x.py", "from tinytx.measure.run import worker\nimport tinytx.measure.stats"),
    ],
)
def test_what_the_rule_allows_is_allowed(path: str, source: str) -> None:
    assert violations(path, source) == []


def python(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


WITHOUT_TORCH = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx"):
            raise ImportError(f"{name} is not on the device")

sys.meta_path.insert(0, Refuse())
bundle, *names = sys.argv[1:]
for name in names:
    importlib.import_module(name)
from tinytx.cli.main import run
assert run(["verify", bundle]) == 0
assert run(["generate", bundle, "The", "--max-tokens", "5", "--seed", "1"]) == 0
assert not {"torch", "onnx"} & set(sys.modules)
try:
    import torch
except ImportError:
    print("refused")
"""


def test_every_light_module_loads_and_a_bundle_runs_where_torch_and_onnx_cannot_be_imported(
    tiny_bundle: Path,
) -> None:
    light = [
        "tinytx." + path.removesuffix(".py").replace("/", ".")
        for path in modules()
        if not path.startswith(("train/", "export/", "sweep/"))
    ]
    known = {"tinytx.runtime.engine", "tinytx.measure.run.bench", "tinytx.cli.train.command"}
    assert known <= set(light)
    result = python(WITHOUT_TORCH, str(tiny_bundle), *light)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("The")
    assert result.stdout.endswith("refused\n")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nonsense"], []])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    result = python(
        "import json, sys\nfrom tinytx.cli.main import run\nrun(sys.argv[1:])\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)",
        *arguments,
    )
    loaded = json.loads(result.stderr.splitlines()[-1])
    assert "click" in loaded
    assert {name.split(".")[0] for name in loaded} & HEAVY == set()
    parts = {name.split(".")[1] for name in loaded if name.startswith("tinytx.")}
    assert parts <= {"cli", "errors", "wording"}


def test_the_names_of_the_python_api_are_loaded_when_they_are_asked_for() -> None:
    result = python(
        "import sys\nbefore = set(sys.modules)\nimport tinytx\n"
        "assert set(sys.modules) - before == {'tinytx'}, set(sys.modules) - before\n"
        "assert set(tinytx.__all__) <= set(dir(tinytx))\n"
        "assert all(getattr(tinytx, name) for name in tinytx.__all__)\n"
        "from tinytx import Engine, Outcome, Score, TinytxError\n"
        "from tinytx.runtime.engine import Engine as same\n"
        "assert Engine is same\n"
        "try:\n    tinytx.Motor\nexcept AttributeError as error:\n    print(error)"
    )
    assert (result.stdout, result.stderr) == ("module 'tinytx' has no attribute 'Motor'\n", "")


@pytest.mark.parametrize(
    "name",
    ["errors", "workspace", "cgroup", "cli.main", "cli.common", "cli.doctor", "measure.doctor"],
)
def test_light_modules_are_light(name: str) -> None:
    result = python(
        f"import json, sys\nimport tinytx.{name}\nprint(json.dumps(sorted(sys.modules)))"
    )
    assert {module.split(".")[0] for module in json.loads(result.stdout)} & HEAVY == set()
