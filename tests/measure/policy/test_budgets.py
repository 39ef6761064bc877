"""Budget files, good and bad, and the rule of the three verdicts."""

from pathlib import Path

import pytest

from tinytx.errors import UsageError
from tinytx.measure.policy.budgets import (
    Budget,
    Figure,
    Quantity,
    Verdict,
    judge,
    load_budgets,
    policy_file,
)

GOOD = '[budget.rss]\nat_most = 400\nunit = "MB"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(f"schema = 1\n{text}")
    return path


def test_the_constitution_holds_the_promise() -> None:
    promise = {b.name: (b.limit.base, b.strict) for b in load_budgets()}
    assert promise == {
        "rss": (400e6, False),
        "peak_memory": (512e6, False),
        "next_token_p95": (250e6, False),
        "model_size": (10e6, False),
        "training_20_epochs": (600e9, True),
    }


def test_a_file_of_ones_own_may_hold_a_part(tmp_path: Path) -> None:
    (budget,) = load_budgets(written(tmp_path, GOOD))
    assert (budget.name, budget.limit.base, budget.title) == ("rss", 4e8, "memory at rest (RSS)")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[budget.rsss]\nat_most = 1\nunit = "MB"\n', ["budget.rsss", "mine.toml", "budget.rss'"]),
        ('[budget.rss]\nat_mots = 1\nunit = "MB"\n', ["budget.rss.at_mots", "budget.rss.at_most"]),
        ('[bugdet.rss]\nat_most = 1\nunit = "MB"\n', ["bugdet", "'budget'"]),
        ('[budget.rss]\nat_most = -1\nunit = "MB"\n', ["budget.rss.at_most", "above 0", "-1"]),
        ('[budget.rss]\nat_most = nan\nunit = "MB"\n', ["budget.rss.at_most", "number"]),
        ('[budget.rss]\nat_most = true\nunit = "MB"\n', ["budget.rss.at_most", "number"]),
        ('[budget.rss]\nat_most = "9"\nunit = "MB"\n', ["budget.rss.at_most", "number"]),
        (
            '[budget.rss]\nat_most = 1\nunit = "MiB"\n',
            ["budget.rss.unit", "B, kB, MB", "MiB", "did you mean 'MB'?"],
        ),
        ('[budget.rss]\nat_most = 1\nunit = "kb"\n', ["did you mean 'kB'?"]),
        ('[budget.RSS]\nat_most = 1\nunit = "kB"\n', ["did you mean 'budget.rss'?"]),
        ('[budget.rss]\nat_most = 1\nunit = "ms"\n', ["budget.rss.unit", "B, kB, MB"]),
        ('[budget.next_token_p95]\nat_most = 1\nunit = "MB"\n', ["ns, us, ms, s"]),
        ("[budget.rss]\nat_most = 1\n", ["budget.rss.unit", "None"]),
        ('[budget.rss]\nunit = "MB"\n', ["at_most or under"]),
        ('[budget.rss]\nat_most = 1\nunder = 2\nunit = "MB"\n', ["one limit"]),
        (GOOD + GOOD, ["duplicate"]),
        ('[budget.rss]\nat_most = 1\nat_most = 2\nunit = "MB"\n', ["duplicate"]),
        ("[budget]\nrss = 3\n", ["budget.rss", "table"]),
        ("budget = 3\n", ["budget"]),
        ("", ["no [budget.NAME]"]),
        ("[budget.rss\n", ["not valid TOML"]),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_reason(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        load_budgets(written(tmp_path, text))
    for word in ["mine.toml", *words]:
        assert word in caught.value.message


def test_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "future.toml"
    path.write_text("schema = 2\n" + GOOD)
    with pytest.raises(UsageError, match="schema must be 1, not 2"):
        load_budgets(path)


def test_a_missing_file_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_budgets(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        load_budgets(tmp_path / "bytes.toml")


def test_the_stretch_budgets_are_stricter_than_the_promise_in_everything() -> None:
    promise = {budget.name: budget for budget in load_budgets()}
    stretch = load_budgets(Path("stretch"))
    assert {budget.name for budget in stretch} == set(promise)
    assert all(budget.limit.base < promise[budget.name].limit.base for budget in stretch)


def test_an_installed_file_goes_by_its_name_unless_a_file_here_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"no budgets of this name; did you mean 'stretch'\?"):
        load_budgets(Path("strech"))
    assert len(load_budgets(Path("constitution"))) == 5
    (tmp_path / "stretch").write_text("schema = 1\n" + GOOD)
    assert [budget.name for budget in load_budgets(Path("stretch"))] == ["rss"]


def test_policy_comes_from_the_checkout_and_a_missing_one_is_said() -> None:
    assert policy_file("scenarios.toml").name == "scenarios.toml"
    with pytest.raises(UsageError, match=r"nothing\.toml"):
        policy_file("nothing.toml")


def test_a_megabyte_is_a_million_bytes_and_figures_are_told_with_three_digits() -> None:
    assert Quantity(1.0, "MB").base == 1_000_000
    told = [str(Quantity.of(85_394_432, "MB")), str(Quantity.of(278_000, "ms"))]
    assert told == ["85.4 MB", "0.278 ms"]
    told = [str(Quantity(400, "MB")), str(Quantity(1234.5, "s")), str(Quantity(0, "B"))]
    assert told == ["400 MB", "1,234 s", "0 B"]


AT_MOST = Budget("rss", Quantity(400, "MB"))
UNDER = Budget("training_20_epochs", Quantity(600, "s"), strict=True)


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        (300e6, 400e6, Verdict.PASS),
        (300e6, 400e6 + 1, Verdict.INVALID),
        (400e6, 500e6, Verdict.INVALID),
        (400e6 + 1, 500e6, Verdict.FAIL),
        (None, 400e6, Verdict.PASS),
        (500e6, None, Verdict.FAIL),
        (None, None, Verdict.INVALID),
    ],
)
def test_the_upper_bound_passes_and_the_lower_bound_fails(
    lower: float | None, upper: float | None, verdict: Verdict
) -> None:
    row = judge(AT_MOST, Figure(measured=400e6, lower=lower, upper=upper))
    assert row.verdict is verdict
    assert bool(row.reason) == (verdict is not Verdict.PASS)
    assert row.measured == Quantity(400.0, "MB")


def test_under_does_not_allow_the_limit_itself() -> None:
    exactly = Figure(lower=600e9, upper=600e9)
    assert judge(UNDER, exactly).verdict is Verdict.FAIL
    assert judge(UNDER, Figure(lower=599e9, upper=599.9e9)).verdict is Verdict.PASS


@pytest.mark.parametrize("upper", [1.0, 900e6])
def test_a_breach_makes_any_figure_invalid_with_every_reason(upper: float) -> None:
    figure = Figure(lower=upper, upper=upper, trouble="it crashed")
    row = judge(AT_MOST, figure, ["it was emulated"])
    assert (row.verdict, row.reason) == (Verdict.INVALID, "it crashed; it was emulated")


def test_a_name_means_the_installed_file_where_the_folder_may_not_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``sudo -u tinytx`` in the closed home of who called it."""
    there = Path.exists

    def closed(path: Path) -> bool:
        if path.is_absolute():
            return there(path)
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", closed)
    assert load_budgets(Path("constitution")) == load_budgets()
