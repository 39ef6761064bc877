"""Which model answers: how one is loaded, and how the next one takes its place."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytx.bundle import TOKENIZER, Bundle, Precision
from tinytx.errors import BundleError, TinytxError, TokenizerError
from tinytx.runtime import footprint, golden
from tinytx.serve import startup
from tinytx.serve.loop import Loop
from tinytx.serve.model import Model
from tinytx.serve.service import Service
from tinytx.tokenizer import Tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to serve."""

    bundle: Path
    host: str = "127.0.0.1"
    port: int = 8765
    slots: int = 32
    waiting: int = 64
    precision: Precision | None = None
    drain_seconds: float = 25.0
    silent_seconds: int = 20
    """A connection must bring a whole request head within so long: a new one from its start, a
    kept one from the end of the last answer."""


def load_model(settings: Settings, *, prove: bool = False) -> tuple[Model, list[startup.Trial]]:
    """The bundle, its files checked, with the memory of all slots; to ``prove`` is to reproduce
    its golden outputs as well. Raises :class:`TinytxError`."""
    bundle = Bundle(settings.bundle.resolve())
    bundle.check_files()
    if prove:
        golden.verify(bundle.folder, precision=settings.precision)
    try:
        data = bundle.read_file(TOKENIZER)
        tokenizer = Tokenizer(data, str(bundle.folder / TOKENIZER))
    except TokenizerError as error:
        raise BundleError(error.message) from error
    footprint.give_back()  # what only importing needed: the peak is then here
    precision, batch, trials = startup.choose(bundle, settings.slots, settings.precision)
    footprint.give_back()
    return Model(bundle, precision, tokenizer, Loop(batch, settings.waiting)), trials


class Releases:
    """The model that answers, and how the next one takes its place between two requests."""

    def __init__(self, service: Service, load: Callable[[], Model]) -> None:
        """``load`` makes the next model; it is called in a thread, beside the running one."""
        self._service, self._load = service, load
        self._work: set[asyncio.Task[None]] = set()
        self._loading = False

    def begin(self, model: Model) -> None:
        """Let ``model`` answer from now on; texts under way end on the one they began with."""
        before, self._service.model = self._service.model, model
        self._keep(model.loop.run())
        if before is not None:
            before.loop.drain()

    def reload(self) -> None:
        """Load anew what is at the bundle's place; whatever is wrong with it, the old one stays."""
        if not self._loading:
            self._loading = True
            self._keep(self._take_next())

    async def _take_next(self) -> None:
        try:
            model = await asyncio.to_thread(self._load)
        except TinytxError as error:
            self._service.problem = f"a release was refused: {type(error).__name__}; see the log"
            log.error("the new release is not served: %s", error.message)
        else:
            self._service.problem = ""
            self.begin(model)
            log.info("serving %s, %s", model.name, model.precision)
        finally:
            self._loading = False

    def drain(self) -> None:
        """Take no more requests; what is under way ends."""
        self._service.draining = True
        if self._service.model is not None:
            self._service.model.loop.drain()

    def end(self) -> None:
        for task in self._work:
            task.cancel()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
