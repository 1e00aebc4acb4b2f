"""The work itself: what is tried again, what waits, what is shared, what is put back, and that nothing is lost or doubled."""

import asyncio
import logging
import random
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest
from door import CLASSES, Engine, vector
from queue_bench import NOW, Told, batch_of, ids, line, numbered, opened, put_batch, put_file, read, rows, until
from starlette.requests import Request

from tightrope.policy import deferral
from tightrope.serve.config.settings import Limits
from tightrope.serve.jobs import housekeeping, runner, service
from tightrope.serve.jobs.database import Body, JobsDatabaseError, Statements, T
from tightrope.serve.jobs.queue import Queue
from tightrope.serve.jobs.records import Batch
from tightrope.serve.jobs.service import Jobs
from tightrope.serve.records import Caller
from tightrope.serve.refusals import Unavailable

ENDS = ("completed", "failed", "expired", "cancelled")


@asynccontextmanager
async def working(url: str, engine: Engine, within_s: float = 1.0, **more: object) -> AsyncIterator[tuple[Jobs, Queue]]:
    """Lend a gateway's jobs that are at work."""
    jobs = Jobs(url, engine.run, CLASSES, Limits(), more.pop("told", Told()), **more)
    await jobs.start()
    try:
        yield jobs, jobs._queue
    finally:
        await jobs.stop(within_s)


async def hand_in(queue: Queue, content: bytes, tenant: str = "acme", **more: object) -> Batch:
    batch = batch_of(await put_file(queue, content, tenant), **more)
    assert await queue.batches.add(batch, 99) == "added"
    return batch


async def done(queue: Queue, batch: Batch, *ends: str) -> Batch:
    async def ended() -> Batch | None:
        found = await queue.batches.get(batch.tenant, batch.id)
        return found if found.status in (ends or ENDS) else None

    return await until(ended)


def many(count: int, text: str = "") -> bytes:
    return b"".join(line(name, text or name) for name in numbered(count))


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(deferral, "retry_after_s", lambda _: 0.001)
    monkeypatch.setattr(runner, "PAUSE_S", 0.01)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the queue more often than a gateway does."""
    monkeypatch.setattr(housekeeping, "LOOK_S", 0.05)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


def test_a_batch_is_done(url: str) -> None:
    engine = Engine()

    async def test() -> None:
        async with working(url, engine) as (_, queue):
            batch = await done(queue, await hand_in(queue, many(300)))
            assert (batch.status, batch.completed, batch.failed) == ("completed", 300, 0)
            assert ids(await read(queue, "acme", batch.output_file)) == numbered(300)

    asyncio.run(test())
    assert Counter(asked[2] for asked in engine.asked) == Counter(numbered(300))


def test_what_may_go_right_is_tried_again(
    url: str, soon: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: Counter[str] = Counter()

    async def answer(text: str) -> tuple[int, object]:
        tried[text] += 1
        if text == "refused":
            raise Unavailable(text)
        if text == "broken":
            raise ValueError(text, "secret")
        statuses = {"busy": 429, "away": 502, "wrong": 404}
        return (200 if tried[text] > 7 else statuses[text], {"error": text}) if text in statuses else await vector(text)

    async def test() -> None:
        content = b"".join(line(name, name) for name in ("busy", "away", "wrong", "broken", "fine"))
        async with working(url, Engine(answer)) as (_, queue):
            batch = await done(queue, await hand_in(queue, content))
            assert ids(await read(queue, "acme", batch.output_file)) == ["busy", "away", "fine"]
            failed = {row["custom_id"]: row["response"] for row in rows(await read(queue, "acme", batch.error_file))}
            assert [(name, said["status_code"]) for name, said in failed.items()] == [("wrong", 404), ("broken", 500)]
            assert "secret" not in str(failed)
            assert tried == {"busy": 8, "away": 8, "wrong": 1, "broken": 5, "fine": 1}
            refused, now_s = await hand_in(queue, line("refused", "refused")), queue.now_s
            await until(lambda: _true(tried["refused"] > 8))
            monkeypatch.setattr(queue, "now_s", lambda: now_s() + 5e9)
            batch = await done(queue, refused)
            (row,) = rows(await read(queue, "acme", batch.error_file))
            assert (batch.status, row["error"]["code"]) == ("expired", "batch_expired")
            assert row["error"]["message"].endswith(f"It was tried {tried['refused']} times; the last answer was 503.")

    with caplog.at_level(logging.CRITICAL):
        asyncio.run(test())


def test_interactive_requests_go_first(sqlite: str) -> None:
    waiting, at_once, most = [1], 0, 0
    gate = asyncio.Event()

    async def answer(text: str) -> tuple[int, object]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await gate.wait()
        await asyncio.sleep(0.001)
        at_once -= 1
        return await vector(text)

    engine = Engine(answer)

    async def test() -> None:
        async with working(sqlite, engine, waits=lambda: waiting[0]) as (jobs, queue):
            batch = await hand_in(queue, many(100))
            await until(lambda: _true(engine.asked))
            gate.set()

            async def learned() -> bool:
                return jobs._keeper._pace._rates["night"].per_s > 0.0

            await until(learned)  # one at a time, until it is known how long they take; then none
            before = len(engine.asked)
            assert most == 1
            await asyncio.sleep(0.7)
            assert len(engine.asked) <= before + 1
            waiting[0] = 0
            assert (await done(queue, batch)).completed == 100
            assert most > 1

    asyncio.run(test())


async def _true(found: object) -> bool:
    return bool(found)


def test_it_learns_how_many_are_taken_at_once(sqlite: str, soon: None) -> None:
    at_once, refused, most = 0, 0, 0

    async def answer(text: str) -> tuple[int, object]:
        nonlocal at_once, refused, most
        if at_once >= 12:
            refused += 1
            return 429, {"error": {}}
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.002)
        at_once -= 1
        return await vector(text)

    async def test() -> None:
        async with working(sqlite, Engine(answer)) as (_, queue):
            batch = await done(queue, await hand_in(queue, many(1500)))
            assert (batch.completed, batch.failed) == (1500, 0)

    asyncio.run(test())
    assert most == 12
    assert refused < 500


def test_a_tenant_that_is_refused_slows_down_no_one_else(sqlite: str) -> None:
    """One over its budget is refused all it asks; another's items go on many at a time."""
    at_once, most, refused = 0, 0, 0

    async def answer(text: str) -> tuple[int, object]:
        nonlocal at_once, most, refused
        if text == "poor":
            refused += 1
            return 429, {"error": {}}
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.002)
        at_once -= 1
        return await vector(text)

    async def test() -> None:
        async with working(sqlite, Engine(answer)) as (_, queue):
            await hand_in(queue, many(300, "poor"), "poor")
            rich = await done(queue, await hand_in(queue, many(300, "rich"), "rich"))
            assert rich.completed == 300

    asyncio.run(test())
    assert most > 8
    assert refused < 100  # it is asked for again, and ever more seldom


def test_what_ends_the_process_each_time_is_begun_so_often_and_no_more(sqlite: str) -> None:
    engine = Engine()

    async def test() -> None:
        async with opened(sqlite) as queue:
            batch = await put_batch(queue, 2)
            for _ in range(runner.BEGUN):
                await queue.items.claim(batch.id, "crashed", 1, NOW)
                await queue.items.release("crashed")
        async with working(sqlite, engine) as (_, queue):
            batch = await done(queue, batch)
            (failed,) = rows(await read(queue, "acme", batch.error_file))
            assert (failed["custom_id"], failed["response"]["status_code"]) == ("i0", 400)
            assert "20 times" in failed["response"]["body"]["error"]["message"]
            assert ids(await read(queue, "acme", batch.output_file)) == ["i1"]

    asyncio.run(test())
    assert len(engine.asked) == 1


def test_an_engine_that_times_out_is_not_the_deadline(sqlite: str, soon: None, caplog: pytest.LogCaptureFixture) -> None:
    async def answer(text: str) -> tuple[int, object]:
        raise TimeoutError(text)

    async def test() -> None:
        async with working(sqlite, Engine(answer)) as (_, queue):
            batch = await done(queue, await hand_in(queue, line("a")))
            (failed,) = rows(await read(queue, "acme", batch.error_file))
            assert failed["response"]["status_code"] == 500

    asyncio.run(test())
    assert caplog.text.count("a defect") == runner.DEFECT_TRIES


def test_one_tenant_does_not_hold_up_another(sqlite: str) -> None:
    async def answer(text: str) -> tuple[int, object]:
        await asyncio.sleep(0.005)
        return await vector(text)

    async def test() -> None:
        async with working(sqlite, Engine(answer), most=lambda: 8) as (_, queue):
            flood = await hand_in(queue, many(1200, "flood"), "flood")
            await done(queue, flood, "in_progress")
            small = await done(queue, await hand_in(queue, many(60), "small", due_s=flood.due_s + 1e6))
            flood = await queue.batches.get("flood", flood.id)
            assert small.status == "completed"
            assert flood.left > 300

    asyncio.run(test())


def test_leaving_puts_back_what_is_not_done(url: str) -> None:
    engine = Engine()
    begun: list[str] = []

    async def stuck(text: str) -> tuple[int, object]:
        begun.append(text)
        if len(begun) > 30:
            await asyncio.sleep(3600.0)
        return await vector(text)

    async def test() -> None:
        async with working(url, Engine(stuck), within_s=0.05) as (_, queue):
            batch = await hand_in(queue, many(100))
            await until(lambda: _true(len(begun) > 30))
        async with working(url, engine) as (_, queue):
            batch = await done(queue, batch)
            assert (batch.status, batch.completed) == ("completed", 100)
            assert ids(await read(queue, "acme", batch.output_file)) == numbered(100)

    asyncio.run(test())
    assert sorted(asked[2] for asked in engine.asked) == sorted({*numbered(100)} - {*begun[:30]})


def test_what_is_in_flight_when_leaving_is_finished(sqlite: str) -> None:
    begun = asyncio.Event()

    async def answer(text: str) -> tuple[int, object]:
        begun.set()
        await asyncio.sleep(0.2)
        return await vector(text)

    async def test() -> None:
        async with working(sqlite, Engine(answer), within_s=20.0) as (_, queue):
            batch = await hand_in(queue, many(3))
            await begun.wait()
        async with working(sqlite, Engine(answer)) as (_, queue):
            assert (await queue.batches.get("acme", batch.id)).completed >= 1

    asyncio.run(test())


def test_no_gateway_takes_its_own_work_for_a_dead_ones(url: str) -> None:
    async def answer(text: str) -> tuple[int, object]:
        await asyncio.sleep(0.8)
        return await vector(text)

    engine = Engine(answer)

    async def test() -> None:
        async with working(url, engine, lease_s=0.5) as (_, queue):
            assert (await done(queue, await hand_in(queue, many(4)))).completed == 4

    asyncio.run(test())
    assert len(engine.asked) == 4


def test_gateways_share_the_work(new_database: Callable[[], str]) -> None:
    async def answer(text: str) -> tuple[int, object]:
        await asyncio.sleep(0.002)
        return await vector(text)

    engines, url = [Engine(answer) for _ in range(3)], new_database()

    async def test() -> None:
        async with working(url, engines[0]) as (_, queue), working(url, engines[1]), working(url, engines[2]):
            batches = [await hand_in(queue, many(400), f"t{n}") for n in range(3)]
            for handed_in in batches:
                batch = await done(queue, handed_in)
                assert (batch.completed, batch.failed) == (400, 0)
                assert ids(await read(queue, batch.tenant, batch.output_file)) == numbered(400)

    asyncio.run(test())
    asked = Counter((tenant, text) for engine in engines for tenant, _, text, _ in engine.asked)
    assert set(asked.values()) == {1}
    assert len(asked) == 1200
    assert all(len(engine.asked) > 30 for engine in engines)


def test_trouble_with_the_database_passes(
    sqlite: str, soon: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with working(sqlite, Engine(), lease_s=0.3) as (_, queue):
            right, full = queue.database.write, JobsDatabaseError("the disk is full")
            chance = random.Random(5)  # noqa: S311 - no secret

            async def sometimes(body: Body[T]) -> T:
                """Fail before the transaction, or lose its answer."""
                if chance.random() < 0.2:
                    raise full
                found = await right(body)
                if chance.random() < 0.2:
                    raise full
                return found

            batch = await hand_in(queue, many(60))
            monkeypatch.setattr(queue.database, "write", sometimes)
            batch = await done(queue, batch)
            assert (batch.completed, batch.failed) == (60, 0)
            assert ids(await read(queue, "acme", batch.output_file)) == numbered(60)
            monkeypatch.undo()

    asyncio.run(test())
    assert "the disk is full" in caplog.text


def test_a_defect_does_not_leave_the_queue_alone(
    sqlite: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "AGAIN_S", 0.01)
    broken = ["open", "take", "claim", "record"]

    async def test() -> None:
        async with working(sqlite, Engine()) as (_, queue):

            async def once(right: Callable, *asked: object) -> object:
                if right.__name__ in broken:
                    broken.remove(right.__name__)
                    raise LookupError(right.__name__)
                return await right(*asked)

            for right in (queue.batches.open, queue.batches.take, queue.items.claim, queue.items.record):
                monkeypatch.setattr(right.__self__, right.__name__, partial(once, right))
            assert (await done(queue, await hand_in(queue, many(20)))).completed == 20

    asyncio.run(test())
    assert broken == []
    assert caplog.text.count("a defect in the queue") == 4


def test_metrics_say_what_is_left_and_whether_it_will_be_in_time(sqlite: str) -> None:
    told, gate = Told(), asyncio.Event()

    async def answer(text: str) -> tuple[int, object]:
        if text != "quick":
            await gate.wait()
        return await vector(text)

    async def test() -> None:
        async with working(sqlite, Engine(answer), told=told) as (_, queue):
            content = b"".join(line(name, "quick") for name in numbered(30)) + line("last", "slow")
            batch = await hand_in(queue, content, due_s=queue.now_s() + 1000.0)
            await until(lambda: _true(told.said.get("night", (0, None))[0] == 1 and told.said["night"][1]))
            assert told.said["bulk"] == (0, None)
            assert "chat" not in told.said
            assert 900.0 < told.said["night"][1] < 1000.0
            gate.set()
            await done(queue, batch)
            await until(lambda: _true(told.said["night"] == (0, None)))

    asyncio.run(test())


def test_a_file_that_goes_before_its_batch_is_read_fails_it(sqlite: str) -> None:
    async def test() -> None:
        async with opened(sqlite) as queue:
            batch = await hand_in(queue, line("a"))

            async def gone(tx: Statements) -> None:
                await tx.rows("DELETE FROM tightrope_files")

            await queue.database.write(gone)
        async with working(sqlite, Engine()) as (_, queue):
            batch = await done(queue, batch)
            assert batch.status == "failed"
            assert batch.shown()["errors"]["data"][0]["code"] == "file_not_found"

    asyncio.run(test())


def test_memory_does_not_grow_with_the_file(sqlite: str) -> None:
    """An upload of 16 MiB is taken, read line by line and sent back in half of that at most."""
    text = b"".join(line(f"i{n}", "x" * 2000) for n in range(100))
    count = 2**24 // len(text) + 1

    async def chunks() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for turn in range(count):
            yield text.replace(b'"i', b'"t%d-i' % turn)
        yield b"\r\n--x--\r\n"

    async def test() -> int:
        async with working(sqlite, Engine(), most=lambda: 0) as (jobs, queue):
            tracemalloc.start()
            try:
                request = Request({"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=x")]})
                request.stream = chunks
                shown = msgspec.json.decode((await jobs._routes.upload(request, Caller("acme"))).body)
                batch = batch_of(await queue.files.get("acme", shown["id"]))
                await queue.batches.add(batch, 99)
                assert (await done(queue, batch, "in_progress")).total == count * 100
                size = sum([len(page) async for page in queue.files.content(await queue.files.get("acme", shown["id"]))])
                assert size == shown["bytes"] > 2**24
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert asyncio.run(test()) < 2**23
