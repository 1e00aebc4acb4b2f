"""``GracefulShutdown``: a process that serves, leaves and is gone, without a request that fails for it.

``serving``: requests are to be sent here. ``leaving``: they are not, which is said at once (``ready``, ``Connection: close``), but what
comes all the same is answered for ``LEAVES_S`` seconds, until every sender knows; then nothing more is taken, and what has begun is
finished. ``gone``: nothing is in flight, or the time is up.
"""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from typing import Literal, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tightrope.serve.drain.notices import Notice
from tightrope.serve.records import Caller
from tightrope.serve.refusals import Forbidden, NotFound

State: TypeAlias = Literal["serving", "leaving", "gone"]
LEAVES_S = 5.0
"""As long as the rendered pods' ``preStop`` waits (``render.infra.kube.containers``), for the same reason."""
MARGIN_S = 2.0
"""Before a machine is taken, everything is to be written and closed."""
LOOK_S = 0.02
"""Between looks at whether anything is in flight."""
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "via", "x-real-ip")
"""A request that has one of these came through a proxy, from anywhere."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)
log = logging.getLogger(__name__)


class GracefulShutdown:
    """Whether this process serves, and until when; of one event loop."""

    def __init__(
        self,
        in_flight: Callable[[], int],
        *,
        leaves_s: float = LEAVES_S,
        within_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve; ``within_s`` is the longest that leaving takes, ``in_flight`` what is not answered yet."""
        self.state: State = "serving"
        self.why = ""
        self._in_flight, self._leaves_s, self._within_s, self._clock = in_flight, leaves_s, within_s, clock
        self._deadline_s = float("inf")
        self._begun_s = float("inf")
        self._leaving = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether requests are to be sent here."""
        return self.state == "serving"

    def leave(self, why: str, deadline_s: float | None = None) -> None:
        """Begin to leave, or hurry: of several deadlines (of the clock) the first holds."""
        now_s = self._clock()
        if self.state == "serving":
            self.state, self.why, self._begun_s = "leaving", why, now_s
            self._deadline_s = now_s + self._within_s
            self._leaving.set()
            log.info("leaving: %s; %d requests in flight", why, self._in_flight())
        if deadline_s is not None:
            self._deadline_s = min(self._deadline_s, max(now_s, deadline_s - MARGIN_S))

    async def left(self) -> None:
        """Wait until it is told to leave."""
        await self._leaving.wait()

    async def still_taking(self) -> None:
        """Wait, once it leaves, until no more requests need to be taken: then the listening sockets may close."""
        await self.left()
        while self._clock() < min(self._begun_s + self._leaves_s, self._deadline_s):
            await asyncio.sleep(LOOK_S)

    async def finished(self) -> int:
        """Wait, once nothing more is taken, until nothing is in flight or the time is up; return what is left."""
        while self._in_flight() > 0 and self._clock() < self._deadline_s:
            await asyncio.sleep(LOOK_S)
        self.state = "gone"
        rest = self._in_flight()
        log.log(logging.WARNING if rest else logging.INFO, "left, with %d requests unanswered", rest)
        return rest

    # ------------------------------------------------------------------------------------------------------------- who says so

    def on_signals(self) -> Callable[[], None]:
        """Leave on SIGTERM and SIGINT, a second SIGINT at once; return what lets go of them. For the main thread's running loop."""
        loop = asyncio.get_running_loop()

        def heard(number: signal.Signals) -> None:
            again = number == signal.SIGINT and self.state != "serving"
            self.leave(number.name, self._clock() if again else None)

        for number in SIGNALS:
            loop.add_signal_handler(number, heard, number)

        def let_go() -> None:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

        return let_go

    async def heed(self, notices: AsyncIterator[Notice], told: Callable[[Notice], object]) -> None:
        """Leave when a cloud says that this machine is taken; ``told`` hears every notice, hints too, and holds nothing up."""
        async for notice in notices:
            if notice.kind == "taken":
                self.leave("spot notice", notice.deadline_s)
            log.warning("the cloud says that this machine is %s", "taken" if notice.kind == "taken" else "likelier to be taken")
            try:
                told(notice)
            except Exception:
                log.exception("the notice could not be written down")

    def route(self, authenticate: Callable[[Request], Awaitable[Caller]]) -> Route:
        """Return ``POST /drain``: for this machine alone, and where keys are asked for, for one with the scope ``admin``.

        It answers at once. From elsewhere, or through a proxy here, there is no such path.
        """

        async def drain(request: Request) -> Response:
            if not _is_from_here(request):
                msg = "there is nothing here"
                raise NotFound(msg)
            caller = await authenticate(request)
            if caller.key and "admin" not in caller.scopes:
                msg = "this key may not stop the server: it needs the scope admin"
                raise Forbidden(msg)
            self.leave("POST /drain")
            return JSONResponse({"state": self.state, "in_flight": self._in_flight()}, status_code=202)

        return Route("/drain", drain, methods=["POST"])


def _is_from_here(request: Request) -> bool:
    """Return whether a request was made on this machine, for it, and not passed on."""
    peer = request.client.host if request.client else ""
    passed_on = any(name in request.headers for name in FORWARDED)
    return not passed_on and _is_loopback(peer) and _is_loopback(request.url.hostname or "")


def _is_loopback(host: str) -> bool:
    """Return whether a name or address is this machine's own.

    >>> [_is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "::ffff:127.0.0.1", "10.0.0.1", "", "127.0.0.1.example.com")]
    [True, True, True, True, False, False, False]
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
