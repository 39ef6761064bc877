"""Loss of power at random instants of a deployment: old or new, whole, serving."""

import random
import time
from typing import Any

from device import ONLY_SIZE, SHORT, Device, end


def losses(
    device: Device, count: int, seed: int, until: float, undisturbed: float = 0.0
) -> list[dict[str, Any]]:
    """``count`` losses in a row on one disk, each at an instant of 1.1 x an undisturbed deploy,
    whose seconds are measured first unless they are given.

    Ends early at ``until`` (monotonic seconds). Raises AssertionError where a start does not
    serve the old or the new release whole.
    """
    names = {device.id(name): name for name in ("one", "two")}
    device.ssh(f"{SHORT}; {ONLY_SIZE}")  # no speed is proven here: more instants for all else
    if device.settled()["current"] is None:
        assert device.deploy("one").returncode == 0
    draw = random.Random(seed)
    undisturbed = undisturbed or _undisturbed(device, names)
    print(f"  an undisturbed deployment takes {undisturbed:.0f} s", flush=True)
    seen: list[dict[str, Any]] = []
    state = _state(device)
    while len(seen) < count and time.monotonic() < until:
        old = names[state["serves"]]
        new = "two" if old == "one" else "one"
        _forget(device, device.id(new))
        instant = draw.uniform(0, 1.1 * undisturbed)
        process = device.begun(*device.deploy_words(new))
        time.sleep(instant)
        device.machine.lose_power()
        end(process)
        row, state = _after(device, old, new, len(state["journal"]))
        seen.append({"loss": len(seen) + 1, "instant": round(instant, 1), **row})
        print(f"  {seen[-1]}", flush=True)
    _undisturbed(device, names)
    return seen


def _after(device: Device, old: str, new: str, known: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Started again: what is served, whether it is whole, and how the device decides. The journal
    had ``known`` lines before. A row, and the state in the end."""
    booted = device.machine.start()
    first = _state(device)
    assert first["serves"] in {device.id(old), device.id(new)}, first
    told = device.settled()
    while (last := _state(device))["serves"] != told["current"]:
        time.sleep(1)
    assert last["current"] == told["current"] in {device.id(old), device.id(new)}, last
    (line,) = [one for one in told["releases"] if one["id"] == device.id(new)] or [{}]
    lost = [
        state
        for now, release, state in first["journal"][known:]
        if not now and release == device.id(new)
    ]
    row = {
        "lost": ["no line yet", *lost][-1],
        "boot": round(booted),
        "served": "new" if first["serves"] == device.id(new) else "old",
        "settled": "new" if told["current"] == device.id(new) else "old",
        "new": f"{line.get('state', 'nothing')} {line.get('why', '')}".strip(),
    }
    return row, last


def _state(device: Device) -> dict[str, Any]:
    """What the device serves, its files whole, and its journal."""
    state = device.inside("look", "240")
    assert state["wrong"] == [], state
    assert state["health"]["status"] == "ok", state
    return state


def _undisturbed(device: Device, names: dict[str, str]) -> float:
    """Seconds of a deployment of the release that is not served, all files sent."""
    new = "two" if names[device.settled()["current"]] == "one" else "one"
    _forget(device, device.id(new))
    began = time.monotonic()
    ended = device.deploy(new)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    seconds = time.monotonic() - began
    assert device.settled()["current"] == device.id(new) == device.serves()
    return seconds


def _forget(device: Device, release: str) -> None:
    """The release's folder goes, so that the deployment has all its states to go through."""
    device.ssh(f"chmod -R u+w /var/lib/tinytx/releases/{release}; "
               f"rm -rf /var/lib/tinytx/releases/{release}", check=False)  # fmt: skip
