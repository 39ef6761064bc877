"""Before a device switches to a release: does it run here, say the same, and keep the budgets?

In: a bundle and the device's own budgets. Out: a proof that says what it could not prove. The
native libraries and the golden tokens, of every model that a service may load here, are tried in a
process of their own, which may die of them; the bench follows with the fewest scenarios that the
budgets need (``bench/proof.toml``). numpy is the heaviest that this process loads itself: the model
is only ever in its workers.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytx.errors import (
    BudgetFailed,
    BundleError,
    LibraryError,
    MeasurementInvalid,
    PrerequisiteError,
    TinytxError,
)

if TYPE_CHECKING:
    from tinytx.bundle import Manifest, Precision
    from tinytx.measure.policy.budgets import Budget
    from tinytx.measure.record.protocol import Answer
    from tinytx.measure.record.report import ProcessRun, Report
    from tinytx.measure.run.bench import BenchSettings, Progress

SCHEMA = 1
SECONDS = 42.0
"""After which a short proof ends, whatever is missing: three seconds are left to wind up."""
GOLDEN_SHARE = 0.4
"""Of it for the golden tokens at most: a model too slow for them must still be proven slow."""
SAMPLING_SHARE = 0.5
"""Of it for adding samples, each process's start and load besides."""
WHOLE_GOLDEN_SECONDS = 600.0
PASS, FAIL, INVALID = "PASS", "FAIL", "INVALID"
WHOLE = "`tinytx release prove --whole`"


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What a device found out about a release. PASS alone is leave to switch to it."""

    schema: int = SCHEMA
    bundle: str
    """Its id; empty where not even the manifest could be read."""
    verdict: str
    """PASS, FAIL or INVALID."""
    reason: str = ""
    """Why it is not PASS."""
    exit_code: int = 0
    """0, or what a command ends with: 7 over budget, 8 not proven, 9 damaged or saying something
    else here, 1 for a library that does not run on this machine."""
    seconds: float
    whole: bool = False
    """Whether all scenarios were measured."""
    golden: dict[str, int]
    """Golden tokens reproduced, by precision."""
    rows: list[dict[str, Any]]
    """One for each budget, as a report has them."""
    unproven: list[str]
    """What this proof does not show, in sentences."""
    report: dict[str, Any] | None
    """The bench's report, raw samples included; None where it did not come to it."""

    def document(self) -> dict[str, Any]:
        """The proof as JSON can hold it."""
        return asdict(self)

    def failure(self) -> TinytxError | None:
        """The error that a command ends with; None when all is proven."""
        if self.verdict == PASS:
            return None
        kinds: dict[int, type[TinytxError]] = {
            kind.exit_code: kind
            for kind in (LibraryError, BudgetFailed, MeasurementInvalid, BundleError)
        }
        return kinds[self.exit_code](self.reason)


def prove(
    folder: Path,
    budgets: "Sequence[Budget] | str | Path" = "constitution",
    device: str = "",
    progress: "Callable[[Progress], None] | None" = None,
    *,
    whole: bool = False,
    settings: "BenchSettings | None" = None,
) -> Proof:
    """Prove that the bundle in ``folder`` runs on this machine as it should, within ``budgets``.

    ``budgets`` are some, or the name or path of a file of them; ``device`` is a class of
    ``bench/devices`` whose limits of meaning the rows are told with. Whatever is wrong with the
    bundle or this machine is in the proof. Raises :class:`UsageError` for budgets or a device that
    cannot be read.
    """
    from tinytx.measure.policy.budgets import load_budgets
    from tinytx.measure.policy.devices import load_device

    limits = list(load_budgets(Path(budgets)) if isinstance(budgets, str | Path) else budgets)
    chosen = settings or (_whole() if whole else _short())
    if device:
        chosen = replace(chosen, device=load_device(device))
    start = time.monotonic()
    golden = Golden()
    report = None
    try:
        golden = _reproduced(folder, chosen, all_of_them=whole)
        left = max(chosen.stop_after - (time.monotonic() - start), 0.0)
        report = _bench(folder, limits, replace(chosen, stop_after=left), progress)
    except (BundleError, LibraryError) as error:
        verdict, reason, code = FAIL, _told(error), error.exit_code
    except PrerequisiteError as error:
        verdict, reason, code = INVALID, _told(error), MeasurementInvalid.exit_code
    else:
        verdict, reason, code = _judged(report, golden.trouble)
    return Proof(
        bundle=_identified(folder),
        verdict=verdict,
        reason=reason,
        exit_code=code,
        seconds=time.monotonic() - start,
        whole=whole,
        golden=golden.tokens,
        rows=_documents(report),
        unproven=[*golden.told(), *unproven(report, whole)],
        report=_document(report),
    )


def _short() -> "BenchSettings":
    from tinytx.measure.policy.budgets import policy_file
    from tinytx.measure.policy.scenarios import PROOF, load_scenarios
    from tinytx.measure.run.bench import BenchSettings

    return BenchSettings(
        scenarios=load_scenarios(policy_file(PROOF)),
        time_limit=SECONDS * SAMPLING_SHARE,
        stop_after=SECONDS,
        latency_first=True,
    )


def _whole() -> "BenchSettings":
    from tinytx.measure.run.bench import BenchSettings

    return BenchSettings()


@dataclass(frozen=True)
class Golden:
    """What became of the golden tokens here."""

    tokens: dict[str, int] = field(default_factory=dict)
    """So many were reproduced, by precision."""
    trouble: str = ""
    """Why they could not be tried."""
    others: dict[str, str] = field(default_factory=dict)
    """Of models that are not loaded here by themselves: what is known of each."""

    def told(self) -> list[str]:
        """What is not proven of them, in sentences."""
        told = [self.trouble] if self.trouble else []
        return told + [
            f"the golden tokens of its {name} {what}: this machine would not load it by itself, "
            "and whatever loads it tries them first"
            for name, what in self.others.items()
        ]


def _reproduced(folder: Path, settings: "BenchSettings", all_of_them: bool) -> Golden:
    """Golden tokens as this machine has them too, of what it may load or of all models.

    Raises :class:`BundleError` where a model that it may load says something else, and
    :class:`LibraryError` where a library does not run here: for an instruction that this processor
    lacks, for example.
    """
    from tinytx.bundle import Bundle
    from tinytx.measure.policy.scenarios import SamplingPolicy, WarmUp
    from tinytx.measure.record.protocol import Task
    from tinytx.measure.run.launch import run_worker
    from tinytx.runtime.processor import loadable

    manifest = Bundle(folder).manifest
    loaded = [settings.precision] if settings.precision else loadable(manifest)
    task = Task(
        bundle=str(folder.resolve()),
        kind="golden",
        length=0,
        threads=settings.threads or 1,
        precision=None if all_of_them or len(loaded) > 1 else loaded[0],
        samples=0,
        block=1,
        seconds=0.0,
        sampling=SamplingPolicy(),
        warm_up=WarmUp(),
    )
    timeout = min(settings.stop_after * GOLDEN_SHARE, WHOLE_GOLDEN_SECONDS)
    run: ProcessRun = run_worker(task, timeout, settings.worker)
    if run.answer is None:
        return Golden(trouble=f"the golden tokens could not be tried: {run.trouble}")
    differing = run.answer.differing
    for precision in loaded:
        if how := differing.get(precision):
            raise BundleError(
                f"its {precision} does not reproduce its golden outputs on this machine: {how}",
                "a service may load it; the bundle or this machine's onnxruntime is at fault",
            )
    tokens: dict[str, int] = {name: count for name, count in run.answer.golden.items()}
    return Golden(tokens, others=_others(manifest, loaded, run.answer))


def _others(manifest: "Manifest", loaded: "list[Precision]", answer: "Answer") -> dict[str, str]:
    """Of models that are not loaded here: that theirs differ, or were not tried."""
    told: dict[str, str] = {}
    for precision in manifest.precisions:
        if how := answer.differing.get(precision):
            told[precision] = f"are not reproduced here ({how})"
        elif precision not in (*loaded, *answer.golden):
            told[precision] = "were not tried"
    return told


def _bench(
    folder: Path,
    budgets: "list[Budget]",
    settings: "BenchSettings",
    progress: "Callable[[Progress], None] | None",
) -> "Report":
    from tinytx.measure.run.bench import run_bench

    return run_bench(folder, budgets, settings, progress)


def _judged(report: "Report", trouble: str) -> tuple[str, str, int]:
    """The verdict, why it is not PASS, and the exit code; ``trouble`` is one before the bench."""
    from tinytx.measure.policy.budgets import Verdict

    def told(verdict: Verdict) -> list[str]:
        return [
            f"{row.budget.title}: {row.reason}" for row in report.budgets if row.verdict is verdict
        ]

    if failed := told(Verdict.FAIL):
        return FAIL, "; ".join(failed), BudgetFailed.exit_code
    if invalid := [*filter(None, [trouble]), *told(Verdict.INVALID)]:
        return INVALID, "; ".join(invalid), MeasurementInvalid.exit_code
    return PASS, "", 0


def unproven(report: "Report | None", whole: bool) -> list[str]:
    """What a proof does not show besides golden tokens, each in a sentence."""
    if report is None:
        return ["no budget was judged: it did not come to measuring"]
    names = {row.budget.name for row in report.budgets}
    told = [
        "a fault that comes after more seconds than were watched was not seen: for that there is "
        "the watch after the switch"
    ]
    if not whole:
        told += _left_out("next_token_p95" in names)
    told += _served_otherwise(report)
    if "training_20_epochs" in names:
        told.append("nothing was trained here: that row is judged by what the manifest records")
    if "peak_memory" in names and (report.limit is None or not report.limit.enforced):
        why = report.limit.doubt if report.limit else "no control group could be made"
        told.append(
            f"the memory limit was not in force while memory was measured ({why}): the kernel's "
            "own marks judge it"
        )
    if any(breach.name == "emulation" for breach in report.breaches):
        told.append("on an emulated processor nothing is proven about time or memory")
    if report.device is not None and not report.device.here:
        told.append(f"this machine is not a {report.device.device.title}: its figures are its own")
    return told


def _left_out(latency: bool) -> list[str]:
    """What a whole proof would have measured as well."""
    told = [f"the first token and whole generations were not measured ({WHOLE} does)"]
    if latency:
        told.append(
            "the next token was measured at the longest context only, for one to a few seconds in "
            "each of three processes: what slows this machine more rarely was not seen"
        )
    return told


def _served_otherwise(report: "Report") -> list[str]:
    """That a service may take another model than the one that was measured."""
    from tinytx.bundle import GRAPHS
    from tinytx.runtime.processor import has_int8_products

    measured, files = report.bundle.precision, report.bundle.files
    others = [p for p, graph in GRAPHS.items() if graph in files and p != measured]
    if not others or not has_int8_products():
        return []
    return [
        f"{measured} was measured, which this machine loads for one text: a service takes the "
        f"fastest for many, which may be {' or '.join(others)}"
    ]


def _identified(folder: Path) -> str:
    from tinytx.bundle import Bundle

    try:
        return Bundle(folder).id
    except BundleError:
        return ""


def _documents(report: "Report | None") -> list[dict[str, Any]]:
    from tinytx.measure.record.report import row_document

    return [] if report is None else [row_document(row) for row in report.budgets]


def _document(report: "Report | None") -> dict[str, Any] | None:
    from tinytx.measure.record.report import document

    return None if report is None else document(report)


def _told(error: TinytxError) -> str:
    return f"{error.message}; {error.remedy}" if error.remedy else error.message
