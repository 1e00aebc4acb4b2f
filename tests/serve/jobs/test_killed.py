"""Real processes, killed with SIGKILL at random moments: each item is in the result once, in order, and nothing is lost."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from queue_bench import WAIT_S, Batch, Queue, batch_of, ids, line, numbered, opened, put_file, read, rows, until

VICTIM = Path(__file__).parent / "victim.py"
COUNT = 400


@contextmanager
def victim(url: str, log: Path, seconds: float = 0.002, most: int = 1_000_000) -> Iterator[subprocess.Popen]:
    """Lend a process that does the work, ``most`` of it; it ends with a SIGKILL, if not before."""
    command = [sys.executable, str(VICTIM), url, str(log), str(seconds), str(most)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
    limit = threading.Timer(WAIT_S, process.kill)
    limit.start()
    with process:
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            yield process
        finally:
            process.kill()
            limit.cancel()


def begun(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


async def _over(log: Path, count: int) -> bool:
    return len(begun(log)) > count


async def hand_in(url: str, count: int = COUNT) -> Batch:
    async with opened(url) as queue:
        batch = batch_of(await put_file(queue, b"".join(line(name, name) for name in numbered(count))))
        assert await queue.batches.add(batch, 99) == "added"
        return batch


async def finished(queue: Queue, batch: Batch) -> Batch:
    async def ended() -> Batch | None:
        found = await queue.batches.get(batch.tenant, batch.id)
        return found if found.status == "completed" else None

    return await until(ended)


async def check(queue: Queue, batch: Batch, count: int = COUNT) -> None:
    """Check that a batch's result is whole, once, and in order."""
    batch = await queue.batches.get(batch.tenant, batch.id)
    assert (batch.status, batch.total, batch.completed + batch.failed) == ("completed", count, count)
    assert (batch.input_tokens, batch.output_tokens, batch.counted) == (3 * count, 2 * count, batch.completed)
    answered, failed = await read(queue, "acme", batch.output_file), await read(queue, "acme", batch.error_file)
    assert ids(answered) == [name for name in numbered(count) if not name.endswith("7")]
    assert ids(failed) == [name for name in numbered(count) if name.endswith("7")]
    assert all(row["response"]["body"]["text"] == row["custom_id"] for row in rows(answered) + rows(failed))


async def ended(path: Path, process: subprocess.Popen) -> None:
    """Wait until the batch of a queue that a process has open has ended."""

    async def completed() -> bool:
        assert process.poll() is None
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT status FROM tightrope_batches").fetchone() == ("completed",)

    await until(completed)


async def settle(path: Path, log: Path, batch: Batch, count: int) -> None:
    """Let a last process do the rest, and check the result."""
    url = f"sqlite:///{path}"
    with victim(url, log, 0.0) as process:
        await ended(path, process)
    async with opened(url) as queue:
        await check(queue, batch, count)


def test_killed_again_and_again(tmp_path: Path) -> None:
    chance, path, log = random.Random(1), tmp_path / "jobs.db", tmp_path / "log"  # noqa: S311 - no secret

    async def test() -> None:
        batch = await hand_in(f"sqlite:///{path}")
        for _ in range(5):
            with victim(f"sqlite:///{path}", log, most=70):  # however late it is killed
                more = len(begun(log)) + chance.randrange(0, 70)
                await until(lambda more=more: _over(log, more))
        await settle(path, log, batch, COUNT)
        assert len(begun(log)) > COUNT, "nothing was in flight when it was killed"

    asyncio.run(test())


def test_killed_while_a_file_is_read(tmp_path: Path) -> None:
    path, log, count = tmp_path / "jobs.db", tmp_path / "log", 3000

    async def test() -> None:
        batch = await hand_in(f"sqlite:///{path}", count)
        with victim(f"sqlite:///{path}", log, 0.0):
            pass
        await settle(path, log, batch, count)

    asyncio.run(test())


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_another_gateway_takes_over(blow: signal.Signals, new_database: Callable[[], str], tmp_path: Path) -> None:
    url, logs = new_database(), [tmp_path / "a", tmp_path / "b"]
    batch = asyncio.run(hand_in(url))

    async def test() -> None:
        async with opened(url) as queue:
            with victim(url, logs[0], 0.02, most=60) as first:
                await until(lambda: _over(logs[0], 40))
                os.kill(first.pid, blow)  # it holds some, and says nothing more
                with victim(url, logs[1], 0.0):
                    await finished(queue, batch)
            await check(queue, batch)

    asyncio.run(test())
    done = [{text.split()[1] for text in begun(log)} for log in logs]
    assert done[0] | done[1] == set(numbered(COUNT))
    assert done[0] & done[1], "nothing was taken over"
