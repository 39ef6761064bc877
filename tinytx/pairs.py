"""Which row of the table of pairs a token and the one before it share.

The pairs of 2,048 tokens are four million, most of them never seen; a hash maps them to a few
thousand rows, and pairs that share one share what it learns (hash embeddings: Svenstrup et al.
2017, arXiv 1709.03933). Training and the runtime must agree on it to the bit.
"""

from typing import Any

NONE_BEFORE = 0
"""Stands for the token before the first one of a context."""


def pair_rows(previous: Any, tokens: Any, rows: int) -> Any:
    """The row of each pair, below ``rows``: integers, or arrays or tensors of them, int64."""
    return (previous * 1_000_003 + tokens * 7_919) % rows
