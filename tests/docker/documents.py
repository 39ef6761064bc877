"""A JSON document among what a container printed."""

import json
from typing import Any


def first(printed: str) -> dict[str, Any]:
    """The object that begins at the first brace; what follows it is another stream's."""
    found, _ = json.JSONDecoder().raw_decode(printed, printed.index("{"))
    return dict(found)
