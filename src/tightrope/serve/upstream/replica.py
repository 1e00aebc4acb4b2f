"""One server: its connections, what it has to do, and what is known of how it is."""

import asyncio
import socket
import time
from collections.abc import Callable
from hashlib import blake2b
from math import inf
from typing import Any

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, StreamReader, TCPConnector
from yarl import URL

from tightrope.policy.routing import expected_wait
from tightrope.serve.config.settings import Upstream
from tightrope.serve.upstream.name_resolver import NameResolver
from tightrope.serve.upstream.oip import ModelMetadata

KEEP_ALIVE_S = 4.0
"""Less than the 5 s after which uvicorn, and so vLLM, closes an idle connection: a request must not meet one that closes."""
STILL_THERE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
"""A connection on which nothing comes for 10 s is asked every 5 s whether its other end is there, and broken off after the third time.

The system there answers, also for a process that is busy or stopped; and what lies between does not forget the connection.
"""
NAMES_S = 10
"""For which the addresses of a name are kept."""
_MASK = (1 << 64) - 1


class Replica:
    """One server at a base URL; lives in one event loop."""

    def __init__(self, base: str, upstream: Upstream, host: str = "") -> None:
        """Connect to nothing yet; ``host`` is the server's name where the URL has its address."""
        self.base, self.host = base, host
        self.name = base.split("://", 1)[1]
        self.since_s = time.monotonic()
        self.seed = number(base.encode())
        self.outstanding = 0
        """Requests on it."""
        self.used = 0
        """Which request was its last: of replicas with as much to do, the one that was asked longest ago is next."""
        self.ready = self.there = self.leaving = False
        """It may be asked; something listens there; it takes no more and goes when it is done."""
        self.was_ready = False
        self.takes_bytes = False
        """Of the Open Inference Protocol: tensors as bytes,"""
        self.said: ModelMetadata | None = None
        """what it says of its model, None where it has not,"""
        self.learned_s = -inf
        """and when it said so."""
        self.rests_until_s = 0.0
        """It is not asked before then,"""
        self.told: int = 0
        """because it said so, with this status; 0 is that it failed."""
        self.out_until_s = 0.0
        self.failed = self.failed_checks = self.ejected = 0
        """Requests and checks that failed one after another; times that it was left out for how it answered."""
        self.heard_s = self.since_s
        """When something came of it last, of a check or of an answer that is no refusal,"""
        self.silent_checks, self.silent_since_s = 0, self.since_s
        """and the checks that nothing came of since."""
        self.waiting: set[Callable[[], None]] = set()
        """What is done where it is found silent, by each request whose answer has not begun."""
        self.why = ""
        """What its last check said, so that it is logged once."""
        self.due = asyncio.Event()
        """It is to be checked now."""
        self.doubt: asyncio.Task[None] | None = None
        """A check because a request failed in a way that makes one doubt it,"""
        self.sure_until_s = 0.0
        """and until when the last of them is believed."""
        self._urls: dict[str, URL] = {}
        self._before_path = base.removesuffix("/v1")  # many state a base URL with it, as OpenAI's own clients want it
        self._connect_s = upstream.connect_s
        self._names = NameResolver()
        self._session = ClientSession(
            connector=TCPConnector(
                limit=0, keepalive_timeout=KEEP_ALIVE_S, resolver=self._names, ttl_dns_cache=NAMES_S, socket_factory=_socket
            ),
            timeout=ClientTimeout(total=None, connect=upstream.connect_s, sock_read=upstream.answer_s),
            headers={"Host": host} if host else None,
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
            cookie_jar=DummyCookieJar(),
        )

    @property
    def wait(self) -> tuple[float, int]:
        """By which replicas are compared: the least goes first."""
        return expected_wait(self.outstanding, 1.0), self.used

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> ClientResponse:
        """Send a request; return when the answer's head has come."""
        return await self._session.post(
            self._url(path), data=body, headers=headers, allow_redirects=False, server_hostname=self._server_name
        )

    async def get(self, path: str, headers: dict[str, str], within_s: float, most_bytes: int = 1 << 20) -> tuple[int, bytes]:
        """Return status and body (as much of it as may be) of a small question."""
        timeout = ClientTimeout(total=within_s, connect=self._connect_s)
        async with self._session.get(
            self._url(path), headers=headers, allow_redirects=False, timeout=timeout, server_hostname=self._server_name
        ) as response:
            self.heard_s = time.monotonic()
            return response.status, await read_most(response.content, most_bytes)

    async def close(self) -> None:
        """Close all connections, whatever is on them."""
        await self._session.close()
        await self._names.close()

    @property
    def _server_name(self) -> str | None:
        """The name that its certificate must have, where that is not in the URL."""
        return self.host.rsplit(":", 1)[0] if self.host and self.base.startswith("https") else None

    def _url(self, path: str) -> URL:
        """Return the URL of a path, which is one of few."""
        if (found := self._urls.get(path)) is None:
            found = self._urls[path] = URL(self._before_path + path, encoded=True)
        return found


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket that notices where the machine at its other end is gone, though nothing is sent to it."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in STILL_THERE:
        if hasattr(socket, name):  # each system has some of them
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


async def read_most(content: StreamReader, most_bytes: int) -> bytes:
    """Return an answer's body, or as much of it as may be."""
    body = b""
    while len(body) < most_bytes and (part := await content.readany()):
        body += part
    return body[:most_bytes]


def number(key: bytes) -> int:
    """Return 64 bits that are the same in every process."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


def nearness(key: int, seed: int) -> int:
    """Return how near a key is to a replica: the nearest is the same for every gateway, and the others' when it goes (rendezvous hashing).

    The mixing is that of splitmix64 (Steele, Lea, Flood, 2014).
    """
    mixed = key ^ seed
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _MASK
    return mixed ^ (mixed >> 31)
