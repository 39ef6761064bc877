"""The law of ``tinytx plan``: the runs behind it, its fit, and its error on runs kept out of it.

    python bench/law.py check                           # predicted against measured
    python bench/law.py fit                             # the constants anew: tinytx/fit/law.json
    python bench/law.py run ID --text TRAIN.txt VAL.txt # one of the runs again, to compare; on the
                                                        # built-in corpus without --text

``bench/law/runs.json`` holds for each run its text (bytes, difficulty), its settings, the tokens
of its training text and its bits per byte: those of the mean of the last weights, as a plan's run
has it, or of the best epoch where that was better. Runs marked ``held_out`` are not fitted to.
Where ``share`` is below 1, the training text was every second, fourth, sixth or tenth block of
16,384 tokens, the vocabulary that of the whole text.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import torch
from fresh import run

from tinytx.config import Settings, settings_from
from tinytx.fit import law as laws
from tinytx.fit.text import Text

RUNS = Path(__file__).with_name("law") / "runs.json"
TINYTX = [sys.executable, "-c", "from tinytx.cli.main import main; main()"]
STARTS = 40
STEPS = 400
HUBER = 0.02
"""Relative error beyond which a run counts linearly: a single odd one does not bend the law."""
LIMITS = {  # within which each constant is sought
    "size_factor": (0.01, 1.0),
    "size_power": (0.02, 1.5),
    "table_factor": (0.0, 0.5),
    "table_power": (0.05, 2.0),
    "data_factor": (0.01, 1.5),
    "data_power": (0.05, 2.0),
    "vocabulary_power": (-0.1, 0.1),
    "heart_factor": (0.0, 2.0),
    "unlike_from": (1.5, 2.4),
    "again_factor": (0.0, 0.2),
    "scale_most": (0.5, 8.0),
    "scale_middle": (1.0, 4.0),
    "scale_power": (1.0, 12.0),
}


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    id: str
    corpus: str
    share: float = 1.0
    """Of the corpus that was trained on."""
    text: Text
    settings: dict[str, dict[str, Any]]
    """What differs from the defaults."""
    unique_tokens: int
    bits_per_byte: float
    held_out: bool = False

    def full(self) -> Settings:
        return settings_from(self.settings, self.id)

    def sizes(self) -> laws.Sizes:
        return laws.sizes_of(self.full(), self.unique_tokens)


def load() -> list[Measured]:
    return msgspec.json.decode(RUNS.read_bytes(), type=list[Measured])


def fit(runs: list[Measured]) -> dict[str, float]:
    """The constants with the least error, of the best of several random starts."""
    generator = torch.Generator().manual_seed(1)
    low, high = (
        torch.tensor(limit, dtype=torch.float64) for limit in zip(*LIMITS.values(), strict=True)
    )
    found: tuple[float, torch.Tensor] | None = None
    for _ in range(STARTS):
        free = torch.randn(len(LIMITS), dtype=torch.float64, generator=generator)
        loss = settle(runs, free.requires_grad_(), low, high)
        if found is None or loss < found[0]:
            found = loss, (low + (high - low) * free.sigmoid()).detach()
    assert found is not None
    return dict(zip(LIMITS, found[1].tolist(), strict=True))


def settle(
    runs: list[Measured], free: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> float:
    """Move ``free`` to the nearest least error, which is returned."""
    optimizer = torch.optim.LBFGS([free], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = error(runs, low + (high - low) * free.sigmoid())
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    return float(closure().detach())


def error(runs: list[Measured], values: torch.Tensor) -> torch.Tensor:
    """Mean Huber loss of the relative errors; the formula of ``tinytx/fit/law.py`` on tensors."""
    c = dict(zip(LIMITS, values, strict=True))
    sizes = [measured.sizes() for measured in runs]
    column = {
        name: torch.tensor([getattr(row, name) for row in sizes], dtype=torch.float64)
        for name in laws.Sizes.__struct_fields__
    }
    difficulty = torch.tensor([row.text.difficulty for row in runs], dtype=torch.float64)
    bits = torch.tensor([row.bits_per_byte for row in runs], dtype=torch.float64)
    tokens = column["unique_tokens"] / laws.MILLION
    left_over = (
        c["size_factor"] * (column["block_weights"] / laws.MILLION) ** -c["size_power"]
        + c["table_factor"]
        * (column["table_weights"] / laws.MILLION + laws.NO_TABLES) ** -c["table_power"]
    )
    unseen = c["data_factor"] * (tokens * column["epochs"]) ** -c["data_power"]
    unlike = torch.relu(difficulty - c["unlike_from"])
    by_heart = column["all_weights"] / column["unique_tokens"] * column["epochs"] / laws.EPOCHS
    scale = c["scale_most"] / (1 + (c["scale_middle"] / difficulty) ** c["scale_power"])
    predicted = scale * (1 + left_over) + scale**0.5 * unseen
    predicted = predicted + c["heart_factor"] * unlike * torch.log1p(by_heart)
    predicted = predicted + c["again_factor"] * column["epochs"] / laws.EPOCHS
    predicted = predicted * (column["vocabulary"] / 1e3) ** c["vocabulary_power"]
    off = (predicted / bits).log()
    loss = torch.nn.functional.huber_loss(off, torch.zeros_like(off), delta=HUBER)
    return loss * 1e4  # of a size at which the search does not stop early


def lengths(runs: list[Measured]) -> dict[str, float]:
    """Bytes of a token as a product of powers, by least squares of the logarithms."""
    whole = [row for row in runs if row.share == 1.0]
    rows = {(r.corpus, r.full().tokenizer.vocab_size): r for r in whole}.values()
    matrix = torch.tensor(
        [[1.0, math.log(r.full().tokenizer.vocab_size), math.log(r.text.difficulty)] for r in rows],
        dtype=torch.float64,
    )
    measured = torch.tensor(
        [[math.log(r.text.train_bytes / r.unique_tokens)] for r in rows], dtype=torch.float64
    )
    factor, power, difficulty = torch.linalg.lstsq(matrix, measured).solution[:, 0].tolist()
    return {
        "length_factor": math.exp(factor),
        "length_power": power,
        "length_difficulty": difficulty,
    }


def relative(measured: Measured, law: laws.Law) -> float:
    """How far the law is from a run."""
    bits = laws.predicted(measured.text.difficulty, measured.sizes(), law)
    return bits / measured.bits_per_byte - 1


def check(runs: list[Measured], law: laws.Law) -> list[str]:
    """One line for each run; the runs of the fit first."""
    lines = []
    for measured in sorted(runs, key=lambda row: (row.held_out, row.id)):
        off = relative(measured, law)
        kept = "kept out of the fit" if measured.held_out else ""
        predicted = measured.bits_per_byte * (1 + off)
        lines.append(
            f"{measured.id:24} {measured.bits_per_byte:.4f} measured {predicted:.4f} predicted "
            f"{100 * off:+.2f} %  {kept}"
        )
    return lines


def fitted(runs: list[Measured]) -> laws.Law:
    """The law of the runs that are not held out, with its largest error on those that are."""
    constants = fit([row for row in runs if not row.held_out])
    law = laws.Law(**constants, **lengths(runs), spread=0.0)
    worst = max((abs(relative(row, law)) for row in runs if row.held_out), default=0.0)
    rounded = {name: float(f"{value:.6g}") for name, value in msgspec.to_builtins(law).items()}
    return msgspec.convert({**rounded, "spread": round(worst, 4)}, laws.Law)


def again(measured: Measured, text: list[str] | None) -> str:
    """Train one of the runs once more."""
    sets = [
        f"--set={section}.{name}={str(value).lower() if isinstance(value, bool) else value}"
        for section, values in measured.settings.items()
        for name, value in values.items()
    ]
    files = ["--corpus-path", text[0], "--val-path", text[1]] if text else []
    with tempfile.TemporaryDirectory() as folder:
        found = run([*TINYTX, "train", "--output-dir", f"{folder}/out", *files, *sets])
        if found.code:
            raise SystemExit(f"{measured.id} ended with {found.code}:\n{found.output}")
        metrics = json.loads(Path(folder, "out", "training_metrics.json").read_bytes())
    best = min(epoch["val_bits_per_byte"] for epoch in metrics["epochs"])
    return f"{measured.id}: {best:.4f} bits per byte, {measured.bits_per_byte:.4f} recorded"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="predicted against measured")
    commands.add_parser("fit", help="the constants anew")
    repeat = commands.add_parser("run", help="one of the runs again")
    repeat.add_argument("id")
    repeat.add_argument("--text", nargs=2, metavar=("TRAIN", "VAL"))
    arguments = parser.parse_args()
    runs = load()
    if arguments.command == "run":
        known = {row.id: row for row in runs}
        if arguments.id not in known:
            parser.error(f"no run {arguments.id!r}; known are {', '.join(sorted(known))}")
        if known[arguments.id].share < 1.0:
            parser.error(f"{arguments.id} was of a part of its text, which is not kept")
        print(again(known[arguments.id], arguments.text))
        return
    if arguments.command == "fit":
        law = fitted(runs)
        document = msgspec.json.format(msgspec.json.encode(law), indent=2)
        laws.CONSTANTS.write_bytes(document + b"\n")
    else:
        law = laws.load()
    print("\n".join(check(runs, law)))
    print(f"largest error on runs kept out of the fit: {100 * law.spread:.2f} %")


if __name__ == "__main__":
    main()
