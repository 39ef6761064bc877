"""The first process prepares and the others follow; what torchrun starts again goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinytx.errors import CorpusError, PrerequisiteError
from tinytx.train import checkpoint
from tinytx.train.distributed import Group
from tinytx.train.follow import Leader, elastic, follow
from tinytx.train.job import Options
from tinytx.train.launch import Launch
from tinytx.workspace import Workspace

MakeSettings = Callable[..., Any]
MakeJob = Callable[..., Any]


class Wire(Group):
    """The word of one process as the other one hears it, without any network."""

    def __init__(self, rank: int, words: list[Any]) -> None:
        super().__init__()
        self.rank, self.world, self.words = rank, 2, words

    def share(self, document: Any = None, source: int = 0) -> Any:
        if self.rank == source:
            self.words.append(document)
        return self.words[-1]


@pytest.fixture
def words() -> list[Any]:
    return []


@pytest.fixture
def leader(words: list[Any]) -> Leader:
    return Leader(Wire(0, words))


@pytest.fixture
def follower(words: list[Any]) -> Group:
    return Wire(1, words)


def test_a_failure_of_the_first_process_is_that_of_the_others(
    leader: Leader, follower: Group, tmp_path: Path, words: list[Any]
) -> None:
    with pytest.raises(CorpusError), leader.telling():
        raise CorpusError("no such text", "another one")
    with pytest.raises(Exception, match="no such text") as caught:
        follow(follower, Workspace(tmp_path))
    assert caught.value.exit_code == 2
    assert caught.value.remedy == "another one"
    assert len(words) == 1


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (ValueError("x"), 70)])
def test_nobody_waits_for_a_first_process_that_is_interrupted_or_broken(
    leader: Leader, follower: Group, tmp_path: Path, error: BaseException, code: int
) -> None:
    with pytest.raises(type(error)), leader.telling():
        raise error
    with pytest.raises(Exception) as caught:
        follow(follower, Workspace(tmp_path))
    assert caught.value.exit_code == code


def test_where_there_is_nothing_to_train_the_others_end_in_peace(
    leader: Leader, follower: Group, tmp_path: Path, words: list[Any]
) -> None:
    with leader.telling():
        pass
    follow(follower, Workspace(tmp_path))
    assert words == [{"code": 0}]


def test_a_first_process_that_has_begun_says_no_second_word(
    leader: Leader, make_settings: MakeSettings, make_job_in: MakeJob, words: list[Any]
) -> None:
    with pytest.raises(CorpusError), leader.telling():
        leader.begin(make_job_in(make_settings()), resumed=False)
        raise CorpusError("later")
    assert len(words) == 1
    assert words[0]["code"] == 0


@pytest.mark.parametrize("damage", ["absent", "other"])
def test_a_process_that_does_not_see_the_same_files_refuses(
    leader: Leader,
    follower: Group,
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    tmp_path: Path,
    damage: str,
) -> None:
    job = make_job_in(make_settings(), "shared")
    leader.begin(job, resumed=False)
    shutil.copytree(tmp_path / "shared", tmp_path / "mine")
    mine = Workspace(tmp_path / "mine")
    if damage == "absent":
        mine.val_tokens.unlink()
    else:
        mine.train_tokens.write_bytes(mine.train_tokens.read_bytes()[:-2])
    with pytest.raises(PrerequisiteError, match="does not hold the files") as caught:
        follow(follower, mine)
    assert "shared folder" in caught.value.remedy


def test_a_first_start_continues_nothing_by_itself(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    checkpoint.save(space.last_checkpoint, {"job": "another"})
    for launch in (Launch(), Launch(job="none"), Launch(job="mine"), Launch(world=2, job="")):
        assert elastic(Options(), launch, space) == Options()
    checkpoint.save(space.last_checkpoint, {"job": "none"})
    assert elastic(Options(), Launch(job="none"), space) == Options()
    space.last_checkpoint.write_bytes(b"damaged")
    assert elastic(Options(), Launch(job="mine"), space) == Options()


def test_what_torchrun_starts_again_goes_on_by_itself(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    again = Options(resume_if_possible=True)
    assert elastic(Options(), Launch(restarts=1), space) == again
    checkpoint.save(space.last_checkpoint, {"job": "mine"})  # a machine has come or gone
    assert elastic(Options(), Launch(world=3, job="mine"), space) == again
    asked = Options(resume=True)  # and --resume stays as strict as it was
    assert elastic(asked, Launch(restarts=1), space) == asked
