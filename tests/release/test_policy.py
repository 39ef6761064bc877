"""``device.toml``: what it may say."""

from pathlib import Path

import pytest

from tinytx.errors import UsageError
from tinytx.release.policy import Policy, read_policy


def said(tmp_path: Path, text: str) -> str:
    path = tmp_path / "device.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_policy(path)
    return caught.value.message.removeprefix(f"{path}")


def test_without_a_file_and_in_an_empty_one_the_defaults_hold(tmp_path: Path) -> None:
    assert read_policy(tmp_path / "device.toml") == Policy()
    (tmp_path / "device.toml").write_text("")
    assert read_policy(tmp_path / "device.toml") == Policy()


def test_what_is_said_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text('channel = "beta"\ngroup = "attic"\nwatch_seconds = 5\nkeep = 2\n')
    assert read_policy(path) == Policy(channel="beta", group="attic", watch_seconds=5.0, keep=2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('chanel = "beta"', ": unknown key 'chanel'; did you mean 'channel'?"),
        ("xyzzy = 1", ": unknown key 'xyzzy'; known are schema, channel, group"),
        ("schema = 2", ": schema: expected `int` <= 1"),
        ('watch_seconds = "soon"', ": watch_seconds: expected `float`, got `str`"),
        ("keep = 1", ": keep: expected `int` >= 2"),
        ('channel = "a/b"', ": channel: expected `str` matching regex"),
        ("watch_seconds = 120", ": watch_seconds (120) must be less than deadline_seconds (120)"),
        ('health = "http://example.com:80"', ": health must be an address of this machine"),
        ('health = "https://127.0.0.1:80"', ": health must be an address of this machine"),
        ('health = "http://127.0.0.1:x"', ": health must be an address of this machine"),
        ("nonsense", " is not valid TOML:"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, text: str, words: str) -> None:
    assert said(tmp_path, text).startswith(words)
