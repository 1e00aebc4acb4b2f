"""Does the items: as many at once as ``policy.defer`` allows, each until it is answered or due, its answer written down once."""

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from tightrope.policy import defer
from tightrope.policy.route import GOLDEN_RATIO_FRACTION
from tightrope.serve.jobs import lines
from tightrope.serve.jobs.database import Trouble
from tightrope.serve.jobs.queue import Queue
from tightrope.serve.jobs.records import Batch, Item, new_id, unpacked
from tightrope.serve.jobs.schedule import Rate, due, next_batch, slack_s
from tightrope.serve.protocols.words import openai_error
from tightrope.serve.records import Caller
from tightrope.serve.refusals import Failed, Refusal

Run: TypeAlias = Callable[[str, bytes, Caller, str, float], Awaitable[tuple[int, bytes]]]
"""Endpoint, body, caller, traffic class, monotonic deadline → status and JSON of the answer."""

AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Answers after which an item is tried again until it is due."""
BUSY = frozenset({429, 503})
"""Answers that say that there are too many at once."""
DEFECT, DEFECT_TRIES = 500, 5
"""A defect is not tried again without end: it seldom goes away."""
DEFECT_BODY = openai_error(Failed("This request could not be answered: a defect of the server."))
FIRST_LIMIT = 4.0
CLAIM = 64
"""Items that are taken from the queue at a time, at most."""
PAUSE_S = 0.5
"""The queue is looked at again after so long where nobody said that there is work; what a batch had nothing of is asked after anew."""
log = logging.getLogger(__name__)


class Shows(Protocol):
    """What is told of the work, as ``serve.watch.metrics.Metrics`` takes it."""

    def deferred(self, cls: str, count: int, slack_s: float | None) -> None:
        """Note a class's items that are not done, and the least time that is spare at a deadline."""
        ...


@dataclass(slots=True)
class _Ended:
    """What is to be written down of one batch."""

    answers: list[tuple[Item, int, bytes, str]] = field(default_factory=list)
    put_back: list[tuple[int, int | None, float]] = field(default_factory=list)


class Runner:
    """One gateway's hands on the queue."""

    def __init__(self, queue: Queue, run: Run, holder: str, waits: Callable[[], int], most: Callable[[], int]) -> None:
        self._queue, self._run, self._holder, self._waits, self._most = queue, run, holder, waits, most
        self._batches: dict[str, Batch] = {}
        self._rates: defaultdict[str, Rate] = defaultdict(Rate)
        self._running: Counter[str] = Counter()
        self._dry: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: set[tuple[str, int]] = set()
        self._strays: set[tuple[str, int]] = set()
        self._ended: defaultdict[str, _Ended] = defaultdict(_Ended)
        self._work, self._written = asyncio.Event(), asyncio.Event()
        self._learned, self._refused, self._cut_s, self._ticked_s = FIRST_LIMIT, False, 0.0, time.monotonic()
        self._stopping = False

    # ------------------------------------------------------------------------------------------------------------ told

    def look(self, batches: Iterable[Batch]) -> None:
        """Take note of the batches that have not ended."""
        before, now = self._ticked_s, time.monotonic()
        for name in {batch.traffic_class for batch in self._batches.values()}:
            self._rates[name].passed(now - before)
        self._batches, self._ticked_s = {batch.id: batch for batch in batches if batch.status == "in_progress"}, now
        self._dry = {name: until for name, until in self._dry.items() if until > now}
        self._work.set()

    def show(self, metrics: Shows, classes: Iterable[str]) -> None:
        """Say how each class's work stands."""
        by_class = self._by_class()
        for name in {*classes, *by_class}:
            theirs = by_class.get(name, [])
            slack = slack_s(theirs, self._queue.now_s(), self._rates[name].per_s)
            metrics.deferred(name, sum(batch.left for batch in theirs), slack)

    def _by_class(self) -> Mapping[str, list[Batch]]:
        found: defaultdict[str, list[Batch]] = defaultdict(list)
        for batch in self._batches.values():
            found[batch.traffic_class].append(batch)
        return found

    # ---------------------------------------------------------------------------------------------------------- deciding

    def limit(self) -> int:
        """Return how many items may be in flight now."""
        now, urgent, needed, unknown = self._queue.now_s(), 0.0, 0.0, False
        for name, theirs in self._by_class().items():
            rate = self._rates[name]
            slack = slack_s(theirs, now, rate.per_s)
            if slack is None:
                unknown = unknown or rate.per_s <= 0.0
                continue
            left, items = due(theirs, now)
            this = defer.urgency(slack, float(left[0]))
            urgent = max(urgent, this)
            needed += float(defer.needed_per_s(left, items)) * rate.answer_s if this else 0.0
        allowed = defer.in_flight_limit(self._learned, self._most(), self._waits() > 0, urgent, needed)
        return max(allowed, min(1, self._most())) if unknown else allowed  # one, to learn how long it takes

    def _learn(self, status: int, answer_s: float) -> None:
        """Take note of an answer: more at once are taken, or fewer."""
        if status in BUSY:
            if time.monotonic() - self._cut_s > answer_s:  # once a round: those that began before it say nothing new
                self._learned, self._refused, self._cut_s = defer.learn_refused(self._learned), True, time.monotonic()
        elif len(self._tasks) >= int(self._learned):
            self._learned = defer.learn_taken(self._learned, self._most(), self._refused)

    # ------------------------------------------------------------------------------------------------------------- doing

    async def work(self) -> None:
        """Begin items as they may begin, until ``stop``."""
        while not self._stopping:
            self._work.clear()
            try:
                more = await self._begin_some()
            except Trouble as trouble:
                log.warning("%s", trouble)
                more = False
            if not more:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._work.wait(), PAUSE_S)

    async def _begin_some(self) -> bool:
        """Begin items of the batch whose turn it is; return whether there may be more to begin at once."""
        unwritten = sum(len(ended.answers) + len(ended.put_back) for ended in self._ended.values())
        limit = self.limit()
        room = limit - len(self._tasks) - max(0, unwritten - CLAIM)
        mono, now = time.monotonic(), self._queue.now_s()
        ready = [batch for batch in self._batches.values() if batch.due_s > now and self._dry.get(batch.id, 0.0) <= mono]
        batch = next_batch(ready, self._running, now, sum(rate.per_s for rate in self._rates.values()))
        if room <= 0 or batch is None:
            return False
        tenants = len({other.tenant for other in ready})
        wanted = max(1, min(room, CLAIM, -(-limit // tenants) - self._running[batch.tenant]))
        items = await self._queue.items.claim(batch.id, self._holder, wanted, now)
        if len(items) < wanted:
            self._dry[batch.id] = mono + PAUSE_S
        texts = await self._queue.files.spans(batch.file, [(item.start, item.size) for item in items])
        self._known.update((batch.id, item.line) for item in items)
        for item, text in zip(items, texts, strict=True):
            task = asyncio.create_task(self._one(batch, item, text))
            self._tasks.add(task)
            self._running[batch.tenant] += 1
            task.add_done_callback(lambda task, tenant=batch.tenant: self._done(task, tenant))
        return True

    def _done(self, task: asyncio.Task[None], tenant: str) -> None:
        self._tasks.discard(task)
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        self._work.set()

    async def _one(self, batch: Batch, item: Item, text: bytes) -> None:
        """Try one item once, and leave word of how it went."""
        began_s, left_s = time.monotonic(), batch.due_s - self._queue.now_s()
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                body = lines.read_line(text, batch.endpoint)[1]
                caller = unpacked(batch.caller)
                status, answer = await self._run(batch.endpoint, body, caller, batch.traffic_class, began_s + left_s)
        except TimeoutError:
            self._ended[batch.id].put_back.append((item.line, None, 0.0))
        except asyncio.CancelledError:
            self._ended[batch.id].put_back.append((item.line, None, 0.0))
            raise
        except Refusal as refusal:
            self._answered(batch, item, refusal.status, openai_error(refusal), time.monotonic() - began_s)
        except Exception:
            log.exception("%s line %d: a defect", batch.id, item.line)
            self._answered(batch, item, DEFECT, DEFECT_BODY, time.monotonic() - began_s)
        else:
            self._answered(batch, item, status, answer, time.monotonic() - began_s)
        finally:
            self._written.set()

    def _answered(self, batch: Batch, item: Item, status: int, body: bytes, answer_s: float) -> None:
        self._learn(status, answer_s)
        now = self._queue.now_s()
        if status in AGAIN and not (status == DEFECT and item.tries >= DEFECT_TRIES):
            spread = 1.0 + item.line * GOLDEN_RATIO_FRACTION % 1.0  # those that were refused together do not come back together
            again_s = min(now + defer.retry_after_s(item.tries) * spread, batch.due_s)
            self._ended[batch.id].put_back.append((item.line, status, again_s))
            return
        self._rates[batch.traffic_class].ended(answer_s)
        self._ended[batch.id].answers.append((item, status, body, new_id("req")))

    # ----------------------------------------------------------------------------------------------------------- writing

    async def write(self) -> None:
        """Write down how items ended, all that have ended since the last time at once; until cancelled."""
        while True:
            await self._written.wait()
            self._written.clear()
            try:
                await self.write_all()
            except Trouble as trouble:
                log.warning(
                    "%s: %d answers wait to be written", trouble, sum(len(ended.answers) for ended in self._ended.values())
                )
                await asyncio.sleep(PAUSE_S)
                self._written.set()

    async def write_all(self) -> None:
        """Write down what there is; what can not be written is kept, and ``Trouble`` raised."""
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
            results = await asyncio.to_thread(lambda: [lines.answered(batch, *answer) for answer in answers])
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
