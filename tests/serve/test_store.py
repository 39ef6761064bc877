"""A server of a release store: it follows the link, and nobody who asks notices but by the name."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.serve.process import WAIT, Server, serving, serving_slowly
from tests.serve.releases import Shelf
from tests.serve.test_http import refused
from tests.serve.test_releases import health, wait_until
from tinytx.errors import BundleError
from tinytx.release.clock import boot
from tinytx.release.states import STATES
from tinytx.release.store import open_store
from tinytx.serve import releases as serve_releases
from tinytx.serve import store as serve_store
from tinytx.serve.releases import Releases, Settings
from tinytx.serve.service import Limits, Service

ASKED = {"prompt": "The river", "max_tokens": 30, "temperature": 0}
LOOK = 0.05


@pytest.fixture(scope="module")
def shelf(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf") / "store", tiny_bundle)


@pytest.fixture(scope="module")
def two(shelf: Shelf) -> tuple[str, str]:
    return shelf.another(1), shelf.another(2)


@pytest.fixture(scope="module")
def bad(shelf: Shelf) -> str:
    return shelf.wrong()


@pytest.fixture
def emptied(shelf: Shelf) -> Iterator[Shelf]:
    for name in ("current", "serving.json", "journal"):  # what is in force would be put back
        (shelf.root / name).unlink(missing_ok=True)
    yield shelf


@pytest.fixture
def server(emptied: Shelf) -> Iterator[Server]:
    """Of a store that is empty at first, looked at often."""
    with serving_slowly(emptied.root, 0.0, {"slots": 4, "look_seconds": LOOK}) as running:
        yield running


def is_served(identity: str) -> Callable[[dict[str, Any]], bool]:
    return lambda found: found.get("release") == identity and found["status"] == "ok"


def test_an_empty_store_is_waited_for_and_may_become_empty_again(
    server: Server, shelf: Shelf, two: tuple[str, str]
) -> None:
    status, found, headers = server.ask("/health")
    assert (status, found["status"], found["refused"]) == (503, "empty", None)
    status, found, headers = server.ask("/v1/completions", ASKED)
    assert (status, headers["retry-after"]) == (503, "1")
    assert "no release" in found["error"]["message"]
    assert shelf.serving is None
    shelf.switch(two[0])
    wait_until(server, is_served(two[0]))
    assert server.ask("/v1/completions", ASKED)[1]["model"] == f"tinytx-{two[0][:12]}"
    told = shelf.serving
    assert told and (told["release"], told["pid"]) == (two[0], server.process.pid)
    assert told["boot"] and abs(told["since"] - time.time()) < 60
    (shelf.root / "current").unlink()  # the first release ever was taken back
    wait_until(server, lambda found: found["status"] == "empty")
    assert server.ask("/v1/completions", ASKED)[0] == 503
    assert shelf.serving is None


def test_a_release_that_is_no_good_is_told_by_its_id_and_forgotten_on_the_way_back(
    server: Server, shelf: Shelf, two: tuple[str, str], bad: str
) -> None:
    shelf.switch(bad)
    found = wait_until(server, lambda found: found["refused"] is not None)
    assert (found["status"], found["refused"]["release"]) == ("refused", bad)
    shelf.switch(two[0])
    assert wait_until(server, is_served(two[0]))["refused"] is None
    since = health(server)["since"]
    for _ in range(2):  # a second try fails as well
        shelf.switch(bad)
        found = wait_until(server, lambda found: found["refused"] is not None)
        assert is_served(two[0])(found)
        assert found["refused"]["release"] == bad
        assert "golden outputs" in found["refused"]["why"]
        assert str(shelf.root) not in json.dumps(found)
        assert bad[:12] in found["problem"]
        assert server.ask("/v1/completions", ASKED)[0] == 200
        shelf.switch(two[0])
        found = wait_until(server, lambda found: found["refused"] is None)
    assert found["since"] == since  # it was never loaded anew
    told = shelf.serving
    assert told and told["release"] == two[0]


def test_what_current_leads_to_may_be_nothing_or_another_bundle(
    server: Server, shelf: Shelf, two: tuple[str, str]
) -> None:
    for target in ("releases/none", f"releases/{'0' * 64}", "current"):
        (shelf.root / "next").symlink_to(target)
        (shelf.root / "next").rename(shelf.root / "current")
        name = Path(target).name
        found = wait_until(
            server, lambda found, name=name: (found["refused"] or {}).get("release") == name
        )
        assert found["status"] == "refused"
    (shelf.root / "releases" / ("f" * 64)).symlink_to(two[0])
    (shelf.root / "releases" / ("e" * 64)).mkdir()
    for file in (shelf.root / "releases" / two[0]).iterdir():
        (shelf.root / "releases" / ("e" * 64) / file.name).hardlink_to(file)
    shelf.switch("e" * 64)
    found = wait_until(server, lambda found: "another bundle" in str(found["refused"]))
    assert found["refused"]["release"] == "e" * 64
    shelf.switch(two[0])
    wait_until(server, is_served(two[0]))


def resident(server: Server) -> int:
    """Kilobytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


class Clients:
    """Three who ask all the time: whole texts, streams, scores. What they heard is kept."""

    def __init__(self, server: Server) -> None:
        self._server, self._over = server, threading.Event()
        self.texts: set[tuple[str, str]] = set()
        self.scores: set[tuple[str, float]] = set()
        self.problems: list[object] = []
        kinds = (self._whole, self._stream, self._score)
        self.answers = dict.fromkeys((kind.__name__ for kind in kinds), 0)
        self._threads = [threading.Thread(target=self._ask, args=(kind,)) for kind in kinds]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(WAIT)

    def hear(self) -> None:
        """Return when each has two answers more: of the second nothing was asked before now."""
        enough = {kind: count + 2 for kind, count in self.answers.items()}
        while not self.problems and any(self.answers[kind] < enough[kind] for kind in enough):
            time.sleep(0.01)

    def _ask(self, kind: Callable[[HTTPConnection], None]) -> None:
        connection = HTTPConnection(self._server.host, self._server.port, timeout=WAIT)
        while not self._over.is_set():
            try:
                kind(connection)
            except Exception as error:
                self.problems.append(error)
                return
            self.answers[kind.__name__] += 1

    def _post(self, connection: HTTPConnection, path: str, asked: dict[str, Any]) -> str:
        connection.request("POST", path, json.dumps(asked))
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 200, text
        return text

    def _whole(self, connection: HTTPConnection) -> None:
        found = json.loads(self._post(connection, "/v1/completions", ASKED))
        self.texts.add((found["model"], found["choices"][0]["text"]))

    def _stream(self, connection: HTTPConnection) -> None:
        text = self._post(connection, "/v1/completions", {**ASKED, "stream": True})
        *events, done, _ = text.split("\n\n")
        assert done == "data: [DONE]"
        chunks = [json.loads(event.removeprefix("data: ")) for event in events]
        (model,) = {chunk["model"] for chunk in chunks}
        self.texts.add((model, "".join(chunk["choices"][0]["text"] for chunk in chunks)))

    def _score(self, connection: HTTPConnection) -> None:
        text = "The quiet river and the lantern. " * 12  # several windows
        found = json.loads(self._post(connection, "/v1/score", {"text": text}))
        self.scores.add((found["model"], found["nats"]))


@pytest.mark.long
def test_ten_switches_and_two_ways_back_fail_no_request_and_mix_no_text(
    server: Server, shelf: Shelf, two: tuple[str, str]
) -> None:
    shelf.switch(two[0])
    wait_until(server, is_served(two[0]))
    sizes = []
    order = [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]  # each a release and the way back from it
    with Clients(server) as clients:
        for number in order:
            shelf.switch(two[number])
            wait_until(server, is_served(two[number]))
            clients.hear()
            sizes.append(resident(server))
    assert clients.problems == []
    by_model = {f"tinytx-{identity[:12]}" for identity in two}
    for found in (clients.texts, clients.scores):
        assert {model for model, _ in found} == by_model
        assert len(found) == 2  # one text, one score, of each
    assert len({text for _, text in clients.texts}) == 2
    # A model that has given way is not kept: one takes 2 MB and more.
    assert max(sizes[6:]) - max(sizes[:6]) < 2_000, sizes


def test_who_serves_is_told_until_a_clean_stop_and_stays_told_after_a_death(
    emptied: Shelf, two: tuple[str, str]
) -> None:
    emptied.switch(two[0])
    with serving(None, "--store", str(emptied.root), "--slots", "1") as server:
        assert emptied.serving and emptied.serving["release"] == two[0]
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
    assert emptied.serving and emptied.serving["pid"] == server.process.pid
    with serving(None, "--store", str(emptied.root), "--slots", "1") as server:
        assert emptied.serving["pid"] == server.process.pid
        assert server.end() == 0
    assert emptied.serving is None


def test_a_store_that_cannot_be_written_is_served_all_the_same(
    emptied: Shelf, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    emptied.switch(two[0])
    monkeypatch.setattr(Path, "write_text", full)
    service = Service(Limits())
    Releases(service, Settings(store=emptied.root, slots=1)).first()
    assert service.state == "ok"


def test_a_link_that_moves_during_a_load_leads_to_where_it_came_last(
    emptied: Shelf, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, load = [], serve_releases.load_model

    def slow_load(folder: Path, settings: Settings, *, prove: bool = False) -> Any:
        loads.append(folder.name)
        if len(loads) == 1:
            emptied.switch(two[1])
        return load(folder, settings, prove=prove)

    async def run() -> None:
        service = Service(Limits())
        releases = Releases(service, Settings(store=emptied.root, slots=1, look_seconds=0.01))
        releases.first()
        releases.start()
        monkeypatch.setattr(serve_releases, "load_model", slow_load)
        emptied.switch(two[0])
        async with asyncio.timeout(WAIT):
            while service.model is None:
                await asyncio.sleep(0.01)
        assert service.model.bundle.id == two[1]
        releases.drain()
        releases.end()

    asyncio.run(run())
    assert loads == list(two)


def test_a_fault_while_loading_leaves_the_old_one_and_the_next_is_taken(
    emptied: Shelf, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    async def run() -> None:
        service = Service(Limits())
        releases = Releases(service, Settings(store=emptied.root, slots=1, look_seconds=0.01))
        releases.first()
        releases.start()
        with monkeypatch.context() as patch:
            patch.setattr(serve_releases, "load_model", no_memory)
            emptied.switch(two[1])
            async with asyncio.timeout(WAIT):
                while service.refused is None:
                    await asyncio.sleep(0.01)
        assert service.model and service.model.bundle.id == two[0]
        assert service.refused == {
            "release": two[1], "why": "it could not be loaded: MemoryError",
        }  # fmt: skip
        releases.reload()  # a SIGHUP tries it again
        async with asyncio.timeout(WAIT):
            while service.model.bundle.id != two[1]:
                await asyncio.sleep(0.01)
        assert service.refused is None
        releases.drain()
        releases.end()

    emptied.switch(two[0])
    asyncio.run(run())


def test_the_golden_outputs_that_are_checked_are_those_of_what_is_served(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proven = []

    def verify(folder: Path, *, precision: str | None = None) -> None:
        proven.append(precision)
        raise BundleError("it says something else")

    monkeypatch.setattr(serve_releases.golden, "verify", verify)
    with pytest.raises(BundleError, match="something else"):
        serve_releases.load_model(tiny_bundle, Settings(slots=1), prove=True)
    assert proven == ["float32"]


def test_a_bundle_or_a_store_is_served_and_not_both_or_neither(
    tiny_bundle: Path, shelf: Shelf, tmp_path: Path
) -> None:
    for arguments in ([], [str(tiny_bundle), "--store", str(shelf.root)]):
        code, said = refused(*arguments)
        assert code == 64 and "BUNDLE or --store FOLDER" in said[0]
    code, said = refused("--store", str(tmp_path / "none"))
    assert code == 64 and "no folder" in said[0]


def test_a_release_that_took_its_service_down_is_taken_back_before_it_is_loaded_again(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    shelf = Shelf(tmp_path / "store", tiny_bundle)
    before, tried = shelf.another(1), shelf.another(2)
    shelf.switch(before)
    (shelf.root / "previous").symlink_to(f"releases/{before}")
    journal = open_store(shelf.root).journal("test")
    for release, last in ((before, "committed"), (tried, "switched")):
        for state in STATES[: STATES.index(last) + 1]:
            for phase in ("begin", "done"):
                journal.add(release, state, phase, **{"from": before})  # type: ignore[arg-type]
    shelf.switch(tried)
    told = {"release": tried, "pid": 1, "boot": boot(), "since": 0}
    (shelf.root / "serving.json").write_text(json.dumps(told))
    with serving(None, "--store", str(shelf.root), "--slots", "1") as server:
        assert health(server)["release"] == before
        assert shelf.serving and shelf.serving["release"] == before
    (*_, last) = journal.entries()
    assert (last.release, last.state, last.phase) == (tried, "rolled-back", "done")
    assert "the service ended while it served this release" in last.why


def test_a_second_service_on_the_store_leaves_the_word_of_the_first_alone(tmp_path: Path) -> None:
    root = tmp_path / "store"
    open_store(root, create=True)
    first, second = serve_store.Store(root), serve_store.Store(root)
    first.recover()
    (root / "serving.json").write_text("the first one's")
    second.recover()
    second.ended()
    assert (root / "serving.json").read_text() == "the first one's"
    first.ended()
    assert not (root / "serving.json").exists()
