"""Which model answers: how one is loaded, and how the next one takes its place."""

import asyncio
import logging
from collections.abc import Coroutine
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
from tinytx.serve.store import Store
from tinytx.tokenizer import Tokenizer

log = logging.getLogger(__name__)
LINGER_SECONDS = 1.0
"""For the last answers of a model that gave way to be sent, before its memory is given back."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to serve: a bundle, or whatever release is current in a store."""

    bundle: Path | None = None
    store: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    slots: int = 32
    waiting: int = 64
    precision: Precision | None = None
    drain_seconds: float = 25.0
    look_seconds: float = 0.5
    """Between two looks at which release is current."""
    silent_seconds: int = 20
    """A connection must bring a whole request head within so long: a new one from its start, a
    kept one from the end of the last answer."""


def load_model(
    folder: Path, settings: Settings, *, prove: bool = False
) -> tuple[Model, list[startup.Trial]]:
    """The bundle, its files checked, with the memory of all slots; to ``prove`` is to reproduce
    the golden outputs of what is served as well. Raises :class:`TinytxError`."""
    bundle = Bundle(folder)
    bundle.check_files()
    try:
        data = bundle.read_file(TOKENIZER)
        tokenizer = Tokenizer(data, str(bundle.folder / TOKENIZER))
    except TokenizerError as error:
        raise BundleError(error.message) from error
    footprint.give_back()  # what only importing needed: the peak is then here
    precision, batch, trials = startup.choose(bundle, settings.slots, settings.precision)
    if prove:
        golden.verify(bundle.folder, precision=precision)
    footprint.give_back()
    return Model(bundle, precision, tokenizer, Loop(batch, settings.waiting)), trials


class Releases:
    """The model that answers, and how the next one takes its place between two requests."""

    def __init__(self, service: Service, settings: Settings) -> None:
        """Raises :class:`UsageError` when there is no such store."""
        self._service, self._settings = service, settings
        self._store = Store(settings.store) if settings.store else None
        self._seen: Path | None = None
        """Where what was last loaded, or refused, lies."""
        self._again = self._loading = False
        self._work: set[asyncio.Task[None]] = set()

    def first(self) -> list[startup.Trial]:
        """Load what is served from the start; returns what was tried.

        Raises :class:`TinytxError` for a bundle. A store without a release that can be served is
        waited for: then ``service`` has no model, and says why."""
        if self._store:
            self._store.recover()
        self._seen = folder = self._wanted()
        self._service.empty = folder is None
        if folder is None:
            return []
        try:
            model, trials = self._load(folder, prove=self._store is not None)
        except TinytxError as error:
            if self._store is None:
                raise
            self._refuse(folder, error.message)
            return []
        self._take(model)
        return trials

    def start(self) -> None:
        """Let the first model answer, and look for the next ones; called in the event loop."""
        if self._service.model is not None:
            self._keep(self._run(self._service.model))
        if self._store:
            self._keep(self._follow())

    def reload(self) -> None:
        """Load anew what is to be served; whatever is wrong with it, the old one stays."""
        self._again = True
        self._look()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._settings.look_seconds)
            if self._wanted() != self._seen:
                self._look()

    def _look(self) -> None:
        if not self._loading:
            self._loading = True
            self._keep(self._catch_up())

    async def _catch_up(self) -> None:
        """Until what is wanted is what was looked at last: a link may move during a load."""
        try:
            while (folder := self._wanted()) != self._seen or self._again:
                anew, self._again, self._seen = self._again, False, folder
                await self._next(folder, anew=anew)
        finally:
            self._loading = False

    async def _next(self, folder: Path | None, *, anew: bool) -> None:
        """Take what lies in ``folder``, unless it is no good, or not wanted any more."""
        now = self._service.model
        self._service.refused, self._service.empty = None, folder is None
        if folder is None:
            self._begin(None)
            log.info("no release is current: nothing is served")
            return
        if now is not None and now.bundle.folder == folder and not anew:
            return  # the way back from one that was refused
        try:
            model, _ = await asyncio.to_thread(self._load, folder, prove=True)
        except TinytxError as error:
            self._refuse(folder, error.message)
        except Exception as error:  # a fault of ours, or no memory: the old one goes on
            log.exception("a release could not be loaded")
            self._refuse(folder, f"it could not be loaded: {type(error).__name__}")
        else:
            if self._wanted() == folder and not self._service.draining:
                self._begin(model)
                log.info("serving %s, %s", model.name, model.precision)

    def _load(self, folder: Path, *, prove: bool) -> tuple[Model, list[startup.Trial]]:
        model, trials = load_model(folder, self._settings, prove=prove)
        if self._store and model.bundle.id != folder.name:
            raise BundleError(f"{folder} holds another bundle, {model.bundle.id}")
        return model, trials

    def _wanted(self) -> Path | None:
        """Where what should be served lies now; None in an empty store."""
        if self._store:
            return self._store.current()
        assert self._settings.bundle is not None
        return self._settings.bundle.resolve()

    def _refuse(self, folder: Path, why: str) -> None:
        log.error("the new release is not served: %s", why)
        why = why.replace(str(folder), "it")  # whoever asks learns no folder
        self._service.refused = {"release": self._id(folder), "why": why}

    def _id(self, folder: Path) -> str:
        """Of the bundle there, as far as it can be known."""
        if self._store:
            return folder.name
        try:
            return Bundle(folder).id
        except TinytxError:
            return ""

    def _begin(self, model: Model | None) -> None:
        """Let ``model`` answer from now on; texts under way end on the one they began with."""
        before = self._service.model
        self._take(model)
        if model is not None:
            self._keep(self._run(model))
        if before is not None:
            before.loop.drain()

    async def _run(self, model: Model) -> None:
        """Until it has given way to another; its memory is then given back."""
        await model.loop.run()
        del model
        await asyncio.sleep(LINGER_SECONDS)
        await asyncio.to_thread(footprint.give_back)

    def _take(self, model: Model | None) -> None:
        self._service.model = model
        if self._store:
            self._store.taken(model)

    def drain(self) -> None:
        """Take no more requests; what is under way ends."""
        self._service.draining = True
        if self._service.model is not None:
            self._service.model.loop.drain()

    def end(self) -> None:
        """All has ended as it should."""
        for task in self._work:
            task.cancel()
        if self._store:
            self._store.ended()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
