"""What the tests of this folder share: queues that are opened and closed, files and batches put into them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from tightrope.serve.jobs.queue import Queue, queue_at
from tightrope.serve.jobs.records import Batch, BatchItem, File, new_id, packed
from tightrope.serve.jobs.tables import PART_BYTES
from tightrope.serve.records import Caller

EMBED = "/v1/embeddings"
NOW = 4_000_000_000.0
"""2096: what is due then is not due while the tests run."""
WAIT_S = 60.0


def line(custom_id: str, text: str = "a", **more: object) -> bytes:
    """Return a right line of an input file."""
    body = {"model": "m", "input": text}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": EMBED, "body": body} | more).encode() + b"\n"


def file_of(size: int, tenant: str = "acme", keep_s: float = 86_400.0) -> File:
    return File(new_id("file"), tenant, "batch", "in.jsonl", size, NOW, NOW + keep_s)


def batch_of(file: File, due_s: float = NOW + 3600.0, **more: object) -> Batch:
    caller = packed(Caller(file.tenant))
    batch = Batch(new_id("batch"), file.tenant, caller, EMBED, file.id, "1h", "{}", "night", 86_400.0, NOW, due_s)
    return replace(batch, **more)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Queue]:
    """Lend a queue."""
    queue = queue_at(url)
    await queue.database.open()
    try:
        yield queue
    finally:
        await queue.database.close()


async def put_file(queue: Queue, content: bytes, tenant: str = "acme", keep_s: float = 86_400.0) -> File:
    """Upload a file."""
    file = file_of(len(content), tenant, keep_s)
    await queue.files.begin(file)
    for number, start in enumerate(range(0, len(content), PART_BYTES)):
        await queue.files.append(file.id, number, content[start : start + PART_BYTES])
    await queue.files.finish(file)
    return file


async def put_batch(queue: Queue, count: int, tenant: str = "acme", **more: object) -> Batch:
    """Hand in a batch of ``count`` items ``i0`` …, whose file was read."""
    content = b"".join(line(f"i{index}") for index in range(count))
    file = await put_file(queue, content, tenant)
    batch = batch_of(file, **more)
    assert await queue.batches.add(batch, 99) == "added"
    assert (await queue.batches.take("reader")).id == batch.id
    await queue.items.add(batch.id, "reader", items_of(content))
    await queue.batches.begin(batch.id, "reader", count, NOW)
    return await queue.batches.get(tenant, batch.id)


def items_of(content: bytes) -> list[BatchItem]:
    """Return the items of a file all of whose lines are right."""
    start, items = 0, []
    for number, text in enumerate(content.splitlines(keepends=True), 1):
        items.append(BatchItem(number, json.loads(text)["custom_id"], start, len(text) - 1))
        start += len(text)
    return items


async def read(queue: Queue, tenant: str, file_id: str | None) -> bytes:
    """Return all of a file."""
    file = await queue.files.get(tenant, file_id)
    assert file is not None
    content = b"".join([page async for page in queue.files.content(file)])
    assert len(content) == file.size
    return content


def rows(content: bytes) -> list[dict]:
    """Return the lines of an output or error file."""
    return [json.loads(text) for text in content.splitlines()]


async def until(condition: Callable[[], Awaitable[object]], wait_s: float = WAIT_S) -> object:
    """Return what ``condition`` returns once it is true."""
    async with asyncio.timeout(wait_s):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
        return found


@dataclass
class Told:
    """Metrics that remember."""

    said: dict[str, tuple[int, float | None]] = field(default_factory=dict)

    def deferred(self, cls: str, count: int, slack_s: float | None) -> None:
        """Remember it."""
        self.said[cls] = (count, slack_s)


def ids(content: bytes) -> list[str]:
    return [row["custom_id"] for row in rows(content)]


def numbered(count: int) -> Iterable[str]:
    return [f"i{index}" for index in range(count)]
