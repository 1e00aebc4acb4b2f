"""The connection: uvicorn's HTTP/1.1 protocol, with limits where it has none.

uvicorn (0.54) and llhttp bound neither a request's head, nor its fields, nor trailers, nor the time until a head is whole, nor how long a
client may leave an answer unread; they tell a running answer only when asked that the client has hung up. Here each of these is bounded
before memory is taken, and an answer whose client is gone is cancelled at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tightrope.serve.config.settings import Limits
from tightrope.serve.protocols.body_budget import FULL, HELD, SMALL, BodyBudget, full
from tightrope.serve.protocols.error_bodies import openai_error
from tightrope.serve.protocols.http import ANSWERING, GONE, WHOLE, Header, Receive, Scope, Send, refusal_headers, send_refusal
from tightrope.serve.protocols.outbox import AnswerOutbox
from tightrope.serve.refusals import Malformed, RequestRefusal, TooLarge, TooMany, TooSlow

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method: Any) -> Any:  # noqa: ANN401 - as it is in typing, from Python 3.12 on
        """Return the method."""
        return method


HEADERS = 100
"""Header fields of one request."""
PIPELINED = 16
"""Requests of one connection that may wait behind the one that is answered."""
ENOUGH = 2**20
"""Bytes of a large body that earn a client its time anew."""


class _HeadTooLarge(TooLarge):
    """A request's head, or one field or trailer of it."""

    status = 431


def guarded(limits: Limits, held: BodyBudget | None = None) -> type["GuardedProtocol"]:
    """Return the protocol with its limits, as uvicorn makes one for each connection."""
    held = held or BodyBudget(limits.held_bytes)
    mine = {"limits": limits, "held": held, "near": held.most - limits.body_bytes, "outbox": AnswerOutbox()}
    return type("Guarded", (GuardedProtocol,), mine)


class GuardedProtocol(HttpToolsProtocol):
    """One connection, on which a client has ``read_s`` for whatever is its turn: a head, a body or its next MiB, reading an answer."""

    limits = Limits()
    held = BodyBudget(limits.held_bytes)
    """By all connections."""
    near = held.most - limits.body_bytes
    """While no more is held, any body fits."""
    outbox = AnswerOutbox()
    """Before anything else is written, or a connection closed, it is emptied."""

    _due: asyncio.TimerHandle | None = None
    """When what is to come must be whole."""
    _unread: asyncio.TimerHandle | None = None
    """When the client must have read something."""
    _in_head = False
    _moved = False
    """What came last finished a part: a head, a piece of a body. What never does is kept by the parser, and grows."""
    _pending = 0
    """Bytes that came since a part was finished."""
    _came = 0
    """Bytes of bodies that came since ``_due`` was set."""
    _discarded = 0
    """Bytes of a body that came after its answer."""
    _refusal: RequestRefusal | None = None
    _running: RequestResponseCycle | None = None
    """What is answered, or was last; ``cycle`` is the newest, which may wait behind it."""
    _task: asyncio.Task[None] | None = None
    _answered_s = 0.0
    """When the last answer went, by the loop's clock."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:
        """Let it in; beyond the limit every request on it is turned away."""
        super().connection_made(transport)
        self._set_due()
        if len(self.connections) > self.limits.connections:
            self.app = _no_room

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the answer that nobody reads."""
        self._stop_timers()
        self._let_go_waiting()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # which uvicorn leaves where the connection was reset: it kept all of this for its time
        scopes: list[Any] = [cycle.scope for cycle in (self.cycle, self._running) if cycle is not None]
        for one in scopes:
            one.pop(WHOLE, None)  # which knows the connection: nothing is left to the garbage collector
        running, task = self._running, self._task
        if running is None or task is None or running.response_complete:
            return
        scope: Any = running.scope
        task.add_done_callback(lambda _: self.held.let_go(scope))
        running.disconnected = True
        running.message_event.set()
        call: Any = scope.get(ANSWERING)
        if call is not None:
            call.gone = scope[GONE] = True
            task.cancel()

    # ----------------------------------------------------------------------------------------------------------- what comes

    @override
    def data_received(self, data: bytes) -> None:
        """Parse what came, and see that it leads somewhere."""
        if self.transport.is_closing():
            return
        self._moved = False
        self._pending += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(self._refusal or Malformed("what came is not HTTP/1.1"))
            return
        if self._moved:
            self._pending = 0
        elif self._pending > self.limits.header_bytes:
            self._refuse(_HeadTooLarge(f"the request's head is longer than {self.limits.header_bytes} bytes"))
            return
        self._keep_time()

    @override
    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head = True
        super().on_message_begin()
        self.scope[WHOLE] = self.write_whole  # pyrefly: ignore[bad-typed-dict-key] - a scope holds what servers add

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; leave trailers out, which could otherwise pass for fields."""
        if not self._in_head:
            return
        if len(self.headers) >= HEADERS:
            self._stop(_HeadTooLarge(f"the request has more than {HEADERS} header fields"))
        super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        """Take the request, where its head is within the limits."""
        if self.parser.should_upgrade():
            return
        self._in_head = False
        self._moved = True
        limit = self.limits.header_bytes
        if self._pending > limit and len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > limit:
            self._stop(_HeadTooLarge(f"the request's head is longer than {limit} bytes"))
        if len(self.pipeline) >= PIPELINED:
            self._stop(TooMany(f"more than {PIPELINED} requests wait on this connection", retry_after_s=1.0))
        super().on_headers_complete()
        if self.held.size > self.near:
            self._check_length()

    @override
    def on_body(self, body: bytes) -> None:
        """Take a part of a body; what comes after the answer is thrown away, up to a limit."""
        self._moved = True
        size, cycle = len(body), self.cycle
        self._came += size
        if cycle.response_complete:
            self._discarded += size
            if self._discarded > self.limits.body_bytes:
                self._close()
        else:
            held = self.held
            scope: Any = cycle.scope
            held.size += size
            mine = scope[HELD] = scope.get(HELD, 0) + size
            if held.size > held.most:
                self._check_held(scope, mine, size)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        """End a request."""
        if self.parser.should_upgrade():
            return
        self._moved = True
        self._discarded = 0
        super().on_message_complete()
        if self.flow.read_paused and self.cycle is self._running:
            self.flow.resume_reading()  # else who hangs up behind a large body would be noticed when it was answered

    @override
    def on_response_complete(self) -> None:
        """Let go of what was answered and go on as uvicorn does, but with one timer for all the pauses of a connection."""
        running: Any = self._running
        scope: Any = running.scope
        self.held.let_go(scope)
        scope.pop(ANSWERING, None)  # the body with it: an idle connection holds nothing
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._answered_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait_idle(self.timeout_keep_alive)

    def _check_length(self) -> None:
        """Have a request refused whose body will find no room."""
        length = next((int(value) for name, value in self.headers if name == b"content-length"), 0)
        if length > SMALL and self.held.size + length > self.held.most:
            scope: Any = self.scope
            scope[FULL] = True

    def _check_held(self, scope: Scope, mine: int, size: int) -> None:
        """Have a request refused that finds no room for its body's next part; where nothing fits any more, at once, and keep none of it."""
        if self.held.size > self.held.at_most:
            self.held.size -= size
            scope[HELD] = mine - size
            self._stop(full())
        if mine > SMALL:
            scope[FULL] = True

    def _let_go_waiting(self) -> None:
        """Forget the requests that wait behind the one that is answered."""
        for cycle, _ in self.pipeline:
            scope: Any = cycle.scope
            self.held.let_go(scope)
        self.pipeline.clear()

    def _stay(self, rest: bytes) -> None:
        """Read a request anew without its wish for another protocol, behind which the parser would not read its body."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(Malformed("CONNECT is not taken"))
            return
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self.data_received(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, self.url, b"".join(fields), rest))

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Callable[..., Awaitable[None]]) -> None:
        """Begin to answer; as uvicorn does, but the task is kept, to be cancelled."""
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._running, self._task = cycle, task

    def write_whole(self, status: int, headers: list[Header], body: bytes) -> bool:
        """Write an answer in one piece, as uvicorn does in two; return False where the client is gone, or does not read.

        Names and values are not searched for what a header may not hold: all of them are ours, or made sure of.
        """
        cycle = self._running
        if cycle is None or cycle.disconnected or self.flow.write_paused:
            return False
        lines = [STATUS_LINE[status], *[b"%b: %b\r\n" % header for header in (*self.server_state.default_headers, *headers)]]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        answer = b"".join((*lines, b"\r\n", body))
        if cycle.keep_alive:
            self.outbox.add(self.loop, partial(self._send, answer))
        else:
            self.transport.write(answer)
            self.transport.close()
        cycle.on_response()
        return True

    def _send(self, answer: bytes) -> None:
        """Write an answer, unless its client is gone by now."""
        if not self.transport.is_closing():
            self.transport.write(answer)

    def _close(self) -> None:
        """Close the connection behind what is in the outbox."""
        self.outbox.empty()
        self.transport.close()

    # --------------------------------------------------------------------------------------------------------------- timers

    def _keep_time(self) -> None:
        """Give a client a limited time while it is its turn."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            if self._due is None:
                self._set_due()
        elif self._due is not None:
            self._due.cancel()
            self._due = None

    def _set_due(self) -> None:
        """Begin to wait."""
        self._came = 0
        self._due = self.loop.call_later(self.limits.read_s, self._too_slow)

    def _too_slow(self) -> None:
        """Close a connection on which nothing whole came in time, unless it is we who do not read."""
        self._due = None
        if self.flow.read_paused or self._came >= ENOUGH:
            self._set_due()
        elif self._in_head or (self.cycle is not None and not self.cycle.response_complete):
            self._refuse(TooSlow(f"the request did not come whole within {self.limits.read_s:g} s"))
        else:
            self._close()

    def _wait_idle(self, within_s: float) -> None:
        """Look whether the connection is idle, when it may have been for long enough."""
        self.timeout_keep_alive_task = self.loop.call_later(within_s, self.timeout_keep_alive_handler)

    @override
    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for long enough, also where its client never read the last answer."""
        self.timeout_keep_alive_task = None
        if self._due is not None or not self.cycle.response_complete:
            return  # it waits again from the answer on
        left_s = self._answered_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0.0:
            self._wait_idle(left_s)
            return
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    @override
    def shutdown(self) -> None:
        """Close an idle connection at the server's end, soon also where its client never read the last answer."""
        self.outbox.empty()
        super().shutdown()
        if self.transport.is_closing() and self._unread is None:
            self._unread = self.loop.call_later(1.0, self.transport.abort)

    @override
    def pause_writing(self) -> None:
        """Give the client a limited time to read."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.limits.read_s, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        """Stop waiting: it reads."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _stop_timers(self) -> None:
        """Leave nothing behind in the loop."""
        for timer in (self._due, self._unread):
            if timer is not None:
                timer.cancel()
        self._due = self._unread = None

    # -------------------------------------------------------------------------------------------------------------- refusing

    def _stop(self, refusal: RequestRefusal) -> None:
        """Let the parser stop; ``data_received`` says why."""
        self._refusal = refusal
        raise refusal

    def _refuse(self, refusal: RequestRefusal) -> None:
        """Say no and close; where an answer is on its way, close behind it."""
        running = self._running
        self.outbox.empty()
        if running is not None and not running.response_complete and not running.more_body:
            running.keep_alive = False
            self.flow.pause_reading()
            return
        if running is None or running.response_complete or not running.response_started:
            body = openai_error(refusal)
            head = f"HTTP/1.1 {refusal.status} {refusal.code}\r\ncontent-type: application/json\r\nconnection: close\r\n"
            more = b"".join(b"%b: %b\r\n" % header for header in refusal_headers(refusal))
            self.transport.write(f"{head}content-length: {len(body)}\r\n".encode() + more + b"\r\n" + body)
        self.transport.close()


async def _no_room(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
    """Answer where there are too many connections."""
    refusal = TooMany("too many connections", retry_after_s=1.0, reason="connections")
    await send_refusal(send, refusal, openai_error(refusal), close=True)
