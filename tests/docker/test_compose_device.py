"""A device of the way "compose": deploy/compose.yaml with the image as it is, and signed releases.

The device is this machine: its `ssh` runs the words here, and its address is 127.0.0.1:8765.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.docker.devices import docker
from tests.remote.bundles import with_file
from tinytx.bundle import Bundle

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]
PORT = 8765
SSH = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nexec sh -c "$3"\n'
SECONDS = 90.0
POLICY = (
    'watch_seconds = 2\ndeadline_seconds = 90\nbudgets = "/var/lib/tinytx/size.toml"\n',
    'schema = 1\n[budget.model_size]\nat_most = 10\nunit = "MB"\n',
)
"""The proof is golden tokens and a size: how long it takes otherwise is not what is tested here."""


@dataclass
class Compose:
    """The two containers, and the workstation's side of them."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def compose(self, *words: str) -> None:
        command = ["docker", "compose", "--file", "deploy/compose.yaml"]
        environment = {**os.environ, "TINYTX_STORE": str(self.store)}
        subprocess.run([*command, *words], check=True, cwd=ROOT, env=environment)

    def as_root(self, script: str) -> None:
        """The store belongs to the image's own user."""
        volume = f"{self.folder}:/folder"
        docker("run", "--rm", "--user", "0", "--entrypoint", "sh", "--volume", volume,
               "tinytx:runtime", "-euc", script)  # fmt: skip

    def deploy(self, bundle: Path, *words: str) -> tuple[int, dict[str, Any]]:
        ended = subprocess.run(
            [
                sys.executable, "-m", "tinytx.cli.main", "deploy", "pi", str(bundle), "--json",
                "--quiet", "--allow-invalid", "other tests run here", *words,
            ],
            env={
                **os.environ,
                "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "TINYTX_DEVICES": str(self.folder / "devices.toml"),
                "TINYTX_STATE_DIR": str(self.folder / "state"),
            },
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert ended.stdout, ended.stderr
        return ended.returncode, json.loads(ended.stdout)["devices"][0]

    def status(self) -> dict[str, Any]:
        said = docker("exec", "tinytx-watch", "tinytx", "release", "status", "--json")
        return dict(json.loads(said))

    def served(self) -> str:
        """Once it is what ``current`` names."""
        end = time.monotonic() + SECONDS
        while (found := health()).get("release") != self.status()["current"]:
            assert time.monotonic() < end, found
            time.sleep(0.3)
        return str(found["release"])


def health() -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=10) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))
    except OSError:
        return {}


@pytest.fixture
def device(engine: object, tmp_path: Path) -> Iterator[Compose]:
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", PORT))  # else this machine serves something already
    made = Compose(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH)
    (tmp_path / "bin/ssh").chmod(0o755)
    (tmp_path / "devices.toml").write_text('[devices.pi]\nhost = "pi"\nway = "compose"\n')
    made.store.mkdir()
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]
    for name in ("key", "other"):
        subprocess.run([*keygen, str(tmp_path / name)], check=True)
    for name, text in zip(("device.toml", "size.toml"), POLICY, strict=True):
        (made.store / name).write_text(text)
    (made.store / "allowed_signers").write_text(f"me {(tmp_path / 'key.pub').read_text()}")
    for path in [tmp_path, *tmp_path.parents[:3]]:
        path.chmod(path.stat().st_mode | 0o055)
    made.as_root("chown -R 10001:10001 /folder/store")
    try:
        made.compose("up", "--detach")
        yield made
    finally:
        made.compose("down", "--timeout", "5")
        made.as_root(f"chown -R {os.getuid()} /folder/store; chmod -R u+w /folder/store")


def test_a_device_of_two_containers_takes_what_is_signed_for_it_and_goes_back(
    device: Compose, readable_bundle: Path
) -> None:
    key, other = device.folder / "key", device.folder / "other"
    code, told = device.deploy(readable_bundle)
    assert (code, told["end"], told["state"]) == (9, "failed", "rolled-back")
    assert "is not signed, and this device takes only signed ones" in told["why"]
    code, told = device.deploy(readable_bundle, "--sign", str(other))
    assert code == 9
    assert "is not in this device's allowed_signers" in told["why"]
    assert health()["status"] == "empty"

    first = Bundle(readable_bundle).id
    code, told = device.deploy(readable_bundle, "--sign", str(key))
    assert (code, told["end"]) == (0, "committed"), told
    assert (device.status()["trust"], device.served()) == ("signatures", first)
    assert device.status()["committed"]["serial"] == 1
    bundle = with_file(readable_bundle, device.folder / "second", "appendix.bin", b"words")
    code, told = device.deploy(bundle, "--sign", str(key))
    assert (code, told["end"], told["files_sent"]) == (0, "committed", 1), told
    assert device.served() == Bundle(bundle).id
    assert device.status()["committed"]["serial"] == 2

    docker("exec", "tinytx-watch", "tinytx", "release", "rollback")
    assert device.served() == first
    docker("restart", "tinytx-serve")  # the watch finds it again
    assert device.served() == first
