"""The database of a search: its tables, one lock for all workers, and its failures in words."""

import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import msgspec
import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from tinytx.errors import PrerequisiteError
from tinytx.sweep.shared.address import HOW, Address
from tinytx.sweep.shared.patience import STORAGE_ERRORS, cause_of

DRIVER = "postgresql+psycopg://"
"""Named: what a plain postgresql:// means depends on SQLAlchemy's version."""
LOCK = 0x74696E797478  # "tinytx"
TRIES, PAUSE = 6, 0.3  # of making the tables; seconds between them

REMEDIES = (
    ("pg_hba.conf", "let this machine in: a line of pg_hba.conf on the server, then a reload"),
    ("no password supplied", HOW),
    ("password authentication failed", f"{HOW}; is it that user's?"),
    ('database "', "make it on the server: createdb -O USER DATABASE"),
    ('role "', "make the user on the server: createuser --pwprompt USER"),
    ("permission denied", "let the user own the database: createdb -O USER DATABASE"),
    ("invalid", "correct the address"),
)
UNREACHABLE = "does the server run, and listen there? `pg_isready -h HOST -p PORT` tells"


class Pulse(msgspec.Struct, frozen=True):
    """How a worker's silence is judged; the same on every one of them."""

    interval: int = 10
    """Seconds between two signs of life."""
    grace: int = 60
    """Seconds of silence after which its trial is tried again by another."""


class Server(Protocol):
    """What a search on several machines needs of its database."""

    @property
    def address(self) -> str:
        """To be shown."""

    def storage(self, pulse: Pulse | None = None) -> RDBStorage:
        """Optuna's storage; its tables are made where they are missing."""

    def exclusively(self) -> AbstractContextManager[None]:
        """For one worker at a time; fails at its end where it was not so all the while."""

    def seconds_up(self) -> float:
        """For how long workers could have given signs of life."""


class Postgres:
    """A PostgreSQL server."""

    def __init__(self, address: Address) -> None:
        import psycopg  # noqa: F401  a broken installation is told as such

        self._address = address
        self._engine = sqlalchemy.create_engine(
            DRIVER, creator=address.connect, poolclass=sqlalchemy.pool.NullPool
        )

    @property
    def address(self) -> str:
        return str(self._address)

    def storage(self, pulse: Pulse | None = None) -> RDBStorage:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return RDBStorage(
                DRIVER,
                engine_kwargs={"creator": self._address.connect, "pool_pre_ping": True},
                heartbeat_interval=None if pulse is None else pulse.interval,
                grace_period=None if pulse is None else pulse.grace,
            )

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """By a lock of the server's, which goes with the connection: with a worker that dies, and
        after a while with one that is paused. Its commit tells whether it was kept."""
        with self._engine.begin() as connection:
            connection.execute(
                sqlalchemy.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK}
            )
            yield

    def seconds_up(self) -> float:
        asked = sqlalchemy.text("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")
        with self._engine.connect() as connection:
            return float(connection.execute(asked).scalar_one())


def open_storage(server: Server, pulse: Pulse | None = None) -> RDBStorage:
    """Optuna's storage, its tables made by one worker; other programs may make them as well."""
    for left in reversed(range(TRIES)):
        try:
            with server.exclusively():
                return server.storage(pulse)
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
            if not left:
                raise
            time.sleep(PAUSE)
    raise AssertionError("the last try returns or raises")


@contextmanager
def database_errors(address: str) -> Iterator[None]:
    """One sentence for what is wrong with the database. Raises :class:`PrerequisiteError`."""
    try:
        yield
    except STORAGE_ERRORS as error:
        why = cause_of(error)
        remedy = next((told for words, told in REMEDIES if words in why), UNREACHABLE)
        raise PrerequisiteError(f"cannot use the database {address}: {why}", remedy) from None
    except RuntimeError as error:
        if "table schema" not in str(error):
            raise
        raise PrerequisiteError(
            f"the tables in {address} are of another version of Optuna than {optuna.__version__}",
            "use the same version on all machines, or `optuna storage upgrade`",
        ) from None
