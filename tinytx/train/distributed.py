"""Several processes that train one model: what they say to each other, and nothing else.

Every process holds the whole model and takes its rows of each batch; PyTorch's
DistributedDataParallel averages the gradients (Li et al. 2020, arXiv 2006.15704), so all of them
make the same step. :class:`Group` is the case of one process, in which nothing needs saying.
Messages are JSON, never pickles, and travel by gloo; gradients travel by gloo between CPUs and by
NCCL between GPUs.
"""

import signal
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from tinytx.errors import EXIT_BUG, Interrupted, ProcessLost, TinytxError, UsageError
from tinytx.train.launch import Launch, read_launch
from tinytx.train.model import SharedDropout, Transformer
from tinytx.train.signals import SIGNALS
from tinytx.train.speed import CPU, choose_device

PATIENCE = timedelta(days=1)  # while the first process downloads, tokenises or compiles
STEP_PATIENCE = timedelta(minutes=15)  # for one gradient: longer than any checkpoint takes

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""Inputs and targets [B, T] to the mean cross-entropy in nats per token."""


class Group:
    """One process by itself. ``job`` is torchrun's name for the run, if it started this."""

    rank, world = 0, 1

    def __init__(self, device: torch.device = CPU, job: str = "") -> None:
        self.device, self.job = device, job

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files, prints and asks."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """This process's part of a batch."""
        size = batch // self.world
        return slice(self.rank * size, (self.rank + 1) * size)

    def prepare(self, model: Transformer) -> None:
        """Move the model to the device, and let its dropout draw this process's rows."""
        model.to(self.device)

    def wrap(self, model: Transformer, loss: LossFunction) -> LossFunction:
        """``loss`` whose backward pass leaves the mean gradient of all processes."""
        return loss

    def align(self, model: Transformer) -> None:
        """Give all processes the first one's weights."""

    def sum(self, value: float) -> float:
        """The sum over all processes, the same number in each."""
        return value

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        return flag

    def share(self, document: Any = None, source: int = 0) -> Any:
        """What ``source`` said, in every process; it waits for the slowest. JSON only."""
        return document

    def raise_first(self, error: TinytxError | None) -> None:
        """Raise in all processes what went wrong in any of them."""
        if error is not None:
            raise error

    def leave(self) -> None:
        """Part in peace: whoever ends after this disturbs nobody."""


ALONE = Group()
"""One process on the CPU."""


class TorchGroup(Group):
    """Processes that torchrun, or another launcher that sets its variables, has started."""

    def __init__(self, launch: Launch, device_setting: str) -> None:
        self.rank, self.world = launch.rank, launch.world
        with _signals_kill():  # waiting for the others cannot be interrupted from Python
            store = fresh_part(next(rendezvous("env://", timeout=STEP_PATIENCE))[0], launch)
            dist.init_process_group(
                "gloo", store=store, rank=self.rank, world_size=self.world, timeout=STEP_PATIENCE
            )
            self._messages = dist.new_group(backend="gloo", timeout=PATIENCE)
            super().__init__(self._common_device(launch, device_setting), launch.job)
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            self._gradients = dist.new_group(backend=backend, timeout=STEP_PATIENCE)

    def _common_device(self, launch: Launch, setting: str) -> torch.device:
        """A GPU for each process, or the CPU for all. Raises :class:`PrerequisiteError`."""
        device, error = CPU, None
        try:
            device = choose_device(setting, launch)
        except TinytxError as caught:
            error = caught
        self.raise_first(error)
        return CPU if self.any(device.type == "cpu") else device

    def prepare(self, model: Transformer) -> None:
        super().prepare(model)
        for module in model.modules():
            if isinstance(module, SharedDropout):
                module.rank, module.world = self.rank, self.world

    def wrap(self, model: Transformer, loss: LossFunction) -> LossFunction:
        with warnings.catch_warnings(action="ignore"):  # newer versions rename broadcast_buffers
            return nn.parallel.DistributedDataParallel(
                _Loss(model, loss),
                device_ids=[self.device] if self.device.type == "cuda" else None,
                process_group=self._gradients,
                broadcast_buffers=False,  # they are constants
            )

    @torch.no_grad()
    def align(self, model: Transformer) -> None:
        for parameter in model.parameters():
            dist.broadcast(parameter, 0, group=self._gradients)

    def sum(self, value: float) -> float:
        total = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(total, group=self._messages)
        return total.item()

    def any(self, flag: bool) -> bool:
        return self.sum(float(flag)) > 0

    def share(self, document: Any = None, source: int = 0) -> Any:
        data = msgspec.json.encode(document) if self.rank == source else b""
        size = torch.tensor(len(data))
        dist.broadcast(size, source, group=self._messages)
        content = torch.zeros(int(size), dtype=torch.uint8)
        if self.rank == source:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        dist.broadcast(content, source, group=self._messages)
        return msgspec.json.decode(content.numpy().tobytes())

    def raise_first(self, error: TinytxError | None) -> None:
        where = torch.tensor(self.world if error is None else self.rank)
        dist.all_reduce(where, dist.ReduceOp.MIN, group=self._messages)
        if (source := int(where)) < self.world:
            raise relayed(self.share(failure(error, self.rank), source))

    def leave(self) -> None:
        dist.destroy_process_group()


def fresh_part(store: Store, launch: Launch) -> Store:
    """A part of torchrun's store that holds nothing of an earlier start.

    torchrun keeps one store over restarts: a process would look for another one where that had
    been before it died. So each says hello under its rank with a word that is new; the first one
    answers to that word with the part's name until all have arrived there. An old hello is
    answered too, and nobody reads the answer.
    """
    word = uuid.uuid4().hex
    if launch.rank:
        store.set(f"hello/{launch.rank}", word)
        name = store.get(f"welcome/{word}").decode()  # waits
        store.set(f"here/{name}/{launch.rank}", "")
        return PrefixStore(name, store)
    missing = set(range(1, launch.world))
    deadline = time.monotonic() + STEP_PATIENCE.total_seconds()
    while missing:
        for rank in missing:
            if store.check([f"hello/{rank}"]):
                store.set(f"welcome/{store.get(f'hello/{rank}').decode()}", word)
        missing = {rank for rank in missing if not store.check([f"here/{word}/{rank}"])}
        if time.monotonic() > deadline:
            raise ProcessLost(f"{len(missing)} of {launch.world} processes have not come")
        time.sleep(0.01)
    return PrefixStore(word, store)


class _Loss(nn.Module):
    """A loss function and the model whose weights it uses, as DistributedDataParallel wants it."""

    def __init__(self, model: Transformer, function: LossFunction) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return self.function(inputs, targets)


def join(device_setting: str = "auto") -> Group:
    """The group of this process: what the environment says, on a GPU where there is one.

    Raises :class:`UsageError` for an environment that makes no sense,
    :class:`PrerequisiteError` when a GPU is asked for and absent, and :class:`ProcessLost`.
    """
    launch = read_launch()
    if launch.world == 1:
        return Group(choose_device(device_setting, launch), launch.job)
    with losses_as_errors():
        return TorchGroup(launch, device_setting)


def alone(device_setting: str = "auto") -> Group:
    """The group of a process that trains by itself. Raises :class:`UsageError` among others."""
    if (world := read_launch().world) > 1:
        raise UsageError(
            f"this was started {world} times, and only `tinytx train` runs in several processes"
        )
    return join(device_setting)


def failure(error: BaseException | None, rank: int = 0) -> dict[str, Any]:
    """An error as a message to the other processes."""
    if error is None:
        return {"code": 0}
    if isinstance(error, KeyboardInterrupt):
        error = Interrupted("interrupted")
    if not isinstance(error, TinytxError):
        words = f"process {rank} has failed: {type(error).__name__}"
        return {"message": words, "remedy": "", "code": EXIT_BUG}
    where = f"process {rank} on {socket.gethostname()}: " if rank else ""
    return {"message": where + error.message, "remedy": error.remedy, "code": error.exit_code}


def relayed(message: dict[str, Any]) -> TinytxError:
    """The error that :func:`failure` has described."""
    error = TinytxError(message["message"], message["remedy"])
    error.exit_code = message["code"]
    return error


@contextmanager
def losses_as_errors() -> Iterator[None]:
    """Turn what PyTorch says when another process has gone into :class:`ProcessLost`."""
    try:
        yield
    except RuntimeError as error:
        told = str(error).lower()
        if not isinstance(error, dist.DistError) and not any(w in told for w in ("gloo", "nccl")):
            raise
        raise ProcessLost(
            "another process of this run has ended or cannot be reached",
            "torchrun --max-restarts goes on from the last checkpoint by itself",
        ) from error


@contextmanager
def _signals_kill() -> Iterator[None]:
    """Ctrl-C and SIGTERM end this process at once: it has nothing to lose yet."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
