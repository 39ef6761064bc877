"""How often a process holds the weights of its model: looked for in its memory.

A float32 of a trained weight has practically a bit pattern of its own, so each occurrence in
memory is one copy of it, in whatever order a library keeps its matrices. Of quantised weights eight
bytes in a row have; a copy that a library keeps in another order escapes.
"""

import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytx.measure.memory.smaps import Mapping

Words = NDArray[np.unsignedinteger[Any]]

GRAPH, INITIALIZER, DATA_TYPE, RAW_DATA = 7, 5, 2, 9
"""Field numbers of onnx.proto3: ModelProto.graph, GraphProto.initializer, TensorProto's two."""
FLOAT, UINT8 = 1, 2
COMMON = 8
"""Occurrences of a bit pattern in the weights, and copies of each, that are still believed."""
SIEVE_BITS = 24


def weights_of(model: bytes) -> list[Words]:
    """The bit patterns of the initializers of an ONNX model: of all float32, and of all codes.

    Quantised weights are bytes, which tell nothing alone: eight in a row make one pattern.
    """
    floats, codes = [np.empty(0, np.uint32)], [np.empty(0, np.uint64)]
    for graph in _fields(memoryview(model), GRAPH):
        for tensor in _fields(graph, INITIALIZER):
            kinds = list(_numbers(tensor, DATA_TYPE))
            for raw in _fields(tensor, RAW_DATA):
                if kinds == [FLOAT]:
                    floats.append(np.frombuffer(raw, np.uint32))
                elif kinds == [UINT8]:
                    codes.append(np.frombuffer(raw, np.uint64, len(raw) // 8))
    return [np.concatenate(floats), np.concatenate(codes)]


def bytes_held(weights: Words, memory: Sequence[bytes | memoryview]) -> int:
    """Bytes of ``memory`` that hold one of the weights, at whatever alignment.

    Bit patterns that occur often, in the weights or in memory (0.0, 1.0), tell nothing: the others
    stand for them.
    """
    values, counts = np.unique(weights, return_counts=True)
    if not values.size:
        return 0
    found = np.zeros(values.size, np.int64)
    sieve = np.zeros(1 << SIEVE_BITS, np.bool_)
    sieve[_hashes(values)] = True
    for block in memory:
        for offset in range(min(weights.itemsize, len(block))):
            count = (len(block) - offset) // weights.itemsize
            seen = np.frombuffer(block, weights.dtype, count, offset)
            seen = seen[sieve[_hashes(seen)]]  # a few in a hundred are left for the exact search
            at = np.minimum(np.searchsorted(values, seen), values.size - 1)
            found += np.bincount(at[values[at] == seen], minlength=values.size)
    telling = (counts <= COMMON) & (found <= COMMON * counts)
    if not telling.any():
        return 0
    copies = found[telling].sum() / counts[telling].sum()
    return round(weights.nbytes * float(copies))


def _hashes(words: Words) -> Words:
    """Multiplicative hashing: the highest bits of the product (Knuth, volume 3, 6.4)."""
    kind = words.dtype.type
    bits = 8 * words.itemsize
    factor = 2_654_435_761 if bits == 32 else 11_400_714_819_323_198_485  # 2^bits / golden ratio
    hashes: Words = words * kind(factor) >> kind(bits - SIEVE_BITS)
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
