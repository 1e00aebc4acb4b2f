"""Servers of which nothing comes: processes that are stopped, and those that are only busy."""

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from upstream_stand_in import (
    ANSWER,
    LIMIT_S,
    Bench,
    Server,
    bench,
    call,
    read,
    said,
    says,
    sse,
    streams,
    token,
    until,
    waits_for,
    within,
)

from tightrope.serve.config.settings import ServedPool
from tightrope.serve.records import Call, Reply
from tightrope.serve.upstream.hedging import Race
from tightrope.serve.upstream.replica import STILL_THERE, Replica

WIDE = ServedPool("p", "m", "v", usd_per_hour=3.6, concurrency=100.0)
QUICK: dict[str, Any] = {"pool": WIDE, "health_s": 0.1, "connect_s": 0.25}
"""Three checks that nothing comes of take about a second."""


@dataclass
class Process:
    """A server in a process of its own."""

    port: int
    pid: int

    @property
    def name(self) -> str:
        """Return it as a replica is named."""
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Let it do nothing more."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)


@contextmanager
def process() -> Iterator[Process]:
    """Lend a server that can be stopped; it goes with this process, whatever becomes of that."""
    command = [sys.executable, str(Path(__file__).with_name("stand_in_process.py"))]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
    try:
        assert child.stdout is not None
        yield Process(int(child.stdout.readline()), child.pid)
    finally:
        child.kill()
        child.communicate()


@asynccontextmanager
async def frozen_and_well(frozen: Process, well: Server, **upstream: Any) -> AsyncIterator[Bench]:
    """Lend a pool of a process, which is asked first, and a server in this one."""
    await well.start()
    async with bench(urls=(f"http://{frozen.name}", f"http://{name(well)}"), **(QUICK | upstream)) as on:
        await until(lambda: on.ready == 1 + (well.health == 200))
        yield on
    await well.stop()


def name(server: Server) -> str:
    """Return a server as a replica is named."""
    return server.url.removeprefix("http://")


def replica(on: Bench, of: Process) -> Replica:
    return on.pool._fleet.replicas[f"http://{of.name}"]


def ask(on: Bench, count: int, text: str = "hi", **fields: Any) -> tuple[list[Call], list[asyncio.Task[Reply]]]:
    calls = [call(text, **fields) for _ in range(count)]
    return calls, [asyncio.create_task(on.pool.answer(item)) for item in calls]


# ------------------------------------------------------------------------------------------------------------------ asked elsewhere


def test_what_waits_on_a_process_that_is_stopped_is_answered_by_another() -> None:
    async def work() -> None:
        well = Server()
        with process() as frozen:
            async with frozen_and_well(frozen, well) as on:
                frozen.stop()
                calls, tasks = ask(on, 8)
                replies = await asyncio.gather(*tasks)
                assert {reply.replica for reply in replies} == {name(well)}
                assert len(well.asked) == 8
                lost = [item.lost_nusd or 0 for item in calls if item.lost]
                assert len(lost) == 4
                assert all(lost)
                reading = on.meter.read(on.meter.clock())
                assert reading.used_nusd == reading.ended_nusd == sum(lost) + sum(reply.compute_nusd or 0 for reply in replies)
                assert replica(on, frozen).outstanding == 0
                frozen.go_on()
                await until(lambda: on.ready == 2)
                assert {(await on.ask()).replica for _ in range(4)} == {frozen.name, name(well)}

    within(work())


def test_a_stream_that_has_not_begun_comes_from_another() -> None:
    async def work() -> None:
        well = Server([streams(sse(token("a"), b"[DONE]"))])
        with process() as frozen:
            async with frozen_and_well(frozen, well) as on:
                frozen.stop()
                reply = await on.ask(stream=True)
                assert said(await read(reply))[-1] == b"[DONE]"
                assert reply.replica == name(well)

    within(work())


def test_no_more_is_asked_elsewhere_than_the_budget_has_and_the_rest_waits_on() -> None:
    async def work() -> None:
        with process() as frozen:
            async with frozen_and_well(frozen, Server()) as on:
                frozen.stop()
                _, tasks = ask(on, 28)
                await until(lambda: replica(on, frozen).outstanding == 14)
                on.pool._budget._left = 10.0
                await until(lambda: sum(task.done() for task in tasks) == 14 + 10)
                assert replica(on, frozen).outstanding == 4
                frozen.go_on()
                replies = await asyncio.gather(*tasks)
                assert [reply.replica for reply in replies].count(frozen.name) == 4

    within(work())


def test_nothing_is_asked_elsewhere_where_nothing_may_be_or_nobody_is_well() -> None:
    async def work() -> None:
        for retries, health in ((0, 200), (1, 503)):
            well = Server(health=health)
            with process() as frozen:
                async with frozen_and_well(frozen, well, retries=retries) as on:
                    frozen.stop()
                    (asked,), (task,) = ask(on, 1)
                    await until(lambda: replica(on, frozen).silent_checks >= 4)
                    assert not well.asked
                    assert not asked.lost
                    frozen.go_on()
                    assert (await task).replica == frozen.name

    within(work())


def test_a_request_may_be_given_up_while_another_is_asked() -> None:
    async def work() -> None:
        with process() as frozen:
            well = Server([says(ANSWER, after_s=30.0)])
            async with frozen_and_well(frozen, well) as on:
                frozen.stop()
                _, tasks = ask(on, 2, stream=True)
                await until(lambda: well.open == 2)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await until(lambda: well.cancelled == 2)
                assert sum(item.outstanding for item in on.pool._fleet.replicas.values()) == 0

    within(work())


# -------------------------------------------------------------------------------------------------------------- left where it is


def test_the_answer_of_a_process_that_was_only_busy_is_taken(tmp_path: Path) -> None:
    async def work() -> None:
        well = Server([says(ANSWER, after_s=30.0)])
        with process() as busy:
            async with frozen_and_well(busy, well) as on:
                (asked,), (task,) = ask(on, 1, f"busy {tmp_path / 'done'}")
                await until(lambda: well.open == 1)
                (tmp_path / "done").touch()
                assert (await task).replica == busy.name
                await until(lambda: well.cancelled == 1)
                assert asked.lost_nusd

    within(work())


def test_a_stream_that_has_begun_waits_for_the_process_to_go_on() -> None:
    async def work() -> None:
        with process() as frozen:
            async with frozen_and_well(frozen, Server()) as on:
                reply = await on.ask(text="stream", stream=True)
                assert reply.raw is not None
                assert reply.raw.stream is not None
                first = await anext(reply.raw.stream)
                frozen.stop()
                await until(lambda: replica(on, frozen).silent_checks >= 4)
                frozen.go_on()
                parts = said(first + await read(reply))
                assert [part["choices"][0]["delta"]["content"] for part in parts[:-1]] == ["a", "b"]
                assert reply.raw.status == 200

    within(work())


@dataclass
class Mute(Server):
    """A server that answers everything but checks."""

    mute: int = -1
    """Checks that it has not answered."""

    async def healthy(self, request: web.Request) -> web.Response:
        """Answer a check, or never."""
        if self.mute >= 0:
            self.mute += 1
            await asyncio.sleep(LIMIT_S)
        return await super().healthy(request)


def test_a_server_that_answers_something_stays_until_it_does_not() -> None:
    async def flows(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while not ended.is_set():
            await response.write(sse(token("a")))
            await asyncio.sleep(0.02)
        await response.write(sse(b"[DONE]"))
        return response

    ended, gate = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        busy, other = Mute([flows, waits_for(gate)]), Server([waits_for(gate), says(ANSWER)])
        async with bench(busy, other, **QUICK) as on:
            stream = asyncio.create_task(read(await on.ask(stream=True)))
            _, (held, task) = ask(on, 2)
            await until(lambda: (busy.open, other.open) == (2, 1))
            busy.mute = 0
            await until(lambda: busy.mute >= 6)
            assert on.ready == 2
            assert len(other.asked) == 1
            ended.set()
            await stream
            assert (await task).replica == name(other)
            assert on.ready == 1
            gate.set()
            await held

    within(work())


def test_a_server_that_refuses_checks_is_left_to_finish() -> None:
    async def work() -> None:
        gate = asyncio.Event()
        going, other = Server([waits_for(gate)]), Server()
        async with bench(going, other, **QUICK) as on:
            _, (task,) = ask(on, 1)
            await until(lambda: going.open == 1)
            assert going._runner is not None
            for site in list(going._runner.sites):
                await site.stop()  # it listens no more, and what it has begun goes on
            found = on.pool._fleet.replicas[going.url]
            await until(lambda: found.failed_checks >= 6)
            gate.set()
            assert (await task).replica == name(going)
            assert not other.asked

    within(work())


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system does not let it be set")
def test_a_connection_asks_whether_its_other_end_is_there() -> None:
    async def work() -> None:
        async with bench(Server([streams(sse(token("a")), between_s=30.0)]), **QUICK) as on:
            (found,) = on.pool._fleet.replicas.values()
            response = await found.post("/v1/chat/completions", b"{}", {})
            assert response.connection is not None
            assert response.connection.transport is not None
            options = response.connection.transport.get_extra_info("socket")
            assert options.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            stated = [options.getsockopt(socket.IPPROTO_TCP, getattr(socket, option)) for option, _ in STILL_THERE]
            assert stated == [10, 5, 3]
            response.close()

    within(work())


# ------------------------------------------------------------------------------------------------------------------ nothing left


def test_what_was_asked_elsewhere_leaves_nothing_to_the_garbage_collector() -> None:
    def left() -> int:
        return sum(type(one) in {Reply, Call, Race} for one in gc.get_objects())

    async def work() -> None:
        with process() as frozen:
            async with frozen_and_well(frozen, Server([says(ANSWER), says(ANSWER), says({}, 500), says(ANSWER)])) as on:
                frozen.stop()
                gc.collect()
                gc.disable()
                before = left()  # what stands in for a gateway in tests of others keeps some
                calls, tasks = ask(on, 5)  # the well one fails the third that it gets, which the stopped one had before
                await until(lambda: sum(task.done() for task in tasks) == 4)
                frozen.go_on()
                await asyncio.wait(tasks)
                assert [task.exception() for task in tasks] == [None] * 5
                calls.clear()
                tasks.clear()
                await asyncio.sleep(0)
                assert left() == before

    try:
        within(work())
    finally:
        gc.enable()
