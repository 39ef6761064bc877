"""Whatever the body of a request is, the answer is one of the interface: 200, or a 4xx that says
why. The application is asked in this process, without a socket."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tinytx.runtime.batch import Batch
from tinytx.runtime.decoder import Logits
from tinytx.serve.app import build
from tinytx.serve.loop import Loop
from tinytx.serve.releases import Settings, load_model
from tinytx.serve.service import Limits, Service

Ask = Callable[[str, bytes], tuple[int, bytes]]


@pytest.fixture(scope="module")
def ask(tiny_bundle: Path) -> Iterator[Ask]:
    """Status and body of the answer to a POST."""
    model, _ = load_model(tiny_bundle, Settings(slots=4, waiting=12))
    service = Service(Limits(body_bytes=200_000))
    service.model = model
    application = build(service)

    async def answer(path: str, body: bytes) -> tuple[int, bytes]:
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()  # the client stays
            return {}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [], "root_path": "", "client": ("127.0.0.1", 1), "server": ("x", 80),
        }  # fmt: skip
        async with asyncio.timeout(20):
            await application(scope, receive, send)
        assert sent[0]["type"] == "http.response.start" and not sent[-1].get("more_body")
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        work = loop.create_task(model.loop.run())
        yield lambda path, body: runner.run(answer(path, body))
        assert not work.done()
        assert (model.loop.running, model.loop.waiting) == (0, 0)
        work.cancel()


def check(found: tuple[int, bytes]) -> int:
    """Whether it is an answer of the interface; returns its status."""
    status, body = found
    if status == 200 and body.startswith(b"data: "):
        assert all("error" not in chunk for chunk in events(body))
        return status
    document = json.loads(body)
    if status == 200:
        assert "error" not in document
    else:
        assert 400 <= status < 500, document
        assert set(document["error"]) == {"message", "type", "param", "code"}
        assert document["error"]["message"]
    return status


texts = st.text(st.characters(), max_size=12)  # lone surrogates among them
numbers = st.one_of(
    st.integers(-3, 60),
    st.integers(),
    st.sampled_from([10**18, 2**63, 2**64, 10**400, -(10**5000 % 10**4200), 1e308, -0.0, 1e-320]),
    st.floats(),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
plausible: dict[str, st.SearchStrategy[Any]] = {
    "model": st.just("tinytx"),
    "max_tokens": st.integers(0, 50),
    "n": st.integers(0, 17),
    "temperature": st.floats(0, 2.1),
    "top_p": st.floats(0, 1.1),
    "top_k": st.integers(0, 400),
    "min_p": st.floats(0, 1),
    "repetition_penalty": st.floats(1, 100),
    "stop": texts | st.lists(texts, max_size=4),
    "seed": numbers,
    "logprobs": st.integers(0, 21),
    "echo": st.booleans(),
    "stream": st.booleans(),
    "stream_options": st.fixed_dictionaries({}, optional={"include_usage": st.booleans()}),
    "best_of": st.just(1),
    "user": texts,
}
requests = st.fixed_dictionaries(
    {"prompt": texts | st.lists(texts | st.lists(st.integers(0, 330), max_size=4), max_size=4)},
    optional={name: st.one_of(*[values] * 8, anything) for name, values in plausible.items()},
)


def written(value: object) -> bytes:
    """JSON as a careless client writes it: NaN, lone surrogates and all."""
    return json.dumps(value).encode()


HARD = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@HARD
@given(body=st.one_of(st.binary(max_size=60), anything.map(written)), score=st.booleans())
def test_any_body_is_answered(ask: Ask, body: bytes, score: bool) -> None:
    check(ask("/v1/score" if score else "/v1/completions", body))


@settings(HARD, max_examples=300)
@given(request=requests)
def test_any_nearly_right_request_is_answered(ask: Ask, request: dict[str, Any]) -> None:
    event(str(check(ask("/v1/completions", written(request)))))


@HARD
@given(request=st.fixed_dictionaries({"text": texts | anything}, optional={"model": anything}))
def test_any_text_to_score_is_answered(ask: Ask, request: dict[str, Any]) -> None:
    check(ask("/v1/score", written(request)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'"prompt"',
        b"\xff\xfe",
        b'{"prompt": "\xff"}',
        b'{"prompt": "\\ud800"}',
        b'{"\\ud800": null}',
        b'{"prompt": "a", "\\udcff": 1, "\\udcff": 2}',
        b'{"prompt": "a", "stream": true, "stream_options": {"\\ud800": true}}',
        b'{"' + b"n" * 100_000 + b'": 1}',
        b'{"prompt": "a"',
        b"[" * 100_000,
        b'{"prompt": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"a":' * 20_000,
        b'{"prompt": "a", "seed": ' + b"9" * 100_000 + b"}",
        b'{"prompt": "a", "temperature": 1e999}',
        b'{"prompt": "a", "temperature": NaN}',
        b'{"prompt": []}',
        b'{"prompt": [[]], "n": 0}',
        b'{"prompt": [1, "a"]}',
        b'{"prompt": [-1]}',
        b'{"prompt": [99999999999999999999999999]}',
        b'{"prompt": "a", "stop": ' + json.dumps(["x"] * 17).encode() + b"}",
        b'{"prompt": "a", "stream_options": {"include_usage": true}}',
        b'{"prompt": "a", "stream": true, "stream_options": {"more": true}}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_bad_body_is_refused(ask: Ask, body: bytes) -> None:
    assert check(ask("/v1/completions", body)) == 400
    assert check(ask("/v1/score", body)) == 400


def test_a_name_that_is_no_text_is_written_out_in_the_refusal(ask: Ask) -> None:
    """A lone surrogate, which JSON can name and UTF-8 cannot hold."""
    _, body = ask("/v1/completions", b'{"prompt": "a", "\\ud800x": 1}')
    found = json.loads(body)["error"]
    assert found["param"] == "\\ud800x"
    assert found["message"] == "\\ud800x is not a field of this interface"


@pytest.mark.parametrize("prompt", ["", [], [[]], [""], "\0", "\ufeff", "\u2028e\u0301 \U0001f600"])
def test_an_odd_prompt_is_continued(ask: Ask, prompt: object) -> None:
    asked = {"prompt": prompt, "max_tokens": 3, "echo": True, "logprobs": 1}
    status = check(ask("/v1/completions", written(asked)))
    assert status == (400 if prompt == [] else 200)


@pytest.mark.parametrize("seed", [0, -5, 2**63, 2**64, -(2**70), 10**40])
def test_any_whole_number_is_a_seed(ask: Ask, seed: int) -> None:
    asked = {"prompt": "River", "max_tokens": 12, "seed": seed}
    first, second = (ask("/v1/completions", written(asked)) for _ in range(2))
    assert check(first) == 200
    assert json.loads(first[1])["choices"] == json.loads(second[1])["choices"]


valid = st.fixed_dictionaries(
    {
        "prompt": st.sampled_from(["River", "La niña, el señor", ["a", "Winter song"], ""]),
        "max_tokens": st.integers(0, 24),
        "seed": st.integers(0, 50),
        "temperature": st.sampled_from([0, 0.7, 1.5, 2]),
    },
    optional={
        "n": st.integers(1, 3),
        "stop": st.lists(st.sampled_from(["e", "ar", "ñ", " s", "é", ". "]), max_size=3),
        "logprobs": st.integers(0, 2),
        "echo": st.booleans(),
        "repetition_penalty": st.sampled_from([1, 1.3]),
    },
)


@HARD
@given(request=valid)
def test_any_stream_joined_is_the_whole_answer(ask: Ask, request: dict[str, Any]) -> None:
    status, body = ask("/v1/completions", written(request))
    assert status == 200
    whole = json.loads(body)
    options = {"include_usage": True}
    _, body = ask(
        "/v1/completions", written({**request, "stream": True, "stream_options": options})
    )
    *chunks, usage = events(body)
    assert usage["usage"] == whole["usage"] and usage["choices"] == []
    for choice in whole["choices"]:
        parts = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == choice["index"]]
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert parts[-1]["finish_reason"] == choice["finish_reason"]
        if (told := choice["logprobs"]) is None:
            continue
        for name, values in told.items():
            assert [one for part in parts for one in part["logprobs"][name]] == values
        assert all(0 <= at < max(len(choice["text"]), 1) for at in told["text_offset"])
        assert told["text_offset"] == sorted(told["text_offset"])


def events(body: bytes) -> list[dict[str, Any]]:
    """The objects of a stream, which ends as it must."""
    *found, done, nothing = body.split(b"\n\n")
    assert (done, nothing) == (b"data: [DONE]", b"")
    return [json.loads(one.removeprefix(b"data: ")) for one in found]


def test_a_model_that_fails_says_so_in_the_stream_and_answers_again(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"prompt": "River", "max_tokens": 20, "temperature": 0, "stream": True}
    whole = ask("/v1/completions", written(asked))[1]
    steps = []

    def failing(self: Batch, tokens: list[int]) -> Logits:
        if len(steps) == 5:
            raise RuntimeError("secret words of a library")
        steps.append(tokens)
        return step(self, tokens)

    step = Batch.step
    monkeypatch.setattr(Batch, "step", failing)
    status, body = ask("/v1/completions", written(asked))
    assert status == 200
    *_, last = events(body)
    assert last["error"]["code"] == "model_failed" and "secret" not in last["error"]["message"]
    status, body = ask("/v1/completions", written({**asked, "stream": False}))
    assert status == 500 and json.loads(body)["error"]["code"] == "model_failed"
    status, body = ask("/v1/score", written({"text": "River stone"}))
    assert status == 500 and json.loads(body)["error"]["code"] == "model_failed"
    monkeypatch.undo()
    again = ask("/v1/completions", written(asked))[1]
    texts = ["".join(e["choices"][0]["text"] for e in events(body)) for body in (whole, again)]
    assert texts[0] == texts[1] != ""


def test_a_request_that_takes_too_long_is_ended(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Service, "deadline", lambda _: time.monotonic())
    asked = {"prompt": "River", "max_tokens": 20}
    status, body = ask("/v1/completions", written(asked))
    assert status == 504 and json.loads(body)["error"]["code"] == "deadline"
    status, body = ask("/v1/completions", written({**asked, "stream": True}))
    assert events(body)[-1]["error"]["code"] == "deadline"
    status, body = ask("/v1/score", written({"text": "River stone"}))
    assert status == 504 and json.loads(body)["error"]["code"] == "deadline"


def test_likelihoods_of_an_echo_are_told_whenever_they_come(ask: Ask) -> None:
    """The echo is given out with the first news; the likelihoods of its tokens come after it, one
    by one, and with no text of their own."""
    request = {"prompt": "River", "max_tokens": 0, "n": 2, "echo": True, "logprobs": 0}
    _, body = ask("/v1/completions", written(request))
    whole = json.loads(body)["choices"]

    def always(self: Loop, now: float) -> bool:
        self._tell_at = 0.0  # so that each token is news
        return True  # a turn after every step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_expects", always)
        _, body = ask("/v1/completions", written({**request, "stream": True}))
    parts = [event["choices"][0] for event in events(body)]
    assert len(parts) > 4
    for choice in whole:
        mine = [part for part in parts if part["index"] == choice["index"]]
        assert "".join(part["text"] for part in mine) == "River"
        tokens = [token for part in mine for token in part["logprobs"]["tokens"]]
        assert tokens == choice["logprobs"]["tokens"]
