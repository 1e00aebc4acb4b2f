"""What the benchmarks of serving ask, and how they count what came."""

import asyncio
import json

import numpy as np
import pytest
from benchmarks.clients import Open, OpenLoop, Target, arrivals, written
from benchmarks.serve_overload import OVERLOADED_S, SETTLES_S, highest, outcome
from benchmarks.serving import Bodies


@pytest.mark.parametrize("cv", [1.0, 3.0])
def test_arrivals_come_at_their_rate_and_as_uneven_as_asked(cv: float) -> None:
    at_s = np.array(arrivals(200.0, 200.0, cv, seed=1))
    gaps = np.diff(at_s)
    assert len(at_s) == pytest.approx(40_000, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)


def test_no_two_bodies_are_the_same_and_none_has_other_words() -> None:
    bodies = Bodies(["a text", 'an "other"'])
    found = [json.loads(body)["text"] for count in (3, 4) for body in bodies.more(count, '{"text": %s}')]
    assert len(set(found)) == 7
    assert {text.strip() for text in found} == {"a text", 'an "other"'}


def test_the_highest_rate_is_found_by_halving() -> None:
    assert highest(lambda rate_per_s: float(rate_per_s <= 70.0), 100.0) == pytest.approx(70.0, abs=100.0 / 2**4)
    assert highest(lambda _: 0.0, 100.0) == 0.0


def test_what_came_is_counted_within_the_overloaded_time() -> None:
    seen = Open(
        due_s=[0.0, SETTLES_S, SETTLES_S, SETTLES_S, OVERLOADED_S],
        latency_s=[9.0, 0.05, 0.07, 0.01, 9.0],
        status=[200, 200, 200, 429, 200],
        retry_after_s=[0.0, 0.0, 0.0, 1.0, 0.0],
        again=[0, 0, 0, 0, 1],
    )
    found = outcome(seen, clients=4)
    assert (found["admitted_p95_ms"], found["shed_share"], found["clients_answered_share"]) == (69.0, 0.333, 1.0)
    assert (found["other_failures"], found["shed_without_retry_after"]) == (0, 0)


def test_a_client_that_is_turned_away_asks_again_when_it_may() -> None:
    answers = [
        b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\nRetry-After: 0\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes",
    ]
    asked: list[bytes] = []

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            asked.append(await reader.readexactly(len(request)))
            writer.write(answer)
        await reader.read()
        writer.close()

    request = written(Target(0, "/x", (("a", "b"),)), "{}")

    async def run() -> Open:
        async with await asyncio.start_server(client, "127.0.0.1", 0) as server:
            loop = OpenLoop(server.sockets[0].getsockname()[1], again=True)
            seen = await asyncio.wait_for(loop.run([request], [0.0]), 60)
            for connection in loop.idle:
                assert connection.transport is not None
                connection.transport.close()
            await asyncio.sleep(0.05)
            return seen

    seen = asyncio.run(run())
    assert (seen.status, seen.again, seen.retry_after_s) == ([429, 200], [0, 1], [0.0, 0.0])
    assert asked == [request] * 2
    assert b"\r\na: b\r\n" in request
