"""Does the items: as many at once as ``policy.deferral`` allows, each until it is answered or due, its answer written down once."""

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from tightrope.policy import deferral
from tightrope.policy.routing import GOLDEN_RATIO_FRACTION
from tightrope.serve.jobs import batch_lines
from tightrope.serve.jobs.database import JobsDatabaseError
from tightrope.serve.jobs.pacing import BatchPace
from tightrope.serve.jobs.queue import Queue
from tightrope.serve.jobs.records import Batch, BatchItem, new_id, unpacked
from tightrope.serve.jobs.schedule import next_batch
from tightrope.serve.protocols.error_bodies import openai_error
from tightrope.serve.records import Caller
from tightrope.serve.refusals import Failed, Malformed, RequestRefusal

Run: TypeAlias = Callable[[str, bytes, Caller, str, float], Awaitable[tuple[int, bytes]]]
"""Endpoint, body, caller, traffic class, monotonic deadline → status and JSON of the answer."""

AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Answers after which an item is tried again until it is due."""
DEFECT, DEFECT_TRIES = 500, 5
"""A defect is not tried again without end: it seldom goes away."""
BEGUN = 20
"""An item that was begun so often and never answered is not begun again: it may be what ends the process each time."""
DEFECT_BODY = openai_error(Failed("This request could not be answered: a defect of the server."))
NEVER_BODY = openai_error(Malformed(f"This request was begun {BEGUN} times and never answered: it is not begun again."))
CLAIM = 64
"""Items that are taken from the queue at a time, at most."""
MOST_BYTES = 256 * 2**20
"""Lines in flight; above, nothing more is begun, however many are allowed."""
PAUSE_S = 0.5
"""The queue is looked at again after so long where nobody said that there is work; what a batch had nothing of is asked after anew."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Ended:
    """What is to be written down of one batch."""

    answers: list[tuple[BatchItem, int, bytes, str]] = field(default_factory=list)
    put_back: list[tuple[int, int | None, float]] = field(default_factory=list)


class Runner:
    """One gateway's hands on the queue."""

    def __init__(self, queue: Queue, run: Run, holder: str, pace: BatchPace) -> None:
        self._queue, self._run, self._holder, self._pace = queue, run, holder, pace
        self._running: Counter[str] = Counter()
        self._bytes = 0
        self._dry: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: set[tuple[str, int]] = set()
        self._strays: set[tuple[str, int]] = set()
        self._ended: defaultdict[str, _Ended] = defaultdict(_Ended)
        self._work, self._written = asyncio.Event(), asyncio.Event()
        self._stopping = False

    # ------------------------------------------------------------------------------------------------------------- doing

    def wake(self) -> None:
        """Look for work: there may be some."""
        self._work.set()

    async def work(self) -> None:
        """Begin items as they may begin, until ``stop``."""
        while not self._stopping:
            self._work.clear()
            try:
                more = await self._begin_some()
            except JobsDatabaseError as trouble:
                log.warning("%s", trouble)
                more = False
            if not more:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._work.wait(), PAUSE_S)

    async def _begin_some(self) -> bool:
        """Begin items of the batch whose turn it is; return whether there may be more to begin at once."""
        unwritten = sum(len(ended.answers) + len(ended.put_back) for ended in self._ended.values())
        mono, now = time.monotonic(), self._queue.now_s()
        limit = self._pace.limit(now)
        room = limit - len(self._tasks) - max(0, unwritten - CLAIM)
        ready = [batch for batch in self._pace.batches.values() if self._may_begin(batch, mono, now)]
        batch = next_batch(ready, self._running, now, self._pace.per_s)
        if room <= 0 or batch is None or self._bytes > MOST_BYTES:
            return False
        running, share = self._running[batch.tenant], -(-limit // len({other.tenant for other in ready}))
        wanted = max(1, min(room, CLAIM, share - running, self._pace.room(batch.tenant, running)))
        items = await self._queue.items.claim(batch.id, self._holder, wanted, now)
        if len(items) < wanted:
            self._dry = {name: until for name, until in self._dry.items() if until > mono} | {batch.id: mono + PAUSE_S}
        texts = await self._queue.files.spans(batch.file, [(item.start, item.size) for item in items])
        self._known.update((batch.id, item.line) for item in items)
        for item, text in zip(items, texts, strict=True):
            task = asyncio.create_task(self._one(batch, item, text))
            self._tasks.add(task)
            self._running[batch.tenant] += 1
            self._bytes += item.size
            task.add_done_callback(partial(self._done, batch.tenant, item.size))
        return True

    def _may_begin(self, batch: Batch, mono: float, now_s: float) -> bool:
        """Return whether a batch may have items to begin, and its tenant begin one."""
        wet = self._dry.get(batch.id, 0.0) <= mono
        return wet and batch.due_s > now_s and self._pace.room(batch.tenant, self._running[batch.tenant]) > 0

    def _done(self, tenant: str, size: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._bytes -= size
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        self._work.set()

    async def _one(self, batch: Batch, item: BatchItem, text: bytes) -> None:
        """Try one item once, and leave word of how it went."""
        began_s, left_s = time.monotonic(), batch.due_s - self._queue.now_s()
        allowed = asyncio.timeout(max(0.0, left_s))
        try:
            async with allowed:
                status, answer = await self._ask(batch, item, text, began_s + left_s)
        except asyncio.CancelledError:
            self._ended[batch.id].put_back.append((item.line, None, 0.0))
            raise
        except RequestRefusal as refusal:
            self._answered(batch, item, refusal.status, openai_error(refusal), time.monotonic() - began_s)
        except Exception as error:
            if isinstance(error, TimeoutError) and allowed.expired():
                self._ended[batch.id].put_back.append((item.line, None, 0.0))
                return
            log.exception("%s line %d: a defect", batch.id, item.line)
            self._answered(batch, item, DEFECT, DEFECT_BODY, time.monotonic() - began_s)
        else:
            self._answered(batch, item, status, answer, time.monotonic() - began_s)
        finally:
            self._written.set()

    async def _ask(self, batch: Batch, item: BatchItem, text: bytes, deadline_s: float) -> tuple[int, bytes]:
        """Return the answer to an item."""
        if item.tries > BEGUN and item.last_status is None:
            return 400, NEVER_BODY
        body = batch_lines.read_line(text, batch.endpoint)[1]
        return await self._run(batch.endpoint, body, unpacked(batch.caller), batch.traffic_class, deadline_s)

    def _answered(self, batch: Batch, item: BatchItem, status: int, body: bytes, answer_s: float) -> None:
        self._pace.answered(batch, status, answer_s, self._running[batch.tenant])
        now = self._queue.now_s()
        if status in AGAIN and not (status == DEFECT and item.tries >= DEFECT_TRIES):
            spread = 1.0 + item.line * GOLDEN_RATIO_FRACTION % 1.0  # those that were refused together do not come back together
            again_s = min(now + deferral.retry_after_s(item.tries) * spread, batch.due_s)
            self._ended[batch.id].put_back.append((item.line, status, again_s))
            return
        self._ended[batch.id].answers.append((item, status, body, new_id("req")))

    # ----------------------------------------------------------------------------------------------------------- writing

    async def write(self) -> None:
        """Write down how items ended, all that have ended since the last time at once; until cancelled."""
        self._written.set()
        while True:
            await self._written.wait()
            self._written.clear()
            try:
                await self.write_all()
            except JobsDatabaseError as trouble:
                log.warning(
                    "%s: %d answers wait to be written", trouble, sum(len(ended.answers) for ended in self._ended.values())
                )
                await asyncio.sleep(PAUSE_S)
                self._written.set()

    async def write_all(self) -> None:
        """Write down what there is; what cannot be written is kept, and ``JobsDatabaseError`` raised."""
        for batch_id in list(self._ended):
            ended = self._ended.pop(batch_id)
            try:
                await self._write(batch_id, ended)
            except BaseException:
                kept = self._ended[batch_id]
                kept.answers, kept.put_back = ended.answers + kept.answers, ended.put_back + kept.put_back
                raise
        self._work.set()

    async def _write(self, batch_id: str, ended: _Ended) -> None:
        """Write down what ended of one batch; what is written is taken out of ``ended``."""
        if ended.answers:
            answers, batch = ended.answers, batch_id
            results = await asyncio.to_thread(lambda: [batch_lines.answered(batch, *answer) for answer in answers])
            await self._queue.items.record(batch_id, results, self._queue.now_s())
            self._known.difference_update((batch_id, item.line) for item, *_ in answers)
            ended.answers = []
        if ended.put_back:
            await self._queue.items.put_back(batch_id, self._holder, ended.put_back)
            self._known.difference_update((batch_id, line) for line, *_ in ended.put_back)
            self._dry.pop(batch_id, None)

    async def take_strays(self) -> None:
        """Put back what this gateway holds and does not know of: it was claimed, and trouble came before that was heard.

        What is claimed just now is not known either, so only what was a stray before is one.
        """
        found = await self._queue.items.held(self._holder) - self._known
        for batch_id, line in found & self._strays:
            await self._queue.items.put_back(batch_id, self._holder, [(line, None, 0.0)])
        self._strays = found

    async def stop(self, within_s: float) -> None:
        """Begin nothing more; let what is in flight be answered in that time, and put the rest back."""
        self._stopping = True
        self._work.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
