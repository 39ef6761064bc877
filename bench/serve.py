"""Every figure of the server in one command: throughput, memory, start, overload, vanished clients.

    python bench/serve.py data/bundle                  # about three minutes
    python bench/serve.py data/bundle --overload 600   # ten minutes of ten times the capacity
    python bench/serve.py data/bundle --against http://127.0.0.1:8080   # another server too
    python bench/serve.py data/bundle --quick          # a minute: does it hold? speeds not to quote
    python bench/many_bundles.py OUT --only large      # makes OUT/large-stories, the larger size

The server has the first core and this client the last, where there are two; the server that it is
compared with is to be started on the first one too (`taskset -c 0`). Streams are closed loops: each
asks for 128 greedy tokens, again and again. `engine.generate` is timed on the server's core in the
same sitting, between the rounds. Nothing but the loopback address is ever asked. Ends with 1 when
the server answered anything but 200 and 429, kept a reader waiting, grew or lost a slot; speeds are
only told, since they are this machine's.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from serve_client import (
    Server,
    answer,
    ask,
    health,
    overload,
    request,
    serving,
    throughput,
    vanish,
)

MB = 1_000_000
GENERATE = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[4])})
from tinytx import Engine
engine, best = Engine.load(sys.argv[1], 1, sys.argv[2]), 0.0
end = time.perf_counter() + float(sys.argv[3])
while time.perf_counter() < end:
    began = time.perf_counter()
    pieces = list(engine.generate("The old house", max_tokens=128, temperature=0))
    best = max(best, 128 / (time.perf_counter() - began))
print(best)
"""


def generate_speed(bundle: Path, precision: str, seconds: float, core: int) -> float:
    """Tokens a second of `engine.generate`, the best of its rounds, in a process of its own."""
    command = [sys.executable, "-c", GENERATE, str(bundle), precision, str(seconds), str(core)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(found.stdout)


BROKEN: list[str] = []
"""What a server must keep on any machine, and did not."""


def held(kept: bool, what: str) -> None:
    if not kept:
        BROKEN.append(what)


def told(name: str, figure: str, goal: str = "") -> None:
    print(f"{name:<58} {figure:>16}  {goal}", flush=True)


@dataclass
class Speeds:
    """Tokens a second of what is measured in turn, one figure a round."""

    http: dict[tuple[int, bool], list[float]] = field(default_factory=dict)
    """Of so many streams, streamed or whole."""
    engine: dict[str, list[float]] = field(default_factory=dict)
    """Of `engine.generate`, by precision."""
    other: dict[int, list[float]] = field(default_factory=dict)
    """Of the server that it is compared with, whole."""


def speeds(
    bundle: Path, server: Server, core: int, rounds: int, seconds: float, against: int | None
) -> Speeds:
    """Streams through HTTP, the engine alone, and the server at port ``against``."""
    found = Speeds()
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    names = {"float32": "model.onnx", "int8": "model.int8.onnx", "int4": "model.int4.onnx"}
    for _ in range(rounds):
        for name in (name for name, file in names.items() if file in files):
            found.engine.setdefault(name, []).append(generate_speed(bundle, name, seconds, core))
        for streams in (1, 8, 32):
            for stream in (False, True):
                made = asyncio.run(throughput(server.port, streams, seconds, stream=stream))
                found.http.setdefault((streams, stream), []).append(made)
            if against:
                made = asyncio.run(throughput(against, streams, seconds, stream=False, reopen=True))
                found.other.setdefault(streams, []).append(made)
    return found


def tell_speeds(bundle: Path, server: Server, core: int, found: Speeds, seconds: float) -> None:
    """The medians, and their ratios."""
    served = asyncio.run(health(server.port))["precision"]
    engine = {name: statistics.median(rows) for name, rows in found.engine.items()}
    http = {key: statistics.median(rows) for key, rows in found.http.items()}
    for name in engine:
        told(f"engine.generate, {name}", f"{engine[name]:,.0f} /s")
    for (streams, stream), made in http.items():
        told(f"{streams} streams, {'streamed' if stream else 'whole'}", f"{made:,.0f} /s")
    fastest = max(engine, key=lambda name: engine[name])
    one = max(http[1, False], http[1, True])
    told(f"one stream, over engine.generate ({served}, as served)", f"{one / engine[served]:.2f} x")
    told(f"the same ({fastest}, the fastest)", f"{one / engine[fastest]:.2f} x", ">= 0.8")
    if fastest != served:  # what a server of whichever is fastest alone would give one reader
        with serving(bundle, core, "--precision", fastest) as other:
            one = max(one, asyncio.run(throughput(other.port, 1, seconds, stream=False)))
        told(f"1 stream through HTTP, of this server or one of {fastest}", f"{one:,.0f} /s")
    for streams, goal in ((8, ">= 3.5, large 2.6"), (32, ">= 5, large 3.5")):
        told(f"{streams} streams, over that one", f"{http[streams, False] / one:.2f} x", goal)
    for streams, rates in found.other.items():
        made = statistics.median(rates)
        told(f"{streams} streams, the other server", f"{made:,.0f} /s")
        told(f"{streams} streams, over the other server", f"{http[streams, False] / made:.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--overload", type=float, default=60.0, help="seconds of overload")
    parser.add_argument("--against", help="address of another server with the same interface")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    core, rounds, seconds = cores[0], 1 if options.quick else 5, 0.5 if options.quick else 2.0
    os.sched_setaffinity(0, {cores[-1]})
    with serving(options.bundle, core) as server:
        told("start to first answer", f"{1e3 * server.start_seconds:,.0f} ms", "<= 600")
        told("memory at rest", f"{server.rss() / MB:.1f} MB", "<= 75")
        other = urlsplit(options.against).port or 80 if options.against else None
        found = speeds(options.bundle, server, core, rounds, seconds, other)
        tell_speeds(options.bundle, server, core, found, seconds)
        told("memory after 32 slots were in use", f"{server.rss() / MB:.1f} MB", "<= 120")
        steady(server, 500 if options.quick else 10_000)
        trouble(server, 30.0 if options.quick else options.overload)
    if BROKEN:
        raise SystemExit("\n".join(["NOT KEPT:", *BROKEN]))


def steady(server: Server, requests: int) -> None:
    """Growth over many requests."""

    async def many() -> None:
        each = requests // 16

        async def client(number: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for _ in range(each):
                writer.write(request(4, number=number))
                await answer(reader)
            writer.close()

        await asyncio.gather(*(client(number) for number in range(16)))

    asyncio.run(many())
    before = server.rss()
    asyncio.run(many())
    grown, over = (server.rss() - before) / MB, f"{requests:,} requests"
    told(f"growth over {over}", f"{grown:.2f} MB", "<= 1")
    held(grown <= 1.0, f"it grew by {grown:.2f} MB over {over}")


def trouble(server: Server, seconds: float) -> None:
    """Overload, and clients that vanish."""
    before = server.rss()
    seen = asyncio.run(overload(server, seconds, 320))
    gaps, half = sorted(seen.gaps), len(seen.memory) // 2
    told(f"overload for {seconds:,.0f} s: statuses", str(dict(seen.statuses)), "200 and 429")
    gap = 1e3 * gaps[int(0.95 * len(gaps))]
    told("p95 between pieces of admitted streams", f"{gap:.1f} ms", "<= 250")
    later = max(seen.memory[half:]) - max(seen.memory[: half or 1])
    grown = (server.rss() - before) / MB
    told("growth meanwhile; of the peak in its second half", f"{grown:.2f}, {later / MB:.2f} MB")
    held(set(seen.statuses) <= {200, 429}, f"overload: statuses {dict(seen.statuses)}")
    held(gap <= 250.0, f"overload: {gap:.0f} ms between pieces (p95)")
    asyncio.run(vanish(server.port, 500))
    time.sleep(0.5)
    now = asyncio.run(health(server.port))
    lost, status = now["running"] + now["waiting"], asyncio.run(ask(server.port, 4))
    told("slots lost by 500 clients that vanished, a status then", f"{lost}, {status}", "0, 200")
    held(lost == 0 and status == 200, f"vanished clients: {lost} slots lost, then {status}")


if __name__ == "__main__":
    main()
