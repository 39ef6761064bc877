"""A bundle, loaded and ready: token ids in, next-token logits out.

The graph's contract is stated in ``tinytx.export.graph``. The key/value cache lives in buffers
of this decoder, bound once as input and as output: the graph appends to it in place, and a step
allocates nothing but its own activations.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tinytx.bundle import GRAPH, GRAPHS, TOKENIZER, Bundle, ModelFacts, Precision
from tinytx.errors import BundleError, TokenizerError, UsageError
from tinytx.pairs import NONE_BEFORE, pair_rows
from tinytx.runtime import calibration, footprint
from tinytx.runtime.graph_check import check_graph
from tinytx.runtime.processor import default_precision
from tinytx.runtime.session import load_session, reason, runner
from tinytx.tokenizer import Tokenizer

Logits = NDArray[np.float32]
PROMPT_CHUNK = 256  # tokens; activations of a long prompt stay below 3 MB, at the same speed


class Decoder:
    """One model, one context (batch 1). Not thread-safe: one thread uses it at a time."""

    def __init__(
        self,
        facts: ModelFacts,
        graph: bytes,
        tokenizer: Tokenizer,
        *,
        threads: int = 1,
        name: str = GRAPH,
        bundle_id: str = "",
    ) -> None:
        """Raises :class:`BundleError` when onnxruntime cannot load the graph, or it is not one
        of this runtime, and :class:`LibraryError` when onnxruntime is too old. ``name`` is what
        messages call the graph."""
        self.facts, self.tokenizer, self.bundle_id = facts, tokenizer, bundle_id
        self._name = name
        check_graph(graph, facts, name)
        self._session = load_session(graph, threads, name)
        facts = self.facts
        kinds = [f"{kind}.{i}" for i in range(facts.layers) for kind in ("key", "value")]
        self._check_contract(kinds)
        shape = (1, facts.heads, facts.max_seq_length, facts.head_size)
        self._cache = {kind: np.zeros(shape, np.float32) for kind in kinds}
        self._token, self._pair = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.int64)
        self._last_position = np.zeros(1, np.int32)
        self._total_length = np.zeros(1, np.int32)
        self._logits = np.zeros((1, facts.vocab_size), np.float32)
        self._run_session, self._unwrap = runner(self._session)
        self._run_options = ort.RunOptions()  # without, each run makes its own (2 us of 72)
        self._next_token = self._bind(self._token, self._pair)
        self._length, self._previous = 0, NONE_BEFORE

    @classmethod
    def load(
        cls,
        folder: Path | str,
        threads: int | None = 1,
        precision: Precision | None = None,
    ) -> Self:
        """Load the bundle in ``folder``: its default precision, or another that it holds.

        A quantised default gives way to float32 where that is faster: see
        :mod:`tinytx.runtime.processor`.
        ``threads=None`` takes as many as are fastest here: see :mod:`tinytx.runtime.calibration`.
        Raises :class:`BundleError`, and :class:`UsageError` for a precision that it lacks.
        """
        bundle = Bundle(Path(folder))
        chosen = bundle.manifest.choose(precision or default_precision(bundle.manifest))
        tokenizer = _load_tokenizer(bundle)
        footprint.give_back_once("imported")  # the peak is then here, and not in the load

        make = partial(cls._open, bundle, chosen, tokenizer)
        if threads is None:
            default = chosen == bundle.manifest.precision
            threads = calibration.threads_for(bundle.id + ("" if default else f"-{chosen}"), make)
        made = make(threads)
        footprint.give_back_once("loaded")
        return made

    @classmethod
    def _open(cls, bundle: Bundle, chosen: Precision, tokenizer: Tokenizer, threads: int) -> Self:
        graph = GRAPHS[chosen]
        return cls(
            bundle.manifest.model,
            bundle.read_file(graph),
            tokenizer,
            threads=threads,
            name=str(bundle.folder / graph),
            bundle_id=bundle.id,
        )

    @property
    def length(self) -> int:
        """Tokens in the context so far."""
        return self._length

    @property
    def cache_bytes(self) -> int:
        """Size of the key/value cache, which is that of the longest context from the start."""
        return sum(array.nbytes for array in self._cache.values())

    def reset(self) -> None:
        """Forget the context."""
        self._length, self._previous = 0, NONE_BEFORE

    def append(self, ids: Sequence[int]) -> Logits:
        """Add tokens to the context; returns the logits of what comes next, float32 [vocab].

        Raises :class:`UsageError` when ``ids`` is empty, holds a number that is no token, or
        does not fit into the context; :class:`BundleError` when the graph cannot be run.
        """
        step = len(ids)
        if step == 0 or min(ids) < 0 or max(ids) >= self.facts.vocab_size:
            raise UsageError("token ids must be a non-empty list of ids of the vocabulary")
        if self._length + step > self.facts.max_seq_length:
            raise UsageError(
                f"the context holds {self.facts.max_seq_length} tokens; "
                f"{self._length} are in it and {step} more do not fit"
            )
        rows = self.facts.pair_rows
        if step == 1:
            self._token[0, 0] = ids[0]
            if rows:
                self._pair[0, 0] = pair_rows(self._previous, ids[0], rows)
            self._run(self._next_token, 1)
            self._previous = ids[0]
        else:
            for start in range(0, step, PROMPT_CHUNK):
                tokens = np.array([ids[start : start + PROMPT_CHUNK]], np.int64)  # [1, chunk]
                pairs = pairs_of(tokens, rows, self._previous)  # a binding knows its address only
                self._run(self._bind(tokens, pairs), tokens.size)
                self._previous = int(tokens[0, -1])
        logits: Logits = self._logits[0].copy()
        return logits

    def _run(self, binding: Any, step: int) -> None:
        """Append ``step`` tokens, bound already; their last one's logits are then in the buffer."""
        self._length += step
        self._last_position[0] = self._length - 1
        self._total_length[0] = self._length
        try:
            self._run_session(binding, self._run_options)
        except Exception as error:  # onnxruntime's own error types share no public base
            raise BundleError(f"onnxruntime cannot run {self._name}: {reason(error)}") from error

    def _bind(self, tokens: NDArray[np.int64], pairs: NDArray[np.int64]) -> Any:
        """Inputs and outputs as the addresses of this decoder's own arrays."""
        binding = self._session.io_binding()
        inputs: dict[str, NDArray[Any]] = {
            "tokens": tokens,
            "last_position": self._last_position,
            "total_length": self._total_length,
            **{f"past_{kind}": array for kind, array in self._cache.items()},
        }
        if self.facts.pair_rows:
            inputs["pairs"] = pairs
        outputs: dict[str, NDArray[Any]] = {
            "logits": self._logits,
            **{f"present_{kind}": array for kind, array in self._cache.items()},
        }
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        return self._unwrap(binding)

    def _check_contract(self, kinds: Sequence[str]) -> None:
        """The graph has exactly the inputs and outputs that are bound, of the right shapes."""
        facts = self.facts
        cache = [facts.heads, facts.max_seq_length, facts.head_size]
        inputs = {item.name: item.shape for item in self._session.get_inputs()}
        outputs = {item.name: item.shape for item in self._session.get_outputs()}
        past, present = ({f"{p}_{kind}" for kind in kinds} for p in ("past", "present"))
        steps = {"tokens", "last_position", "total_length", *["pairs"] * bool(facts.pair_rows)}
        fits = (
            set(inputs) == steps | past
            and set(outputs) == {"logits"} | present
            and all(inputs[key][1:] == cache for key in past)
            and all(outputs[key][1:] == cache for key in present)
            and outputs["logits"][1:] == [facts.vocab_size]
        )
        if not fits:
            raise BundleError(f"{self._name} is not a graph of this runtime")


def pairs_of(
    tokens: NDArray[np.int64], rows: int, previous: int = NONE_BEFORE
) -> NDArray[np.int64]:
    """The row of each token [B, T] and the one before it, which is ``previous`` at first, in a
    table of ``rows`` pairs; zeros where there is no table."""
    before = np.full_like(tokens, previous)
    before[:, 1:] = tokens[:, :-1]
    result: NDArray[np.int64] = pair_rows(before, tokens, max(rows, 1))
    return result


def _load_tokenizer(bundle: Bundle) -> Tokenizer:
    try:
        tokenizer = Tokenizer(bundle.read_file(TOKENIZER), str(bundle.folder / TOKENIZER))
    except TokenizerError as error:
        raise BundleError(error.message) from error
    manifest = bundle.manifest
    if (tokenizer.vocab_size, tokenizer.start_id) != (manifest.model.vocab_size, manifest.start_id):
        raise BundleError(f"the tokenizer of {bundle.folder} is not the one of its manifest")
    return tokenizer
