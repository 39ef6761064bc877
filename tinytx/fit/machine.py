"""What this machine does in a second, for predicting how long training takes.

A few seconds of the very operations that a training step is made of: products of the widths that
a plan may choose, attention's products, softmax, a pass over a tensor, the optimizers, and how long
an operation takes that has nothing to do. In the arithmetic and with the threads that training
would use. Kept in the cache folder and only ever a hint, as what ``tinytx.train.remembered`` keeps;
what was found beside other programs is used once and not kept.
"""

import hashlib
import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from tinytx.cache import cache_folder
from tinytx.cgroup import usable_cores
from tinytx.config import Settings
from tinytx.errors import TinytxError
from tinytx.train.others import MUCH, Others
from tinytx.workspace import write_json

log = logging.getLogger(__name__)

SCHEMA = 1
MOST_BYTES = 100_000  # of a cache file; a larger one is none of ours
WIDTHS = (64, 96, 128, 192, 256)
ROWS, CHUNK, PIECES = 4_096, 512, 2_048  # tokens of a step, of a part of the loss, the vocabulary
HEADS, LONG = 32, 256  # heads of all windows that are multiplied at once, and their length
HEAD_SIZES = (32, 64)
ONCE = 0.15  # seconds for which each operation is repeated
CORE_BYTES = 1_000_000
LOOK_SECONDS = 0.25  # for seeing whether other programs use the cores


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How fast this machine computes, in one arithmetic and with some threads."""

    precision: str
    threads: int
    products: dict[int, float]
    """Width to FLOP/s of a block's matrix: forwards, and both gradients."""
    head: dict[int, float]
    """Width to FLOP/s of the product with the vocabulary, a few hundred tokens at a time."""
    attention: dict[int, float]
    """Head size to FLOP/s of the products of queries, keys, values and their gradients."""
    orthogonal: dict[int, float]
    """Width to FLOP/s of Muon's iteration."""
    softmax: float
    """Numbers a second."""
    stream: float
    """Numbers a second of a sum of two float32 tensors that fit the cache."""
    adamw: float
    """Weights a second."""
    lookup: float
    """Numbers a second of the gradient of looked-up rows."""
    dispatch: float
    """Seconds of an operation on next to nothing."""
    core: float
    """Bytes a second that one thread compresses: what Python, the tokenizer's training and the C++
    compiler are compared by."""
    busy: float = 0.0
    """Cores that other programs used meanwhile."""


def rates_of_this_machine(settings: Settings) -> Rates:
    """The rates for training of ``settings`` here, measured once per machine, PyTorch, arithmetic
    and number of threads: about 8 s with loading PyTorch, 3 s where they are known."""
    import torch

    try:
        return _measured_or_known(settings)
    finally:
        torch.set_flush_denormal(False)  # of this thread, and not for whoever comes next


def _measured_or_known(settings: Settings) -> Rates:
    from tinytx.train import speed

    threads = speed.set_up_torch(settings)
    precision = str(speed.choose_precision(settings)).removeprefix("torch.")
    facts = {
        **speed.measuring_facts(threads),
        "precision": precision,
    }
    if (known := recalled(facts)) is not None:
        return known
    others = Others()
    time.sleep(LOOK_SECONDS)
    with asleep_where_crowded(threads, others.look() or 0.0):
        rates = measure_rates(precision, threads)
    busy = others.look() or 0.0
    if busy > MUCH:
        log.info("rates of this machine: not kept, %.1f cores are in use elsewhere", busy)
        return msgspec.structs.replace(rates, busy=busy)
    keep(facts, rates)
    return rates


@contextmanager
def asleep_where_crowded(threads: int, busy: float) -> Iterator[None]:
    """Beside other programs let waiting threads sleep, as training does (decision 30): spinning
    they would make this machine look a hundred times slower than it is then."""
    from tinytx.train.waiting import CHOSEN, IdleTeams

    cores = usable_cores()
    if threads == 1 or CHOSEN & os.environ.keys() or busy <= cores - threads + MUCH:
        yield
        return
    teams = IdleTeams(threads, cores)
    try:
        yield
    finally:
        teams.dismiss()


def recalled(facts: Mapping[str, Any]) -> Rates | None:
    """What was measured with the same ``facts``, if it is known and whole."""
    with suppress(OSError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        with _file(facts).open("rb") as file:
            known = msgspec.json.decode(file.read(MOST_BYTES), type=_Kept)
        if known.schema == SCHEMA and known.facts == dict(facts) and _usable(known.rates):
            return known.rates
    return None


def keep(facts: Mapping[str, Any], rates: Rates) -> None:
    """Write the rates where :func:`recalled` finds them; done without where that fails."""
    path = _file(facts)
    with suppress(OSError, TinytxError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, msgspec.to_builtins(_Kept(SCHEMA, dict(facts), rates), str_keys=True))


class _Kept(msgspec.Struct):
    """A cache file."""

    schema: int
    facts: dict[str, Any]
    rates: Rates


def _file(facts: Mapping[str, Any]) -> Path:
    name = hashlib.sha256(json.dumps([SCHEMA, facts], sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / "fit" / f"{name}.json"


def _usable(rates: Rates) -> bool:
    """Whether every figure is one that can be divided by."""
    tables = (rates.products, rates.head, rates.attention, rates.orthogonal)
    single = (rates.softmax, rates.stream, rates.adamw, rates.lookup, rates.dispatch, rates.core)
    return all(tables) and all(
        0.0 < rate < float("inf") for rate in (*single, *(r for t in tables for r in t.values()))
    )


def measure_rates(precision: str, threads: int) -> Rates:
    """Measure now, in this process, with the threads that PyTorch has."""
    import torch

    dtype = getattr(torch, precision)
    with torch.no_grad():
        return Rates(
            precision=precision,
            threads=threads,
            products={width: _products(width, 3 * width, ROWS, dtype) for width in WIDTHS},
            head={width: _products(width, PIECES, CHUNK, dtype) for width in WIDTHS[::2]},
            attention={size: _attention(size, dtype) for size in HEAD_SIZES},
            orthogonal={width: _orthogonal(width, dtype) for width in WIDTHS[::2]},
            softmax=_softmax(),
            stream=_stream(),
            adamw=_adamw(),
            lookup=_lookup(),
            dispatch=_dispatch(),
            core=_core(),
        )


def best_seconds(work: Callable[[], object], seconds: float | None = None) -> float:
    """The shortest time of ``work``, repeated for a while: whatever else runs only adds to it."""
    work()
    best = float("inf")
    deadline = time.perf_counter() + (ONCE if seconds is None else seconds)
    while time.perf_counter() < deadline:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def _products(inner: int, columns: int, rows: int, dtype: Any) -> float:
    """FLOP/s of [rows, inner] x [inner, columns] and of its two gradients."""
    import torch

    x, weight = torch.ones(rows, inner, dtype=dtype), torch.ones(columns, inner, dtype=dtype)
    gradient = torch.ones(rows, columns, dtype=dtype)

    def work() -> None:
        x @ weight.mT
        gradient @ weight
        gradient.mT @ x

    return 6.0 * rows * inner * columns / best_seconds(work)


def _attention(size: int, dtype: Any) -> float:
    """FLOP/s of the six products of attention: scores, mixed values, and four gradients."""
    import torch

    q = torch.ones(HEADS, LONG, size, dtype=dtype)
    scores = torch.ones(HEADS, LONG, LONG, dtype=dtype)

    def work() -> None:
        for _ in range(2):
            q @ q.mT
            scores @ q
            scores.mT @ q

    return 12.0 * HEADS * LONG * LONG * size / best_seconds(work)


def _orthogonal(width: int, dtype: Any) -> float:
    """FLOP/s of Muon's iteration on four matrices [2 width, width]."""
    import torch

    from tinytx.train.optimizer import ITERATIONS, orthogonal

    stack = torch.rand(4, 2 * width, width)
    flops = ITERATIONS * 4 * (8.0 + 2.0) * width**3
    return flops / best_seconds(lambda: orthogonal(stack, dtype))


def _softmax() -> float:
    import torch

    scores = torch.ones(HEADS, LONG, LONG)
    return scores.numel() / best_seconds(lambda: torch.softmax(scores, -1))


def _stream() -> float:
    import torch

    x = torch.ones(ROWS, 128)
    out = torch.empty_like(x)
    return x.numel() / best_seconds(lambda: torch.add(x, x, out=out))


def _adamw() -> float:
    import torch

    weights = torch.nn.Parameter(torch.ones(1 << 21))
    weights.grad = torch.ones(1 << 21)
    optimizer = torch.optim.AdamW([weights], lr=1e-6, fused=True)
    return weights.numel() / best_seconds(optimizer.step)


def _lookup() -> float:
    import torch

    rows = torch.randint(0, PIECES, (1, ROWS), generator=torch.Generator().manual_seed(1))
    gradient = torch.ones(1, ROWS, 128)
    backward = torch.ops.aten.embedding_dense_backward
    return gradient.numel() / best_seconds(lambda: backward(gradient, rows, PIECES, -1, False))


def _dispatch() -> float:
    import torch

    x, times = torch.ones(16), 200

    def work() -> None:
        for _ in range(times):
            x.add(1.0)

    return best_seconds(work) / times


def _core() -> float:
    words = [str(number * number) for number in range(CORE_BYTES // 8)]
    text = " ".join(words).encode()[:CORE_BYTES]
    return len(text) / best_seconds(lambda: zlib.compress(text, 6), 0.3)
