"""The signed statement: each way in which it is none is told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.release.keys import make_key, public
from tinytx.bundle import encode
from tinytx.checklist.items import State
from tinytx.checklist.signature import signed
from tinytx.errors import BundleError, UsageError
from tinytx.release.signing import sign
from tinytx.release.statement import make, seal

ID, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "key")


def envelope(key: Path, about: str = ID, days: int = 30, ago: int = 0) -> Path:
    """A statement made so many days ago, and its signature, beside the key."""
    made = make(about, 3, "stable", "kitchen", days, datetime.now(UTC) - timedelta(days=ago))
    text = encode(made)
    path = key.parent / "stable.json"
    path.write_bytes(seal(text, sign(text, key)))
    return path


def allowed(key: Path) -> Path:
    path = key.parent / "signers"
    path.write_text(f"me {public(key)}\n")
    return path


def test_a_good_signature_of_somebody_known_is_done(key: Path) -> None:
    found = signed(ID, envelope(key), allowed(key))
    assert found.state is State.DONE, found
    assert found.told.startswith("serial 3, signed by SHA256:")


def test_whether_an_unknown_key_may_sign_cannot_be_told(key: Path) -> None:
    found = signed(ID, envelope(key), None)
    assert found.state is State.UNKNOWN
    assert "--signers FILE would tell" in found.told


@pytest.mark.parametrize("known", [True, False])
def test_what_does_not_speak_of_this_bundle_today_is_not_done(key: Path, known: bool) -> None:
    signers = allowed(key) if known else None
    found = signed(ID, envelope(key, about=OTHER), signers)
    assert (found.state, "about another bundle" in found.told) == (State.NOT_DONE, True), found
    found = signed(ID, envelope(key, days=10, ago=20), signers)
    assert (found.state, "statement expired" in found.told) == (State.NOT_DONE, True), found


def test_another_key_no_signature_and_a_changed_statement_are_not_done(
    key: Path, tmp_path: Path
) -> None:
    stranger = make_key(tmp_path / "stranger")
    found = signed(ID, envelope(key), allowed(stranger))
    assert (found.state, "is not in this device's" in found.told) == (State.NOT_DONE, True), found
    path = envelope(key)
    whole = path.read_text()
    path.write_text(whole.replace('\\"serial\\": 3', '\\"serial\\": 4'))
    for signers in (None, allowed(key)):
        found = signed(ID, path, signers)
        assert (found.state, "damaged" in found.told) == (State.NOT_DONE, True), found
    text = encode(make(ID, 3, "stable", "", 30, datetime.now(UTC)))
    path.write_bytes(seal(text, ""))
    assert "is not signed" in signed(ID, path, None).told
    empty = tmp_path / "nobody"
    empty.write_text("# nobody\n")
    assert "names nobody" in signed(ID, envelope(key), empty).told


def test_files_that_are_none_are_told(key: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="missing"):
        signed(ID, tmp_path / "none.json", None)
    with pytest.raises(UsageError, match="allowed signers"):
        signed(ID, envelope(key), tmp_path / "none")
    (tmp_path / "page").write_text("<html>")
    found = signed(ID, tmp_path / "page", None)
    assert (found.state, "damaged" in found.told) == (State.NOT_DONE, True)
