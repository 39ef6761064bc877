"""What ``bench/runtime.py`` runs in fresh processes: memory of a generation, one JSON line.

Imports nothing but the runtime, so that what is counted is what a program that uses it holds.
"""

import json
import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # `floor` is without tinytx, which sets it


def memory() -> dict[str, int]:
    """Resident set now and its high-water mark since the process began, in bytes."""
    wanted = {"VmHWM": "peak", "RssAnon": "anonymous"}
    found = {"rss": _kilobytes("/proc/self/smaps_rollup", "Rss")}
    return found | {name: _kilobytes("/proc/self/status", key) for key, name in wanted.items()}


def _kilobytes(path: str, key: str) -> int:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 (pathlib is an import more)
        line = next(line for line in file if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def generate(bundle: str, tokens: int, every: int, precision: str | None) -> list[dict[str, int]]:
    """Greedy tokens after a 16-token prompt, again whenever the context is full."""
    from tinytx.runtime.engine import Engine

    engine = Engine.load(bundle, precision=precision)
    prompt = [engine.tokenizer.start_id, *range(20, 35)]
    marks = []
    pending = prompt
    for done in range(1, tokens + 1):
        if engine.length + len(pending) > engine.facts.max_seq_length:
            engine.reset()
            pending = prompt
        pending = [int(engine.append(pending).argmax())]
        if done % every == 0:
            marks.append({"tokens": done, **memory()})
    return marks


def floor() -> list[dict[str, int]]:
    """What Python, numpy and onnxruntime hold without a model."""
    marks = [{"step": 0, **memory()}]
    import numpy  # noqa: F401

    marks.append({"step": 1, **memory()})
    import onnxruntime  # noqa: F401

    return [*marks, {"step": 2, **memory()}]


def command(bundle: str, tokens: int, precision: str | None) -> list[dict[str, int]]:
    """The same through the command line, which brings click and rich."""
    from tinytx.cli.main import run

    length = ["--max-tokens", str(tokens), "--when-full", "slide"]
    arguments = ["generate", bundle, "Once upon a time", *length, "--json"]
    code = run([*arguments, *(["--precision", precision] if precision else [])])
    assert code == 0
    return [memory()]


def main() -> None:
    kind, bundle, tokens, every = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    precision = sys.argv[5] if len(sys.argv) > 5 else None
    if kind == "floor":
        marks = floor()
    else:
        marks = (
            command(bundle, tokens, precision)
            if kind == "cli"
            else generate(bundle, tokens, every, precision)
        )
    print("\n" + json.dumps(marks))


if __name__ == "__main__":
    main()
