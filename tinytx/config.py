"""Every number that a run depends on: a preset, then a TOML file, then ``--set``, then flags.

Settings are typed structs. An unknown key, a wrong type or a number out of range is an error
that names the key, where it came from, and the nearest right key.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tinytx.errors import UsageError

Positive = Annotated[int, Meta(ge=1, le=2**53)]
Fraction = Annotated[float, Meta(ge=0.0, lt=1.0)]

MAX_PARAMETERS = 2_450_000
HEAD_MULTIPLE = 16  # what onnxruntime's attention with rotary positions accepts
PLAN_SCHEMA = 1  # of the table [plan] that `tinytx plan` writes above the settings


class CorpusSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Where the text comes from: a path, an address or a name; else the built-in corpus is made."""

    path: str | tuple[str, ...] | None = None
    """UTF-8 text to train on: a file (plain, gzip or zip), a folder of them, or several."""
    url: str | None = None
    """An http, https or file address of such a file."""
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """What the file of ``url`` must have as its sha256; another file is refused."""
    name: Literal["gutenberg", "tinyshakespeare", "tinystories"] | None = None
    """A well-known corpus, downloaded from its source."""
    val_path: str | None = None
    """A UTF-8 text file to validate on; without it blocks of the corpus are held out."""
    val_fraction: Annotated[float, Meta(gt=0.0, lt=0.5)] = 0.1
    """The share of the corpus that is held out, in contiguous blocks."""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    """The seed of the built-in corpus."""
    train_bytes: Positive = 2_500_000
    """The size of the built-in training text, in bytes."""
    val_bytes: Positive = 300_000
    """The size of the built-in validation text, in bytes."""

    @property
    def paths(self) -> tuple[str, ...]:
        """``path`` as a tuple: empty, of one or of several."""
        if self.path is None:
            return ()
        return (self.path,) if isinstance(self.path, str) else self.path


class TokenizerSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """The SentencePiece unigram tokenizer with byte fallback."""

    vocab_size: Annotated[int, Meta(ge=300, le=65_535)] = 2_048
    """The number of pieces, the 256 bytes included."""


class ModelSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """The shape of the decoder-only transformer."""

    layers: Positive = 2
    """Transformer blocks."""
    width: Annotated[int, Meta(ge=8, multiple_of=2)] = 80
    """Size of the residual stream."""
    heads: Positive = 1
    """Attention heads; ``width / heads`` must be a multiple of 16."""
    hidden: Positive = 160
    """Size of the SwiGLU hidden layer."""
    max_seq_length: Annotated[int, Meta(ge=8, le=4_096)] = 256
    """The longest context, in tokens: the training window, and the limit at inference."""
    rope_base: Annotated[float, Meta(gt=1.0)] = 10_000.0
    """The base of the rotary position frequencies."""
    pair_rows: Annotated[int, Meta(ge=0, le=1_000_000)] = 16_384
    """Rows of the table that a token and the one before it look up by a hash; 0 means no table."""
    block_tables: bool = True
    """Whether each block adds a row of a table of its own, ``vocab_size`` x ``width``, looked up by
    the token."""

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    def parameters(self, vocab_size: int) -> int:
        """The number of weights: tied embedding, tables, pairs, blocks, norms."""
        attention = 4 * self.width * self.width
        mlp = 3 * self.width * self.hidden
        norms = (2 * self.layers + 1) * self.width
        looked_up = (1 + self.layers * self.block_tables) * vocab_size + self.pair_rows
        tables = looked_up * self.width
        return tables + self.layers * (attention + mlp) + norms


class TrainingSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """How the model is trained."""

    epochs: Positive = 20
    """Passes over the training text."""
    batch_size: Positive = 16
    """Windows of ``max_seq_length`` tokens in one step, of all processes together."""
    micro_batch: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """Windows computed at once, the gradients of a step being added up: fewer need less memory and
    more time, for the same model; 0 means the whole batch."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """What updates the blocks' matrices; the rest is AdamW's in any case."""
    learning_rate: Annotated[float, Meta(gt=0.0)] = 1.2e-2
    """The peak learning rate."""
    min_learning_rate: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.01
    """Where the cosine ends, as a share of the peak."""
    warmup_steps: Annotated[int, Meta(ge=0)] = 100
    """Steps of linear warm-up (at most a tenth of the run is used)."""
    weight_decay: Annotated[float, Meta(ge=0.0)] = 0.1
    """Decoupled weight decay of the matrices and the embedding; the norms have none."""
    table_weight_decay: Annotated[float, Meta(ge=0.0)] = 1.0
    """The same of the tables that tokens and pairs look up, whose seldom rows learn by heart
    otherwise."""
    beta1: Fraction = 0.9
    """AdamW's decay of the first moment."""
    beta2: Fraction = 0.95
    """AdamW's decay of the second moment."""
    gradient_clip: Annotated[float, Meta(gt=0.0)] = 1.0
    """The largest global norm of the gradient."""
    time_limit: Annotated[float, Meta(ge=0.0)] = 0.0
    """Seconds for the whole run, preparing included, 0 for no limit: where the steps turn out too
    slow for it, the schedule is shortened so that it ends in time, at its floor."""
    average: Fraction = 0.3
    """Share of the run whose weights are averaged: at its end their mean is validated too, and is
    the best model where it is better; 0 for none."""
    dropout: Fraction = 0.1
    """Share of each residual branch's channels that is dropped, per sequence, in training."""
    pair_dropout: Fraction = 0.2
    """Share of the tokens that go without their pair's row, in training, so that nothing rests on
    rows of seldom pairs alone."""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    """The seed of the weights, the data order and dropout."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the matrix products; auto measures which one is faster here."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; auto uses it on long runs where a C++ compiler is installed."""
    threads: Annotated[int, Meta(ge=0, le=1_024)] = 0
    """Processor threads; 0 means the cores that may be used, shared by the processes there, or half
    of them where that is measured to be faster."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What computes; auto takes a GPU where PyTorch finds one."""

    @property
    def at_once(self) -> int:
        """Windows in one forward and backward pass."""
        return self.micro_batch or self.batch_size


class Settings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """All settings of a run, one section per stage."""

    corpus: CorpusSettings = CorpusSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()

    @property
    def parameters(self) -> int:
        """The number of weights of the model with this vocabulary."""
        return self.model.parameters(self.tokenizer.vocab_size)


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "corpus": CorpusSettings,
    "tokenizer": TokenizerSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
}


def load_settings(
    file: Path | None = None,
    assignments: Iterable[str] = (),
    flags: Mapping[str, object] | None = None,
    flag_names: Mapping[str, str] | None = None,
    preset: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    searching: bool = False,
) -> Settings:
    """Read settings: the defaults, ``preset``, ``file``, ``a.b=c`` assignments, then flags.

    ``flags`` maps "section.key" to a value; ``None`` means that the flag was not given. What the
    flag is called, if not "--key", is in ``flag_names``: messages name it so. ``searching``: a
    sweep will set more of them; a [search] table is its own, and they need not fit together yet.
    Raises :class:`UsageError` for an unknown key, a wrong type or a number out of range.
    """
    layers: list[tuple[str, Mapping[str, Mapping[str, Any]]]] = [("the preset", preset or {})]
    if file is not None:
        document = read_config(file)
        _take_plan(document, file)
        if searching:
            document.pop("search", None)
        layers.append((str(file), document))
    for text in assignments:
        layers.append(("--set", _assignment(text)))
    for key, value in (flags or {}).items():
        if value is not None:
            section, name = key.split(".")
            flag = (flag_names or {}).get(key, f"--{name.replace('_', '-')}")
            layers.append((flag, {section: {name: value}}))
    merged: dict[str, dict[str, Any]] = {}
    for source, layer in layers:
        _check_keys(layer, source)
        _convert(layer, source)
        for section, values in layer.items():
            merged.setdefault(section, {}).update(values)
    settings = _convert(merged, "the settings")
    if not searching:
        _check_shape(settings)
    return settings


def check_setting(key: str, value: object, source: str) -> None:
    """Raise :class:`UsageError` unless the setting "section.key" exists and may be ``value``."""
    section, _, name = key.partition(".")
    layer = {section: {name: value}}
    _check_keys(layer, source)
    _convert(layer, source)


def settings_from(document: object, source: str) -> Settings:
    """Settings that an earlier run recorded, checked like a file."""
    settings = _convert(document, source)
    _check_shape(settings)
    return settings


def as_dict(settings: msgspec.Struct) -> dict[str, Any]:
    """Plain dictionaries, for JSON and for stamps."""
    plain: dict[str, Any] = msgspec.to_builtins(settings)
    return plain


def read_config(file: Path) -> dict[str, Any]:
    """A settings file as plain tables. Raises :class:`UsageError`."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read --config {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--config {file} is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--config {file} is not valid TOML: {error}") from error


def _take_plan(document: dict[str, Any], file: Path) -> None:
    """Leave out what a plan says about itself; the rest of it are settings."""
    plan = document.pop("plan", None)
    schema = plan.get("schema") if isinstance(plan, dict) else None
    if plan is not None and schema != PLAN_SCHEMA:
        raise UsageError(
            f"{file} is a plan of schema {schema!r}, and this tinytx reads schema {PLAN_SCHEMA}",
            "make it again with `tinytx plan`, or take its table [plan] out",
        )


def _assignment(text: str) -> dict[str, dict[str, Any]]:
    """``training.epochs=3`` as a nested dictionary; the value is TOML, or else a string."""
    match = re.fullmatch(r"\s*(\w+)\.(\w+)\s*=(.*)", text, re.DOTALL)
    if match is None:
        raise UsageError(f"--set {text!r} is not of the form section.key=value")
    section, key, value = match.groups()
    try:
        document = tomllib.loads(f"x = {value}")
    except tomllib.TOMLDecodeError:
        document = {}
    parsed = document["x"] if len(document) == 1 else value.strip()
    return {section: {key: parsed}}


def _check_keys(layer: Mapping[str, Any], source: str) -> None:
    for section, values in layer.items():
        if section not in SECTIONS:
            raise UsageError(_unknown(section, source, SECTIONS))
        if not isinstance(values, Mapping):
            raise UsageError(f"{source}: [{section}] must be a table of settings")
        known = SECTIONS[section].__struct_fields__
        for key in values:
            if key not in known:
                names = [f"{section}.{name}" for name in known]
                raise UsageError(_unknown(f"{section}.{key}", source, names))


def _unknown(key: str, source: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(key, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}."
    return f"{source}: unknown setting {key!r}; {hint}"


def _convert(document: object, source: str) -> Settings:
    try:
        settings = msgspec.convert(document, Settings)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        key = path.strip("`").removeprefix("$.")
        reason = f"{reason[0].lower()}{reason[1:]}"
        raise UsageError(f"{_where(source, key)}: {reason}") from error
    except UnicodeEncodeError as error:  # bytes of a command line that are no UTF-8
        raise UsageError(f"{source}: {error.object!r} is not text in UTF-8") from error
    for section, values in as_dict(settings).items():
        for name, value in values.items():
            if isinstance(value, float) and not math.isfinite(value):
                where = _where(source, f"{section}.{name}")
                raise UsageError(f"{where}: expected a finite number, got {value}")
    return settings


def _where(source: str, key: str) -> str:
    """A flag names its key itself; a file, ``--set`` and ``--search`` do not."""
    named = source.startswith("--") and source not in ("--set", "--search")
    return source if named or not key else f"{source}: {key}"


def _check_shape(settings: Settings) -> None:
    """What no single field can tell."""
    model = settings.model
    if model.width % model.heads or model.head_size % HEAD_MULTIPLE:
        raise UsageError(
            f"model.width {model.width} divided by model.heads {model.heads} "
            f"must be a multiple of {HEAD_MULTIPLE}"
        )
    training = settings.training
    if training.batch_size % training.at_once:
        raise UsageError(
            f"training.batch_size {training.batch_size} must be a multiple of "
            f"training.micro_batch {training.micro_batch}"
        )
    corpus = settings.corpus
    given = [n for n in ("path", "url", "name") if getattr(corpus, n) not in (None, ())]
    if len(given) > 1:
        named = " and ".join(f"corpus.{name}" for name in given)
        raise UsageError(f"give one corpus, not {named}")
    if corpus.sha256 is not None and corpus.url is None:
        raise UsageError("corpus.sha256 belongs to corpus.url, which is not given")
