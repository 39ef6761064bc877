"""Many contexts of one model: each has a slot with a cache, and a step runs them together.

The graph of :mod:`tinytx.export.graph` takes a batch. Rows that step together must lie side by side
in the cache, so the slots in use are always 0 ... n - 1: who leaves is replaced by the last one.
A prompt runs alone, in chunks, in a slot behind all others, because GroupQueryAttention takes only
one new token a row when there is a past and more than one row. Where its chunks end depends on the
prompt alone, so its keys and values have the same bits whoever else is served.
"""

import math
import mmap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tinytx.bundle import ModelFacts
from tinytx.errors import BundleError
from tinytx.pairs import NONE_BEFORE, pair_rows
from tinytx.runtime.decoder import Logits, pairs_of
from tinytx.runtime.graph_check import check_graph
from tinytx.runtime.session import load_session, reason, runner

PROMPT_CHUNK = 64
"""Tokens of a prompt that run at once: what the others wait for, at most."""
Ids = NDArray[np.int64]


class _Rows(NamedTuple):
    """What a step of so many rows works on: views of the first rows of the buffers, made once,
    since making them takes a fifth of a step of one row."""

    binding: Any
    tokens: Ids
    pairs: Ids
    previous: Ids
    positions: NDArray[np.int32]
    logits: Logits
    idle: tuple[NDArray[Any], ...]
    """Tokens, pairs and positions of the rows that only fill the last tile; none where none do."""


class Batch:
    """``slots`` contexts, of which any number up to all step together. Not thread-safe."""

    def __init__(
        self,
        facts: ModelFacts,
        graph: bytes,
        slots: int,
        *,
        threads: int = 1,
        name: str = "model",
        tile: int = 1,
    ) -> None:
        """The memory of all slots is taken here, once. A step always runs a multiple of ``tile``
        rows, idle ones among them: where a product has other bits in an incomplete tile, rows have
        the same bits in any company all the same. Raises :class:`BundleError`."""
        self.facts, self.slots, self.tile = facts, slots, tile
        check_graph(graph, facts, name)
        self._name = name
        self._session = load_session(graph, threads, name)
        self._run_session, self._unwrap = runner(self._session)
        rows = self._rows = self._whole_tiles(slots)
        shape = (rows + 1, facts.heads, facts.max_seq_length, facts.head_size)
        kinds = [f"{kind}.{i}" for i in range(facts.layers) for kind in ("key", "value")]
        self._cache = {kind: _pages(shape) for kind in kinds}
        self._tokens, self._pairs = (np.zeros((rows, 1), np.int64) for _ in range(2))
        self._previous = np.zeros(rows, np.int64)
        self._positions = np.zeros(rows, np.int32)
        """Of the token that a step appends: the tokens in the slot's context before it."""
        self._total = np.zeros(1, np.int32)
        self._alone = np.zeros(1, np.int32)
        self._logits = np.zeros((rows, facts.vocab_size), np.float32)
        self._chunk, self._chunk_pairs = (np.zeros((1, PROMPT_CHUNK), np.int64) for _ in range(2))
        self._chunk_logits = np.zeros((1, facts.vocab_size), np.float32)
        self._made: dict[int, _Rows] = {}
        self._chunks: dict[int, Any] = {}
        self._stepped = 0
        """Rows of the last step, if nobody has come or moved since: then the longest context is
        longer by one, and by how much need not be looked for."""
        self._options = ort.RunOptions()

    @property
    def cache_bytes(self) -> int:
        """Of all slots, of rows that only fill a tile, and of the slot for prompts."""
        return sum(array.nbytes for array in self._cache.values())

    def prompt(self, ids: Sequence[int], start: int) -> Logits:
        """Append ``ids[start : start + PROMPT_CHUNK]`` to the context of the prompt's own slot,
        which holds ``ids[:start]``; returns the logits [vocab] of what comes next."""
        chunk = ids[start : start + PROMPT_CHUNK]
        size = len(chunk)
        binding = self._chunks.get(size) or self._first_chunk(size)
        self._chunk[0, :size] = chunk
        if self.facts.pair_rows:
            before = ids[start - 1] if start else NONE_BEFORE
            self._chunk_pairs[0, :size] = pairs_of(
                self._chunk[:, :size], self.facts.pair_rows, before
            )
        self._alone[0], self._total[0] = start + size - 1, start + size
        self._stepped = 0
        self._run(binding)
        found: Logits = self._chunk_logits[0].copy()
        return found

    def _first_chunk(self, size: int) -> Any:
        tokens, pairs = self._chunk[:, :size], self._chunk_pairs[:, :size]
        binding = self._bind(self._rows, tokens, pairs, self._alone, self._chunk_logits)
        self._chunks[size] = binding
        return binding

    def enter(self, slot: int, ids: Sequence[int]) -> None:
        """The prompt's context, of all ``ids``, becomes that of ``slot``."""
        self._copy(self._rows, slot, len(ids))
        self._positions[slot], self._previous[slot] = len(ids), ids[-1]
        self._stepped = 0

    def move(self, source: int, target: int) -> None:
        """What is in one slot goes on in another."""
        self._copy(source, target, int(self._positions[source]))
        self._positions[target] = self._positions[source]
        self._previous[target] = self._previous[source]
        self._stepped = 0

    def step(self, tokens: Sequence[int] | Ids) -> Logits:
        """Append one token to each of the first slots; returns their logits [n, vocab], which
        the next step overwrites."""
        n = len(tokens)
        rows = self._made.get(n) or self._first(n)
        for array in rows.idle:
            array[:] = 0  # begin anew each time: what they append lies in slots that nobody is in
        rows.tokens[:] = tokens
        if self.facts.pair_rows:
            if n == 1:  # numpy's own time for one row is a tenth of its step
                pair = pair_rows(int(rows.previous[0]), int(tokens[0]), self.facts.pair_rows)
                rows.pairs[0] = pair
            else:
                rows.pairs[:] = pair_rows(rows.previous, rows.tokens, self.facts.pair_rows)
        rows.previous[:] = rows.tokens
        if self._stepped != n:
            self._total[0] = rows.positions.max()
            self._stepped = n
        self._total += 1
        self._run(rows.binding)
        positions = rows.positions
        positions += 1
        return rows.logits

    def _whole_tiles(self, rows: int) -> int:
        return -(-rows // self.tile) * self.tile

    def _run(self, binding: Any) -> None:
        try:
            self._run_session(binding, self._options)
        except Exception as error:  # onnxruntime's own error types share no public base
            raise BundleError(f"onnxruntime cannot run {self._name}: {reason(error)}") from error

    def _copy(self, source: int, target: int, length: int) -> None:
        for array in self._cache.values():  # [slots + 1, heads, max_seq_length, head_size]
            array[target, :, :length] = array[source, :, :length]

    def _first(self, n: int) -> _Rows:
        whole = self._whole_tiles(n)
        tokens, pairs, positions = self._tokens, self._pairs, self._positions
        arrays: tuple[NDArray[Any], ...] = (tokens, pairs, positions)
        self._made[n] = _Rows(
            self._bind(0, tokens[:whole], pairs[:whole], positions[:whole], self._logits[:whole]),
            self._tokens[:n, 0],
            self._pairs[:n, 0],
            self._previous[:n],
            self._positions[:n],
            self._logits[:n],
            tuple(array[n:whole] for array in arrays) if whole > n else (),
        )
        return self._made[n]

    def _bind(
        self, slot: int, tokens: Ids, pairs: Ids, positions: NDArray[np.int32], logits: Logits
    ) -> Any:
        """Inputs and outputs as addresses: as many slots as ``tokens`` has rows, from one on."""
        rows = len(tokens)
        binding = self._session.io_binding()
        cache = {kind: array[slot : slot + rows] for kind, array in self._cache.items()}
        inputs: dict[str, NDArray[Any]] = {
            "tokens": tokens,
            "last_position": positions,
            "total_length": self._total,
            **{f"past_{kind}": array for kind, array in cache.items()},
        }
        if self.facts.pair_rows:
            inputs["pairs"] = pairs
        outputs = {"logits": logits, **{f"present_{kind}": a for kind, a in cache.items()}}
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        return self._unwrap(binding)


def _pages(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Zeros in pages of their own: resident once they are written, and gone when they are freed.
    malloc would keep those of an earlier batch, and clear them by writing."""
    size = 4 * math.prod(shape)
    found: NDArray[np.float32] = np.frombuffer(mmap.mmap(-1, size), np.float32).reshape(shape)
    return found
