"""Fixtures that many tests share: a small trained model and its bundle, made once a session."""

import importlib.util
import os
import random
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from tinytx.cli.main import run

WORDS = (
    "river", "stone", "garden", "lantern", "quiet", "morning", "señor", "niña", "café", "window",
    "yellow", "boat", "winter", "song", "little", "brother", "market", "bread", "mountain",
    "letter", "silver", "road", "evening", "bird", "kitchen", "story",
)  # fmt: skip


def small_text(sentences: int = 4_000, seed: int = 7) -> str:
    """Sentences of a few dozen words: enough for a tiny model to learn something."""
    source = random.Random(seed)
    lines = []
    for _ in range(sentences):
        words = [source.choice(WORDS) for _ in range(source.randint(4, 9))]
        lines.append(" ".join(words).capitalize() + ".")
    return "\n".join(lines) + "\n"


TINY = [
    "--epochs", "2", "--batch-size", "8", "--vocab-size", "320", "--max-seq-length", "48",
    "--set", "model.layers=2", "--set", "model.width=32", "--set", "model.heads=2",
    "--set", "model.hidden=48", "--set", "model.pair_rows=500",
    "--set", "training.precision=float32",
    "--set", "training.threads=1", "--quiet",
]  # fmt: skip
"""Flags of a model that trains in seconds."""
EXPORT = ["--precision", "float32", "--quiet"]
"""Most tests need no quantised model; tests/export/test_variants.py has them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes its time runs when it is asked for, and says so when it is not."""
    for marker in ("long", "postgres"):
        variable = f"TINYTX_{marker.upper()}_TESTS"
        if variable not in os.environ:
            skipped = pytest.mark.skip(reason=f"{marker}: set {variable}=1; .ci/run does")
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(skipped)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What tests let tinytx remember stays out of the user's own folders."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYTX_CACHE_DIR", str(folder))
        patch.setenv("TINYTX_STATE_DIR", str(folder.with_name("state")))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """A shell that runs the tests in the background lets them ignore Ctrl-C, and with them all the
    programs that they start and stop."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of about 200 kB."""
    path = tmp_path_factory.mktemp("corpus") / "small.txt"
    path.write_text(small_text(), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_run(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output directory of a finished tiny training, exported. Copy it before changing it."""
    output = tmp_path_factory.mktemp("run") / "out"
    arguments = ["train", "--corpus-path", str(small_corpus), "--output-dir", str(output), *TINY]
    assert run(arguments) == 0
    assert run(["export", "--output-dir", str(output), *EXPORT]) == 0
    return output


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Path) -> Path:
    """A real, small bundle. Copy it before changing it."""
    return tiny_run / "bundle"


@dataclass
class Ended:
    """How a process of :data:`SideBySide` ended: its exit code (or minus its signal), its words."""

    code: int
    said: str


SideBySide = Callable[..., list[Ended]]


@pytest.fixture
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> SideBySide:
    """Does ``work()``, which returns an exit code, in processes that are told what torchrun would
    tell them. They are forks: nothing needs importing again."""

    def run_all(work: Callable[[], int], processes: int = 2, **environment: str) -> list[Ended]:
        folder = tmp_path_factory.mktemp("processes")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **environment}
        told |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(processes))
        children = [
            _fork(work, folder / str(rank), {**told, "RANK": str(rank), "LOCAL_RANK": str(rank)})
            for rank in range(processes)
        ]
        alarm = threading.Timer(60.0, _kill_all, [children])
        alarm.start()
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        alarm.cancel()
        return [Ended(code, (folder / str(rank)).read_text()) for rank, code in enumerate(codes)]

    return run_all


def _kill_all(children: list[int]) -> None:
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _fork(work: Callable[[], int], words: Path, environment: dict[str, str]) -> int:
    """Do ``work`` in a child whose stderr is the file ``words``; returns its process id."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.environ.update(environment)
        sys.stderr = words.open("w", buffering=1)
        if "torch" in sys.modules:  # OpenMP's pool of threads does not survive a fork
            sys.modules["torch"].set_num_threads(1)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # none of pytest's own endings


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """Load docker/NAME.py, which is in no package."""

    def load(name: str) -> ModuleType:
        path = Path(__file__).parents[1] / f"docker/{name}.py"
        spec = importlib.util.spec_from_file_location(f"script_{name}", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load
