"""What a shippable model is: a folder with a manifest that vouches for every byte.

``manifest.json`` lists the sha256 and size of every file, the model's and tokenizer's facts,
where it came from, the parity record and the quality. Its own ``id`` is the sha256 of the
canonical manifest (sorted keys, two-space indent, ``id`` empty), so that a change of any bit
of the folder is found. Reports and deployments speak of that id and refuse another.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tinytx.errors import BundleError, UsageError
from tinytx.files import decode, open_regular, read_bounded, told
from tinytx.provenance import Count, Provenance, Sha256

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
MAX_MANIFEST_BYTES = 256_000
MAX_FILE_BYTES = 50_000_000
MAX_BYTES = {GOLDEN: 1_000_000, TOKENIZER: 10_000_000}
"""What a file may have; any other has at most :data:`MAX_FILE_BYTES`."""
MAX_BUNDLE_BYTES = 100_000_000
MAX_CACHE_BYTES = 100_000_000
"""Of keys and values in float32 at the longest context."""
_CHUNK = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Size = Annotated[int, Meta(ge=1, le=1_000_000)]
TokenId = Annotated[int, Meta(ge=0, le=1_000_000)]
Measured = Annotated[float, Meta(ge=0.0, le=1e12)]
"""A figure: seconds, bits per byte, a difference."""


class _Record(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Common options of everything in a manifest."""


class FileFacts(_Record, frozen=True, kw_only=True):
    """One file of the bundle."""

    sha256: Sha256
    size: Annotated[int, Meta(ge=0, le=MAX_FILE_BYTES)]
    """Bytes."""


class ModelFacts(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """The shape of the model, as the runtime needs it."""

    layers: Size
    width: Size
    heads: Size
    head_size: Size
    hidden: Size
    max_seq_length: Size
    """The longest context, in tokens."""
    vocab_size: Size
    rope_base: Annotated[float, Meta(gt=1.0, le=1e12)]
    pair_rows: Annotated[int, Meta(ge=0, le=1_000_000)] = 0  # of the table of tinytx.pairs
    parameters: Count
    precision: str


class TrainingRecord(_Record, frozen=True, kw_only=True):
    """What training took: the evidence for the training budget."""

    epochs: Count
    epoch_seconds: list[Measured]
    """Wall-clock seconds of each epoch, its validation and checkpoint included."""
    setup_seconds: Measured
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
    max_abs_logit_difference: Measured
    """Over every step of the prompts and of the windows of held-out text."""
    tolerance: Measured
    cached_steps: Count = 0
    """Steps whose logits were computed once more by the graph without its cache."""
    max_abs_cache_difference: Measured = 0.0
    """Of those steps; ``tolerance`` holds here too."""
    torch_bits_per_byte: Measured
    onnx_bits_per_byte: Measured
    bits_tolerance: Measured = 0.0
    """The largest relative difference of the two that is let through."""
    compared_bytes: Count


class Quality(_Record, frozen=True, kw_only=True):
    """Bits per byte of held-out text, over non-overlapping windows of the training length."""

    bits_per_byte: Measured
    bytes: Count
    corpus_bits_per_byte: Measured | None = None
    """The held-out text's own information, where it is known (the built-in corpus)."""


class Variant(_Record, frozen=True, kw_only=True):
    """A quantised graph that export made and judged: shipped, or why not."""

    shipped: bool
    reason: str
    """Why it is not in the bundle; empty when it is."""
    size: Count
    """Bytes of its graph."""
    bits_per_byte: Measured
    """Of the whole held-out text, computed by onnxruntime in this precision."""


class Manifest(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """The contents of ``manifest.json``."""

    schema: int
    id: str
    files: Annotated[dict[str, FileFacts], Meta(max_length=16)]
    model: ModelFacts
    start_id: Count
    """The token that every prompt begins with (a newline)."""
    provenance: Provenance
    training: TrainingRecord
    parity: Parity
    quality: Quality
    """Of float32."""
    precision: Precision = "float32"
    """What is loaded when none is asked for, on a processor with int8 products."""
    variants: dict[Precision, Variant] = {}
    """Every quantised graph that was tried."""

    @property
    def precisions(self) -> list[Precision]:
        """Those whose graph is in the bundle, the most precise first."""
        return [precision for precision, name in GRAPHS.items() if name in self.files]

    def choose(self, precision: Precision) -> Precision:
        """``precision``. Raises :class:`UsageError` when it is not there."""
        if precision in self.precisions:
            return precision
        if precision == self.precision:
            raise BundleError(f"the bundle's manifest lists no {GRAPHS[precision]}")
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
        raw = read_bounded(folder / MANIFEST, MAX_MANIFEST_BYTES)
        self.manifest = parse_manifest(raw, folder / MANIFEST)

    @property
    def id(self) -> str:
        return self.manifest.id

    def preferring(self, precision: Precision) -> "Bundle":
        """This bundle, with ``precision`` as its default.

        Raises :class:`UsageError` when it is not there.
        """
        chosen = self.manifest.choose(precision)
        self.manifest = msgspec.structs.replace(self.manifest, precision=chosen)
        return self

    def read_file(self, name: str) -> bytes:
        """The bytes of one file, checked against the manifest. Raises :class:`BundleError`."""
        chunks = self._checked(name)
        return b"".join(chunks)

    def check_files(self) -> None:
        """Check every file that the manifest lists, and that there is no other."""
        for name in self.manifest.files:
            for _ in self._checked(name):  # read piece by piece: never whole in memory
                pass
        with told(self.folder), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name != MANIFEST and entry.name not in self.manifest.files:
                    raise BundleError(
                        f"{self.folder} holds {entry.name!r}, which no manifest vouches for"
                    )

    def golden(self) -> Golden:
        """The golden outputs. Raises :class:`BundleError`."""
        where, raw = self.folder / GOLDEN, self.read_file(GOLDEN)
        golden = decode(raw, Golden, where)
        if golden.schema != SCHEMA:
            raise BundleError(f"{where} has schema {golden.schema}, not {SCHEMA}")
        if raw != encode(golden):
            raise BundleError(f"{where} is damaged: it is not as tinytx writes it")
        return golden

    def _checked(self, name: str) -> Iterator[bytes]:
        """The chunks of a file; the last one comes only if the whole is what it should be."""
        facts = self.manifest.files.get(name)
        if facts is None:
            raise BundleError(f"the manifest of {self.folder} lists no {name}")
        path, digest = self.folder / name, hashlib.sha256()
        with told(path), open_regular(path, facts.size) as file:
            size, held = 0, b""
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                if held:
                    yield held
                held = chunk
        if size != facts.size or digest.hexdigest() != facts.sha256:
            raise BundleError(f"{path} is damaged: it is not what the manifest says")
        yield held


class _SchemaOnly(msgspec.Struct):
    schema: int


def parse_manifest(raw: bytes, where: Path) -> Manifest:
    """A manifest from its bytes, sealed and of a bearable size; ``where`` is what messages name.

    Raises :class:`BundleError`.
    """
    schema = decode(raw, _SchemaOnly, where).schema
    if schema != SCHEMA:
        raise BundleError(
            f"{where} has schema {schema}; this tinytx reads schema {SCHEMA}",
            "export the bundle again, or install the tinytx that made it",
        )
    manifest = decode(raw, Manifest, where)
    for name in manifest.files:
        if not _NAME.fullmatch(name) or name == MANIFEST:
            raise BundleError(f"{where} names a file {name[:100]!r} that cannot be in a bundle")
    if raw != encode(manifest) or manifest.id != identify(manifest):
        raise BundleError(f"{where} was changed after it was written: its id does not match")
    _check_sizes(manifest, where)
    return manifest


def _check_sizes(manifest: Manifest, where: Path) -> None:
    """What a valid seal does not promise: that reading and running the bundle stays small."""
    for name, facts in manifest.files.items():
        most = MAX_BYTES.get(name, MAX_FILE_BYTES)
        if facts.size > most:
            raise BundleError(f"{where} lists a {name} of {facts.size:,} bytes; at most {most:,}")
    if sum(facts.size for facts in manifest.files.values()) > MAX_BUNDLE_BYTES:
        raise BundleError(f"{where} lists files of more than {MAX_BUNDLE_BYTES:,} bytes together")
    model = manifest.model
    if model.heads * model.head_size != model.width:
        raise BundleError(f"{where} describes no model: its heads do not add up to its width")
    # keys and values, float32: 2 x 4 bytes
    cache = 8 * model.layers * model.width * model.max_seq_length
    if cache > MAX_CACHE_BYTES:
        raise BundleError(
            f"{where} describes a model whose context takes {cache:,} bytes; "
            f"at most {MAX_CACHE_BYTES:,} are run"
        )
