"""The forms of all answers: what the type checker holds the code to, and what /openapi.json tells.

Their names are those of OpenAI's interface; what is our own says so.
"""

from typing import Any, Literal, NotRequired, TypedDict

Finish = Literal["stop", "length"]


class Logprobs(TypedDict):
    """Natural logarithms of probabilities; the lists have an item for each token."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]
    """Characters of the answer before the token."""
    bytes: list[list[int]]
    """Of tokens, which may be parts of characters."""


class Choice(TypedDict):
    """A text, or the piece of it that has come."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: Finish | None
    """None while more is to come."""


class Usage(TypedDict):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionAnswer(TypedDict):
    """What ``POST /v1/completions`` answers; each event of a stream has this form too."""

    id: str
    object: Literal["text_completion"]
    created: int
    """Seconds since 1970."""
    model: str
    choices: list[Choice]
    usage: NotRequired[Usage]


class Fault(TypedDict):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    """The field at fault."""
    code: str | None


class ErrorAnswer(TypedDict):
    """Every refusal and failure; in mid-stream it is an event."""

    error: Fault


class ScoreAnswer(TypedDict):
    """What ``POST /v1/score`` answers."""

    object: Literal["score"]
    model: str
    bits_per_byte: float
    nats: float
    tokens: int
    bytes: int


class ModelCard(TypedDict):
    """A model that can be asked; the last four facts are our own."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["tinytx"]
    bundle: str
    precision: str
    max_model_len: int
    parameters: int
    bits_per_byte: float


class ModelList(TypedDict):
    """There is one."""

    object: Literal["list"]
    data: list[ModelCard]


class Refused(TypedDict):
    """A release that is not served."""

    release: str
    why: str


class Health(TypedDict):
    """What ``GET /health`` answers; what is about a model is there when there is one."""

    status: Literal["ok", "draining", "empty", "refused", "loading"]
    problem: str | None
    refused: Refused | None
    release: NotRequired[str]
    precision: NotRequired[str]
    since: NotRequired[int]
    slots: NotRequired[int]
    running: NotRequired[int]
    waiting: NotRequired[int]


ANSWERS: tuple[Any, ...] = (
    CompletionAnswer,
    ErrorAnswer,
    ScoreAnswer,
    ModelCard,
    ModelList,
    Health,
)
"""Those that are answers by themselves."""
