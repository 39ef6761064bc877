"""How often a process holds the weights of its model: looked for in its memory.

A float32 of a trained weight has practically a bit pattern of its own, so each occurrence in
memory is one copy of it, in whatever order a library keeps its matrices.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinytx.measure.smaps import Mapping

Words = NDArray[np.uint32]

GRAPH, INITIALIZER, DATA_TYPE, RAW_DATA = 7, 5, 2, 9
"""Field numbers of onnx.proto3: ModelProto.graph, GraphProto.initializer, TensorProto's two."""
FLOAT = 1
COMMON = 8
"""A bit pattern that occurs more often in the weights (0.0, 1.0) tells nothing."""
BLOCK = 1 << 22
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


def bytes_held(weights: Words, memory: Iterable[bytes]) -> int:
    """Bytes of ``memory`` that hold one of the weights, at whatever alignment."""
    values, counts = np.unique(weights, return_counts=True)
    telling, share = values[counts <= COMMON], counts[counts <= COMMON].sum() / weights.size
    sieve = np.zeros(1 << SIEVE_BITS, np.bool_)
    sieve[_hashes(telling)] = True
    words = 0
    for block in memory:
        for offset in range(4):
            seen = np.frombuffer(block, np.uint32, (len(block) - offset) // 4, offset)
            seen = seen[sieve[_hashes(seen)]]  # a few in a hundred are left for the exact search
            at = np.minimum(np.searchsorted(telling, seen), telling.size - 1)
            words += int((telling[at] == seen).sum())
    return round(words * 4 / float(share))


def _hashes(words: Words) -> Words:
    """Multiplicative hashing: the highest bits of the product (Knuth, volume 3, 6.4)."""
    hashes: Words = words * np.uint32(2_654_435_761) >> np.uint32(32 - SIEVE_BITS)
    return hashes


def copied(mappings: Iterable[Mapping], memory: Path = Path("/proc/self/mem")) -> list[bytes]:
    """What the anonymous memory of this process holds right now, copied."""
    blocks = []
    with memory.open("rb", buffering=0) as file:
        for mapping in mappings:
            if mapping.anonymous and mapping.readable:
                blocks += list(_blocks(file.fileno(), mapping))
    return blocks


def _blocks(file: int, mapping: Mapping) -> Iterator[bytes]:
    for start in range(mapping.start, mapping.end, BLOCK):
        try:
            data = os.pread(file, min(BLOCK, mapping.end - start), start)
        except OSError:  # [vvar] and the like cannot be read
            return
        yield data


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
