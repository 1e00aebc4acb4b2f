"""``LocalPool``: a pool whose model runs in this process; it loads and unloads, queues, answers and says how things stand."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from typing import Protocol

from tightrope.base.errors import TightropeError
from tightrope.base.plan import ServedClass
from tightrope.policy.batching import ROOM, rate_after
from tightrope.policy.scaling import sleeps, wakes
from tightrope.serve.config.settings import ServedPool
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.local.batch_choice import BatchRules, choose
from tightrope.serve.local.batches import EngineBatch
from tightrope.serve.local.engines import Engines, Urgency
from tightrope.serve.local.model_loading import LoadedModel, LoadMeasurement, let_go, load
from tightrope.serve.local.models import LocalModelInterface
from tightrope.serve.local.wait_queue import CallTicket, WaitQueue, WorkItem
from tightrope.serve.records import Call, Reply, Signature, Task
from tightrope.serve.refusals import Failed, Unavailable

log = logging.getLogger(__name__)

NEW = 0.05
"""Share that the latest batch has in the time of an item, and the latest request in how many items a request has."""


class BatchMetrics(Protocol):
    """What is counted of batches."""

    def batch(self, pool: str, size: int, service_s: float) -> None:
        """Count a batch, and the time that an engine worked on it."""
        ...


class LocalPool:
    """A ``Backend`` in this process.

    ``start`` raises ``InputError`` where the model's files are not what they should be, and ``MissingExtraError`` where a runtime is
    missing.
    """

    def __init__(
        self, pool: ServedPool, task: Task, classes: Mapping[str, ServedClass], engines: Engines, metrics: BatchMetrics
    ) -> None:
        """Take the pool as it was set; nothing is loaded yet."""
        self.pool, self.task = pool, task
        self.threads = 1
        self._engines, self._metrics, self._clock, self._lock = engines, metrics, engines.clock, engines.lock
        self.late: Callable[[Call, Reply], None] = _unheard
        """Told what a batch cost a call that had been given up when it ended."""
        self._levels = _levels(classes)
        self._within_s = {name: served.answer_within_s or math.inf for name, served in classes.items()}
        self._waiting = WaitQueue(len(set(self._levels.values())) or 1)
        self._priorities = sorted({served.priority for served in classes.values()}, reverse=True) or [0]
        self._load = PoolLoad(0, waiting=dict.fromkeys(classes, 0), requests_per_s=pool.requests_per_s)
        self._loaded: LoadedModel | None = None
        self._found: LoadMeasurement | None = None
        self._rules: BatchRules | None = None
        self._waking: asyncio.Task[LoadedModel] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._quiet: asyncio.Event | None = None
        self._stopping = self._refusing = self._kept = False
        self._running = 0
        self._names = pool.local.labels if pool.local is not None and task == "classify" else ()
        self._rate_per_s = self._counted_s = self._idle_s = self._item_s = self._each = 0.0

    # ------------------------------------------------------------------------------------------------------- life of a pool

    async def start(self) -> None:
        """Load the model and measure it; where it is to be loaded only when it is asked, let go of it again."""
        await self._wake()
        if self.pool.local is not None and not self.pool.local.keep_loaded:
            self._unload()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._engines.add(self)

    async def stop(self, within_s: float) -> None:
        """Take nothing more, finish what has begun within the time, refuse the rest, and unload."""
        self._stopping = True
        if self._quiet is None:
            return
        try:
            await asyncio.wait_for(self._quiet.wait(), within_s)
        except TimeoutError:
            self._refusing = True
            with self._lock:
                left = self._waiting.everything()
            for item in left:
                self._refuse(item.ticket, self._unavailable())
            await self._quiet.wait()  # for the batches that run, which cannot be broken off
        self._engines.remove(self)
        if self._timer is not None:
            self._timer.cancel()
        self._unload()
        self._quiet = None

    def load(self) -> PoolLoad:
        """Return how things stand now."""
        state = self._load
        state.held = 0 if self._loaded is not None else sum(state.waiting.values())
        return state

    def keep_answers(self) -> None:
        """Say that answers are kept, or judged by their confidence: a model whose answers depend on their batch runs them one by one."""
        self._kept = True
        self._set_rules()

    @property
    def varies(self) -> bool:
        """Whether the model's answers depend on what is in their batch; known once it was loaded."""
        return self._found is not None and self._found.varies

    @property
    def signature(self) -> Signature | None:
        """What a model that takes tensors takes and gives; None of others, and before it was loaded once."""
        return self._found.signature if self._found is not None else None

    async def _wake(self) -> None:
        """Return when the model is loaded: by one thread, however many ask."""
        if self._waking is None and wakes(1, int(self._loaded is not None)):
            self._load.replicas_starting = self.pool.replicas_per_machine
            self._waking = asyncio.create_task(self._load_model())
            self._waking.add_done_callback(lambda task: task.cancelled() or task.exception())  # whoever asked may have gone
        if self._waking is not None:
            await asyncio.shield(self._waking)

    async def _load_model(self) -> LoadedModel:
        """Load the model, in a thread."""
        within_s = min(self._within_s.values(), default=math.inf)
        try:
            loaded = await asyncio.to_thread(load, self.pool, self.task, self._engines.places, self._found, within_s)
        finally:
            self._load.replicas_starting, self._waking = 0, None
        self._loaded, self._found, self.threads = loaded, loaded.found, loaded.found.threads
        self._load.cold_start_s = loaded.seconds
        self._load.replicas_ready = self.pool.replicas_per_machine
        self._set_rules()
        if self.pool.local is not None:
            log.info("%s: %s loaded in %.2f s", self.pool.name, self.pool.local.path.name, self._load.cold_start_s)
        self._sleep_later()
        return loaded

    def _set_rules(self) -> None:
        """Take what is known of the model into the rules of batches."""
        if self._found is None:
            return
        alone = self._kept and self._found.varies
        if alone:
            log.info("%s: answers are kept or judged, so that each runs alone", self.pool.name)
        model = self._loaded.model.most if self._loaded is not None else None
        most = 1 if alone else min(self.pool.max_batch, model or self.pool.max_batch)
        room_s = ROOM * min(self._within_s.values(), default=math.inf)
        self._rules = BatchRules(self._found.curve, most, self.pool.max_wait_s, self.pool.deferrable_limit, room_s)

    def _sleep_later(self) -> None:
        """Look again whether the model is to be unloaded when it has been idle for long enough."""
        local = self.pool.local
        if local is None or local.keep_loaded or self._load.in_flight:
            return
        self._idle_s = self._clock()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(local.idle_s, self._sleep)

    def _sleep(self) -> None:
        """Unload the model if nobody has asked it anything for long enough."""
        self._timer, local = None, self.pool.local
        if local is None or self._loaded is None or self._load.in_flight:
            return
        idle_s = self._clock() - self._idle_s
        if sleeps(idle_s + 1e-3, local.idle_s, relieved=False):
            log.info("%s: %s unloaded after %.0f s without a request", self.pool.name, local.path.name, idle_s)
            self._unload()
        else:
            self._timer = asyncio.get_running_loop().call_later(local.idle_s - idle_s, self._sleep)

    def _unload(self) -> None:
        """Let go of the model, in a thread: giving much memory back takes time."""
        self._load.replicas_ready = 0
        held, self._loaded = [self._loaded], None
        asyncio.get_running_loop().run_in_executor(None, let_go, held)

    # ------------------------------------------------------------------------------------------------------------ answering

    async def answer(self, call: Call) -> Reply:
        """Return the answer with its cost; raise ``Refusal``. Cancelling it takes what has not begun out of the queue."""
        if self._stopping or self._quiet is None:
            raise self._unavailable()
        ticket = CallTicket(
            call, asyncio.get_running_loop().create_future(), Reply(self.pool.name, self.pool.variant, labels=self._names)
        )
        self._enter(ticket)
        try:
            if self._loaded is None:
                await self._woken()
            await self._queue(ticket)
            return await ticket.future
        except BaseException:
            ticket.give_up()
            raise
        finally:
            self._leave(ticket)
            del ticket  # whose future holds the error that is raised through here

    async def _woken(self) -> None:
        """Return when the model is loaded; raise ``Unavailable`` where it cannot be."""
        try:
            await self._wake()
        except TightropeError as error:
            log.error("%s cannot be loaded: %s", self.pool.name, error)  # noqa: TRY400 - the message is complete
            msg = f"model {self.pool.model!r} cannot be loaded now"
            raise Unavailable(msg) from error

    async def _queue(self, ticket: CallTicket) -> None:
        """Put what a call asks for into the queue."""
        assert self._loaded is not None  # noqa: S101 - nothing is unloaded while a request is here
        model, call = self._loaded.model, ticket.call
        if model.heavy(call):
            ticket.enter(await asyncio.to_thread(model.items, ticket))
        else:
            ticket.enter(model.items(ticket))
        if self._refusing:
            raise self._unavailable()
        now_s = self._clock()
        level, within_s = self._levels.get(call.traffic_class, 0), self._within_s.get(call.traffic_class, math.inf)
        due_s = call.arrived_s + within_s if call.deadline_s is None else call.deadline_s
        for item in ticket.items:
            item.entered_s, item.due_s, item.level, item.tenant = now_s, due_s, level, call.caller.tenant
        with self._lock:
            self._waiting.push(ticket.items, call.deadline_s)
        self._each += (len(ticket.items) - self._each) * (NEW if self._each else 1.0)
        if self.pool.max_wait_s and call.deadline_s is None:
            self._count_arrivals(len(ticket.items), now_s)
        self._engines.poke()

    def _unavailable(self) -> Unavailable:
        """Return what is said while the pool does not serve."""
        return Unavailable(f"model {self.pool.model!r} is not served now")

    def _enter(self, ticket: CallTicket) -> None:
        """Count a request that has come."""
        self._load.in_flight += 1
        waiting, name = self._load.waiting, ticket.call.traffic_class
        with self._lock:
            waiting[name] = waiting.get(name, 0) + 1
        if self._quiet is not None:
            self._quiet.clear()

    def _leave(self, ticket: CallTicket) -> None:
        """Count a request that is answered, refused or cancelled, and take what is left of it out of the queue."""
        if not ticket.ended or ticket.waits:
            with self._lock:
                self._take_out(ticket)
                self._begun(ticket)
        ticket.items = ()  # which know the ticket: nothing is left to the garbage collector
        self._load.in_flight -= 1
        self._settle()

    def _settle(self) -> None:
        """Note where nothing waits or runs any longer: a batch runs on when all who asked have gone."""
        if self._load.in_flight == 0 and self._running == 0:
            self._sleep_later()
            if self._quiet is not None:
                self._quiet.set()

    def _begun(self, ticket: CallTicket) -> None:
        """Count a request as waiting no longer, once; with the lock held."""
        if ticket.waits:
            ticket.waits = False
            self._load.waiting[ticket.call.traffic_class] -= 1

    def _take_out(self, ticket: CallTicket) -> None:
        """End a request: nothing of it runs from now on; with the lock held."""
        ticket.ended = True
        for item in ticket.items:
            self._waiting.remove(item)

    def _refuse(self, ticket: CallTicket, refusal: Exception) -> None:
        """End a request without an answer."""
        if not ticket.ended:
            with self._lock:
                self._take_out(ticket)
        if not ticket.future.done():
            ticket.future.set_exception(refusal)

    def _count_arrivals(self, count: int, now_s: float) -> None:
        """Learn how many items that cannot wait come in a second."""
        self._rate_per_s = rate_after(self._rate_per_s, now_s - self._counted_s, count)
        self._counted_s = now_s

    # -------------------------------------------------------------------------------------------------- what the engines ask

    def urgency(self) -> Urgency | None:
        """Return how urgent the first of what waits is."""
        if self._loaded is None:
            return None
        first = self._waiting.first()
        if first is not None:
            return (False, -self._priorities[first.level], first.entered_s)
        later = self._waiting.window_deferrable(1)
        return (True, 0, later[0].due_s) if later else None

    def take(self, now_s: float, free: int) -> EngineBatch | float | None:
        """Return the next batch for one of ``free`` engines, or when to ask again, or None."""
        loaded, rules = self._loaded, self._rules
        if loaded is None or rules is None:
            return None
        while True:
            chosen = choose(self._waiting, rules, now_s, free, self._rate_per_s)
            if not isinstance(chosen, list):
                return chosen
            kept = [item for item in chosen if not item.ticket.call.gone]
            for item in chosen if len(kept) < len(chosen) else ():
                if item.ticket.call.gone:
                    loop = item.ticket.future.get_loop()
                    loop.call_soon_threadsafe(self._refuse, item.ticket, Unavailable("the client has gone"))
            if kept:
                return self._batch(loaded, kept)

    def _batch(self, loaded: LoadedModel, items: list[WorkItem]) -> EngineBatch:
        """Return a batch that begins now."""
        for item in items:
            item.ticket.unbegun -= 1
            if not item.ticket.unbegun:
                self._begun(item.ticket)
        self._running += 1
        return EngineBatch(loaded, items, self._engines.meter, self._clock, self._batch_ended)

    def _batch_ended(self, batch: EngineBatch) -> None:
        """Share the cost of a batch equally, since all its items were padded to one length, and hand the answers out."""
        with self._lock:
            self._running -= 1
        size, service_s = len(batch.items), batch.ended_s - batch.began_s
        self._metrics.batch(self.pool.name, size, service_s)
        self._learn(batch, size, service_s)
        share, rest = divmod(batch.nusd, size) if batch.nusd is not None else (None, 0)
        machine_s = batch.machine_s / size
        varies = size > 1 and self.varies
        for place, (item, answer) in enumerate(zip(batch.items, batch.answers, strict=True)):
            ticket = item.ticket
            nusd = None if share is None else share + (place < rest)
            if ticket.given_up:
                self.late(ticket.call, Reply(self.pool.name, self.pool.variant, compute_nusd=nusd, machine_s=machine_s))
                continue
            ticket.charge(nusd, machine_s)
            if isinstance(answer, Exception):
                self._fail(ticket, answer)
            else:
                reply = ticket.reply
                reply.wait_s = max(reply.wait_s, batch.began_s - item.entered_s)
                reply.service_s, reply.batch, reply.varies = service_s, size, reply.varies or varies
                if ticket.answered(item, answer):
                    self._finish(ticket, batch.model)
        self._settle()

    def _finish(self, ticket: CallTicket, model: LocalModelInterface) -> None:
        """Hand a reply out; where the answers of its items do not fit together, it fails, and no other with it."""
        ticket.ended = True
        try:
            ticket.reply.outputs = model.outputs(ticket.parts)
        except Exception as error:  # noqa: BLE001 - whatever the model made of it
            self._fail(ticket, error)
        if not ticket.future.done():
            ticket.future.set_result(ticket.reply)

    def _fail(self, ticket: CallTicket, error: Exception) -> None:
        """End a request whose input the model failed on; what went wrong is for the log."""
        log.error("%s: request %s failed: %s", self.pool.name, ticket.call.identity, error)
        self._refuse(ticket, Failed(f"model {self.pool.model!r} failed on this input", reason="engine"))

    def _learn(self, batch: EngineBatch, size: int, service_s: float) -> None:
        """Take a batch that ran into account, unless it had to be run again."""
        assert self._found is not None  # noqa: S101 - it was loaded
        if any(isinstance(answer, Exception) for answer in batch.answers):
            return
        busy_s = batch.busy_s if self._found.one_thread else None
        self._found.curve.learn(size, max(item.length for item in batch.items), service_s, busy_s)
        if not self.pool.requests_per_s:
            self._item_s += (service_s / size - self._item_s) * (NEW if self._item_s else 1.0)
            slots = self._engines.cores // self.threads
            self._load.requests_per_s = slots / max(self._item_s * self._each, 1e-9) / self.pool.replicas_per_machine


def _unheard(call: Call, reply: Reply) -> None:
    """Tell nobody."""


def _levels(classes: Mapping[str, ServedClass]) -> dict[str, int]:
    """Return class → its place in the order of priorities, the largest first."""
    priorities = sorted({served.priority for served in classes.values()}, reverse=True)
    return {name: priorities.index(served.priority) for name, served in classes.items()}
