"""Addresses, and where a password may and may not be."""

import pickle
from pathlib import Path

import pytest

from tinytx.errors import UsageError
from tinytx.sweep.shared.address import open_to_others, parse_address, read_password

SECRET = "sesame"


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("postgresql://tx@server/db", {"user": "tx", "host": "server", "dbname": "db"}),
        (
            "postgres://tx@10.0.0.1:5433/db?sslmode=require",
            {"user": "tx", "host": "10.0.0.1", "port": "5433", "dbname": "db",
             "sslmode": "require"},
        ),
        ("postgresql+psycopg:///db?host=/run/pg", {"host": "/run/pg", "dbname": "db"}),
    ],
)  # fmt: skip
def test_an_address_becomes_libpqs_parameters(text: str, parameters: dict[str, str]) -> None:
    address = parse_address(text, "--storage", may_hold_password=False)
    assert address.parameters == parameters
    assert address.password is None


def test_a_password_of_the_environment_is_in_no_text_no_repr_and_no_pickle() -> None:
    text = f"postgresql://tx:{SECRET}@server:5432/db"
    address = parse_address(text, "TINYTX_STORAGE", may_hold_password=True)
    assert address.password == SECRET
    assert str(address) == "postgresql://tx@server:5432/db"
    assert SECRET not in repr(address) + str(address.parameters)
    with pytest.raises(TypeError):
        pickle.dumps(address)


@pytest.mark.parametrize(
    "text",
    [f"postgresql://tx:{SECRET}@server/db", f"postgresql://tx@server/db?password={SECRET}"],
)
def test_a_password_on_the_command_line_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_address(text, "--storage", may_hold_password=False)
    assert "everyone on this machine can read" in refusal.value.message
    assert "--storage-password-file" in refusal.value.remedy
    assert SECRET not in refusal.value.message + refusal.value.remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"mysql://tx:{SECRET}@server/db", ", not mysql://"),
        ("sqlite:///a.db", ", not sqlite://"),
        ("postgresql+psycopg2://tx@server/db", ", not postgresql+psycopg2://"),
        (f"host=server password={SECRET}", "takes an address like"),
        ("", "takes an address like"),
        (f"postgresql://tx:{SECRET}", "no address like"),
        (f"postgresql://tx:pass@{SECRET}@server/db", "write the @ of a password as %40"),
        ("postgresql://tx@server", "names no database"),
        ("postgresql://tx@server:port/db", "no address like"),
    ],
)
def test_what_is_no_such_address_is_told_without_repeating_it(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_address(text, "TINYTX_STORAGE", may_hold_password=True)
    assert words in refusal.value.message
    assert SECRET not in refusal.value.message + refusal.value.remedy


def test_a_password_file_holds_one_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    assert read_password(file) == SECRET
    file.chmod(0o600)
    assert not open_to_others(file)
    file.chmod(0o640)
    assert open_to_others(file)


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo\n", b"\xff\xfe", b"a" * 5_000])
def test_a_file_of_something_else_is_refused_without_its_contents(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="--storage-password-file") as refusal:
        read_password(file)
    assert "one line" in refusal.value.message or "UTF-8" in refusal.value.message
    assert "two" not in refusal.value.message


def test_a_password_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read --storage-password-file .*No such file"):
        read_password(tmp_path / "none")
