"""Weights as small integers: numpy in, the layout of onnxruntime's MatMulNBits out.

A matrix [N, K] (rows are outputs) is cut along K into blocks. Each block has one float32 scale and

    w[n, k]  ~  (code[n, k] - zero) * scale[n, k // block],    zero = 2 ** (bits - 1)

Symmetric and rounded to nearest: no zero points are stored, ``zero`` is the operators' default.
The scale is -extreme / zero, where ``extreme`` is the block's element of largest magnitude with
its sign. So the extreme is code 0, exactly; a scale may be negative. Codes of the other side end
at 2 ** bits - 1, one step short of the extreme's mirror image: |w - what is stored| <= |scale|,
and <= |scale| / 2 for all that is not cut off there. What asymmetric codes and a search for the
best scale give, and why neither is here: docs/decisions/0014.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinytx.bundle import ModelFacts, Precision
from tinytx.export.graph import CONTRIB, GraphBuilder, Weights
from tinytx.export.size import BITS, PRODUCT_BLOCK, row_block

Float = NDArray[np.float32]
Codes = NDArray[np.uint8]
ACCURACY_LEVEL = 4
"""Activations are int8 as well, one scale per block and row: the only level with fast kernels."""


@dataclass(frozen=True)
class Quantised:
    """A matrix [N, K] in blocks along K."""

    codes: Codes
    """[N, blocks, block], one code a byte; the last block is padded with zeros (code ``zero``)."""
    scales: Float
    """[N, blocks]"""
    bits: int
    columns: int
    """K"""

    @property
    def packed(self) -> Codes:
        """[N, blocks, block * bits / 8]; of two 4-bit codes the first is the low half."""
        if self.bits == 8:
            return self.codes
        pairs: Codes = self.codes[..., 0::2] | (self.codes[..., 1::2] << np.uint8(4))
        return pairs

    def restore(self) -> Float:
        """What the codes stand for, [N, K]."""
        values = (self.codes.astype(np.float32) - 2 ** (self.bits - 1)) * self.scales[..., None]
        flat: Float = values.reshape(len(values), -1)[:, : self.columns]
        return flat


def quantise(matrix: Float, bits: int, block: int) -> Quantised:
    """Round ``matrix`` [N, K] to ``bits`` (4 or 8) per weight in blocks of ``block`` columns."""
    rows, columns = matrix.shape
    zero = 2 ** (bits - 1)
    blocks = -(-columns // block)
    padded = np.zeros((rows, blocks * block), np.float32)
    padded[:, :columns] = matrix
    values = padded.reshape(rows, blocks, block)
    at = np.abs(values).argmax(axis=-1, keepdims=True)
    extreme = np.take_along_axis(values, at, axis=-1)  # [N, blocks, 1]
    scales = np.where(extreme == 0, np.float32(1), extreme / np.float32(-zero))
    codes = np.clip(np.rint(values / scales) + zero, 0, 2 * zero - 1).astype(np.uint8)
    return Quantised(codes, scales[..., 0].astype(np.float32), bits, columns)


@dataclass(frozen=True)
class Recipe:
    """How many bits the weights of a variant have. The norms stay float32."""

    bits: int
    """Of the blocks' matrices."""
    head_bits: int
    """Of the head."""
    row_bits: int
    """Of the tables whose rows enter the blocks."""


RECIPES: dict[Precision, Recipe] = {
    "int8": Recipe(*BITS["int8"]),
    "int4": Recipe(*BITS["int4"]),
}


class QuantisedBuilder(GraphBuilder):
    """Matrices as MatMulNBits, the tables that are looked up as GatherBlockQuantized."""

    tied = False  # the two operators want their weights in different layouts

    def __init__(self, facts: ModelFacts, recipe: Recipe, every_position: bool = False) -> None:
        super().__init__(facts, every_position)
        self.recipe = recipe

    def linear(self, x: str, name: str, w: Weights) -> str:
        """x [B, T, in] times the transpose of PyTorch's [out, in] weight, in few bits."""
        q = quantise(w[f"{name}.weight"], self.recipe.bits, PRODUCT_BLOCK)
        codes = self.constant(f"{name}.codes", q.packed)
        scales = self.constant(f"{name}.scales", q.scales)
        return self._product(x, codes, scales, q, f"{name}.output")

    def rows(self, name: str, table: Float, ids: str) -> str:
        """The rows of a table [V, K] that the input ``ids`` names, restored to float32."""
        block = row_block(self.facts.width)
        q = quantise(table, self.recipe.row_bits, block)
        codes = self.constant(f"{name}.codes", q.packed.reshape(len(q.codes), -1))
        scales = self.constant(f"{name}.scales", q.scales)
        return self.node(
            "GatherBlockQuantized",
            [codes, ids, scales],
            [f"{name}.rows"],
            domain=CONTRIB,
            bits=q.bits,
            block_size=block,
            gather_axis=0,
            quantize_axis=1,
        )

    def head(self, x: str, table: Float) -> str:
        """x [..., D] times the transpose of the table [V, D], in few bits."""
        q = quantise(table, self.recipe.head_bits, PRODUCT_BLOCK)
        codes, scales = (
            self.constant("head.codes", q.packed),
            self.constant("head.scales", q.scales),
        )
        return self._product(x, codes, scales, q, "logits")

    def _product(self, x: str, codes: str, scales: str, q: Quantised, output: str) -> str:
        return self.node(
            "MatMulNBits",
            [x, codes, scales],
            [output],
            domain=CONTRIB,
            K=q.columns,
            N=len(q.codes),
            bits=q.bits,
            block_size=PRODUCT_BLOCK,
            accuracy_level=ACCURACY_LEVEL,
        )
