"""A bundle, loaded and ready: token ids in, next-token logits out.

The graph's contract (made by ``tinytx.export.graph``): inputs ``tokens`` int64 [batch, step]
and, per layer, ``past_key.N`` and ``past_value.N`` float32 [batch, heads, past, head_size];
outputs ``logits`` float32 [batch, vocab] of the last position, ``present_key.N`` and
``present_value.N``. One graph serves the prompt (step > 1) and the next token (step = 1).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tinytx.bundle import GRAPH, TOKENIZER, Bundle
from tinytx.errors import BundleError, TokenizerError, UsageError
from tinytx.tokenizer import Tokenizer

Logits = NDArray[np.float32]


class Engine:
    """One model, one context (batch 1). Not thread-safe: one thread uses it at a time."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Raises :class:`BundleError` when a file of the bundle is damaged or does not run."""
        self.bundle = bundle
        self.facts = bundle.manifest.model
        self.tokenizer = _load_tokenizer(bundle)
        self._session = _load_session(bundle.read_file(GRAPH), threads, bundle.folder)
        layers = range(self.facts.layers)
        self._past_names = [f"past_{kind}.{i}" for i in layers for kind in ("key", "value")]
        self._present_names = [f"present_{kind}.{i}" for i in layers for kind in ("key", "value")]
        self._check_contract()
        self.reset()

    @classmethod
    def load(cls, folder: Path | str, threads: int = 1) -> "Engine":
        """Load the bundle in ``folder``. Raises :class:`BundleError`."""
        return cls(Bundle(Path(folder)), threads)

    @property
    def length(self) -> int:
        """Tokens in the context so far."""
        return self._length

    def reset(self) -> None:
        """Forget the context."""
        facts = self.facts
        empty = np.zeros((1, facts.heads, 0, facts.head_size), np.float32)
        self._past = [ort.OrtValue.ortvalue_from_numpy(empty) for _ in self._past_names]
        self._length = 0

    def append(self, ids: Sequence[int]) -> Logits:
        """Add tokens to the context; returns the logits of what comes next, float32 [vocab].

        Raises :class:`UsageError` when ``ids`` is empty, holds a number that is no token, or
        does not fit into the context.
        """
        tokens = np.asarray([ids], np.int64)  # [1, step]
        step = tokens.shape[-1]
        if step == 0 or tokens.min() < 0 or tokens.max() >= self.facts.vocab_size:
            raise UsageError("token ids must be a non-empty list of ids of the vocabulary")
        if self._length + step > self.facts.max_seq_length:
            raise UsageError(
                f"the context holds {self.facts.max_seq_length} tokens; "
                f"{self._length} are in it and {step} more do not fit"
            )
        feeds = dict(zip(self._past_names, self._past, strict=True))
        feeds["tokens"] = ort.OrtValue.ortvalue_from_numpy(tokens)
        logits, *present = self._session.run_with_ort_values(
            ["logits", *self._present_names], feeds
        )
        self._past = present
        self._length += step
        result: Logits = logits.numpy()[0]
        return result

    def _check_contract(self) -> None:
        inputs = {item.name for item in self._session.get_inputs()}
        outputs = {item.name for item in self._session.get_outputs()}
        if inputs != {"tokens", *self._past_names} or outputs != {"logits", *self._present_names}:
            raise BundleError(f"{self.bundle.folder / GRAPH} is not a graph of this runtime")


def _load_tokenizer(bundle: Bundle) -> Tokenizer:
    try:
        tokenizer = Tokenizer(bundle.read_file(TOKENIZER), str(bundle.folder / TOKENIZER))
    except TokenizerError as error:
        raise BundleError(error.message) from error
    manifest = bundle.manifest
    if (tokenizer.vocab_size, tokenizer.start_id) != (manifest.model.vocab_size, manifest.start_id):
        raise BundleError(f"the tokenizer of {bundle.folder} is not the one of its manifest")
    return tokenizer


def _load_session(graph: bytes, threads: int, folder: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own error types share no public base
        first_line = str(error).splitlines()[0]
        raise BundleError(f"onnxruntime cannot load {folder / GRAPH}: {first_line}") from error
