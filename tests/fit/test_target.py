from pathlib import Path

import msgspec
import pytest

from tinytx.config import MAX_PARAMETERS, ModelSettings, Settings, TokenizerSettings
from tinytx.errors import UsageError
from tinytx.fit import target
from tinytx.fit.target import target_of
from tinytx.runtime import processor

LARGE = Settings(
    tokenizer=TokenizerSettings(vocab_size=4_096),
    model=ModelSettings(layers=5, width=160, heads=5, hidden=432),
)
"""8.1 million weights: below 10 MB in int8 alone."""


@pytest.mark.parametrize(
    ("device", "precision"),
    [("pi-3b-plus", "float32"), ("pi-4", "float32"), ("pi-5", "int8"), ("x86-1gb", "float32")],
)
def test_the_device_decides_in_which_precision_ten_megabytes_are_counted(
    device: str, precision: str
) -> None:
    found = target_of(device)
    assert found.precision == precision
    assert found.most_bytes == 10_000_000
    assert bool(found.excess(LARGE)) == (precision == "float32")
    assert found.excess(Settings()) == ""
    assert precision in found.reason


def test_without_a_device_this_processor_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, weights in ((True, None), (False, MAX_PARAMETERS)):
        monkeypatch.setattr(target, "has_int8_products", lambda has=has: has)
        found = target_of()
        assert found.most_weights == weights
        assert found.precision == ("int8" if has else "float32")


def test_a_device_needs_the_features_by_which_the_runtime_knows_int8_products() -> None:
    assert set(target.INT8.values()) == set(processor.NEEDED.values())


def test_each_broken_budget_is_named_with_figure_and_limit(tmp_path: Path) -> None:
    base = target_of("pi-5")
    tight = {
        "most_bytes": (1e6, "2.53 MB in int8, the limit is 1 MB"),
        "most_weights": (1_000_000, "1,930,640 weights, the limit is 1,000,000"),
        "most_memory": (2e7, "about 43 MB of memory, the limit is 20 MB"),
        "most_ns": (1e4, "ms for the next token, the limit is 0.01 ms"),
    }
    for name, (limit, words) in tight.items():
        assert words in msgspec.structs.replace(base, **{name: limit}).excess(Settings())


def test_budgets_of_ones_own_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text('schema = 1\n[budget.model_size]\nat_most = 2\nunit = "MB"\n')
    assert target_of("pi-5", file).most_bytes == 2e6


def test_a_device_has_no_more_memory_than_is_built_in(tmp_path: Path) -> None:
    file = tmp_path / "generous.toml"
    file.write_text('schema = 1\n[budget.rss]\nat_most = 4000\nunit = "MB"\n')
    assert target_of("pi-zero-2w", file).most_memory == 0.8 * 536_870_912
    assert target_of("pi-zero-2w").most_memory == 4e8  # the budget


def test_an_unknown_device_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="no device is called 'pi-9'; did you mean 'pi-5'"):
        target_of("pi-9")
