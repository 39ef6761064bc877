"""Does `tinytx compare` see a slowdown that we planted? Prints the table and the sentence.

    python bench/plant_slowdown.py data/bundle            # B burns 5 % more in every step
    python bench/plant_slowdown.py data/bundle 0          # A/A: no difference is expected

The same bundle is both sides. B's engine is wrapped: each step spins for the given share of the
time since the last one ended, the choice of the token included, on the processor, not asleep.
"""

import argparse
import sys
from pathlib import Path

WRAPPED = """
import sys, time
from tinytx.measure.run import worker
from tinytx.runtime.engine import Engine

share = float(sys.argv[1])
append, clock = Engine.append, time.perf_counter_ns
last = clock()

def slower(self, ids):
    global last
    logits = append(self, ids)
    now = clock()
    end = now + (now - last) * share
    while clock() < end:
        pass
    last = clock()
    return logits

Engine.append = slower
worker.main()
"""


def slowed(share: float) -> tuple[str, ...]:
    """The command of a worker whose engine takes ``share`` more time."""
    return (sys.executable, "-P", "-c", WRAPPED, str(share))


def main() -> None:
    from tinytx.cli.common import console
    from tinytx.cli.compare.table import print_comparison, progress_on
    from tinytx.measure.compare.comparing import compare_bundles
    from tinytx.measure.compare.estimates import PAIRS
    from tinytx.measure.compare.interleave import InterleaveSettings, interleave

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("per_cent", type=float, nargs="?", default=5.0)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--time-limit", type=float, default=600.0)
    given = parser.parse_args()
    # both sides are wrapped, so that what the wrapping itself costs is no difference
    workers = slowed(0.0), slowed(given.per_cent / 100.0)
    settings = InterleaveSettings(
        pairs=given.pairs, time_limit=given.time_limit, kinds=("next_token",), workers=workers
    )
    people = console()
    with progress_on(people) as show:
        comparison = compare_bundles(interleave(given.bundle, given.bundle, settings, show))
    print_comparison(comparison, people)


if __name__ == "__main__":
    main()
