"""Reads a batch's input file into items, line by line, and says what is wrong with it."""

import asyncio

from tightrope.serve.config.settings import Limits
from tightrope.serve.jobs.batch_lines import InputReader
from tightrope.serve.jobs.items import BatchLostError
from tightrope.serve.jobs.queue import Queue
from tightrope.serve.jobs.records import Batch, BatchItem, LineError


async def validate(queue: Queue, batch: Batch, holder: str, limits: Limits) -> None:
    """Let a batch that ``holder`` has taken begin or fail; raise ``Trouble``. Begun again from the start where it was broken off."""
    reader = InputReader(batch.endpoint, limits.body_bytes, limits.file_lines)
    try:
        await queue.batches.clear(batch.id)
        await _read(queue, batch, holder, reader)
    except BatchLostError:
        return
    if reader.errors:
        await queue.batches.fail(batch.id, holder, reader.errors, queue.now_s())
    else:
        await queue.batches.begin(batch.id, holder, reader.total, queue.now_s())


async def _read(queue: Queue, batch: Batch, holder: str, reader: InputReader) -> None:
    """Add all lines that are right; what is wrong stands in the reader."""
    file = await queue.files.get(batch.tenant, batch.file)
    if file is None:
        reader.errors.append(LineError("file_not_found", f"There is no file {batch.file!r} any more.", param="input_file_id"))
        return

    async def add(items: list[BatchItem]) -> None:
        if items:
            reader.doubled(await queue.items.add(batch.id, holder, items))

    async for page in queue.files.content(file):
        await add(await asyncio.to_thread(reader.feed, page))
        if reader.stopped:
            return
    await add(reader.end())
