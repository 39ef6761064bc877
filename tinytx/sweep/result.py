"""What a sweep comes to: its document, and the command that trains a trial in full."""

import json
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tinytx.config import Settings, as_dict
from tinytx.sweep.plan import Plan
from tinytx.sweep.records import Record, front_of


def full_command(plan: Plan, root: Path, record: Record) -> str:
    """The command that trains a trial's settings, for as many epochs as usual."""
    settings, usual = as_dict(plan.settings_with(record.params)), as_dict(Settings())
    words = ["tinytx", "train", "--output-dir", str(root / "full")]
    for section, values in settings.items():
        for key, value in values.items():
            name = f"{section}.{key}"
            if name == "training.epochs" and name not in record.params:
                continue
            if value != usual[section][key]:
                words += ["--set", f"{name}={assignable(value)}"]
    words += ["--preset", "balanced"]  # what is not named here is a default, and not to be chosen
    return shlex.join(words)


def assignable(value: Any) -> str:
    """A value as ``--set`` reads it back."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    try:
        tomllib.loads(f"x = {value}")
    except tomllib.TOMLDecodeError:
        return value if value == value.strip() else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


def document(plan: Plan, root: Path, records: Sequence[Record]) -> dict[str, Any]:
    """All trials and the front, for ``--json``."""
    front = front_of(records)
    return {
        "output_dir": str(root),
        "trials": [msgspec.to_builtins(record) for record in records],
        "pareto": [record.number for record in front],
        "command": full_command(plan, root, front[0]) if front else None,
    }
