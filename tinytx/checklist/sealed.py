"""What the bundle itself shows: files, records, size, and whether it tells of its maker."""

import getpass
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tinytx.bundle import GRAPHS, Bundle, Manifest
from tinytx.checklist.items import Found, done, not_done, unknown
from tinytx.errors import BundleError, PrerequisiteError
from tinytx.wording import counted

MOST_TOLERANCE = 0.01
"""Logits that may differ by more are no evidence of parity."""
LEAST_TOKENS = 32
LEAST_BYTES = 2_000
"""Of held-out text: less says little about a model."""
MOST_LOSS = 0.01
"""Of the bits per byte, by which a quantised model may be worse (docs/decisions/0014)."""
_PLACE = re.compile(
    r"(?<![\w.])(?:file://)?/(?:home|Users|root|tmp|var|mnt|media|opt|srv|data)/[^\s\"']+"
    r"|[A-Za-z]:\\[^\s\"']+|\\\\[\w.-]+\\\w+|(?<![\w./])~/[^\s\"']+"
)
_PLACE_IN_BYTES = re.compile(rb"/(?:home|Users|root|tmp|var|mnt|media)/[\w./-]{3,80}")
"""In a file of numbers anything shorter comes about by chance."""
_CREDENTIALS = re.compile(r"[a-z]+://[^/\s]*@[^\s\"']*")
_NOBODY = ("root", "user", "runner", "localhost", "debian", "raspberrypi", "tinytx")


def hashes(bundle: Bundle) -> Found:
    """Every file, read whole."""
    try:
        bundle.check_files()
    except BundleError as error:
        return not_done(error.message)
    size = sum(facts.size for facts in bundle.manifest.files.values())
    return done(f"{counted(len(bundle.manifest.files), 'file')}, {size:,} bytes")


def golden(bundle: Bundle) -> Found:
    """The golden outputs of every model in it, computed on this machine."""
    from tinytx.runtime.golden import verify

    try:
        verified = verify(bundle.folder)
    except BundleError as error:
        return not_done(error.message)
    except PrerequisiteError as error:
        return unknown(f"nothing can be run here: {error.message}")
    told = ", ".join(f"{count} of {name}" for name, count in verified.tokens.items())
    others = [f"{name}, which is not loaded here, differs" for name in verified.differing]
    return done("; ".join([told, *others]))


def parity(manifest: Manifest) -> Found:
    """What export compared with PyTorch, and whether that is within what it says it allowed."""
    record, longest = manifest.parity, manifest.model.max_seq_length
    apart = record.max_abs_logit_difference
    if record.tolerance > MOST_TOLERANCE:
        return not_done(f"logits might differ by {record.tolerance:g}; that shows nothing")
    if apart > record.tolerance or record.max_abs_cache_difference > record.tolerance:
        worst = max(apart, record.max_abs_cache_difference)
        return not_done(f"logits differ by {worst:.2g}; allowed are {record.tolerance:g}")
    if record.greedy_tokens < LEAST_TOKENS:
        return not_done(f"{counted(record.greedy_tokens, 'greedy token')} compared; {LEAST_TOKENS} "
                        "are the least")  # fmt: skip
    if not record.bits_tolerance or not record.longest_context or not record.cached_steps:
        return unknown("the record is of an older export: it lacks contexts, steps or bits")
    if record.longest_context < longest:
        return not_done(f"compared up to {record.longest_context} of {longest} tokens of context")
    bits = abs(record.onnx_bits_per_byte - record.torch_bits_per_byte)
    if bits > record.bits_tolerance * record.torch_bits_per_byte:
        return not_done(f"bits per byte differ by {bits:.4f}")
    return done(f"{record.greedy_tokens} greedy tokens equal, logits within {apart:.1e}")


def quality(manifest: Manifest) -> Found:
    """Bits per byte of text that no training has seen, of every model in the bundle."""
    record = manifest.quality
    if manifest.provenance.val_sha256 == manifest.provenance.train_sha256:
        return not_done("it was measured on the text that was trained on")
    if record.bytes < LEAST_BYTES:
        return not_done(f"it was measured on {record.bytes:,} bytes; {LEAST_BYTES:,} are the least")
    told = []
    for precision in manifest.precisions:
        bits = manifest.bits_per_byte(precision)
        if not 0.0 < bits < 8.0:
            return not_done(f"{precision} has {bits:.3f} bits per byte; text itself has 8")
        if bits > record.bits_per_byte * (1 + MOST_LOSS):
            return not_done(f"{precision} has {bits:.3f} bits per byte, more than {MOST_LOSS:.0%} "
                            f"over the {record.bits_per_byte:.3f} of float32")  # fmt: skip
        told.append(f"{bits:.3f} {precision}")
    return done(f"bits per byte of {record.bytes:,} bytes: {', '.join(told)}")


def size(manifest: Manifest, budgets: Path | None) -> Found:
    """The graph that a device loads: the default one, or another where its processor suits that.

    Raises :class:`UsageError` when the budgets cannot be read.
    """
    from tinytx.measure.policy.budgets import Quantity, load_budgets

    limits = [budget for budget in load_budgets(budgets) if budget.name == "model_size"]
    if not limits:
        return unknown("the budgets say nothing about the model's size")
    limit = limits[0].limit
    sizes = {p: manifest.files[GRAPHS[p]].size for p in manifest.precisions}
    told = {p: f"{p} {Quantity.of(size, limit.unit)}" for p, size in sizes.items()}
    over = [p for p, size in sizes.items() if size > limit.base]
    if manifest.precision in over:
        return not_done(f"{told[manifest.precision]}; at most {limit}")
    if over:
        words = ", ".join(told[p] for p in over)
        return unknown(f"{words}: over {limit}, and some processors load it")
    return done(f"{', '.join(told.values())}; at most {limit}")


def silent(bundle: Bundle) -> Found:
    """No folder, user, host or password of where it was made, in the manifest or a graph."""
    raw = msgspec.to_builtins(bundle.manifest)
    names = raw["provenance"].get("corpus", {}).pop("names", [])
    for where, text in _texts(raw, "manifest.json"):
        if (word := _telling(text)) is not None:
            return not_done(f"{where} says {word!r}")
    for name in names:
        if "/" in name or "\\" in name:
            return not_done(f"the corpus in manifest.json has a file {name!r}, folder and all")
    for name in bundle.manifest.files:
        data = bundle.read_file(name)
        graph = name in GRAPHS.values()
        if found := (_PLACE_IN_BYTES.search(data) if graph else None) or _home(data):
            return not_done(f"{name} says {found[0].decode()!r}")
    return done(f"no folder, user or host in {counted(1 + len(bundle.manifest.files), 'file')}")


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Every text in a document and where it stands; keys too."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield where, str(key)
            yield from _texts(inner, f"{where}: {key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, where)


def _telling(text: str) -> str | None:
    for pattern in (_CREDENTIALS, _PLACE):
        if found := pattern.search(text):
            return found[0][:80]
    if text.startswith("/"):
        return text[:80]
    words = re.findall(r"[\w.-]+", text)
    return next((word for word in words if word in _names()), None)


def _names() -> set[str]:
    """Whose bundle this may be: the user and the host of this machine, if that tells anything."""
    names = {socket.gethostname()}
    with suppress(OSError, KeyError, ImportError):
        names.add(getpass.getuser())
    return {name for name in names if len(name) > 3 and name not in _NOBODY}


def _home(data: bytes) -> "re.Match[bytes] | None":
    """The folder of this user; that of root is no name."""
    home = os.fsencode(Path.home())
    return re.search(re.escape(home) + rb"/[\w./-]{1,80}", data) if home.count(b"/") > 1 else None
