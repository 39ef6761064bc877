"""The HTTP interface: routes, who may ask, and what becomes of a request on its way."""

import asyncio
import hmac
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tinytx.serve import answers, openapi, page
from tinytx.serve.completions import Answer, ClientGone, Listening, problem
from tinytx.serve.forms import Health, ModelCard, ModelList, ScoreAnswer
from tinytx.serve.loop import Draining, QueueFull
from tinytx.serve.model import Model
from tinytx.serve.origins import Origins
from tinytx.serve.requests import RequestError, read_completion, read_scoring
from tinytx.serve.service import LOCAL_NAMES, WHY, Service, too_many, unavailable

log = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def build(service: Service) -> Any:
    """The ASGI application."""
    routes = [
        # The first ones are looked at first, each with a regular expression.
        Route("/v1/completions", _endpoint(service, completions), methods=["POST"]),
        Route("/", _endpoint(service, front, open_to_all=True), methods=["GET"]),
        Route("/v1/score", _endpoint(service, score), methods=["POST"]),
        Route("/v1/models", _endpoint(service, models), methods=["GET"]),
        Route("/v1/models/{name}", _endpoint(service, one_model), methods=["GET"]),
        Route("/health", _endpoint(service, health, open_to_all=True), methods=["GET"]),
        Route("/metrics", _endpoint(service, metrics), methods=["GET"]),
        Route("/openapi.json", _endpoint(service, description), methods=["GET"]),
    ]
    handlers: Any = {HTTPException: _not_found, Exception: _broken}
    application = Starlette(routes=routes, exception_handlers=handlers)
    application.router.redirect_slashes = False
    return Origins(application, service.origins) if service.origins else application


Handler = Callable[[Service, Request], Awaitable[Any]]


def _endpoint(service: Service, handler: Handler, *, open_to_all: bool = False) -> Any:
    """A route: who may ask, errors in the interface's form, a line of log without any text."""

    class Endpoint:
        def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
            self.scope, self.receive, self.send = scope, receive, send

        def __await__(self) -> Any:
            return self.answer().__await__()

        async def answer(self) -> None:
            request = Request(self.scope, self.receive)
            began = time.perf_counter()
            try:
                if open_to_all:
                    code = await self.send_answer(request)
                else:
                    _authorise(service, request)
                    with service.admitted(request.client.host if request.client else ""):
                        code = await self.send_answer(request)
            except RequestError as error:
                response = failed(error)
                await response(self.scope, self.receive, self.send)
                code = response.status_code
            except (ClientDisconnect, ClientGone):
                return
            seconds = time.perf_counter() - began
            service.metrics.answered(self.scope["path"], code, seconds)
            path = quote(self.scope["path"][:200])  # no line of the log ends within it
            log.info("%s %s %d %.1f ms", request.method, path, code, 1e3 * seconds)

        async def send_answer(self, request: Request) -> int:
            response = await handler(service, request)
            status: int | None = await response(self.scope, self.receive, self.send)
            return status or int(getattr(response, "status_code", 0))

    return Endpoint


def _authorise(service: Service, request: Request) -> None:
    """Who may ask: no page of another site, whose reader knows nothing of it; and who has the
    token. A browser tells where a page is from (Fetch Metadata, Sec-Fetch-Site)."""
    foreign = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if foreign and request.headers.get("origin") not in service.origins:
        raise RequestError(
            "a page of another site may not ask this server",
            status=403,
            kind="permission_error",
            code="foreign_origin",
        )
    host = re.sub(r":\d*$", "", request.headers.get("host", "")).lower()
    if service.local and host not in LOCAL_NAMES:
        raise RequestError(
            "this server answers to 127.0.0.1 and localhost; a token or --insecure lets others ask",
            status=403,
            kind="permission_error",
            code="foreign_host",
        )
    if not service.token:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    known = hmac.compare_digest(given.strip().encode(), service.token.encode())
    if scheme.lower() != "bearer" or not known:
        raise RequestError(
            "a valid token is needed: Authorization: Bearer TOKEN",
            status=401,
            kind="authentication_error",
            code="invalid_api_key",
        )


def failed(error: RequestError) -> Response:
    headers = {"Retry-After": "1"} if error.status in (429, 503) else {}
    if error.status == 408:
        headers["Connection"] = "close"  # the rest of the body may never come
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return _json(answers.error(error), error.status, headers)


def _json(document: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(answers.dump(document), status, headers=headers, media_type="application/json")


UNSUPPORTED = {
    "/v1/chat/completions": "chat is not supported: this model continues texts (/v1/completions)",
    "/v1/responses": "responses are not supported; use /v1/completions",
    "/v1/embeddings": "embeddings are not supported",
    "/v1/images/generations": "images are not supported",
    "/v1/audio/speech": "audio is not supported",
}


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    if error.status_code != 405:
        message = UNSUPPORTED.get(path, f"there is no {path[:100]} here")
        return failed(RequestError(message, status=error.status_code, code="not_found"))
    message = f"{request.method[:20]} is not what {path[:100]} takes"
    response = failed(RequestError(message, status=405, code="method_not_allowed"))
    response.headers.update(error.headers or {})  # Allow
    return response


async def _broken(request: Request, error: Exception) -> Response:
    """A fault of ours; Starlette raises it on, so that the log has it."""
    return failed(
        RequestError("the server failed", status=500, kind="server_error", code="internal_error")
    )


async def read_body(service: Service, request: Request) -> bytes:
    """The body, within the limits. Raises :class:`RequestError`."""
    if "content-length" in request.headers and "transfer-encoding" in request.headers:
        raise RequestError("a body has a Content-Length or is chunked, not both")  # RFC 9112, 6.1
    limit = service.limits.body_bytes
    too_large = RequestError(f"the body has more than {limit} bytes", status=413)
    if int(request.headers.get("content-length") or 0) > limit:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(service.limits.body_seconds):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise RequestError("the body did not arrive in time", status=408) from None
    return b"".join(parts)


async def completions(service: Service, request: Request) -> Any:
    asked = read_completion(await read_body(service, request))
    model = service.current()
    model.check_name(asked.model)
    generations = model.generations(asked, service.deadline())
    _submit(model, [g for g in generations if g.reason is None])
    return Answer(service, model, asked, generations)


def _submit(model: Model, generations: list[Any]) -> None:
    try:
        model.loop.submit(generations)
    except QueueFull:
        raise too_many("the queue is full; try again") from None
    except Draining:
        raise unavailable(WHY["draining"]) from None


async def score(service: Service, request: Request) -> Any:
    asked = read_scoring(await read_body(service, request))
    model = service.current()
    model.check_name(asked.model)
    nats, tokens = 0.0, 0
    with model.loop.staying():  # the next model may come between two windows
        deadline = service.deadline()
        for generation in model.scoring(await model.ids_of(asked.text), deadline):
            _submit(model, [generation])
            async with Listening(request.receive, [generation]) as client:
                await client.all()
            if generation.reason != "length":
                raise problem(generation)
            nats -= sum(one.logprob for one in generation.likelihoods)
            tokens += len(generation.likelihoods)
    size = len(asked.text.encode())
    found: ScoreAnswer = {
        "object": "score",
        "model": model.name,
        "bits_per_byte": nats / 0.6931471805599453 / size,
        "nats": nats,
        "tokens": tokens,
        "bytes": size,
    }
    return _json(found)


def _model_card(model: Model) -> ModelCard:
    manifest = model.bundle.manifest
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.since),
        "owned_by": "tinytx",
        "bundle": model.bundle.id,
        "precision": model.precision,
        "max_model_len": manifest.model.max_seq_length,
        "parameters": manifest.model.parameters,
        "bits_per_byte": manifest.bits_per_byte(model.precision),
    }


async def models(service: Service, request: Request) -> Response:
    found: ModelList = {"object": "list", "data": [_model_card(service.current())]}
    return _json(found)


async def one_model(service: Service, request: Request) -> Response:
    model = service.current()
    model.check_name(request.path_params["name"])
    return _json(_model_card(model))


async def health(service: Service, request: Request) -> Response:
    """200 when a request would be taken, else 503; open to all, so that a watch needs no token."""
    model = service.model
    document: Health = {
        "status": service.state,
        "problem": _problem(service),
        "refused": service.refused,
    }
    if model:
        document |= {
            "release": model.bundle.id,
            "precision": model.precision,
            "since": int(model.since),
            "slots": model.loop.batch.slots,
            "running": model.loop.running,
            "waiting": model.loop.waiting,
        }
    return _json(document, 200 if service.state == "ok" else 503)


def _problem(service: Service) -> str | None:
    if service.refused is None:
        return None
    return f"release {service.refused['release'][:12]} is not served: {service.refused['why']}"


async def front(service: Service, request: Request) -> Response:
    return page.response()


async def description(service: Service, request: Request) -> Response:
    return _json(openapi.describe(token=bool(service.token)))


async def metrics(service: Service, request: Request) -> Response:
    text, kind = service.metrics.render()
    return Response(text, media_type=kind)
