"""The limits that compose.yaml promises bite in a real container."""

import json
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.docker
Run = Callable[..., tuple[int, str]]

CANARY = """
held = []
while True:
    held.append(bytearray(b"x" * 20_000_000))
    print(len(held) * 20, flush=True)
"""
DEVICE = ["bench", "generate", "verify", "doctor"]


@pytest.mark.parametrize("service", [*DEVICE, "serve"])
def test_a_canary_dies_before_it_holds_512_mb(python: Run, service: str) -> None:
    status, out = python(service, CANARY)
    held = int(out.split()[-1])
    assert status == 137
    assert 400 <= held < 512


def test_a_canary_within_the_limit_lives(python: Run) -> None:
    assert python("bench", "held = b'x' * 400_000_000; print(len(held))") == (0, "400000000\n")


def test_the_process_is_a_fixed_user_without_any_capability(python: Run) -> None:
    status, out = python("bench", "print(open('/proc/self/status').read())")
    fields = dict(line.split(":\t", 1) for line in out.splitlines() if ":\t" in line)
    assert status == 0
    assert fields["Uid"].split() == ["10001"] * 4
    assert fields["Gid"].split() == ["10001"] * 4
    for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd"):
        assert int(fields[kind], 16) == 0
    assert fields["NoNewPrivs"] == "1"


@pytest.mark.parametrize("service", [*DEVICE, "serve", "train", "export", "test"])
def test_the_root_file_system_cannot_be_written(python: Run, service: str) -> None:
    code = (
        "import errno\n"
        "for path in ('/x', '/usr/x', '/etc/x', '/home/x', '/var/tmp/x'):\n"
        "    try: open(path, 'w')\n"
        "    except OSError as e: print(errno.errorcode[e.errno])\n"
        "open('/tmp/x', 'w')\n"
    )
    assert python(service, code) == (0, "EROFS\n" * 5)


@pytest.mark.parametrize("service", [*DEVICE])
def test_there_is_no_network(python: Run, service: str) -> None:
    code = (
        "import socket\n"
        "print([name for _, name in socket.if_nameindex()])\n"
        "try: socket.create_connection(('192.0.2.1', 80), 5)\n"
        "except OSError as e: print(e.strerror)\n"
    )
    status, out = python(service, code)
    assert status == 0
    assert "eth" not in out
    assert out.endswith("Network is unreachable\n")


def test_the_runtime_image_has_neither_torch_nor_tools(python: Run) -> None:
    code = (
        "import importlib.util as u, shutil, json\n"
        "print(json.dumps([[n for n in ('torch', 'onnx', 'pip') if u.find_spec(n)],"
        "[n for n in ('gcc', 'cc', 'pip', 'pip3') if shutil.which(n)]]))"
    )
    status, out = python("bench", code)
    assert (status, json.loads(out)) == (0, [[], []])


def test_labels_tell_what_the_image_is(engine: Any) -> None:
    labels = engine.images.get("tinytx:runtime").labels
    assert labels["org.opencontainers.image.title"] == "tinytx runtime"
    assert labels["org.opencontainers.image.licenses"] == "MIT"
