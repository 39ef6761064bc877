"""What this device found out about one release: its proof, and when it last went back."""

from typing import Any

import msgspec

from tinytx.errors import DeviceError, os_errors_as
from tinytx.release import journal, states
from tinytx.release.store import Store

MOST = 64_000_000
"""Of a proof: its report holds every sample."""


class _Row(msgspec.Struct, kw_only=True, frozen=True):
    name: str
    verdict: str
    reason: str = ""


class _Limit(msgspec.Struct, kw_only=True, frozen=True):
    enforced: bool
    reason: str = ""


class _Report(msgspec.Struct, kw_only=True, frozen=True):
    limit: _Limit | None = None


class _Proof(msgspec.Struct, kw_only=True, frozen=True):
    """What counts of a proof as ``prove`` keeps it."""

    verdict: str
    reason: str = ""
    whole: bool = False
    golden: dict[str, int] = {}
    rows: list[_Row] = []
    report: _Report | None = None


def shown(store: Store, release: str) -> dict[str, Any]:
    """The document. Changes nothing. Raises :class:`DeviceError`."""
    entries = journal.read(store.root / "journal").entries
    line = states.newest(entries).get(release)
    return {
        "release": release,
        "installed": release in store.installed(),
        "state": line.state if line else None,
        "proof": _proof(store, release),
        "went_back": went_back(entries),
    }


def went_back(entries: list[states.Entry]) -> dict[str, str] | None:
    """The last time that ``current`` returned to the release before; None if it never did."""
    for line in reversed(entries):
        if (line.state, line.phase) == ("rolled-back", "done") and line.extra.get("to"):
            to = str(line.extra["to"])
            return {"release": line.release, "to": to, "why": line.why, "at": line.at}
    return None


def lines(document: dict[str, Any]) -> list[str]:
    """The same for people."""
    proof, went = document["proof"], document["went_back"]
    told = [f"{document['release']}: {document['state'] or 'not known here'}"]
    if proof is None:
        told.append("no proof of it is kept here")
    else:
        reason = f": {proof['reason']}" if proof["reason"] else ""
        told.append(f"proof: {proof['verdict']}{reason}")
        told += [f"  {row['name']}: {row['verdict']}" for row in proof["rows"]]
        if (limit := proof["limit"]) is not None:
            bites = "a canary died of it" if limit["enforced"] else limit["reason"]
            told.append(f"  memory limit: {bites}")
    if went is not None:
        told.append(f"went back from {went['release'][:12]} to {went['to'][:12]} at {went['at']}")
    return told


def _proof(store: Store, release: str) -> dict[str, Any] | None:
    path = store.proofs / f"{release}.json"
    if not path.exists():
        return None
    with os_errors_as(DeviceError, f"read {path}"), path.open("rb") as file:
        raw = file.read(MOST)
    try:
        found = msgspec.json.decode(raw, type=_Proof)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise DeviceError(
            f"{path} is damaged: {error}", f"`tinytx release prove {release[:12]}` writes it again"
        ) from error
    plain: dict[str, Any] = msgspec.to_builtins(found)
    report = plain.pop("report")
    return {**plain, "limit": report["limit"] if report else None}
