"""Many contexts that step together: each as if it were alone, and as the engine has it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tinytx.bundle import GRAPHS, Bundle
from tinytx.runtime.batch import PROMPT_CHUNK, Batch
from tinytx.runtime.engine import Engine

STEPS = 12
Bits = NDArray[np.float32]


def load(folder: Path, slots: int, tile: int = 1) -> Batch:
    bundle = Bundle(folder)
    return Batch(bundle.manifest.model, bundle.read_file(GRAPHS["float32"]), slots, tile=tile)


def prompt_of(number: int, length: int = 0) -> list[int]:
    """Token ids that differ in number and length from those of every other number."""
    return [10, *((37 * number + 11 * at) % 300 for at in range(length or 1 + 3 * number))]


def read(batch: Batch, slot: int, ids: list[int]) -> Bits:
    """Read a prompt into a slot; the logits of what comes next."""
    for start in range(0, len(ids), PROMPT_CHUNK):
        logits = batch.prompt(ids, start)
    batch.enter(slot, ids)
    return logits


def together(batch: Batch, prompts: list[list[int]]) -> Bits:
    """Greedy steps of these prompts side by side: logits [1 + steps, rows, vocab]."""
    found = [np.stack([read(batch, slot, ids) for slot, ids in enumerate(prompts)])]
    for _ in range(STEPS):
        found.append(batch.step(found[-1].argmax(axis=1)).copy())
    return np.stack(found)


@pytest.mark.parametrize("tile", [1, 4])
@pytest.mark.parametrize("company", [2, 3, 7, 8])
def test_a_row_has_the_same_bits_alone_and_in_company(
    tiny_bundle: Path, company: int, tile: int
) -> None:
    batch = load(tiny_bundle, 8, tile)
    prompts = [prompt_of(number) for number in range(company)]
    everyone = together(batch, prompts)
    for row, ids in enumerate(prompts):
        assert np.array_equal(together(load(tiny_bundle, 1), [ids])[:, 0], everyone[:, row])


def test_idle_rows_that_fill_a_tile_disturb_nobody_who_comes_or_goes(tiny_bundle: Path) -> None:
    batch, alone = load(tiny_bundle, 3, tile=4), load(tiny_bundle, 3)
    for chosen in (batch, alone):
        for slot in range(2):
            read(chosen, slot, prompt_of(slot))
    for company in (2, 1, 3, 1):  # slots fill up and empty again beside the idle ones
        if company == 3:
            for chosen in (batch, alone):
                for slot in (1, 2):
                    read(chosen, slot, prompt_of(slot + 4))
        for _ in range(3):
            tokens = [20 + company + slot for slot in range(company)]
            found = batch.step(tokens)
            assert found.shape[0] == company
            assert np.array_equal(found, alone.step(tokens))


def test_every_slot_says_what_the_engine_says(tiny_bundle: Path) -> None:
    engine, batch = Engine.load(tiny_bundle, 1, "float32"), load(tiny_bundle, 4)
    prompts = [prompt_of(number) for number in range(4)]
    found = together(batch, prompts)
    for row, ids in enumerate(prompts):
        engine.reset()
        logits = engine.append(ids)
        for step in range(STEPS):
            assert np.abs(found[step, row] - logits).max() < 1e-4
            logits = engine.append([int(found[step, row].argmax())])


def test_a_text_goes_on_in_another_slot_with_the_same_bits(tiny_bundle: Path) -> None:
    batch = load(tiny_bundle, 3)
    prompts = [prompt_of(number) for number in range(3)]
    expected = together(batch, prompts)
    rows = [read(batch, slot, ids) for slot, ids in enumerate(prompts)]
    following = [int(row.argmax()) for row in rows]
    batch.step(following)
    batch.move(2, 0)  # the first has ended: the last takes its slot
    following = [int(expected[1, row].argmax()) for row in (2, 1)]
    for step in range(2, STEPS):
        logits = batch.step(following)
        assert np.array_equal(logits[0], expected[step, 2])
        assert np.array_equal(logits[1], expected[step, 1])
        following = [int(row.argmax()) for row in logits]


def test_a_long_prompt_is_read_in_chunks_whose_ends_depend_on_it_alone(tiny_bundle: Path) -> None:
    engine, batch = Engine.load(tiny_bundle, 1, "float32"), load(tiny_bundle, 2)
    limit = batch.facts.max_seq_length
    ids = prompt_of(5, limit - 2)
    assert len(ids) < limit
    alone = read(batch, 0, ids)
    together(batch, [prompt_of(1), prompt_of(2)])
    assert np.array_equal(read(batch, 0, ids), alone)
    assert np.abs(alone - engine.append(ids)).max() < 1e-4


def test_memory_is_that_of_all_slots_and_one_for_prompts(tiny_bundle: Path) -> None:
    facts = Bundle(tiny_bundle).manifest.model
    each = 2 * 4 * facts.layers * facts.heads * facts.max_seq_length * facts.head_size
    assert load(tiny_bundle, 5).cache_bytes == 6 * each
    assert load(tiny_bundle, 5, tile=4).cache_bytes == 9 * each
