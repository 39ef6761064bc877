"""Where the database of a search is, and how a connection to it is opened.

A password comes from a file or the environment and goes to libpq alone: it is in no address that
is shown, in no repr, and an address cannot be pickled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import sqlalchemy

from tinytx.errors import UsageError

EXAMPLE = "postgresql://USER@HOST/DATABASE"
SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
HOW = "give it in a file (--storage-password-file), in PGPASSWORD or in ~/.pgpass"
IDLE_SECONDS = 30
"""A worker that is paused in the middle of a transaction loses it, and its locks, after this."""
SESSION = f"-c timezone=UTC -c idle_in_transaction_session_timeout={IDLE_SECONDS}s"
LINE: Mapping[str, str] = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",  # ms
    "application_name": "tinytx sweep",
}
"""A line that has gone dead is noticed within a minute, not after the kernel's two hours."""
LONGEST_PASSWORD = 4_096  # bytes


@dataclass(frozen=True)
class Address:
    """A PostgreSQL database, by the names of libpq's parameters."""

    parameters: Mapping[str, str]
    password: str | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        get = self.parameters.get
        user, port = (f"{get('user')}@" if get("user") else ""), get("port")
        return f"postgresql://{user}{get('host', '')}{f':{port}' if port else ''}/{get('dbname')}"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an address may hold a password and is not pickled")

    def connect(self) -> Any:
        """A new connection of psycopg's. Raises what psycopg raises."""
        import psycopg

        options = f"{self.parameters.get('options', '')} {SESSION}".strip()
        secret = {} if self.password is None else {"password": self.password}
        given: dict[str, Any] = {**LINE, **self.parameters, "options": options, **secret}
        connection = psycopg.connect(**given)
        # PGTZ in the environment would win over the option.
        connection.execute("SET TIME ZONE 'UTC'")
        connection.commit()
        return connection


def parse_address(text: str, source: str, *, may_hold_password: bool) -> Address:
    """An address of the form ``postgresql://USER@HOST:PORT/DATABASE?sslmode=...``.

    ``source`` is the flag or the variable that it comes from. Raises :class:`UsageError`, whose
    message does not repeat the address: it may hold a password.
    """
    scheme = text.partition(":")[0] if "://" in text else ""
    if scheme not in SCHEMES:
        told = f", not {scheme[:40]}://" if scheme.replace("+", "").isalnum() else ""
        raise UsageError(f"{source} takes an address like {EXAMPLE}{told}")
    try:
        url = sqlalchemy.make_url(text)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise UsageError(f"{source} is no address like {EXAMPLE}") from None
    query = {key: value if isinstance(value, str) else ",".join(value) for key, value in
             url.query.items()}  # fmt: skip
    password = query.pop("password", None) or url.password
    if password is not None and not may_hold_password:
        raise UsageError(
            f"{source} holds a password, which everyone on this machine can read in the list of "
            "processes",
            f"{HOW}, and change it",
        )
    if url.host is not None and "@" in url.host:
        raise UsageError(f"{source}: write the @ of a password as %40")
    if not url.database:
        raise UsageError(f"{source} names no database: {EXAMPLE}")
    plain = {"user": url.username, "host": url.host, "port": url.port, "dbname": url.database}
    named = {key: str(value) for key, value in plain.items() if value}
    return Address({**named, **query}, None if password is None else str(password))


def read_password(file: Path) -> str:
    """The one line of a file. Raises :class:`UsageError`."""
    source = f"--storage-password-file {file}"
    try:
        with file.open("rb") as stream:
            text = stream.read(LONGEST_PASSWORD + 1).decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{source} is not UTF-8 text") from None
    lines = text.splitlines()
    if len(lines) != 1 or not lines[0] or len(text) > LONGEST_PASSWORD:
        raise UsageError(f"{source} must hold one line, the password")
    return lines[0]


def open_to_others(file: Path) -> bool:
    """Whether other users of this machine may read a file."""
    return bool(file.stat().st_mode & 0o077)
