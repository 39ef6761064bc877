"""Addresses that can be pulled from, and those that are refused in a sentence."""

import pytest

from tinytx.errors import UsageError
from tinytx.release.address import base


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "no address that can be pulled from"),
        ("models.example.com/tiny", "no address that can be pulled from"),
        ("ftp://example.com/tiny", "no address that can be pulled from"),
        ("http://example.com/a b", "no address that can be pulled from"),
        ("http://example.com/a\x1b[2J", "no address that can be pulled from"),
        ("http://example.com/tiny/stable.json", "not the address of a folder"),
        ("http://example.com/tiny?token=secret", "not the address of a folder"),
        ("http://", "names no server"),
        ("http:///tiny", "names no server"),
        ("file://elsewhere/tiny", "names no folder"),
        ("file:tiny", "names no folder"),
        ("http://example.com:port/", "the address is none"),
        ("http://[::1/", "the address is none"),
        ("https://user:secret@example.com/", "a user or a password"),
    ],
)
def test_what_is_no_folders_address_is_refused(address: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        base(address)
    if "user" in address:
        assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("address", "folder"),
    [
        ("HTTPS://example.com/tiny/", "https://example.com/tiny"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("file:///srv/tiny/", "file:///srv/tiny"),
    ],
)
def test_a_folders_address_loses_its_slash(address: str, folder: str) -> None:
    assert base(address) == folder
