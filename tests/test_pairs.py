"""One hash for training and the runtime."""

import numpy as np
import torch

from tinytx.pairs import pair_rows
from tinytx.runtime.decoder import pairs_of


def test_integers_arrays_and_tensors_have_the_same_rows() -> None:
    random = np.random.default_rng(1)
    before, tokens = random.integers(0, 65_536, (2, 1_000))
    for rows in (1, 97, 16_384, 1_000_000):
        found = pair_rows(before, tokens, rows)
        assert found.min() >= 0
        assert found.max() < rows
        torch_rows = pair_rows(torch.from_numpy(before), torch.from_numpy(tokens), rows)
        assert torch_rows.tolist() == found.tolist()
        plain = [
            pair_rows(a, b, rows) for a, b in zip(before.tolist(), tokens.tolist(), strict=True)
        ]
        assert plain == found.tolist()


def test_the_rows_of_a_text_are_used_evenly_and_depend_on_the_order() -> None:
    tokens = np.arange(300)
    rows = pair_rows(tokens[:, None], tokens[None, :], 16_384)  # 90,000 pairs
    used = np.bincount(rows.ravel(), minlength=16_384)
    assert used.max() < 4 * 90_000 / 16_384
    assert (used > 0).mean() > 0.95
    assert (rows != rows.T).mean() > 0.9


def test_the_first_token_of_a_step_pairs_with_the_last_one_before_it() -> None:
    whole = pairs_of(np.array([[5, 9, 2, 7]]), 1_000)
    assert whole.tolist() == [[pair_rows(a, b, 1_000) for a, b in ((0, 5), (5, 9), (9, 2), (2, 7))]]
    assert pairs_of(np.array([[2, 7]]), 1_000, previous=9).tolist() == whole[:, 2:].tolist()
    assert pairs_of(np.array([[5, 9]]), 0).tolist() == [[0, 0]]
