"""Sends load: all at once, so many at a time (closed loop), or at random moments whatever is unanswered (open loop, Poisson)."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tightrope.base.records import FloatArray
from tightrope.perf.endpoint.client import Client, FailedError, now_s

Result = TypeVar("Result")
ROUND_TRIPS = 5
Ask = Callable[[int], Awaitable[Result]]


async def together(jobs: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Return what all jobs return, run at the same time; where one raises, the others are ended first."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def closed_loop(ask: Ask[Result], count: int, concurrency: int) -> list[Result]:
    """Return ``count`` answers, of which ``concurrency`` are asked for at any time."""
    answers: dict[int, Result] = {}
    numbers = iter(range(count))

    async def one_after_another() -> None:
        for number in numbers:
            answers[number] = await ask(number)

    await together([one_after_another() for _ in range(min(concurrency, count))])
    return [answers[number] for number in range(count)]


@dataclass(frozen=True, slots=True)
class OpenLoopResult:
    """What came of an open loop: ``due_s`` are the moments that were drawn, float64[requests], from its beginning."""

    due_s: FloatArray
    answers: tuple[object | None, ...]
    """None where the request failed."""
    errors: dict[str, int]
    began_s: float
    late_s: float
    """How much later than drawn a request was sent, at most."""


async def open_loop(ask: Ask[Result], rate_per_s: float, count: int, random: np.random.Generator) -> OpenLoopResult:
    """Send ``count`` requests at the moments of a Poisson process, whether or not others are answered; failures are counted."""
    due_s = np.cumsum(random.exponential(1.0 / rate_per_s, count))
    began_s = now_s()
    errors, late = Counter[str](), [0.0]

    async def at_its_time(number: int) -> Result | None:
        await asyncio.sleep(max(0.0, began_s + float(due_s[number]) - now_s()))
        late.append(now_s() - began_s - float(due_s[number]))
        try:
            return await ask(number)
        except FailedError as error:
            errors[error.kind] += 1
            return None

    answers = await together([at_its_time(number) for number in range(count)])
    return OpenLoopResult(due_s, tuple(answers), dict(errors), began_s, max(late))


async def round_trip_s(client: Client, path: str) -> float:
    """Return the median time of a request that the server answers without its model."""
    times = []
    for _ in range(ROUND_TRIPS):
        sent_s, before = now_s(), dict(client.errors)
        try:
            await client.get(path)
        except FailedError:
            client.errors.clear()
            client.errors.update(before)
        times.append(now_s() - sent_s)
    return float(np.median(times))
