"""Draws the figures of the guide: ``python docs/guide/figures.py`` writes ``docs/guide/figures/``.

Each is made from the code that it shows (the schedule, the windows, the mask, the model) or from
the stored figures of a run (``docs/guide/data/``, each with the command that gave it). A test fails
when a file is not what is drawn here.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for those who load this file by its path

from drawing import measuring, shape, text, training

FOLDER = Path(__file__).parent / "figures"
DRAWINGS = {
    "chain": shape.chain,
    "vocabulary": text.vocabulary,
    "parameters": shape.parameters,
    "block": shape.block,
    "held-out": text.held_out,
    "windows": text.windows,
    "attention-mask": shape.attention_mask,
    "step": training.step,
    "schedule": training.schedule,
    "muon": training.muon,
    "ladder": training.ladder,
    "overfitting": training.overfitting,
    "presets": training.presets,
    "memory": measuring.memory,
    "latency": measuring.latency,
    "verdicts": measuring.verdicts,
    "bounds": measuring.ranks,
}


def draw_all() -> dict[str, str]:
    """The text of each file by its name."""
    return {f"{name}.svg": draw().svg() for name, draw in DRAWINGS.items()}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, content in draw_all().items():
        (FOLDER / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
