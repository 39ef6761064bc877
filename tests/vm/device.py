"""The machine as a workstation sees it: ``tinytx deploy`` from here, questions to it, bundles."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from machine import Machine

from tinytx.bundle import Bundle, FileFacts, Golden, encode, identify

ROOT = Path(__file__).parents[2]
INPUT = "/root/input"
REASON = "an emulated device"
SETTLED = 400
WORKSTATION = "10.0.2.2"
"""This machine, as QEMU's network shows it to the guest."""
STILL = "sed -i '/_seconds/d' /var/lib/tinytx/device.toml && "
SHORT = STILL + (
    "printf 'watch_seconds = 5\\ndeadline_seconds = 300\\n' >>/var/lib/tinytx/device.toml"
)
ONLY_SIZE = (
    "cd /var/lib/tinytx && sed -i '/^budgets/d' device.toml && "
    "printf 'budgets = \"/var/lib/tinytx/size.toml\"\\n' >>device.toml && printf 'schema = 1\\n"
    '[budget.model_size]\\nat_most = 10\\nunit = "MB"\\n\' >size.toml && chmod 644 size.toml'
)
DESCRIPTION = b"\x32\x03two"
"""ONNX: the model's field doc_string. It changes nothing but the file."""


class Device:
    """What the scenarios use."""

    def __init__(self, machine: Machine, bundle: Path, wheels: Path) -> None:
        self.machine, self.wheels = machine, wheels
        self.ssh = machine.ssh
        self.bundles = _variants(bundle, machine.work / "bundles")
        self.devices = machine.work / "devices.toml"
        self.devices.write_text(
            'schema = 1\n[devices.vm]\nhost = "carrier"\nway = "systemd"\n'
            '[devices.pi]\nhost = "pi"\nway = "systemd"\n'
        )

    def prepare(self, *flags: str, check: bool = True) -> str:
        """``prepare.sh`` there, what it said."""
        words = ["sh", f"{INPUT}/deploy/prepare.sh", *flags]
        ended = self.ssh(" ".join(words), timeout=1200, check=check)
        return ended.stdout + ended.stderr

    def send_input(self) -> None:
        """The folder deploy/, the wheels, and what is asked there."""
        self.machine.send([ROOT / "deploy", self.wheels], INPUT)
        self.send_inside()

    def send_inside(self) -> None:
        self.machine.send([Path(__file__).parent / "inside.py"], INPUT)

    def inside(self, *words: str) -> dict[str, Any]:
        """An answer of inside.py there."""
        said = self.ssh(f"python3 {INPUT}/inside.py {' '.join(words)}", timeout=600)
        return dict(json.loads(said.stdout))

    def tinytx(self, *words: str, timeout: float = 900) -> "subprocess.CompletedProcess[str]":
        """A command of the workstation."""
        with self.begun(*words) as process:
            out, err = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def begun(self, *words: str) -> "subprocess.Popen[str]":
        """The same, not waited for; a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "tinytx.cli.main", *words],
            env={**self.machine.environment, "TINYTX_DEVICES": str(self.devices)},
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip

    @contextmanager
    def channel(self, name: str) -> Iterator[str]:
        """A web server here that offers a release, signed, to a device that trusts the key; its
        address as the device sees it."""
        site, key = self.machine.work / "site", self.machine.built / "id_ed25519"
        shutil.rmtree(site, ignore_errors=True)
        words = ("publish", str(self.bundles[name]), str(site), "--key", str(key))
        published = self.tinytx(*words)
        assert published.returncode == 0, published.stderr
        public = key.with_suffix(".pub").read_text().strip()
        self.ssh(f"echo 'me {public}' >/var/lib/tinytx/allowed_signers")
        handler = partial(SimpleHTTPRequestHandler, directory=str(site))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield f"http://{WORKSTATION}:{server.server_address[1]}"
            finally:
                server.shutdown()

    def deploy_words(self, name: str, device: str = "vm") -> tuple[str, ...]:
        return ("deploy", device, str(self.bundles[name]), "--allow-invalid", REASON, "--json")

    def deploy(self, name: str) -> "subprocess.CompletedProcess[str]":
        return self.tinytx(*self.deploy_words(name))

    def id(self, name: str) -> str:
        return Bundle(self.bundles[name]).id

    def status(self) -> dict[str, Any]:
        """``tinytx release status`` there, in carrier's name as a workstation asks."""
        said = self.ssh(
            "sudo -n -u tinytx /opt/tinytx/bin/tinytx release status --json", "carrier", timeout=120
        )
        return dict(json.loads(said.stdout))

    def settled(self) -> dict[str, Any]:
        """Its status once nothing is on trial any more. A release that was verified or proved, and
        not switched to, waits for ever: it is no trial."""
        until = time.monotonic() + SETTLED
        while on_trial((told := self.status())["deployment"]):
            assert time.monotonic() < until, f"still on trial: {told}"
            time.sleep(2)
        return told

    def serves(self, seconds: float = 240) -> str:
        """The release that is answered with, once one is."""
        until = time.monotonic() + seconds
        while (said := self.inside("health", "60")).get("status") != "ok":
            assert time.monotonic() < until, f"nothing is served: {said}"
            time.sleep(1)
        return str(said["release"])


def on_trial(deployment: dict[str, Any] | None) -> bool:
    """Whether the device is still to decide about it."""
    return deployment is not None and (
        deployment["phase"] == "begin" or deployment["state"] in ("switched", "watched")
    )


def end(process: "subprocess.Popen[str]") -> None:
    """A workstation that vanishes: the command and its ssh."""
    with process:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _variants(bundle: Path, folder: Path) -> dict[str, Path]:
    """``one``, ``two`` and ``three`` are equally good and have no graph in common, so that all of
    it is sent; ``bad`` has golden tokens that no machine reproduces."""
    shutil.rmtree(folder, ignore_errors=True)
    made = {name: folder / name for name in ("one", "two", "three", "bad")}
    for path in made.values():
        shutil.copytree(bundle, path)
    for name, count in (("two", 1), ("three", 2)):
        for graph in made[name].glob("*.onnx"):
            graph.write_bytes(graph.read_bytes() + count * DESCRIPTION)
    golden = json.loads((bundle / "golden.json").read_text())
    for case in sum(golden.get("variants", {}).values(), golden["cases"]):
        case["prompt"] += " and"
    (made["bad"] / "golden.json").write_bytes(encode(msgspec.convert(golden, Golden)))
    for path in (made["two"], made["three"], made["bad"]):
        _reseal(path)
    return made


def _reseal(folder: Path) -> None:
    manifest = Bundle(folder).manifest
    files = {}
    for name in manifest.files:
        raw = (folder / name).read_bytes()
        files[name] = FileFacts(sha256=hashlib.sha256(raw).hexdigest(), size=len(raw))
    unsealed = msgspec.structs.replace(manifest, files=files, id="")
    sealed = msgspec.structs.replace(unsealed, id=identify(unsealed))
    (folder / "manifest.json").write_bytes(encode(sealed))
