"""Asking a replica, and what its answer means: passed on, asked again elsewhere, or refused."""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ConnectionTimeoutError,
    SocketTimeoutError,
)

from tightrope.serve.records import Call
from tightrope.serve.refusals import Malformed, RequestRefusal, TimedOut, TooLarge, TooMany, Unavailable, UpstreamFailed
from tightrope.serve.upstream.dialect import UpstreamRequest, WholeAnswer, broken, error_of
from tightrope.serve.upstream.fleet import ReplicaFleet
from tightrope.serve.upstream.openai import FAILED
from tightrope.serve.upstream.replica import Replica, read_most

Again: TypeAlias = Literal["never", "elsewhere", "freely"]
"""``elsewhere``: nothing of the answer has come, within the budget; ``freely``: it was not even sent."""
PASSED_ON = {400: Malformed, 413: TooLarge, 422: Malformed}
"""What the client did wrong, in the server's words; any other 4xx is ours: the key, the model's name, the path."""
BUSY = frozenset({408, 502, 503, 504, 520, 521, 522, 523, 529})
"""It could not take the request now, or what stands before it could not reach it (52x: Cloudflare; 529: 503, in other words)."""
DOUBTFUL = frozenset({404, 500})
"""The request's own fault, or the server's: an engine that has died, a model that is not loaded there. A check tells."""
BEGINS_FAILED = tuple(b"data: " + failed for failed in FAILED)
"""A stream whose first event is an error, as vLLM ends those that wait when its engine dies, is as doubtful."""
UNASKED_REST_S = 1.0
"""Where a server turns a request away with 429 or 503 (Triton, whose queue is full) and does not say for how long."""
TAKE_NO_MORE = "the model's servers take no more requests now"
ERROR_BYTES = 64 * 1024
EVENT_STREAM = "text/event-stream"


class Failure(Exception):  # noqa: N818 - it is caught here, or turned into a refusal
    """One replica did not answer; ``again`` says whether another may be asked."""

    def __init__(self, refusal: RequestRefusal, again: Again = "never") -> None:
        self.refusal, self.again = refusal, again
        super().__init__(refusal.message)


@dataclass(slots=True)
class ReplicaAnswer:
    """A replica's answer: whole, or the first part of a stream."""

    replica: Replica
    asked: UpstreamRequest
    whole: WholeAnswer | None = None
    first: bytes = b""
    response: ClientResponse | None = None
    """Of a stream: what follows."""


class Sender:
    """Asks replicas, and tells the fleet how they did. Whoever gets an answer with a stream releases its replica."""

    def __init__(self, fleet: ReplicaFleet, headers: Callable[[], dict[str, str]], most_bytes: int, model: str) -> None:
        """``headers`` go with each request; an answer has so many bytes at most; ``model`` is the server's name for it."""
        self._fleet, self._headers, self._most_bytes, self._model = fleet, headers, most_bytes, model
        self._own_name = re.compile(rf"(?<![\w-]){re.escape(model)}(?![\w-])")
        self._begun: set[asyncio.Task[ReplicaAnswer]] = set()

    async def ask(self, call: Call, asked: UpstreamRequest, replica: Replica) -> ReplicaAnswer:
        """Return the answer of a replica that has a place for the call; raise ``Failure``, and then the place is free again."""
        keep = False
        try:
            got = await self._ask(call, asked, replica)
            keep = got.response is not None
            return got
        finally:
            if not keep:
                self._fleet.release(replica)

    def begin(self, asking: Coroutine[Any, Any, ReplicaAnswer]) -> asyncio.Task[ReplicaAnswer]:
        """Ask in a task beside; whoever does not take its answer is to ``drop`` it."""
        task = asyncio.create_task(asking)
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return task

    def drop(self, task: asyncio.Task[ReplicaAnswer]) -> None:
        """Let go of a stream that nobody takes, of a task that is done."""
        got = None if task.cancelled() or task.exception() is not None else task.result()
        if got is not None and got.response is not None:
            got.response.close()
            self._fleet.release(got.replica)

    async def stop(self) -> None:
        """Wait for what was given up to end."""
        await asyncio.gather(*self._begun, return_exceptions=True)

    async def _ask(self, call: Call, asked: UpstreamRequest, replica: Replica) -> ReplicaAnswer:
        """Return the answer of a replica; raise ``Failure``."""
        headers = {**asked.headers, **self._headers(), "X-Request-Id": call.identity}
        if call.traceparent:
            headers["traceparent"] = call.traceparent
        try:
            response = await replica.post(asked.path, asked.body, headers)
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            raise self._not_sent(replica, error) from error
        except (ClientError, OSError) as error:
            raise self._broken_off(replica, error) from error
        try:
            return await self._read(call, asked, replica, response)
        except BaseException:
            response.close()
            raise

    async def _read(self, call: Call, asked: UpstreamRequest, replica: Replica, response: ClientResponse) -> ReplicaAnswer:
        """Return what came of an answer whose head says that it is one; raise ``Failure``."""
        if response.status != 200:
            raise await self._refused(call, replica, response)
        replica.heard_s = time.monotonic()
        begun = False
        try:
            if call.stream and response.content_type == EVENT_STREAM:
                if first := await response.content.readany():
                    if first.startswith(BEGINS_FAILED) and not await self._fleet.is_well(replica):
                        raise Failure(UpstreamFailed("the model's server failed before it had answered"), "elsewhere")
                    return ReplicaAnswer(replica, asked, first=first, response=response)
                raise self._broken_off(replica, ClientPayloadError("an empty stream"))
            body = bytearray()
            while part := await response.content.readany():
                begun = True
                body += part
                replica.heard_s = time.monotonic()
                if len(body) > self._most_bytes:
                    raise Failure(broken(f"more than {self._most_bytes:,} bytes"))
        except (ClientError, OSError) as error:
            failure = self._broken_off(replica, error)
            raise Failure(failure.refusal) if begun else failure from error
        return ReplicaAnswer(replica, asked, WholeAnswer(response.content_type, response.headers, bytes(body)))

    # ---------------------------------------------------------------------------------------------------------- what went wrong

    def _not_sent(self, replica: Replica, error: ClientError) -> Failure:
        """Return the failure of a request that no server got."""
        if isinstance(error, ConnectionTimeoutError):
            self._fleet.failure(replica, "no connection in time", rest=True)
        else:
            self._fleet.unreachable(replica)
        return Failure(UpstreamFailed("no server of the model could be reached", reason="connect"), "freely")

    def _broken_off(self, replica: Replica, error: Exception) -> Failure:
        """Return the failure of a request whose answer did not come whole."""
        if isinstance(error, SocketTimeoutError):
            self._fleet.failure(replica, "silence", rest=False)
            return Failure(TimedOut("the model's server did not answer in time", reason="upstream_silent"))
        alone = replica.failed == 0  # it may have closed an idle connection just when that was used
        self._fleet.failure(replica, type(error).__name__, rest=not alone)
        return Failure(UpstreamFailed("the model's server broke off before it had answered", reason="broken_off"), "elsewhere")

    async def _refused(self, call: Call, replica: Replica, response: ClientResponse) -> Failure:
        """Return the failure that a status other than 200 stands for."""
        status, after_s = response.status, retry_after(response)
        body = b""
        with suppress(ClientError, OSError):
            body = await read_most(response.content, ERROR_BYTES)
        response.close()
        if status in PASSED_ON:
            self._fleet.answered(replica)
            message, field = error_of(body)
            refused = f"the model's server refused the request with {status}"
            refusal = PASSED_ON[status](self._in_our_words(message, call.model) or refused, parameter=field)
            refusal.logged = refused  # the server's words may hold what the client sent
            return Failure(refusal)
        if status == 429 or (status == 503 and after_s is not None):
            self._fleet.told(replica, status, UNASKED_REST_S if after_s is None else after_s)
            kind = TooMany if status == 429 else Unavailable
            return Failure(kind(TAKE_NO_MORE, retry_after_s=after_s or UNASKED_REST_S, reason="upstream_busy"), "elsewhere")
        busy = status in BUSY
        if status >= 500:
            self._fleet.failure(replica, str(status), rest=busy)
        lost = busy or (status in DOUBTFUL and not await self._fleet.is_well(replica))
        again: Again = "elsewhere" if lost else "never"
        if status == 503:
            return Failure(Unavailable(TAKE_NO_MORE, retry_after_s=UNASKED_REST_S, reason="upstream_busy"), again)
        if status >= 500:
            return Failure(UpstreamFailed(f"the model's server failed with {status}"), again)
        refusal = UpstreamFailed(f"the model's server answered with {status}", reason=f"status_{status}")
        refusal.logged = f"{refusal.message} to {response.url.path}"
        return Failure(refusal, again)

    def _in_our_words(self, message: str, name: str) -> str:
        """Return a server's message with the client's name of the model in place of its own, where that stands alone."""
        return self._own_name.sub(lambda _: name, message) if self._model else message


def retry_after(response: ClientResponse) -> float | None:
    """Return the seconds after which a server wants to be asked again, said as such or as a date; None where it does not say."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
