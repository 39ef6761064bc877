"""One run in several processes: the first prepares it, the others wait and then train along.

The first process alone reads the corpus, makes the tokenizer, and writes. What it has prepared
the others read from the output directory, which all machines must share.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from tinytx.config import as_dict, settings_from
from tinytx.errors import CheckpointError, PrerequisiteError, ProcessLost, TinytxError
from tinytx.train import checkpoint
from tinytx.train.distributed import Group, failure, losses_as_errors, relayed
from tinytx.train.job import Options, make_job
from tinytx.train.launch import Launch
from tinytx.train.metrics import metrics_to_plain
from tinytx.train.progress import Reporter
from tinytx.train.recorded import without_folders
from tinytx.train.trainer import Job, Trainer
from tinytx.workspace import Workspace, sha256_file


class Leader:
    """The first process's word to the others: one message, however its preparations end."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self._awaited = group.world > 1

    def begin(self, job: Job, resumed: bool) -> None:
        """Let the others train along. Raises what keeps any of them from it."""
        if self._awaited:
            self._awaited = False
            self.group.share(
                {
                    "code": 0,
                    "settings": as_dict(without_folders(job.settings)),
                    "hashes": job.hashes,
                    "metrics": metrics_to_plain(job.metrics),
                    "files": _digests(job.workspace, resumed),
                    "resumed": resumed,
                }
            )
            self.group.raise_first(None)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Where the block ends and the others still wait, tell them that it is over, and why."""
        reason: BaseException | None = None
        try:
            with losses_as_errors():
                yield
        except BaseException as error:
            reason = error
            raise
        finally:
            if self._awaited:
                with suppress(ProcessLost), losses_as_errors():
                    self.group.share(failure(reason))


def follow(group: Group, space: Workspace) -> None:
    """Train along with the first process, to the run's end or its failure, which is raised."""
    with losses_as_errors():
        word = group.share()
        if word["code"]:
            raise relayed(word)
        if "settings" not in word:  # there was nothing to train
            return
        job, state, error = None, None, None
        try:
            job, state = _same_job(group, space, word)
        except TinytxError as caught:
            error = caught
        group.raise_first(error)
        assert job is not None
        trainer = Trainer(job, Reporter(), group)
        if state is not None:
            trainer.restore(state)
        trainer.warm_up()
        trainer.run()
        group.leave()


def _same_job(
    group: Group, space: Workspace, word: dict[str, Any]
) -> tuple[Job, dict[str, Any] | None]:
    """What the first process has prepared, from the files that it has written."""
    try:
        found = _digests(space, word["resumed"])
    except OSError:
        found = {}
    if found != word["files"]:
        raise PrerequisiteError(
            f"{space.root} does not hold the files that process 0 has prepared",
            "give every machine the same shared folder as --output-dir",
        )
    settings = settings_from(word["settings"], "the first process")
    state = checkpoint.load(space.last_checkpoint) if word["resumed"] else None
    job = make_job(settings, space, word["hashes"], {"metrics": word["metrics"]}, group)
    return job, state


def _digests(space: Workspace, resumed: bool) -> dict[str, str]:
    """The sha256 of every file that all processes read."""
    paths = [space.train_tokens, space.val_tokens, *[space.last_checkpoint] * resumed]
    return {path.name: sha256_file(path) for path in paths}


def elastic(options: Options, launch: Launch, space: Workspace) -> Options:
    """Options under which a run that torchrun starts again goes on from its last checkpoint.

    A first start is left as it is: what it finds is not its own.
    """
    again = launch.restarts > 0 or _is_of(launch.job, space)
    return replace(options, resume_if_possible=again and not options.resume)


def _is_of(job: str, space: Workspace) -> bool:
    """Whether the checkpoint is this job's: torchrun does not count a restart that more, or
    fewer, machines cause. It calls every job "none" that has no name of its own."""
    if job in ("", "none") or not space.last_checkpoint.exists():
        return False
    try:
        return checkpoint.load(space.last_checkpoint).get("job") == job
    except CheckpointError:
        return False
