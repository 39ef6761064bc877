"""What a program does with a bundle: find the lines of a file that are unlike the others.

    python3 use_bundle.py out/bundle lines.txt

Nothing is generated: a line's bits per byte say how unusual the model finds it. Needs the base
install of tinytx, no PyTorch.
"""

import sys
from pathlib import Path

from tinytx import Engine, TinytxError


def most_unusual(engine: Engine, lines: list[str], count: int) -> list[tuple[float, str]]:
    """The lines that cost the most bits per byte, the dearest first."""
    scored = [(engine.score(f"{line}\n").bits_per_byte, line) for line in lines]
    return sorted(scored, reverse=True)[:count]


def main() -> int:
    bundle, file = sys.argv[1:]
    try:
        engine = Engine.load(bundle, threads=1)
    except TinytxError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code
    lines = [line for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]
    for bits, line in most_unusual(engine, lines, count=3):
        print(f"{bits:5.2f}  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
