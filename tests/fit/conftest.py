"""Stand-ins for what a plan is made from: a machine, a law of quality, a text."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tinytx.config import Settings
from tinytx.fit.choose import Problem
from tinytx.fit.machine import Rates
from tinytx.fit.plan import problem_of
from tinytx.fit.target import Target, target_of


class Sizes(msgspec.Struct, frozen=True):
    """As much of a text as a stand-in law looks at."""

    train_bytes: int = 2_837_761
    val_bytes: int = 268_240


ENGLISH_AND_SPANISH = Sizes()


def law(text: Any, settings: Settings) -> float:
    """More weights, more passes and more text are better; too many passes learn by heart."""
    model, vocabulary = settings.model, settings.tokenizer.vocab_size
    tables = (1 + model.layers * model.block_tables) * vocabulary * model.width
    tables += model.pair_rows * model.width
    products = settings.parameters - tables + vocabulary * model.width
    tokens = text.train_bytes / bytes_per_token(text, vocabulary)
    seen = tokens * settings.training.epochs
    by_heart = 0.02 * (settings.parameters / tokens) ** 0.5 * settings.training.epochs**0.5 / 10
    return float(1.0 + 12.0 / products**0.25 + 3.0 / tables**0.25 + 300.0 / seen**0.45 + by_heart)


def bytes_per_token(text: Any, vocab_size: int) -> float:
    return 2.9 * float(vocab_size / 2_048) ** 0.2


RATES = Rates(
    precision="bfloat16",
    threads=2,
    products={64: 3e11, 96: 3.4e11, 128: 4e11, 192: 4.2e11, 256: 4.5e11},
    head={64: 3e11, 128: 4e11, 256: 4.5e11},
    attention={32: 1.5e11, 64: 2e11},
    orthogonal={64: 3e10, 128: 8e10, 256: 1.5e11},
    softmax=1.5e9,
    stream=5e9,
    adamw=1e9,
    lookup=1e9,
    dispatch=1e-6,
    core=3e7,
)
"""Of two cores of a server with bfloat16, about."""


@pytest.fixture(scope="session")
def rates() -> Rates:
    return RATES


Making = Callable[..., Problem]


@pytest.fixture(scope="session")
def problem(rates: Rates) -> Making:
    """Makes a problem of this text, these pins and that device."""

    def make(
        text: Sizes = ENGLISH_AND_SPANISH,
        base: Settings | None = None,
        pinned: tuple[str, ...] = (),
        target: Target | None = None,
        memory: float = 1e9,
        rates: Rates = rates,
    ) -> Problem:
        return problem_of(
            *(text, base or Settings(), frozenset(pinned), target or target_of("pi-5"), rates),  # type: ignore[arg-type]
            law=law,
            bytes_per_token=bytes_per_token,
            memory=memory,
        )

    return make
