"""A PostgreSQL server of Debian's package, started for a test as a user that is not root."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

PASSWORD = secrets.token_hex(12)
USER = "tx"


def programs() -> Path | None:
    """The folder of ``initdb`` and ``pg_ctl``; None where PostgreSQL is not installed."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3])
    )
    if found:
        return found[-1].parent
    on_path = shutil.which("pg_ctl")
    return Path(on_path).resolve().parent if on_path else None


class Cluster:
    """A server with one user, who has a password and owns the databases."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None, "PostgreSQL is missing: apt-get install postgresql"
        self._programs = found
        self.folder = Path(tempfile.mkdtemp(prefix="tinytx-pg-"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        first = self.folder / "password"
        first.write_text(PASSWORD)
        first.chmod(0o644)
        self._run(
            "initdb", "-A", "scram-sha-256", "-U", USER, f"--pwfile={first}", "--no-sync",
            "--no-locale", "-E", "UTF8", "-D", str(self.folder / "data"),
        )  # fmt: skip
        first.unlink()
        self.start()

    def address(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def socket_address(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"

    def start(self) -> None:
        options = (
            f"-c port={self.port} -c fsync=off -c listen_addresses=127.0.0.1 "
            f"-c unix_socket_directories={self.folder}"
        )
        self._control("start", "-w", "-o", options, "-l", str(self.folder / "log"))

    def stop(self, how: str = "fast") -> None:
        self._control("stop", "-w", "-m", how)

    def create(self, database: str) -> str:
        """A new database; its address."""
        self._run("psql", "-q", "-h", str(self.folder), "-p", str(self.port), "-U", USER,
                  "-c", f"CREATE DATABASE {database}", "postgres")  # fmt: skip
        return self.address(database)

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def _control(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), *words)

    def _run(self, program: str, *words: str) -> None:
        as_user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        subprocess.run(
            [self._programs / program, *words],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PGPASSWORD": PASSWORD},
            **(as_user if os.getuid() == 0 else {}),  # type: ignore[call-overload]
        )
