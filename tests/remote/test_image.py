"""An image goes to a device that has another one, and to no other."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.remote.device import Devices
from tinytx.errors import DeviceError, UsageError
from tinytx.remote.devices import Device, Named
from tinytx.remote.image import described, load_image
from tinytx.remote.link import Link

DOCKER = """#!/bin/sh
# docker, here and there: what it says lies in files beside it; what is loaded is kept.
case "$1 $2" in
    "image inspect")
        if [ -n "$TINYTX_STORE" ]; then name=there; else name=here; fi
        if [ -f {folder}/$name.json ]; then cat {folder}/$name.json; else
            echo '[]'; echo "Error response from daemon: No such image: $3" >&2; exit 1; fi ;;
    "save "*) cat {folder}/saved ;;
    "load "*) cat > {folder}/loaded; echo "Loaded image: tinytx:runtime" ;;
esac
"""


def facts(layers: list[str], architecture: str = "arm64", **changes: Any) -> str:
    config = {"Env": ["A=1"], "Cmd": None, "Labels": {"revision": "x"}}
    image = {
        "Id": "sha256:of this store", "Os": "linux", "Architecture": architecture,
        "RootFS": {"Type": "layers", "Layers": layers}, "Config": {**config, **changes},
    }  # fmt: skip
    return json.dumps([image])


@pytest.fixture
def folder(devices: Devices, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TINYTX_STORE", raising=False)
    path = devices.folder / "bin/docker"
    path.write_text(DOCKER.format(folder=devices.folder))
    path.chmod(0o755)
    (devices.folder / "saved").write_bytes(b"layer" * 50_000)
    (devices.folder / "here.json").write_text(facts(["a", "b"]))
    return devices.folder


def pi(platform: Any = "linux/arm64") -> Link:
    device = Device(host="pi", way="compose", platform=platform)
    return Link(Named(name="pi", device=device))


def test_an_image_that_is_not_there_or_another_one_is_sent_and_counted(folder: Path) -> None:
    for there in (None, facts(["a", "c"]), facts(["a", "b"], Env=["A=2"])):
        if there is not None:
            (folder / "there.json").write_text(there)
        link = pi()
        assert load_image("tinytx:runtime").onto(link)
        assert (folder / "loaded").read_bytes() == (folder / "saved").read_bytes()
        assert link.sent == (folder / "saved").stat().st_size
        (folder / "loaded").unlink()


def test_the_same_image_in_another_store_is_not_sent(folder: Path) -> None:
    there = facts(["a", "b"]).replace("of this store", "of that store").replace("null", "[]")
    (folder / "there.json").write_text(there)
    assert not load_image("tinytx:runtime").onto(pi())
    assert not (folder / "loaded").exists()


def test_an_image_for_another_processor_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="is for linux/arm64, pi is linux/amd64"):
        load_image("tinytx:runtime").onto(pi("linux/amd64"))


def test_an_image_that_is_not_here_is_wrong_usage(folder: Path) -> None:
    (folder / "here.json").unlink()
    with pytest.raises(UsageError, match=r"there is no image tinytx:none here: .*No such image"):
        load_image("tinytx:none")


def test_a_transfer_that_was_cut_is_no_success(folder: Path, devices: Devices) -> None:
    devices.plan("pi", {"in": "docker load", "cut": 1_000, "mute": True})
    with pytest.raises(DeviceError, match="ended without an answer"):
        load_image("tinytx:runtime").onto(pi())


@pytest.mark.parametrize("out", [b"", b"[]", b"{}", b"[1]", b"no", b"[{}, {}]"])
def test_what_is_no_description_is_none(out: bytes) -> None:
    assert described(out) is None
