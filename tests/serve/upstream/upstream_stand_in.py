"""A server on the loopback that answers as it is told, and pools of such servers."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from tightrope.base.plan import ServedClass
from tightrope.serve.config.settings import ServedPool, Upstream
from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.records import Call, Caller, Reply, Task
from tightrope.serve.upstream.fleet import Resolve
from tightrope.serve.upstream.pool import UpstreamPool

sys.path.append(str(Path(__file__).parents[1]))
from ports import kept_port

LIMIT_S = 60.0
PORTS = ExitStack()
"""Of the servers of a test, kept for them also while they do not listen."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CLASSES = {item.name: item for item in (ServedClass("chat", (), 0.0), ServedClass("vip", (), 0.0, priority=5))}


def within(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a test's coroutine; it fails where it hangs, or leaves a task behind."""

    async def checked() -> Any:
        result = await asyncio.wait_for(work, LIMIT_S)
        for _ in range(3):
            await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, left
        return result

    with PORTS:
        return asyncio.run(checked())


async def until(true: Callable[[], object]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(LIMIT_S):
        while not true():
            await asyncio.sleep(0.005)


def sse(*said: Any, end: bytes = b"\n\n") -> bytes:
    """Return events, one for each thing said; of bytes as they are."""
    return b"".join(b"data: " + (item if isinstance(item, bytes) else json.dumps(item).encode()) + end for item in said)


def token(text: str, **fields: Any) -> dict[str, Any]:
    """Return a part of a streamed answer."""
    return {"id": "c1", "model": "server-model", "choices": [{"index": 0, "delta": {"content": text}}], **fields}


USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
ANSWER = {"id": "c1", "model": "server-model", "choices": [{"message": {"content": "Hello"}}], "usage": USAGE}


@dataclass
class Server:
    """One server: ``answers`` are taken in turn, the last one for ever."""

    answers: list[Handler] = field(default_factory=list)
    health: int = 200
    asked: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    """Headers and body of each request."""
    checks: int = 0
    open: int = 0
    """Requests on it now,"""
    most_open: int = 0
    cancelled: int = 0
    """and those whose client went away."""
    port: int = 0
    host: str = "127.0.0.1"
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Return its base URL."""
        return f"http://{self.host}:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer as it is told."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((headers, json.loads(body) if body[:1] == b"{" and body[-1:] == b"}" else {}))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            handler = self.answers[min(len(self.asked), len(self.answers)) - 1] if self.answers else says(ANSWER)
            return await handler(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.cancelled += 1
            raise
        finally:
            self.open -= 1

    async def healthy(self, _: web.Request) -> web.Response:
        """Answer a check."""
        self.checks += 1
        return web.Response(status=self.health)

    async def start(self) -> None:
        """Listen, on the same port again after a stop."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_get("/health", self.healthy)
        app.router.add_get("/v2/models/{model}/ready", self.healthy)
        app.router.add_route("*", "/{path:.*}", self.answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
        await self._runner.setup()
        if self.port == 0:
            self.port = PORTS.enter_context(kept_port(self.host))
        await web.TCPSite(self._runner, self.host, self.port).start()

    async def stop(self) -> None:
        """Listen no more, and break off what is on it."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()


def says(body: Any, status: int = 200, after_s: float = 0.0, **headers: str) -> Handler:
    """Return a handler that answers with JSON."""

    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(after_s)
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=text, status=status, content_type="application/json", headers=headers)

    return handler


def waits_for(gate: asyncio.Event) -> Handler:
    """Return a handler that answers once the gate is open."""

    async def handler(request: web.Request) -> web.Response:
        await gate.wait()
        return web.json_response(ANSWER)

    return handler


def streams(*parts: bytes, breaks: bool = False, between_s: float = 0.0) -> Handler:
    """Return a handler that streams events; one that ``breaks`` closes the connection after them."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
            await asyncio.sleep(between_s)
        if breaks:
            hang_up(request)
            return response
        await response.write_eof()
        return response

    return handler


def hang_up(request: web.Request) -> None:
    """Break the connection."""
    assert request.transport is not None
    request.transport.abort()


async def breaks(request: web.Request) -> web.Response:
    """Break the connection before anything is said."""
    hang_up(request)
    return web.Response()


@dataclass
class Heard:
    """What the metrics were told."""

    batches: list[tuple[str, int, float]] = field(default_factory=list)

    def batch(self, pool: str, size: int, service_s: float) -> None:
        """Keep it."""
        self.batches.append((pool, size, service_s))


@dataclass
class Bench:
    """A pool, its servers, its meter and its metrics."""

    pool: UpstreamPool
    servers: list[Server]
    meter: MachineMeter
    heard: Heard

    @property
    def ready(self) -> int:
        """Return how many replicas can be asked."""
        return self.pool.load().replicas_ready

    async def ask(self, **fields: Any) -> Reply:
        """Return the reply to a call."""
        return await self.pool.answer(call(**fields))


POOL = ServedPool("p", "m", "v", usd_per_hour=3.6, concurrency=4.0)
SETTINGS = Upstream("openai", (), model="server-model", health_s=0.1, connect_s=10.0)


@asynccontextmanager
async def bench(
    *servers: Server,
    task: Task = "chat",
    resolve: Resolve | None = None,
    urls: tuple[str, ...] = (),
    classes: dict[str, ServedClass] = CLASSES,
    pool: ServedPool = POOL,
    **upstream: Any,
) -> AsyncIterator[Bench]:
    """Lend a started pool before servers, and see afterwards that nothing is left."""
    for server in servers:
        await server.start()
    settings = replace(SETTINGS, replicas=urls or tuple(server.url for server in servers), **upstream)
    heard, meter = Heard(), MachineMeter(pool.usd_per_hour, 1.0)
    made = UpstreamPool(replace(pool, upstream=settings), task, classes, meter, heard, resolve=resolve)
    await made.start()
    try:
        yield Bench(made, list(servers), meter, heard)
    finally:
        await made.stop(5.0)
        for server in servers:
            await server.stop()
    assert made.load().in_flight == made.load().held == 0
    assert not any(made.load().waiting.values())


def call(text: str = "hi", **fields: Any) -> Call:
    """Return a chat's call."""
    said = {"model": "mine", "messages": [{"role": "user", "content": text}], **fields.pop("said", {})}
    stated: dict[str, Any] = {
        "identity": "r1", "caller": Caller("acme"), "task": "chat", "model": "mine", "inputs": (), "arrived_s": time.monotonic(),
        "traffic_class": "chat", "body": json.dumps({**said, **({"stream": True} if fields.get("stream") else {})}).encode(),
    }  # fmt: skip
    return Call(**{**stated, **fields})


def said(stream: bytes) -> list[Any]:
    """Return the data of a stream's events, read where it is JSON."""
    texts = [event.removeprefix(b"data: ") for event in stream.split(b"\n\n") if event]
    return [json.loads(text) if text[:1] == b"{" else text for text in texts]


async def read(reply: Reply) -> bytes:
    """Return all that a reply streams."""
    assert reply.raw is not None
    assert reply.raw.stream is not None
    return b"".join([part async for part in reply.raw.stream])
