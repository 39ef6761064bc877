"""What a shippable model is: a folder with a manifest that vouches for every byte.

``manifest.json`` lists the sha256 and size of every file, the model's and tokenizer's facts,
where it came from, the parity record and the quality. Its own ``id`` is the sha256 of the
canonical manifest (sorted keys, two-space indent, ``id`` empty), so that a change of any bit
of the folder is found. Reports and deployments speak of that id and refuse another.
"""

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tinytx.errors import BundleError, UsageError

SCHEMA = 1
MANIFEST = "manifest.json"
GRAPH = "model.onnx"
TOKENIZER = "tokenizer.model"
GOLDEN = "golden.json"
Precision = Literal["float32", "int8", "int4"]
GRAPHS: dict[Precision, str] = {
    "float32": GRAPH,
    "int8": "model.int8.onnx",
    "int4": "model.int4.onnx",
}
"""The graph of each precision, from the most precise on; float32 is in every bundle."""
MAX_MANIFEST_BYTES = 1_000_000
MAX_FILE_BYTES = 100_000_000
MAX_BYTES = {TOKENIZER: 8_000_000, GOLDEN: 1_000_000}
"""Less for what is read into many small objects: 65,535 long pieces take 4 MB."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Size = Annotated[int, Meta(ge=1, le=1_000_000)]
TokenId = Annotated[int, Meta(ge=0, le=1_000_000)]


class _Record(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Common options of everything in a manifest."""


class FileFacts(_Record, frozen=True, kw_only=True):
    """One file of the bundle."""

    sha256: Sha256
    size: Annotated[int, Meta(ge=0, le=MAX_FILE_BYTES)]
    """Bytes."""


class ModelFacts(_Record, frozen=True, kw_only=True):
    """The shape of the model, as the runtime needs it."""

    layers: Size
    width: Size
    heads: Size
    head_size: Size
    hidden: Size
    max_seq_length: Size
    """The longest context, in tokens."""
    vocab_size: Size
    rope_base: float
    parameters: Count
    precision: str


class Provenance(_Record, frozen=True, kw_only=True):
    """Where the bundle came from."""

    tinytx: str
    run_id: str
    checkpoint_sha256: Sha256
    tokenizer_sha256: Sha256
    train_sha256: Sha256
    val_sha256: Sha256
    settings: dict[str, dict[str, str | int | float | None]]
    versions: dict[str, str]


class TrainingRecord(_Record, frozen=True, kw_only=True):
    """What training took: the evidence for the training budget."""

    epochs: Count
    epoch_seconds: list[float]
    """Wall-clock seconds of each epoch, its validation and checkpoint included."""
    setup_seconds: float
    """Seconds before the first epoch: corpus, tokenizer, tokens, model."""
    complete: bool
    """Whether one uninterrupted run did all the epochs."""
    machine: dict[str, str]


class Parity(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """How far the graph is from the PyTorch model: what export compared and found."""

    prompts: Count
    greedy_tokens: Count
    """Greedy tokens that were compared, all equal."""
    near_ties: Count = 0
    """Steps beside these where two tokens were too close for either to be wrong."""
    longest_context: Count = 0
    """Tokens in the context at the last step of the longest of the prompts."""
    max_abs_logit_difference: float
    """Over every step of the prompts and of the windows of held-out text."""
    tolerance: float
    cached_steps: Count = 0
    """Steps whose logits were computed once more by the graph without its cache."""
    max_abs_cache_difference: float = 0.0
    """Of those steps; ``tolerance`` holds here too."""
    torch_bits_per_byte: float
    onnx_bits_per_byte: float
    bits_tolerance: float = 0.0
    """The largest relative difference of the two that is let through."""
    compared_bytes: Count


class Quality(_Record, frozen=True, kw_only=True):
    """Bits per byte of held-out text, over non-overlapping windows of the training length."""

    bits_per_byte: float
    bytes: Count
    corpus_bits_per_byte: float | None = None
    """The held-out text's own information, where it is known (the built-in corpus)."""


class Variant(_Record, frozen=True, kw_only=True):
    """A quantised graph that export made and judged: shipped, or why not."""

    shipped: bool
    reason: str
    """Why it is not in the bundle; empty when it is."""
    size: Count
    """Bytes of its graph."""
    bits_per_byte: float
    """Of the whole held-out text, computed by onnxruntime in this precision."""


class Manifest(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """The contents of ``manifest.json``."""

    schema: int
    id: str
    files: dict[str, FileFacts]
    model: ModelFacts
    start_id: Count
    """The token that every prompt begins with (a newline)."""
    provenance: Provenance
    training: TrainingRecord
    parity: Parity
    quality: Quality
    """Of float32."""
    precision: Precision = "float32"
    """What is loaded when none is asked for."""
    variants: dict[Precision, Variant] = {}
    """Every quantised graph that was tried."""

    @property
    def precisions(self) -> list[Precision]:
        """Those whose graph is in the bundle, the most precise first."""
        return [precision for precision, name in GRAPHS.items() if name in self.files]

    def choose(self, precision: Precision | None) -> Precision:
        """``precision``, or the default. Raises :class:`UsageError` when it is not there."""
        if precision is None or precision in self.precisions:
            return precision or self.precision
        variant = self.variants.get(precision)
        why = f": {variant.reason}" if variant is not None and variant.reason else ""
        held = ", ".join(self.precisions)
        raise UsageError(f"this bundle holds no {precision} model{why}", f"it holds {held}")

    def bits_per_byte(self, precision: Precision) -> float:
        """Quality of one of :attr:`precisions`."""
        variant = self.variants.get(precision)
        return self.quality.bits_per_byte if variant is None else variant.bits_per_byte


class GoldenCase(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A prompt and the greedy tokens that every machine must reproduce."""

    prompt: str
    tokens: list[TokenId]
    near_ties: list[Count] = []
    """Steps, from 0, where another token was so close that it may win elsewhere; the token
    written here is fed on, whichever wins."""
    logits: list[float] = []
    """A fingerprint of the logits of the last step: ``tinytx.runtime.golden.fingerprint``."""


class Golden(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """The contents of ``golden.json``."""

    schema: int
    cases: list[GoldenCase]
    """Of float32."""
    variants: dict[Precision, list[GoldenCase]] = {}
    """Of each quantised graph in the bundle."""


def encode(document: msgspec.Struct) -> bytes:
    """The canonical JSON of a manifest or of golden outputs: one byte string per value."""
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"


def identify(manifest: Manifest) -> str:
    """The id of a manifest: the sha256 of its canonical form with an empty id."""
    return hashlib.sha256(encode(msgspec.structs.replace(manifest, id=""))).hexdigest()


def write(folder: Path, manifest: Manifest, files: dict[str, bytes]) -> Manifest:
    """Write ``files`` and the manifest into an empty ``folder``; returns the sealed manifest."""
    facts = {
        name: FileFacts(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        for name, data in files.items()
    }
    unsealed = msgspec.structs.replace(manifest, files=facts)
    sealed = msgspec.structs.replace(unsealed, id=identify(unsealed))
    for name, data in {**files, MANIFEST: encode(sealed)}.items():
        with (folder / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    return sealed


class Bundle:
    """A bundle whose manifest was read; :meth:`read_file` checks each file as it is read."""

    def __init__(self, folder: Path) -> None:
        """Raises :class:`BundleError` when there is no bundle or its manifest is damaged."""
        self.folder = folder
        if not folder.is_dir():
            raise BundleError(f"{folder} is not a bundle: no such folder")
        raw = _read_bounded(folder / MANIFEST, MAX_MANIFEST_BYTES)
        self.manifest = _parse_manifest(raw, folder)

    @property
    def id(self) -> str:
        return self.manifest.id

    def preferring(self, precision: Precision | None) -> "Bundle":
        """This bundle, with ``precision`` as its default where one is given.

        Raises :class:`UsageError` when it is not there.
        """
        chosen = self.manifest.choose(precision)
        self.manifest = msgspec.structs.replace(self.manifest, precision=chosen)
        return self

    def read_file(self, name: str) -> bytes:
        """The bytes of one file, checked against the manifest. Raises :class:`BundleError`."""
        facts = self.manifest.files.get(name)
        if facts is None:
            raise BundleError(f"the manifest of {self.folder} lists no {name}")
        if facts.size > MAX_BYTES.get(name, MAX_FILE_BYTES):
            raise BundleError(f"{self.folder / name} is larger than such a file may be")
        data = _read_bounded(self.folder / name, facts.size)
        if len(data) != facts.size or hashlib.sha256(data).hexdigest() != facts.sha256:
            raise BundleError(f"{self.folder / name} is damaged: it is not what the manifest says")
        return data

    def check_files(self) -> None:
        """Check every file that the manifest lists, and that there is no other."""
        for name in self.manifest.files:
            self.read_file(name)
        extra = {p.name for p in self.folder.iterdir()} - {MANIFEST, *self.manifest.files}
        if extra:
            raise BundleError(f"{self.folder} holds {min(extra)!r}, which no manifest vouches for")

    def golden(self) -> Golden:
        """The golden outputs. Raises :class:`BundleError`."""
        try:
            golden = msgspec.json.decode(self.read_file(GOLDEN), type=Golden)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BundleError(f"{self.folder / GOLDEN} is damaged: {error}") from error
        if golden.schema != SCHEMA:
            raise BundleError(f"{self.folder / GOLDEN} has schema {golden.schema}, not {SCHEMA}")
        return golden


class _SchemaOnly(msgspec.Struct):
    schema: int


def _parse_manifest(raw: bytes, folder: Path) -> Manifest:
    where = folder / MANIFEST
    try:
        schema = msgspec.json.decode(raw, type=_SchemaOnly).schema
        if schema != SCHEMA:
            raise BundleError(
                f"{where} has schema {schema}; this tinytx reads schema {SCHEMA}",
                "export the bundle again, or install the tinytx that made it",
            )
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise BundleError(f"{where} is damaged: {error}") from error
    for name in manifest.files:
        if not _NAME.fullmatch(name) or name == MANIFEST:
            raise BundleError(f"{where} names a file {name!r} that cannot be in a bundle")
    if raw != encode(manifest) or manifest.id != identify(manifest):
        raise BundleError(f"{where} was changed after it was written: its id does not match")
    return manifest


def _read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes; a symbolic link is not followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BundleError(f"{path} is not a regular file")
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing") from error
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise BundleError(f"{path} is larger than it may be ({limit:,} bytes)")
    return data
