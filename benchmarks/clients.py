"""Shared by the benchmarks of serving: load on a server of this machine, closed loops by wrk, open ones by a client of our own.

Run as a program it reads what to ask as JSON on its standard input, and writes what came as JSON: it needs a process of its own.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import httptools
import numpy as np

from tightrope.base.errors import InputError

SCRIPT = Path(__file__).parent / "peers" / "bodies.lua"
PATIENCE_S = 1.0
"""An answer that has not come so long after the last request is none."""
MOST_CONNECTIONS = 2000
"""More than wait for an answer at once are not opened: what is asked beyond is lost, as where a client's sockets run out."""
ASKED_AGAIN = 3
"""How often a client that is turned away asks again, each time after the ``Retry-After``."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is asked, and how it wants a text put."""

    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Closed:
    """What a closed loop saw: good answers a second, latencies of all, and how many failed or were turned away."""

    per_s: float
    p50_ms: float
    p95_ms: float
    requests: int
    failed: int


@dataclass(slots=True)
class Open:
    """What an open loop saw, request by request: when it was to be asked, latency from then on, status (0: none), ``Retry-After``."""

    due_s: list[float] = field(default_factory=list)
    latency_s: list[float] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    retry_after_s: list[float] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    """How often it was asked before."""


# ----------------------------------------------------------------------------------------------------------------- closed loops


def closed_loop(target: Target, bodies: Sequence[str], seconds: float, connections: int = 32) -> Closed:
    """Return what wrk sees with one thread, going through ``bodies`` in order; raise ``InputError`` where there is no wrk."""
    if shutil.which("wrk") is None:
        msg = "wrk is not installed"
        raise InputError(msg, resolve="install wrk, which Debian and Homebrew have under that name")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(bodies))
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s", "-s", str(SCRIPT)]
        command += [f"http://127.0.0.1:{target.port}", "--", file.name, target.path]
        command += [part for header in target.headers for part in header]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    return Closed(**json.loads(done.stdout.rsplit("RESULT ", 1)[1]))


# ------------------------------------------------------------------------------------------------------------------- open loops


def arrivals(rate_per_s: float, seconds: float, cv: float, seed: int) -> list[float]:
    """Return arrival times: gamma gaps with this coefficient of variation, 1 is Poisson."""
    shape = 1.0 / cv**2
    gaps = np.random.default_rng(seed).gamma(shape, 1.0 / (shape * rate_per_s), int(2 * rate_per_s * seconds) + 100)
    times = np.cumsum(gaps)
    return times[times < seconds].tolist()


def open_loop(target: Target, bodies: Sequence[str], at_s: Sequence[float], *, again: bool = False) -> Open:
    """Return what a client sees that asks at these times, whatever becomes of the answers; ``again`` heeds ``Retry-After``."""
    asked = {"target": asdict(target), "bodies": bodies[: len(at_s)], "at_s": at_s, "again": again}
    command = [sys.executable, "-m", "benchmarks.clients"]
    done = subprocess.run(
        command,
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=max(at_s) + 120,
        cwd=Path(__file__).parents[1],
    )
    return Open(**json.loads(done.stdout))


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, one request at a time; the parser calls it by the names that start with ``on``."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[tuple[int, float]] | None = None
        self.parser = httptools.HttpResponseParser(self)
        self.retry_after_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio
        """Nothing more comes."""
        self.transport = None
        self._end((0, 0.0))

    def ask(self, request: bytes) -> "asyncio.Future[tuple[int, float]]":
        """Send a request; the future is its status and ``Retry-After``."""
        assert self.transport is not None
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Begin an answer."""
        self.retry_after_s = 0.0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note when to come back."""
        if name.lower() == b"retry-after":
            self.retry_after_s = float(value)

    def on_message_complete(self) -> None:
        """Hand the answer out."""
        self._end((self.parser.get_status_code(), self.retry_after_s))

    def _end(self, answer: tuple[int, float]) -> None:
        """Hand the answer out, or that there is none."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(answer)


class OpenLoop:
    """Asks at times that were set before."""

    def __init__(self, port: int, *, again: bool) -> None:
        """Begin with no connection."""
        self.port, self.again = port, again
        self.idle: list[Connection] = []
        self.opened = 0
        self.seen = Open()
        self.began_s = 0.0

    async def run(self, requests: list[bytes], at_s: list[float]) -> Open:
        """Ask, and wait for the answers for a while."""
        loop = asyncio.get_running_loop()
        self.began_s = loop.time() + 0.2
        asking = set()
        for request, due_s in zip(requests, at_s, strict=True):
            if (ahead_s := self.began_s + due_s - loop.time()) > 0.0005:
                await asyncio.sleep(ahead_s)
            asking.add(asyncio.create_task(self.ask(request, due_s)))
        done, left = await asyncio.wait(asking, timeout=PATIENCE_S + ASKED_AGAIN * 2.0 * self.again)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.gather(*done)  # a fault of the client's own is raised
        return self.seen

    async def ask(self, request: bytes, due_s: float, again: int = 0) -> None:
        """Ask once, and again where that is heeded; note what came."""
        status = 0
        after_s = 0.0
        try:
            connection = await self.connection()
            if connection is not None:
                status, after_s = await connection.ask(request)
                if connection.transport is not None and not connection.transport.is_closing():
                    self.idle.append(connection)
                else:
                    self.opened -= 1
        finally:
            seen, now_s = self.seen, asyncio.get_running_loop().time() - self.began_s
            for values, value in ((seen.due_s, due_s), (seen.latency_s, now_s - due_s), (seen.retry_after_s, after_s)):
                values.append(value)
            seen.status.append(status)
            seen.again.append(again)
        if self.again and status == 429 and again < ASKED_AGAIN:
            await asyncio.sleep(after_s)
            await self.ask(request, asyncio.get_running_loop().time() - self.began_s, again + 1)

    async def connection(self) -> Connection | None:
        """Return an idle connection or a new one; None where there are too many, or none can be had."""
        while self.idle:
            connection = self.idle.pop()
            if connection.transport is not None:
                return connection
            self.opened -= 1
        if self.opened >= MOST_CONNECTIONS:
            return None
        self.opened += 1
        try:
            return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self.port))[1]
        except OSError:
            self.opened -= 1
            return None


def written(target: Target, body: str) -> bytes:
    """Return a request as it goes out."""
    content = body.encode()
    fields = "".join(f"{name}: {value}\r\n" for name, value in target.headers)
    head = f"POST {target.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{fields}"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def main() -> None:
    """Do what standard input says."""
    import uvloop  # of the program alone

    asked = json.load(sys.stdin)
    target = Target(**asked["target"])
    requests = [written(target, body) for body in asked["bodies"]]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(OpenLoop(target.port, again=asked["again"]).run(requests, asked["at_s"]))
    json.dump(asdict(seen), sys.stdout)


if __name__ == "__main__":
    main()
