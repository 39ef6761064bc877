"""When each request is due, fixed before the first one is sent.

An open loop: a slow answer delays no later request, so that a server that stands still for a second
is charged with everyone who came meanwhile (a closed loop would ask one question less: "coordinated
omission"). Gaps are exponential, as of many readers who know nothing of each other (Poisson).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tinytx.errors import UsageError

PROMPTS = (
    *("The old house", "A river", "Once upon a time there was", "It is", "She said that"),
    "In the morning they went down to the water, where the boats were, and looked for the old man",
)
"""From two words to a sentence."""
MOST_RATE = 10_000.0
MOST_REQUESTS = 100_000


@dataclass(frozen=True)
class Arrival:
    """One request of the schedule."""

    due: float
    """Seconds from the start."""
    prompt: str
    seed: int


def schedule(rate: float, count: int, seed: int, room: int = 1_000) -> list[Arrival]:
    """``count`` requests, ``rate`` a second on average; the same for the same ``seed``.

    Prompts are cut to ``room`` characters, for each may be a token.
    """
    source = random.Random(f"{seed}/{rate!r}")
    due, arrivals = 0.0, []
    for number in range(count):
        due += source.expovariate(rate)
        arrivals.append(Arrival(due, source.choice(PROMPTS)[:room], number))
    return arrivals


def check_rates(rates: Sequence[float]) -> None:
    """Raise :class:`UsageError` for rates that no client keeps."""
    if not rates:
        raise UsageError("--rates names no rate", "such as --rates 5,20")
    for rate in rates:
        if not 0.0 < rate <= MOST_RATE:
            raise UsageError(
                f"--rates: {rate:g} is not a rate of requests a second",
                f"give numbers above 0 and up to {MOST_RATE:,.0f}",
            )
    if len(set(rates)) < len(rates):
        raise UsageError("--rates names a rate twice", "name each once")
