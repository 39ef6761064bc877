import importlib.util
import json
import statistics
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from tinytx.config import ModelSettings, Settings, TokenizerSettings, TrainingSettings
from tinytx.fit import cost, steps
from tinytx.fit.cost import Amount, is_compiled, peak_bytes, run_seconds
from tinytx.fit.machine import Rates
from tinytx.fit.steps import CONSTANTS, step_seconds

STEPS = Path(__file__).parents[2] / "bench/plan/steps.json"
AMOUNT = Amount(train_bytes=2_837_761, val_bytes=268_240, train_tokens=978_000, val_tokens=92_500)


@pytest.fixture(scope="module")
def fitting() -> ModuleType:
    """``bench/plan_fit.py``."""
    folder = str(STEPS.parents[1])
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location("plan_fit", f"{folder}/plan_fit.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(folder)


def test_the_constants_are_those_that_the_measured_steps_give(fitting: ModuleType) -> None:
    measured = list(fitting.steps(json.loads(STEPS.read_text())))
    assert fitting.fit([step for step in measured if not step.held_out]) == CONSTANTS


def test_steps_of_shapes_that_were_not_used_are_predicted(fitting: ModuleType) -> None:
    measured = list(fitting.steps(json.loads(STEPS.read_text())))
    errors = [abs(fitting.error(step, CONSTANTS)) for step in measured if step.held_out]
    assert len(errors) >= 3
    assert statistics.median(errors) < 0.15
    assert max(errors) < 0.3


def test_what_is_said_of_training_elsewhere_is_so() -> None:
    from tinytx.train import loss, optimizer, speed, tokenizing, trainer

    assert cost.COMPILED_FROM == speed.COMPILE_PAYS_FROM
    assert cost.CHECKPOINT_SECONDS == trainer.CHECKPOINT_SECONDS
    assert cost.TOKENIZER_BYTES == tokenizing.SAMPLE_CHARACTERS
    assert cost.CHUNK == loss.CHUNK
    assert steps.ITERATIONS == optimizer.ITERATIONS


def test_more_layers_width_pieces_or_text_cost_more(rates: Rates) -> None:
    def seconds(**changes: int) -> float:
        model = ModelSettings(**{"layers": 2, "width": 96, "heads": 1, **changes})  # type: ignore[arg-type]
        return step_seconds(Settings(model=model), rates)

    plain = seconds()
    for change in ({"layers": 3}, {"width": 128}, {"hidden": 320}, {"pair_rows": 40_000}):
        assert seconds(**change) > plain
    more = msgspec.structs.replace(AMOUNT, train_tokens=2 * AMOUNT.train_tokens)
    once, twice = (run_seconds(Settings(), amount, rates) for amount in (AMOUNT, more))
    assert twice.steps == pytest.approx(2 * once.steps, rel=0.01)
    assert twice.start == once.start


def test_a_run_is_the_sum_of_its_parts(rates: Rates) -> None:
    found = run_seconds(Settings(), AMOUNT, rates)
    parts = [getattr(found, name) for name in found.__struct_fields__]
    assert all(part > 0.0 for part in parts)
    assert found.total == pytest.approx(sum(parts))


def test_a_short_run_is_not_compiled_and_its_steps_take_longer(rates: Rates) -> None:
    short = Settings(training=TrainingSettings(epochs=1, compile="auto"))
    few = msgspec.structs.replace(AMOUNT, train_tokens=20_000)
    assert not is_compiled(short, few)
    assert run_seconds(short, few, rates).compiling == 0.0
    forced = Settings(training=TrainingSettings(epochs=1, compile="on"))
    assert run_seconds(forced, few, rates).steps < run_seconds(short, few, rates).steps


def test_windows_computed_in_parts_need_less_memory_where_steps_are_the_peak() -> None:
    large = ModelSettings(layers=8, width=192, heads=6, hidden=384)
    whole, parts = (
        peak_bytes(
            Settings(model=large, training=TrainingSettings(micro_batch=n)), AMOUNT, "bfloat16"
        )
        for n in (0, 2)
    )
    assert parts < whole
    assert whole < peak_bytes(Settings(model=large), AMOUNT, "float32")


@pytest.mark.parametrize(
    ("layers", "width", "pieces", "pairs", "precision", "compiling", "training"),
    [  # MB, by VmHWM and its children's, 2 cores of an AMD EPYC (Zen 5), PyTorch 2.13.0
        (2, 80, 2_048, 16_384, "bfloat16", 703, 517),
        (4, 160, 3_072, 4_096, "bfloat16", 752, 632),
        (6, 192, 3_072, 2_048, "bfloat16", 726, 734),
        (8, 192, 3_072, 2_048, "bfloat16", 739, 823),
    ],
)
def test_peaks_are_those_that_were_measured_and_not_below(
    layers: int,
    width: int,
    pieces: int,
    pairs: int,
    precision: str,
    compiling: int,
    training: int,
) -> None:
    model = ModelSettings(
        layers=layers, width=width, heads=width // 16, hidden=2 * width, pair_rows=pairs
    )
    settings = Settings(
        model=model,
        tokenizer=TokenizerSettings(vocab_size=pieces),
        training=TrainingSettings(average=0.0),
    )
    found = peak_bytes(settings, AMOUNT, precision) / 1e6
    assert max(compiling, training) <= found <= 1.08 * max(compiling, training)
