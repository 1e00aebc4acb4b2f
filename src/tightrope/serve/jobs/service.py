"""``Jobs``: what a gateway starts to take deferrable work, and stops when it leaves."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.routing import Route

from tightrope.base.errors import InputError
from tightrope.base.plan import ServedClass
from tightrope.serve.config.settings import Limits
from tightrope.serve.jobs.database import JobsDatabaseError
from tightrope.serve.jobs.housekeeping import QueueKeeper
from tightrope.serve.jobs.pacing import BatchPace, JobMetrics
from tightrope.serve.jobs.queue import queue_at
from tightrope.serve.jobs.routes import Authenticate, Routes
from tightrope.serve.jobs.runner import Run, Runner

ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings", "/v1/classify")
MOST = 256
LEASE_S = 30.0
"""A gateway that has not said for so long that it is there is taken to be gone."""
AGAIN_S = 1.0
"""After a defect."""
WRITE_S = 5.0
"""For the last answers to be written down, beside the time that work has to end."""
log = logging.getLogger(__name__)


class Jobs:
    """Files, batches and the work on them."""

    def __init__(
        self,
        url: str,
        run: Run,
        classes: Mapping[str, ServedClass],
        limits: Limits,
        metrics: JobMetrics,
        *,
        waits: Callable[[], int] = lambda: 0,
        most: Callable[[], int] = lambda: MOST,
        endpoints: tuple[str, ...] = ENDPOINTS,
        lease_s: float = LEASE_S,
    ) -> None:
        """Take the queue at ``url``; see ``queue_at``.

        ``run`` answers one line (see ``runner.Run``). ``waits`` returns the interactive requests that wait now, ``most`` how many
        requests that can wait may be in flight at most; both are called often, and cost nothing.
        """
        can_wait = {name: item.deferral is not None for name, item in classes.items()}
        self._queue, self._holder = queue_at(url), f"gateway-{secrets.token_hex(8)}"
        pace = BatchPace(waits, most)
        self._runner = Runner(self._queue, run, self._holder, pace)
        shown = [name for name, waits in can_wait.items() if waits]
        self._keeper = QueueKeeper(self._queue, self._runner, pace, self._holder, limits, metrics, shown, lease_s)
        self._routes = Routes(self._queue, limits, endpoints, can_wait, self._keeper.look_now)
        self._tasks: list[asyncio.Task[None]] = []

    def routes(self, authenticate: Authenticate) -> list[Route]:
        """Return the routes of ``/v1/files`` and ``/v1/batches`` for the application, which answers the ``Refusal`` they raise."""
        return self._routes.all(authenticate)

    async def start(self) -> None:
        """Open the queue, take back what a gateway that died held, and begin; raise ``InputError``."""
        await self._queue.database.open()
        try:
            await self._keeper.begin()
        except JobsDatabaseError as trouble:
            await self._queue.database.close()
            raise InputError(str(trouble), resolve="put the queue in order, or name another one in jobs") from trouble
        jobs = (self._keeper.keep, self._keeper.read, self._runner.work, self._runner.write)
        self._tasks = [asyncio.create_task(_go_on(job)) for job in jobs]

    async def stop(self, within_s: float) -> None:
        """Begin nothing more, let what is in flight end in that time, and give the rest back for others to do."""
        await self._runner.stop(within_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            await self._write_down()
        self._tasks = []
        await self._queue.database.close()

    async def _write_down(self) -> None:
        """Write the last answers down and let go of the rest; where the database is in trouble, its lease ends by itself."""
        until = time.monotonic() + WRITE_S
        while True:
            try:
                await self._runner.write_all()
                await self._queue.items.release(self._holder)
            except JobsDatabaseError as trouble:
                if time.monotonic() > until:
                    log.warning("%s: the last answers are not written down; they will be asked for again", trouble)
                    return
                await asyncio.sleep(0.1)
            else:
                return


async def _go_on(job: Callable[[], Awaitable[None]]) -> None:
    """Do a job to its end; after a defect, begin it again: the queue is never left alone."""
    while True:
        try:
            return await job()
        except Exception:
            log.exception("a defect in the queue of deferrable work")
            await asyncio.sleep(AGAIN_S)
