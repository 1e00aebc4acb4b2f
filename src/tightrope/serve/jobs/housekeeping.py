"""What time brings: signs of life, the work of gateways that died, files to read, batches that are due, files that are old."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable

from tightrope.serve.config.settings import Limits
from tightrope.serve.jobs import batch_lines
from tightrope.serve.jobs.database import JobsDatabaseError
from tightrope.serve.jobs.pacing import BatchPace, JobMetrics
from tightrope.serve.jobs.queue import Queue
from tightrope.serve.jobs.records import Batch
from tightrope.serve.jobs.runner import Runner
from tightrope.serve.jobs.validate import validate

LOOK_S = 1.0
SWEEP_S = 60.0
CLOSED = 500
"""Items that are closed in one step, of a batch that is due or cancelled."""
log = logging.getLogger(__name__)


class QueueKeeper:
    """Looks at the queue each second, or as soon as it is told to."""

    def __init__(
        self,
        queue: Queue,
        runner: Runner,
        pace: BatchPace,
        holder: str,
        limits: Limits,
        metrics: JobMetrics,
        classes: Iterable[str],
        lease_s: float,
    ) -> None:
        self._queue, self._runner, self._pace, self._holder, self._limits = queue, runner, pace, holder, limits
        self._metrics, self._classes, self._lease_s = metrics, tuple(classes), lease_s
        self._asked, self._handed_in = asyncio.Event(), asyncio.Event()
        self._beaten_s = self._swept_s = -float("inf")

    def look_now(self) -> None:
        """Look at once: something was handed in, or cancelled."""
        self._asked.set()
        self._handed_in.set()

    async def begin(self) -> None:
        """Say that this gateway is there; alone at a queue, take back what anyone holds, who must be gone."""
        if not self._queue.database.shared:
            await self._take_back(float("inf"))
        await self._beat()

    async def _beat(self) -> None:
        """Say that this gateway is there, and take back what those hold that are not."""
        await self._queue.items.beat(self._holder, self._queue.now_s() + self._lease_s)
        self._beaten_s = time.monotonic()
        await self._take_back(self._queue.now_s())

    async def _take_back(self, now_s: float) -> None:
        for dead in await self._queue.items.dead(now_s):
            log.info("took back %d items of a gateway that is gone", await self._queue.items.release(dead))

    async def keep(self) -> None:
        """Do it until cancelled; where the database is in trouble, again later."""
        while True:
            self._asked.clear()
            try:
                await self._look()
            except JobsDatabaseError as trouble:
                log.warning("%s", trouble)
            await _set_within(self._asked, min(LOOK_S, self._lease_s / 3))

    async def _look(self) -> None:
        if time.monotonic() - self._beaten_s > self._lease_s / 3:
            await self._beat()
            await self._runner.take_strays()
        now, batches = self._queue.now_s(), await self._queue.batches.open()
        for batch in batches:
            if batch.status == "in_progress" and batch.due_s <= now:
                await self._queue.batches.stop(batch.id, "finalizing", now)
                self._asked.set()
            elif batch.status in ("finalizing", "cancelling"):
                await self._close(batch)
        self._pace.look(batches)
        self._pace.show(self._metrics, self._classes, now)
        self._runner.wake()
        if time.monotonic() - self._swept_s > SWEEP_S:
            if self._swept_s < 0.0:
                await self._queue.files.clear_left()
                await self._queue.batches.clear_left()
            self._swept_s = time.monotonic()
            await self._queue.files.expire(now)
            await self._queue.batches.expire(now - self._limits.keep_s)
            await self._queue.database.tidy()

    async def _close(self, batch: Batch) -> None:
        """End the items of a batch that will not be done; those that are in flight are waited for."""
        while items := await self._queue.items.open(batch.id, CLOSED):
            results = [batch_lines.unanswered(batch.id, item, batch.status == "cancelling") for item in items]
            await self._queue.items.record(batch.id, results, self._queue.now_s())
        await self._queue.batches.settle(batch.id, self._queue.now_s())

    async def read(self) -> None:
        """Read the files of batches that were handed in, one after another, until cancelled."""
        while True:
            self._handed_in.clear()
            try:
                batch = await self._queue.batches.take(self._holder)
                if batch is not None:
                    await validate(self._queue, batch, self._holder, self._limits)
                    self.look_now()
            except JobsDatabaseError as trouble:
                log.warning("%s", trouble)
            await _set_within(self._handed_in, LOOK_S)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, or for so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
