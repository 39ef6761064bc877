"""What a model costs before it is trained: the whole run's time, memory, bytes, and a token's time.

Seconds are those of ``tinytx train`` from the command to its end on a first run, kernels not yet
compiled. Constants without another source are measured by ``bench/plan_steps.py`` on the machine
of its notes, and scale with the rates of the machine at hand.
"""

import math

import msgspec

from tinytx.bundle import Precision
from tinytx.config import Settings
from tinytx.export.size import graph_bytes
from tinytx.fit.machine import Rates
from tinytx.fit.steps import step_seconds

CORE = 19e6
"""Bytes a second that a core of the machine of the constants compresses (``Rates.core``)."""
START_SECONDS = 6.0
"""Python, PyTorch, checks, opening files, the first model."""
READING_SECONDS = 40e-9
"""Per byte of text: reading, splitting, hashing and writing the corpus."""
TOKENIZER_SECONDS, TOKENIZER_BYTES = 2.6e-6, 12_000_000
"""Per byte of text that the tokenizer is trained on, and how many of those there are at most."""
ENCODING_SECONDS = 60e-9
"""Per byte that becomes tokens."""
COMPILE_SECONDS, COMPILE_OF_BLOCK = 12.0, 4.5
"""torch.compile of the model and of each block: the graph is unrolled."""
COMPILED_FROM = 5e12
"""Floating-point operations of a run that compiles: ``tinytx.train.speed``."""
EAGER = 1.35
"""How much longer a step takes without the compiler."""
VALIDATION = 0.33
"""Of a step's time, for as many tokens: forwards only."""
DISK_BYTES = 250e6
"""A second, with the flush that makes a checkpoint durable."""
CHECKPOINT_SECONDS = 60.0
LAST_SECONDS = 3.0
"""Loading everything back, a unigram model, a sample."""


class Seconds(msgspec.Struct, frozen=True, kw_only=True):
    """A run, part by part."""

    start: float
    text: float
    """Corpus, tokenizer and token files."""
    compiling: float
    steps: float
    validation: float
    """After every epoch, and at the end."""
    saving: float

    @property
    def total(self) -> float:
        """From the command to its end."""
        return float(sum(getattr(self, name) for name in self.__struct_fields__))


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """How much text a run has to do with."""

    train_bytes: int
    val_bytes: int
    train_tokens: int
    val_tokens: int


def run_seconds(
    settings: Settings, amount: Amount, rates: Rates, step: float | None = None
) -> Seconds:
    """The parts of a run on a machine with these rates; ``step`` is :func:`step_seconds` of these
    settings, where it is known."""
    hyper, length = settings.training, settings.model.max_seq_length
    slower = CORE / rates.core
    at_once = hyper.batch_size * length
    steps = hyper.epochs * steps_in_epoch(settings, amount)
    compiled = is_compiled(settings, amount)
    step = (step or step_seconds(settings, rates)) * (1.0 if compiled else EAGER)
    sampled = min(amount.train_bytes, TOKENIZER_BYTES)
    all_bytes = amount.train_bytes + amount.val_bytes
    compiling = COMPILE_SECONDS + settings.model.layers * COMPILE_OF_BLOCK
    training = steps * step
    validations = hyper.epochs + 1 + bool(hyper.average)
    weights = settings.parameters
    checkpoints = hyper.epochs + training / CHECKPOINT_SECONDS
    return Seconds(
        start=START_SECONDS * slower,
        text=slower
        * (all_bytes * (READING_SECONDS + ENCODING_SECONDS) + sampled * TOKENIZER_SECONDS),
        compiling=slower * compiling * compiled,
        steps=training,
        validation=validations * VALIDATION * step * amount.val_tokens / at_once
        + LAST_SECONDS * slower,
        saving=(checkpoints * 12.0 + hyper.epochs * 4.0) * weights / DISK_BYTES,
    )


def steps_in_epoch(settings: Settings, amount: Amount) -> int:
    """Steps of one pass over the training text, at least one."""
    windows = max(1, amount.train_tokens // settings.model.max_seq_length)
    return -(-windows // settings.training.batch_size)


def is_compiled(settings: Settings, amount: Amount) -> bool:
    """Whether the run is long enough for torch.compile, unless the settings say."""
    choice = settings.training.compile
    if choice != "auto":
        return choice == "on"
    operations = 6.0 * settings.parameters * amount.train_tokens * settings.training.epochs
    return operations > COMPILED_FROM


LIBRARIES_BYTES, COMPILER_BYTES, CXX_BYTES = 330e6, 150e6, 250e6
"""PyTorch with the code of the phases before; torch.compile, which stays; the C++ compiler that it
starts, which is gone before the first step."""
BYTES_OF_WEIGHT, BEFORE_STEPS = 17, 8
"""Weights, gradients, two moments, and what a checkpoint takes on top; without moments."""
BYTES_OF_MEAN = 8
"""The mean of the last weights, and that of a checkpoint."""
CHUNK = 512
"""Tokens whose logits exist at once: ``tinytx.train.loss``."""
SAVED = {"bfloat16": (10, 3), "float32": (11, 4)}
"""Numbers kept of a token for the backward pass, per number of its width and of its hidden layer.
Measured with all windows at once, without the mean (docs/log/training.md): 632 MB for 4 layers of
160 (639 by this), 734 for 6 of 192 (773), 823 for 8 (848); 554 for 2 of 96 in float32 (584). While
compilers run: 752, 726, 739 and 693 (756, 788, 799, 741)."""


def peak_bytes(settings: Settings, amount: Amount, precision: str) -> int:
    """The most resident memory of the training process and its compiler, in bytes."""
    model, size = settings.model, 2 if precision == "bfloat16" else 4
    tokens = settings.training.at_once * model.max_seq_length
    compiled = is_compiled(settings, amount)
    # where steps are compiled, attention is a kernel that makes its scores anew
    scores = 0 if compiled else 2 * model.heads * model.max_seq_length
    of_width, of_hidden = SAVED[precision]
    of_token = of_width * model.width + of_hidden * model.hidden + scores
    logits = CHUNK * settings.tokenizer.vocab_size * 12
    activations = tokens * model.layers * of_token * size + logits
    each = BYTES_OF_WEIGHT + BYTES_OF_MEAN * bool(settings.training.average)
    training = each * settings.parameters + activations
    compiling = (CXX_BYTES + BEFORE_STEPS * settings.parameters) * compiled
    loaded = LIBRARIES_BYTES + COMPILER_BYTES * compiled
    return math.ceil(loaded + max(compiling, training))


def model_bytes(settings: Settings, precision: Precision) -> int:
    """The file that the device loads, as export would write it."""
    return graph_bytes(settings.model, settings.tokenizer.vocab_size, precision)


TOKEN_NS, TOKEN_OF_BLOCK_NS = 15_000.0, 10_000.0
WEIGHTS_PER_NS = {"float32": 8.0, "int8": 16.0}
"""One core of a server of 2024: docs/log/runtime.md has its figures."""


def next_token_ns(settings: Settings, precision: Precision, slower: float = 1.0) -> float:
    """The next token with the longest context, about, in nanoseconds; ``slower`` than that core."""
    model, layers = settings.model, settings.model.layers
    products = layers * (4 * model.width**2 + 3 * model.width * model.hidden)
    products += settings.tokenizer.vocab_size * model.width
    cached = 2 * layers * model.width * model.max_seq_length
    reading = products / WEIGHTS_PER_NS[precision] + cached / WEIGHTS_PER_NS["float32"]
    return slower * (TOKEN_NS + layers * TOKEN_OF_BLOCK_NS + reading)
