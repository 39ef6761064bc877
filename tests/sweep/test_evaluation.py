"""What is rejected before it is trained, what is stopped on the way, and what is learned of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tinytx.measure.policy.budgets import Budget, Quantity
from tinytx.sweep.records import Outcome
from tinytx.sweep.search import run_sweep
from tinytx.sweep.study import open_study
from tinytx.train.tokenizing import train_tokenizer


@pytest.mark.parametrize(
    ("searched", "changes", "words"),
    [
        ("model.width=2048,4096", {}, "parameters are more than 2,450,000"),
        ("model.heads=1,3", {"model__width": 40}, "must be a multiple of 16"),
        ("tokenizer.vocab_size=9000,10000", {}, "is larger than this text supports"),
    ],
)
def test_a_model_that_cannot_be_is_rejected_and_nothing_is_trained(
    root: Path, make_plan, follower, formula, searched: str, changes: dict, words: str
) -> None:
    records = run_sweep(make_plan(searched, **changes), root, follower, run=formula)
    judged = [r for r in records if r.outcome is not Outcome.REPEAT]
    assert [r.outcome for r in judged] == [Outcome.INFEASIBLE] * 2
    assert all(words in r.reason for r in judged)
    assert formula.tasks == []
    assert follower.trained == []


@pytest.mark.parametrize(
    ("name", "limit", "words"),
    [
        ("model_size", Quantity(0.05, "MB"), "model size: "),
        ("next_token_p95", Quantity(1, "ns"), "next token, p95: "),
    ],
)
def test_a_shape_over_a_budget_is_rejected_before_training(
    root: Path, make_plan, follower, formula, name: str, limit: Quantity, words: str
) -> None:
    plan = replace(make_plan("model.layers=1,2"), budgets=[Budget(name, limit)])
    records = run_sweep(plan, root, follower, run=formula)
    judged = [r for r in records if r.outcome is not Outcome.REPEAT]
    assert {r.outcome for r in judged} == {Outcome.INFEASIBLE}
    assert all(r.reason.startswith(words) and str(limit) in r.reason for r in judged)
    assert formula.tasks == []
    assert not list((root / "trials").glob("*"))


def test_a_pace_that_cannot_keep_the_training_budget_ends_the_trial_in_its_first_steps(
    root: Path, make_plan, follower, formula
) -> None:
    formula.pace_ns = 601e9
    records = run_sweep(make_plan("model.layers=1,2"), root, follower, run=formula)
    judged = [r for r in records if r.outcome is not Outcome.REPEAT]
    assert [r.outcome for r in judged] == [Outcome.INFEASIBLE] * 2
    assert judged[0].reason == "20 epochs of training: 601 s predicted, the limit is 600 s"
    assert judged[0].epochs == []


def test_epochs_that_break_the_training_budget_keep_a_trial_off_the_front(
    root: Path, make_plan, follower, formula
) -> None:
    slow = Budget("training_20_epochs", Quantity(10.9, "s"), strict=True)
    plan = replace(make_plan("model.layers=1,2"), budgets=[slow])  # 20 x 0.5 s and 1 s before them
    record = run_sweep(plan, root, follower, run=formula)[0]
    assert record.outcome is Outcome.INFEASIBLE
    assert record.training_20_epochs_ns == 11e9
    assert record.epochs != []
    assert record.bits_per_byte is None


def test_a_planted_bad_learning_rate_is_pruned(root: Path, make_plan, follower, formula) -> None:
    rates = [0.01, 0.011, 0.012, 0.013, 90.0]
    plan = make_plan(f"training.learning_rate={','.join(map(str, rates))}", trials=5)
    study = open_study(root / "sweep.db", plan)
    for rate in rates:
        study.ask_for({"training.learning_rate": rate})
    records = run_sweep(plan, root, follower, run=formula)
    assert [r.outcome for r in records] == [Outcome.COMPLETE] * 4 + [Outcome.PRUNED]
    assert records[-1].reason == "at epoch 1"
    assert len(records[-1].epochs) == 1


def test_trials_that_differ_in_training_alone_share_text_tokenizer_and_predicted_cost(
    root: Path, make_plan, follower, formula, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(
        "tinytx.train.pipeline.train_tokenizer",
        lambda text, settings, target, tell: (
            made.append(settings),
            train_tokenizer(text, settings, target, tell),
        ),
    )
    plan = make_plan(trials=2, tokenizer__vocab_size=305)
    records = run_sweep(plan, root, follower, run=formula)
    assert len(made) == 1
    assert len({(r.bytes, r.next_token_ns) for r in records}) == 1
    assert len(list((root / "prepared").iterdir())) == 2  # one of them is the fixture's own


def test_another_vocabulary_shares_the_text(root: Path, make_plan, follower, formula) -> None:
    plan = make_plan("tokenizer.vocab_size=300,310", trials=2)
    run_sweep(plan, root, follower, run=formula)
    folders = sorted((root / "prepared").iterdir())
    texts = [folder / "corpus" / "train.txt" for folder in folders]
    assert len(folders) == 2
    assert texts[0].samefile(texts[1])
    assert {r.parameters for r in follower.records} == {
        plan.settings_with({"tokenizer.vocab_size": size}).parameters for size in (300, 310)
    }
