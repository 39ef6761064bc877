"""Times as people write and read them: ``90s``, ``10m``, ``1h30m``."""

import math
import re

from tinytx.errors import UsageError

FORM = re.compile(r"(?:(\d{1,6}(?:\.\d+)?)h)?(?:(\d{1,6}(?:\.\d+)?)m)?(?:(\d{1,6}(?:\.\d+)?)s)?")
MOST_SECONDS = 1_000 * 3_600.0


def seconds_of(text: str, flag: str = "--time") -> float:
    """``90s``, ``10m`` or ``1h30m`` in seconds. Raises :class:`UsageError` for what is no time,
    nothing, or more than 1,000 hours."""
    match = FORM.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise UsageError(f"{flag} {text!r} is no time; write 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0.0) for part in match.groups())
    total = 3_600.0 * hours + 60.0 * minutes + seconds
    if not 0.0 < total <= MOST_SECONDS:
        raise UsageError(f"{flag} {text!r} must be above 0 and at most 1,000 hours")
    return total


def told(seconds: float) -> str:
    """ "45 s", "9:30 min", "1:05 h"."""
    whole = math.ceil(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 100 * 60:
        return f"{whole // 60}:{whole % 60:02d} min"
    minutes = math.ceil(seconds / 60.0)
    return f"{minutes // 60}:{minutes % 60:02d} h"


def asked(seconds: float) -> str:
    """At least ``seconds``, as ``--time`` takes it: "90s", "12m", "3h"."""
    if seconds <= 90.0:
        return f"{10 * math.ceil(seconds / 10.0)}s"
    if seconds <= 2 * 3_600.0:
        return f"{math.ceil(seconds / 60.0)}m"
    return f"{math.ceil(seconds / 3_600.0)}h"
