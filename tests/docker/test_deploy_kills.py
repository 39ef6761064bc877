"""A deployment that is disturbed at every state, in every way, once and twice: a table.

Each cause has a device of its own, which is used by all its rows; they run beside each other when
the first row is asked for. What the journal, the service and those who asked it say then is
compared with the table row by row, and no row may be missing.
"""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.docker.devices import build
from tests.docker.kill_rows import CAUSES, KEYS, TIMES, Key, Run, Seen
from tests.docker.kills import Lane, lane, pair
from tinytx.release.states import STATES

pytestmark = pytest.mark.docker
SMALL = ("--tmpfs", "/var/lib/tinytx:size=16m,nr_inodes=500")
ALL = "received verified proved switched watched committed"
TABLE = """
# state | cause | once: chain of states, served | twice
received | process killed | ... received~ rolled-back ALL, new | SAME
received | container killed | ... received~ rolled-back ALL, new | SAME
received | network cut | ALL, new | SAME
received | disk full | received verified( proved)?~ rolled-back, old | TWO
received | workstation killed | ... verified, old | TWO
verified | process killed | ... verified~ rolled-back ALL, new | SAME
verified | container killed | ... verified~ rolled-back ALL, new | SAME
verified | network cut | ALL, new | SAME
verified | disk full | received verified( proved)?~ rolled-back, old | TWO
verified | workstation killed | ... verified, old | TWO
proved | process killed | ... proved~ rolled-back ALL, new | SAME
proved | container killed | ... proved~ rolled-back ALL, new | SAME
proved | network cut | ALL, new | SAME
proved | disk full | ... proved~ rolled-back, old | TWO
proved | workstation killed | ... proved, old | TWO
switched | process killed | ... switched~ rolled-back ALL, new | SAME
switched | container killed | ... switched~ rolled-back ALL, new | SAME
switched | network cut | ALL, new | SAME
switched | disk full | ... switched~ rolled-back, old | TWO
switched | workstation killed | ALL, new | SAME
watched | process killed | ... watched~ watched committed, new | ... watched~ WAY, old
watched | container killed | ... watched~( watched~)? rolled-back, old | SAME
watched | network cut | ALL, new | SAME
watched | disk full | ALL, new | SAME
watched | workstation killed | ALL, new | SAME
committed | process killed | ALL, new | SAME
committed | container killed | ALL, new | SAME
committed | network cut | ALL, new | SAME
committed | disk full | ALL, new | SAME
committed | workstation killed | ALL, new | SAME
rolled-back | process killed | rolled-back, new | SAME
rolled-back | container killed | rolled-back, new | SAME
rolled-back | network cut | rolled-back, new | SAME
rolled-back | disk full | rolled-back, new | rolled-back ALL rolled-back, new
rolled-back | workstation killed | rolled-back, new | SAME
"""
"""``~``: begun and not done. ``...``: all states before that one. SAME: as once. TWO: the chain of
once, twice. On a full disk a release goes on while nothing new has to be written: one state
further. ``new`` is the release of the deployment; of a way back by hand, the one before."""
IMPOSSIBLE: dict[Key, str] = {}
"""Combinations that cannot come about, and why. There is none."""


def expanded(cell: str) -> str:
    """A cell with every state by its name."""
    if cell.startswith("... "):
        cell = cell.replace("WAY", "watched~ rolled-back")
        first = re.split("[~ ,]", cell.removeprefix("... "))[0]
        cell = " ".join([*ALL.split()[: ALL.split().index(first)], cell.removeprefix("... ")])
    return cell.replace("ALL", ALL)


def rows() -> dict[Key, tuple[str, str]]:
    """By state, cause and times: the chain as a pattern, and which release is served."""
    found: dict[Key, tuple[str, str]] = {}
    for line in TABLE.strip().splitlines()[1:]:
        state, cause, once, twice = (cell.strip() for cell in line.split("|"))
        later = once if twice in ("SAME", "TWO") else twice
        for times, cell in zip(TIMES, (once, later), strict=True):
            chain, served = expanded(cell).split(", ")
            if times == "twice" and twice == "TWO":
                chain = f"{chain} {chain}"
            assert (state, cause, times) not in found
            found[state, cause, times] = chain, served
    return found


ROWS = rows()


def test_the_table_has_every_state_with_every_cause_once_and_twice() -> None:
    assert len(KEYS) == len(STATES) * len(CAUSES) * len(TIMES) == 70
    assert set(ROWS) | set(IMPOSSIBLE) == set(KEYS)
    assert not set(ROWS) & set(IMPOSSIBLE)


@pytest.fixture(scope="module")
def table(
    engine: object, readable_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[Key, Seen | Exception]:
    """Every row, done."""
    folder = tmp_path_factory.mktemp("kills")
    image, bundles = build(folder / "wheels"), pair(readable_bundle, folder / "pair")
    seen: dict[Key, Seen | Exception] = {}
    whole = threading.Lock()

    def do(cause: str) -> None:
        options = SMALL if cause == "disk full" else ()
        with lane(folder / cause.replace(" ", "-"), image, bundles, *options) as on:
            for key in (key for key in KEYS if key[1] == cause):
                found = one(on, key)
                with whole:
                    seen[key] = found

    with ThreadPoolExecutor(len(CAUSES)) as pool:
        list(pool.map(do, CAUSES))
    return seen


def one(on: Lane, key: Key) -> Seen | Exception:
    try:
        return Run(on, *key).do()
    except Exception as error:
        return error


@pytest.mark.parametrize("key", KEYS, ids=" - ".join)
def test_the_old_release_or_the_new_one_is_served_and_the_journal_says_how_that_came(
    table: dict[Key, Seen | Exception], key: Key
) -> None:
    seen = table[key]
    if isinstance(seen, Exception):
        raise seen
    chain, served = ROWS[key]
    assert re.fullmatch(chain, seen.chain), f"{seen.chain}\n{seen.said}"
    assert (seen.served, seen.whole, seen.damage) == (served, True, "")
    assert seen.answers.wrong == []
    assert seen.answers.right > 0
    if key[1] != "container killed":  # which takes the service with it, for as long as it is off
        assert seen.answers.failed == []
    if seen.code is not None:
        assert seen.code == (0 if served == "new" else 10), seen.said
