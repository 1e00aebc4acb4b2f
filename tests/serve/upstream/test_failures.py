"""Servers that break, are slow, full, or gone: what a client sees of it."""

import asyncio
import time
from email.utils import formatdate
from typing import Any

import pytest
from upstream_stand_in import (
    ANSWER,
    CLASSES,
    Bench,
    Handler,
    Server,
    bench,
    breaks,
    call,
    hang_up,
    read,
    says,
    sse,
    streams,
    token,
    until,
    waits_for,
    within,
)

from tightrope.base.plan import ServedClass
from tightrope.base.records import Deferral
from tightrope.serve.config.settings import ServedPool
from tightrope.serve.records import Reply
from tightrope.serve.refusals import TimedOut, TooMany, Unavailable, UpstreamFailed
from tightrope.serve.upstream.replica_queue import RetryBudget

ONE = ServedPool("p", "m", "v", usd_per_hour=3.6, concurrency=1.0)


async def settle(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


def ask(on: Bench, count: int = 1, **fields: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(on.ask(**fields)) for _ in range(count)]


# ------------------------------------------------------------------------------------------------------------------ asked again


def test_a_request_that_was_broken_off_is_asked_of_another_replica() -> None:
    async def work() -> None:
        servers = [Server([breaks]), Server()]
        async with bench(*servers, health_s=30.0) as on:
            replies = [await on.ask() for _ in range(4)]
            assert {reply.replica for reply in replies} == {servers[1].url.removeprefix("http://")}
            assert len(servers[0].asked) >= 1
            assert len(servers[1].asked) == 4

    within(work())


def test_a_replica_that_breaks_off_once_is_asked_again_at_once_and_then_after_a_rest() -> None:
    async def work() -> None:
        async with bench(Server([says(ANSWER), breaks, says(ANSWER), breaks, breaks])) as on:
            (replica,) = on.pool._fleet.replicas.values()
            await on.ask()
            await on.ask()  # an idle connection that the server closes is like that
            assert replica.rests_until_s == 0.0
            with pytest.raises(UpstreamFailed, match="broke off"):
                await on.ask()
            assert replica.rests_until_s > 0.0

    within(work())


@pytest.mark.parametrize("status", [408, 502, 503, 504, 522, 529])
def test_a_replica_that_is_not_well_is_passed_by(status: int) -> None:
    async def work() -> None:
        servers = [Server([says({}, status)]), Server()]
        async with bench(*servers, health_s=30.0) as on:
            for _ in range(3):
                await on.ask()
            assert len(servers[1].asked) == 3

    within(work())


def test_what_may_have_been_done_is_not_asked_again() -> None:
    async def half(request: Any) -> Any:
        from aiohttp import web

        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"id": ')
        await asyncio.sleep(0.01)
        hang_up(request)
        return response

    async def work() -> None:
        for handler in (says({}, 500), half):
            servers = [Server([handler]), Server([handler])]
            async with bench(*servers) as on:
                with pytest.raises(UpstreamFailed):
                    await on.ask()
                assert len(servers[0].asked) + len(servers[1].asked) == 1

    within(work())


def test_no_more_is_asked_again_than_was_allowed() -> None:
    async def work() -> None:
        servers = [Server([breaks]) for _ in range(3)]
        async with bench(*servers, retries=2, failures=100) as on:
            asked = call()
            with pytest.raises(UpstreamFailed):
                await on.pool.answer(asked)
            assert sum(len(server.asked) for server in servers) == 3
            assert asked.lost_nusd
        servers = [Server([breaks]) for _ in range(2)]
        async with bench(*servers, retries=0) as on:
            with pytest.raises(UpstreamFailed):
                await on.ask()
            assert sum(len(server.asked) for server in servers) == 1

    within(work())


def test_servers_in_trouble_are_not_stormed() -> None:
    async def work() -> None:
        servers = [Server([says({}, 503)]) for _ in range(4)]
        pool = ServedPool("p", "m", "v", concurrency=100.0)
        async with bench(*servers, retries=3, failures=10_000, pool=pool, health_s=60.0) as on:
            found = await settle(ask(on, 60))
            assert all(isinstance(item, Unavailable) for item in found)
            assert 60 < sum(len(server.asked) for server in servers) <= 60 + 15 + 12

    within(work())


def test_a_budget_grows_by_a_share_of_the_requests() -> None:
    budget = RetryBudget(0.2, 10)
    assert sum(budget.take() for _ in range(100)) == 10
    for _ in range(20):
        budget.earn()
    assert sum(budget.take() for _ in range(100)) == 4


def test_all_that_waits_on_a_replica_that_ends_is_asked_again() -> None:
    async def work() -> None:
        servers = [Server([says(ANSWER, after_s=30.0)]), Server(), Server()]
        async with bench(*servers, pool=ServedPool("p", "m", "v", concurrency=100.0)) as on:
            tasks = ask(on, 120)
            await until(lambda: servers[0].open == 40)
            await servers[0].stop()
            assert all(isinstance(item, Reply) for item in await settle(tasks))

    within(work())


# ------------------------------------------------------------------------------------------------------------------ out and in


def test_requests_are_held_while_nothing_listens_and_go_on_when_something_does() -> None:
    async def work() -> None:
        server = Server()
        async with bench(server) as on:
            await on.ask()
            await server.stop()
            tasks = ask(on, 3)
            await until(lambda: on.pool.load().held == 3)
            load = on.pool.load()
            assert (load.replicas_ready, load.replicas_down, load.in_flight) == (0, 1, 3)
            assert load.waiting == {"chat": 3}
            await server.start()
            await asyncio.gather(*tasks)
            load = on.pool.load()
            assert (load.replicas_ready, load.replicas_down, load.held) == (1, 0, 0)

    within(work())


def test_what_is_held_too_long_is_told_when_to_come_back() -> None:
    async def work() -> None:
        server = Server()
        await server.start()
        await server.stop()
        async with bench(urls=(server.url,), hold_s=0.05) as on:
            with pytest.raises(Unavailable, match="ready within") as caught:
                await on.ask()
            assert caught.value.retry_after_s == 1.0
        async with bench(urls=(server.url,), hold_s=60.0) as on:
            task = ask(on)[0]
            await until(lambda: on.pool.load().held == 1)
            task.cancel()
            await settle([task])
            assert on.pool.load().held == 0

    within(work())


def test_who_waits_in_turn_is_held_its_whole_time_from_when_no_replica_is_ready() -> None:
    ahead_s = 0.0

    async def work() -> None:
        nonlocal ahead_s
        asyncio.get_running_loop().time = lambda: time.monotonic() + ahead_s  # type: ignore[method-assign]
        gate = asyncio.Event()
        server = Server([waits_for(gate)])
        pool = ServedPool("p", "m", "v", concurrency=1.0)
        async with bench(server, pool=pool, hold_s=10.0, health_s=0.02, failures=1) as on:
            first, second = ask(on, 2)
            await until(lambda: server.open == 1)
            ahead_s += 8.0  # nearly its time, but in turn
            server.health = 503
            await until(lambda: on.ready == 0)
            gate.set()
            await first
            ahead_s += 4.0
            checks = server.checks
            await until(lambda: server.checks > checks + 1)
            server.health = 200
            await second

    within(work())


def test_a_replica_that_fails_its_checks_is_left_out_until_it_is_well() -> None:
    async def work() -> None:
        servers = [Server(), Server()]
        async with bench(*servers, health_s=0.02) as on:
            servers[0].health = 503
            await until(lambda: on.ready == 1)
            asked = len(servers[0].asked)
            for _ in range(5):
                await on.ask()
            assert len(servers[0].asked) == asked
            servers[0].health = 404  # a server that has no such path is there
            await until(lambda: on.ready == 2)

    within(work())


@pytest.mark.parametrize("bad", [says({}, 500), says(b"<html>")], ids=["500", "no answer"])
def test_a_replica_whose_answers_fail_is_left_out_though_its_checks_are_well(bad: Handler) -> None:
    async def work() -> None:
        servers = [Server([bad]), Server(), Server()]
        async with bench(*servers, health_s=30.0) as on:
            while len(servers[0].asked) < 3:
                await settle(ask(on, 1))
            assert on.ready == 2
            for _ in range(6):
                await on.ask()
            assert len(servers[0].asked) == 3
            servers[0].answers = [says(ANSWER)]
            (out,) = (replica for replica in on.pool._fleet.replicas.values() if not replica.ready)
            out.out_until_s -= 30.0
            await until(lambda: on.ready == 3)

    within(work())


def test_requests_that_fail_everywhere_leave_out_no_replica() -> None:
    async def work() -> None:
        servers = [Server([says({}, 500)]) for _ in range(4)]
        async with bench(*servers, health_s=30.0) as on:
            for _ in range(40):
                await settle(ask(on))
            assert on.ready == 4

    within(work())


def test_at_least_half_of_the_replicas_stay() -> None:
    async def work() -> None:
        servers = [*(Server([says({}, 500)]) for _ in range(3)), Server([says(ANSWER)])]
        async with bench(*servers, health_s=30.0) as on:
            for _ in range(40):
                await settle(ask(on))
            assert on.ready == 2

    within(work())


def test_a_server_that_dies_while_it_answers() -> None:
    async def work() -> None:
        servers = [Server([says(ANSWER, after_s=30.0)]), Server([says(ANSWER, after_s=0.05)])]
        async with bench(*servers) as on:
            tasks = ask(on, 4)
            await until(lambda: servers[0].open == 2)
            await servers[0].stop()
            replies = await asyncio.gather(*tasks)
            assert {reply.replica for reply in replies} == {servers[1].url.removeprefix("http://")}
            await until(lambda: on.ready == 1)

    within(work())


# ---------------------------------------------------------------------------------------------------------------- full and slow


def test_the_least_loaded_replica_is_asked() -> None:
    async def work() -> None:
        gate = asyncio.Event()
        slow, quick = Server([waits_for(gate)]), Server()
        async with bench(slow, quick) as on:
            stuck = ask(on, 2)
            await until(lambda: (slow.open, on.pool.load().in_flight) == (1, 1))
            for _ in range(8):
                assert (await on.ask()).replica == quick.url.removeprefix("http://")
            gate.set()
            await settle(stuck)

    within(work())


def test_no_replica_has_more_than_its_limit_and_the_others_wait_by_rank() -> None:
    async def work() -> None:
        gate = asyncio.Event()
        server = Server([waits_for(gate)])
        classes = CLASSES | {"night": ServedClass("night", (), 0.0, deferral=Deferral(0.0, 1.0))}
        async with bench(server, pool=ONE, classes=classes) as on:
            order: list[str] = []

            async def one(name: str, **fields: Any) -> Reply:
                reply = await on.ask(traffic_class=name, **fields)
                order.append(name)
                return reply

            first = asyncio.create_task(one("chat"))
            await until(lambda: server.open == 1)
            kinds = (("night", 90.0), ("night", 50.0), ("chat", None), ("vip", None), ("chat", None))
            rest = [asyncio.create_task(one(name, deadline_s=at, text=str(at))) for name, at in kinds]
            await until(lambda: on.pool.load().in_flight == 6)
            assert on.pool.load().waiting == {"chat": 2, "vip": 1, "night": 2}
            assert on.pool.load().held == 0
            gate.set()
            answered = await asyncio.gather(first, *rest)
            assert order == ["chat", "vip", "chat", "chat", "night", "night"]
            assert [body["messages"][0]["content"] for _, body in server.asked[-2:]] == ["50.0", "90.0"]
            assert server.most_open == 1
            assert max(reply.wait_s for reply in answered) > 0.0

    within(work())


def test_work_that_can_wait_leaves_room() -> None:
    async def work() -> None:
        gate = asyncio.Event()
        server = Server([waits_for(gate)])
        pool = ServedPool("p", "m", "v", concurrency=4.0, deferrable_limit=2)
        async with bench(server, pool=pool) as on:
            later = ask(on, 4, deadline_s=1e12)
            await until(lambda: server.open == 2)
            now = ask(on, 2)
            await until(lambda: server.open == 4)
            assert on.pool.load().waiting == {"chat": 2}
            gate.set()
            await asyncio.gather(*later, *now)
            assert server.most_open == 4

    within(work())


def test_a_request_that_is_given_up_leaves_the_line_and_the_server() -> None:
    async def work() -> None:
        server = Server([says(ANSWER, after_s=30.0), says(ANSWER)])
        async with bench(server, pool=ONE) as on:
            running, waiting = ask(on)[0], None
            await until(lambda: server.open == 1)
            waiting = ask(on)[0]
            await until(lambda: on.pool.load().in_flight == 2)
            waiting.cancel()
            await settle([waiting])
            assert on.pool.load().in_flight == 1
            running.cancel()
            await settle([running])
            await until(lambda: server.cancelled == 1)
            await on.ask()

    within(work())


def test_many_that_are_given_up_are_not_kept() -> None:
    async def work() -> None:
        gate = asyncio.Event()
        async with bench(Server([waits_for(gate)]), pool=ONE) as on:
            running = ask(on)
            for _ in range(3):
                waiting = ask(on, 100)
                await until(lambda: on.pool.load().in_flight == 101)
                for task in waiting:
                    task.cancel()
                await settle(waiting)
            assert len(on.pool._line._heap) <= 64  # pyrefly: ignore
            gate.set()
            await settle(running)

    within(work())


def test_a_silent_server_is_given_up() -> None:
    async def work() -> None:
        async with bench(Server([says(ANSWER, after_s=30.0)]), Server([says(ANSWER, after_s=30.0)]), answer_s=0.5) as on:
            with pytest.raises(TimedOut):
                await on.ask()
            assert sum(len(server.asked) for server in on.servers) == 1

    within(work())


def test_a_server_that_says_when_to_come_back_is_left_alone_until_then() -> None:
    async def work() -> None:
        for status, kind in ((429, TooMany), (503, Unavailable)):
            servers = [Server([says({"error": "busy"}, status, **{"Retry-After": "30"})]), Server()]
            async with bench(*servers) as on:
                for _ in range(5):
                    await on.ask()
                assert len(servers[0].asked) <= 1
                assert len(servers[1].asked) == 5
            server = Server([says({"error": "busy"}, status, **{"Retry-After": "30"})])
            async with bench(server) as on:
                for _ in range(2):
                    with pytest.raises(kind) as caught:
                        await on.ask()
                    assert 0.0 < caught.value.retry_after_s <= 30.0
                assert len(server.asked) == 1
                assert on.ready == 1

    within(work())


def test_a_server_may_say_when_to_come_back_as_a_date_or_not_at_all() -> None:
    async def work() -> None:
        for said, least, most in ((formatdate(time.time() + 40, usegmt=True), 30.0, 40.0), ("soon", 1.0, 1.0), ("", 1.0, 1.0)):
            async with bench(Server([says({}, 429, **{"Retry-After": said})]), retries=0) as on:
                with pytest.raises(TooMany) as caught:
                    await on.ask()
                assert least <= caught.value.retry_after_s <= most

    within(work())


def test_work_that_can_wait_waits_until_it_may_come_back() -> None:
    async def work() -> None:
        server = Server([says({}, 429, **{"Retry-After": "0"}), says(ANSWER)])
        async with bench(server) as on:
            await on.ask(deadline_s=1e12)
            assert len(server.asked) == 2

    within(work())


# --------------------------------------------------------------------------------------------------------------------- streams


def test_a_stream_that_breaks_off_ends_with_an_error() -> None:
    async def work() -> None:
        for parts, clean in (
            ([sse(token("a")), b'data: {"id'], False),
            ([sse(token("a")), b'data: {"id'], True),
            ([sse(token("a"))], True),
        ):
            async with bench(Server([streams(*parts, breaks=not clean, between_s=0.01)]), model="mine") as on:
                reply = await on.ask(stream=True)
                passed = await read(reply)
                assert passed.startswith(sse(token("a")))
                assert passed.endswith(b"\n\n")
                assert b'"code":"upstream_failed"' in passed
                assert b"[DONE]" not in passed
                assert b'{"id\n' not in passed
                assert reply.raw is not None
                assert reply.raw.status == 502
                assert (reply.output_tokens, reply.tokens_estimated) == (1, True)
                assert reply.compute_nusd

    within(work())


@pytest.mark.parametrize("tail", [(b"[DONE]",), ()])
def test_a_stream_in_which_the_server_says_that_it_failed_is_no_answer(tail: tuple[bytes, ...]) -> None:
    async def work() -> None:
        events = sse(token("a"), {"error": {"message": "out of memory", "code": 500}}, *tail)
        async with bench(Server([streams(events)]), model="mine") as on:
            reply = await on.ask(stream=True)
            assert await read(reply) == events
            assert reply.raw is not None
            assert reply.raw.status == 502

    within(work())


def test_a_stream_that_breaks_before_its_first_byte_is_asked_of_another() -> None:
    async def work() -> None:
        servers = [Server([streams(breaks=True)]), Server([streams(sse(token("a"), b"[DONE]"))])]
        async with bench(*servers, model="mine", health_s=30.0) as on:
            for _ in range(2):
                reply = await on.ask(stream=True)
                assert await read(reply) == sse(token("a"), b"[DONE]")
            assert servers[0].asked

    within(work())


@pytest.mark.parametrize(("health", "asked"), [(503, 1), (200, 0)], ids=["dead engine", "well"])
def test_a_stream_that_begins_with_an_error_is_asked_of_another_where_the_server_is_not_well(health: int, asked: int) -> None:
    async def work() -> None:
        wrong = sse({"error": {"message": "EngineCore encountered an issue.", "code": 500}}, b"[DONE]")
        servers = [Server([streams(wrong)]), Server([streams(sse(token("a"), b"[DONE]"))])]
        async with bench(*servers, model="mine", health_s=30.0) as on:
            servers[0].health = health
            reply = await on.ask(stream=True)
            assert await read(reply) == (sse(token("a"), b"[DONE]") if asked else wrong)
            assert len(servers[1].asked) == asked
            assert on.ready == 2 - asked

    within(work())


def test_a_client_that_goes_is_seen_by_the_server() -> None:
    async def work() -> None:
        server = Server([streams(*[sse(token("a"))] * 2000, between_s=0.005)])
        async with bench(server, model="mine") as on:
            reply = await on.ask(stream=True)
            assert reply.raw is not None
            stream = reply.raw.stream
            assert stream is not None
            assert await anext(stream)
            assert on.pool.load().in_flight == 1
            await stream.aclose()  # type: ignore[attr-defined]
            await until(lambda: server.cancelled == 1)
            assert on.pool.load().in_flight == 0
            assert reply.raw.status == 200
            assert reply.output_tokens >= 1
            assert reply.tokens_estimated
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            reply = await on.ask(stream=True)  # one that was never read
            assert reply.raw is not None
            await reply.raw.stream.aclose()  # type: ignore[union-attr]
            await until(lambda: server.cancelled == 2)

    within(work())


def test_a_client_that_is_cut_off_while_it_waits_for_the_next_part() -> None:
    async def work() -> None:
        server = Server([streams(sse(token("a")), sse(token("b")), between_s=30.0)])
        async with bench(server) as on:
            reply = await on.ask(stream=True)
            task = asyncio.create_task(read(reply))
            await asyncio.sleep(0.05)
            task.cancel()
            await settle([task])
            await until(lambda: server.cancelled == 1)
            assert on.pool.load().in_flight == 0

    within(work())


def test_a_stream_is_read_no_faster_than_the_client_reads() -> None:
    async def work() -> None:
        sent = 0

        async def flood(request: Any) -> Any:
            nonlocal sent
            from aiohttp import web

            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for _ in range(2000):
                await response.write(sse(token("x" * 16_000)))
                sent += 16_000
            await response.write(sse(b"[DONE]"))
            return response

        async with bench(Server([flood])) as on:
            reply = await on.ask(stream=True)
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.1)
            assert sent < 16_000_000
            assert reply.raw is not None
            await reply.raw.stream.aclose()  # type: ignore[union-attr]

    within(work())


def test_a_server_that_does_not_end_after_the_last_event_is_not_waited_for() -> None:
    async def work() -> None:
        server = Server([streams(sse(token("a"), b"[DONE]"), sse(token("more")) * 10_000, between_s=0.02)])
        async with bench(server, model="mine") as on:
            reply = await on.ask(stream=True)
            assert await read(reply) == sse(token("a"), b"[DONE]")

    within(work())


# ---------------------------------------------------------------------------------------------------------------------- hedging


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_answer_of_two_is_taken_and_the_other_given_up(stream: bool) -> None:
    async def work() -> None:
        good = streams(sse(token("a"), b"[DONE]")) if stream else says(ANSWER)
        servers = [Server([says(ANSWER, after_s=30.0)]), Server([good])]
        async with bench(*servers, hedge_s=0.02, model="mine", health_s=30.0) as on:
            replies = []
            for _ in range(3):
                reply = await on.ask(stream=stream)
                replies.append(reply)
                if stream:
                    await read(reply)
            assert {reply.replica for reply in replies} == {servers[1].url.removeprefix("http://")}
            await until(lambda: servers[0].cancelled == len(servers[0].asked) > 0)
            reading = on.meter.read(on.meter.clock())
            assert reading.used_nusd == sum(reply.compute_nusd or 0 for reply in replies)  # what was given up is nobody's
            assert sum(replica.outstanding for replica in on.pool._fleet.replicas.values()) == 0

    within(work())


def test_where_both_fail_the_client_hears_why() -> None:
    async def work() -> None:
        servers = [Server([says({}, 500, after_s=0.05)]) for _ in range(2)]
        async with bench(*servers, hedge_s=0.01) as on:
            with pytest.raises(UpstreamFailed, match="failed with 500"):
                await on.ask()
            assert [len(server.asked) for server in servers] == [1, 1]
        servers = [Server([says({}, 500, after_s=0.05)]), Server([says(ANSWER, after_s=0.1)])]
        async with bench(*servers, hedge_s=0.01) as on:
            assert (await on.ask()).replica == servers[1].url.removeprefix("http://")

    within(work())


def test_a_hedged_request_that_is_given_up_leaves_both() -> None:
    async def work() -> None:
        servers = [Server([says(ANSWER, after_s=30.0)]) for _ in range(2)]
        async with bench(*servers, hedge_s=0.01) as on:
            task = ask(on)[0]
            await until(lambda: servers[0].open + servers[1].open == 2)
            task.cancel()
            await settle([task])
            await until(lambda: servers[0].cancelled + servers[1].cancelled == 2)

    within(work())


@pytest.mark.parametrize("hedge_s", [None, 0.0, 0.01])
def test_a_request_may_be_given_up_at_any_moment(hedge_s: float | None) -> None:
    async def work() -> None:
        async with bench(Server(), Server(), hedge_s=hedge_s) as on:
            for stream in (False, True):
                for turns in range(12):
                    task = ask(on, stream=stream)[0]
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    task.cancel()
                    (found,) = await settle([task])
                    if not isinstance(found, BaseException) and found.raw.stream is not None:
                        await found.raw.stream.aclose()
            await until(lambda: not any(replica.outstanding for replica in on.pool._fleet.replicas.values()))  # pyrefly: ignore
            assert on.pool.load().in_flight == 0

    within(work())


def test_alone_or_in_time_nothing_is_asked_twice() -> None:
    async def work() -> None:
        async with bench(Server([says(ANSWER, after_s=0.03)]), hedge_s=0.01) as on:
            await on.ask()
            assert len(on.servers[0].asked) == 1
        async with bench(Server(), Server(), hedge_s=5.0) as on:
            await on.ask()
            assert len(on.servers[0].asked) + len(on.servers[1].asked) == 1

    within(work())


# ---------------------------------------------------------------------------------------------------------------------- leaving


def test_what_has_begun_is_finished_and_nothing_more_is_taken() -> None:
    async def work() -> None:
        server = Server([says(ANSWER, after_s=0.1)])
        async with bench(server, pool=ONE) as on:
            tasks = ask(on, 2)
            await until(lambda: server.open == 1)
            stopping = asyncio.create_task(on.pool.stop(10.0))
            await asyncio.sleep(0)
            with pytest.raises(Unavailable, match="going away"):
                await on.ask()
            await stopping
            assert [reply.output_tokens for reply in await asyncio.gather(*tasks)] == [2, 2]

    within(work())


def test_what_has_begun_is_asked_again_while_the_pool_leaves() -> None:
    async def work() -> None:
        gate = asyncio.Event()

        async def breaks_later(request: Any) -> Any:
            await gate.wait()
            hang_up(request)

        servers = [Server([breaks_later]), Server()]
        async with bench(*servers) as on:
            task = ask(on)[0]
            await until(lambda: servers[0].open == 1)
            stopping = asyncio.create_task(on.pool.stop(10.0))
            await asyncio.sleep(0)
            gate.set()
            assert (await task).output_tokens == 2
            await stopping

    within(work())


def test_what_is_not_done_in_time_is_broken_off() -> None:
    async def work() -> None:
        server = Server([says(ANSWER, after_s=30.0)])
        async with bench(server, pool=ONE) as on:
            tasks = ask(on, 2)
            await until(lambda: server.open == 1)
            await on.pool.stop(0.05)
            found = await settle(tasks)
            assert {type(item) for item in found} <= {Unavailable, UpstreamFailed}

    within(work())
