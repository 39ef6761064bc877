"""What a device lets in and what it refuses, with real keys and the real ssh-keygen."""

import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.release.keys import (
    BUNDLE,
    DAY,
    NOW,
    Policy,
    judged,
    make_key,
    public,
    signature,
    signed,
    text_of,
    typed,
)  # fmt: skip
from tinytx.errors import DeviceError, TrustError
from tinytx.release import keygen, trust
from tinytx.release.trust import TRANSPORT_ONLY, Signed

IN_1970 = datetime(1970, 1, 1, 0, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("good", "stranger", "authority"):
        make_key(folder / name)
    return folder


@pytest.fixture
def good(keys: Path) -> Path:
    return keys / "good"


@pytest.fixture
def store(tmp_path: Path, good: Path) -> Path:
    """A device that takes what the key ``good`` signs."""
    root = tmp_path / "store"
    root.mkdir()
    allow(root, f"release@example.com {public(good)}")
    return root


def allow(store: Path, *lines: str) -> None:
    (store / "allowed_signers").write_text("".join(f"{line}\n" for line in lines))


def refusal(store: Path, *arguments: object, **options: object) -> str:
    """The one sentence with which a device refuses."""
    with pytest.raises(TrustError) as caught:
        judged(store, *arguments, **options)  # type: ignore[arg-type]
    assert caught.value.exit_code == 9
    assert "\n" not in caught.value.message
    return caught.value.message


def fingerprint(key: Path) -> str:
    (found,) = re.findall(rb"SHA256:\S+", typed("ssh-keygen", "-l", "-f", f"{key}.pub"))
    return str(found.decode())


def test_a_signed_release_is_let_in_and_its_signer_is_named(store: Path, good: Path) -> None:
    trusted = judged(store, signed(good), committed=5)
    assert (trusted.serial, trusted.channel, trusted.expires) == (5, "stable", NOW + 30 * DAY)
    assert (trusted.by, trusted.note) == (fingerprint(good), "")


def test_what_the_store_holds_is_what_is_judged(store: Path, good: Path) -> None:
    """By the machine's own clock."""
    now = datetime.now(UTC).replace(microsecond=0)
    what = signed(good, made_at=now - DAY, expires_at=now + DAY)
    with pytest.raises(TrustError, match="is not signed"):
        trust.check(store, BUNDLE, Policy(), None)
    trust.keep(store, BUNDLE, what)
    assert trust.check(store, BUNDLE, Policy(), None).by == fingerprint(good)
    trust.keep(store, BUNDLE, Signed(what.statement, ""))  # no signature of before is left there
    with pytest.raises(TrustError, match="is not signed"):
        trust.check(store, BUNDLE, Policy(), None)


def test_an_unsigned_release_is_refused(store: Path) -> None:
    assert refusal(store, None).startswith(f"release {BUNDLE[:12]} is not signed")
    assert "is not signed" in refusal(store, Signed(text_of(), ""))


def test_an_unknown_key_is_refused_by_its_fingerprint(store: Path, keys: Path) -> None:
    told = refusal(store, signed(keys / "stranger"))
    assert told == (
        f"the key {fingerprint(keys / 'stranger')} that signed the release is not in this "
        "device's allowed_signers"
    )


def test_a_signature_for_another_purpose_is_refused(store: Path, good: Path) -> None:
    text = text_of()
    told = refusal(store, Signed(text, signature(good, text, "file")))
    assert told == "the signature was made for 'file', not for tinytx-release"


def test_a_key_that_is_allowed_for_another_purpose_only_is_refused(store: Path, good: Path) -> None:
    allow(store, f'release@example.com namespaces="file" {public(good)}')
    told = refusal(store, signed(good))
    assert told.startswith(f"allowed_signers does not accept the key {fingerprint(good)} at 2026")
    assert "not permitted" in told


@pytest.mark.parametrize("form", ["list", "krl"])
def test_a_revoked_key_is_refused(store: Path, good: Path, form: str) -> None:
    if form == "list":
        (store / "revoked_keys").write_bytes(Path(f"{good}.pub").read_bytes())
    else:
        typed("ssh-keygen", "-k", "-q", "-f", store / "revoked_keys", f"{good}.pub")
    told = refusal(store, signed(good))
    assert told == (
        f"revoked_keys on this device refuses the key {fingerprint(good)} that signed the release"
    )


def test_another_key_that_is_revoked_changes_nothing(store: Path, keys: Path) -> None:
    (store / "revoked_keys").write_bytes((keys / "stranger.pub").read_bytes())
    assert judged(store, signed(keys / "good")).by


@pytest.mark.parametrize("what", ["nonsense", "dangling"])
def test_revocations_that_cannot_be_read_let_nothing_in(store: Path, good: Path, what: str) -> None:
    if what == "nonsense":
        (store / "revoked_keys").write_text("nonsense\n")
    else:
        (store / "revoked_keys").symlink_to(store / "nowhere")
    assert refusal(store, signed(good)).startswith("revoked_keys on this device refuses")


def test_an_expired_statement_is_refused(store: Path, good: Path) -> None:
    told = refusal(store, signed(good), now=NOW + 30 * DAY)
    assert told == "the release's statement expired at 2026-12-30T12:00:00Z"


def test_the_statement_of_another_bundle_is_refused(store: Path, good: Path) -> None:
    told = refusal(store, signed(good, bundle="cd" * 32))
    assert told == "the statement is about another bundle: cdcdcdcdcdcd, not abababababab"


def test_an_older_serial_is_refused_unless_the_device_is_told_to_go_back(
    store: Path, good: Path
) -> None:
    told = refusal(store, signed(good), committed=6)
    assert told == "the release has serial 5, older than 6, which this device runs"
    assert judged(store, signed(good), committed=6, allow_older=True).serial == 5
    assert judged(store, signed(good), committed=4).serial == 5


def test_another_channel_is_refused(store: Path, good: Path) -> None:
    told = refusal(store, signed(good), Policy(channel="beta"))
    assert told == "the release is for the channel stable; this device follows beta"


@pytest.mark.parametrize(
    ("here", "told"),
    [
        ("", "the release is for the group kitchen; this device is in none"),
        ("attic", "the release is for the group kitchen; this device is in attic"),
    ],
)
def test_a_release_for_another_group_is_refused(
    store: Path, good: Path, here: str, told: str
) -> None:
    assert refusal(store, signed(good, group="kitchen"), Policy(group=here)) == told


def test_a_release_for_every_group_or_for_this_one_is_let_in(store: Path, good: Path) -> None:
    assert judged(store, signed(good), Policy(group="kitchen")).serial == 5
    assert judged(store, signed(good, group="kitchen"), Policy(group="kitchen")).serial == 5


@pytest.mark.parametrize("place", [3, 40, 200, -2])
def test_a_damaged_statement_is_refused(store: Path, good: Path, place: int) -> None:
    what = signed(good)
    text = bytearray(what.statement)
    text[place] ^= 1
    told = refusal(store, Signed(bytes(text), what.signature))
    assert "damaged" in told or "schema" in told


def test_a_statement_that_was_rewritten_soundly_is_refused_by_its_signature(
    store: Path, good: Path
) -> None:
    told = refusal(store, Signed(text_of(serial=6), signed(good).signature))
    assert told == "the signature is not one of this statement: one of the two is damaged"


def damaged_signatures() -> list[object]:
    return [
        pytest.param(lambda text: text[: len(text) // 2], id="cut"),
        pytest.param(lambda text: text.replace("SSH SIGNATURE", "PGP SIGNATURE"), id="of PGP"),
        pytest.param(lambda text: "\n".join([*text.splitlines()[:2], "AAAA"]), id="no end"),
        pytest.param(lambda text: text.replace("U1NIU0lH", "AAAAAAAA"), id="no magic"),
        pytest.param(lambda text: text[:44] + "////" + text[48:], id="lying length"),
        pytest.param(lambda text: text + "more", id="something behind it"),
        pytest.param(lambda text: "é" * 9, id="no ASCII"),
        pytest.param(lambda text: text.replace("\n", "\u2003", 1), id="a space of no ASCII"),
    ]


@pytest.mark.parametrize("damage", damaged_signatures())
def test_a_damaged_signature_is_refused(
    store: Path, good: Path, damage: Callable[[str], str]
) -> None:
    what = signed(good)
    told = refusal(store, Signed(what.statement, damage(what.signature)))
    assert told == "the release's signature is damaged: it is none of ssh-keygen"


def test_a_bit_of_the_signature_itself_is_enough(store: Path, good: Path) -> None:
    what = signed(good)
    lines = what.signature.splitlines()
    lines[-2] = lines[-2][:4] + ("A" if lines[-2][4] != "A" else "B") + lines[-2][5:]
    told = refusal(store, Signed(what.statement, "\n".join(lines) + "\n"))
    assert told == "the signature is not one of this statement: one of the two is damaged"


def test_a_clock_of_1970_is_said_and_the_serial_decides_only_if_that_is_allowed(
    store: Path, good: Path
) -> None:
    told = refusal(store, signed(good), now=IN_1970)
    assert told == (
        "this device's clock says 1970-01-01T00:03:00Z, earlier than the newest statement it has "
        "seen (2026-11-29T12:00:00Z): whether the release has expired cannot be told"
    )
    by_serial = Policy(allow_old_clock=True)
    trusted = judged(store, signed(good), by_serial, now=IN_1970)
    assert trusted.note.endswith("judged by serial alone")
    assert "older than 6" in refusal(store, signed(good), by_serial, 6, now=IN_1970)


def test_a_clock_behind_a_statement_that_was_trusted_before_cannot_judge_a_later_one(
    store: Path, good: Path
) -> None:
    judged(store, signed(good, serial=9))
    old = signed(good, made_at=NOW - 20 * DAY, expires_at=NOW - 10 * DAY)
    assert "clock says 2026-11-15" in refusal(store, old, now=NOW - 15 * DAY)
    assert judged(store, old, Policy(allow_old_clock=True), now=NOW - 15 * DAY).note


def test_clocks_that_differ_by_minutes_are_no_trouble(store: Path, good: Path) -> None:
    assert judged(store, signed(good, made_at=NOW + DAY / 300)).note == ""


def test_a_statement_that_nobody_vouches_for_does_not_move_the_newest_date(
    store: Path, keys: Path
) -> None:
    far = {"made_at": NOW + 3000 * DAY, "expires_at": NOW + 3001 * DAY}
    assert "allowed_signers" in refusal(store, signed(keys / "stranger", **far))
    assert "clock" in refusal(store, signed(keys / "good", **far))
    assert judged(store, signed(keys / "good")).note == ""


def test_a_damaged_record_of_the_newest_date_is_as_none(store: Path, good: Path) -> None:
    judged(store, signed(good))
    (record,) = (store / "statements").iterdir()
    record.write_text('{"schema": 1, "made_at": "9999-01-01T00:00:00Z"}')
    assert judged(store, signed(good)).note == ""
    assert "2026-11-29" in record.read_text()


def test_a_key_that_has_expired_signs_nothing_more_not_even_for_the_past(
    store: Path, good: Path
) -> None:
    allow(store, f'release@example.com valid-before="20261001Z" {public(good)}')
    backdated = signed(good, made_at=NOW - 90 * DAY)
    told = refusal(store, backdated)
    assert told.startswith(
        f"allowed_signers does not accept the key {fingerprint(good)} at 2026-11"
    )
    assert "expired" in told


def test_an_expired_key_does_not_come_to_life_when_the_clock_says_1970(
    store: Path, good: Path
) -> None:
    allow(store, f'release@example.com valid-before="20261001Z" {public(good)}')
    by_serial = Policy(allow_old_clock=True)
    assert "expired" in refusal(store, signed(good), by_serial, now=IN_1970)


def test_the_newest_date_that_was_seen_ends_a_key_too(store: Path, keys: Path) -> None:
    allow(
        store,
        f"other@example.com {public(keys / 'stranger')}",
        f'release@example.com valid-before="20261001Z" {public(keys / "good")}',
    )
    judged(store, signed(keys / "stranger"))
    backdated = signed(keys / "good", made_at=NOW - 90 * DAY)
    by_serial = Policy(allow_old_clock=True)
    assert "expired" in refusal(store, backdated, by_serial, now=IN_1970)


def test_a_key_of_tomorrow_is_refused_today(store: Path, good: Path) -> None:
    allow(store, f'release@example.com valid-after="20270101Z" {public(good)}')
    assert "not yet valid" in refusal(store, signed(good))


def test_a_date_with_a_z_means_the_same_in_every_time_zone(
    store: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(store, f'release@example.com valid-before="202611301300Z" {public(good)}')
    for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Honolulu"):
        monkeypatch.setenv("TZ", zone)
        assert judged(store, signed(good)).by
        assert "expired" in refusal(store, signed(good), now=NOW + DAY / 12)


def test_a_certificate_of_an_allowed_authority_signs_too(
    store: Path, keys: Path, tmp_path: Path
) -> None:
    allow(store, f"*@example.com cert-authority {public(keys / 'authority')}")
    key = make_key(tmp_path / "short")
    typed(
        "ssh-keygen", "-q", "-s", keys / "authority", "-I", "x", "-n", "a@example.com", f"{key}.pub"
    )
    text = text_of()
    what = Signed(text, signature(Path(f"{key}-cert.pub"), text))
    assert judged(store, what).by == fingerprint(key)
    assert "not in this" in refusal(store, signed(key))


def test_names_by_patterns_are_tried_one_after_the_other(store: Path, good: Path) -> None:
    allow(store, f"!bad@example.com,*@example.com,-x {public(good)}")
    assert judged(store, signed(good)).by == fingerprint(good)


@pytest.mark.parametrize("content", [None, "", "# nobody yet\n\n"])
def test_a_device_without_allowed_signers_says_that_it_trusts_the_transport_only(
    store: Path, good: Path, content: str | None
) -> None:
    (store / "allowed_signers").unlink()
    if content is not None:
        (store / "allowed_signers").write_text(content)
    for what in (None, Signed(text_of(), ""), signed(good)):
        trusted = judged(store, what)
        assert (trusted.by, trusted.note) == ("", TRANSPORT_ONLY)
    assert judged(store, None).serial is None
    assert judged(store, Signed(text_of(), "")).serial == 5
    assert not (store / "statements").exists(), "a date that nobody signed is not kept"


def test_what_a_statement_says_counts_without_a_signature_too(store: Path) -> None:
    (store / "allowed_signers").unlink()
    what = Signed(text_of(group="kitchen"), "")
    assert "group" in refusal(store, what)
    assert "channel" in refusal(store, what, Policy("beta", "kitchen"))
    assert "serial" in refusal(store, what, Policy(group="kitchen"), 6)
    assert "expired" in refusal(store, what, Policy(group="kitchen"), now=NOW + 99 * DAY)


@pytest.mark.parametrize("what", ["dangling", "folder", "vast"])
def test_allowed_signers_that_cannot_be_read_are_not_taken_for_none(
    store: Path, good: Path, what: str
) -> None:
    path = store / "allowed_signers"
    path.unlink()
    if what == "dangling":
        path.symlink_to(store / "nowhere")
    elif what == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(trust.MAX_ALLOWED_BYTES + 1)
    assert "allowed_signers" in refusal(store, signed(good))


def test_a_line_of_allowed_signers_that_means_nothing_is_named(store: Path, good: Path) -> None:
    allow(store, "release@example.com ssh-ed25519 nonsense")
    assert "allowed_signers does not accept" in refusal(store, signed(good))


def test_without_ssh_keygen_a_device_with_allowed_signers_says_what_to_install(
    store: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = signed(good)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(TrustError, match="no ssh-keygen") as caught:
        judged(store, what)
    assert "openssh-client" in caught.value.remedy
    (store / "allowed_signers").unlink()
    assert judged(store, what).note == TRANSPORT_ONLY


def test_an_ssh_keygen_that_hangs_is_given_up(
    store: Path, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = signed(good)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh-keygen").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "bin/ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(keygen.run, "__defaults__", (None, 0.1))
    with pytest.raises(DeviceError, match=r"no answer within 0\.1 s"):
        judged(store, what)


def test_a_file_of_the_store_that_is_too_large_is_not_read(store: Path) -> None:
    (store / "statements").mkdir()
    with (store / f"statements/{BUNDLE}.json").open("wb") as file:
        file.truncate(1_000_000)
    with pytest.raises(TrustError, match="larger than it may be"):
        trust.check(store, BUNDLE, Policy(), None)


def test_nothing_of_a_signature_or_a_key_is_written_to_a_log(
    store: Path, good: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    what = signed(good)
    told = [repr(judged(store, what)), refusal(store, what, committed=9)]
    body = what.signature.splitlines()[2]
    secret = good.read_text().splitlines()[2]
    for text in (*told, caplog.text, (store / "statements/newest").read_text()):
        assert body not in text
        assert secret not in text
