"""A process that leaves: what it says, for how long, and that nobody's request fails for it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from tightrope.render.infra.kube import containers
from tightrope.serve.drain import shutdown
from tightrope.serve.drain.notices import Notice
from tightrope.serve.drain.shutdown import MARGIN_S, GracefulShutdown
from tightrope.serve.records import Caller
from tightrope.serve.refusals import Forbidden, NotFound, RequestRefusal, Unauthenticated

LIMIT_S = 60.0


@dataclass
class Work:
    """Requests in flight, and a clock that sleeping moves."""

    in_flight: int = 0
    now_s: float = 100.0
    ends_s: float = 1e9
    """When the requests are answered."""

    def drain(self, **more: Any) -> GracefulShutdown:
        """Return one that asks here."""
        return GracefulShutdown(lambda: 0 if self.now_s >= self.ends_s else self.in_flight, clock=lambda: self.now_s, **more)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    made = Work()

    async def sleep(seconds: float) -> None:
        made.now_s += seconds

    monkeypatch.setattr(shutdown.asyncio, "sleep", sleep)
    return made


def test_it_leaves_as_long_as_the_rendered_pods_wait() -> None:
    assert shutdown.LEAVES_S == containers.LEAVES_S


def test_it_says_at_once_that_it_leaves_and_takes_what_comes_for_a_while(work: Work) -> None:
    async def leave() -> tuple[float, int]:
        drain = work.drain(leaves_s=5.0)
        assert drain.ready
        drain.leave("SIGTERM")
        assert (drain.ready, drain.state, drain.why) == (False, "leaving", "SIGTERM")
        await drain.still_taking()
        took_s = work.now_s - 100.0
        rest = await drain.finished()
        assert drain.state == "gone"
        return took_s, rest

    took_s, rest = asyncio.run(leave())
    assert took_s == pytest.approx(5.0, abs=0.1)
    assert rest == 0


@pytest.mark.parametrize(
    ("within_s", "deadline_s", "ends_s", "expected_s", "rest"),
    [
        (600.0, None, 130.0, 30.0, 0),
        (600.0, None, 101.0, 5.0, 0),
        (60.0, None, 1e9, 60.0, 3),
        (600.0, 130.0, 1e9, 30.0 - MARGIN_S, 3),
        (600.0, 130.0, 120.0, 20.0, 0),
        (600.0, 104.0, 1e9, 4.0 - MARGIN_S, 3),
        (600.0, 50.0, 1e9, 0.0, 3),
    ],
)
def test_it_waits_until_nothing_is_in_flight_or_the_time_is_up(
    work: Work, within_s: float, deadline_s: float | None, ends_s: float, expected_s: float, rest: int
) -> None:
    work.in_flight, work.ends_s = 3, ends_s

    async def leave() -> int:
        drain = work.drain(within_s=within_s)
        drain.leave("spot notice", deadline_s)
        await drain.still_taking()
        return await drain.finished()

    assert asyncio.run(leave()) == rest
    assert work.now_s - 100.0 == pytest.approx(expected_s, abs=0.1)


def test_the_first_reason_stays_and_the_first_deadline_holds(work: Work) -> None:
    async def leave() -> None:
        work.in_flight = 1
        drain = work.drain()
        drain.leave("POST /drain")
        drain.leave("spot notice", 140.0)
        drain.leave("SIGTERM")
        drain.leave("spot notice", 190.0)
        assert drain.why == "POST /drain"
        await drain.finished()

    asyncio.run(leave())
    assert work.now_s == pytest.approx(140.0 - MARGIN_S, abs=0.1)


def test_a_notice_makes_it_leave_and_a_hint_does_not(work: Work) -> None:
    async def leave() -> None:
        drain, heard = work.drain(), list[tuple[str, bool]]()

        async def said() -> AsyncIterator[Notice]:
            yield Notice("hint", "1")
            assert drain.ready
            yield Notice("taken", "2", 150.0)

        await drain.heed(said(), lambda notice: heard.append((notice.identity, drain.ready)))
        await drain.left()
        assert heard == [("1", True), ("2", False)]
        assert (drain.state, drain.why) == ("leaving", "spot notice")

    asyncio.run(leave())


def test_a_notice_that_can_not_be_written_down_makes_it_leave_all_the_same(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    async def leave() -> None:
        drain = work.drain()

        async def said() -> AsyncIterator[Notice]:
            yield Notice("hint", "1")
            yield Notice("taken", "2", 150.0)

        def told(notice: Notice) -> None:
            raise OSError(28, notice.identity)

        await drain.heed(said(), told)
        assert not drain.ready

    asyncio.run(leave())
    assert [record.levelname for record in caplog.records].count("ERROR") == 2


# ---------------------------------------------------------------------------------------------------------------- POST /drain


async def post(
    drain: GracefulShutdown, *, peer: str = "127.0.0.1", host: str = "127.0.0.1:8000", method: str = "POST", **headers: str
) -> int:
    """Return the status with which ``/drain`` answers."""

    async def authenticate(request: Request) -> Caller:
        key = request.headers.get("authorization", "")
        if not key:
            message = "no key"
            raise Unauthenticated(message)
        name = key.removeprefix("Bearer ")
        return Caller("t", "" if name == "nobody" else name, frozenset({"admin"} if name == "admin" else {"infer"}))

    async def refused(request: Request, error: Exception) -> Any:
        assert isinstance(error, RequestRefusal)
        return Response(status_code=error.status)

    app = Starlette(routes=[drain.route(authenticate)], exception_handlers={RequestRefusal: refused})
    named = {"host": host, **{name.replace("_", "-"): text for name, text in headers.items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": "/drain",
        "raw_path": b"/drain",
        "query_string": b"",
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "headers": [(name.encode(), text.encode()) for name, text in named.items()],
        "client": (peer, 4000),
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"]


ADMIN = {"authorization": "Bearer admin"}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({**ADMIN}, 202),
        ({**ADMIN, "peer": "::1", "host": "[::1]:8000"}, 202),
        ({**ADMIN, "host": "localhost"}, 202),
        ({"authorization": "Bearer nobody"}, 202),
        ({"authorization": "Bearer other"}, Forbidden.status),
        ({}, Unauthenticated.status),
        ({**ADMIN, "peer": "10.0.0.9"}, NotFound.status),
        ({**ADMIN, "host": "api.example.com"}, NotFound.status),
        ({**ADMIN, "host": "127.0.0.1.example.com"}, NotFound.status),
        ({**ADMIN, "x_forwarded_for": "127.0.0.1"}, NotFound.status),
        ({**ADMIN, "forwarded": "for=127.0.0.1"}, NotFound.status),
        ({**ADMIN, "method": "GET"}, 405),
    ],
)
def test_only_this_machine_and_whoever_may_can_tell_it_to_leave(asked: dict[str, str], status: int) -> None:
    async def ask() -> None:
        drain = GracefulShutdown(lambda: 0)
        assert await post(drain, **asked) == status
        assert drain.ready == (status != 202)

    asyncio.run(ask())


# --------------------------------------------------------------------------------------------------------------- all of it

SERVER = """
import asyncio, sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tightrope.serve.drain.shutdown import GracefulShutdown

state = {"n": 0}
async def work(request):
    state["n"] += 1
    try:
        await asyncio.sleep(0.05)
        return PlainTextResponse("done", headers={} if drain.ready else {"Connection": "close"})
    finally:
        state["n"] -= 1
async def ready(request):
    return PlainTextResponse("", status_code=200 if drain.ready else 503)

async def main():
    global drain
    drain = GracefulShutdown(lambda: state["n"], leaves_s=float(sys.argv[1]))
    app = Starlette(routes=[Route("/work", work, methods=["POST"]), Route("/readyz", ready)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    let_go = drain.on_signals()
    ticks = asyncio.ensure_future(server.main_loop())
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await drain.still_taking()
    server.should_exit = True
    await ticks
    rest = await drain.finished()
    await server.shutdown()
    let_go()
    print(drain.why, rest, flush=True)
asyncio.run(main())
"""


async def send_until_told(port: int, answers: list[str], stop: asyncio.Event) -> None:
    """Send requests one after another as a balancer does, until the server is known to be leaving."""
    async with aiohttp.ClientSession() as session:
        while not stop.is_set():
            try:
                async with session.post(f"http://127.0.0.1:{port}/work") as answer:
                    answers.append(await answer.text())
            except aiohttp.ClientError as error:
                answers.append(repr(error))


async def watch(port: int, process: subprocess.Popen[str], answers: list[str], stop: asyncio.Event) -> None:
    """Ask for readiness now and then as a balancer does; say at once when it is gone."""
    async with aiohttp.ClientSession() as session:
        while len(answers) < 40:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        while True:
            async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                if answer.status == 503:
                    stop.set()
                    return
            await asyncio.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
def test_no_request_fails_when_it_is_told_to_go() -> None:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", SERVER, "5.0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603 - ourselves
        try:
            assert process.stdout is not None
            port, answers = int(process.stdout.readline()), list[str]()

            async def load() -> None:
                stop = asyncio.Event()
                async with asyncio.timeout(LIMIT_S):
                    clients = [send_until_told(port, answers, stop) for _ in range(8)]
                    await asyncio.gather(*clients, watch(port, process, answers, stop))

            asyncio.run(load())
            out, _ = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
    assert set(answers) == {"done"}
    assert out.strip() == "SIGTERM 0"
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT")
def test_a_second_interrupt_does_not_wait() -> None:
    async def leave() -> int:
        drain = GracefulShutdown(lambda: 2, leaves_s=0.0)
        let_go = drain.on_signals()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            async with asyncio.timeout(LIMIT_S):
                await drain.left()
                assert drain.state == "leaving"
                os.kill(os.getpid(), signal.SIGINT)
                return await drain.finished()
        finally:
            let_go()

    assert asyncio.run(leave()) == 2
