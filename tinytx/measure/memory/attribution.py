"""Where the resident memory of a process that runs a bundle went, and what would change it.

Files (libraries) are counted by the mappings at the end, each for the stage in which it was first
mapped. Memory of no file is counted by its growth while libraries are imported; from then on by
what malloc says to be in use, since pages tell nothing when freed memory is used again. Weights are
found in memory by their values. So no part is what the others leave over, except the last, which
says how far they miss the total.
"""

from collections.abc import Iterable

import msgspec

from tinytx.measure.memory.smaps import Heap, Inventory

LIBRARIES = ("interpreter", "numpy", "other libraries", "onnxruntime", "tinytx")
"""The stages of imports, in their order."""
KNOBS = {
    "interpreter": "none: this is Python itself",
    "numpy": "none: the runtime hands arrays to onnxruntime with it",
    "other libraries": "none: sentencepiece and msgspec, with the C++ library that they bring",
    "onnxruntime": "a smaller build of onnxruntime, with this model's operators only",
    "tinytx": "none: the code that loads, runs and measures",
    "tokenizer": "a smaller vocabulary",
    "weights": "fewer layers, a narrower width, a smaller vocabulary, or fewer bits per weight",
    "session": "fewer layers: the graph's nodes and kernels",
    "key/value cache": "a shorter context, fewer layers or a narrower width",
    "activations": "a shorter prompt (what it took is free, and kept for the next one)",
    "freed while loading": "none: kept by the C library for the next use",
    "not explained": "none: by how much the parts above miss the total",
}


class Part(msgspec.Struct, frozen=True):
    """One part of the resident set."""

    name: str
    bytes: int
    knob: str
    """What would change it."""


class Stage(msgspec.Struct, frozen=True):
    """What the process held at the end of a stage, in bytes."""

    name: str
    rss: int
    anonymous: int
    """Of that: memory of no file."""
    live: int | None
    """Of the memory that malloc gave out, what is in use; None where malloc keeps no account."""
    free: int
    """Freed, but not given back to the kernel."""
    files: dict[str, int]
    """Pages of each mapped file that were not written to."""


class Attribution(msgspec.Struct, frozen=True):
    """The resident set after a generation to the longest context, in parts."""

    total: int
    """By smaps, in bytes."""
    parts: list[Part]
    """They add up to the total; the last one is what is not explained, and may be below 0."""
    anonymous: int
    """Of the total: memory of no file, which no other process shares."""
    weight_copies: float
    """How many times the process holds the weights."""
    stages: list[Stage]
    """What the parts were made of."""
    trouble: str = ""
    """Why there is no attribution."""

    @property
    def explained(self) -> float:
        """The share of the total that the parts with a name of their own add up to."""
        return sum(part.bytes for part in self.parts[:-1]) / max(self.total, 1)

    @classmethod
    def missing(cls, trouble: str) -> "Attribution":
        """None was made, because of ``trouble``."""
        return cls(0, [], 0, 0.0, [], trouble)


def stage(name: str, held: Inventory, heap: Heap | None) -> Stage:
    """A stage from what was seen at its end."""
    live, free = heap or (None, 0)
    return Stage(name, held.rss, held.anonymous, live, free, held.files)


def attribute(
    stages: list[Stage], *, weights: int, one_copy: int, cache: int, bundle: str
) -> Attribution:
    """Parts from the stages that :mod:`tinytx.measure.run.memory_worker` goes through.

    ``weights`` is the size of all copies found in anonymous memory, ``one_copy`` that of one.
    """
    by_name = {one.name: one for one in stages}
    last = stages[-1]
    mapped = sum(size for path, size in last.files.items() if path.startswith(bundle))
    model = _growth(by_name["before the model"], by_name["model"])
    tokenizer = _growth(by_name["before the tokenizer"], by_name["tokenizer"])
    sizes = {
        **_libraries(stages, bundle),
        "tokenizer": tokenizer,
        "weights": weights + mapped,
        "session": max(model - tokenizer - weights - cache, 0),
        "key/value cache": cache,
        "activations": _activations(by_name["model"], last),
        "freed while loading": max(by_name["model"].free - by_name["tinytx"].free, 0),
    }
    sizes["not explained"] = last.rss - sum(sizes.values())
    return Attribution(
        total=last.rss,
        parts=[Part(name, size, KNOBS[name]) for name, size in sizes.items()],
        anonymous=last.anonymous,
        weight_copies=(weights + mapped) / one_copy if one_copy else 0.0,
        stages=stages,
    )


def _libraries(stages: list[Stage], bundle: str) -> dict[str, int]:
    """Imports: the memory that each took, and the files that it mapped first, as they are now."""
    now = stages[-1].files
    sizes = {}
    seen: set[str] = set()
    before = 0
    for one in stages:
        if one.name in LIBRARIES:
            new = _new(one.files, seen, bundle)
            sizes[one.name] = one.anonymous - before + sum(now.get(path, 0) for path in new)
            seen |= new
            before = one.anonymous
    later = _new(now, seen, bundle)  # mapped with the model: a library's own business
    sizes["onnxruntime"] += sum(now[path] for path in later)
    return sizes


def _new(files: Iterable[str], seen: set[str], bundle: str) -> set[str]:
    return {path for path in files if path not in seen and not path.startswith(bundle)}


def _growth(before: Stage, after: Stage) -> int:
    """Memory that came into use between two stages."""
    if before.live is None or after.live is None:
        return after.anonymous - before.anonymous
    return after.live - before.live


def _activations(before: Stage, after: Stage) -> int:
    """What running took: all of it is freed again, and kept by malloc."""
    if after.live is None:
        return after.anonymous - before.anonymous
    return max(after.free - before.free, 0)
