"""Writes the table of README.md: what each configuration took and reached.

    python3 docs/examples/table.py

The figures of the presets are those that the program holds (``tinytx/presets.py``, measured by
``bench/presets.py`` on 2026-11-26); own-text.toml has no preset, its run is described here.
"""

import re
from pathlib import Path

from tinytx.presets import MEASURED_ON, PRESETS, Measured

PAGE = Path(__file__).with_name("README.md")
NOVELS = MEASURED_ON.partition(",")[0]
SHAKESPEARE = "Tiny Shakespeare, 1.1 MB"
OWN = Measured(seconds=129.0, peak_bytes=567_000_000, parameters=1_930_640, bits_per_byte=2.1101)
"""2026-11-30: ``tinytx train --config own-text.toml --corpus-path train.txt --val-path val.txt``,
the last tenth held out; 2 cores of an AMD EPYC with bfloat16, kernels cached."""
TABLE = re.compile(r"(<!-- table.py -->\n).*?(<!-- end -->)", re.DOTALL)


def row(name: str, text: str, m: Measured) -> str:
    minutes, seconds = divmod(round(m.seconds), 60)
    size = 4 * m.parameters / 1e6
    return (
        f"| [{name}.toml]({name}.toml) | {text} | {minutes}:{seconds:02} min | "
        f"{m.peak_bytes / 1e6:.0f} MB | {m.parameters:,} | {size:.1f} MB | {m.bits_per_byte:.3f} |"
    )


def table() -> str:
    lines = [
        "| file | measured on | time | peak memory | weights | in float32 | bits per byte |",
        "|---|---|---|---|---|---|---|",
    ]
    for preset in PRESETS.values():
        if preset.measured:
            lines.append(row(preset.name, NOVELS, preset.measured))
    lines.append(row("own-text", SHAKESPEARE, OWN))
    return "\n".join(lines) + "\n"


def filled(text: str) -> str:
    """The page with today's table."""
    return TABLE.sub(lambda found: found[1] + table() + found[2], text)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
