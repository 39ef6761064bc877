"""/openapi.json is what the server does: requests that fit it are understood, answers fit it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from starlette.routing import Route

from tests.serve.inside import Answer, Inside, inside
from tests.serve.schemas import Schemas
from tinytx import __version__
from tinytx.serve.app import build
from tinytx.serve.requests import NOTHING_ASKED, Completion, Scoring
from tinytx.serve.service import Limits, Service

CALM = settings(deadline=None, max_examples=60)
POSTED = {"/v1/completions": Completion, "/v1/score": Scoring}


@pytest.fixture(scope="module")
def ask(tiny_bundle: Path) -> Iterator[Inside]:
    with inside(tiny_bundle) as asked:
        yield asked


@pytest.fixture(scope="module")
def document(ask: Inside) -> dict[str, Any]:
    found: dict[str, Any] = ask("GET", "/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def schemas(document: dict[str, Any]) -> Schemas:
    return Schemas(document)


def check(document: dict[str, Any], path: str, method: str, found: Answer) -> None:
    """The answer is one that the description has, to the letter."""
    schemas = Schemas(document)
    told = document["paths"][path][method.lower()]["responses"]
    assert str(found.status) in told, (found.status, found.body)
    content = told[str(found.status)]["content"]
    assert found.kind in content, found.kind
    if found.kind == "text/event-stream":
        *events, done, rest = found.body.split(b"\n\n")
        assert (done, rest) == (b"data: [DONE]", b"")
        for one in events:
            value = json.loads(one.removeprefix(b"data: "))
            assert schemas.wrong(value, content[found.kind]["x-event"]) == ""
    elif found.kind == "application/json":
        assert schemas.wrong(found.json(), content[found.kind]["schema"]) == ""


def test_every_route_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == __version__
    routes = build(Service(Limits())).routes
    there = {
        (route.path, method.lower())
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    told = {
        (path, method)
        for path, operations in document["paths"].items()
        for method in set(operations) - {"parameters"}
    }
    assert there == told
    names = [
        one[method]["operationId"]
        for one in document["paths"].values()
        for method in one
        if method != "parameters"
    ]
    assert len(set(names)) == len(names)
    named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert named <= set(document["components"]["schemas"])


def test_every_field_that_is_read_is_described_and_no_other(document: dict[str, Any]) -> None:
    named = document["components"]["schemas"]
    assert set(named["Completion"]["properties"]) == {
        *Completion.__struct_fields__, *NOTHING_ASKED, "user",
    }  # fmt: skip
    assert named["Completion"]["required"] == ["prompt"]
    assert set(named["Scoring"]["properties"]) == {"model", "text", "user"}
    assert not named["Completion"]["additionalProperties"]


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/v1/models", "/openapi.json"])
def test_what_is_asked_without_a_body_is_answered_as_described(
    ask: Inside, document: dict[str, Any], path: str
) -> None:
    found = ask("GET", path)
    assert found.status == 200
    check(document, path, "GET", found)
    if path != "/":
        check(
            document,
            path,
            "GET",
            ask("GET", path, headers=[(b"sec-fetch-site", b"cross-site")])
            if path != "/health"
            else found,
        )


def test_a_model_is_found_by_its_name_or_not_as_described(
    ask: Inside, document: dict[str, Any]
) -> None:
    for name, status in (("tinytx", 200), ("gpt-4", 404)):
        found = ask("GET", f"/v1/models/{name}")
        assert found.status == status
        check(document, "/v1/models/{name}", "GET", found)


def test_the_health_of_every_state_is_as_described(ask: Inside, document: dict[str, Any]) -> None:
    service, model = ask.service, ask.service.model
    refused = {"release": "a" * 64, "why": "it does not reproduce its golden outputs"}
    seen = set()
    for changes in (
        {"refused": refused}, {"model": None}, {"model": None, "empty": True},
        {"model": None, "refused": refused}, {"draining": True},
    ):  # fmt: skip
        before = {name: getattr(service, name) for name in changes}
        for name, value in changes.items():
            setattr(service, name, value)
        found = ask("GET", "/health")
        check(document, "/health", "GET", found)
        check(document, "/v1/models", "GET", ask("GET", "/v1/models"))
        seen.add((found.status, found.json()["status"]))
        for name, value in before.items():
            setattr(service, name, value)
    assert seen == {
        (200, "ok"), (503, "loading"), (503, "empty"), (503, "refused"), (503, "draining"),
    }  # fmt: skip
    assert service.model is model


@pytest.mark.parametrize("path", POSTED)
@CALM
@given(data=st.data())
def test_any_request_that_fits_is_understood_and_its_answer_fits(
    ask: Inside, document: dict[str, Any], schemas: Schemas, path: str, data: st.DataObject
) -> None:
    described = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    request = data.draw(schemas.fitting(described["schema"]))
    request.pop("model", None)  # any name fits, and two are there
    assert schemas.wrong(request, described["schema"]) == ""
    found = ask("POST", path, json.dumps(request).encode())
    check(document, path, "POST", found)
    event(f"{path} {found.status}")
    if found.status == 400:  # what fits, and is too much or contradicts itself, says which field
        assert found.json()["error"]["param"] is not None
    else:
        assert found.status == 200


@pytest.mark.parametrize("path", POSTED)
@CALM
@given(data=st.data())
def test_any_request_that_does_not_fit_is_refused_as_described(
    ask: Inside, document: dict[str, Any], schemas: Schemas, path: str, data: st.DataObject
) -> None:
    described = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    request = data.draw(schemas.fitting(described["schema"]))
    spoiled = data.draw(st.sampled_from([*request, "tools", "messages"]))
    request[spoiled] = data.draw(
        st.sampled_from([{"a": 1}, [[["x"]]], -1, 2.5, 10**30, [], True, "", [1, "a"], "\0"])
    )
    if schemas.wrong(request, described["schema"]) == "" or request[spoiled] == 10**30:
        return
    found = ask("POST", path, json.dumps(request).encode())
    check(document, path, "POST", found)
    assert found.status == 400, (spoiled, request[spoiled])


def test_a_token_is_described_where_there_is_one(tiny_bundle: Path) -> None:
    with inside(tiny_bundle, token="secret") as ask:
        assert ask("GET", "/openapi.json").status == 401
        shown = [(b"authorization", b"Bearer secret")]
        found = ask("GET", "/openapi.json", headers=shown).json()
        assert found["security"] == [{"token": []}]
        assert found["paths"]["/health"]["get"]["security"] == []
        assert "secret" not in json.dumps(found)
        check(found, "/v1/models", "GET", ask("GET", "/v1/models"))


def test_a_method_that_is_not_taken_is_told_which_are(ask: Inside) -> None:
    found = ask("DELETE", "/v1/completions")
    assert (found.status, found.headers["allow"]) == (405, "POST")
    assert found.json()["error"]["code"] == "method_not_allowed"
