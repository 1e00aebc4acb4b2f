"""A streamed answer on its way from a server to the client."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from aiohttp import ClientError

from tightrope.serve.upstream.openai import ChatEvents
from tightrope.serve.upstream.sender import ReplicaAnswer

TAIL_BYTES, TAIL_S = 64 * 1024, 1.0
"""After the event that ends an answer, what may still come and for how long, for its connection to be used again."""
ENDS = b"data: [DONE]\n\n"
BROKEN = (
    b'data: {"error":{"message":"the model\'s server broke off before the answer was whole","type":"upstream_failed",'
    b'"param":null,"code":"upstream_failed"}}\n\n'
)


class EventRelay:
    """Passes whole events on as they come; where the server breaks off, the last one says so.

    It reads no faster than it is asked to. ``ended`` hears once when it is over, however that came: ``aclose`` breaks the server off.
    """

    def __init__(
        self, got: ReplicaAnswer, events: ChatEvents, first_token: Callable[[], None], ended: Callable[[int, bool], None]
    ) -> None:
        """Begin with what has come; ``ended`` is told the bytes passed on, and whether the server did as it should."""
        assert got.response is not None  # noqa: S101 - only streams come here
        self._replica, self._response, self._chunk = got.replica, got.response, got.first
        self._events, self._first_token, self._ended = events, first_token, ended
        self._sent = 0
        self._over = False

    def __aiter__(self) -> "EventRelay":
        """Return itself: it can be read once."""
        return self

    async def __anext__(self) -> bytes:
        """Return what is to be passed on next."""
        while not self._over:
            try:
                out = await self._next()
            except (ClientError, OSError, ValueError):
                out = self._broken()
            except BaseException:
                self._close(fine=True)
                raise
            if out:
                self._sent += len(out)
                return out
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Break the server off, if it is not done: the client reads no more."""
        self._close(fine=True)

    async def _next(self) -> bytes:
        """Return what the next part of the answer gives to pass on, which may be nothing."""
        if self._events.done:
            await self._finish()
            return b""
        chunk, self._chunk = self._chunk or await self._response.content.readany(), b""
        if not chunk:
            return self._unsaid()
        self._replica.heard_s = time.monotonic()
        had_token = self._events.has_token
        out = self._events.feed(chunk)
        if self._events.has_token and not had_token:
            self._first_token()
        return out

    async def _finish(self) -> None:
        """Read the end of the answer, so that its connection can be used again, if it comes at once."""
        left = TAIL_BYTES
        with suppress(ClientError, OSError):
            async with asyncio.timeout(TAIL_S):
                while left > 0 and (part := await self._response.content.readany()):
                    left -= len(part)
        self._close(fine=True)

    def _unsaid(self) -> bytes:
        """End where the server has, without the event that says so: ``transformers serve`` sends none."""
        if not self._events.is_whole():
            return self._broken()
        self._close(fine=True)
        return ENDS

    def _broken(self) -> bytes:
        """End with an event that says that the answer is not whole."""
        self._close(fine=False)
        return b"" if self._events.failed else BROKEN  # it has said so itself

    def _close(self, *, fine: bool) -> None:
        """Let go of the connection and tell, once."""
        if self._over:
            return
        self._over = True
        self._response.close()
        self._ended(self._sent, fine and not self._events.failed)
        del self._ended, self._first_token  # which know the reply, and that this: nothing is left to the garbage collector
