"""The training loop: schedule, optimizer, failure, and runs that are interrupted and continued."""

import itertools
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tinytx import compiler
from tinytx.config import Settings
from tinytx.errors import CheckpointError, Interrupted, TrainingError
from tinytx.train import checkpoint, speed, trainer, warming
from tinytx.train.data import EpochOrder
from tinytx.train.evaluate import Score
from tinytx.train.job import Options, state_to_resume
from tinytx.train.model import Transformer
from tinytx.train.others import Others
from tinytx.train.progress import Reporter, StepReport
from tinytx.train.trainer import Job, Trainer, learning_rate
from tinytx.workspace import Workspace

MakeSettings = Callable[..., Settings]
MakeJob = Callable[..., Job]
HASHES = {"train_text": "a" * 64, "val_text": "b" * 64, "tokenizer": "c" * 64}


def train(job: Job, reporter: Reporter, state: dict[str, Any] | None = None) -> Trainer:
    """A run as the pipeline makes it."""
    made = Trainer(job, reporter)
    if state is not None:
        made.restore(state)
    made.warm_up()
    made.run()
    return made


def resume(make_job_in: MakeJob, settings: Settings, space: Workspace, reporter: Reporter) -> Job:
    """Continue the interrupted run of an output directory to its end."""
    state = state_to_resume(settings, space, HASHES, Options(resume=True))
    assert state is not None
    job = make_job_in(settings, space.root.name, state=state)
    train(job, reporter, state)
    return job


def weights(path: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = checkpoint.load(path)["model"]
    return loaded


def assert_same(ours: Job, theirs: Job) -> None:
    """Bit-identical weights, and the same history of losses."""
    for name in ("final_model", "best_model"):
        mine, other = (weights(getattr(job.workspace, name)) for job in (ours, theirs))
        assert mine.keys() == other.keys()
        for key, tensor in mine.items():
            assert torch.equal(tensor, other[key]), f"{name}: {key} differs"
    names = ("epoch", "train_loss", "val_loss", "val_bits_per_byte", "learning_rate")
    histories = [
        [[getattr(epoch, name) for name in names] for epoch in job.metrics.epochs]
        for job in (ours, theirs)
    ]
    assert histories[0] == histories[1]
    assert ours.metrics.best_epoch == theirs.metrics.best_epoch


def test_the_learning_rate_rises_in_a_line_and_falls_in_a_cosine(
    make_settings: MakeSettings,
) -> None:
    settings = make_settings(
        training__learning_rate=0.01, training__min_learning_rate=0.1, training__warmup_steps=4
    )
    rates = [learning_rate(step, 44, settings) for step in range(45)]
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert rates[4] == pytest.approx(0.01)  # the cosine's beginning
    assert rates[4 + 10] == pytest.approx(0.001 + 0.009 * (1 + math.cos(math.pi / 4)) / 2)
    assert rates[4 + 20] == pytest.approx(0.0055)  # half way
    assert rates[44] == pytest.approx(0.001)  # its end
    assert all(a > b for a, b in itertools.pairwise(rates[4:]))


def test_warm_up_takes_at_most_a_tenth_of_the_run(make_settings: MakeSettings) -> None:
    settings = make_settings(training__learning_rate=1.0, training__warmup_steps=1_000)
    rates = [learning_rate(step, 50, settings) for step in range(50)]
    assert rates.index(max(rates)) == 4
    assert learning_rate(0, 1, settings) == 1.0
    assert learning_rate(0, 50, make_settings(training__warmup_steps=0)) == pytest.approx(
        make_settings().training.learning_rate
    )


def test_training_is_that_of_the_plain_adamw_of_pytorch(
    make_settings: MakeSettings, make_job_in: MakeJob, recorder: Reporter
) -> None:
    settings = make_settings(
        training__optimizer="adamw",
        training__dropout=0.0,
        training__pair_dropout=0.0,
        training__learning_rate=0.02,
        training__weight_decay=0.3,
        training__table_weight_decay=0.7,
        training__beta1=0.8,
        training__beta2=0.9,
        training__gradient_clip=0.5,
        training__warmup_steps=2,
        training__seed=9,
    )
    job = make_job_in(settings, tokens=300)
    train(job, recorder)
    model = Transformer(settings.model, settings.tokenizer.vocab_size)
    model.initialise(torch.Generator().manual_seed(9))
    named = dict(model.named_parameters())
    tables = [p for n, p in named.items() if n == "pairs.weight" or ".embedding." in n]
    plain = [p for n, p in named.items() if "norm" in n]
    decayed = [p for p in named.values() if not any(p is other for other in (*tables, *plain))]
    assert (len(tables), len(decayed), len(plain)) == (3, 1 + 2 * 4, 2 * 2 + 1)
    groups = [
        {"params": decayed, "weight_decay": 0.3},
        {"params": tables, "weight_decay": 0.7},
        {"params": plain, "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, betas=(0.8, 0.9), foreach=False, fused=False)
    orders = [EpochOrder(job.train_tokens, 16, 4, 9, epoch) for epoch in range(2)]
    steps = [order.batch(step) for order in orders for step in range(order.steps)]
    losses = []
    for number, (inputs, targets) in enumerate(steps):
        loss = model.loss(inputs, targets)
        reference.zero_grad()
        loss.backward()
        squares = sum(float(p.grad.square().sum()) for p in model.parameters())
        shrink = min(1.0, 0.5 / (math.sqrt(squares) + 1e-6))
        for p in model.parameters():
            p.grad *= shrink
        for group in reference.param_groups:
            group["lr"] = learning_rate(number, len(steps), settings)
        reference.step()
        losses.append(loss.item())
    assert [r.loss for r in recorder.steps] == pytest.approx(losses, rel=1e-4)
    for name, tensor in weights(job.workspace.final_model).items():
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_a_step_in_parts_is_the_step_of_the_whole_batch(
    make_job_in: MakeJob, make_settings: MakeSettings, recorder: Reporter
) -> None:
    losses = []
    for at_once in (0, 2, 1):
        settings = make_settings(
            training__micro_batch=at_once,
            training__dropout=0.0,
            training__pair_dropout=0.0,
            training__optimizer="adamw",
        )
        made = train(make_job_in(settings, f"by-{at_once}"), recorder)
        losses.append([epoch.train_loss for epoch in made.job.metrics.epochs])
        losses[-1] += [epoch.val_loss for epoch in made.job.metrics.epochs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)


def test_the_loss_goes_down_and_the_best_epoch_is_that_of_the_lowest_validation_loss(
    make_settings: MakeSettings, make_job_in: MakeJob, recorder: Reporter
) -> None:
    job = make_job_in(make_settings(training__epochs=4))
    train(job, recorder)
    epochs = job.metrics.epochs
    assert [e.epoch for e in epochs] == [1, 2, 3, 4]
    assert epochs[-1].train_loss < epochs[0].train_loss < math.log(300)
    assert epochs[-1].val_loss < epochs[0].val_loss
    lowest = min(epochs, key=lambda e: e.val_loss)
    assert job.metrics.best_epoch == lowest.epoch
    best = checkpoint.load(job.workspace.best_model)
    assert best["val_loss"] == lowest.val_loss
    assert [r.done for r in recorder.steps] == list(range(1, recorder.steps[0].total + 1))
    in_epoch = [r.loss for r in recorder.steps if r.epoch == 2]
    assert epochs[1].train_loss == pytest.approx(sum(in_epoch) / len(in_epoch))


def test_an_epoch_that_is_worse_does_not_replace_the_best_model(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    recorder: Reporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = iter([5.0, 3.0, 4.0])
    monkeypatch.setattr(trainer, "evaluate", lambda *_: Score(next(scores) * 10, 10, 10))
    job = make_job_in(make_settings(training__epochs=3, training__average=0.0))
    train(job, recorder)
    assert job.metrics.best_epoch == 2
    assert checkpoint.load(job.workspace.best_model)["val_loss"] == 3.0
    best, final = weights(job.workspace.best_model), weights(job.workspace.final_model)
    assert not torch.equal(best["embedding.weight"], final["embedding.weight"])


def test_a_resumed_run_remembers_the_best_loss_so_far(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    make_recorder: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = iter([5.0, 3.0, 4.0])
    monkeypatch.setattr(trainer, "evaluate", lambda *_: Score(next(scores) * 10, 10, 10))
    settings, first = make_settings(training__epochs=3, training__average=0.0), make_recorder()
    first.at_step = interrupt_at(25)  # in the third epoch
    job = make_job_in(settings)
    with pytest.raises(Interrupted):
        train(job, first)
    resumed = resume(make_job_in, settings, job.workspace, make_recorder())
    assert resumed.metrics.best_epoch == 2
    assert checkpoint.load(job.workspace.best_model)["val_loss"] == 3.0


@pytest.mark.parametrize("mean", [2.0, 3.5, 4.5])
def test_the_mean_of_the_last_weights_is_the_best_model_where_it_validates_best(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    recorder: Any,
    monkeypatch: pytest.MonkeyPatch,
    mean: float,
) -> None:
    scores, seen = iter([5.0, 3.0, 4.0, mean]), []

    def evaluate(model: Transformer, *_: object) -> Score:
        seen.append(model.embedding.weight.detach().clone())
        return Score(next(scores) * 10, 10, 10)

    monkeypatch.setattr(trainer, "evaluate", evaluate)
    job = make_job_in(make_settings(training__epochs=3))
    train(job, recorder)
    last = job.metrics.epochs[-1]
    assert (last.val_loss, last.averaged) == (min(4.0, mean), mean < 4.0)
    assert ("the mean of the last weights" in recorder.notes[-1]) is last.averaged
    assert job.metrics.best_epoch == (3 if mean == 2.0 else 2)
    best = weights(job.workspace.best_model)["embedding.weight"]
    assert torch.equal(best, seen[3] if mean == 2.0 else seen[1])
    assert not torch.equal(seen[2], seen[3])
    assert torch.equal(weights(job.workspace.final_model)["embedding.weight"], seen[2])


def test_a_run_of_a_version_without_a_mean_goes_on_and_averages_what_is_left(
    make_settings: MakeSettings, make_job_in: MakeJob, make_recorder: Callable[[], Any]
) -> None:
    settings, first = make_settings(training__epochs=3), make_recorder()
    first.at_step = interrupt_at(26)
    job = make_job_in(settings)
    with pytest.raises(Interrupted):
        train(job, first)
    state = checkpoint.load(job.workspace.last_checkpoint)
    del state["schema"], state["average"], state["settings"]["training"]["average"]
    checkpoint.save(job.workspace.last_checkpoint, state)
    resume(make_job_in, settings, job.workspace, make_recorder())
    assert job.workspace.final_model.exists()


@pytest.mark.parametrize("average", [1, {}, {"count": 2, "mean": {"other": torch.ones(1)}}])
def test_a_checkpoint_with_a_mean_of_something_else_is_refused(
    make_settings: MakeSettings, make_job_in: MakeJob, recorder: Any, average: object
) -> None:
    recorder.at_step = interrupt_at(3)
    job = make_job_in(make_settings())
    with pytest.raises(Interrupted):
        train(job, recorder)
    state = checkpoint.load(job.workspace.last_checkpoint) | {"average": average}
    with pytest.raises(CheckpointError, match="holds no usable optimizer state"):
        Trainer(job, recorder).restore(state)


def test_a_loss_that_is_not_finite_stops_training_with_a_remedy(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    recorder: Reporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = make_job_in(make_settings())
    made = Trainer(job, recorder)
    loss = made.loss

    def broken(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return loss(inputs, targets) * (math.nan if len(recorder.steps) == 2 else 1.0)

    monkeypatch.setattr(made, "loss", broken)
    with pytest.raises(TrainingError, match="loss became nan in epoch 1, step 3") as caught:
        made.run()
    assert "--learning-rate" in caught.value.remedy
    assert len(recorder.steps) == 2
    assert not job.workspace.best_model.exists()


def test_a_learning_rate_beyond_all_numbers_is_a_training_error_even_in_runs_of_one_step(
    make_settings: MakeSettings, make_job_in: MakeJob, recorder: Reporter
) -> None:
    settings = make_settings(training__learning_rate=1e300, training__batch_size=1_000)
    with pytest.raises(TrainingError, match="loss became nan") as caught:
        train(make_job_in(settings), recorder)
    assert "--learning-rate" in caught.value.remedy


def test_warming_up_changes_neither_weights_nor_random_numbers(
    make_settings: MakeSettings, make_job_in: MakeJob, recorder: Reporter
) -> None:
    made = Trainer(make_job_in(make_settings(training__dropout=0.3)), recorder)
    before = {k: v.clone() for k, v in made.model.state_dict().items()}
    random = torch.get_rng_state()
    made.warm_up()
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(v, before[k]) for k, v in made.model.state_dict().items())
    assert all(p.grad is None for p in made.model.parameters())


def test_a_compiler_that_does_not_work_is_a_note_and_training_goes_on(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    recorder: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiler, "problem", lambda: "")

    def broken(function: object, **options: object) -> Callable[..., object]:
        def fail(*inputs: object) -> object:
            raise RuntimeError("no g++ here\nand a long story")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    job = make_job_in(make_settings(training__compile="on"))
    assert job.compiled
    train(job, recorder)
    assert recorder.warnings == ["torch.compile does not work here, going on without: no g++ here"]
    assert job.metrics.machine["eager_because"] == "no g++ here"
    assert job.metrics.machine["compiled"] is False
    assert len(job.metrics.epochs) == 2


@pytest.mark.parametrize("slow", [pytest.param("compiled", marks=pytest.mark.long), "eager"])
def test_of_compiled_and_eager_steps_a_long_run_takes_the_faster_and_remembers_it(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    make_recorder: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    slow: str,
) -> None:
    monkeypatch.setenv("TINYTX_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "COMPILE_PAYS_FROM", 0.0)
    monkeypatch.setattr(compiler, "problem", lambda: "")
    monkeypatch.setattr(Others, "look", lambda _: 0.0)  # beside busy programs nothing is kept
    hidden, asked = Transformer.hidden, []

    def pretend(function: Callable[..., Any], **options: object) -> Callable[..., Any]:
        def compiled(*inputs: Any) -> Any:
            if function.__name__ == "softmax_loss":
                return function(*inputs)
            if slow == "compiled":
                time.sleep(0.1)
            return hidden(made.model, *inputs)

        asked.append(function.__name__)
        return compiled

    def eager(self: Transformer, tokens: torch.Tensor) -> torch.Tensor:
        if slow == "eager":
            time.sleep(0.1)
        return hidden(self, tokens)

    monkeypatch.setattr(torch, "compile", pretend)
    monkeypatch.setattr(Transformer, "hidden", eager)
    settings = make_settings(training__compile="auto")
    job = make_job_in(settings)
    assert job.compiled
    recorder = make_recorder()
    made = Trainer(job, recorder)
    made.warm_up()
    assert job.compiled is (slow == "eager")
    assert job.metrics.machine["compiled"] is job.compiled
    assert ("faster without torch.compile" in "".join(recorder.notes)) is not job.compiled
    before = len(asked)
    again = make_job_in(settings)  # known by now
    assert again.compiled is job.compiled
    made = Trainer(again, recorder)
    assert (len(asked) > before) is again.compiled
    monkeypatch.setattr(warming, "pass_seconds", lambda *_: pytest.fail("measured again"))
    made.warm_up()
    assert again.compiled is job.compiled
    assert make_job_in(make_settings(training__compile="on")).compiled  # the user's word


@pytest.mark.parametrize(("windows", "timed", "seconds"), [(16, 4, 2.0), (3, 1, 1.5), (1, 1, 0.5)])
def test_the_eager_pass_that_is_only_compared_holds_a_quarter_of_the_windows(
    monkeypatch: pytest.MonkeyPatch, windows: int, timed: int, seconds: float
) -> None:
    seen = []

    def pass_seconds(run: Any, loss: Any, batch: warming.Batch) -> float:
        seen.extend([len(batch[0]), len(batch[1])])
        return 0.5

    monkeypatch.setattr(warming, "pass_seconds", pass_seconds)
    run: Any = SimpleNamespace(at_once=windows, model=SimpleNamespace(loss=None))
    batch = torch.zeros(windows, 4), torch.zeros(windows, 4)
    assert warming._eager_seconds(run, batch) == pytest.approx(seconds)
    assert seen == [timed, timed]


def interrupt_at(done: int) -> Callable[[StepReport], None]:
    """Sends Ctrl-C to this very process when so many steps are done."""

    def at_step(report: StepReport) -> None:
        if report.done == done:
            os.kill(os.getpid(), signal.SIGINT)

    return at_step


@pytest.mark.parametrize(
    "moments",
    [
        *(pytest.param(moment, marks=pytest.mark.long) for moment in [(3,), (11,), (14,), (30,)]),
        (5, 13, 22),
    ],
    ids=str,
)
def test_an_interrupted_and_resumed_run_is_bit_identical_to_one_that_was_not(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    make_recorder: Callable[[], Any],
    moments: tuple[int, ...],
) -> None:
    settings = make_settings(training__dropout=0.2, training__epochs=3)
    whole = make_job_in(settings, "whole")
    quiet = make_recorder()
    train(whole, quiet)
    total = quiet.steps[0].total
    per_epoch = sum(r.epoch == 1 for r in quiet.steps)
    assert per_epoch == 11  # so that one moment above is the last step of an epoch
    assert total > max(moments)
    first = make_recorder()
    first.at_step = interrupt_at(moments[0])
    job = make_job_in(settings, "cut")
    with pytest.raises(Interrupted):
        train(job, first)
    assert first.steps[-1].done == moments[0]
    assert not job.workspace.final_model.exists()
    for moment in moments[1:]:
        again = make_recorder()
        again.at_step = interrupt_at(moment)
        with pytest.raises(Interrupted):
            resume(make_job_in, settings, job.workspace, again)
        assert again.steps[-1].done == moment
    last = make_recorder()
    resumed = resume(make_job_in, settings, job.workspace, last)
    assert [r.done for r in last.steps] == list(range(moments[-1] + 1, total + 1))
    assert_same(resumed, whole)
    assert resumed.metrics.interruptions == len(moments)
    assert resumed.metrics.run_id == job.metrics.run_id
    assert all(e.seconds > 0 and e.tokens_per_second > 0 for e in resumed.metrics.epochs)


def test_a_run_stopped_in_its_last_validation_is_interrupted_and_resumes_to_its_end(
    make_settings: MakeSettings, make_job_in: MakeJob, make_recorder: Callable[[], Any]
) -> None:
    settings = make_settings()
    whole = make_job_in(settings, "whole")
    train(whole, make_recorder())
    late = make_recorder()

    def at_note(text: str) -> None:
        if text.startswith("epoch 2/2"):
            os.kill(os.getpid(), signal.SIGTERM)

    late.at_note = at_note
    job = make_job_in(settings, "cut")
    with pytest.raises(Interrupted):
        train(job, late)
    after = make_recorder()
    resumed = resume(make_job_in, settings, job.workspace, after)
    assert after.steps == []
    assert_same(resumed, whole)


@pytest.mark.long
def test_a_run_killed_after_any_write_resumes_to_the_same_result(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    make_recorder: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings(training__dropout=0.1)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)  # after every step
    whole = make_job_in(settings, "whole")
    train(whole, make_recorder())
    real = checkpoint.save

    class Killed(BaseException):
        pass

    for fatal in (1, 11, 12, 13):
        count = 0

        def save(path: Path, content: dict[str, Any], fatal: int = fatal) -> None:
            nonlocal count
            count += 1
            real(path, content)
            if count == fatal:
                raise Killed

        monkeypatch.setattr(checkpoint, "save", save)
        job = make_job_in(settings, f"killed{fatal}")
        with pytest.raises(Killed):
            train(job, make_recorder())
        monkeypatch.setattr(checkpoint, "save", real)
        assert_same(resume(make_job_in, settings, job.workspace, make_recorder()), whole)


@pytest.fixture
def interrupted(
    make_settings: MakeSettings, make_job_in: MakeJob, make_recorder: Callable[[], Any]
) -> Workspace:
    """An output directory with a run that was stopped in the middle of its first epoch."""
    reporter = make_recorder()
    reporter.at_step = interrupt_at(3)
    job = make_job_in(make_settings())
    with pytest.raises(Interrupted):
        train(job, reporter)
    return job.workspace


def ask(settings: Settings, space: Workspace, hashes: dict[str, str] = HASHES) -> Any:
    return state_to_resume(settings, space, hashes, Options(resume=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"training__learning_rate": 0.5}, r"training\.learning_rate was .*, now it is 0\.5"),
        ({"training__epochs": 9}, r"training\.epochs was 2, now it is 9"),
        ({"training__seed": 77}, r"training\.seed was 1, now it is 77"),
        ({"model__layers": 3}, r"model\.layers was 2, now it is 3"),
        ({"tokenizer__vocab_size": 333}, r"tokenizer\.vocab_size was 300, now it is 333"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_and_the_difference_named(
    interrupted: Workspace, make_settings: MakeSettings, change: dict[str, object], words: str
) -> None:
    before = interrupted.last_checkpoint.read_bytes()
    with pytest.raises(CheckpointError, match=f"belongs to another run: {words}") as caught:
        ask(make_settings(**change), interrupted)
    assert "--resume" in caught.value.remedy
    assert interrupted.last_checkpoint.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train_text", "the train text has changed"),
        ("val_text", "the val text has changed"),
        ("tokenizer", "the tokenizer has changed"),
    ],
)
def test_a_checkpoint_of_another_text_or_tokenizer_is_refused_and_the_difference_named(
    interrupted: Workspace, make_settings: MakeSettings, name: str, words: str
) -> None:
    with pytest.raises(CheckpointError, match=words):
        ask(make_settings(), interrupted, {**HASHES, name: "d" * 64})


def test_where_the_corpus_comes_from_does_not_matter_to_a_checkpoint(
    interrupted: Workspace, make_settings: MakeSettings
) -> None:
    assert ask(make_settings(corpus__path="/moved/elsewhere"), interrupted) is not None


def test_nothing_to_resume_is_an_error_that_says_so(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="there is nothing to resume in"):
        ask(make_settings(), Workspace(tmp_path))


def test_a_model_without_the_state_of_a_run_is_no_run_to_continue(
    interrupted: Workspace, make_settings: MakeSettings
) -> None:
    content = checkpoint.load(interrupted.last_checkpoint)
    model = {name: content[name] for name in ("model", "settings", "hashes", "epoch")}
    checkpoint.save(interrupted.last_checkpoint, model)
    with pytest.raises(CheckpointError, match=r"holds no run to continue: no .*optimizer"):
        ask(make_settings(), interrupted)


@pytest.mark.parametrize(
    ("key", "value"),
    [("optimizer", {}), ("optimizer", 3), ("random", None), ("random", torch.zeros(3))],
    ids=str,
)
def test_an_optimizer_state_that_does_not_fit_is_a_checkpoint_error(
    interrupted: Workspace,
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    key: str,
    value: object,
) -> None:
    state = {**checkpoint.load(interrupted.last_checkpoint), key: value}
    job = make_job_in(make_settings(), interrupted.root.name, state=state)
    with pytest.raises(CheckpointError, match="holds no usable optimizer state"):
        Trainer(job, Reporter()).restore(state)


@pytest.mark.parametrize(
    ("metrics", "machine", "told"),
    [
        ([], None, "holds no usable metrics"),
        (None, 3, "holds no usable metrics"),
        (None, {}, "does not say how it was computed"),
        (None, {"precision": "int4", "compiled": False}, "does not say how it was computed"),
        (None, {"precision": "float32", "compiled": 7}, "does not say how it was computed"),
    ],
    ids=str,
)
def test_metrics_that_make_no_sense_are_a_checkpoint_error(
    interrupted: Workspace,
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    metrics: object,
    machine: object,
    told: str,
) -> None:
    state = checkpoint.load(interrupted.last_checkpoint)
    state["metrics"] = {**state["metrics"], "machine": machine} if metrics is None else metrics
    with pytest.raises(CheckpointError, match=told):
        make_job_in(make_settings(), interrupted.root.name, state=state)


def test_a_run_that_goes_on_elsewhere_records_that_machine_and_keeps_the_first(
    interrupted: Workspace, make_settings: MakeSettings, make_job_in: MakeJob
) -> None:
    state = checkpoint.load(interrupted.last_checkpoint)
    here = dict(state["metrics"]["machine"])
    first = {**here, "processor": "Another One", "cores": 96, "torch": "2.8.0"}
    state["metrics"]["machine"] = dict(first)
    metrics = make_job_in(make_settings(), interrupted.root.name, state=state).metrics
    assert metrics.machine == here
    assert metrics.earlier_machines == [first]


def test_a_run_that_goes_on_on_its_own_machine_has_no_earlier_one(
    interrupted: Workspace, make_settings: MakeSettings, make_job_in: MakeJob
) -> None:
    state = checkpoint.load(interrupted.last_checkpoint)
    metrics = make_job_in(make_settings(), interrupted.root.name, state=state).metrics
    assert metrics.machine == state["metrics"]["machine"]
    assert metrics.earlier_machines == []


@pytest.mark.parametrize("threads", ["2", -1, 10**9, None, 1.5])
def test_a_number_of_threads_that_makes_no_sense_is_chosen_anew(
    interrupted: Workspace, make_settings: MakeSettings, make_job_in: MakeJob, threads: object
) -> None:
    state = checkpoint.load(interrupted.last_checkpoint)
    state["metrics"]["machine"]["threads"] = threads
    make_job_in(make_settings(training__threads=0), interrupted.root.name, state=state)
    assert 1 <= torch.get_num_threads() <= len(os.sched_getaffinity(0))


def test_resuming_if_possible_starts_afresh_where_it_is_not(
    interrupted: Workspace, make_settings: MakeSettings
) -> None:
    options, other = Options(resume_if_possible=True), make_settings(training__seed=8)
    asked = (HASHES, options)
    assert state_to_resume(make_settings(), interrupted, *asked) is not None
    assert state_to_resume(other, interrupted, *asked) is None
    interrupted.last_checkpoint.write_bytes(b"damaged")
    assert state_to_resume(make_settings(), interrupted, *asked) is None
    interrupted.last_checkpoint.unlink()
    assert state_to_resume(make_settings(), interrupted, *asked) is None
