"""What is lost on the way from the graph to the wire: the graph alone, the batch, the loop, HTTP.

    python bench/serve_bound.py data/bundle                        # what the server would choose
    python bench/serve_bound.py data/bundle --precision float32

Each makes texts of 128 greedy tokens, as many at once as the row says, on one core; each round
times all four in turn, and the median of the rounds counts. The graph alone is a prompt for each
text and 127 runs in company at the middle of the text, nothing around them. With the batch come
token choice, positions and pairs; with the loop requests that end and begin, in closed loops; with
HTTP a server on this core and its clients on another. Beside tokens a second stand those of a
second of this core's time: they leave out waiting, so they hold beside other programs too, and
their share of the graph alone is the last column. `--caches` tells instead what a row costs as more
rows and longer contexts take more memory than the processor's caches hold.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from serve_client import PROMPTS, TOKENS, Server, answer, request, serving

from tinytx.bundle import GRAPHS, Bundle, Precision
from tinytx.runtime.batch import Batch
from tinytx.runtime.sampling import Sampling
from tinytx.runtime.text import TextStream
from tinytx.serve import startup
from tinytx.serve.generation import Generation
from tinytx.serve.loop import Loop
from tinytx.tokenizer import Tokenizer

STREAMS = (1, 8, 32)
CONTEXTS = (8, 64, 128, 250)
Rates = tuple[float, float]
"""Tokens a second, and tokens a second of the core's time."""


class Work:
    """The same texts, made in three ways on one batch."""

    def __init__(self, bundle: Bundle, precision: Precision) -> None:
        graph = bundle.read_file(GRAPHS[precision])
        self.batch = Batch(bundle.manifest.model, graph, max(STREAMS))
        self.tokenizer = Tokenizer(bundle.read_file("tokenizer.model"), "tokenizer.model")
        start = self.tokenizer.start_id
        self.prompts = [[start, *self.tokenizer.encode(prompt)] for prompt in PROMPTS]

    def _ids(self, number: int) -> list[int]:
        return self.prompts[number % len(self.prompts)]

    def graph(self, rows: int) -> float:
        """Seconds of one text a row: nothing but runs of the graph, at the texts' middle."""
        batch = self.batch
        work, run, options = batch._first(rows), batch._run_session, batch._options
        began = time.perf_counter()
        for slot in range(rows):
            batch.prompt(self._ids(slot), 0)
        batch._positions[:rows] = batch._total[0] = len(self._ids(0)) + TOKENS // 2
        for _ in range(TOKENS - 1):
            run(work.binding, options)
        return time.perf_counter() - began

    def _enter(self, rows: int) -> list[int]:
        first = []
        for slot in range(rows):
            first.append(int(self.batch.prompt(self._ids(slot), 0).argmax()))
            self.batch.enter(slot, self._ids(slot))
        return first

    def steps(self, rows: int) -> float:
        """The same through the batch, with the choice of the token."""
        began = time.perf_counter()
        tokens = self._enter(rows)
        for _ in range(TOKENS - 1):
            tokens = self.batch.step(tokens).argmax(axis=1)
        return time.perf_counter() - began

    async def loop(self, streams: int, seconds: float) -> int:
        """Tokens of closed loops that ask the server's loop, without HTTP."""
        loop = Loop(self.batch, max(STREAMS))
        made = 0
        end = time.perf_counter() + seconds

        async def client(number: int) -> None:
            nonlocal made
            while time.perf_counter() < end:
                text = TextStream(self.tokenizer.piece_bytes, [])
                sampling = Sampling(temperature=0.0)
                one = Generation(self._ids(number), TOKENS, sampling=sampling, text=text)
                loop.submit([one])
                while one.reason is None:
                    await one.news.wait()
                    one.news.clear()
                one.take()
                made += TOKENS

        running = asyncio.create_task(loop.run())
        await asyncio.gather(*(client(number) for number in range(streams)))
        loop.drain()
        await running
        return made

    def again(self, make: Callable[[int], float], rows: int, seconds: float) -> int:
        """Tokens of what :meth:`graph` and :meth:`steps` do, again and again."""
        made, took = 0, 0.0
        while took < seconds:
            took += make(rows)
            made += rows * TOKENS
        return made

    def around(self, rows: int, seconds: float) -> dict[str, Rates]:
        return {
            "graph": rates(lambda: self.again(self.graph, rows, seconds)),
            "batch": rates(lambda: self.again(self.steps, rows, seconds)),
            "loop": rates(lambda: asyncio.run(self.loop(rows, seconds))),
        }

    def caches(self, rows: int, context: int) -> float:
        """Seconds of a step of so many rows at that context, the median."""
        work = self.batch._first(rows)
        self.batch._positions[:rows] = self.batch._total[0] = context
        took = []
        for _ in range(max(60, 2_000 // rows)):
            began = time.process_time()
            self.batch._run_session(work.binding, self.batch._options)
            took.append(time.process_time() - began)
        return statistics.median(took)


def rates(make: Callable[[], int], pid: int | None = None) -> Rates:
    """Of so many tokens: by the clock, and by the time on a core of this process or another."""
    used = time.process_time if pid is None else lambda: core_seconds(pid)
    began, before = time.perf_counter(), used()
    made = make()
    return made / (time.perf_counter() - began), made / (used() - before)


def core_seconds(pid: int) -> float:
    """What a process's first thread has had (proc_pid_schedstat(5))."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


async def ask(server: Server, streams: int, seconds: float, *, stream: bool) -> int:
    """Tokens of closed loops through HTTP."""
    made = 0
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        nonlocal made
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while time.monotonic() < end:
            writer.write(request(TOKENS, stream=stream, number=number))
            if await answer(reader) == 200:
                made += TOKENS
        writer.close()

    await asyncio.gather(*(client(number) for number in range(streams)))
    return made


def asked(server: Server, streams: int, seconds: float, stream: bool) -> int:
    """The same, in a loop of events of its own."""
    return asyncio.run(ask(server, streams, seconds, stream=stream))


def worker(folder: Path, precision: Precision, core: int) -> None:
    """Answers lines of ``streams seconds`` with a line of JSON."""
    os.sched_setaffinity(0, {core})
    work = Work(Bundle(folder), precision)
    for line in sys.stdin:
        streams, seconds = line.split()
        print(json.dumps(work.around(int(streams), float(seconds))), flush=True)


def bound(folder: Path, precision: Precision, rounds: int, seconds: float) -> None:
    """The table of all four."""
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, __file__, str(folder), "--precision", precision, "--worker"]
    made = subprocess.Popen(
        [*command, str(cores[0])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert made.stdin and made.stdout
    os.sched_setaffinity(0, {cores[-1]})
    found: dict[tuple[int, str], list[Rates]] = {}
    with made, serving(folder, cores[0], "--precision", precision) as server:
        for _ in range(rounds):
            for streams in STREAMS:
                made.stdin.write(f"{streams} {seconds}\n")
                made.stdin.flush()
                told: dict[str, Rates] = json.loads(made.stdout.readline())
                for stream, name in ((False, "HTTP"), (True, "HTTP, streamed")):
                    work = partial(asked, server, streams, seconds, stream)
                    told[name] = rates(work, server.process.pid)
                for name, one in told.items():
                    found.setdefault((streams, name), []).append(one)
        made.stdin.close()
    print(f"{folder.name}, {precision}: tokens a second; a second of the core; of the graph's")
    for (streams, name), several in found.items():
        clock, core = (statistics.median(part) for part in zip(*several, strict=True))
        alone = statistics.median(core for _, core in found[streams, "graph"])
        print(f"{streams:>3} at once, {name:<15} {clock:>9,.0f} {core:>9,.0f} {core / alone:>5.0%}")


def caches(folder: Path, precision: Precision) -> None:
    """What a row costs, by rows and context, beside the bytes that a step reads of the caches."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    bundle = Bundle(folder)
    facts, work = bundle.manifest.model, Work(bundle, precision)
    weights = (folder / GRAPHS[precision]).stat().st_size / 1e6
    print(f"{folder.name}, {precision}: microseconds a row (MB of caches read); {weights:.1f} MB")
    for rows in (1, 2, 4, 8, 12, 16, 24, 32):
        cells = []
        for context in CONTEXTS:
            took = 1e6 * work.caches(rows, context) / rows
            read = 8 * rows * facts.layers * facts.heads * facts.head_size * context / 1e6
            cells.append(f"{took:8.1f} ({read:5.1f})")
        print(f"{rows:>3} rows", *cells, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--precision", help="default: what the server would choose here")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each figure in a round")
    parser.add_argument("--caches", action="store_true", help="rows and contexts instead")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = options.precision or startup.choose(Bundle(options.bundle), max(STREAMS))[0]
    precision = cast(Precision, chosen)
    if options.worker is not None:
        worker(options.bundle, precision, options.worker)
    elif options.caches:
        caches(options.bundle, precision)
    else:
        bound(options.bundle, precision, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
