"""The same connection fed in process, in whatever pieces the network makes: borders change nothing, and no bytes are a defect."""

import asyncio
import gc
import time
import weakref
from typing import Any

import pytest
import uvicorn
from front_door import EMBED, USUAL, FakeGateway, post, small
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from tightrope.serve.app import App
from tightrope.serve.protocols.connection import GuardedProtocol, guarded
from tightrope.serve.protocols.outbox import MOST, AnswerOutbox

APP = App(FakeGateway(), USUAL)
CHUNKED = b"POST /v1/embeddings HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(EMBED), EMBED)
SENT = {
    "whole": post("/v1/embeddings", EMBED, "X-Request-Id: r1"),
    "chunked": CHUNKED,
    "pipelined": post("/v1/embeddings", EMBED, close=False) + CHUNKED,
    "upgraded": post("/v1/embeddings", EMBED, "Upgrade: h2c", "Connection: Upgrade", close=False),
    "refused": post("/v1/embeddings", b"{"),
}


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def get_extra_info(self, _: str) -> Any:
        """Say nothing."""
        return None

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data

    def is_closing(self) -> bool:
        """Say whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Close."""
        self.closed = True

    def pause_reading(self) -> None:
        """Go on: what comes is up to the test."""

    abort, resume_reading = close, pause_reading

    def get_write_buffer_size(self) -> int:
        """Hold nothing back."""
        return 0


def connected() -> tuple[GuardedProtocol, Wire, ServerState]:
    """Return a connection on the loop that runs, what it writes to, and the server's state."""
    made = guarded(small(header_bytes=1000))
    config = uvicorn.Config(APP, http=made, ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    wire, state = Wire(), ServerState()
    connection = made(config, state, {}, asyncio.get_running_loop())
    connection.connection_made(wire)  # type: ignore[arg-type]
    return connection, wire, state


def answered(*pieces: bytes) -> bytes:
    """Return what a connection answers to these pieces."""

    async def run() -> bytes:
        connection, wire, state = connected()
        for piece in pieces:
            if piece and not wire.closed:
                connection.data_received(piece)
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not state.tasks
        return wire.written

    return asyncio.run(run())


@pytest.mark.parametrize("how", ["refused", "shut down", "closed"])
def test_what_is_in_the_outbox_goes_before_anything_else_and_before_the_end(how: str) -> None:
    async def run() -> bytes:
        connection, wire, _ = connected()
        connection.data_received(post("/v1/embeddings", EMBED, close=False))
        for _ in range(100):
            if connection.outbox._writes:
                break
            await asyncio.sleep(0)
        assert wire.written == b""
        if how == "shut down":
            connection.shutdown()
        elif how == "refused":
            connection.data_received(b"no HTTP\r\n\r\n")
        else:
            connection._close()
        assert wire.closed
        return wire.written

    found = asyncio.run(run())
    assert found.startswith(b"HTTP/1.1 200")
    assert found.count(b"HTTP/1.1 ") == (2 if how == "refused" else 1)


def test_an_idle_connection_stays_whatever_it_had_to_wait_for_before() -> None:
    """There is one timer for all the pauses: it would be over before the last answer."""

    async def run() -> list[bool]:
        loop, ahead_s = asyncio.get_running_loop(), 0.0
        loop.time = lambda: time.monotonic() + ahead_s  # type: ignore[method-assign]
        connection, wire, _ = connected()
        closed = []
        for pause in (0.8, 0.8, 0.8, 1.1):
            ahead_s += pause * connection.timeout_keep_alive
            for _ in range(20):
                await asyncio.sleep(0)
            closed.append(wire.closed)
            if not wire.closed:
                connection.data_received(post("/v1/embeddings", EMBED, close=False))
            for _ in range(20):
                await asyncio.sleep(0)
        return closed

    assert asyncio.run(run()) == [False, False, False, True]


@pytest.mark.parametrize("turns", [1, 3, 50])
def test_a_connection_that_has_ended_leaves_nothing_to_the_garbage_collector(turns: int) -> None:
    async def run() -> "weakref.ref[GuardedProtocol]":
        connection, _, state = connected()
        connection.data_received(post("/v1/embeddings", EMBED, close=False))
        for _ in range(turns):  # while it is read, worked on, and when it was answered
            await asyncio.sleep(0)
        connection.connection_lost(None)
        while state.tasks:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return weakref.ref(connection)

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(run())() is None
    finally:
        gc.enable()


def test_answers_go_together_in_their_order_and_the_first_does_not_wait_for_too_many() -> None:
    async def run() -> list[int]:
        box, sent = AnswerOutbox(), []
        for place in range(MOST + 2):
            box.add(asyncio.get_running_loop(), lambda place=place: sent.append(place))
            assert len(sent) == (MOST if place >= MOST - 1 else 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return sent

    assert asyncio.run(run()) == list(range(MOST + 2))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(SENT)), st.lists(st.integers(1, 400), max_size=6).map(sorted))
def test_borders_change_nothing(name: str, borders: list[int]) -> None:
    sent = SENT[name]
    pieces = [sent[start:end] for start, end in zip([0, *borders], [*borders, len(sent)], strict=True)]
    found, whole = answered(*pieces), answered(sent)
    assert [line.split(b"\r\n")[0] for line in found.split(b"HTTP/1.1 ")] == [
        line.split(b"\r\n")[0] for line in whole.split(b"HTTP/1.1 ")
    ]
    assert found.count(b"HTTP/1.1 ") == (2 if name == "pipelined" else 1)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(SENT)), st.integers(0, 400), st.binary(min_size=1, max_size=8), st.booleans())
def test_no_bytes_are_a_defect(name: str, at: int, put: bytes, inserted: bool) -> None:
    sent = SENT[name]
    found = answered(sent[:at] + put + sent[at + (0 if inserted else len(put)) :])
    assert b"HTTP/1.1 5" not in found
