"""``tinytx train`` with a plan: when one is made, what it says, how long it holds, what it refuses.

What a plan chooses is tested in tests/fit; here one that trains in a second stands in for it.
"""

import json
import os
import signal
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from msgspec.structs import replace

from tinytx.cli.main import run
from tinytx.cli.train.command import command
from tinytx.cli.train.planning import planner_of
from tinytx.config import Settings, as_dict
from tinytx.errors import PlanError, UsageError
from tinytx.fit import planner
from tinytx.fit.machine import Rates
from tinytx.fit.plan import Plan
from tinytx.fit.planner import PlanKeeper
from tinytx.fit.request import Request
from tinytx.train import checkpoint, prerequisites
from tinytx.train.job import Options
from tinytx.train.progress import Reporter
from tinytx.train.trainer import Trainer
from tinytx.workspace import Workspace

Shown = pytest.CaptureFixture[str]
SMALL: dict[str, dict[str, Any]] = {
    "tokenizer": {"vocab_size": 320},
    "model": {
        "layers": 1, "width": 32, "heads": 2, "hidden": 32, "max_seq_length": 48, "pair_rows": 100,
    },
    "training": {"epochs": 2, "batch_size": 16, "compile": "off", "precision": "float32"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def any_disk_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites.check_disk, "__defaults__", (1,))


@dataclass
class Plans:
    """Stands in for what chooses: a small model, whose width says which plan it is."""

    asked: list[tuple[Request, frozenset[str]]] = field(default_factory=list)
    width: int = 32
    seconds: float = 300.0

    def make(self, text: object, base: Settings, pinned: frozenset[str], request: Request) -> Plan:
        self.asked.append((request, pinned))
        chosen = {**as_dict(base)}
        for section, values in SMALL.items():
            kept = {key for key in values if f"{section}.{key}" in pinned}
            chosen[section] |= {key: value for key, value in values.items() if key not in kept}
        chosen["model"]["width"] = self.width
        if "training.time_limit" not in pinned:
            chosen["training"]["time_limit"] = request.seconds
        settings = planner.msgspec.convert(chosen, Settings)
        return Plan(
            settings=settings,
            seconds=self.seconds,
            seconds_asked=request.seconds,
            bits_per_byte=1.5,
            peak_bytes=300_000_000,
            model_bytes=1_000_000,
            model_precision="int8",
            next_token_ns=1e5,
            reasons=["size: it would be too large otherwise"],
            next_larger="the next larger would take 700 s",
        )


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    made = Plans()
    monkeypatch.setattr(planner, "make_plan", made.make)
    monkeypatch.setattr(planner, "look_at", lambda train, val: None)
    return made


@pytest.fixture(scope="module")
def text_file(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of 20 kB."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(small_corpus.read_text()[:20_000])
    return path


@pytest.fixture
def train(text_file: Path, tmp_path: Path) -> Callable[..., int]:
    """``tinytx train`` on a small text into the folder "out"."""

    def call(*arguments: str, out: str = "out") -> int:
        text, folder = str(text_file), str(tmp_path / out)
        return run(["train", "--corpus-path", text, "--output-dir", folder, *arguments])

    return call


def config(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "training_metrics.json").read_bytes())["config"]
    return document


def test_without_flags_a_plan_is_made_told_kept_and_used_again(
    train: Callable[..., int], plans: Plans, tmp_path: Path, capsys: Shown
) -> None:
    out = tmp_path / "out"
    assert train("--seed", "3", "--threads", "1") == 0
    ((request, pinned),) = plans.asked
    assert (request.seconds, request.epochs, request.asked) == (600.0, 20, False)
    assert pinned >= {"training.seed", "training.threads"}
    assert "training.epochs" not in pinned
    told = capsys.readouterr().err
    corpus, tokenizer = told.index("[2/5] corpus"), told.index("[3/5] tokenizer")
    story = told[corpus:tokenizer]
    assert "plan: 320 pieces, 1 layer of 32" in story
    assert "size: it would be too large otherwise" in story
    assert "the next larger would take 700 s" in story
    assert "20 epochs of this model would take about 50:00 min: the training budget of " in story
    plan = tomllib.loads((out / "plan.toml").read_text())
    assert plan["plan"]["schema"] == 1
    assert plan["training"]["time_limit"] == 600.0
    assert config(out)["training"] == plan["training"]
    assert (plan["training"]["seed"], plan["model"]["width"]) == (3, 32)
    plans.width = 64  # the machine is another one by now
    before = (out / "final_model.pt").stat().st_mtime_ns
    assert train("--seed", "3", "--threads", "1", "--json") == 0
    stdout, err = capsys.readouterr()
    assert len(plans.asked) == 1
    assert "the plan that is there holds: 320 pieces" in err
    document = json.loads(stdout)
    assert document["skipped"] == ["corpus", "tokenizer", "training"]
    assert document["plan"]["seconds"] == 300.0
    assert (out / "final_model.pt").stat().st_mtime_ns == before


def test_a_plan_is_the_configuration_of_the_same_run_anywhere(
    train: Callable[..., int], plans: Plans, tmp_path: Path
) -> None:
    assert train("--threads", "1", "--quiet") == 0
    assert train("--config", str(tmp_path / "out/plan.toml"), "--quiet", out="elsewhere") == 0
    assert len(plans.asked) == 1
    ours, theirs = (Workspace(tmp_path / name) for name in ("out", "elsewhere"))
    weights = [checkpoint.load(space.final_model)["model"] for space in (ours, theirs)]
    assert all(tensor.equal(weights[1][key]) for key, tensor in weights[0].items())
    assert not theirs.plan.exists()


def test_another_request_finds_the_model_of_another_run_and_overwrite_plans_anew(
    train: Callable[..., int], plans: Plans, tmp_path: Path, capsys: Shown
) -> None:
    assert train("--threads", "1", "--quiet") == 0
    kept = (tmp_path / "out/plan.toml").read_bytes()
    again = ["--time", "5m", "--threads", "1", "--quiet"]
    plans.width = 64
    assert train(*again) == 64
    err = capsys.readouterr().err
    assert "holds the model of another run: model.width was 32, now it is 64" in err
    assert "--overwrite" in err
    assert (tmp_path / "out/plan.toml").read_bytes() == kept
    assert train(*again, "--overwrite") == 0
    assert tomllib.loads((tmp_path / "out/plan.toml").read_text())["model"]["width"] == 64
    assert [request.seconds for request, _ in plans.asked] == [600.0, 300.0, 300.0]


@pytest.fixture
def stopped(train: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Trains and stops in the first epoch, as by Ctrl-C."""
    real = Trainer._report

    def stop(self: Trainer, loss: float, rate: float) -> None:
        real(self, loss, rate)
        if self.pace.done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    def call(*arguments: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_report", stop)
            assert train(*arguments, "--threads", "1", "--quiet") == 130

    return call


@pytest.fixture
def cut(stopped: Callable[..., None], plans: Plans, tmp_path: Path) -> Path:
    """The output directory of a planned run that was stopped in its first epoch."""
    stopped("--time", "10m")
    plans.width = 64
    return tmp_path / "out"


def test_resume_keeps_the_plan_of_the_run_that_it_continues(
    train: Callable[..., int], cut: Path, plans: Plans, capsys: Shown
) -> None:
    kept = (cut / "plan.toml").read_bytes()
    assert train("--resume") == 0
    assert len(plans.asked) == 1
    assert "the plan that is there holds: 320 pieces, 1 layer of 32" in capsys.readouterr().err
    assert (cut / "plan.toml").read_bytes() == kept
    assert config(cut)["model"]["width"] == 32


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--time", "5m"], "was planned for another time, device or text"),
        (["--time", "10m", "--device", "pi-4"], "was planned for another time, device or text"),
        (["--seed", "9"], "belongs to another run: training.seed was 1, now it is 9"),
        (["--preset", "quick"], "belongs to another run: "),
    ],
)
def test_resume_with_another_plan_is_refused(
    train: Callable[..., int], cut: Path, capsys: Shown, flags: list[str], words: str
) -> None:
    before = (cut / "last_checkpoint.pt").read_bytes()
    assert train("--resume", "--quiet", *flags) == 4
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert (cut / "last_checkpoint.pt").read_bytes() == before


def test_without_resume_an_interrupted_run_is_refused_before_anything_is_measured(
    train: Callable[..., int], cut: Path, plans: Plans, capsys: Shown
) -> None:
    for flags in (["--time", "10m", "--threads", "1"], ["--time", "3m"]):
        assert train(*flags, "--quiet") == 64
        assert "holds an interrupted run" in capsys.readouterr().err
    assert len(plans.asked) == 1


def test_resume_gives_a_run_without_a_plan_none(
    train: Callable[..., int], stopped: Callable[..., None], plans: Plans, capsys: Shown
) -> None:
    small = [f"--set={s}.{k}={v}" for s, values in SMALL.items() for k, v in values.items()]
    stopped(*small)
    resume = [*small, "--threads", "1", "--resume", "--quiet"]
    assert train(*resume, "--time", "10m") == 4
    assert "was not planned, and --resume cannot change that" in capsys.readouterr().err
    assert train("--resume", "--threads", "1", "--quiet") == 4
    assert "belongs to another run: tokenizer.vocab_size was 320" in capsys.readouterr().err
    assert train(*resume) == 0
    assert plans.asked == []


def test_a_plan_of_another_version_is_refused_in_one_sentence(
    train: Callable[..., int], plans: Plans, tmp_path: Path, capsys: Shown
) -> None:
    assert train("--threads", "1", "--quiet") == 0
    plan = tmp_path / "out/plan.toml"
    old = tmp_path / "old.toml"
    old.write_text(plan.read_text().replace("schema = 1", "schema = 7"))
    assert train("--config", str(old), "--quiet", out="elsewhere") == 64
    err = capsys.readouterr().err
    assert err.startswith(f"tinytx: {old} is a plan of schema 7, and this tinytx reads schema 1\n")
    assert len(err.splitlines()) == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_plan_that_was_changed_by_hand_is_made_again(
    train: Callable[..., int], plans: Plans, tmp_path: Path
) -> None:
    assert train("--threads", "1", "--quiet") == 0
    plan = tmp_path / "out/plan.toml"
    plan.write_text(plan.read_text().replace("width = 32", "width = 64"))
    assert train("--threads", "1", "--quiet") == 0
    assert len(plans.asked) == 2
    assert tomllib.loads(plan.read_text())["model"]["width"] == 32


@pytest.mark.long
def test_two_processes_train_the_plan_that_the_first_one_makes(
    train: Callable[..., int],
    plans: Plans,
    tmp_path: Path,
    side_by_side: Callable[..., Any],
) -> None:
    for ended in side_by_side(lambda: train("--time", "10m", "--quiet")):
        assert ended.code == 0, ended.said
    metrics = json.loads((tmp_path / "out/training_metrics.json").read_bytes())
    assert metrics["machine"]["processes"] == 2
    assert metrics["config"]["model"]["width"] == 32
    wrong = side_by_side(lambda: train("--device", "cpu", "--quiet", out="wrong"))
    assert [one.code for one in wrong] == [64, 64]  # and nobody waits for anybody


def test_what_a_plan_cannot_do_is_said_before_the_tokenizer(
    train: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Shown
) -> None:
    def none(*_: object) -> Plan:
        raise PlanError("5 s are too short for any useful model", "give at least --time 40s")

    monkeypatch.setattr(planner, "make_plan", none)
    monkeypatch.setattr(planner, "look_at", lambda train, val: None)
    assert train("--time", "5s", "--quiet") == 64
    err = capsys.readouterr().err
    assert err == "tinytx: 5 s are too short for any useful model\n  -> give at least --time 40s\n"
    assert not (tmp_path / "out/tokenizer.model").exists()
    assert not (tmp_path / "out/plan.toml").exists()


def parsed(arguments: list[str]) -> PlanKeeper | None:
    """Who plans for this command line."""
    context = command.make_context("train", list(arguments))
    words = dict(context.params)
    asked = (words.pop("time_text"), words.pop("device"), words.pop("budgets"))
    named = words.pop("preset"), words.pop("config"), words.pop("assignments")
    from tinytx.cli.settings.options import settings_of

    with context:
        settings = settings_of(*named, words)
        return planner_of(settings, asked, *named, words, Options())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--preset", "balanced"],
        ["--epochs", "5"],
        ["--width", "64"],
        ["--vocab-size", "512"],
        ["--set", "model.layers=3"],
        ["--learning-rate", "0.01"],
        ["--micro-batch", "4"],
        ["--training-time-limit", "60"],
        ["--preset", "quick", "--epochs", "3"],
    ],
    ids=" ".join,
)
def test_what_decides_the_model_leaves_nothing_to_plan(arguments: list[str]) -> None:
    assert parsed(arguments) is None


def test_a_settings_file_leaves_nothing_to_plan(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[training]\nseed = 2\n")
    assert parsed(["--config", str(tmp_path / "my.toml")]) is None


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--seed", "2"],
        ["--corpus-path", "book.txt", "--threads", "1", "--compile", "off"],
        ["--set", "training.precision=float32"],
        ["--training-device", "cpu"],
        ["--device", "pi-4"],
        ["--budgets", "constitution"],
    ],
    ids=" ".join,
)
def test_where_nothing_decides_it_the_model_is_planned_for_the_training_budget(
    arguments: list[str],
) -> None:
    found = parsed(arguments)
    assert found is not None
    assert (found.request.seconds, found.request.epochs, found.request.asked) == (600, 20, False)


def test_a_time_with_a_preset_keeps_its_shape_and_chooses_the_epochs() -> None:
    found = parsed(["--time", "10m", "--preset", "quality"])
    assert found is not None
    assert (found.request.seconds, found.request.epochs) == (600.0, None)
    assert found.base.model.layers == 4
    assert {"model.layers", "tokenizer.vocab_size", "training.dropout"} <= found.pinned
    assert found.pinned.isdisjoint({"training.epochs", "training.time_limit"})


def test_a_time_with_epochs_keeps_them_and_chooses_the_shape() -> None:
    found = parsed(["--time", "10m", "--epochs", "7"])
    assert found is not None
    assert found.request.epochs == found.base.training.epochs == 7
    assert found.pinned == {"training.epochs"}


def test_a_time_with_a_file_keeps_what_it_names_but_its_time(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[model]\nlayers = 3\n[training]\ntime_limit = 900.0\n")
    found = parsed(["--time", "10m", "--config", str(tmp_path / "my.toml")])
    assert found is not None
    assert found.pinned == {"model.layers"}
    limited = parsed(["--time", "10m", "--set", "training.time_limit=500"])
    assert limited is not None
    assert limited.pinned == {"training.time_limit"}


def test_a_time_with_a_preset_and_epochs_chooses_nothing() -> None:
    found = parsed(["--time", "10m", "--preset", "quality", "--epochs", "7"])
    assert found is not None
    assert found.request.epochs == 7
    assert {"model.layers", "training.epochs"} <= found.pinned


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "cpu"], "--device names the device that the model is for, and cpu is none"),
        (["--device", "pi-4", "--preset", "quick"], "the model is decided already"),
        (["--budgets", "stretch", "--epochs", "3"], "the model is decided already"),
        (["--time", "soon"], "is no time"),
    ],
    ids=str,
)
def test_words_that_contradict_each_other_are_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parsed(arguments)


def test_the_help_says_who_wins() -> None:
    told = " ".join(command.get_help(click.Context(command)).split())
    assert "--preset keeps its shape and gets the epochs that fit" in told
    assert "with both nothing is chosen" in told


def test_the_users_own_limit_stands_over_the_plans(
    train: Callable[..., int], plans: Plans, tmp_path: Path
) -> None:
    flags = ["--time", "10m", "--training-time-limit", "400", "--threads", "1", "--quiet"]
    assert train(*flags) == 0
    assert config(tmp_path / "out")["training"]["time_limit"] == 400.0
    assert replace(plans.asked[0][0], seconds=0.0).asked


RATES = Rates(
    precision="float32",
    threads=1,
    products=dict.fromkeys((64, 96, 128, 192, 256), 5e10),
    head=dict.fromkeys((64, 128, 256), 5e10),
    attention=dict.fromkeys((32, 64), 3e10),
    orthogonal=dict.fromkeys((64, 128, 256), 3e10),
    softmax=5e8,
    stream=2e9,
    adamw=5e8,
    lookup=5e8,
    dispatch=3e-6,
    core=1e7,
)
"""Of a machine that need not be measured."""


@pytest.fixture
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What chooses is the real thing, and nothing is measured."""
    monkeypatch.setattr("tinytx.fit.plan.rates_of_this_machine", lambda settings: RATES)


@pytest.fixture
def narrow(tmp_path: Path) -> str:
    """Budgets that no model keeps."""
    path = tmp_path / "narrow.toml"
    path.write_text('schema = 1\n[budget.model_size]\nat_most = 0.01\nunit = "MB"\n')
    return str(path)


@pytest.mark.usefixtures("known_machine")
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--time", "4s"], ["--time", "4 s"]),
        (["--time", "1m", "--preset", "quality", "--epochs", "5000"], ["--time"]),
        (["--device", "pi-4", "--budgets", "narrow"], ["no model keeps the budgets of", "MB"]),
        (["--device", "pi-99"], ["pi-99"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_request_that_nothing_meets_ends_with_64_before_the_tokenizer(
    train: Callable[..., int],
    narrow: str,
    tmp_path: Path,
    capsys: Shown,
    flags: list[str],
    words: list[str],
) -> None:
    assert train(*[narrow if flag == "narrow" else flag for flag in flags], "--quiet") == 64
    err = capsys.readouterr().err
    assert all(word in err for word in words), err
    assert err.startswith("tinytx: ")
    assert len(err.splitlines()) <= 2
    assert not (tmp_path / "out/tokenizer.model").exists()
    assert not (tmp_path / "out/plan.toml").exists()


class Listener(Reporter):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.usefixtures("known_machine")
def test_a_small_text_gets_a_small_plan_that_says_how_it_is_held_back_and_why(
    text_file: Path, tmp_path: Path
) -> None:
    space, told = Workspace(tmp_path / "out"), Listener()
    space.train_text.parent.mkdir(parents=True)
    space.train_text.write_bytes(text_file.read_bytes())
    space.val_text.write_bytes(text_file.read_bytes()[:2_000])
    request = Request(seconds=600.0, epochs=20, device="pi-4", asked=False)
    keeper = PlanKeeper(Settings(), frozenset(), request, Options())
    settings = keeper.settle(space, told)
    (line,) = [note for note in told.notes if "regularisation: " in note]
    assert "weights for each token: " in line
    assert f"dropout {settings.training.dropout:g}" in line
    assert settings.training.time_limit == 600.0
