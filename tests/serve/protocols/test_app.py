"""The application: what is served where, in whose words it refuses, and that its description is true."""

import asyncio
import gc
import json
import tracemalloc
from itertools import product
from typing import Any, cast

import pytest
import schemathesis
from front_door import EMBED, KEYS, USUAL, FakeGateway, ask, asked, small
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tightrope.serve.app import App, authenticator
from tightrope.serve.jobs.queue import Queue
from tightrope.serve.jobs.routes import Routes
from tightrope.serve.protocols import http
from tightrope.serve.protocols.openapi import described
from tightrope.serve.refusals import Conflict

APP = App(FakeGateway(), USUAL)


def got(path: str, app: App = APP, method: str = "GET", **headers: str) -> tuple[int, Any]:
    """Return status and JSON."""
    found = ask(app, method, path, headers=headers)
    return found.status, json.loads(found.body)


def test_health_needs_no_key_and_says_when_to_stay_away() -> None:
    gateway = FakeGateway(KEYS)
    app = App(gateway, USUAL)
    for path in ("/healthz", "/v2/health/live"):
        assert got(path, app) == (200, {"live": True})
    for path in ("/readyz", "/v2/health/ready"):
        assert got(path, app) == (200, {"ready": True})
    gateway.is_ready = False
    for path in ("/readyz", "/v2/health/ready"):
        assert got(path, app) == (503, {"ready": False})
    assert got("/healthz", app)[0] == 200
    assert got("/v1/models", app)[0] == 401
    assert got("/v1/models", app, Authorization="Bearer alice")[0] == 200


OPEN = {"/healthz", "/readyz", "/openapi.json", "/v2", "/v2/health/live", "/v2/health/ready"}
"""Paths that say nothing of anybody."""
SCOPED = {"/v1/files": "batch", "/v1/batches": "batch", "/metrics": "metrics"}
"""How a path begins → the scope that it wants; to ask a model wants ``infer``, to read of models any key."""
MAY = {"alice": {"infer", "batch"}, "uploader": {"batch"}, "prometheus": {"metrics"}, "root": {"admin", "metrics"}}


def test_every_path_wants_a_key_and_its_scope() -> None:
    """Whatever is served from now on is open only where it is said here."""
    gateway = FakeGateway(KEYS)
    jobs = Routes(cast("Queue", None), USUAL, (), {}, lambda: None).all(authenticator(gateway))
    app = App(gateway, USUAL, jobs, metrics_key=True)
    for route in cast("list[Route]", app._rest.routes):
        for method, key in product(route.methods or (), ("", "nobody", *MAY)):
            status = ask(app, method, route.path, headers={"Authorization": f"Bearer {key}"} if key else {}).status
            usual = "infer" if method == "POST" else ""
            wanted = next((scope for start, scope in SCOPED.items() if route.path.startswith(start)), usual)
            if route.path in OPEN:
                assert status == 200
            elif key not in MAY:
                assert (method, route.path, status) == (method, route.path, 401)
            else:
                refused = bool(wanted) and wanted not in MAY[key]
                assert (method, route.path, key, status == 403) == (method, route.path, key, refused)


def test_metrics_are_shown() -> None:
    found = ask(APP, "GET", "/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert found.body.startswith(b"# TYPE")


@pytest.mark.parametrize(
    ("key", "status"),
    [("", 401), ("nobody", 401), ("alice", 403), ("uploader", 403), ("prometheus", 200), ("root", 200)],
    ids=["none", "unknown", "infer and batch", "batch", "metrics", "admin"],
)
def test_metrics_may_ask_for_a_key_that_may_read_them(key: str, status: int) -> None:
    """Prometheus sends it as ``authorization`` of its scrape says."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    app = App(FakeGateway(KEYS), USUAL, metrics_key=True)
    found = ask(app, "GET", "/metrics", headers=headers)
    assert found.status == status
    assert (b"tightrope_requests_total" in found.body) == (status == 200)
    assert ask(App(FakeGateway(KEYS), USUAL), "GET", "/metrics", headers=headers).status == 200
    assert got("/healthz", app)[0] == got("/readyz", app)[0] == 200


def test_a_key_for_metrics_may_do_nothing_else() -> None:
    app = App(FakeGateway(KEYS), USUAL, metrics_key=True)
    found = ask(app, "POST", "/v1/embeddings", EMBED, {"Authorization": "Bearer prometheus"})
    assert (found.status, json.loads(found.body)["error"]["code"]) == (403, "forbidden")


def test_models_are_listed_in_both_protocols() -> None:
    status, listed = got("/v1/models")
    assert (status, listed["data"][1]) == (200, {"id": "org/embedder", "object": "model", "created": 0, "owned_by": "tightrope"})
    assert got("/v1/models/org/embedder") == (200, listed["data"][1])
    assert got("/v2/models/org/embedder")[1]["name"] == "org/embedder"
    assert got("/v2/models/org/embedder/versions/1")[1]["name"] == "org/embedder"
    assert got("/v2/models/org/embedder/versions/1/ready") == (200, {"name": "org/embedder", "ready": True})


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/nix", 404, "there is nothing at GET /nix"),
        ("GET", "/v1/models/nix", 404, "there is no model 'nix'"),
        ("DELETE", "/v1/models", 405, "/v1/models does not take DELETE"),
        ("GET", "/v1/embeddings", 405, "/v1/embeddings does not take GET"),
        ("PUT", "/v1/chat/completions", 405, "/v1/chat/completions does not take PUT"),
        ("POST", "/v1/embeddings/", 404, "there is nothing at POST /v1/embeddings/: did you mean /v1/embeddings?"),
        ("POST", "/embeddings", 404, "there is nothing at POST /embeddings: did you mean /v1/embeddings?"),
        ("POST", "/v1/v1/embeddings", 404, "there is nothing at POST /v1/v1/embeddings: did you mean /v1/embeddings?"),
    ],
)
def test_refusals_are_openai_s(method: str, path: str, status: int, error: str) -> None:
    found, answer = got(path, method=method)
    assert (found, answer["error"]["message"]) == (status, error)


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/v2/nix", 404, "there is nothing at GET /v2/nix"),
        ("GET", "/v2/models/nix", 404, "model: there is no model 'nix'"),
        ("GET", "/v2/models/echo/versions/3", 404, "version: model 'echo' has version 1 alone"),
        ("GET", "/v2/models/echo/infer", 405, "/v2/models/echo/infer does not take GET"),
        ("POST", "/v2/models/echo", 405, "/v2/models/echo does not take POST"),
    ],
)
def test_refusals_of_v2_are_its_own(method: str, path: str, status: int, error: str) -> None:
    assert got(path, method=method) == (status, {"error": error})


@pytest.mark.parametrize(
    ("model", "draw", "told"),
    [
        ("busy", 0.0, ("7", "6200", None)),
        ("busy", 0.999, ("10", "9297", None)),
        ("spent", 0.0, ("86400", "86400000", "false")),
        ("spent", 0.999, ("86580", "86579820", "false")),
    ],
    ids=["first", "last", "next month", "a little later"],
)
def test_those_refused_together_are_told_to_come_back_apart(
    monkeypatch: pytest.MonkeyPatch, model: str, draw: float, told: tuple[str | None, ...]
) -> None:
    monkeypatch.setattr(http, "draw", lambda: draw)
    found = ask(APP, "POST", "/v1/embeddings", b'{"model":"%b","input":"x"}' % model.encode())
    assert found.status == 429
    assert tuple(found.headers.get(name) for name in ("retry-after", "retry-after-ms", "x-should-retry")) == told


def test_routes_of_others_are_served_and_their_refusals_told(caplog: pytest.LogCaptureFixture) -> None:
    gateway = FakeGateway(KEYS)
    authenticate = authenticator(gateway)

    async def files(request: Request) -> JSONResponse:
        caller = await authenticate(request)
        if "conflict" in request.query_params:
            msg = "not in this state"
            raise Conflict(msg)
        if "defect" in request.query_params:
            msg = "a secret"
            raise RuntimeError(msg)
        return JSONResponse({"tenant": caller.tenant})

    async def run(**query: str) -> tuple[int, Any]:
        app = App(gateway, USUAL, [Route("/v1/files", files)])
        scope_query = "&".join(query).encode()
        found = await asked(app, "GET", "/v1/files", headers={"Authorization": "Bearer alice"}, query=scope_query)
        return found.status, json.loads(found.body)

    assert asyncio.run(run()) == (200, {"tenant": "acme"})
    assert asyncio.run(run(conflict=""))[1]["error"]["code"] == "conflict"
    status, answer = asyncio.run(run(defect=""))
    assert (status, answer["error"]["code"], "secret" in answer["error"]["message"]) == (500, "internal_error", False)
    assert "a secret" in caplog.text


def test_a_server_that_leaves_closes_connections_behind_its_answers() -> None:
    app = App(FakeGateway(), USUAL)
    for path, method, body in (("/v1/embeddings", "POST", EMBED), ("/healthz", "GET", b""), ("/v1/embeddings", "POST", b"")):
        app.leaving = False
        assert "connection" not in ask(app, method, path, body).headers
        app.leaving = True
        assert ask(app, method, path, body).headers["connection"] == "close"


# ------------------------------------------------------------------------------------------------------------- its description

NAMES = ["echo", "embedder", "upstream", "sentiment", "talker", "nix"]


def known() -> dict[str, Any]:
    """Return the description with names of models, so that not everything is a 404."""
    document = described()
    for stated in document["components"]["schemas"].values():
        if "model" in stated["properties"]:
            stated["properties"]["model"] = {"enum": NAMES}
    for path in document["paths"].values():
        for parameter in path.get("parameters", ()):
            parameter["schema"] = {"enum": NAMES if parameter["name"] == "name" else ["1", "2"]}
    return document


schema = schemathesis.openapi.from_dict(known())


def test_the_description_has_every_path() -> None:
    """Also those of deferrable work, where it is taken."""
    jobs = Routes(cast("Queue", None), USUAL, (), {}, lambda: None).all(authenticator(FakeGateway()))
    app = App(FakeGateway(), USUAL, jobs)
    stated = got("/openapi.json", app)[1]["paths"]
    for route in jobs:
        assert route.methods - {"HEAD"} <= {name.upper() for name in stated[route.path]}
    assert len(stated) == len(described()["paths"]) + len({route.path for route in jobs})
    served = {route.path.replace(":path", "") for route in APP._rest.routes}
    assert set(described()["paths"]) == served
    assert got("/openapi.json")[1] == described()


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_description_is_true(case: schemathesis.Case) -> None:
    """Answers to whatever the description allows, and to what it does not, are of a kind that it states; none is a defect."""
    response = case.call(app=APP)
    assert response.status_code < 500
    posted = case.method == "POST"  # a schema says neither that 1.0 is no whole number, nor which data fits a shape
    case.validate_response(response, excluded_checks=[positive_data_acceptance] if posted else [])


# ------------------------------------------------------------------------------------------------------------------- hostility

HOSTILE = (
    ("/v1/embeddings", b""),
    ("/v1/embeddings", b"{" * 3000),
    ("/v1/embeddings", b'{"model":"embedder","input":' + b"[" * 3000),
    ("/v1/embeddings", b'{"model":"embedder","input":["\xff"]}'),
    ("/v1/embeddings", b"x" * 20_000),
    ("/v1/embeddings", b'{"model":"%b","input":"x"}' % (b"m" * 5000)),
    ("/v1/chat/completions", b'{"model":"talker","messages":[{"role":3}]}'),
    ("/v2/models/echo/infer", b'{"inputs":[{"name":"x","shape":[1,99999999999],"datatype":"FP64","data":[1]}]}'),
    ("/v2/models/echo/infer", b'{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1],[2,3,4]]}]}'),
    ("/v2/models/" + "m" * 3000 + "/infer", b'{"inputs":[]}'),
    ("/nix", b""),
)


def test_hostile_requests_leave_nothing_behind() -> None:
    """Thousands of them: memory is as it was after the first hundreds."""
    app = App(FakeGateway(), small(body_bytes=10_000))

    async def send(count: int) -> None:
        for number in range(count):
            path, body = HOSTILE[number % len(HOSTILE)]
            headers = {"X-Request-Id": f"r{number}", "X-Tightrope-Session": f"s{number}", "api-key": f"k{number}"}
            assert 400 <= (await asked(app, "POST", path, body, headers)).status < 500

    asyncio.run(send(500))
    tracemalloc.start()
    try:
        asyncio.run(send(500))
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        asyncio.run(send(3000))
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
