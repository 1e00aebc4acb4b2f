"""A queue in a file: what is wrong with the file is said, and the loop never waits for it."""

import asyncio
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import openai
import pytest
from door import Engine, serving
from queue_bench import NOW, file_of, line, opened, put_batch, put_file, read

from tightrope.base.errors import InputError
from tightrope.serve.jobs import sqlite
from tightrope.serve.jobs.database import JobsDatabaseError
from tightrope.serve.jobs.queue import queue_at


def open_once(path: Path) -> None:
    async def run() -> None:
        async with opened(f"sqlite:///{path}"):
            pass

    asyncio.run(run())


def test_a_file_that_is_no_queue_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(InputError, match=r"jobs\.db: .*not a database") as error:
        open_once(path)
    assert "backup" in error.value.resolve
    assert path.read_bytes() == b"this is no database" * 1000


def test_a_damaged_queue_says_so(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"

    async def fill() -> None:
        async with opened(f"sqlite:///{path}") as queue:
            await put_batch(queue, 2000)

    asyncio.run(fill())
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)  # all but its first page
    path.write_bytes(content)

    async def use() -> None:
        async with opened(f"sqlite:///{path}") as queue:
            await queue.batches.open()

    with pytest.raises((InputError, JobsDatabaseError), match=r"malformed|disk image"):
        asyncio.run(use())


def test_only_one_gateway_uses_a_file(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path}/jobs.db"):
            with pytest.raises(InputError, match="another gateway uses this queue") as error:
                await queue_at(f"sqlite:///{tmp_path}/jobs.db").database.open()
            assert "postgresql" in error.value.resolve

    asyncio.run(run())
    open_once(tmp_path / "jobs.db")


def test_a_queue_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    open_once(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE tightrope_jobs SET version = 9")
        connection.commit()
    with pytest.raises(InputError, match="has version 9, this program writes version 2"):
        open_once(path)


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be opened"):
        open_once(tmp_path / "file" / "jobs.db")


@pytest.mark.parametrize("url", ["", "jobs.db", "sqlite://", "sqlite:///", "sqlite://host/jobs.db", "mysql://host/jobs"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(InputError, match="expected sqlite:///FILE or postgresql:"):
        queue_at(url)


def test_the_queue_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "jobs.db"

    async def run() -> None:
        async with opened(f"sqlite:///{path}") as queue:
            await put_batch(queue, 1)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir() if "lock" not in file.name}
            assert modes == {"jobs.db": 0o600, "jobs.db-wal": 0o600, "jobs.db-shm": 0o600}

    before = os.umask(0o022)
    try:
        asyncio.run(run())
    finally:
        os.umask(before)


def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path}/jobs.db") as queue:
            kept = await put_file(queue, line("a"))
            connection = queue.database._connections["write"]
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 2}")
            with pytest.raises(JobsDatabaseError, match="cannot be used: database or disk is full"):
                await put_file(queue, b"x" * 100_000)
            assert await read(queue, "acme", kept.id) == line("a")
            connection.execute("PRAGMA max_page_count = 1000000")
            assert len(await read(queue, "acme", (await put_file(queue, b"x" * 100_000)).id)) == 100_000

    asyncio.run(run())


def test_a_client_is_told_of_a_full_disk(tmp_path: Path) -> None:
    with serving(f"sqlite:///{tmp_path}/jobs.db", Engine()) as served:
        connection = served.jobs._queue.database._connections["write"]
        connection.execute("PRAGMA max_page_count = 1")  # no more than there is
        with openai.OpenAI(base_url=f"{served.url}/v1", api_key="sk-acme", max_retries=0) as client:
            with pytest.raises(openai.APIStatusError, match="disk is full") as refused:
                client.files.create(file=b"x" * 3_000_000, purpose="batch")
            assert refused.value.status_code == 503
            assert refused.value.response.headers["retry-after"] in {"5", "6", "7"}
            connection.execute("PRAGMA max_page_count = 1000000")
            assert client.files.create(file=b"x" * 3_000_000, purpose="batch").bytes == 3_000_000


def test_the_loop_runs_while_another_program_holds_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 60.0)
    path = tmp_path / "jobs.db"

    async def run() -> None:
        async with opened(f"sqlite:///{path}") as queue:
            file = await put_file(queue, line("a"))
            with closing(sqlite3.connect(path, isolation_level=None)) as holder:
                holder.execute("BEGIN IMMEDIATE")
                writing = asyncio.create_task(queue.files.begin(file_of(1)))
                for _ in range(20):
                    await asyncio.sleep(0.005)
                assert not writing.done()
                assert await queue.files.get("acme", file.id) == file  # readers do not wait
            assert await writing == file.size

    asyncio.run(run())


def test_another_program_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.1)
    path = tmp_path / "jobs.db"

    async def run() -> None:
        async with opened(f"sqlite:///{path}") as queue:
            with closing(sqlite3.connect(path, isolation_level=None)) as holder:
                holder.execute("BEGIN IMMEDIATE")
                with pytest.raises(JobsDatabaseError, match="database is locked"):
                    await queue.files.begin(file_of(1))
            assert await queue.files.begin(file_of(1)) == 0

    asyncio.run(run())


def test_a_queue_that_is_closed_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path}/jobs.db") as queue:
            pass
        for ask in (queue.batches.open(), queue.items.beat("a", NOW)):
            with pytest.raises(JobsDatabaseError, match="closed"):
                await ask

    asyncio.run(run())


def test_a_cancelled_write_is_whole(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path}/jobs.db") as queue:
            file = file_of(1)
            task = asyncio.create_task(queue.files.begin(file))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await queue.files.begin(file_of(1)) in {0, 1}

    asyncio.run(run())


def test_room_is_used_again_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"

    async def run() -> None:
        async with opened(f"sqlite:///{path}") as queue:
            for _ in range(3):
                file = await put_file(queue, b"x" * 3_000_000)
                await queue.files.delete("acme", file.id)
        assert 3_000_000 < path.stat().st_size < 3_600_000
        async with opened(f"sqlite:///{path}") as queue:
            await queue.database.tidy()
        assert path.stat().st_size < 300_000

    asyncio.run(run())
