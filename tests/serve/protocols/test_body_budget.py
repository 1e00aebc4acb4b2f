"""All bodies that are held have a limit in sum: what would go beyond is refused before memory is taken, and nothing is counted for ever."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from front_door import EMBED, FakeGateway, Served, post, received, served, small
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from test_guard_pieces import APP, Wire
from uvicorn.server import ServerState

from tightrope.serve.app import App
from tightrope.serve.protocols.body_budget import SMALL, BodyBudget
from tightrope.serve.protocols.connection import GuardedProtocol, guarded
from tightrope.serve.refusals import TooMany

MOST = 512 * 1024
LIMITS = small(held_bytes=MOST, body_bytes=MOST // 2)
HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def body_of(model: str, size: int) -> bytes:
    """Return a request's body of so many bytes."""
    spare = len(json.dumps({"model": model, "input": ""}))
    return json.dumps({"model": model, "input": "x" * (size - spare)}).encode()


def until(condition: Callable[[], Any], within_s: float = 60.0) -> None:
    """Wait for what is to happen in the server's thread."""
    ends_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_s
        time.sleep(0.005)


async def upload(request: Request) -> JSONResponse:
    """Write a file as it comes: count it."""
    size = 0
    async for part in request.stream():
        size += len(part)
    return JSONResponse({"size": size})


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with served(FakeGateway(), LIMITS, routes=[Route("/v1/files", upload, methods=["POST"])]) as server:
        yield server


@pytest.fixture
def server(running: Served) -> Iterator[Served]:
    """Lend a server that holds nothing, and see that it holds nothing in the end."""
    until(lambda: running.held.size == 0)
    yield running
    until(lambda: running.held.size == 0)


@pytest.fixture
def almost_full(server: Served) -> Iterator[Served]:
    """Lend a server that holds nearly all it may, for requests that are not answered yet."""
    first, second = server.connect(), server.connect()
    with first, second:
        for connection in (first, second):
            connection.sendall(post("/v1/embeddings", body_of("slow", MOST // 2 - 20_000)))
        until(lambda: server.held.size == MOST - 40_000)
        yield server


def refused(found: bytes) -> bool:
    """Return whether an answer says to come back."""
    head, _, body = found.partition(b"\r\n\r\n")
    return (
        head.startswith(b"HTTP/1.1 429")
        and b"\r\nretry-after: " in head
        and json.loads(body)["error"]["message"] == "more bytes of requests are held than there is room for"
    )


# ----------------------------------------------------------------------------------------------------- nothing is counted for ever


@pytest.mark.parametrize(
    "sent",
    [
        post("/v1/embeddings", EMBED),
        post("/v1/embeddings", b"{"),
        post("/v1/embeddings", EMBED, close=False) * 5 + post("/v1/embeddings", EMBED),
        CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(EMBED), EMBED) + post("/v1/embeddings", EMBED),
        post("/v1/nothing", b"x" * 100_000),
        post("/v1/embeddings", b"x" * MOST),
        post("/v1/embeddings", EMBED, "Content-Encoding: gzip"),
        HEAD + b"Content-Length: 90000\r\n\r\n" + b"x" * 80_000,
        CHUNKED + b"x\r\n",
        CHUNKED + b"5\r\nhello\r\nx\r\n",
        post("/v1/embeddings", EMBED, "Upgrade: h2c", "Connection: Upgrade", close=False) + post("/v1/embeddings", EMBED),
        post("/v1/embeddings", body_of("broken", 1000)),
        post("/v1/chat/completions", b'{"model":"broken-talker","stream":true,"messages":[{"role":"user"}]}'),
    ],
    ids=[
        "answered",
        "malformed",
        "pipelined",
        "chunked",
        "not found",
        "too large",
        "compressed",
        "never whole",
        "no chunk",
        "garbage",
        "upgraded",
        "failed",
        "stream broken",
    ],
)
def test_what_was_answered_is_held_no_more(server: Served, sent: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(sent)
        if b"Content-Length: 90000" in sent:
            until(lambda: server.held.size == 80_000)
        else:
            assert received(connection)
    until(lambda: server.held.size == 0)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("behind", [0, 3], ids=["alone", "with others behind"])
def test_a_body_is_held_until_its_client_is_gone(server: Served, reset: bool, behind: int) -> None:
    body = body_of("slow", 30_000)
    with server.connect() as connection:
        connection.sendall(post("/v1/embeddings", body, close=False) + post("/v1/embeddings", EMBED, close=False) * behind)
        until(lambda: server.held.size == 30_000 + behind * len(EMBED))
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: server.held.size == 0)


def test_who_hangs_up_behind_a_large_body_is_noticed() -> None:
    """Uvicorn reads on when the application asks for more of a body, and of a whole one nothing more is asked."""

    async def run() -> None:
        gateway = FakeGateway()
        config = uvicorn.Config(App(gateway, LIMITS), ws="none", lifespan="off", log_config=None, access_log=False)
        config.load()
        connection = guarded(LIMITS)(config, ServerState(), {}, asyncio.get_running_loop())
        connection.connection_made(Wire())  # type: ignore[arg-type]
        connection.data_received(post("/v1/embeddings", body_of("slow", 100_000), close=False))
        while not gateway.began.is_set():
            await asyncio.sleep(0)
        assert not connection.flow.read_paused
        connection.data_received(post("/v1/embeddings", EMBED))
        assert connection.flow.read_paused  # what waits behind is not read on
        connection.connection_lost(None)
        while not gateway.closed.is_set() or connection.held.size:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_file_that_is_written_as_it_comes_is_not_held(server: Served) -> None:
    """It has many times what may be held."""
    size = 20 * MOST
    with server.connect() as connection:
        connection.sendall(post("/v1/files", b"x" * size))
        assert received(connection).endswith(b'{"size":%d}' % size)


# --------------------------------------------------------------------------------------------------------------------- refusing


def test_a_body_without_room_is_refused_by_its_length(almost_full: Served) -> None:
    """Before a byte of it came, and before who asks first is told to send it; the connection lives on."""
    server = almost_full
    before = server.held.size
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        assert refused(connection.recv(65536))
        assert server.held.size == before
        connection.sendall(b"x" * 100_000 + post("/v1/embeddings", EMBED))
        assert received(connection).startswith(b"HTTP/1.1 200 OK")
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\nExpect: 100-continue\r\n\r\n")
        assert refused(received(connection))


def test_a_body_that_does_not_say_its_length_is_refused_as_it_comes(almost_full: Served) -> None:
    server = almost_full
    with server.connect() as connection:
        connection.sendall(CHUNKED + b"ea60\r\n" + b"x" * 60_000 + b"\r\n")
        until(lambda: server.held.size > MOST)
        connection.sendall(b"4e20\r\n" + b"x" * 20_000 + b"\r\n")
        assert refused(connection.recv(65536))
        until(lambda: server.held.size == MOST - 40_000)


def test_small_bodies_are_let_in_beside_large_ones_that_come_slowly(almost_full: Served) -> None:
    server = almost_full
    with server.connect() as slow:
        slow.sendall(post("/v1/embeddings", body_of("slow", 45_000)))
        until(lambda: server.held.size > MOST)
        assert server.send(post("/v1/embeddings", body_of("embedder", 10_000))).startswith(b"HTTP/1.1 200 OK")


def test_too_large_for_ever_is_told_before_too_much_now(almost_full: Served) -> None:
    assert almost_full.send(HEAD + b"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n").startswith(b"HTTP/1.1 413")


def test_the_limit_is_kept_before_any_request_is_looked_at() -> None:
    """Many connections bring what they may send at once, before the loop gives anybody a turn."""
    limits = small(held_bytes=4 * SMALL, body_bytes=4 * SMALL)
    protocol = guarded(limits)

    async def run() -> None:
        config = uvicorn.Config(APP, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False)
        config.load()
        pairs: list[tuple[GuardedProtocol, Wire]] = []
        for _ in range(40):
            wire, connection = Wire(), protocol(config, ServerState(), {}, asyncio.get_running_loop())
            connection.connection_made(wire)  # type: ignore[arg-type]
            connection.data_received(HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 20_000)
            pairs.append((connection, wire))
            kept = sum(len(connection.cycle.body) for connection, _ in pairs)
            assert kept == protocol.held.size <= protocol.held.at_most
        turned_away = [wire.written for _, wire in pairs if wire.closed]
        assert len(turned_away) > 20
        assert all(refused(written) for written in turned_away)
        for connection, _ in pairs:
            connection.connection_lost(None)
        while protocol.held.size:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_what_is_held_whole_is_counted_by_whoever_holds_it() -> None:
    held = BodyBudget(8 * SMALL)
    held.take(7 * SMALL + 1)
    with pytest.raises(TooMany, match="more bytes of requests are held") as caught:
        held.take(SMALL + 1)
    assert (caught.value.reason, caught.value.retry_after_s) == ("held", 1.0)
    held.take(SMALL)
    held.take(SMALL - 1)
    with pytest.raises(TooMany):
        held.take(1)
    assert held.size == held.at_most
