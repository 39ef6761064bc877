"""One release onto several devices: canaries first, then so many at a time, until too many fail."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from tinytx.errors import DeviceError, Interrupted
from tinytx.remote.deploy import Deployment, Order, Outcome, Reporter
from tinytx.remote.devices import Named
from tinytx.remote.link import Link

Work = Callable[[Named], Outcome]


@dataclass
class Rollout:
    """Who comes when, and when no further device is begun."""

    devices: Sequence[Named]
    release: str
    work: Work
    """Deploys to one device; what goes wrong there is in its outcome."""
    parallel: int = 1
    max_failures: int = 1
    """After so many failures no further device is begun."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the user interrupts: whatever runs ends soon."""
    done: Callable[[Outcome], None] = lambda outcome: None
    _outcomes: dict[str, Outcome] = field(default_factory=dict)

    def run(self) -> list[Outcome]:
        """The outcome of each device, in their order; those that were not begun say why.

        All work is done in other threads, so that Ctrl-C interrupts nothing but the waiting.
        """
        with ThreadPoolExecutor(max_workers=1) as pool:
            work = pool.submit(self._run)
            while True:
                try:
                    return work.result()
                except KeyboardInterrupt:
                    self.stop.set()

    def _run(self) -> list[Outcome]:
        canaries, others = split(self.devices)
        why = ""
        with ThreadPoolExecutor(max_workers=self.parallel) as pool:
            for canary in canaries:
                self._all(pool, iter([canary]), 1)
                if self.stop.is_set():
                    break
                if self._outcomes[canary.name].end != "committed":
                    why = f"{canary.name}, the canary, was not committed"
                    break
            if not why and not self.stop.is_set():
                self._all(pool, iter(others), self.parallel)
        if self.stop.is_set():
            why = "interrupted"
        failed = [outcome.device for outcome in self._outcomes.values() if _failed(outcome)]
        why = why or f"{len(failed)} failed: {', '.join(failed)}"
        return [self._outcomes.get(named.name) or self._not_begun(named, why)
                for named in self.devices]  # fmt: skip

    def _all(self, pool: ThreadPoolExecutor, devices: Iterator[Named], parallel: int) -> None:
        """So many at a time, while few enough have failed."""
        running: set[Future[None]] = set()
        while True:
            while len(running) < parallel and self._may_begin():
                if (named := next(devices, None)) is None:
                    break
                running.add(pool.submit(self._one, named))
            if not running:
                return
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                future.result()  # raises what can only be a bug

    def _one(self, named: Named) -> None:
        outcome = self.work(named)
        self._outcomes[named.name] = outcome
        self.done(outcome)

    def _may_begin(self) -> bool:
        failures = sum(_failed(outcome) for outcome in list(self._outcomes.values()))
        return failures < self.max_failures and not self.stop.is_set()

    def _not_begun(self, named: Named, why: str) -> Outcome:
        return Outcome(device=named.name, end="not begun", release=self.release, why=why)


def roll_out(
    devices: Sequence[Named],
    order: Order,
    reporter: Reporter,
    done: Callable[[Outcome], None],
    parallel: int = 1,
    max_failures: int = 1,
) -> list[Outcome]:
    """Deploy to all of them; Ctrl-C ends with what was reached."""
    stop = threading.Event()

    def work(named: Named) -> Outcome:
        return Deployment(Link(named, stop), order, reporter).run()

    return Rollout(
        devices, order.bundle.id, work, parallel, max_failures, stop=stop, done=done
    ).run()


def split(devices: Sequence[Named]) -> tuple[list[Named], list[Named]]:
    """Canaries, and the others: those that are marked, else the first of several."""
    canaries = [named for named in devices if named.device.canary] or list(devices[:1])
    names = {named.name for named in canaries}
    return canaries, [named for named in devices if named.name not in names]


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 when every device has the release; else what those that failed agree on, or 10."""
    if any(outcome.end == "interrupted" for outcome in outcomes):
        return Interrupted.exit_code
    codes = {outcome.exit_code for outcome in outcomes if _failed(outcome)}
    if not codes:
        whole = all(outcome.end == "committed" for outcome in outcomes)
        return 0 if whole else DeviceError.exit_code
    return codes.pop() if len(codes) == 1 else DeviceError.exit_code


def _failed(outcome: Outcome) -> bool:
    return outcome.end in ("failed", "rolled-back")
