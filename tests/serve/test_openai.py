"""The interface as OpenAI's own client sees it, against a real server."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.serve.process import Server
from tinytx.tokenizer import Tokenizer

MODEL = "tinytx"
PROMPT = "River stone"


def streamed(client: OpenAI, **asked: Any) -> list[Any]:
    """All chunks of a stream."""
    with client.completions.create(model=MODEL, stream=True, **asked) as stream:
        return list(stream)


def refused(client: OpenAI, **asked: Any) -> openai.BadRequestError:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, **{"prompt": PROMPT, **asked})
    return caught.value


def test_a_completion_has_text_a_reason_and_the_tokens_used(client: OpenAI) -> None:
    found = client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=8, seed=1)
    assert found.object == "text_completion" and found.id.startswith("cmpl-")
    assert found.choices[0].finish_reason == "length"
    assert found.choices[0].text
    assert found.usage is not None
    assert found.usage.completion_tokens == 8
    assert found.usage.total_tokens == found.usage.prompt_tokens + 8


def test_the_model_that_is_listed_can_be_asked_by_its_name(client: OpenAI) -> None:
    (model,) = client.models.list().data
    assert client.models.retrieve(model.id).id == model.id
    found = client.completions.create(model=model.id, prompt=PROMPT, max_tokens=2)
    assert found.model == model.id


def test_several_prompts_and_several_choices_come_in_order(client: OpenAI) -> None:
    prompts = ["River", "Winter song", "Niña"]
    found = client.completions.create(
        model=MODEL, prompt=prompts, n=2, max_tokens=6, seed=5, echo=True, temperature=0.8
    )
    assert [choice.index for choice in found.choices] == list(range(6))
    for choice in found.choices:
        assert choice.text.startswith(prompts[choice.index // 2])
    alone = client.completions.create(
        model=MODEL, prompt=prompts[2], n=2, max_tokens=6, seed=5, echo=True, temperature=0.8
    )
    assert [c.text for c in alone.choices] == [c.text for c in found.choices[4:]]
    assert found.usage is not None and found.usage.completion_tokens == 36


def test_token_ids_say_the_same_as_their_text(client: OpenAI, tiny_bundle: Path) -> None:
    tokenizer = Tokenizer((tiny_bundle / "tokenizer.model").read_bytes(), "tokenizer")
    prompts = [tokenizer.encode(text) for text in ("River stone", "El señor")]
    asked: dict[str, Any] = {"model": MODEL, "max_tokens": 10, "temperature": 0}
    by_ids = client.completions.create(prompt=prompts, **asked)
    by_text = client.completions.create(prompt=["River stone", "El señor"], **asked)
    assert [c.text for c in by_ids.choices] == [c.text for c in by_text.choices]
    assert by_ids.usage == by_text.usage
    one = client.completions.create(prompt=prompts[1], **asked)
    assert [one.choices[0].text] == [by_text.choices[1].text]
    assert "below 320" in refused(client, prompt=[5, 320]).message


def test_the_same_seed_gives_the_same_text_and_another_another(client: OpenAI) -> None:
    def text(seed: int | None) -> str:
        asked: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "temperature": 1.2}
        found = client.completions.create(**asked, max_tokens=24, seed=seed)
        return str(found.choices[0].text)

    assert text(11) == text(11)
    assert len({text(seed) for seed in range(6)}) > 1
    assert len({text(None) for _ in range(6)}) > 1


def test_no_tokens_are_made_when_none_are_asked(client: OpenAI) -> None:
    found = client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=0, echo=True)
    assert found.choices[0].text == PROMPT
    assert found.choices[0].finish_reason == "length"
    assert found.usage is not None and found.usage.completion_tokens == 0
    told = client.completions.create(
        model=MODEL, prompt=PROMPT, max_tokens=0, echo=True, logprobs=1
    )
    assert told.choices[0].text == PROMPT
    assert told.usage is not None and told.usage.completion_tokens == 0
    chunks = streamed(client, prompt=PROMPT, max_tokens=0, echo=True)
    assert "".join(c.choices[0].text for c in chunks) == PROMPT


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stop": ["e", "ar"]},
        {"stop": "ñ", "prompt": "La niña y el señor, café"},
        {"echo": True, "logprobs": 2},
        {"n": 3, "top_p": 0.9},
    ],
    ids=["plain", "stops", "unicode", "echo", "choices"],
)
def test_a_stream_joined_is_the_text_not_streamed(
    client: OpenAI, seed: int, more: dict[str, Any]
) -> None:
    asked = {"prompt": PROMPT, "max_tokens": 24, "seed": seed, "temperature": 1.5, **more}
    whole = client.completions.create(model=MODEL, **asked)
    chunks = streamed(client, **asked)
    for choice in whole.choices:
        parts = [c.choices[0] for c in chunks if c.choices[0].index == choice.index]
        assert "".join(part.text for part in parts) == choice.text
        assert [part.finish_reason for part in parts[:-1]] == [None] * (len(parts) - 1)
        assert parts[-1].finish_reason == choice.finish_reason
        if choice.logprobs is not None:
            for name in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
                joined = [x for part in parts for x in getattr(part.logprobs, name)]
                assert joined == getattr(choice.logprobs, name)


def test_a_stream_tells_its_usage_last_when_asked(client: OpenAI) -> None:
    options = {"include_usage": True}
    *chunks, last = streamed(client, prompt=PROMPT, max_tokens=5, stream_options=options)
    assert last.choices == [] and last.usage.completion_tokens == 5
    assert chunks and all(chunk.usage is None for chunk in chunks)


def test_a_stream_tells_its_usage_in_every_chunk_when_asked(client: OpenAI) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = streamed(client, prompt=PROMPT, max_tokens=20, stream_options=options)
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts) and counts[0] > 0 and counts[-1] == 20


def test_a_text_that_stops_ends_before_its_stop(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "max_tokens": 30, "temperature": 0}
    whole = client.completions.create(**asked).choices[0].text
    for start in range(2, min(len(whole) - 4, 20)):
        stop = whole[start : start + 3]  # begins and ends within tokens, and at their borders
        found = client.completions.create(**asked, stop=stop).choices[0]
        assert found.text == whole[: whole.index(stop)]
        assert found.finish_reason == "stop"
    found = client.completions.create(**asked, stop="\u2603").choices[0]
    assert (found.text, found.finish_reason) == (whole, "length")


def test_likelihoods_are_those_of_the_score_and_point_into_the_text(
    server: Server, client: OpenAI
) -> None:
    text = "El señor y la niña: café."
    found = client.completions.create(
        model=MODEL, prompt=text, max_tokens=0, echo=True, logprobs=3
    ).choices[0]
    told = found.logprobs
    assert told is not None and told.token_logprobs and told.text_offset and told.tokens
    status, score, _ = server.ask("/v1/score", {"text": text})
    assert status == 200
    assert -sum(p for p in told.token_logprobs if p is not None) == pytest.approx(score["nats"])
    size = len(text.encode())
    assert score["bits_per_byte"] == pytest.approx(score["nats"] / math.log(2) / size)
    assert score["tokens"] == len(told.tokens)
    ends = [*told.text_offset[1:], len(text)]
    pieces = [text[a:b] for a, b in zip(told.text_offset, ends, strict=True)]
    assert "".join(pieces) == text
    whole = [(t, p) for t, p in zip(told.tokens, pieces, strict=True) if not t.startswith("bytes:")]
    assert len(whole) > 5 and all(token == piece for token, piece in whole)
    data = b"".join(bytes(one) for one in told.model_extra["bytes"])  # type: ignore[index]
    assert data.decode() == text


def test_each_token_is_told_with_the_best_ones_beside_it(client: OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL, prompt=PROMPT, max_tokens=6, temperature=0, logprobs=3
    )
    found = answer.choices[0].logprobs
    assert found is not None and found.tokens and found.top_logprobs and found.token_logprobs
    assert found.text_offset and found.text_offset[0] == 0
    for token, logprob, best in zip(
        found.tokens, found.token_logprobs, found.top_logprobs, strict=True
    ):
        assert best is not None and logprob is not None and len(best) == 3
        assert best[token] == logprob == max(best.values())  # it is greedy
        assert sum(math.exp(p) for p in best.values()) <= 1


def test_a_prompt_over_the_context_is_refused_by_its_code(client: OpenAI, context: int) -> None:
    error = refused(client, prompt="river " * 200)
    assert (error.code, error.param) == ("context_length_exceeded", "prompt")
    error = refused(client, max_tokens=context + 1)
    assert (error.code, error.param) == ("context_length_exceeded", "max_tokens")
    most = context - 10
    client.completions.create(model=MODEL, prompt="a", max_tokens=most)


def test_another_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="gpt-4", prompt=PROMPT)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_what_is_not_done_is_refused_by_its_name(client: OpenAI) -> None:
    assert refused(client, extra_body={"toolz": []}).param == "toolz"
    assert refused(client, frequency_penalty=0.5).param == "frequency_penalty"
    assert refused(client, best_of=4).param == "best_of"
    assert refused(client, suffix="end").param == "suffix"
    assert refused(client, logit_bias={"5": 1}).param == "logit_bias"
    assert refused(client, temperature=3).param == "temperature"
    assert refused(client, n=0).param == "n"
    assert refused(client, stop=["a", ""]).param == "stop"
    client.completions.create(
        model=MODEL, prompt=PROMPT, frequency_penalty=0, best_of=1, user="somebody", max_tokens=1
    )


def test_chat_is_refused_by_its_name(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="chat is not supported"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}])
    with pytest.raises(openai.NotFoundError, match="embeddings are not supported"):
        client.embeddings.create(model=MODEL, input="Hello")


def test_more_texts_than_could_ever_wait_are_refused_for_good(client: OpenAI) -> None:
    error = refused(client, prompt=["a"] * 49)
    assert "48" in error.message
    assert refused(client, prompt=["a"] * 20, n=128).param == "n"
    assert refused(client, prompt=["a"] * 100_000, n=128).param == "prompt"
    found = client.completions.create(model=MODEL, prompt=["a"] * 48, max_tokens=3)
    assert len(found.choices) == 48  # more than slots: the others waited


def test_a_request_after_a_stopped_stream_is_served(
    server: Server, client_of: Callable[..., OpenAI]
) -> None:
    with client_of(server) as client:
        stream = client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=40, stream=True)
        next(iter(stream))
        stream.close()
        assert client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=3).choices[0].text
