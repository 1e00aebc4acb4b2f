"""Many requests before servers that do whatever servers do, and clients that go when they like: nothing is left behind, all is paid."""

import asyncio
import random
from typing import Any

import pytest
from upstream_stand_in import ANSWER, CLASSES, Bench, Server, bench, breaks, call, read, says, sse, streams, token, within

from tightrope.base.plan import ServedClass
from tightrope.base.records import Deferral
from tightrope.serve.config.settings import ServedPool
from tightrope.serve.records import Reply
from tightrope.serve.refusals import RequestRefusal

DONE = sse(token("a"), token("b"), b"[DONE]")
POOL = ServedPool("p", "m", "v", usd_per_hour=3.6, concurrency=3.0, deferrable_limit=2)


def mischief(dice: random.Random) -> Any:
    """Return a handler that does one thing or another each time."""

    async def handler(request: Any) -> Any:
        stream = b'"stream"' in await request.read()
        good = streams(DONE, between_s=0.001) if stream else says(ANSWER, after_s=0.001)
        bad = [
            breaks,
            streams(sse(token("a")), breaks=True, between_s=0.001) if stream else breaks,
            streams(sse(token("a"))) if stream else says(b"[]"),
            says({}, 500),
            says({}, 503),
            says({"error": "no"}, 400),
            says({}, 429, **{"Retry-After": "0"}),
            says(ANSWER, after_s=30.0),
        ]
        return await (good if dice.random() < 0.8 else dice.choice(bad))(request)

    return handler


async def client(on: Bench, dice: random.Random, replies: list[Reply], lost: list[int]) -> None:
    """Ask once, and perhaps go before the answer is whole."""
    fields: dict[str, Any] = {"traffic_class": dice.choice(["chat", "vip", "night"]), "session": dice.choice(["", "a", "b"])}
    asked = call(stream=dice.random() < 0.5, **fields)
    try:
        async with asyncio.timeout(dice.choice([0.003, 0.05, 1.0])):
            reply = await on.pool.answer(asked)
            if reply.raw is not None and reply.raw.stream is not None:
                try:
                    await read(reply) if dice.random() < 0.7 else await anext(reply.raw.stream)
                finally:
                    await reply.raw.stream.aclose()  # type: ignore[attr-defined]
                    replies.append(reply)
            else:
                replies.append(reply)
    except (RequestRefusal, TimeoutError):
        pass
    finally:
        lost.append(asked.lost_nusd or 0)


def found_silent(on: Bench) -> None:
    """Do what is done where a replica is found silent."""
    for replica in on.pool._fleet.replicas.values():
        for ask_another in list(replica.waiting):
            ask_another()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_nothing_is_left_and_everything_is_paid(seed: int) -> None:
    async def work() -> None:
        dice = random.Random(seed)  # noqa: S311 - no secret
        servers = [Server([mischief(dice)]) for _ in range(3)]
        classes = CLASSES | {"night": ServedClass("night", (), 0.0, deferral=Deferral(0.0, 1.0))}
        hedge = 0.005 if seed % 2 else None
        async with bench(*servers, classes=classes, pool=POOL, health_s=0.05, hold_s=0.5, hedge_s=hedge, retries=2) as on:
            replies: list[Reply] = []
            lost: list[int] = []
            tasks = []
            for turn in range(150):
                tasks.append(asyncio.create_task(client(on, dice, replies, lost)))
                if turn % 7 == 0:
                    found_silent(on)
                if turn == 60:
                    await servers[0].stop()
                if turn == 110:
                    await servers[0].start()
                await asyncio.sleep(0.001 if turn % 3 else 0.0)
            await asyncio.gather(*tasks)
            load = on.pool.load()
            assert (load.in_flight, load.held, {*load.waiting.values()} - {0}) == (0, 0, set())
            assert [replica.outstanding for replica in on.pool._fleet.replicas.values()] == [0, 0, 0]  # pyrefly: ignore
            reading = on.meter.read(on.meter.clock())
            assert reading.used_nusd == reading.ended_nusd == sum(lost) + sum(reply.compute_nusd or 0 for reply in replies)
            assert replies
            assert any(lost)

    within(work())
