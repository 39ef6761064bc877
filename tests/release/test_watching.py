"""The watch decides alone: by health, by the deadline, and after it was cut off itself."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.release.stores import Device
from tinytx.release import clock, states, watching
from tinytx.release.health import Answer
from tinytx.release.journal import read
from tinytx.release.policy import Policy
from tinytx.release.states import Entry
from tinytx.release.store import Store
from tinytx.release.trial import TWICE

Ask = Callable[..., Answer]


@pytest.fixture
def trial(device: Device) -> Device:
    """A is committed, B on trial, and time flies."""
    (device.folder.parent / "store").mkdir()
    quick(device.root, watch=1.0, deadline=2.0)
    device.deploy("A")
    device.prepare("B")
    device.switch("B")
    return device


def quick(root: Path, watch: float, deadline: float, address: str = "") -> None:
    lines = [f"watch_seconds = {watch}", f"deadline_seconds = {deadline}"]
    lines += [f'health = "{address}"'] if address else []
    (root / "device.toml").write_text("\n".join(lines))


def healthy(release: str) -> Ask:
    def ask(address: str, path: str, **options: object) -> Answer:
        if path == "/health":
            return Answer(200, {"status": "ok", "release": release}, "")
        return Answer(200, {"choices": [{}]}, "")

    return ask


def decide(device: Device, ask: Ask) -> None:
    watching.decide(Store(device.root), pause=0.02, ask=ask)


def test_a_healthy_release_is_committed(trial: Device) -> None:
    decide(trial, healthy(trial.id("B")))
    assert trial.current == "B"
    assert trial.lines("B")[-4:] == [
        "watched begin", "watched done", "committed begin", "committed done",
    ]  # fmt: skip


def test_a_release_that_the_service_never_takes_goes_back_at_the_deadline(trial: Device) -> None:
    decide(trial, healthy(trial.id("A")))
    assert trial.current == "A"
    assert trial.lines("B")[-1] == "rolled-back done"
    assert trial.why("B").startswith("not healthy within 2 s of the switch; the last word: health:")


def test_a_release_that_becomes_unhealthy_goes_back_with_what_was_seen(trial: Device) -> None:
    answers = iter([200, 200, 500, 500, 500])

    def ask(address: str, path: str, **options: object) -> Answer:
        if path != "/health":
            return Answer(200, {"choices": [{}]}, "")
        return Answer(next(answers), {"status": "ok", "release": trial.id("B")}, "")

    decide(trial, ask)
    assert trial.current == "A"
    assert trial.why("B") == "unhealthy 3 times in a row: health: ok (500)"


def test_the_first_release_that_fails_leaves_nothing_to_serve(device: Device) -> None:
    device.root.mkdir()
    quick(device.root, watch=1.0, deadline=2.0)
    device.prepare("A")
    device.switch("A")
    decide(device, healthy("another"))
    assert (device.current, os.path.lexists(device.root / "current")) == ("", False)


def test_the_way_back_is_not_to_a_damaged_release_but_to_the_one_before_it(
    device: Device,
) -> None:
    device.deploy("C", "A")
    device.prepare("B")
    device.switch("B")
    graph = device.store.release(device.id("A")) / "model.onnx"
    graph.chmod(0o644)
    graph.write_bytes(b"damaged")
    device.decide("it is bad")
    assert device.current == "C"
    assert (
        device.why("B")
        == f"it is bad; the release before, {device.id('A')[:12]}, is damaged or gone"
    )


def test_who_decides_by_hand_ends_the_watch(trial: Device) -> None:
    calls = []

    def ask(address: str, path: str, **options: object) -> Answer:
        calls.append(path)
        if len(calls) == 3:
            trial.decide("by hand")
        return Answer(0, {}, "no answer")

    decide(trial, ask)
    assert trial.current == "A"
    assert trial.why("B") == "by hand"
    assert len(calls) < 10


def test_a_watch_that_was_stopped_does_not_decide_about_a_later_switch_to_the_same_release(
    trial: Device,
) -> None:
    good, asked = healthy(trial.id("B")), 0

    def ask(address: str, path: str, **options: object) -> Answer:
        nonlocal asked
        asked += 1
        if asked == 1:  # meanwhile
            trial.decide("by hand")
            trial.prepare("B")
            trial.switch("B")
        return good(address, path)

    decide(trial, ask)
    assert (trial.current, trial.lines("B")[-1]) == ("B", "switched done")
    decide(trial, good)
    assert trial.lines("B")[-1] == "committed done"


def test_a_watch_that_was_cut_off_twice_means_the_way_back(trial: Device) -> None:
    class Killed(Exception):
        pass

    def ask(address: str, path: str, **options: object) -> Answer:
        raise Killed

    for attempt in (1, 2):
        with pytest.raises(Killed):
            decide(trial, ask)
        assert trial.current == "B"
        line = read(trial.root / "journal").entries[-1]
        assert (line.state, line.phase, line.extra) == ("watched", "begin", {"attempt": attempt})
    decide(trial, ask)
    assert trial.current == "A"
    assert trial.why("B") == "the watch was interrupted twice"


def test_recovery_takes_back_what_was_watched_twice_and_starts_a_watch_else(
    trial: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(watching, "start", lambda store, delay=0.0: started.append(delay))
    journal = Store(trial.root).journal("test")
    for attempt in (1, 2):
        trial.recover()
        assert started == [0.0] * attempt
        journal.add(trial.id("B"), "watched", "begin", attempt=attempt)
    assert trial.recover() == [f"{trial.id('B')[:12]} was rolled back: {TWICE}"]
    assert len(started) == 2
    assert trial.current == "A"


def test_a_device_file_that_cannot_be_read_does_not_keep_the_way_back_shut(
    trial: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trial.root / "device.toml").write_text("nonsense")
    monkeypatch.setattr(watching, "Policy", lambda: Policy(watch_seconds=1, deadline_seconds=2))
    decide(trial, healthy("another"))
    assert trial.current == "A"


def line(state: Any, uptime: float, boot: str, **extra: object) -> Entry:
    return Entry(1, "", boot, uptime, "B", state, "begin", "", "", dict(extra))


def test_the_deadline_counts_from_the_switch_by_time_since_the_boot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "boot", lambda: "this")
    monkeypatch.setattr(clock, "uptime", lambda: 150.0)
    policy = Policy(deadline_seconds=100)
    now = [line("switched", 90.0, "this", **{"from": "A"}), line("watched", 140.0, "this")]
    assert watching.seconds_left(now, "B", policy) == 40.0
    before = [line("switched", 90.0, "that", **{"from": "A"}), line("watched", 95.0, "that")]
    assert watching.seconds_left(before, "B", policy) == 100.0
    again = [*before, line("watched", 120.0, "this")]
    assert watching.seconds_left(again, "B", policy) == 70.0
    second = [*now, line("switched", 149.0, "this", **{"from": "A"})]
    assert watching.seconds_left(second, "B", policy) == 99.0


class Service(BaseHTTPRequestHandler):
    """A service that serves whatever current leads to."""

    root: Path

    def do_GET(self) -> None:
        release = (self.root / "current").readlink().name
        self._say({"status": "ok", "release": release})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say({"choices": [{"text": " a"}]})

    def _say(self, document: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def service(device: Device) -> Iterator[str]:
    handler = type("Here", (Service,), {"root": device.root})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def until(what: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.long
def test_a_watch_outlives_the_session_that_switched_and_commits_in_less_than_25_mb(
    device: Device, service: str
) -> None:
    """The real ``switch`` in a session of its own, all of whose processes are then killed."""
    device.root.mkdir()
    quick(device.root, watch=2.0, deadline=60.0, address=service)
    device.prepare("A")
    command = [sys.executable, "-m", "tinytx.cli.main", "release", "switch", device.id("A")]
    shell = subprocess.Popen(
        ["sh", "-c", '"$@"; sleep 600', "sh", *command, "--store", str(device.root)],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until(lambda: "watched begin" in device.lines())
    who = json.loads((device.root / "watch.lock").read_bytes())
    open_files = [os.readlink(p) for p in Path(f"/proc/{who['pid']}/fd").iterdir()]  # noqa: PTH115
    resident = resident_bytes(who["pid"])
    os.killpg(shell.pid, signal.SIGKILL)
    shell.communicate()
    assert os.getsid(who["pid"]) == who["pid"]
    outside = {name for name in open_files if not name.startswith((str(device.root), "socket:"))}
    assert outside == {"/dev/null"}
    assert resident < 25e6
    until(lambda: "committed done" in device.lines())
    assert device.current == "A"
    with suppress(ProcessLookupError):
        until(lambda: not Path(f"/proc/{who['pid']}").exists())


def test_a_watch_without_an_end_waits_small_and_takes_what_is_switched_to(
    device: Device, service: str
) -> None:
    device.root.mkdir()
    quick(device.root, watch=1.0, deadline=60.0, address=service)
    command = [sys.executable, "-m", "tinytx.cli.main", "release", "watch"]
    watch = subprocess.Popen([*command, "--store", str(device.root)], stderr=subprocess.PIPE)
    try:
        until(lambda: (device.root / "watch.lock").exists())
        device.prepare("A")
        device.switch("A")
        until(lambda: "committed done" in device.lines())
        assert states.on_trial(read(device.root / "journal").entries) is None
        assert resident_bytes(watch.pid) < 25e6
        assert watch.poll() is None
    finally:
        watch.terminate()
        said = watch.communicate()[1]
    assert watch.returncode == 130, said


def test_a_way_back_on_a_disk_where_nothing_can_be_written_still_moves_the_link(
    trial: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write and every new name fails; a rename of what is there does not."""

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        patch.setattr(os, "symlink", full)
        with pytest.raises(Exception, match="No space left"):
            trial.decide("it is bad")
        assert trial.current == "A"
    assert trial.recover() == [f"{trial.id('B')[:12]} was rolled back: current no longer led to it"]
    assert trial.current == "A"
    assert states.on_trial(read(trial.root / "journal").entries) is None
