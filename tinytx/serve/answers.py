"""Answers in OpenAI's form: completions whole and streamed, likelihoods, errors."""

import codecs
from collections.abc import Iterable, Sequence

import msgspec

from tinytx.serve.forms import Choice, CompletionAnswer, ErrorAnswer, Finish, Logprobs, Usage
from tinytx.serve.generation import Generation, Likelihood
from tinytx.serve.requests import RequestError

DONE = b"data: [DONE]\n\n"


class Told:
    """Likelihoods in the form of the interface, token by token, with their place in the text.

    A token may be a part of a character: its place is then that of the character. A token is told
    when the text that it begins in is given out, so that a stream tells the same as a whole
    answer, and nothing of what a stop text has cut off.
    """

    def __init__(self, piece_bytes: Sequence[bytes], offset: int = 0) -> None:
        """``offset``: characters of the answer before the first token's."""
        self._table, self._offset = piece_bytes, offset
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._told = 0

    def upto(self, found: Sequence[Likelihood], length: int) -> Logprobs:
        """Those of ``found`` not told yet that begin in the first ``length`` characters."""
        rows: Logprobs = {
            "tokens": [],
            "token_logprobs": [],
            "top_logprobs": [],
            "text_offset": [],
            "bytes": [],
        }
        while self._told < len(found) and self._offset < length:
            one = found[self._told]
            data = self._table[one.token]
            rows["tokens"].append(token_text(data))
            rows["token_logprobs"].append(one.logprob)
            rows["top_logprobs"].append({token_text(self._table[i]): p for i, p in one.best})
            rows["text_offset"].append(self._offset)
            rows["bytes"].append(list(data))
            self._offset += len(self._decoder.decode(data))
            self._told += 1
        return rows


def token_text(data: bytes) -> str:
    """A token as a text; one that is no whole character by its bytes, as OpenAI shows it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def completion(
    identity: str, created: int, model: str, choices: list[Choice], used: Usage | None = None
) -> CompletionAnswer:
    """An answer, or one event of a stream."""
    made: CompletionAnswer = {
        "id": identity,
        "object": "text_completion",
        "created": created,
        "model": model,
        "choices": choices,
    }
    if used is not None:
        made["usage"] = used
    return made


def choice(index: int, text: str, reason: Finish | None, told: Logprobs | None) -> Choice:
    return {"index": index, "text": text, "logprobs": told, "finish_reason": reason}


def usage(prompts: Iterable[int], generations: Iterable[Generation]) -> Usage:
    """Tokens of the prompts, each counted once, and of everything generated."""
    before, after = sum(prompts), sum(len(g.tokens) for g in generations)
    return {"prompt_tokens": before, "completion_tokens": after, "total_tokens": before + after}


def error(found: RequestError) -> ErrorAnswer:
    """An error as the interface has it."""
    return {
        "error": {
            "message": found.message,
            "type": found.kind,
            "param": found.field,
            "code": found.code,
        }
    }


def dump(document: object) -> bytes:
    return msgspec.json.encode(document)


def event(document: object) -> bytes:
    """One server-sent event."""
    return b"data: " + dump(document) + b"\n\n"
