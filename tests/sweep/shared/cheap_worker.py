"""One worker of a search whose trials are computed, slowly, instead of trained.

    python cheap_worker.py ADDRESS FOLDER TEXT LOG NAME TRIALS

Its password is in PGPASSWORD. Each trial writes a line to LOG when it begins and when it ends.
"""

import math
import sys
import time
from pathlib import Path

from tinytx.config import load_settings
from tinytx.measure.policy.budgets import load_budgets
from tinytx.sweep.plan import Plan
from tinytx.sweep.protocol import Done, EpochEnd, Listen, Task
from tinytx.sweep.records import Record
from tinytx.sweep.shared.address import parse_address
from tinytx.sweep.shared.database import Postgres, Pulse
from tinytx.sweep.shared.opening import begin
from tinytx.sweep.shared.search import run_shared
from tinytx.sweep.space import load_space
from tinytx.sweep.watch import Watch

SMALL = {
    "tokenizer.vocab_size": 300, "model.layers": 1, "model.width": 32, "model.pair_rows": 200,
    "model.heads": 2, "model.hidden": 24, "model.max_seq_length": 16, "training.epochs": 3,
    "training.batch_size": 8, "training.precision": "float32", "training.compile": "off",
    "training.threads": 1,
}  # fmt: skip
EPOCH = 0.3
"""Seconds."""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Aloud(Watch):
    def note(self, text: str) -> None:
        say(text)

    def ended(self, record: Record) -> None:
        say(f"trial {record.number} {record.outcome.value}")


def cheap_plan(text: str, trials: int) -> Plan:
    return Plan(
        settings=load_settings(flags={**SMALL, "corpus.path": text}, searching=True),
        space=load_space(["training.learning_rate=log:1e-3:1e-1"]),
        budgets=load_budgets(),
        trials=trials,
    )


def main() -> None:
    address, folder, text, log, name, trials = sys.argv[1:]

    def tell(*words: object) -> None:
        with Path(log).open("a") as stream:
            stream.write(" ".join(map(str, words)) + "\n")

    def run(task: Task, listen: Listen) -> Done:
        number, rate = int(Path(task.folder).name), task.settings["training"]["learning_rate"]
        tell("begin", number, name, rate)
        end = 1.0 + abs(math.log10(rate / 0.01))
        for epoch in range(1, 4):
            time.sleep(EPOCH)
            listen(EpochEnd(epoch, end + 1.0 / epoch))
        tell("end", number, name, rate)
        return Done(end, [EPOCH] * 3, 0.1, 1e4)

    watch, plan = Aloud(), cheap_plan(text, int(trials))
    server = Postgres(parse_address(address, "the test", may_hold_password=False))
    terms = begin(server, "cheap", plan, Pulse(1, 6), watch)
    run_shared(plan, Path(folder), watch, server, "cheap", terms, name, run)


if __name__ == "__main__":
    main()
