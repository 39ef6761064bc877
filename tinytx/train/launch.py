"""Which process of how many this one is: what torchrun says in the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from tinytx.errors import UsageError

ADDRESS = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """One process among several that train one model, or the only one."""

    rank: int = 0
    world: int = 1
    """How many processes train together, on all machines."""
    local_rank: int = 0
    local_world: int = 1
    """How many of them are on this machine."""
    restarts: int = 0
    """How often torchrun has started the processes again after one of them died."""
    job: str = ""
    """torchrun's name for the run, which survives its restarts; empty without torchrun."""


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """What torchrun (or whoever sets the same variables) has told this process.

    Raises :class:`UsageError` when the variables contradict each other or are no numbers.
    """
    if not {"RANK", "WORLD_SIZE"} <= environment.keys():
        return Launch()
    numbers = {
        "rank": _number(environment, "RANK", 0),
        "world": _number(environment, "WORLD_SIZE", 1),
        "local_rank": _number(environment, "LOCAL_RANK", 0),
        "local_world": _number(environment, "LOCAL_WORLD_SIZE", 1),
        "restarts": _number(environment, "TORCHELASTIC_RESTART_COUNT", 0),
    }
    for place, size in (("rank", "world"), ("local_rank", "local_world")):
        if numbers[place] >= numbers[size]:
            raise UsageError(
                f"the environment names process {numbers[place]} of {numbers[size]}",
                "start the processes with torchrun, or unset RANK and WORLD_SIZE",
            )
    missing = [name for name in ADDRESS if not environment.get(name)]
    if numbers["world"] > 1 and missing:
        raise UsageError(
            f"WORLD_SIZE is {numbers['world']}, but {missing[0]} is not set",
            "start the processes with torchrun, or unset RANK and WORLD_SIZE",
        )
    return Launch(job=environment.get("TORCHELASTIC_RUN_ID", ""), **numbers)


def _number(environment: Mapping[str, str], name: str, least: int) -> int:
    """An environment variable as a whole number; ``least`` where it is not set."""
    text = environment.get(name, str(least))
    if not (text.isascii() and text.isdigit()) or int(text) < least or len(text) > 9:
        raise UsageError(
            f"the environment variable {name} must be a whole number from {least}, not {text!r}",
            "start the processes with torchrun, or unset RANK and WORLD_SIZE",
        )
    return int(text)


def check_batch(batch: int, world: int) -> None:
    """Each process takes an equal part. Raises :class:`UsageError` where there is none."""
    if batch % world:
        below = batch - batch % world
        fitting = f"{below} or {below + world}" if below else f"{world}"
        raise UsageError(
            f"a batch of {batch} windows cannot be split evenly over {world} processes",
            f"use --batch-size {fitting}, or another number of processes",
        )
