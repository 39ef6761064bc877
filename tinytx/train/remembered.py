"""What was once measured on this machine: in ``training/`` of the cache folder, only ever a hint.

A file that is missing, damaged or of other facts is measured again; one that cannot be written is
done without.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tinytx.cache import cache_folder
from tinytx.errors import TinytxError
from tinytx.train.others import MUCH, Others
from tinytx.workspace import write_json

log = logging.getLogger(__name__)

MOST_BYTES = 100_000  # of a cache file; a larger one is none of ours


def remembered(
    what: str, facts: Mapping[str, Any], among: Collection[str], measure: Callable[[], str]
) -> str:
    """The answer of ``measure`` to the question ``what``, asked once for the same ``facts``.

    One that was found while other programs used the cores holds for this time only.
    """
    if (known := recall(what, facts, among)) is not None:
        return known
    others = Others()
    answer = measure()
    if (others.look() or 0.0) > MUCH:
        log.info("%s: %s, not kept: the machine is busy", what, answer)
        return answer
    document, path = _document(what, facts)
    log.info("%s: %s (%s)", what, answer, path)
    with suppress(OSError, TinytxError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**document, "answer": answer})
    return answer


def recall(what: str, facts: Mapping[str, Any], among: Collection[str]) -> str | None:
    """The answer that :func:`remembered` once had for the same ``facts``, if it is known."""
    document, path = _document(what, facts)
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError), path.open("rb") as f:
        known: Any = json.loads(f.read(MOST_BYTES))
        if {**known, "answer": None} == {**document, "answer": None} and known["answer"] in among:
            return str(known["answer"])
    return None


def _document(what: str, facts: Mapping[str, Any]) -> tuple[dict[str, Any], Path]:
    """The question as it is stored, and where."""
    document = {"what": what, "facts": dict(facts)}
    name = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
    return document, cache_folder() / "training" / f"{name}.json"
