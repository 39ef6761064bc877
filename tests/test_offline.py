"""Offline means offline: no command opens a socket, and no library leaves anything in the home.

Outside libraries may behave in CI as they do nowhere else, so each process here gets a home of its
own and an environment of a few names, without ``CI``. A filter of the kernel kills whatever opens a
socket, children too; each import of onnxruntime, in children too, is written down.
"""

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tinytx

ROOT = Path(__file__).parents[1]
TINYTX = ["-m", "tinytx.cli.main"]
NAME = "ORT_DISABLE_TELEMETRY"
NO_FILTER = 77
# The system call `socket`, whatever the family: a look-up of a host needs one. `socketpair`, by
# which processes of one family talk, is another call.
GUARD = """
import ctypes, os, platform, struct, sys
machines = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
if platform.machine() not in machines:
    sys.exit(77)
machine, call = machines[platform.machine()]
lines = [
    (0x20, 0, 0, 4), (0x15, 0, 3, machine),  # of another machine's calls: allowed
    (0x20, 0, 0, 0), (0x15, 0, 1, call),
    (0x06, 0, 0, 0x80000000),  # kill the process
    (0x06, 0, 0, 0x7FFF0000),  # allow
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
program = struct.pack("HxxxxxxQ", len(lines), ctypes.addressof(code))
prctl = ctypes.CDLL(None).prctl
if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.c_char_p(program), 0, 0):
    sys.exit(77)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
# Found and run by every Python that is started, as long as PYTHONPATH is heeded.
WATCH = f"""
import os, sys

def seen(event, arguments):
    if event == "import" and arguments[0].startswith("onnxruntime.capi"):
        with open(os.environ["IMPORTS"], "a") as file:
            print(os.environ.get({NAME!r}), *sys.argv[:1], file=file)

sys.addaudithook(seen)
"""
LONG = """
import os, time
threads = lambda: len(os.listdir("/proc/self/task"))
import numpy
before = threads()
from tinytx import Engine
engine = Engine.load(BUNDLE)
time.sleep(15)
print(threads() - before)
"""
FEW = """
schema = 1
[warm_up]
window = 4
agreement = 0.9
windows = 2
[next_token]
contexts = [16]
first_look = 8
least_seconds = 0.0
[first_token]
prompts = [16]
samples = 2
[end_to_end]
prompt = "The"
tokens = 4
samples = 2
"""


class Watched:
    """A process with a home of its own, watched for sockets, files and imports."""

    def __init__(self, folder: Path, arguments: list[str], **more: str) -> None:
        self.home, self.imports = folder / "home", folder / "imports"
        for path in (self.home, folder / "tmp", folder / "watch"):
            path.mkdir(parents=True)
        (folder / "watch/sitecustomize.py").write_text(WATCH)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": f"{folder / 'watch'}:{ROOT}",
            "LC_ALL": "C.UTF-8",
            "IMPORTS": str(self.imports),
            **more,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", GUARD, *arguments],
            env=environment, cwd=folder, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._tmp = folder / "tmp"

    def end(self) -> "Watched":
        self.out, self.err = self.process.communicate(timeout=120)
        self.code = self.process.returncode
        if self.code == NO_FILTER:
            pytest.skip("this kernel or processor has no filter for system calls")
        return self

    @property
    def files(self) -> list[str]:
        """What is left in the home and in the temporary folder."""
        places = {self.home: "~", self._tmp: "$TMPDIR"}
        return sorted(
            f"{name}/{path.relative_to(place)}"
            for place, name in places.items()
            for path in place.rglob("*")
            if path.is_file()
        )

    @property
    def values(self) -> set[str]:
        """What the variable was at each import of onnxruntime; empty without an import."""
        found = self.imports.read_text().splitlines() if self.imports.exists() else []
        return {line.split()[0] for line in found}


Start = Callable[..., Watched]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Watched] = []

    def begin(*arguments: str | Path, **more: str) -> Watched:
        folder = tmp_path / str(len(started))
        started.append(Watched(folder, [str(one) for one in arguments], **more))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()


@pytest.fixture(scope="module", autouse=True)
def long_process(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Fifteen seconds with an engine, while the other tests go on: after nine the library would
    look up the host that it sends to."""
    code = LONG.replace("BUNDLE", repr(str(tiny_bundle)))
    watched = Watched(tmp_path_factory.mktemp("long"), ["-c", code])
    yield watched
    watched.process.kill()


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX"])
def test_a_planted_socket_is_seen(start: Start, family: str) -> None:
    code = f"import socket; a, b = socket.socketpair(); socket.socket(socket.{family})"
    child = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {code!r}]))"
    assert start("-c", code).end().code == -signal.SIGSYS
    assert start("-c", child).end().code == 256 - signal.SIGSYS


def test_a_planted_file_and_a_late_variable_are_seen(start: Start) -> None:
    code = (
        "import pathlib, tempfile; pathlib.Path.home().joinpath('x').touch(); "
        "tempfile.mkstemp(prefix='y'); import onnxruntime"
    )
    ended = start("-c", code).end()
    assert "~/x" in ended.files
    assert any(name.startswith("$TMPDIR/y") for name in ended.files)
    assert ended.values == {"None"}


def test_generate_writes_what_it_remembers_and_nothing_else(
    start: Start, tiny_bundle: Path
) -> None:
    ended = start(*TINYTX, "generate", tiny_bundle, "The", "--max-tokens", "5").end()
    assert ended.code == 0, ended.err
    assert ended.values == {"1"}
    assert all(name.startswith("~/.cache/tinytx/threads/") for name in ended.files)


@pytest.mark.long
def test_bench_and_its_workers_are_offline(start: Start, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "few.toml").write_text(FEW)
    options = ["--scenarios", tmp_path / "few.toml", "--time-limit", "1", "--report", "r.json"]
    ended = start(*TINYTX, "bench", tiny_bundle, *options).end()
    assert ended.code in (0, 7, 8), ended.err  # so short a bench proves little
    assert f"signal {signal.SIGSYS}" not in ended.err
    assert ended.values == {"1"}
    assert ended.files == []


@pytest.mark.long
def test_export_is_offline(start: Start, tiny_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    for path in tiny_run.iterdir():
        if path.name != "bundle":
            (copy / path.name).symlink_to(path)
    ended = start(*TINYTX, "export", "--output-dir", copy, "--precision", "float32").end()
    assert ended.code == 0, ended.err
    assert ended.values == {"1"}
    assert ended.files == []


@pytest.mark.long
def test_the_doctor_and_its_children_are_offline(start: Start) -> None:
    ended = start(*TINYTX, "doctor", "--quiet").end()
    assert ended.code in (0, 1), ended.err
    assert ended.values == {"1"}
    assert ended.files == []


@pytest.mark.parametrize("value", ["0", "false", "yes"])
def test_a_value_of_the_users_own_stays(start: Start, value: str) -> None:
    code = f"import tinytx, os; print(os.environ[{NAME!r}])"
    assert start("-c", code, **{NAME: value}).end().out == f"{value}\n"


def test_an_empty_value_is_none(start: Start) -> None:
    """onnxruntime takes it for none as well, and would send."""
    code = f"import tinytx, os; print(os.environ[{NAME!r}])"
    assert start("-c", code, **{NAME: ""}).end().out == "1\n"


@pytest.mark.long
def test_fifteen_seconds_with_an_engine_open_no_socket_start_no_thread_and_write_nothing(
    long_process: Watched,
) -> None:
    ended = long_process.end()
    assert (ended.code, ended.out) == (0, "0\n"), ended.err
    assert ended.values == {"1"}
    assert ended.files == []


def early(source: str) -> list[int]:
    """Lines where onnxruntime is imported before tinytx is, or the variable is named."""
    wrong, safe = [], False
    nodes = [
        node for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Constant)
    ]  # fmt: skip
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(node, ast.Constant):
            text = str(node.value)
            safe = safe or text == NAME
            if "import onnxruntime" in text and NAME not in text and "tinytx" not in text:
                wrong += [node.lineno]
            continue
        names = [alias.name for alias in node.names]
        first = {name.split(".")[0] for name in names}
        if isinstance(node, ast.ImportFrom):
            first = {str(node.module).split(".")[0]}
        safe = safe or "tinytx" in first
        if "onnxruntime" in first and not safe:
            wrong.append(node.lineno)
    return wrong


@pytest.mark.parametrize("folder", ["bench", "docker"])
def test_no_script_imports_onnxruntime_before_its_telemetry_is_off(folder: str) -> None:
    scripts = sorted((ROOT / folder).rglob("*.py"))
    assert scripts
    found = {path.name: early(path.read_text()) for path in scripts}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_images_turn_it_off_before_a_proof_imports_anything_in_them() -> None:
    """What the proof left behind was in the image: a device id, for everyone who ran it."""
    base, *stages = (
        (ROOT / "docker/Dockerfile").read_text().split("FROM ${BASE} AS base")[1].split("\nFROM ")
    )
    assert f"{NAME}=1" in base
    assert [stage.split()[:3] for stage in stages] == [
        ["base", "AS", "train"],
        ["base", "AS", "runtime"],
    ]


def test_the_tests_have_imported_tinytx_before_any_test_imports_onnxruntime() -> None:
    source = (ROOT / "tests/conftest.py").read_text()
    assert "tinytx" in source
    assert "onnxruntime" not in source
    assert tinytx.__file__.startswith(str(ROOT))


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import onnxruntime\nimport tinytx", [1]),
        ("import tinytx\nimport onnxruntime", []),
        ("from tinytx.bundle import Bundle\ndef f():\n    from onnxruntime import capi", []),
        ("def f():\n    import onnxruntime as ort", [2]),
        (f"import os\nos.environ[{NAME!r}] = '1'\nimport onnxruntime", []),
        ("run(['python', '-c', 'import onnxruntime'])", [1]),
        (f"run(['python', '-c', 'import onnxruntime'], env={{{NAME!r}: '1'}})", [1]),
    ],
)
def test_an_early_import_is_found(source: str, lines: list[int]) -> None:
    assert early(source) == lines
