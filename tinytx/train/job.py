"""What a run starts from: fresh, or the checkpoint of an interrupted run of the same kind."""

import uuid
from dataclasses import dataclass
from typing import Any

import msgspec
import torch

from tinytx import __version__
from tinytx.config import Settings, as_dict
from tinytx.errors import CheckpointError, CorpusError
from tinytx.train import checkpoint, speed
from tinytx.train.corpus.source import own_bits_per_byte, recorded_files
from tinytx.train.data import Tokens, open_tokens
from tinytx.train.distributed import ALONE, Group
from tinytx.train.memory import leave_out_compiler
from tinytx.train.metrics import Metrics, now
from tinytx.train.recorded import as_text
from tinytx.train.trainer import Job
from tinytx.workspace import Workspace, sha256_file

STATE = {"model", "settings", "hashes", "optimizer", "random", "epoch", "step", "loss_sum"}
STATE |= {"epoch_seconds", "best", "metrics", "pace"}
"""What a checkpoint must hold to be continued from."""
COMPARED = ("tokenizer", "model", "training")
"""The sections of the settings in which a checkpoint must agree with the run that resumes it."""


@dataclass(frozen=True)
class Options:
    """What a run may leave out or continue."""

    skip_corpus: bool = False
    skip_tokenizer: bool = False
    resume: bool = False
    resume_if_possible: bool = False
    """Continue an interrupted run of the same settings; else start afresh."""
    overwrite: bool = False
    """Replace the model or the interrupted run that is there."""


def input_hashes(space: Workspace) -> dict[str, str]:
    """The sha256 of what training reads: a checkpoint belongs to these."""
    return {
        "train_text": sha256_file(space.train_text),
        "val_text": sha256_file(space.val_text),
        "tokenizer": sha256_file(space.tokenizer),
    }


def state_to_resume(
    settings: Settings,
    space: Workspace,
    hashes: dict[str, str],
    options: Options,
) -> dict[str, Any] | None:
    """The checkpoint to continue from, or None to start afresh.

    Raises :class:`CheckpointError` when ``--resume`` was asked for and there is none, or it
    belongs to another run: the difference is named.
    """
    path = space.last_checkpoint
    if not (options.resume or options.resume_if_possible):
        return None
    if not path.exists():
        if options.resume_if_possible:
            return None
        raise CheckpointError(f"there is nothing to resume in {space.root}", "run without --resume")
    try:
        state = checkpoint.load(path)
        if missing := sorted(STATE - state.keys()):
            raise CheckpointError(f"{path} holds no run to continue: no {', '.join(missing)}")
        if difference := _difference(settings, hashes, state, space):
            raise CheckpointError(
                f"{path} belongs to another run: {difference}",
                "give the same settings and text; --overwrite in place of --resume starts afresh",
            )
    except CheckpointError:
        if options.resume_if_possible:
            return None
        raise
    return state


def _difference(
    settings: Settings, hashes: dict[str, str], state: dict[str, Any], space: Workspace
) -> str:
    """The first setting or input in which a checkpoint differs from this run, or nothing."""
    theirs = as_dict(checkpoint.settings_of(state, space.last_checkpoint))
    if changed_setting := first_change(theirs, settings):
        return changed_setting
    changed = [name for name in hashes if state["hashes"].get(name) != hashes[name]]
    return f"the {changed[0].replace('_', ' ')} has changed" if changed else ""


def first_change(theirs: dict[str, Any], settings: Settings) -> str:
    """The first setting that decides a run in which an earlier one differs, or nothing.

    ``theirs`` is what that run recorded: a key that it does not know is no difference.
    """
    ours = as_dict(settings)
    for section in COMPARED:
        known = theirs.get(section)
        if not isinstance(known, dict):
            continue
        for key, value in ours[section].items():
            if key in known and known[key] != value:
                return f"{section}.{key} was {known[key]}, now it is {value}"
    return ""


def make_job(
    settings: Settings,
    space: Workspace,
    hashes: dict[str, str],
    state: dict[str, Any] | None,
    group: Group = ALONE,
) -> Job:
    """Open the tokens, set up this machine, and choose (or restore) arithmetic and compiler."""
    train, val = open_tokens(space.train_tokens), open_tokens(space.val_tokens)
    _check_lengths(train, val, settings.model.max_seq_length)
    if state is None:
        threads = speed.set_up_torch(settings)
        metrics = _new_metrics(settings, space, hashes, _facts(threads, group))
        precision = speed.choose_precision(settings, group.device)
        total = settings.training.epochs * len(train)
        compiled = speed.should_compile(settings, total, precision)
        name = str(precision).removeprefix("torch.")
        metrics.machine |= {"precision": name, "compiled": compiled}
        if reason := speed.lacks_compiler(settings, total):
            metrics.machine["eager_because"] = reason
    else:
        metrics = _metrics_of(state, space)
        metrics.interruptions += 1
        metrics.move_to(_facts(speed.set_up_torch(settings, metrics.machine), group))
        precision = getattr(torch, metrics.machine["precision"])
        compiled = bool(metrics.machine["compiled"])
    if not compiled:
        leave_out_compiler()
    val_bytes = space.val_text.stat().st_size
    return Job(settings, space, train, val, val_bytes, hashes, metrics, precision, compiled)


def _metrics_of(state: dict[str, Any], space: Workspace) -> Metrics:
    """What the run that goes on has recorded. Raises :class:`CheckpointError`."""
    try:
        metrics = msgspec.convert(state["metrics"], Metrics)
    except msgspec.ValidationError as error:
        raise CheckpointError(
            f"{space.last_checkpoint} holds no usable metrics: {error}"
        ) from error
    machine = metrics.machine
    usable = {"precision": ("float32", "bfloat16"), "compiled": (True, False)}
    if any(machine.get(key) not in values for key, values in usable.items()):
        raise CheckpointError(f"{space.last_checkpoint} does not say how it was computed")
    return metrics


def _check_lengths(train: Tokens, val: Tokens, length: int) -> None:
    for name, tokens, least in (("training", train, length), ("validation", val, 1)):
        if len(tokens) - 1 < least:
            raise CorpusError(
                f"the {name} text has {len(tokens) - 1} tokens; at least {least} are needed",
                "add text, or lower --max-seq-length",
            )


def _facts(threads: int, group: Group) -> dict[str, Any]:
    """What this process and its like run on."""
    return {
        **speed.machine_facts(threads),
        "torch": str(torch.__version__),
        "tinytx": __version__,
        "processes": group.world,
        "device": speed.device_name(group.device),
    }


def _new_metrics(
    settings: Settings, space: Workspace, hashes: dict[str, str], machine: dict[str, Any]
) -> Metrics:
    return Metrics(
        run_id=str(uuid.uuid4()),
        started_at=now(),
        config=as_dict(as_text(settings)),
        machine=machine,
        corpus={
            "train_sha256": hashes["train_text"],
            "train_bytes": space.train_text.stat().st_size,
            "val_sha256": hashes["val_text"],
            "val_bytes": space.val_text.stat().st_size,
            "own_bits_per_byte": own_bits_per_byte(space.corpus_facts),
            **recorded_files(space.corpus_facts, hashes["train_text"]),
        },
        tokenizer={
            "sha256": hashes["tokenizer"],
            "vocab_size": settings.tokenizer.vocab_size,
            "train_tokens": len(open_tokens(space.train_tokens)) - 1,
            "made_with": space.stamp("tokenizer").made_with(space.tokenizer),
        },
        parameters=settings.parameters,
    )
