"""A request's JSON, checked: one typed value, or an error that names the field at fault.

The fields are those of OpenAI's completions interface and three more (top_k, min_p,
repetition_penalty). A field that this server does not know, or knows and does not do, is refused
by its name unless its value asks for nothing: a client that sends its defaults is served, one that
wants something else hears that it does not get it.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from tinytx.errors import UsageError
from tinytx.runtime.sampling import Sampling

MOST_CHOICES = 128
MOST_STOPS = 16
MOST_LOGPROBS = 20
MOST_DIGITS = 400
"""Of a whole number: more than any that means something."""
NOTHING_ASKED: dict[str, tuple[object, ...]] = {
    "suffix": (None, ""),
    "best_of": (None, 1),
    "logit_bias": (None, {}),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
}
"""Fields of the interface that this server does not do, and the values that ask for nothing."""
IGNORED = ("user",)
"""Names an end user for the provider's own records; there are none here."""

T = TypeVar("T", bound=msgspec.Struct)
TokenId = Annotated[int, Meta(ge=0)]
StopText = Annotated[str, Meta(min_length=1)]


class RequestError(Exception):
    """What the client did wrong: a status, a sentence, the field, a code for programs."""

    def __init__(
        self,
        message: str,
        field: str | None = None,
        *,
        status: int = 400,
        code: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message, self.field = _encodable(message), field and _encodable(field)
        self.status, self.code, self.kind = status, code, kind


def _encodable(text: str) -> str:
    r"""``text`` as UTF-8 can hold it. JSON can name a lone surrogate (``\ud800``), also in the name
    of a field that a message repeats; here it is written out."""
    return text.encode("utf-8", "backslashreplace").decode()


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a stream ends with."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    """The usage so far in every chunk, as vLLM has it."""
    include_obfuscation: bool | None = None
    """Padding against who listens to an encrypted line; there is none here, so only False."""


class Completion(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The body of ``POST /v1/completions``."""

    model: str | None = None
    prompt: str | list[str | TokenId | list[TokenId]]
    """A text, texts, token ids, or lists of token ids."""
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(ge=1, le=100)] | None = None
    n: Annotated[int, Meta(ge=1, le=MOST_CHOICES)] | None = None
    stop: StopText | Annotated[list[StopText], Meta(max_length=MOST_STOPS)] | None = None
    seed: int | None = None
    logprobs: Annotated[int, Meta(ge=0, le=MOST_LOGPROBS)] | None = None
    echo: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    def sampling(self, choice: int, seed: int) -> Sampling:
        """How the choice of that number draws: each from a random stream of its own."""
        try:
            return Sampling(
                temperature=1.0 if self.temperature is None else self.temperature,
                top_k=self.top_k or 0,
                top_p=1.0 if self.top_p is None else self.top_p,
                min_p=self.min_p or 0.0,
                repetition_penalty=self.repetition_penalty or 1.0,
                seed=abs(seed) + choice,
            )
        except UsageError as error:
            raise RequestError(error.message) from error

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())

    @property
    def prompts(self) -> list[str | list[int]]:
        """One or several, each a text or token ids."""
        found = self.prompt
        if isinstance(found, str):
            return [found]
        numbers = [item for item in found if isinstance(item, int)]
        if numbers:
            return [numbers] if len(numbers) == len(found) else []
        return [item for item in found if not isinstance(item, int)]


class Scoring(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The body of ``POST /v1/score``."""

    model: str | None = None
    text: str


def read_completion(body: bytes) -> Completion:
    """The request in ``body``. Raises :class:`RequestError`."""
    found = _read(body, Completion)
    if not found.prompts:
        raise RequestError("prompt must be a text, texts, or lists of token ids", "prompt")
    if found.stream_options is not None and not found.stream:
        raise RequestError("stream_options goes with stream", "stream_options")
    if found.stream_options is not None and found.stream_options.include_obfuscation:
        raise RequestError(
            "include_obfuscation is not supported", "stream_options.include_obfuscation"
        )
    return found


def read_scoring(body: bytes) -> Scoring:
    """The request in ``body``. Raises :class:`RequestError`."""
    return _read(body, Scoring)


def _read(body: bytes, kind: type[T]) -> T:
    try:
        document = json.loads(
            body.decode(), object_pairs_hook=_once, parse_constant=_no_json, parse_int=_whole
        )
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise RequestError("the body must be a JSON object")
    try:
        return msgspec.convert(_known(document, kind), kind, strict=True)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$.")
        place = where.rstrip("`")
        field = place.partition("[")[0] or None
        raise RequestError(f"{place}: {message}" if place else message, field) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, whose names must differ: two readers could take one name that is there twice for
    different values. No field has a name that is no text. Raises :class:`RequestError`."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:100]
        raise RequestError(f"{twice} stands more than once in an object", twice)
    for name in found:
        if not name.isascii() and _encodable(name) != name:  # msgspec takes no such name
            raise _unknown(name)
    return found


def _unknown(name: str) -> RequestError:
    shown = name[:100]
    return RequestError(f"{shown} is not a field of this interface", shown)


def _no_json(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has more than {MOST_DIGITS} digits")
    return int(digits)


def _known(document: Mapping[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields that ``kind`` has. Raises :class:`RequestError` for one that is not done here."""
    kept = {}
    for name, value in document.items():
        if name in kind.__struct_fields__:
            if value is not None:
                kept[name] = value
        elif kind is Completion and name in NOTHING_ASKED:
            if value not in NOTHING_ASKED[name]:
                raise RequestError(f"{name} is not supported by this server", name)
        elif name not in IGNORED:
            raise _unknown(name)
    return kept
