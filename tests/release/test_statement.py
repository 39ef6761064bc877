"""A statement has one spelling, and nothing else is taken for one."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.release.keys import BUNDLE, DAY, NOW, text_of
from tinytx.errors import TrustError, UsageError
from tinytx.release import statement


def test_what_is_made_is_read_again_and_spelled_as_the_contract_says() -> None:
    here = NOW.astimezone(timezone(timedelta(hours=5))) + timedelta(microseconds=7)
    made = statement.make(BUNDLE, 3, "stable", "", 90, here)
    text = text_of(serial=3, made_at=NOW, expires_at=NOW + 90 * DAY)
    assert statement.parse(text) == made
    assert text.decode() == (
        f'{{\n  "bundle": "{BUNDLE}",\n  "channel": "stable",\n'
        '  "expires_at": "2027-02-28T12:00:00Z",\n  "group": "",\n'
        '  "made_at": "2026-11-30T12:00:00Z",\n  "schema": 1,\n  "serial": 3\n}\n'
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"serial": 5', b'"serial": 5.5'),
        (b'"serial": 5', b'"serial": 0'),
        (b'"serial": 5', b'"serial": 05'),
        (b'"serial": 5', b'"serial":  5'),
        (b'"serial": 5', b'"serial": 5,\n  "more": 1'),
        (b'"serial": 5', b'"serial": 4,\n  "serial": 5'),
        (b'"schema": 1', b'"schema": 2'),
        (b'"stable"', b'".stable"'),
        (b'"stable"', b'"../x"'),
        (b'"stable"', b'"stable\\n"'),
        (b'"group": ""', b'"group": "a b"'),
        (b'"group": ""', b'"group": "\\u001b[2J"'),
        (BUNDLE.encode(), BUNDLE.upper().encode()),
        (BUNDLE.encode(), BUNDLE.encode() + b"\\n"),
        (b"2026-11-29T12:00:00Z", b"2026-11-29T12:00:00"),
        (b"2026-11-29T12:00:00Z", b"2026-11-29T12:00:00+00:00"),
        (b"2026-11-29T12:00:00Z", b"2027-11-29T12:00:00Z"),
        (b"2026-11-29T12:00:00Z", b"1970-01-01T00:00:00Z"),
        (b"2026-12-30T12:00:00Z", b"9999-01-01T00:00:00Z"),
        (b"}\n", b"}"),
        (b"{", b"[" * 30_000),
        (b"{", b" " * 65_000 + b"{"),
        (b"{", b"\xff{"),
    ],
)
def test_another_spelling_is_refused(before: bytes, after: bytes) -> None:
    text = text_of()
    assert before in text
    with pytest.raises(TrustError, match=r"damaged|schema|larger than") as caught:
        statement.parse(text.replace(before, after, 1))
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("raw", [b"", b"{}", b"null", b'{"schema": 1, "statement": 5}', b"\x00"])
def test_an_envelope_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(TrustError, match="envelope of statement and signature is damaged"):
        statement.unseal(raw)


def test_an_envelope_holds_both_as_they_were() -> None:
    envelope = statement.unseal(statement.seal(text_of(), "a\nb\n"))
    assert (envelope.statement.encode(), envelope.signature) == (text_of(), "a\nb\n")


def test_no_statement_is_made_by_a_clock_of_1970_or_for_a_name_that_cannot_be_one() -> None:
    with pytest.raises(UsageError, match="clock says 1970"):
        statement.make(BUNDLE, 1, "stable", "", 90, datetime(1970, 1, 2, tzinfo=UTC))
    with pytest.raises(UsageError, match="channel"):
        statement.make(BUNDLE, 1, "a b", "", 90, NOW)
    with pytest.raises(UsageError, match="group"):
        statement.make(BUNDLE, 1, "a", "../b", 90, NOW)
    with pytest.raises(UsageError, match="expires at"):
        statement.make(BUNDLE, 1, "stable", "", 90_000, NOW)
