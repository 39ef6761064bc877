"""Training from text to checkpoint: five phases, read from top to bottom.

    1 prerequisites   can this machine train into this folder?
    2 corpus          text, split into training and validation
    3 tokenizer       SentencePiece model and token files
    4 training        best_model.pt, final_model.pt, training_metrics.json
    5 validation      load everything back, compare with a unigram model, draw a sample

Where the settings are chosen for the text (``plan.toml``), that is done as soon as it is there.
Each phase is skipped when its stamp shows that it was done with the same settings and inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tinytx.config import Settings, as_dict
from tinytx.errors import CorpusError, TokenizerError, TrainingError, os_errors_as
from tinytx.tokenizer import Tokenizer
from tinytx.train import pace, prerequisites
from tinytx.train.corpus import source
from tinytx.train.corpus.source import own_bits_per_byte
from tinytx.train.corpus.text import check_plain
from tinytx.train.distributed import alone
from tinytx.train.encoding import write_tokens
from tinytx.train.follow import Leader
from tinytx.train.guard import Guard
from tinytx.train.job import Options, input_hashes, make_job, state_to_resume
from tinytx.train.launch import check_batch
from tinytx.train.memory import larger, peak_memory
from tinytx.train.metrics import Judge, Metrics, now, read_metrics
from tinytx.train.planning import Planner
from tinytx.train.progress import Reporter
from tinytx.train.speed import device_name, set_up_torch
from tinytx.train.tokenizing import made_with, train_tokenizer
from tinytx.train.trainer import Job, Trainer
from tinytx.train.validate import Validation, validate
from tinytx.wording import counted
from tinytx.workspace import (
    Workspace,
    move_durably,
    remove_leftovers,
    sha256_file,
    temporary_folder,
    write_json,
)


@dataclass(frozen=True)
class TrainingResult:
    """What a finished pipeline leaves."""

    workspace: Workspace
    metrics: Metrics
    validation: Validation
    skipped: list[str]
    """The phases that were already done."""


class Pipeline:
    """One call of ``tinytx train``."""

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        options: Options,
        reporter: Reporter,
        leader: Leader | None = None,
        began: float | None = None,
        planner: Planner | None = None,
    ) -> None:
        self.settings, self.workspace = settings, workspace
        self.options, self.reporter = options, reporter
        self.leader = leader or Leader(alone(settings.training.device))
        self.group = self.leader.group
        self.planner = planner
        self.guard = Guard(workspace, options)
        self.skipped: list[str] = []
        self._began = pace.clock() if began is None else began  # when the command did

    def run(self, judge: Judge | None = None) -> TrainingResult:
        """All five phases. ``judge`` fills in the ``budgets`` of the metrics."""
        phases: list[tuple[str, Callable[[], Any]]] = [
            ("prerequisites", self.prerequisites),
            ("corpus", self.text_and_plan),
            ("tokenizer", self.tokenizer),
            ("training", lambda: self.training(judge)),
            ("validation", self.validation),
        ]
        results = []
        try:
            for number, (name, phase) in enumerate(phases, 1):
                self.reporter.phase(number, name)
                results.append(phase())
        finally:
            torch.set_flush_denormal(False)  # of this thread, and not for whoever comes next
        metrics, validation = results[3], results[4]
        return TrainingResult(self.workspace, metrics, validation, self.skipped)

    def prerequisites(self) -> None:
        for line in prerequisites.check(self.workspace.root):
            self.reporter.note(line)
        known: Settings | None = self.settings
        if self.planner and (known := self.planner.known(self.workspace)):
            self.settings = known
        self.guard.check_settings(known)
        remove_leftovers(self.workspace.root)

    def text_and_plan(self) -> None:
        """The corpus and, where the settings are to be chosen for it, ``plan.toml``."""
        self.corpus()
        if self.planner:
            self.settings = self.planner.settle(self.workspace, self.reporter)
            self.guard.check_settings(self.settings)
            check_batch(self.settings.training.batch_size, self.group.world)
            self.planner.keep(self.workspace)

    def corpus(self) -> None:
        """``corpus/train.txt``, ``corpus/val.txt`` and ``corpus/corpus.json``."""
        space, settings = self.workspace, self.settings.corpus
        if self.options.skip_corpus:
            for path in (space.train_text, space.val_text):
                if not path.is_file():
                    raise CorpusError(f"--skip-corpus, but there is no {path}")
                check_plain(path)
            self._skip("corpus", "as asked")
            return
        stamp = space.stamp("corpus")
        inputs = source.input_hashes(settings)
        if stamp.matches(as_dict(settings), inputs):
            self._skip("corpus", "unchanged")
            return
        with temporary_folder(space.train_text.parent) as folder:
            corpus = source.obtain(settings, space.downloads, self.reporter, folder)
            facts = {
                "source": corpus.source,
                "train_bytes": corpus.train.size,
                "val_bytes": corpus.val.size,
                "val_information_bits": corpus.val_information_bits,
                "train_sha256": corpus.train.sha256,
                "files": corpus.files,
            }
            self.guard.check_texts(corpus.train.sha256, corpus.val.sha256)
            with os_errors_as(CorpusError, "write the corpus"):
                move_durably(corpus.train.path, space.train_text)
                move_durably(corpus.val.path, space.val_text)
                write_json(space.corpus_facts, facts)
        with os_errors_as(CorpusError, "write the corpus"):
            stamp.write(
                as_dict(settings), inputs, [space.train_text, space.val_text, space.corpus_facts]
            )
        self.reporter.note(
            f"{corpus.source}: {facts['train_bytes']:,} bytes to train, "
            f"{facts['val_bytes']:,} held out"
        )
        if (floor := own_bits_per_byte(space.corpus_facts)) is not None:
            self.reporter.note(f"the held-out text's own information: {floor:.4f} bits per byte")

    def tokenizer(self) -> None:
        """``tokenizer.model`` and ``tokens/*.bin``."""
        space, settings = self.workspace, self.settings.tokenizer
        texts = {"train": sha256_file(space.train_text), "val": sha256_file(space.val_text)}
        stamp = space.stamp("tokenizer")
        if self.options.skip_tokenizer:
            found = Tokenizer.load(space.tokenizer).vocab_size
            if found != settings.vocab_size:
                raise TokenizerError(
                    f"--skip-tokenizer, but {space.tokenizer} has {found} pieces, "
                    f"not {settings.vocab_size}",
                    f"add --vocab-size {found}",
                )
            self._skip("tokenizer", "as asked")
        elif stamp.matches(as_dict(settings), {"train": texts["train"]}):
            self._skip("tokenizer", "unchanged")
        else:
            train_tokenizer(space.train_text, settings, space.tokenizer, self.reporter.warn)
            with os_errors_as(TokenizerError, "write the tokenizer's stamp"):
                stamp.write(
                    as_dict(settings), {"train": texts["train"]}, [space.tokenizer], made_with()
                )
            self.reporter.note(f"{settings.vocab_size:,} pieces, unigram with byte fallback")
        self._tokens(texts)

    def _tokens(self, texts: dict[str, str]) -> None:
        space = self.workspace
        inputs = {**texts, "tokenizer": sha256_file(space.tokenizer)}
        stamp = space.stamp("tokens")
        if stamp.matches({}, inputs):
            return
        tokenizer = Tokenizer.load(space.tokenizer)
        sizes = {text: text.stat().st_size for text in (space.train_text, space.val_text)}

        def tell(done: int) -> None:
            self.reporter.tokens(done, sum(sizes.values()))

        count = write_tokens(space.train_text, tokenizer, space.train_tokens, tell)
        before = sizes[space.train_text]
        write_tokens(space.val_text, tokenizer, space.val_tokens, lambda done: tell(before + done))
        with os_errors_as(TokenizerError, "write the tokens' stamp"):
            stamp.write({}, inputs, [space.train_tokens, space.val_tokens])
        self.reporter.note(f"{count:,} training tokens, {before / count:.2f} bytes each")

    def training(self, judge: Judge | None) -> Metrics:
        """``best_model.pt``, ``final_model.pt`` and ``training_metrics.json``."""
        space, hashes = self.workspace, input_hashes(self.workspace)
        stamp = space.stamp("training")
        settings = {s: as_dict(self.settings)[s] for s in ("tokenizer", "model", "training")}
        if stamp.matches(settings, hashes):
            self._skip("training", "finished with these settings")
            return read_metrics(space.metrics)
        state = state_to_resume(self.settings, space, hashes, self.options)
        if state is None:
            self.guard.check_models()
        job = make_job(self.settings, space, hashes, state, self.group)
        job.began = self._began
        self.leader.begin(job, resumed=state is not None)
        trainer = Trainer(job, self.reporter, self.group)
        if state is not None:
            trainer.restore(state)
            self.reporter.note(f"resuming in epoch {trainer.epoch + 1}, step {trainer.step + 1}")
        stamp.remove()
        self.reporter.note(
            f"{trainer.model.parameter_count():,} parameters, {job.metrics.machine['precision']}, "
            f"{'compiled' if job.compiled else 'eager'}, {self._place(job)}"
        )
        if state is None and (reason := job.metrics.machine.get("eager_because")):
            self.reporter.warn(f"torch.compile cannot be used, steps take longer: {reason}")
        if job.compiled:
            self.reporter.note("compiling (once per machine and model shape, up to a minute)")
        trainer.warm_up()
        if state is None:
            job.metrics.setup_seconds = pace.clock() - self._began
        self.reporter.note(f"{pace.clock() - self._began:.1f} s before the first step")
        metrics = trainer.run()
        self.group.leave()
        metrics.finished_at, metrics.seconds = now(), trainer.pace.spent()
        metrics.peak_memory_bytes = larger(metrics.peak_memory_bytes, peak_memory())
        if metrics.peak_memory_bytes is not None:
            self.reporter.note(f"peak memory {metrics.peak_memory_bytes / 1e6:.0f} MB")
        metrics.budgets = judge(metrics) if judge else []
        metrics.write(space.metrics)
        with os_errors_as(TrainingError, "write the training stamp"):
            stamp.write(settings, hashes, [space.best_model, space.final_model, space.metrics])
            space.last_checkpoint.unlink(missing_ok=True)
        return metrics

    def _place(self, job: Job) -> str:
        """What trains: "2 threads", or "2 processes, 1 thread each", or a GPU."""
        threads = counted(job.metrics.machine["threads"], "thread")
        where = threads if self.group.device.type == "cpu" else device_name(self.group.device)
        return where if self.group.world == 1 else f"{self.group.world} processes, {where} each"

    def validation(self) -> Validation:
        set_up_torch(self.settings)  # where training was skipped, nothing has done so
        result = validate(self.workspace, self.settings.training.at_once)
        score = result.score
        self.reporter.note(
            f"{score.nats_per_token:.3f} nats per token (a unigram model: "
            f"{result.unigram_nats_per_token:.3f}), {score.bits_per_byte:.4f} bits per byte"
        )
        if (floor := own_bits_per_byte(self.workspace.corpus_facts)) is not None:
            self.reporter.note(
                f"the text's own information is {floor:.4f} bits per byte: the model is "
                f"{100 * (score.bits_per_byte / floor - 1):.1f} % above what is possible"
            )
        return result

    def _skip(self, phase: str, why: str) -> None:
        self.skipped.append(phase)
        self.reporter.note(f"skipped: {why}")
