"""A queue in PostgreSQL: what is wrong with the server is said, without its password."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

import asyncpg
import pytest
from queue_bench import NOW, opened, put_batch, put_file, read

from tightrope.base.errors import InputError
from tightrope.serve.jobs.database import JobsDatabaseError
from tightrope.serve.jobs.queue import queue_at
from tightrope.serve.jobs.records import new_id


@pytest.mark.parametrize(
    "url", ["postgresql://me:s3cret@127.0.0.1:1/jobs", "postgresql:///jobs?host=/nowhere&password=s3cret", "postgresql://h:x/y"]
)
def test_a_server_that_is_not_there(url: str) -> None:
    with pytest.raises(InputError, match="cannot be opened") as error:
        asyncio.run(queue_at(url).database.open())
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("usual", ["read committed", "repeatable read", "serializable"])
def test_gateways_may_make_the_tables_at_the_same_time(new_database: Callable[[], str], usual: str) -> None:
    """However far the server keeps transactions apart where nothing is said."""

    async def run(url: str) -> None:
        queues = [queue_at(url) for _ in range(5)]
        await asyncio.gather(*(queue.database.open() for queue in queues))
        batch = await put_batch(queues[0], 1)
        assert all([await queue.batches.get("acme", batch.id) for queue in queues])
        tries = [replace(batch, id=new_id("batch"), once="k") for _ in queues]
        added = await asyncio.gather(*(queue.batches.add(one, 99) for queue, one in zip(queues, tries, strict=True)))
        assert added.count("added") == 1
        for queue in queues:
            await queue.database.close()

    asyncio.run(run(f"{new_database()}&default_transaction_isolation={quote(usual)}"))


def test_a_server_that_goes_is_trouble_and_may_come_back(new_database: Callable[[], str], postgres: str) -> None:
    async def run(url: str) -> None:
        async with opened(url) as queue:
            file = await put_file(queue, b"x" * 300_000)
            other = await asyncpg.connect(postgres)
            await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            await other.close()
            for _ in range(2):  # one in the connection that was cut, and one in a new one
                try:
                    assert await read(queue, "acme", file.id) == b"x" * 300_000
                except JobsDatabaseError as trouble:
                    assert "cannot be used" in str(trouble)  # noqa: PT017 - either may be
            assert await read(queue, "acme", file.id) == b"x" * 300_000
            await queue.database.close()
            with pytest.raises(JobsDatabaseError, match="closed"):
                await queue.items.beat("a", NOW)

    asyncio.run(run(new_database()))


def test_all_go_by_the_servers_clock(new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(url: str) -> None:
        async with opened(url) as queue:
            right = queue.now_s()
            monkeypatch.setattr("tightrope.serve.jobs.postgres.time.time", lambda: 1000.0)
            assert queue.now_s() < 1e6
            await queue.items.beat("a", right + 100.0)
            assert queue.now_s() == pytest.approx(right, abs=30.0)
            monkeypatch.undo()

    asyncio.run(run(new_database()))
