"""What torchrun says in the environment, and what is refused there."""

import pytest

from tinytx.errors import UsageError
from tinytx.train.launch import Launch, check_batch, read_launch

TOLD = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "host",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RESTART_COUNT": "5",
    "TORCHELASTIC_RUN_ID": "job",
}


def test_what_torchrun_says_is_understood() -> None:
    assert read_launch(TOLD) == Launch(3, 4, 1, 2, 5, "job")


@pytest.mark.parametrize(
    "lone", [{}, {"RANK": "3"}, {"WORLD_SIZE": "4", "LOCAL_RANK": "1"}], ids=str
)
def test_without_a_rank_and_a_size_a_process_is_by_itself(lone: dict[str, str]) -> None:
    assert read_launch(lone) == Launch()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"RANK": "x"}, "variable RANK must be a whole number from 0, not 'x'"),
        ({"RANK": "-1"}, "RANK must be"),
        ({"RANK": ""}, "RANK must be"),
        ({"RANK": "²"}, "RANK must be"),
        ({"RANK": "9" * 30}, "RANK must be"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE must be a whole number from 1, not '0'"),
        ({"LOCAL_WORLD_SIZE": "1.5"}, "LOCAL_WORLD_SIZE must be"),
        ({"TORCHELASTIC_RESTART_COUNT": "many"}, "TORCHELASTIC_RESTART_COUNT must be"),
        ({"RANK": "4"}, "names process 4 of 4"),
        ({"LOCAL_RANK": "2"}, "names process 2 of 2"),
        ({"MASTER_ADDR": ""}, "WORLD_SIZE is 4, but MASTER_ADDR is not set"),
        ({"MASTER_PORT": ""}, "WORLD_SIZE is 4, but MASTER_PORT is not set"),
    ],
    ids=str,
)
def test_an_environment_that_makes_no_sense_is_refused(change: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        read_launch(TOLD | change)
    assert "torchrun" in caught.value.remedy


@pytest.mark.parametrize(("batch", "world"), [(16, 1), (16, 2), (16, 16), (15, 3)])
def test_a_batch_that_divides_evenly_is_fine(batch: int, world: int) -> None:
    check_batch(batch, world)


@pytest.mark.parametrize(
    ("batch", "world", "remedy"),
    [(16, 3, "15 or 18"), (2, 4, "--batch-size 4,"), (9, 2, "8 or 10")],
)
def test_a_batch_that_does_not_is_refused_with_sizes_that_do(
    batch: int, world: int, remedy: str
) -> None:
    with pytest.raises(
        UsageError, match=f"a batch of {batch} windows .* {world} processes"
    ) as caught:
        check_batch(batch, world)
    assert remedy in caught.value.remedy
