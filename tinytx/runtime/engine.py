"""The engine that others use: a loaded bundle that continues texts and scores them."""

from collections.abc import Iterator, Sequence

from tinytx.runtime.decoder import Decoder
from tinytx.runtime.generate import Outcome, WhenFull, generate
from tinytx.runtime.sampling import Sampling
from tinytx.runtime.scoring import Score, score


class Engine(Decoder):
    """A decoder with text on both ends. Not thread-safe: one thread uses it at a time."""

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = 128,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 0.95,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
        when_full: WhenFull = "stop",
        outcome: Outcome | None = None,
    ) -> Iterator[str]:
        """The continuation of ``prompt``, piece by piece, each of whole characters.

        The options are those of ``tinytx generate``; ``outcome`` is filled in on the way. Raises
        :class:`UsageError`, at once, for a prompt that does not fit or an option out of range.
        """
        sampling = Sampling(temperature, top_k, top_p, seed, min_p, repetition_penalty)
        return generate(
            self,
            prompt,
            max_tokens=max_tokens,
            sampling=sampling,
            stop=stop,
            when_full=when_full,
            outcome=outcome,
        )

    def score(self, text: str, stride: int | None = None) -> Score:
        """How well the model predicts ``text``: see :func:`tinytx.runtime.scoring.score`."""
        return score(self, text, stride)
