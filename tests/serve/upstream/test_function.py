"""A pool that is a function: no machines are counted, each request costs its price and the time that is billed of it."""

import asyncio
from dataclasses import replace
from math import ceil

import pytest
from upstream_stand_in import ANSWER, POOL, Server, bench, breaks, call, says, within

from tightrope.cli.serve import _find_function_price
from tightrope.serve.config.settings import FunctionPrice
from tightrope.serve.refusals import UpstreamFailed

USD_PER_REQUEST, USD_PER_HOUR = 0.2e-6, 0.36
FUNCTION = replace(POOL, usd_per_hour=0.0, function=FunctionPrice(USD_PER_REQUEST, USD_PER_HOUR, ceil))
EACH_NUSD = 200 + 100_000
"""Of a request that takes less than the second that it is billed for here."""


def test_an_answer_costs_the_request_and_its_billed_time() -> None:
    async def work() -> None:
        async with bench(Server([says(ANSWER)]), pool=FUNCTION) as on:
            reply = await on.ask()
            assert (reply.compute_nusd, reply.tokens_nusd, reply.nusd) == (0, EACH_NUSD, EACH_NUSD)

    within(work())


def test_an_attempt_that_came_to_nothing_costs_as_much() -> None:
    async def work() -> None:
        async with bench(Server([breaks]), Server([breaks]), pool=FUNCTION, failures=100) as on:
            asked = call()
            with pytest.raises(UpstreamFailed):
                await on.pool.answer(asked)
            assert [lost.tokens_nusd for lost in asked.lost] == [EACH_NUSD] * 2
            assert asked.lost_nusd == 2 * EACH_NUSD

    within(work())


def test_what_was_never_sent_costs_nothing() -> None:
    async def work() -> None:
        gone, well = Server([says(ANSWER)]), Server([says(ANSWER)])
        async with bench(gone, well, pool=FUNCTION, health_s=600.0) as on:
            await gone.stop()
            calls = [call() for _ in range(4)]
            replies = await asyncio.gather(*map(on.pool.answer, calls))
            assert len(well.asked) == 4
            assert not any(item.lost for item in calls)
            assert sum(reply.nusd or 0 for reply in replies) == 4 * EACH_NUSD

    within(work())


def test_the_price_book_says_what_a_function_costs() -> None:
    """AWS Lambda in us-east-1 (2026): $0.0000166667 for a GB and second, $0.20 for a million requests."""
    found = _find_function_price("lambda-1769mb", "us-east-1")
    assert found is not None
    assert found.usd(0.0545) == pytest.approx(0.2e-6 + 0.0000166667 * 1769 / 1024 * 0.055, rel=1e-9)
    assert _find_function_price("lambda-1769mb", "nowhere-1") is None
    assert _find_function_price("c7i.large", "us-east-1") is None
