"""The images hold nothing that their build left, and what runs in them reaches for no network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.docker
Run = Callable[..., tuple[int, str]]

LEFT = """
import json, os
found = {os.path.join(top, name) for place in ("/tmp", "/var/tmp", "/root", "/data")
         for top, folders, files in os.walk(place) for name in folders + files}
for top, folders, _ in os.walk("/"):
    folders[:] = [one for one in folders if top != "/" or one not in ("dev", "proc", "sys")]
    found |= {os.path.join(top, one) for one in folders if one in (".cache", ".onnxruntime")}
print(json.dumps(sorted(found - {"/root/.bashrc", "/root/.profile"})))
"""
# Telemetry looks for its host after nine seconds; a look-up is a socket, and a socket is seen in
# the table of open files while it waits for an answer.
WATCHED = """
import json, os, sys, time
threads = lambda: len(os.listdir("/proc/self/task"))
import numpy
before = threads()
import onnxruntime
from tinytx import Engine
engine = Engine.load("/data/bundle")
sockets, end = set(), time.monotonic() + 15
while time.monotonic() < end:
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        sockets |= {target} if target.startswith("socket:") else set()
    time.sleep(0.002)
files = [os.path.join(top, name) for top, _, names in os.walk("/tmp") for name in names]
print(json.dumps([files, sorted(sockets), threads() - before]))
"""


def variables(image: Any) -> dict[str, str]:
    return dict(line.split("=", 1) for line in image.attrs["Config"]["Env"])


@pytest.mark.parametrize("name", ["runtime", "train"])
def test_an_image_turns_telemetry_off(engine: Any, name: str) -> None:
    assert variables(engine.images.get(f"tinytx:{name}"))["ORT_DISABLE_TELEMETRY"] == "1"


def test_every_service_turns_telemetry_off(services: dict[str, Any]) -> None:
    found = {service["environment"]["ORT_DISABLE_TELEMETRY"] for service in services.values()}
    assert found == {"1"}


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
@pytest.mark.parametrize("service", ["bench", "train"])
def test_nothing_is_left_over_from_the_build(python: Run, service: str, platform: str) -> None:
    # Without the service's tmpfs, which would lie over what the image has there.
    status, out = python(service, LEFT, tmpfs={}, platform=platform)
    assert (status, json.loads(out)) == (0, [])


@pytest.mark.parametrize("service", ["bench", "train"])
def test_a_process_of_fifteen_seconds_writes_nothing_and_opens_no_socket(
    python: Run, readable_bundle: Path, service: str
) -> None:
    volumes = {str(readable_bundle): {"bind": "/data/bundle", "mode": "ro"}}
    status, out = python(service, WATCHED, volumes=volumes)
    assert (status, json.loads(out)) == (0, [[], [], 0])


@pytest.mark.parametrize(
    ("command", "arguments", "codes"),
    [
        ("generate", ["/data/bundle", "The", "--max-tokens", "8"], {0}),
        ("verify", ["/data/bundle"], {0}),
        ("doctor", [], {0, 1}),
        ("bench", ["/data/bundle", "--time-limit", "5", "--report", "/tmp/r.json"], {0, 7, 8}),
    ],
)
def test_a_command_leaves_nothing_of_another_library_in_its_home(
    python: Run, readable_bundle: Path, command: str, arguments: list[str], codes: set[int]
) -> None:
    code = (
        "import json, os, subprocess\n"
        f"ended = subprocess.run({['tinytx', command, *arguments]}, capture_output=True)\n"
        "print(json.dumps([ended.returncode, *(os.path.join(top, name)"
        " for top, folders, _ in os.walk('/tmp') for name in folders)]))"
    )
    volumes = {str(readable_bundle): {"bind": "/data/bundle", "mode": "ro"}}
    status, out = python(command, code, volumes=volumes)
    assert status == 0, out
    ended, *folders = json.loads(out)
    assert ended in codes
    assert {*folders} <= {"/tmp/.cache", "/tmp/.cache/tinytx", "/tmp/.cache/tinytx/threads"}
