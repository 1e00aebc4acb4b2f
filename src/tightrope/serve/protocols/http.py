"""One request over HTTP, whatever its protocol: who asks, its body within the limits, the answer or the refusal, with our headers."""

import asyncio
import functools
import itertools
import logging
import math
import random
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias

from tightrope.policy.admission import RETRIED_S, come_back_s
from tightrope.serve.access.keys import check_scope
from tightrope.serve.config.settings import Limits
from tightrope.serve.interfaces import GatewayLike
from tightrope.serve.protocols.body_budget import FULL, Receive, Scope, full
from tightrope.serve.records import NUSD_PER_USD, Call, Caller, Reply, Task, Tensors
from tightrope.serve.refusals import Failed, Forbidden, Malformed, RequestRefusal, TooLarge, Unavailable, Unsupported

Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

ANSWERING = "tightrope.answering"
"""Key in a scope: the call that is answered, which ``connection.py`` cancels where the client hangs up."""
GONE = "tightrope.gone"
"""Key in a scope: the client hung up, and that is why the answer is cancelled."""
WHOLE = "tightrope.whole"
"""Key in a scope: what writes an answer in one piece, at a third of what two messages cost; it returns False where they are needed."""
SAID = frozenset((b"cache-control", b"traceparent", b"x-tightrope-class", b"x-tightrope-session", b"x-tightrope-tag"))
"""Header fields that say more of a call."""
WANTED = SAID | {
    b"authorization",
    b"api-key",
    b"content-length",
    b"content-encoding",
    b"expect",
    b"inference-header-content-length",
    b"origin",
    b"x-request-id",
}
SANE = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
"""Request identities that are taken over; of others nothing is said, and one is made."""
LOOPBACK = ("127.0.0.1", "::1")
PUBLIC = re.compile(r"[\w.-]+\.(?!(?:localhost|local|internal)\.?(?::|$))[a-z][\w-]*\.?(?::|$)", re.IGNORECASE)
"""A host that is named as sites of the internet are; what ends in a number is an address."""
LONGEST_TRACE = 128
"""A traceparent that is longer is none: no request fails for how it is traced."""
CLOSE: Header = (b"connection", b"close")
JSON = b"application/json"
NONE: Mapping[Any, Any] = MappingProxyType({})
PROCESS, COUNTER = f"req-{secrets.token_hex(6)}-", itertools.count(1)

draw: Callable[[], float] = random.random
"""Spreads the clients that are told to come back."""
log = logging.getLogger("tightrope.serve")


@dataclass(slots=True)
class RequestHead:
    """What a request says beside its body."""

    identity: str
    caller: Caller
    arrived_s: float
    headers: Mapping[bytes, bytes]
    model: str = ""
    """Where the path names it."""
    traffic_class: str = ""
    deadline_s: float | None = None

    def call(
        self,
        task: Task,
        model: str,
        inputs: tuple[str, ...] | Tensors,
        *,
        body: bytes = b"",
        parameters: Mapping[str, Any] = NONE,
        stream: bool = False,
    ) -> Call:
        """Return the call; raise ``Malformed`` where a header is too long."""
        headers = self.headers
        call = Call(self.identity, self.caller, task, model, inputs, self.arrived_s, self.traffic_class, body, parameters, stream)
        call.deadline_s = self.deadline_s
        if not SAID.isdisjoint(headers):
            self._say(call, headers)
        return call

    def _say(self, call: Call, headers: Mapping[bytes, bytes]) -> None:
        """Note what the client says in headers."""
        if b"x-tightrope-class" in headers:
            call.traffic_class = _words(headers, b"x-tightrope-class", 64)
        if b"x-tightrope-tag" in headers:
            call.tag = _words(headers, b"x-tightrope-tag", 64)
        if b"x-tightrope-session" in headers:
            call.session = _words(headers, b"x-tightrope-session", 256)
        if len(headers.get(b"traceparent", b"")) <= LONGEST_TRACE:
            call.traceparent = headers.get(b"traceparent", b"").decode("latin-1")
        if b"no-store" in headers.get(b"cache-control", b"").lower():
            call.parameters = {**call.parameters, "cache": False}


class WrittenAnswer(NamedTuple):
    """An answer as it goes out."""

    body: bytes
    content_type: bytes = JSON
    status: int = 200
    headers: tuple[Header, ...] = ()


Write: TypeAlias = Callable[[Reply], WrittenAnswer]


class Endpoint(Protocol):
    """One path of a protocol."""

    limits: Limits

    def read(self, body: bytes, asked: RequestHead) -> tuple[Call, Write]:
        """Return the call that a body asks for, and what writes its reply; raise ``RequestRefusal``."""
        ...

    def refuse(self, refusal: RequestRefusal) -> bytes:
        """Return a refusal in the protocol's words, as JSON."""
        ...


# --------------------------------------------------------------------------------------------------------------------- coming in


def make_identity() -> str:
    """Return a name for a request that no other has."""
    return f"{PROCESS}{next(COUNTER):x}"


def identity_of(headers: Mapping[bytes, bytes]) -> str:
    """Return the client's name for the request where it is sane, else one of ours."""
    said = headers.get(b"x-request-id")
    return said.decode() if said is not None and SANE.fullmatch(said) else make_identity()


def authorization_of(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key as the header ``Authorization`` has it, also where it came as ``api-key``."""
    said = headers.get(b"authorization")
    if said is not None:
        return said.decode("latin-1")
    key = headers.get(b"api-key")
    return None if key is None else f"Bearer {key.decode('latin-1')}"


def caller_of(gateway: GatewayLike, headers: Mapping[bytes, bytes]) -> Caller:
    """Return who asks; raise ``Unauthenticated``, and ``Forbidden`` for a browser's page that has no key.

    No page of another origin may use what is open to this machine alone; with a key it is a program of the user's.
    """
    authorization = authorization_of(headers)
    if authorization is None and b"origin" in headers:
        msg = "pages in a browser are not served without a key"
        raise Forbidden(msg, parameter="Origin")
    return gateway.caller(authorization)


def check_host(scope: Scope, caller: Caller) -> None:
    """Raise ``Forbidden`` for a page whose own name was pointed at this machine (DNS rebinding): it may read as of its own origin.

    What it says as a key proves nothing where none are asked for.
    """
    if caller.key or scope["server"][0] not in LOOPBACK:
        return
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    if PUBLIC.match(host):
        msg = f"without keys this machine is asked by a name of its own, such as localhost, not as {host[:100]!r}"
        raise Forbidden(msg, parameter="Host")


async def read_body(scope: Scope, receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes | None:
    """Return the body, None where the client hung up; raise ``TooLarge`` or ``TooMany`` before more than the limits is held."""
    if b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity":
        msg = "compressed bodies are not taken: send it as it is"
        raise Unsupported(msg, parameter="Content-Encoding")
    length = headers.get(b"content-length")
    if length is not None and int(length) > limit:
        msg = f"the body has {int(length)} bytes, and {limit} are taken"
        raise TooLarge(msg, parameter="Content-Length")
    if FULL in scope:
        raise full()
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body = message.get("body", b"")
    if message.get("more_body"):
        return await _read_on(scope, receive, body, limit)
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _read_on(scope: Scope, receive: Receive, first: bytes, limit: int) -> bytes | None:
    """Return a body that comes in parts."""
    body, more = bytearray(first), True
    while more and len(body) <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if FULL in scope:
            raise full()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if len(body) > limit:
        raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    """Return the refusal of a body that did not say its length."""
    return TooLarge(f"the body has more than the {limit} bytes that are taken")


def _words(headers: Mapping[bytes, bytes], name: bytes, longest: int) -> str:
    """Return a header as text."""
    value = headers[name]
    if len(value) > longest:
        field = name.decode()
        msg = f"{field}: longer than {longest} letters"
        raise Malformed(msg, parameter=field)
    return value.decode("latin-1")


# --------------------------------------------------------------------------------------------------------------------- going out


async def answer(gateway: GatewayLike, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send, model: str = "") -> None:
    """Answer one request; whatever happens, a client that is there gets an answer in the protocol's words."""
    try:
        await _answer(gateway, endpoint, scope, receive, send, model)
    except asyncio.CancelledError:
        if GONE in scope:
            return
        refusal = Unavailable("the server is going away", retry_after_s=1.0)
        with suppress(RuntimeError):  # a part of the answer is out: the connection is closed behind it
            await send_refusal(send, refusal, endpoint.refuse(refusal), close=True)


async def _answer(gateway: GatewayLike, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send, model: str) -> None:
    """Answer one request, or refuse it."""
    arrived_s = time.monotonic()
    headers = {name: value for name, value in scope["headers"] if name in WANTED}
    identity = identity_of(headers)
    try:
        caller = caller_of(gateway, headers)
        if b"origin" in headers:
            check_host(scope, caller)
        check_scope(caller, "infer")
        body = await read_body(scope, receive, headers, endpoint.limits.body_bytes)
        if body is None:
            return
        call, write = endpoint.read(body, RequestHead(identity, caller, arrived_s, headers, model))
        scope[ANSWERING] = call
        reply = await gateway.answer(call)
        if reply.raw is not None and reply.raw.stream is not None:
            await _stream(endpoint, identity, reply, send)
        else:
            await send_written(scope, send, identity, reply, write(reply))
    except RequestRefusal as refusal:
        await send_refusal(send, refusal, endpoint.refuse(refusal), identity, close=b"expect" in headers, scope=scope)
    except Exception:
        refusal = Failed(f"something went wrong here; the log says more under {identity}")
        log.exception("request failed", extra={"request": identity})
        await send_refusal(send, refusal, endpoint.refuse(refusal), identity)


async def send_written(scope: Scope, send: Send, identity: str, reply: Reply, written: WrittenAnswer) -> None:
    """Send an answer that is whole."""
    body, content_type, status, more = written
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        *told_of(identity, reply, ended=True),
        *more,
    ]
    await _send(scope, send, status, headers, body)


async def _send(scope: Scope, send: Send, status: int, headers: list[Header], body: bytes) -> None:
    """Send head and body, in one piece where that can be."""
    whole = scope.get(WHOLE)
    if whole is not None and whole(status, headers, body):
        return
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_refusal(
    send: Send, refusal: RequestRefusal, body: bytes, identity: str = "", *, close: bool = False, scope: Scope | None = None
) -> None:
    """Send why it is not answered, and when to come back."""
    headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body)), *refusal_headers(refusal)]
    if identity:
        headers.append((b"x-request-id", identity.encode()))
    if close:
        headers.append(CLOSE)
    await _send({} if scope is None or close else scope, send, refusal.status, headers, body)


def refusal_headers(refusal: RequestRefusal) -> list[Header]:
    """Return when to come back, spread so that not all do at once; in whole seconds, and for OpenAI's clients in milliseconds.

    These are also told whether to ask again by themselves is of use.
    """
    headers: list[Header] = []
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    needed_s = refusal.retry_after_s
    if needed_s is not None or refusal.status in {429, 503}:
        seconds, exact_s = come_back_s(needed_s or 1.0, draw())
        headers += [(b"retry-after", b"%d" % seconds), (b"retry-after-ms", b"%d" % math.ceil(1000.0 * exact_s))]
        if (needed_s or 1.0) > RETRIED_S:
            headers.append((b"x-should-retry", b"false"))
    return headers


async def _stream(endpoint: Endpoint, identity: str, reply: Reply, send: Send) -> None:
    """Send an answer as it comes; what breaks it off is said in the stream, never left out."""
    raw = reply.raw
    if raw is None or raw.stream is None:
        return
    headers = [(b"content-type", header_text(raw.content_type)), (b"cache-control", b"no-cache")]
    headers += told_of(identity, reply, ended=False)
    async with aclosing(raw.stream) as parts:  # pyrefly: ignore[bad-specialization] - a stream can be closed
        await send({"type": "http.response.start", "status": raw.status, "headers": headers})
        try:
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except RequestRefusal as refusal:
            await send({"type": "http.response.body", "body": _event(endpoint, refusal), "more_body": True})
        except Exception:
            refusal = Failed(f"the answer broke off; the log says more under {identity}")
            log.exception("stream failed", extra={"request": identity})
            await send({"type": "http.response.body", "body": _event(endpoint, refusal), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _event(endpoint: Endpoint, refusal: RequestRefusal) -> bytes:
    """Return a refusal as a server-sent event, behind whatever part was not ended."""
    return b"\n\ndata: " + endpoint.refuse(refusal) + b"\n\n"


def told_of(identity: str, reply: Reply, *, ended: bool) -> list[Header]:
    """Return what is said of an answer: what it cost only when that is known."""
    headers = [
        (b"x-request-id", identity.encode()),
        (b"x-tightrope-pool", header_text(reply.pool)),
        (b"x-tightrope-variant", header_text(reply.variant)),
    ]
    if ended:
        nusd = reply.nusd
        if nusd is not None:
            headers.append((b"x-tightrope-cost-usd", b"%d.%09d" % divmod(nusd, NUSD_PER_USD)))
    if reply.cached:
        headers.append((b"x-tightrope-cache", reply.cached.encode()))
    return headers


@functools.lru_cache(maxsize=1024)
def header_text(text: str) -> bytes:
    r"""Return a name as a header may hold it.

    >>> header_text("mini\nlm é")
    b'mini?lm ?'
    """
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text).encode()
