"""A gateway that answers from memory, run behind the real application: over sockets, or called in process."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import urllib3
import uvicorn
from numpy.typing import NDArray
from starlette.routing import BaseRoute

from tightrope.serve.app import App
from tightrope.serve.config.settings import Limits, Listen, ServedModel, Settings
from tightrope.serve.protocols.body_budget import BodyBudget
from tightrope.serve.protocols.options import server_options
from tightrope.serve.records import Call, Caller, RawAnswer, Reply, Signature, Task, TensorSpec
from tightrope.serve.refusals import NotFound, RequestRefusal, TooMany, Unauthenticated

KEYS = {
    "Bearer alice": Caller("acme", "alice"),
    "Bearer uploader": Caller("acme", "uploader", frozenset({"batch"})),
    "Bearer prometheus": Caller("ops", "prometheus", frozenset({"metrics"})),
    "Bearer root": Caller("ops", "root", frozenset({"admin"})),
}
MODELS: dict[str, Task] = {
    "embedder": "embed",
    "org/embedder": "embed",
    "sentiment": "classify",
    "echo": "infer",
    "talker": "chat",
    "nan": "embed",
    "nan-tensor": "infer",
    "busy": "embed",
    "spent": "embed",
    "broken": "embed",
    "slow": "embed",
    "slow-talker": "chat",
    "broken-talker": "chat",
    "upstream": "embed",
    "large": "infer",
    "splitter": "chat",
}
CHAT = (
    b'{"id":"c1","object":"chat.completion","created":1,"model":"talker","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"hello"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)
USUAL = Limits()
LOOPBACK = Listen(port=0)


def vector(text: str) -> NDArray[np.float32]:
    """Return what ``embedder`` answers."""
    return np.array([len(text), sum(text.encode()) % 97, 0.1, -1.5], np.float32)


def event(text: str) -> bytes:
    """Return one part of a chat's stream."""
    return (
        b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"talker","choices":[{"index":0,"delta":{"content":"'
        + (text.encode() + b'"},"finish_reason":null}]}\n\n')
    )


class Exposition:
    """Metrics."""

    def exposition(self) -> bytes:
        """Return one."""
        return b"# TYPE tightrope_requests_total counter\n"


class FakeGateway:
    """Answers by the model's name; what it was asked, and what became of streams, is kept."""

    metrics = Exposition()

    def __init__(self, keys: Mapping[str, Caller] | None = None) -> None:
        self.keys = keys
        self.asked: list[Call] = []
        self.closed = threading.Event()
        self.began = threading.Event()
        self.is_ready = True

    def caller(self, authorization: str | None) -> Caller:
        """Return the caller of a known key."""
        if self.keys is None:
            return Caller("default")
        if authorization not in self.keys:
            msg = "this key is not known"
            raise Unauthenticated(msg)
        return self.keys[authorization]

    def models(self, caller: Caller) -> tuple[ServedModel, ...]:  # noqa: ARG002 - as the gateway has it
        """Return all."""
        return tuple(ServedModel(name, task, ("pool",)) for name, task in MODELS.items())

    def signature(self, model: str) -> Signature | None:
        """Return what ``echo`` takes."""
        ports = (TensorSpec("x", "FP32", (-1, 4)),)
        return Signature(ports, ports) if model == "echo" else None

    def ready(self) -> bool:
        """Return whether it is."""
        return self.is_ready

    async def answer(self, call: Call) -> Reply:
        """Answer by the model's name."""
        self.asked = [*self.asked[-9:], call]
        reply = Reply("pool/a", "fp32", input_tokens=7, compute_nusd=1234)
        if call.model not in MODELS:
            msg = f"there is no model {call.model!r}"
            raise NotFound(msg, parameter="model")
        if call.task == "infer":
            assert not isinstance(call.inputs, tuple)
            reply.outputs = dict(call.inputs)
            if call.model == "nan-tensor":
                reply.outputs = {"y": np.array([np.nan, np.inf], np.float32)}
            if call.model == "large":
                reply.outputs = {"y": np.zeros((1, 2**20), np.float32)}
        elif call.task == "chat":
            reply.raw = self._chat(call)
        elif call.task == "classify":
            assert isinstance(call.inputs, tuple)
            reply.labels = ("bad", "good")
            reply.outputs = tuple(np.array([0.25, 0.75], np.float32) for _ in call.inputs)
        else:
            await self._embed(call, reply)
        return reply

    async def _embed(self, call: Call, reply: Reply) -> None:
        """Embed, or do not."""
        if call.model == "busy":
            msg = "too many requests"
            raise TooMany(msg, retry_after_s=6.2)
        if call.model == "spent":
            msg = "the budget of this month is spent"
            raise TooMany(msg, retry_after_s=86_400.0)
        if call.model == "broken":
            msg = "a secret of the engine"
            raise RuntimeError(msg)
        if call.model == "slow":
            self.began.set()
            try:
                await asyncio.sleep(60)
            finally:
                self.closed.set()
        assert isinstance(call.inputs, tuple)
        if call.model == "upstream":
            reply.raw = RawAnswer(
                200,
                "application/json",
                b'{"object":"list","data":[{"index":0,"embedding":[1.0,2.0]}],"model":"upstream","usage":{}}',
            )
        reply.outputs = tuple(vector(text) for text in call.inputs)
        if call.model == "nan":
            reply.outputs = (np.array([1, np.nan], np.float32),)

    def _chat(self, call: Call) -> RawAnswer:
        """Return an answer, in parts where it is streamed."""
        if not call.stream:
            return RawAnswer(200, "text/plain\r\nX-Evil: 1" if call.model == "splitter" else "application/json", CHAT)
        return RawAnswer(200, "text/event-stream; charset=utf-8", stream=self._parts(call))

    async def _parts(self, call: Call) -> AsyncIterator[bytes]:
        """Yield a chat's parts."""
        try:
            yield event("hel")
            self.began.set()
            if call.model == "slow-talker":
                await asyncio.sleep(60)
            if call.model == "broken-talker":
                msg = "the upstream server went away"
                raise RequestRefusal(msg)
            yield event("lo")
            yield b"data: [DONE]\n\n"
        finally:
            self.closed.set()


# ----------------------------------------------------------------------------------------------------------------- over sockets


@dataclass
class Served:
    """A server that runs."""

    gateway: FakeGateway
    app: App
    port: int
    uvicorn: uvicorn.Server
    held: BodyBudget

    @property
    def url(self) -> str:
        """Return where it is."""
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        """Return the answer to a body, in JSON where it is none."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        with urllib3.PoolManager() as pool:
            return pool.request("POST", f"{self.url}{path}", body=content, headers=headers, retries=False)

    def connect(self, timeout_s: float = 60.0) -> socket.socket:
        """Return a connection of its own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def send(self, *parts: bytes, half: bool = False) -> bytes:
        """Send parts on a new connection; return all that comes until the server closes it."""
        with self.connect() as connection:
            for part in parts:
                try:
                    connection.sendall(part)
                except (BrokenPipeError, ConnectionResetError):
                    break
            if half:
                connection.shutdown(socket.SHUT_WR)
            return received(connection)


def received(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    found = bytearray()
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return bytes(found)


def post(path: str, body: bytes, *fields: str, close: bool = True) -> bytes:
    """Return a request as it goes over the wire."""
    head = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Content-Length: {len(body)}",
        *fields,
        *(["Connection: close"] if close else []),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


EMBED = b'{"model":"embedder","input":"hi"}'


@contextmanager
def served(
    gateway: FakeGateway, limits: Limits = USUAL, listen: Listen = LOOPBACK, routes: Sequence[BaseRoute] = ()
) -> Iterator[Served]:
    """Run the application as ``tightrope serve`` does, in a thread."""
    held = BodyBudget(limits.held_bytes)
    app = App(gateway, limits, routes, held)
    options = server_options(Settings("w", (), (), (), listen=listen, limits=limits), held)
    server = uvicorn.Server(uvicorn.Config(app, **options))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield Served(gateway, app, listening.getsockname()[1], server, held)
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


# ------------------------------------------------------------------------------------------------------------------- in process


@dataclass
class Answered:
    """What the application sent."""

    status: int = 0
    headers: dict[str, str] = None  # type: ignore[assignment]
    body: bytes = b""


async def asked(
    app: App, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, query: bytes = b""
) -> Answered:
    """Return what the application answers, without a server."""
    found = Answered()
    sent = {name.lower().encode(): value.encode() for name, value in (headers or {}).items()}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": query,
        "server": ("127.0.0.1", 80),
        "headers": [*sent.items(), (b"content-length", str(len(body)).encode())],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found.status = message["status"]
            found.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            found.body += message.get("body", b"")

    await app(scope, receive, send)
    return found


def ask(app: App, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answered:
    """Return what ``asked`` does, from outside a loop."""
    return asyncio.run(asked(app, method, path, body, headers))


def small(**changes: Any) -> Limits:
    """Return limits with some of them changed."""
    return replace(Limits(), **changes)
