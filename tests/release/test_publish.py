"""A folder for a static web server: whole, in order, the same when nothing is new."""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.release.keys import DAY, make_key, typed
from tests.release.killing import killed
from tests.release.stores import made
from tinytx.bundle import Bundle, parse_manifest
from tinytx.cli.main import run
from tinytx.errors import BundleError, DeviceError, UsageError
from tinytx.release import publish as publishing
from tinytx.release import signing, statement
from tinytx.release.publish import Published, Wish, publish

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound bundle."""
    return made(tmp_path_factory.mktemp("bundles") / "first", "first")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("keys") / "key")


@pytest.fixture
def wish(first: Path, tmp_path: Path, key: Path) -> Callable[..., Wish]:
    def wished(**changes: object) -> Wish:
        facts = {"bundle": first, "folder": tmp_path / "site", "key": key, **changes}
        return Wish(**facts)  # type: ignore[arg-type]

    return wished


@pytest.fixture
def other_bundle(tmp_path: Path) -> Path:
    """Another release: one file differs."""
    return made(tmp_path / "other", "other")


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its inode and the time of its last change."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in found
    }


def said(folder: Path, channel: str = "stable") -> statement.Statement:
    envelope = statement.unseal((folder / f"{channel}.json").read_bytes())
    return statement.parse(envelope.statement.encode())


def test_everything_a_device_needs_is_there_by_its_hash(
    wish: Callable[..., Wish], first: Path, key: Path
) -> None:
    done = publish(wish(), NOW)
    folder, bundle = wish().folder, Bundle(first)
    names = {facts.sha256 for facts in bundle.manifest.files.values()}
    assert {path.name for path in (folder / "files").iterdir()} == names
    for name in names:
        assert hashlib.sha256((folder / "files" / name).read_bytes()).hexdigest() == name
    (manifest,) = (folder / "manifests").iterdir()
    assert manifest.name == f"{bundle.id}.json"
    assert manifest.read_bytes() == (first / "manifest.json").read_bytes()
    assert said(folder) == done.statement
    assert (done.statement.serial, done.statement.expires_at) == (1, NOW + 90 * DAY)
    assert (done.changed, done.files) == (True, len(names))
    assert done.signed_by == signing.fingerprint(key)


def test_the_statement_apart_is_one_that_ssh_keygen_itself_checks(
    wish: Callable[..., Wish], key: Path, tmp_path: Path
) -> None:
    publish(wish())
    (tmp_path / "allowed").write_text(f"me {Path(f'{key}.pub').read_text()}")
    text = wish().folder / "statements/1.json"
    words = ("-Y", "verify", "-f", tmp_path / "allowed", "-I", "me", "-n", "tinytx-release")
    told = typed("ssh-keygen", *words, "-s", f"{text}.sig", text=text.read_bytes())
    assert told.startswith(b"Good")


def test_a_second_run_writes_nothing(wish: Callable[..., Wish]) -> None:
    first = publish(wish(), NOW)
    before = files_in(wish().folder)
    again = publish(wish(), NOW + DAY)
    assert files_in(wish().folder) == before
    assert (again.statement, again.changed) == (first.statement, False)
    assert (again.files, again.bytes) == (0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"serial": 7},
        {"group": "kitchen"},
        {"key": None},
        {"expires_days": 900},
    ],
)
def test_what_is_asked_for_otherwise_is_said_anew(
    wish: Callable[..., Wish], change: dict[str, object]
) -> None:
    publish(wish(), NOW)
    again = publish(wish(**change), NOW + DAY)
    assert again.changed
    assert again.files == 0
    assert again.statement.serial == change.get("serial", 2)


def test_another_key_and_a_damaged_signature_mean_that_it_is_signed_again(
    wish: Callable[..., Wish], tmp_path: Path
) -> None:
    publish(wish(), NOW)
    assert publish(wish(key=make_key(tmp_path / "second")), NOW).changed
    channel = wish().folder / "stable.json"
    text = statement.unseal(channel.read_bytes()).statement
    channel.write_bytes(statement.seal(text.encode(), "nonsense"))
    assert publish(wish(key=tmp_path / "second"), NOW).statement.serial == 3


def test_a_statement_with_less_than_half_of_its_days_left_is_renewed(
    wish: Callable[..., Wish],
) -> None:
    publish(wish(), NOW)
    assert not publish(wish(), NOW + 44 * DAY).changed
    renewed = publish(wish(), NOW + 46 * DAY)
    assert (renewed.changed, renewed.statement.serial) == (True, 2)


def test_serials_rise_through_all_channels_and_never_fall(
    wish: Callable[..., Wish], other_bundle: Path
) -> None:
    publish(wish(serial=10), NOW)
    beta = publish(wish(bundle=other_bundle, channel="beta"), NOW)
    assert beta.statement.serial == 11
    assert beta.files == 2, "what two bundles share is there once"
    for serial in (10, 11):
        with pytest.raises(UsageError, match="is not above 11"):
            publish(wish(bundle=other_bundle, serial=serial), NOW)
    assert said(wish().folder).serial == 10


def test_the_channel_is_written_last(
    wish: Callable[..., Wish], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    replace = Path.replace

    def noted(self: Path, target: Path) -> Path:
        order.append(str(Path(target).relative_to(wish().folder)))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    publish(wish())
    parts = [name.split("/")[0] for name in order]
    assert parts[-4:] == ["manifests", "statements", "statements", "stable.json"]
    assert set(parts[:-4]) == {"files"}


def test_a_publish_that_dies_leaves_the_channel_as_it_was(
    wish: Callable[..., Wish], other_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(wish(), NOW)
    before = (wish().folder / "stable.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "atomic_file", full)
        with pytest.raises(DeviceError, match="cannot publish the bundle: No space left"):
            publish(wish(bundle=other_bundle), NOW)
    assert (wish().folder / "stable.json").read_bytes() == before
    assert publish(wish(bundle=other_bundle), NOW).statement.serial == 2


@pytest.mark.long
def test_killed_at_every_step_it_leaves_a_channel_whose_release_is_whole(
    wish: Callable[..., Wish], other_bundle: Path
) -> None:
    publish(wish(), NOW)
    start, step = wish().folder.with_name("start"), 1
    shutil.copytree(wish().folder, start)
    new, seen = wish(bundle=other_bundle, key=None), set()
    while killed(lambda: publish(new, NOW), step):
        envelope = statement.unseal((new.folder / "stable.json").read_bytes())
        seen.add(said(new.folder).bundle)
        assert (envelope.signature == "") == (said(new.folder).bundle == Bundle(other_bundle).id)
        manifest = new.folder / f"manifests/{said(new.folder).bundle}.json"
        for facts in parse_manifest(manifest.read_bytes(), manifest).files.values():
            content = (new.folder / "files" / facts.sha256).read_bytes()
            assert hashlib.sha256(content).hexdigest() == facts.sha256
        assert publish(new, NOW).statement.bundle == Bundle(other_bundle).id
        assert not list(new.folder.rglob(".*.tmp"))
        shutil.rmtree(new.folder)
        shutil.copytree(start, new.folder)
        step += 1
    assert step > 10
    assert seen == {Bundle(wish().bundle).id, Bundle(other_bundle).id}


def test_a_damaged_file_of_the_folder_is_written_again(wish: Callable[..., Wish]) -> None:
    publish(wish(), NOW)
    victim = sorted((wish().folder / "files").iterdir())[0]
    whole = victim.read_bytes()
    victim.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert publish(wish(), NOW).files == 1
    assert victim.read_bytes() == whole


def test_publishers_at_the_same_time_take_turns(
    wish: Callable[..., Wish], other_bundle: Path
) -> None:
    wishes = [wish(), wish(bundle=other_bundle), wish(channel="beta"), wish(channel="nightly")]
    done: list[Published] = []
    threads = [threading.Thread(target=lambda w=w: done.append(publish(w))) for w in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.statement.serial for one in done) == [1, 2, 3, 4]


def test_a_damaged_bundle_is_not_published(wish: Callable[..., Wish], other_bundle: Path) -> None:
    (other_bundle / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="damaged"):
        publish(wish(bundle=other_bundle))
    assert not wish().folder.exists()


def test_a_clock_behind_the_last_statement_publishes_nothing(wish: Callable[..., Wish]) -> None:
    publish(wish(), NOW)
    with pytest.raises(UsageError, match="clock says 2026-11-29"):
        publish(wish(channel="beta"), NOW - DAY)


@pytest.mark.parametrize("content", [b"", b'{"mine": 1}', b"\xff" * 100, b" " * 70_000])
def test_a_file_of_somebody_else_is_not_overwritten(
    wish: Callable[..., Wish], content: bytes
) -> None:
    wish().folder.mkdir()
    (wish().folder / "stable.json").write_bytes(content)
    with pytest.raises((UsageError, BundleError)):
        publish(wish())
    assert (wish().folder / "stable.json").read_bytes() == content


def test_who_names_no_key_must_say_that_it_is_unsigned(
    first: Path, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["publish", str(first), str(tmp_path / "site")]
    assert run(words) == 64
    assert "--unsigned" in capsys.readouterr().err
    assert run([*words, "--unsigned", "--key", str(key)]) == 64
    assert not (tmp_path / "site").exists()
    capsys.readouterr()
    assert run([*words, "--unsigned", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["signed_by"] is None
    assert "NOT SIGNED" in printed.err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--key", "nowhere"], "there is no key nowhere"),
        (["--key", "{bundle}/manifest.json"], "holds no SSH key"),
        (["--unsigned", "--channel", "../up"], "channel"),
        (["--unsigned", "--channel", ""], "channel"),
        (["--unsigned", "--group", "a b"], "group"),
        (["--unsigned", "--serial", "0"], "serial"),
        (["--unsigned", "--expires-days", "0"], "expires-days"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_announced(
    first: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    told: str,
) -> None:
    flags = [flag.format(bundle=first) for flag in flags]
    assert run(["publish", str(first), str(tmp_path / "site"), *flags]) == 64
    assert told in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))


def test_a_key_with_a_passphrase_signs_through_an_agent_and_not_without(
    wish: Callable[..., Wish], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level("DEBUG")
    locked = make_key(tmp_path / "locked", passphrase="sesame-open")
    with pytest.raises(UsageError, match="did not sign the release") as caught:
        publish(wish(key=locked))
    secret = locked.read_text().splitlines()[2]
    for text in (str(caught.value), caught.value.remedy, caplog.text):
        assert "sesame-open" not in text
        assert secret not in text
    assert not (wish().folder / "stable.json").exists()
    socket = tmp_path / "agent"
    agent = typed("ssh-agent", "-s", "-a", socket).decode()
    process = int(agent.split("SSH_AGENT_PID=")[1].split(";")[0])
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        plain = shutil.copy(locked, tmp_path / "plain")
        typed("ssh-keygen", "-q", "-p", "-P", "sesame-open", "-N", "", "-f", plain)
        typed("ssh-add", "-q", plain)
        done = publish(wish(key=Path(f"{locked}.pub")))
    finally:
        os.kill(process, 15)
    assert done.signed_by == signing.fingerprint(locked)


def test_a_machine_without_ssh_keygen_is_told_what_to_install(
    wish: Callable[..., Wish], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(DeviceError, match="no ssh-keygen") as caught:
        publish(wish())
    assert "openssh-client" in caught.value.remedy
    assert publish(wish(key=None)).changed
