"""The model: a decoder-only transformer, read top to bottom.

Pre-norm RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467), rotary positions (Su et al. 2021,
arXiv 2104.09864, the half-split form), SwiGLU (Shazeer 2020, arXiv 2002.05202), no biases, the
embedding tied to the head. Each block also adds a row of its own table, looked up by the token
(``block_tables``; per-layer embeddings, as in Gemma 3n: Google 2025), and the first one a row that
a hash of the token and the one before it chooses (``pair_rows``). A look-up costs no product, so
these tables are weights that training and decoding get almost for free; docs/decisions/0025 and
0027 have the figures.
Shapes: B batch, T tokens, D width, H heads, S head size, F hidden, V vocabulary.

Attention is written out as two matrix products, or one kernel of our own (``attention.py``):
PyTorch's fused operator has no backward pass for the short lengths trained here.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinytx.config import ModelSettings
from tinytx.pairs import NONE_BEFORE, pair_rows
from tinytx.train import attention as attend
from tinytx.train.lookup import Table
from tinytx.train.loss import Softmax, linear_cross_entropy, softmax_loss

NORM_EPSILON = 1e-5
Hidden = Callable[[Tensor], Tensor]
"""Token ids [B, T] to hidden states [B, T, D]."""
POSITIONS, CHANNELS = 1, 2  # dimensions of [B, T, D]
MASKED = -1e9  # added to the score of a position that must not be seen


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + epsilon) * weight, computed in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + NORM_EPSILON)
        return (wide * scale * self.weight).to(x.dtype)


class Attention(nn.Module):
    """Causal multi-head self-attention with rotary positions."""

    def __init__(self, model: ModelSettings) -> None:
        super().__init__()
        self.heads = model.heads
        self.qkv = nn.Linear(model.width, 3 * model.width, bias=False)
        self.out = nn.Linear(model.width, model.width, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, attention: attend.Attention
    ) -> Tensor:
        mixed = attention(self.qkv(x), cos, sin, mask, self.heads)
        result: Tensor = self.out(mixed)
        return result


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)); gate and up are one matrix [2F, D]."""

    def __init__(self, model: ModelSettings) -> None:
        super().__init__()
        self.gate_up = nn.Linear(model.width, 2 * model.hidden, bias=False)
        self.down = nn.Linear(model.hidden, model.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        result: Tensor = self.down(F.silu(gate) * up)
        return result


class SharedDropout(nn.Module):
    """Dropout of [B, T, D] with one mask for all positions of a sequence (Gal & Ghahramani 2016,
    arXiv 1512.05287), or one for all channels of a position. Random numbers for every value would
    cost a fifth more time per step.

    Of several processes each draws the masks of the whole batch and takes its own rows, always
    from the CPU's generator: the masks depend on neither their number nor the device.
    """

    rank, world = 0, 1

    def __init__(self, share: float, along: int) -> None:
        """``along`` is the dimension whose values share a mask."""
        super().__init__()
        self.share, self.along = share, along

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.share:
            return x
        rows = x.shape[0]
        size = [self.world * rows, *x.shape[1:]]
        size[self.along] = 1
        kept = F.dropout(torch.ones(size, dtype=x.dtype), self.share)
        return x * kept[self.rank * rows : (self.rank + 1) * rows].to(x.device)


class Block(nn.Module):
    """x + table[token], then x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, model: ModelSettings, vocab_size: int, dropout: float) -> None:
        super().__init__()
        self.embedding = Table(vocab_size, model.width) if model.block_tables else None
        self.attention_norm = RMSNorm(model.width)
        self.attention = Attention(model)
        self.mlp_norm = RMSNorm(model.width)
        self.mlp = SwiGLU(model)
        self.dropout = SharedDropout(dropout, along=POSITIONS)

    def forward(
        self,
        x: Tensor,
        tokens: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
        attention: attend.Attention,
    ) -> Tensor:
        if self.embedding is not None:
            x = x + (self.embedding(tokens) * x.shape[-1] ** 0.5).to(x.dtype)
        x = x + self.dropout(self.attention(self.attention_norm(x), cos, sin, mask, attention))
        x = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return x


class Transformer(nn.Module):
    """Token ids [B, T] to logits [B, T, V]."""

    def __init__(
        self,
        model: ModelSettings,
        vocab_size: int,
        dropout: float = 0.0,
        pair_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.embedding = Table(vocab_size, model.width)
        self.pairs = Table(model.pair_rows, model.width) if model.pair_rows else None
        self.pair_dropout = SharedDropout(pair_dropout, along=CHANNELS)
        self.blocks = nn.ModuleList(Block(model, vocab_size, dropout) for _ in range(model.layers))
        self.norm = RMSNorm(model.width)
        cos, sin = rotary_table(model.max_seq_length, model.head_size, model.rope_base)
        mask = torch.full((model.max_seq_length, model.max_seq_length), MASKED).triu(1)
        self.cos: Tensor
        self.sin: Tensor
        self.mask: Tensor
        self.register_buffer("cos", cos, persistent=False)  # [T, S/2]
        self.register_buffer("sin", sin, persistent=False)
        self.register_buffer("mask", mask, persistent=False)  # [T, T], 0 at and below the diagonal

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights of deviation 1/sqrt(inputs); those that write to the residual stream are
        scaled by 1/sqrt(2 layers) more, as in GPT-2 (Radford et al. 2019). With GPT-2's own 0.02
        the attention of the first block never woke up at this width (docs/log/model.md). The
        other tables begin at zero: at first each token enters by its embedding alone."""
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            if name == "pairs.weight" or name.endswith(".embedding.weight"):  # of a block
                nn.init.zeros_(parameter)
                continue
            writes = name.endswith(("out.weight", "down.weight"))
            scale = (2 * self.model.layers) ** -0.5 if writes else 1.0
            std = parameter.shape[1] ** -0.5 * scale
            nn.init.normal_(parameter, std=std, generator=generator)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.linear(self.hidden(tokens), self.embedding.weight)  # [B, T, V]

    def hidden(self, tokens: Tensor, attention: attend.Attention = attend.written_out) -> Tensor:
        """Token ids [B, T] to what the head reads, [B, T, D]. ``attention`` is one of the forms in
        ``attention.py``."""
        length = tokens.shape[1]
        x = self.embedding(tokens)  # [B, T, D]
        if self.pairs is not None:
            previous = F.pad(tokens[:, :-1], (1, 0), value=NONE_BEFORE)
            rows = self.pairs(pair_rows(previous, tokens, self.model.pair_rows))
            x = x + self.pair_dropout(rows)
        x = x * self.model.width**0.5  # of size 1, as blocks expect
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        x = x.to(dtype)
        cos, sin, mask = self.cos[:length], self.sin[:length], self.mask[:length, :length]
        for block in self.blocks:
            x = block(x, tokens, cos, sin, mask, attention)
        normed: Tensor = self.norm(x)
        return normed

    def loss(
        self,
        tokens: Tensor,
        targets: Tensor,
        hidden: Hidden | None = None,
        softmax: Softmax = softmax_loss,
    ) -> Tensor:
        """Mean cross-entropy in nats per token; ``tokens`` and ``targets`` are [B, T].

        ``hidden`` and ``softmax`` stand in for :meth:`hidden` and ``softmax_loss``, compiled.
        """
        x = (hidden or self.hidden)(tokens).flatten(0, 1)
        return linear_cross_entropy(x, self.embedding.weight, targets.flatten(), softmax)

    def block_matrices(self) -> Iterator[tuple[Tensor, int]]:
        """The matrices of the blocks, each with the number of matrices that it stacks."""
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block.attention.qkv.weight, 3
            yield block.attention.out.weight, 1
            yield block.mlp.gate_up.weight, 2
            yield block.mlp.down.weight, 1

    def tables(self) -> Iterator[Tensor]:
        """What is only looked up: the table [V, D] of each block, if it has one, and that of the
        pairs [R, D]."""
        if self.pairs is not None:
            yield self.pairs.weight
        for block in self.blocks:
            assert isinstance(block, Block)
            if block.embedding is not None:
                yield block.embedding.weight

    def parameter_count(self) -> int:
        """The number of weights, the tied embedding counted once."""
        return sum(parameter.numel() for parameter in self.parameters())


def rotary_table(length: int, head_size: int, base: float) -> tuple[Tensor, Tensor]:
    """cos and sin of position x frequency, each [length, head_size / 2].

    Frequency i is ``base ** (-2 i / head_size)``; computed in float64, stored in float32.
    """
    exponents = torch.arange(0, head_size, 2, dtype=torch.float64) / head_size
    angles = torch.outer(torch.arange(length, dtype=torch.float64), base**-exponents)
    return angles.cos().float(), angles.sin().float()
