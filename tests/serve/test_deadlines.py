"""Too late is a ``TimeoutError``, cancelled from outside stays cancelled, and nothing is left behind."""

import asyncio

import pytest

from tightrope.serve.deadlines import Deadlines


async def soon(value: int) -> int:
    await asyncio.sleep(0)
    return value


def test_what_is_in_time_is_returned_and_forgotten() -> None:
    deadlines = Deadlines(60.0)

    async def run() -> list[int]:
        return await asyncio.gather(*(deadlines.wait(soon(value)) for value in range(3)))

    assert asyncio.run(run()) == [0, 1, 2]
    assert asyncio.run(run()) == [0, 1, 2]  # on another loop
    assert not deadlines._due_s


def test_each_that_is_late_is_cancelled_and_told() -> None:
    deadlines = Deadlines(0.02)
    ended: list[str] = []

    async def never(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def later(name: str) -> None:
        await asyncio.sleep(0.01)
        await deadlines.wait(never(name))

    async def run() -> list[object]:
        found = await asyncio.gather(deadlines.wait(never("a")), deadlines.wait(soon(7)), later("b"), return_exceptions=True)
        again = await deadlines.wait(soon(8))
        return [*found, again]

    first, second, third, again = asyncio.run(run())
    assert (second, again, ended) == (7, 8, ["a", "b"])
    assert type(first) is type(third) is TimeoutError
    assert not deadlines._due_s
    assert not deadlines._late


def test_cancelled_from_outside_it_is_not_late() -> None:
    deadlines = Deadlines(60.0)

    async def run() -> None:
        task = asyncio.create_task(deadlines.wait(asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert not deadlines._due_s


def test_late_and_cancelled_at_once_stays_cancelled() -> None:
    deadlines = Deadlines(0.0)

    async def run() -> int:
        async def stubborn() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.cancel()
                raise

        task = asyncio.create_task(deadlines.wait(stubborn()))
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelling()

    assert asyncio.run(run()) == 1


def test_an_error_is_passed_on() -> None:
    deadlines = Deadlines(60.0)

    async def fails() -> None:
        raise KeyError

    async def run() -> None:
        await deadlines.wait(fails())

    with pytest.raises(KeyError):
        asyncio.run(run())
    assert not deadlines._due_s
