"""What a bench and its worker processes say to each other: one JSON each way."""

import msgspec

from tinytx.bundle import Precision
from tinytx.measure.memory.attribution import Attribution
from tinytx.measure.memory.process import Resident
from tinytx.measure.policy.scenarios import SamplingPolicy, WarmUp

SCHEMA = 1


class Looks(msgspec.Struct, frozen=True, kw_only=True):
    """When to stop sampling a judged figure."""

    limit_ns: float
    first: int
    most: int
    least_ns: float
    """What the samples must add up to before the first look."""
    block: int
    """Steps in a row that belong to one generation."""
    cells: int
    """Processes times context lengths that are compared at the same time."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker process is to do."""

    bundle: str
    kind: str
    """next_token, first_token, end_to_end, memory, attribution or golden."""
    length: int
    """Context length, prompt length or number of tokens, as the kind demands."""
    threads: int
    precision: Precision | None = None
    """Which of the bundle's models; None is its default."""
    samples: int
    """Samples to take, when no ``looks`` decide it."""
    block: int
    seconds: float
    """Time for warm-up and samples."""
    sampling: SamplingPolicy
    warm_up: WarmUp
    prompt: str = ""
    looks: Looks | None = None


class Phases(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of a process through its life, in bytes."""

    interpreter: int
    """High-water mark before the bundle is loaded: interpreter and libraries."""
    load: int
    prompt: int
    decode: int
    at_rest: Resident
    """After a generation to the longest context, by smaps_rollup."""
    separate: bool
    """Whether each phase has its own mark; where the kernel forbids a reset they accumulate."""
    marked: bool = True
    """Whether this kernel keeps high-water marks at all; without them the phases are 0."""

    @property
    def peak(self) -> int:
        """The highest of all: VmHWM may lag behind smaps_rollup by a few pages."""
        return max(self.interpreter, self.load, self.prompt, self.decode, self.at_rest.rss)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker found out."""

    schema: int = SCHEMA
    import_ns: int = 0
    load_ns: int = 0
    settled: bool = True
    """Whether the warm-up ended because two windows agreed."""
    warm_up_samples: int = 0
    samples_ns: list[int] = []
    waited: float | None = None
    """Of the time that the process wanted a processor while sampling, the share it waited."""
    quota_us: int | None = None
    """For how long a quota of processor time stopped it while sampling; None without a quota."""
    tokenise_ns: list[int] = []
    generated: int = 0
    """Tokens of one end-to-end generation."""
    memory: Phases | None = None
    attribution: Attribution | None = None
    golden: dict[Precision, int] = {}
    """Golden tokens that this machine reproduces, by precision."""
    differing: dict[Precision, str] = {}
    """How each other model of the bundle computes something else here, or that it cannot run."""
    error: str = ""
    error_kind: str = ""
    """The class of ``tinytx.errors`` that the error belongs to."""
    error_remedy: str = ""
