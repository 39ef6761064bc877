"""The batching loop: whoever comes and goes, each text is what it is alone."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinytx.bundle import GRAPHS, Bundle
from tinytx.runtime.batch import Batch
from tinytx.runtime.engine import Engine
from tinytx.runtime.sampling import Sampling
from tinytx.runtime.text import TextStream
from tinytx.serve.generation import Generation
from tinytx.serve.loop import Draining, Loop, QueueFull

SLOTS, WAITING = 4, 100
CALM = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Asked:
    """A request and what becomes of it."""

    prompt: int
    length: int
    most: int
    temperature: float
    penalty: float
    stop: str
    arrives: int
    """Turns of the loop before it comes."""
    leaves: int
    """Turns after which its client goes away; 0 is never."""

    def generation(self, engine: Engine) -> Generation:
        ids = [10, *((37 * self.prompt + 11 * at) % 300 for at in range(self.length))]
        return Generation(
            ids,
            self.most,
            sampling=Sampling(self.temperature, seed=self.prompt, repetition_penalty=self.penalty),
            text=TextStream(engine.tokenizer.piece_bytes, [self.stop] * bool(self.stop)),
        )


REQUESTS = st.lists(
    st.builds(
        Asked,
        prompt=st.integers(0, 20),
        length=st.integers(0, 30),
        most=st.integers(1, 17),
        temperature=st.sampled_from([0.0, 0.9]),
        penalty=st.sampled_from([1.0, 1.3]),
        stop=st.sampled_from(["", "a", " ri"]),
        arrives=st.integers(0, 12),
        leaves=st.sampled_from([0, 0, 0, 1, 5]),
    ),
    min_size=1,
    max_size=14,
)


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Engine:
    return Engine.load(tiny_bundle, 1, "float32")


@pytest.fixture(scope="module")
def batch(tiny_bundle: Path) -> Batch:
    bundle = Bundle(tiny_bundle)
    return Batch(bundle.manifest.model, bundle.read_file(GRAPHS["float32"]), SLOTS)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def serve(
    batch: Batch, engine: Engine, requests: list[Asked], seconds: float = 0.0
) -> list[Generation]:
    """All of them on one loop, with slices of so many seconds: of 0, one step a turn."""

    async def client(loop: Loop, asked: Asked) -> Generation:
        await turns(asked.arrives)
        generation = asked.generation(engine)
        loop.submit([generation])
        if asked.leaves:
            await turns(asked.leaves)
            generation.end("cancelled")
        await generation.news.wait()
        return generation

    async def everything() -> list[Generation]:
        loop = Loop(batch, WAITING, seconds=seconds)
        running = asyncio.ensure_future(loop.run())
        done = await asyncio.gather(*(client(loop, asked) for asked in requests))
        loop.drain()
        await asyncio.wait_for(running, 30)
        assert (loop.running, loop.waiting) == (0, 0)
        return done

    return asyncio.run(everything())


@CALM
@given(REQUESTS, st.sampled_from([0.0, 0.001, 1.0]))
def test_a_text_does_not_depend_on_who_else_is_served(
    batch: Batch, engine: Engine, requests: list[Asked], seconds: float
) -> None:
    for asked, found in zip(requests, serve(batch, engine, requests, seconds), strict=True):
        (alone,) = serve(batch, engine, [asked])
        if found.reason == "cancelled":
            both = min(
                len(found.tokens), len(alone.tokens)
            )  # when it left is not when it did alone
            assert found.tokens[:both] == alone.tokens[:both]
        elif alone.reason != "cancelled":
            assert (found.tokens, found.reason, found.take()) == (
                alone.tokens,
                alone.reason,
                alone.take(),
            )


def test_a_seeded_text_is_that_of_the_engine(batch: Batch, engine: Engine) -> None:
    for seed in range(5):
        prompt = "The river"
        expected = "".join(
            engine.generate(prompt, max_tokens=20, temperature=0.7, seed=seed, top_p=1)
        )
        ids = [engine.tokenizer.start_id, *engine.tokenizer.encode(prompt)]
        text = TextStream(engine.tokenizer.piece_bytes)
        one = Generation(ids, 20, sampling=Sampling(0.7, seed=seed), text=text)

        async def run(one: Generation = one) -> None:
            loop = Loop(batch, 1)
            loop.submit([one])
            loop.drain()
            await loop.run()

        asyncio.run(run())
        assert one.take() == expected


def plain(engine: Engine, most: int = 20) -> Generation:
    text = TextStream(engine.tokenizer.piece_bytes)
    return Generation([10, 20], most, sampling=Sampling(), text=text)


def test_a_request_finds_a_place_for_all_its_texts_or_for_none(
    batch: Batch, engine: Engine
) -> None:
    loop = Loop(batch, 2)
    loop.submit([plain(engine) for _ in range(SLOTS + 1)])
    with pytest.raises(QueueFull):
        loop.submit([plain(engine), plain(engine)])
    loop.submit([plain(engine)])
    assert loop.waiting == SLOTS + 2
    with pytest.raises(QueueFull):
        loop.submit([plain(engine)])


def test_a_draining_loop_ends_what_it_has_and_takes_nothing_more(
    batch: Batch, engine: Engine
) -> None:
    async def run() -> None:
        loop = Loop(batch, 10)
        texts = [plain(engine, most) for most in (1, 5, 9, 13, 17, 21)]
        loop.submit(texts)
        loop.drain()
        with pytest.raises(Draining):
            loop.submit([plain(engine)])
        await asyncio.wait_for(loop.run(), 30)
        assert [len(text.tokens) for text in texts] == [1, 5, 9, 13, 17, 21]
        assert {text.reason for text in texts} == {"length"}

    asyncio.run(run())


def test_a_text_without_time_ends_whether_it_waits_or_runs(batch: Batch, engine: Engine) -> None:
    async def run() -> None:
        loop = Loop(batch, 10)
        texts = [plain(engine, 40) for _ in range(SLOTS + 2)]
        for text in texts[::2]:
            text.deadline = 0.0
        loop.submit(texts)
        loop.drain()
        await asyncio.wait_for(loop.run(), 30)
        assert [text.reason for text in texts] == ["deadline", "length"] * 3

    asyncio.run(run())


def test_a_step_that_fails_ends_the_texts_in_it_and_not_the_loop(
    batch: Batch, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        loop = Loop(batch, 10, seconds=0.0)
        running = asyncio.ensure_future(loop.run())
        first = plain(engine)
        loop.submit([first])
        await turns(3)
        with monkeypatch.context() as patch:
            patch.setattr(batch, "step", lambda tokens: 1 / 0)
            await asyncio.wait_for(first.news.wait(), 30)
        assert (first.reason, first.error) == (
            "failed",
            "the model could not be run: ZeroDivisionError",
        )
        second = plain(engine)
        loop.submit([second])
        loop.drain()
        await asyncio.wait_for(running, 30)
        assert second.reason == "length"

    asyncio.run(run())


def test_likelihoods_of_forced_tokens_are_those_of_a_score(batch: Batch, engine: Engine) -> None:
    text = "The quiet river and the lantern."
    ids = [engine.tokenizer.start_id, *engine.tokenizer.encode(text)]
    one = Generation(
        ids[:1],
        0,
        sampling=Sampling(),
        forced=ids[1:],
        text=TextStream(engine.tokenizer.piece_bytes),
        likelihoods=2,
    )

    async def run() -> None:
        loop = Loop(batch, 1)
        loop.submit([one])
        loop.drain()
        await loop.run()

    asyncio.run(run())
    assert [each.token for each in one.likelihoods] == ids[1:]
    assert one.tokens == []
    score = engine.score(text)
    assert -sum(each.logprob for each in one.likelihoods) == pytest.approx(score.nats, abs=1e-3)
    for each in one.likelihoods:
        best = [logprob for _, logprob in each.best]
        assert best == sorted(best, reverse=True)
        assert each.logprob <= best[0]


def test_who_has_ended_is_answered_at_once_and_not_with_the_last_of_them(
    batch: Batch, engine: Engine
) -> None:
    """However long a slice is: its slot then waits for nobody."""

    async def both() -> tuple[int, int]:
        loop = Loop(batch, 10, seconds=60.0)
        short, long = plain(engine, 3), plain(engine, 30)
        loop.submit([short, long])
        running = asyncio.ensure_future(loop.run())
        await short.news.wait()
        seen = len(short.tokens), len(long.tokens)
        loop.drain()
        await asyncio.wait_for(running, 30)
        assert len(long.tokens) == 30
        return seen

    assert asyncio.run(both())[0] == 3 and asyncio.run(both())[1] < 30


@pytest.mark.parametrize(("seconds", "steps"), [(0.0, 2), (0.001, 4), (9.0, 19)])
def test_the_longer_pieces_take_to_be_sent_the_fewer_they_are(
    batch: Batch, engine: Engine, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int
) -> None:
    """A step takes 1.1 ms here and a piece so many seconds: steps from one piece to the next."""
    clock = Clock()
    monkeypatch.setattr("tinytx.serve.loop.time", clock)
    step = Batch.step

    def timed(self: Batch, tokens: list[int]) -> object:
        clock.now += 0.0011
        return step(self, tokens)

    monkeypatch.setattr(Batch, "step", timed)

    async def stream() -> list[int]:
        loop = Loop(batch, 10)
        one = plain(engine, 41)
        one.streamed = True
        loop.submit([one])
        running = asyncio.ensure_future(loop.run())
        seen = []
        while one.reason is None:
            await one.news.wait()
            one.news.clear()
            seen.append(len(one.tokens))
            clock.now += seconds
        loop.drain()
        await running
        return seen

    seen = asyncio.run(stream())
    assert seen[-1] == 41
    assert {after - before for before, after in pairwise(seen[:-1])} == {steps}


class Clock:
    """Stands where the loop looks at the time."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now
