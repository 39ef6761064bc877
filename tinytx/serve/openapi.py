"""The description of the interface (OpenAPI 3.1), made of the very types that requests are read
with and that answers are checked against, so that it cannot say anything else."""

from typing import Any

import msgspec

from tinytx import __version__
from tinytx.serve import forms
from tinytx.serve.requests import IGNORED, NOTHING_ASKED, Completion, Scoring

ERRORS = {
    400: "The request is not understood, or not done here.",
    401: "A token is needed.",
    403: "Not for whoever asks.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    429: "The queue is full: try again after Retry-After seconds.",
    500: "The server failed.",
    503: "No model is there to answer, yet or any more.",
    504: "The request took too long.",
}
HEALTH = {200: "A request would be taken.", 503: "None would be, and why."}
WITH_BODY = tuple(ERRORS)
WITHOUT = (401, 403, 429, 500, 503)
Document = dict[str, Any]


def describe(*, token: bool) -> Document:
    """The whole document. ``token``: whether who asks must show one."""
    document: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": "tinytx serve",
            "version": __version__,
            "description": "OpenAI's completions interface to a small language model.",
        },
        "paths": _paths(),
        "components": {"schemas": _schemas()},
    }
    if token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        for path in ("/", "/health"):
            document["paths"][path]["get"]["security"] = []
    return document


def _schemas() -> Document:
    kinds = (Completion, Scoring, *forms.ANSWERS)
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    asked: Document = found["Completion"]["properties"]
    for name, values in NOTHING_ASKED.items():
        asked[name] = {"enum": list(values), "description": "Taken when it asks for nothing."}
    for kind in ("Completion", "Scoring"):
        for name in IGNORED:
            found[kind]["properties"][name] = {"description": "Taken, and not used."}
    return dict(found)


def _paths() -> Document:
    stream = {
        "schema": {"type": "string"},
        "x-event": {"anyOf": [_ref("CompletionAnswer"), _ref("ErrorAnswer")]},
    }
    completion = _answer(
        "The texts; as server-sent events if `stream` is true.", "CompletionAnswer"
    )
    completion["content"]["text/event-stream"] = stream
    named = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    health = {str(code): _answer(why, "Health") for code, why in HEALTH.items()}
    page = _text("A page to try the model on.", "text/html")
    counts = _text("Counts, as Prometheus reads them.", "text/plain")
    return {
        "/": {"get": _operation("page", {"200": page})},
        "/v1/completions": {"post": _posted("complete", "Completion", completion)},
        "/v1/score": {"post": _posted("score", "Scoring", _answer("A score.", "ScoreAnswer"))},
        "/v1/models": {"get": _asked("models", _answer("What is served.", "ModelList"))},
        "/v1/models/{name}": {
            "get": _asked("model", _answer("What is served.", "ModelCard"), 404),
            "parameters": [named],
        },
        "/health": {"get": _operation("health", health)},
        "/metrics": {"get": _asked("metrics", counts)},
        "/openapi.json": {"get": _asked("description", _json("This document.", {}))},
    }


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(told: str, form: str) -> Document:
    return _json(told, _ref(form))


def _json(told: str, schema: Document) -> Document:
    return {"description": told, "content": {"application/json": {"schema": schema}}}


def _text(told: str, kind: str) -> Document:
    return {"description": told, "content": {kind: {"schema": {"type": "string"}}}}


def _operation(name: str, responses: Document) -> Document:
    return {"operationId": name, "responses": responses}


def _asked(name: str, answer: Document, *more: int) -> Document:
    return _operation(name, {"200": answer, **_errors(*WITHOUT, *more)})


def _posted(name: str, form: str, answer: Document) -> Document:
    body = {"required": True, "content": {"application/json": {"schema": _ref(form)}}}
    return {**_operation(name, {"200": answer, **_errors(*WITH_BODY)}), "requestBody": body}


def _errors(*codes: int) -> Document:
    return {str(code): _answer(ERRORS[code], "ErrorAnswer") for code in sorted(codes)}
