"""The front door: the ASGI application. What is asked most goes straight to its protocol, the rest through Starlette."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any, TypeAlias

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tightrope.serve.access.keys import check_scope
from tightrope.serve.config.settings import Limits
from tightrope.serve.interfaces import GatewayLike
from tightrope.serve.protocols import openai
from tightrope.serve.protocols.body_budget import BodyBudget
from tightrope.serve.protocols.error_bodies import oip_error, openai_error
from tightrope.serve.protocols.http import (
    CLOSE,
    WANTED,
    WHOLE,
    Endpoint,
    Receive,
    Scope,
    Send,
    answer,
    caller_of,
    check_host,
    identity_of,
    log,
    refusal_headers,
)
from tightrope.serve.protocols.oip import EXTENSIONS, metadata, model_of
from tightrope.serve.protocols.oip_http import Infer
from tightrope.serve.protocols.openapi import described
from tightrope.serve.records import Caller
from tightrope.serve.refusals import Failed, NotFound, RequestRefusal, Unavailable

Authenticate: TypeAlias = Callable[[Request], Awaitable[Caller]]
MODELS, INFER = "/v2/models/", "/infer"
FILES = "/v1/files"
"""Its bodies are written as they come."""
MODEL, VERSIONS = "/v2/models/{name:path}", "/versions/{version}"


class _NotAllowed(RequestRefusal):
    """Another method than the path has."""

    status, code = 405, "method_not_allowed"


def authenticator(gateway: GatewayLike) -> Authenticate:
    """Return what tells who sent a request of Starlette's; it raises ``RequestRefusal``, which the application answers."""

    async def authenticate(request: Request) -> Caller:
        return _caller(gateway, request.scope)

    return authenticate


class App:
    """The application; ``routes`` are those of the deferrable work, and whatever else is served beside.

    ``held`` is where the server counts the bodies that it holds: it is told of the files that are written as they come.
    ``metrics_key`` is whether ``/metrics`` wants a key that may read it.
    """

    def __init__(
        self,
        gateway: GatewayLike,
        limits: Limits,
        routes: Sequence[BaseRoute] = (),
        held: BodyBudget | None = None,
        *,
        metrics_key: bool = False,
    ) -> None:
        self.gateway, self.limits, self.held = gateway, limits, held
        self.leaving = False
        """Ask clients to connect anew, elsewhere: each answer closes its connection."""
        self._endpoints: dict[str, Endpoint] = {path: made(limits) for path, made in openai.ENDPOINTS.items()}
        self._infer = Infer(gateway, limits)
        posted = [
            Route(path, self, methods=["POST"]) for path in (*self._endpoints, f"{MODEL}{VERSIONS}{INFER}", f"{MODEL}{INFER}")
        ]
        self._rest = _starlette(_Rest(gateway, metrics_key=metrics_key), [*routes, *posted])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if self.leaving:
            send = _closing(send)
            scope.pop(WHOLE, None)
        if scope["method"] == "POST":
            path = scope["path"]
            endpoint = self._endpoints.get(path)
            if endpoint is not None:
                await answer(self.gateway, endpoint, scope, receive, send)
                return
            if path.startswith(MODELS) and path.endswith(INFER):
                await answer(self.gateway, self._infer, scope, receive, send, path[len(MODELS) : -len(INFER)])
                return
            if path == FILES and self.held is not None:
                receive = self.held.of_parts(scope, receive)
        with suppress(Exception):  # it was answered and logged
            await self._rest(scope, receive, send)


def _closing(send: Send) -> Send:
    """Return ``send`` with a word to close the connection."""

    async def closing(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
        await send(message)

    return closing


# ---------------------------------------------------------------------------------------------------------------------- the rest


def _starlette(asked: "_Rest", more: Sequence[BaseRoute]) -> Starlette:
    """Return what answers all but the hot paths."""
    routes = [
        Route("/healthz", asked.live),
        Route("/readyz", asked.ready),
        Route("/metrics", asked.metrics),
        Route("/openapi.json", asked.openapi),
        Route("/v1/models", asked.models),
        Route("/v1/models/{name:path}", asked.model),
        Route("/v2", asked.server),
        Route("/v2/health/live", asked.live),
        Route("/v2/health/ready", asked.ready),
        Route(f"{MODEL}{VERSIONS}/ready", asked.model_ready),
        Route(f"{MODEL}/ready", asked.model_ready),
        Route(f"{MODEL}{VERSIONS}", asked.model_metadata),
        Route(MODEL, asked.model_metadata),
    ]
    handlers: dict[Any, Any] = {RequestRefusal: _refused, HTTPException: _not_found, ClientDisconnect: _gone, Exception: _failed}
    app = Starlette(routes=[*more, *routes], exception_handlers=handlers)
    asked.openapi_json = msgspec.json.encode(described({route.path for route in app.routes if isinstance(route, Route)}))
    app.router.redirect_slashes = False
    return app


class _Rest:
    """What is asked seldom."""

    def __init__(self, gateway: GatewayLike, *, metrics_key: bool) -> None:
        self.gateway, self.metrics_key = gateway, metrics_key
        self.openapi_json = b""

    async def live(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """Say that the process runs."""
        return _json({"live": True})

    async def ready(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """Say whether requests are to be sent here."""
        ready = self.gateway.ready()
        return _json({"ready": ready}, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        """Return the metrics, where a key is asked for to who may read them."""
        if self.metrics_key:
            caller = self._caller(request)
            if "admin" not in caller.scopes:
                check_scope(caller, "metrics")
        return Response(self.gateway.metrics.exposition(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """Return the description of what is served."""
        return Response(self.openapi_json, media_type="application/json")

    async def models(self, request: Request) -> Response:
        """Return OpenAI's list of models."""
        caller = self._caller(request)
        return _json({"object": "list", "data": [_listed(model.name) for model in self.gateway.models(caller)]})

    async def model(self, request: Request) -> Response:
        """Return one model as OpenAI has it."""
        found = model_of(self.gateway, self._caller(request), request.path_params["name"])
        return _json(_listed(found.name))

    async def server(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """Return what this server is."""
        return _json({"name": "tightrope", "version": version("tightrope"), "extensions": list(EXTENSIONS)})

    async def model_metadata(self, request: Request) -> Response:
        """Return a model's tensors."""
        caller, path = self._caller(request), request.path_params
        if path["name"].endswith(INFER):
            raise HTTPException(405, headers={"Allow": "POST"})
        found = model_of(self.gateway, caller, path["name"], path.get("version", ""))
        return _json(metadata(self.gateway, found))

    async def model_ready(self, request: Request) -> Response:
        """Say whether a model may be asked."""
        caller, path = self._caller(request), request.path_params
        found = model_of(self.gateway, caller, path["name"], path.get("version", ""))
        if not self.gateway.ready():
            msg = f"model {found.name!r} is not ready"
            raise Unavailable(msg, parameter="model", retry_after_s=1.0)
        return _json({"name": found.name, "ready": True})

    def _caller(self, request: Request) -> Caller:
        """Return who asks."""
        return _caller(self.gateway, request.scope)


def _caller(gateway: GatewayLike, scope: Scope) -> Caller:
    """Return who asks."""
    caller = caller_of(gateway, _headers(scope))
    check_host(scope, caller)
    return caller


def _listed(name: str) -> dict[str, Any]:
    """Return a model as OpenAI lists it; when it was made is not known here."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "tightrope"}


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """Return the header fields that mean something here."""
    return {name: value for name, value in scope["headers"] if name in WANTED}


def _json(answer: dict[str, Any], status: int = 200) -> Response:
    """Return an answer in JSON."""
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


async def _refused(request: Request, refusal: RequestRefusal) -> Response:
    """Answer with a refusal, in the words of the protocol that the path belongs to."""
    said = oip_error if request.scope["path"].startswith("/v2") else openai_error
    response = Response(said(refusal), refusal.status, media_type="application/json")
    response.raw_headers += [*refusal_headers(refusal), (b"x-request-id", identity_of(_headers(request.scope)).encode())]
    return response


async def _not_found(request: Request, error: HTTPException) -> Response:
    """Answer where there is no such path, or not with this method."""
    path, method = request.scope["path"][:200], request.method
    if error.status_code == 405:
        response = await _refused(request, _NotAllowed(f"{path} does not take {method}"))
        response.headers.update(error.headers or {})
        return response
    near = next((known for known in (f"/v1{path}", path.removeprefix("/v1"), path.rstrip("/")) if known in openai.ENDPOINTS), "")
    meant = f": did you mean {near}?" if near else ""
    return await _refused(request, NotFound(f"there is nothing at {method} {path}{meant}"))


async def _gone(request: Request, error: ClientDisconnect) -> Response:  # noqa: ARG001 - Starlette
    """Answer where nobody reads it: a client that hung up while it sent is no defect."""
    return Response(status_code=499)


async def _failed(request: Request, error: Exception) -> Response:
    """Answer where something went wrong here; Starlette raises it again behind the answer."""
    identity = identity_of(_headers(request.scope))
    log.error("request failed", exc_info=error, extra={"request": identity})
    return await _refused(request, Failed(f"something went wrong here; the log says more under {identity}"))
