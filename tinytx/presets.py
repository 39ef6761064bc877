"""Named layers of settings, each with what it costs and what it reaches.

A preset is applied before ``--config``, ``--set`` and flags, so that each of those changes it.
The figures are measured by ``bench/presets.py``, which also prints this table anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Layer = Mapping[str, Mapping[str, Any]]
"""Section of the settings to its changed keys."""


@dataclass(frozen=True)
class Measured:
    """One run of a preset, from the command to its end in a fresh process."""

    seconds: float
    peak_bytes: int
    """The kernel's high-water mark of resident memory, over the process and its children."""
    parameters: int
    bits_per_byte: float
    """Of the held-out text."""

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        return (
            f"{minutes}:{seconds:02d} min, peak {self.peak_bytes / 1e6:.0f} MB, "
            f"{self.parameters:,} parameters ({4 * self.parameters / 1e6:.1f} MB), "
            f"{self.bits_per_byte:.3f} bits per byte"
        )


@dataclass(frozen=True)
class Preset:
    """Settings by purpose."""

    name: str
    purpose: str
    settings: Layer
    measured: Measured | None = None

    @property
    def story(self) -> str:
        """Purpose and figures, for the help."""
        return f"{self.purpose}: {self.measured or 'not measured yet'}"


MEASURED_ON = "2.8 MB of English and Spanish novels, 2 cores of an AMD EPYC with bfloat16 (Zen 4)"
"""Text and machine of the figures below."""

_ALL = (
    Preset(
        "quick",
        "see the whole chain work",
        {"training": {"epochs": 5}},
        Measured(seconds=113.1, peak_bytes=546_439_168, parameters=1_930_640, bits_per_byte=1.7219),
    ),
    Preset(
        "balanced",
        "the defaults",
        {},
        Measured(seconds=338.9, peak_bytes=555_487_232, parameters=1_930_640, bits_per_byte=1.6916),
    ),
    Preset(
        "quality",
        "a larger model within the size limit, for longer",
        {
            "model": {
                "layers": 4,
                "width": 128,
                "heads": 2,
                "hidden": 256,
                "pair_rows": 3_584,
            },
            "training": {"epochs": 12, "table_weight_decay": 2.0},
        },
        Measured(seconds=583.8, peak_bytes=846_843_904, parameters=2_425_984, bits_per_byte=1.6185),
    ),
    Preset(
        "low-memory",
        "for a board with 1 GB",
        {
            "training": {
                "epochs": 10,
                "micro_batch": 2,
                "precision": "float32",
                "compile": "off",
            }
        },
        Measured(seconds=410.4, peak_bytes=372_359_168, parameters=1_930_640, bits_per_byte=1.6983),
    ),
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}
DEFAULT = "balanced"
