"""How often a process holds the weights of its model: looked for in its memory.

A float32 of a trained weight has practically a bit pattern of its own, so each occurrence in
memory is one copy of it, in whatever order a library keeps its matrices.
"""

import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinytx.measure.smaps import Mapping

Words = NDArray[np.uint32]

GRAPH, INITIALIZER, DATA_TYPE, RAW_DATA = 7, 5, 2, 9
"""Field numbers of onnx.proto3: ModelProto.graph, GraphProto.initializer, TensorProto's two."""
FLOAT = 1
COMMON = 8
"""Occurrences of a bit pattern in the weights, and copies of each, that are still believed."""
SIEVE_BITS = 24


def float_weights(model: bytes) -> Words:
    """The bit patterns of all float32 initializers of an ONNX model, in order of the file."""
    found = [np.empty(0, np.uint32)]
    for graph in _fields(memoryview(model), GRAPH):
        for tensor in _fields(graph, INITIALIZER):
            kinds = list(_numbers(tensor, DATA_TYPE))
            if kinds == [FLOAT]:
                found += [np.frombuffer(raw, np.uint32) for raw in _fields(tensor, RAW_DATA)]
    return np.concatenate(found)


def bytes_held(weights: Words, memory: Iterable[bytes | memoryview]) -> int:
    """Bytes of ``memory`` that hold one of the weights, at whatever alignment.

    Bit patterns that occur often, in the weights or in memory (0.0, 1.0), tell nothing: the others
    stand for them.
    """
    values, counts = np.unique(weights, return_counts=True)
    found = np.zeros(values.size, np.int64)
    sieve = np.zeros(1 << SIEVE_BITS, np.bool_)
    sieve[_hashes(values)] = True
    for block in memory:
        for offset in range(4):
            seen = np.frombuffer(block, np.uint32, (len(block) - offset) // 4, offset)
            seen = seen[sieve[_hashes(seen)]]  # a few in a hundred are left for the exact search
            at = np.minimum(np.searchsorted(values, seen), values.size - 1)
            found += np.bincount(at[values[at] == seen], minlength=values.size)
    telling = (counts <= COMMON) & (found <= COMMON * counts)
    if not telling.any():
        return 0
    copies = found[telling].sum() / counts[telling].sum()
    return round(4 * weights.size * float(copies))


def _hashes(words: Words) -> Words:
    """Multiplicative hashing: the highest bits of the product (Knuth, volume 3, 6.4)."""
    hashes: Words = words * np.uint32(2_654_435_761) >> np.uint32(32 - SIEVE_BITS)
    return hashes


def copied(mappings: Iterable[Mapping], memory: Path = Path("/proc/self/mem")) -> list[memoryview]:
    """What the anonymous memory of this process holds right now, copied.

    Into one mapping of its own, made after the others were listed: so no copy is copied again.
    """
    chosen = [one for one in mappings if one.anonymous and one.readable]
    buffer = memoryview(mmap.mmap(-1, sum(one.end - one.start for one in chosen) or 1))
    blocks, at = [], 0
    with memory.open("rb", buffering=0) as file:
        for one in chosen:
            block = buffer[at : at + one.end - one.start]
            at += len(block)
            with suppress(OSError):  # [vvar] and the like cannot be read
                blocks.append(block[: os.preadv(file.fileno(), [block], one.start)])
    return blocks


def _fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The length-delimited fields of a protocol buffer message that have a number."""
    for number, value in _walk(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _numbers(message: memoryview, wanted: int) -> Iterator[int]:
    for number, value in _walk(message):
        if number == wanted and isinstance(value, int):
            yield value


def _walk(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Field numbers and values of a message (protobuf.dev, "Encoding")."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size, at = _varint(message, at)
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, the lowest first, and where it ends."""
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
