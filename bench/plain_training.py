"""A plain PyTorch training loop of the same model: what a person would write first.

    python bench/plain_training.py --seconds 20

nn.Linear, nn.LayerNorm, fused attention, AdamW, float32, no compiler; random tokens, since only
the speed is asked for. Prints JSON: tokens per second of each step after the first ones.
"""

import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).split(width, dim=2)
        q, k, v = (p.view(batch, length, self.heads, -1).transpose(1, 2) for p in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Model(nn.Module):
    def __init__(self, vocabulary: int, layers: int, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x)))  # type: ignore[no-any-return]


def steps(arguments: argparse.Namespace) -> list[float]:
    """Seconds of each step until the time is over, the first three left out."""
    torch.manual_seed(1)
    shape = (arguments.vocabulary, arguments.layers, arguments.width, arguments.heads)
    model = Model(*shape, arguments.length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    data = torch.randint(arguments.vocabulary, (64, arguments.batch, arguments.length + 1))
    seconds: list[float] = []
    deadline = time.perf_counter() + arguments.seconds
    while time.perf_counter() < deadline or len(seconds) < 6:
        start = time.perf_counter()
        window = data[len(seconds) % len(data)]
        logits = model(window[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - start)
    return seconds[3:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    sizes = {"vocabulary": 4_096, "layers": 6, "width": 128, "heads": 4, "batch": 32, "length": 128}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    tokens = arguments.batch * arguments.length
    rates = [tokens / seconds for seconds in steps(arguments)]
    print(json.dumps({"tokens_per_second": rates}))


if __name__ == "__main__":
    main()
