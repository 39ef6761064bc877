"""From a web server to a release on trial, whatever the server and the connection do."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.release.keys import make_key
from tests.release.killing import killed
from tests.release.site import Site, serving
from tests.release.stores import clone, made
from tinytx.bundle import Bundle
from tinytx.cli.main import run
from tinytx.errors import (
    BudgetFailed,
    BundleError,
    DeviceError,
    LibraryError,
    MeasurementInvalid,
    TrustError,
)
from tinytx.release import (
    channel,
    fetch,
    health,
    install,
    lock,
    switch,
    trust,
    watching,
    wayback,
    work,
)
from tinytx.release import prove as proofs
from tinytx.release import pull as pulling
from tinytx.release.health import Answer
from tinytx.release.prove import Proof
from tinytx.release.publish import Wish, publish
from tinytx.release.pull import Pulled, pull
from tinytx.release.store import Store
from tinytx.release.trust import TRANSPORT_ONLY

GRAPH = "model.onnx"


@dataclass
class Device:
    """A store, a server that it pulls from, and what the proof will say."""

    store: Store
    site: Site
    key: Path
    failure: type[Exception] | None = None
    proofs: int = 0

    def pull(self, **options: Any) -> Pulled:
        self.site.forget()
        return pull(self.store.root, self.site.address, **options)

    def publish(self, bundle: Path, **changes: Any) -> None:
        publish(Wish(**{"bundle": bundle, "folder": self.site.root, "key": self.key, **changes}))

    def allow(self) -> None:
        words = f"release@example.com {Path(f'{self.key}.pub').read_text()}"
        (self.store.root / "allowed_signers").write_text(words)

    def states(self, release: str) -> list[str]:
        entries = self.store.journal("test").entries()
        return [e.state for e in entries if e.release == release and e.phase == "done"]

    def current(self) -> str:
        return self.store.target(self.store.current)

    def commit(self) -> None:
        with work.begun(self.store.root, "test") as here:
            switch.commit(here, self.current(), "tested")

    def take_back(self, why: str) -> None:
        wayback.take_back(self.store, self.store.journal("test"), self.current(), why)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound bundle."""
    return made(tmp_path_factory.mktemp("bundles") / "first", "first")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("keys") / "key")


@pytest.fixture
def device(tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A device that takes what ``key`` signs; its proof is quick and no watch is started."""
    monkeypatch.setattr(fetch, "PAUSES_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(watching, "start", lambda *_, **__: None)
    monkeypatch.setattr(health, "ask", lambda *_, **__: Answer(503, {"status": "empty"}, ""))
    (tmp_path / "site").mkdir()
    store = Store(tmp_path / "store")
    store.root.mkdir()
    with serving(tmp_path / "site") as site:
        device = Device(store, site, key)
        device.allow()

        def prove(folder: Path, *_: object, **__: object) -> Proof:
            device.proofs += 1
            facts = {"bundle": folder.name, "seconds": 0.0, "golden": {}, "rows": []}
            codes = {BudgetFailed: 7, MeasurementInvalid: 8, BundleError: 9, LibraryError: 1}
            failed = device.failure is not None
            return Proof(
                **facts, verdict="FAIL" if failed else "PASS", reason="as tested" * failed,
                exit_code=codes[device.failure] if device.failure else 0, unproven=[], report=None,
            )  # type: ignore[arg-type]  # fmt: skip

        monkeypatch.setattr(proofs, "prove", prove)
        yield device


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A release that differs from the first in one small file."""
    return made(tmp_path / "second", "second")


def remove(folder: Path) -> None:
    """A store; releases are read-only."""
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o755)
    shutil.rmtree(folder)


def graph_of(bundle: Path) -> tuple[str, int]:
    facts = Bundle(bundle).manifest.files[GRAPH]
    return facts.sha256, facts.size


def test_a_published_release_is_fetched_proved_and_switched_to(device: Device, first: Path) -> None:
    device.publish(first)
    bundle = Bundle(first)
    done = device.pull()
    assert (done.ending, done.release, done.serial, done.notes) == ("switched", bundle.id, 1, [])
    assert device.current() == bundle.id
    assert device.store.is_whole(bundle.id)
    assert device.states(bundle.id) == ["received", "verified", "proved", "switched"]
    assert device.site.paths() == [
        "/stable.json",
        f"/manifests/{bundle.id}.json",
        *(f"/files/{facts.sha256}" for facts in bundle.manifest.files.values()),
    ]
    assert (done.files, done.requests) == (len(bundle.manifest.files), len(device.site.asked))
    assert done.received == device.site.sent()


def test_nothing_new_is_one_question_without_a_body_and_nothing_is_done(
    device: Device, first: Path
) -> None:
    device.publish(first)
    device.pull()
    device.commit()
    lines = (device.store.root / "journal").read_bytes()
    for _ in range(3):
        done = device.pull()
        assert [(one.path, one.status, one.sent) for one in device.site.asked] == [
            ("/stable.json", 304, 0)
        ]
        assert (done.ending, done.requests, done.received) == ("current", 1, 0)
    assert (device.store.root / "journal").read_bytes() == lines
    assert device.proofs == 1


@pytest.mark.parametrize(
    ("etags", "dates", "condition"),
    [
        (True, True, "If-None-Match"),
        (True, False, "If-None-Match"),
        (False, True, "If-Modified-Since"),
        (False, False, None),
    ],
)
def test_the_question_bears_what_the_server_gave(
    device: Device, first: Path, etags: bool, dates: bool, condition: str | None
) -> None:
    device.publish(first)
    device.site.etags, device.site.dates = etags, dates
    device.pull()
    device.commit()
    assert device.pull().ending == "current"
    (asked,) = device.site.asked
    sent = {"If-None-Match", "If-Modified-Since"} & set(asked.headers)
    assert sent == ({condition} if condition else set())
    assert asked.status == (304 if condition else 200)


def test_once_a_day_the_whole_file_is_read_whatever_was_said_before(
    device: Device, first: Path
) -> None:
    device.publish(first)
    device.pull()
    device.commit()
    memory = device.store.root / "pull.json"
    known = json.loads(memory.read_text())
    for age in (channel.WHOLE_EVERY_SECONDS + 1, -100.0):  # a clock that was set back too
        memory.write_text(json.dumps({**known, "read_at": known["read_at"] - age}))
        done = device.pull()
        assert (done.ending, device.site.asked[0].status) == ("current", 200)
        assert device.pull().fresh is False


def test_of_the_next_release_only_what_is_new_is_fetched(
    device: Device, first: Path, second: Path
) -> None:
    device.publish(first)
    device.pull()
    device.commit()
    device.publish(second)
    done = device.pull()
    golden = Bundle(second).manifest.files["golden.json"].sha256
    assert f"/files/{golden}" in device.site.paths()
    shared = {facts.sha256 for facts in Bundle(first).manifest.files.values()}
    shared &= {facts.sha256 for facts in Bundle(second).manifest.files.values()}
    assert shared and not any(sha in path for sha in shared for path in device.site.paths())
    assert (done.serial, device.current()) == (2, Bundle(second).id)
    assert device.store.target(device.store.previous) == Bundle(first).id


def test_a_renewed_statement_about_what_runs_here_changes_nothing_else(
    device: Device, first: Path
) -> None:
    device.publish(first)
    device.pull()
    device.commit()
    device.publish(first, serial=8)
    done = device.pull()
    assert (done.ending, done.serial, done.fresh, done.requests) == ("current", 8, True, 1)


def test_a_release_on_trial_is_left_alone(device: Device, first: Path, second: Path) -> None:
    device.publish(first)
    device.pull()
    device.publish(second)
    assert device.pull().ending == "on trial"
    assert device.current() == Bundle(first).id
    device.commit()
    assert device.pull().ending == "switched"
    assert device.site.asked[0].status == 304, "what was said then counts now"


def test_what_was_taken_back_is_tried_again_only_when_somebody_asks(
    device: Device, first: Path, second: Path
) -> None:
    device.publish(first)
    device.pull()
    device.commit()
    device.publish(second)
    device.pull()
    device.take_back("it became unhealthy")
    assert device.pull().ending == "tried before"
    device.publish(second, serial=9)
    assert device.pull().ending == "tried before"
    assert device.current() == Bundle(first).id
    assert device.pull(again=True).ending == "switched"
    assert device.pull(again=True).ending == "on trial"
    device.commit()
    assert device.pull(again=True).ending == "current"


def test_what_a_person_rolled_back_after_its_commit_stays_out(
    device: Device, first: Path, second: Path
) -> None:
    for bundle in (first, second):
        device.publish(bundle)
        device.pull()
        device.commit()
    with work.begun(device.store.root, "test") as here:
        switch.roll_back(here, "it talks nonsense")
    assert device.pull().ending == "tried before"
    assert device.current() == Bundle(first).id


def test_a_release_that_ran_here_before_and_failed_to_install_now_is_tried_again(
    device: Device, first: Path, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bundle in (first, second):
        device.publish(bundle)
        device.pull()
        device.commit()
    device.publish(first)

    def full(*_: object, **__: object) -> None:
        raise DeviceError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(install, "trusted", full)
        with pytest.raises(DeviceError, match="the disk is full"):
            device.pull()
    assert device.states(Bundle(first).id)[-1] == "rolled-back"
    assert device.pull().ending == "switched"


def test_a_release_that_was_interrupted_before_the_switch_goes_on(
    device: Device, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.publish(first)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(switch, "switch", die)
        with pytest.raises(KeyboardInterrupt):
            device.pull()
    done = device.pull()
    assert (done.ending, done.files) == ("switched", 0)
    assert not device.site.sent("/files/")


@pytest.mark.parametrize("stride", [15, pytest.param(1, marks=pytest.mark.long)])
def test_killed_at_any_step_the_next_pull_ends_what_it_began(
    device: Device, first: Path, second: Path, stride: int
) -> None:
    device.publish(first)
    device.pull()
    device.commit()
    device.publish(second)
    start, step, served = device.store.root.with_name("start"), 1, set()
    clone(device.store.root, start)
    address = f"file://{device.site.root}"
    while killed(lambda: pull(device.store.root, address), step):
        served.add(device.current())
        assert device.store.is_whole(device.current())
        assert pull(device.store.root, address).ending in ("switched", "on trial")
        served.add(device.current())
        assert device.store.is_whole(device.current())
        remove(device.store.root)
        clone(start, device.store.root)
        step += stride
    assert step > 40
    assert served == {Bundle(first).id, Bundle(second).id}
    assert device.current() == Bundle(second).id


def test_where_no_service_is_to_take_it_a_release_is_not_tried(
    device: Device, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch would take it back, and it would never be tried again."""
    device.publish(first)
    with monkeypatch.context() as patch:
        patch.setattr(
            health, "ask", lambda *_, **__: Answer(0, {}, "no answer: Connection refused")
        )
        with pytest.raises(DeviceError, match="no service is at http://127"):
            device.pull()
    assert (device.current(), device.proofs) == ("", 0)
    assert device.pull().ending == "switched"
    assert not device.site.sent("/files/")


def test_a_transfer_that_is_under_way_is_not_mixed_with(device: Device, first: Path) -> None:
    device.publish(first)
    device.store.incoming.mkdir()
    with (
        lock.held(device.store.receive_lock, "release receive"),
        pytest.raises(DeviceError, match=r"`tinytx release receive` .* is at work"),
    ):
        device.pull()
    assert device.pull().ending == "switched"


@pytest.mark.parametrize(("failure", "tries"), [(BudgetFailed, 1), (BundleError, 1)])
def test_a_release_that_fails_its_proof_is_not_proved_every_hour(
    device: Device, first: Path, failure: type[Exception], tries: int
) -> None:
    device.publish(first)
    device.failure = failure
    with pytest.raises(failure, match="as tested"):
        device.pull()
    done = device.pull()
    assert (done.ending, done.notes) == ("tried before", ["as tested"])
    assert (device.proofs, device.current()) == (tries, "")


@pytest.mark.parametrize("failure", [MeasurementInvalid, LibraryError])
def test_a_proof_without_a_verdict_is_made_again_three_times_at_most(
    device: Device, first: Path, failure: type[Exception]
) -> None:
    device.publish(first)
    device.failure = failure
    for _ in range(pulling.PROOFS_AT_MOST):
        with pytest.raises(failure, match="as tested"):
            device.pull()
    assert not device.site.sent("/files/"), "the files are here since the first time"
    assert device.pull().ending == "tried before"
    device.failure = None
    assert device.pull(again=True).ending == "switched"


def test_before_a_byte_of_it_is_fetched_a_release_must_be_trusted(
    device: Device, first: Path, tmp_path: Path
) -> None:
    device.publish(first, key=make_key(tmp_path / "stranger"))
    for _ in range(2):
        with pytest.raises(TrustError, match="allowed_signers"):
            device.pull()
        assert device.site.paths() == ["/stable.json"]
        assert device.site.asked[0].status == 200, "no validator of it is kept"
    assert not list(device.store.statements.iterdir())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"key": None}, "is not signed"),
        ({"group": "kitchen"}, "for the group kitchen"),
    ],
)
def test_what_is_not_for_this_device_is_refused(
    device: Device, first: Path, change: dict[str, Any], told: str
) -> None:
    device.publish(first, **change)
    with pytest.raises(TrustError, match=told):
        device.pull()


def test_another_channels_statement_under_this_ones_name_is_refused(
    device: Device, first: Path
) -> None:
    device.publish(first, channel="beta")
    shutil.copy(device.site.root / "beta.json", device.site.root / "stable.json")
    with pytest.raises(TrustError, match="for the channel beta; this device follows stable"):
        device.pull()
    (device.store.root / "device.toml").write_text('channel = "beta"\n')
    assert device.pull().ending == "switched"
    assert device.site.paths()[0] == "/beta.json"


def test_an_older_release_is_not_gone_back_to(device: Device, first: Path, second: Path) -> None:
    device.publish(first)
    old = (device.site.root / "stable.json").read_bytes()
    device.publish(second)
    device.pull()
    device.commit()
    (device.site.root / "stable.json").write_bytes(old)
    with pytest.raises(TrustError, match="serial 1, older than 2"):
        device.pull()


def test_a_device_without_allowed_signers_says_so_every_time_that_it_takes_something(
    device: Device, first: Path
) -> None:
    (device.store.root / "allowed_signers").unlink()
    device.publish(first, key=None)
    assert device.pull().notes == [TRANSPORT_ONLY, pulling.OPEN]
    device.commit()
    done = pull(device.store.root, f"file://{device.site.root}")
    assert done.notes == [TRANSPORT_ONLY]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "damaged"),
        (b"<html>log in here</html>", "damaged"),
        (b"\x00" * 1000, "damaged"),
        (b'{"schema": 1, "statement": "{}", "signature": ""}', "damaged"),
        (b" " * 70_000, "larger than it may be"),
    ],
)
def test_a_channel_that_is_none_is_refused(
    device: Device, first: Path, content: bytes, told: str
) -> None:
    device.publish(first)
    device.site.replaced["stable"] = content
    with pytest.raises(BundleError, match=told) as caught:
        device.pull()
    assert caught.value.exit_code == 9
    device.site.replaced.clear()
    assert device.pull().ending == "switched"


def test_an_endless_channel_is_left(device: Device, first: Path) -> None:
    device.publish(first)
    device.site.endless = "stable"
    with pytest.raises(BundleError, match="larger than it may be"):
        device.pull()


def test_a_transfer_that_is_cut_goes_on_where_it_was(device: Device, first: Path) -> None:
    device.publish(first)
    sha, size = graph_of(first)
    device.site.cuts = [(sha, size // 3), (sha, size // 3)]
    assert device.pull().ending == "switched"
    asked = [one for one in device.site.asked if sha in one.path]
    assert [one.status for one in asked] == [200, 206, 206]
    assert [one.headers.get("Range") for one in asked] == [
        None, f"bytes={size // 3}-", f"bytes={size // 3 * 2}-",
    ]  # fmt: skip
    assert len({one.headers.get("If-Range") for one in asked[1:]} - {None}) == 1
    assert device.site.sent(sha) == size, "not a byte twice"


def test_a_later_pull_goes_on_with_what_an_earlier_one_got(
    device: Device, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.publish(first)
    sha, size = graph_of(first)
    monkeypatch.setattr(fetch, "PAUSES_SECONDS", ())
    device.site.cuts = [(sha, size // 2)]
    with pytest.raises(DeviceError, match="was cut"):
        device.pull()
    device.pull()
    (asked,) = [one for one in device.site.asked if sha in one.path]
    assert asked.headers["Range"] == f"bytes={size // 2}-"
    assert asked.headers["If-Range"]
    assert asked.sent == size - size // 2
    assert device.site.asked[0].status == 304


@pytest.mark.parametrize("fault", ["ranges", "weak"])
def test_a_server_that_knows_no_ranges_sends_the_file_anew(
    device: Device, first: Path, fault: str
) -> None:
    device.publish(first)
    sha, size = graph_of(first)
    device.site.cuts = [(sha, size // 2)]
    if fault == "ranges":
        device.site.ranges = False
    else:
        device.site.weak = True
    assert device.pull().ending == "switched"
    statuses = [one.status for one in device.site.asked if sha in one.path]
    assert statuses == ([200, 200] if fault == "ranges" else [200, 206])


def test_a_file_that_changed_on_the_server_meanwhile_is_received_anew(
    device: Device, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First half of another file of the same length: the server's new validator says so."""
    device.publish(first)
    sha, size = graph_of(first)
    path = device.site.root / "files" / sha
    good = path.read_bytes()
    path.write_bytes(bytes(size))
    device.site.cuts = [(sha, size // 2)]
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "PAUSES_SECONDS", ())
        with pytest.raises(DeviceError, match="was cut"):
            device.pull()
    path.write_bytes(good)
    assert device.pull().ending == "switched"
    statuses = [one.status for one in device.site.asked if sha in one.path]
    assert statuses == [200, 200], "If-Range failed; the mixture failed its hash; then all of it"


def test_a_part_that_begins_elsewhere_is_not_appended(device: Device, first: Path) -> None:
    device.publish(first)
    sha, size = graph_of(first)
    device.site.cuts = [(sha, size // 2)]
    device.site.wrong_part = sha
    assert device.pull().ending == "switched"
    statuses = [one.status for one in device.site.asked if sha in one.path]
    assert statuses == [200, 206, 200]


@pytest.mark.parametrize("where", ["first", "all"])
def test_a_damaged_file_never_gets_its_name(device: Device, first: Path, where: str) -> None:
    device.publish(first)
    sha, size = graph_of(first)
    good = (device.site.root / "files" / sha).read_bytes()
    device.site.replaced[sha] = b"x" + good[1:] if where == "first" else bytes(size)
    with pytest.raises(BundleError, match=f"{GRAPH} is damaged there"):
        device.pull()
    assert not (device.store.incoming / sha).exists()
    assert device.current() == ""
    device.site.replaced.clear()
    assert device.pull().ending == "switched", "damage at the server is no trial of the release"


@pytest.mark.parametrize("more", [-5, 5])
def test_a_lying_length_is_told(device: Device, first: Path, more: int) -> None:
    device.publish(first)
    sha, size = graph_of(first)
    device.site.longer[sha] = more
    with pytest.raises(DeviceError, match=f"announces {size + more} bytes, not {size}"):
        device.pull()
    assert device.site.sent(sha) <= 4 * size


def test_an_endless_file_is_left_at_its_size(device: Device, first: Path) -> None:
    device.publish(first)
    sha, _ = graph_of(first)
    device.site.endless = sha
    with pytest.raises(BundleError, match="is damaged there"):
        device.pull()
    assert not list(device.store.incoming.glob(f"{sha}*"))


def test_a_server_without_lengths_is_fine(device: Device, first: Path) -> None:
    device.publish(first)
    device.site.lengths = False
    assert device.pull().ending == "switched"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_servers_bad_moment_passes(device: Device, first: Path, status: int) -> None:
    device.publish(first)
    device.site.statuses = [("/files/", status), ("/files/", status), ("/manifests/", status)]
    assert device.pull().ending == "switched"


def test_a_channel_that_cannot_be_read_is_asked_for_once(device: Device, first: Path) -> None:
    """10,000 devices must not ask four times as often when their server is down."""
    device.publish(first)
    device.site.statuses = [("stable", 503)]
    with pytest.raises(DeviceError, match="503"):
        device.pull()
    assert device.site.paths() == ["/stable.json"]


def test_what_is_missing_on_the_server_is_told(device: Device, first: Path) -> None:
    with pytest.raises(DeviceError, match="answered 404"):
        device.pull()
    device.publish(first)
    sha, _ = graph_of(first)
    (device.site.root / "files" / sha).unlink()
    with pytest.raises(DeviceError, match=f"{sha} answered 404"):
        device.pull()


def test_the_manifest_of_another_bundle_is_refused(
    device: Device, first: Path, second: Path
) -> None:
    device.publish(first)
    other = (second / "manifest.json").read_bytes()
    device.site.replaced["/manifests/"] = other
    with pytest.raises(BundleError, match="the manifest of another bundle"):
        device.pull()
    device.site.replaced["/manifests/"] = other[:-50]
    with pytest.raises(BundleError):
        device.pull()
    assert not any("/files/" in path for path in device.site.paths())


def test_a_pull_ends_at_its_time_limit_and_keeps_what_came(device: Device, first: Path) -> None:
    device.publish(first)
    sha, _ = graph_of(first)
    device.site.silent = sha
    with pytest.raises(DeviceError, match="took longer than"):
        device.pull(time_limit=0.5)
    device.site.silent = ""
    assert device.pull().ending == "switched"


def test_damage_to_what_was_remembered_only_costs_a_question(device: Device, first: Path) -> None:
    device.publish(first)
    device.pull()
    device.commit()
    for content in (b"", b"null", b"{" * 100_000, b'{"schema": 1, "url": 5}'):
        (device.store.root / "pull.json").write_bytes(content)
        assert device.pull().ending == "current"
        assert device.pull().fresh is False


def test_another_address_is_asked_as_if_for_the_first_time(device: Device, first: Path) -> None:
    device.publish(first)
    device.pull()
    device.commit()
    done = pull(device.store.root, f"file://{device.site.root}")
    assert (done.ending, done.fresh) == ("current", True)
    done = pull(device.store.root, f"file://{device.site.root}")
    assert (done.ending, done.fresh, done.received) == ("current", False, 0)


def test_a_folder_is_pulled_from_without_a_server(device: Device, first: Path) -> None:
    device.publish(first)
    done = pull(device.store.root, f"file://{device.site.root}/")
    assert (done.ending, device.site.asked) == ("switched", [])


def test_a_statement_that_nobody_renewed_is_noted_where_it_runs_already(
    device: Device, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.publish(first, expires_days=1)
    device.pull()
    device.commit()
    import datetime as dates

    class Later(dates.datetime):
        @classmethod
        def now(cls, tz: dates.tzinfo | None = None) -> "Later":  # type: ignore[override]
            return cls.fromtimestamp(super().now(tz).timestamp() + 2 * 86_400, tz)

    monkeypatch.setattr(pulling, "datetime", Later)
    monkeypatch.setattr(trust, "datetime", Later)
    for known in (True, False):
        if not known:
            (device.store.root / "pull.json").unlink()
        done = device.pull()
        assert (done.ending, done.fresh) == ("current", not known)
        (note,) = done.notes
        assert note.startswith("the channel's statement has expired")


def test_the_command_tells_what_it_did(
    device: Device, first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device.publish(first)
    words = ["release", "--store", str(device.store.root), "pull", device.site.address]
    assert run([*words, "--random-delay", "0.01", "--json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["schema"], document["ending"]) == (1, "switched")
    assert "is switched to and being watched" in printed.err


@pytest.mark.parametrize(
    ("address", "code"),
    [("https://me:hunter2@127.0.0.1/x", 64), ("http://127.0.0.1:1/x", 10), ("gopher://x/y", 64)],
)
def test_a_wrong_address_is_told_in_words_and_as_json(
    device: Device, capsys: pytest.CaptureFixture[str], address: str, code: int
) -> None:
    assert run(["release", "--store", str(device.store.root), "pull", address, "--json"]) == code
    printed = capsys.readouterr()
    assert json.loads(printed.out)["exit_code"] == code
    assert "hunter2" not in printed.out + printed.err


def test_the_delay_is_drawn_between_nothing_and_its_limit_and_waited_for_with_little_loaded(
    device: Device,
) -> None:
    script = (
        "import random, sys, time\n"
        "random.uniform = lambda *limits: print(limits) or 7.0\n"
        "def sleep(seconds):\n"
        "    heavy = {'ssl', 'http.client', 'msgspec', 'numpy'} & set(sys.modules)\n"
        "    sys.exit(f'{seconds} {heavy}')\n"
        "time.sleep = sleep\n"
        "from tinytx.cli.main import cli\n"
        f"cli(['release', 'pull', '{device.site.address}', '--random-delay', '600'])"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("(0.0, 600.0)\n", "7.0 set()\n")
    assert device.site.asked == []


def test_no_secret_is_written_down(
    device: Device, first: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    device.publish(first)
    device.pull()
    secret = device.key.read_text().splitlines()[2]
    kept = [path for path in device.store.root.rglob("*") if path.is_file()]
    published = [path for path in device.site.root.rglob("*") if path.is_file()]
    for path in (*kept, *published):
        assert secret.encode() not in path.read_bytes()
        assert str(device.key).encode() not in path.read_bytes()
    assert secret not in caplog.text
