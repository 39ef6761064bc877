"""``tinytx sweep`` as one worker of a search in a database."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinytx.cli.common import require
from tinytx.cli.sweep.asked import Asked, seconds
from tinytx.cli.sweep.options import (
    VARIABLE,
    Wanted,
    refuse_with_storage,
    refuse_without_storage,
)
from tinytx.errors import UsageError

if TYPE_CHECKING:
    from tinytx.sweep.plan import Plan
    from tinytx.sweep.records import Record
    from tinytx.sweep.shared.database import Server
    from tinytx.sweep.watch import Watch

SHORTEST_GRACE = 6
"""Seconds; a sign of life is given six times in each."""


@dataclass(frozen=True)
class Searched:
    """What a worker of such a search comes home with."""

    plan: "Plan"
    records: "list[Record]"


def search_in_database(wanted: Wanted, asked: Asked, root: Path, watch: "Watch") -> Searched | None:
    """Search as one worker, where the command line or the environment names a database; else
    None. Raises :class:`TinytxError`."""
    server = open_server(wanted.storage, wanted.password_file, watch.note)
    if server is None:
        refuse_without_storage()
        return None
    refuse_with_storage(wanted.join)
    from tinytx.sweep.shared.database import Pulse, database_errors
    from tinytx.sweep.shared.opening import begin, find
    from tinytx.sweep.shared.search import run_shared
    from tinytx.sweep.shared.terms import check, shared_identity

    with database_errors(server.address):
        if wanted.join:
            terms, trials = find(server, wanted.study)
            plan = asked.plan_under(terms, trials)
            check(terms, shared_identity(plan), wanted.study)
        else:
            plan, grace = asked.plan(), seconds(wanted.grace, "--grace")
            if grace < SHORTEST_GRACE:
                raise UsageError(f"--grace must be at least {SHORTEST_GRACE}s")
            pulse = Pulse(int(grace / SHORTEST_GRACE), int(grace))
            terms = begin(server, wanted.study, plan, pulse, watch)
    records = run_shared(plan, root, watch, server, wanted.study, terms, wanted.worker)
    return Searched(plan, records)


def open_server(
    storage: str | None, password_file: Path | None, tell: Callable[[str], None]
) -> "Server | None":
    """The database of ``--storage`` or the environment; None where there is none.

    Raises :class:`UsageError` for an address that is none, or that holds a password and is a flag.
    """
    text, source = storage or os.environ.get(VARIABLE), "--storage" if storage else VARIABLE
    if not text:
        return None
    require("sweep --storage", "optuna", "sqlalchemy", "psycopg")
    from dataclasses import replace

    from tinytx.sweep.shared.address import open_to_others, parse_address, read_password
    from tinytx.sweep.shared.database import Postgres

    address = parse_address(text, source, may_hold_password=storage is None)
    if password_file is not None:
        address = replace(address, password=read_password(password_file))
        if open_to_others(password_file):
            tell(f"other users of this machine can read {password_file}: chmod 600 it")
    return Postgres(address)
