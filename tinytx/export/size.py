"""How large a graph is, by counting: what export stores for each shape and precision.

The layout is that of ``graph.py`` and ``quantize.py``, which take their blocks from here; a test
holds it to real exports. Needs neither onnx nor numpy, so that a shape can be judged before it is
trained.
"""

from tinytx.bundle import Precision
from tinytx.config import ModelSettings

PRODUCT_BLOCK = 32
"""Of the matrices and the head: a width that it does not divide is padded. Blocks of 16 take half
again as long (docs/log/runtime.md, 2026-11-26)."""
NODES = {False: (1_250, 1_830), True: (1_800, 2_620)}
"""Bytes of names, nodes, inputs and outputs, of the graph and of each block; True: quantised."""
BITS: dict[Precision, tuple[int, int, int]] = {
    "float32": (32, 32, 32),
    "int8": (8, 8, 8),
    "int4": (4, 8, 4),
}
"""Bits of the blocks' matrices, of the head, and of the tables that are looked up."""


def row_block(width: int) -> int:
    """Of the tables: 16 where 32 does not divide the width, since a lookup knows no padding."""
    return 32 if width % 32 == 0 else 16


def graph_bytes(model: ModelSettings, vocab_size: int, precision: Precision) -> int:
    """Bytes of the graph's file, to within 1 %."""
    width, layers = model.width, model.layers
    matrix, head, row = BITS[precision]
    quantised = precision != "float32"
    block = row_block(width) if quantised else 0
    # the first table holds the embedding; without tables float32 looks up in the head's matrix
    tables = layers if model.block_tables else int(quantised)
    numbers = (2 * layers + 1) * width + model.max_seq_length * model.head_size + model.heads
    fixed, of_block = NODES[quantised]
    return (
        fixed
        + layers * of_block
        + 4 * numbers
        + layers
        * (
            _matrix(3 * width, width, matrix)
            + _matrix(width, width, matrix)
            + 2 * _matrix(model.hidden, width, matrix)
            + _matrix(width, model.hidden, matrix)
        )
        + _matrix(vocab_size, width, head)
        + _rows((tables * vocab_size + model.pair_rows) * width, row, block)
    )


def _matrix(outputs: int, inputs: int, bits: int) -> int:
    """[outputs, inputs] as MatMulNBits has it, or in float32."""
    if bits == 32:
        return 4 * outputs * inputs
    blocks = -(-inputs // PRODUCT_BLOCK)
    return outputs * blocks * (PRODUCT_BLOCK * bits // 8 + 4)


def _rows(weights: int, bits: int, block: int) -> int:
    """A table as GatherBlockQuantized has it, or in float32 (``block`` 0)."""
    return weights * bits // 8 + (4 * (weights // block) if block else 0)
