"""The engine threads that all pools of this process share, and who gets a core that has become free.

Whoever first knows decides what an idle engine does next: the event loop where a request has come, an engine's own thread where its
batch has ended, so that no engine waits until the loop has heard of it. ``lock`` is held meanwhile, and by a pool that changes what
waits. All else happens in the event loop.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Protocol

from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.local.core_placement import giving_way, held_to, places, usable_cores

log = logging.getLogger(__name__)

LEAST_WAIT_S = 5e-4
"""A loop's timer may be early by as much: asking again at once would keep the core busy until the time has come."""
JOIN_S = 5.0

Urgency = tuple[bool, int, float]
"""What goes first: what cannot wait before what can, then the larger priority (negated), then who came first."""


class EngineWorkload(Protocol):
    """A batch on its way through an engine."""

    slot: int
    """Which engine it is on; set when it begins."""
    threads: int

    def run(self) -> None:
        """Work, in an engine's thread; never raises."""
        ...

    def ended(self) -> None:
        """Hear, in the event loop, that it ran."""
        ...


class EngineFeeder(Protocol):
    """A pool that has work for engines; its methods are called with ``Engines.lock`` held, in any thread."""

    threads: int
    """Cores that one of its engines takes."""

    def urgency(self) -> Urgency | None:
        """Return how urgent the first of what waits is; None where nothing can begin."""
        ...

    def take(self, now_s: float, free: int) -> EngineWorkload | float | None:
        """Return a batch for one of ``free`` engines; or when to ask again; or None where nothing is left to begin."""
        ...


class Engines:
    """``cores`` threads; an engine of a model takes as many neighbouring ones as it has threads.

    ``meter`` is the machine's: every batch is a use of the weight of its engine's threads.
    """

    def __init__(self, cores: int, meter: MachineMeter, clock: Callable[[], float] = time.monotonic) -> None:
        """Take ``cores`` engine threads, 0 as many as this process may use; they start with the first pool."""
        self.cores = cores or usable_cores()
        self.meter, self.clock = meter, clock
        self.places = places(self.cores)
        self.lock = threading.RLock()
        self._free = [True] * self.cores
        self._idle = self.cores
        self._inboxes: list[SimpleQueue[EngineWorkload | None]] = []
        self._threads: list[threading.Thread] = []
        self._pools: list[EngineFeeder] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None
        self._yielding = ExitStack()

    def add(self, pool: EngineFeeder) -> None:
        """Begin to ask a pool for work; call it in the event loop."""
        if not self._threads:
            self._loop = asyncio.get_running_loop()
            self._inboxes = [SimpleQueue() for _ in range(self.cores)]
            self._threads = [
                threading.Thread(target=self._serve, args=(core, self._loop), name=f"engine-{core}", daemon=True)
                for core in range(self.cores)
            ]
            for thread in self._threads:
                thread.start()
            self._yielding.enter_context(giving_way())  # behind the threads, which would take it over
        with self.lock:
            self._pools.append(pool)

    def remove(self, pool: EngineFeeder) -> None:
        """Ask a pool no longer, which has nothing running; the threads end with the last one."""
        with self.lock:
            self._pools.remove(pool)
            if self._pools:
                return
        if self._timer is not None:
            self._timer.cancel()
        for inbox in self._inboxes:
            inbox.put(None)
        for thread in self._threads:
            thread.join(JOIN_S)
        self._threads.clear()
        self._yielding.close()
        self._loop, self._timer, self._asked = None, None, False

    def poke(self) -> None:
        """Give out work once what is ready in the loop has run: requests that came together are seen together.

        Where no core is idle there is nothing to do: an engine looks by itself at what waits when it has ended.
        """
        if self._idle and not self._asked and self._loop is not None:
            self._asked = True
            self._loop.call_soon(self._look)

    def free_slots(self, threads: int) -> int:
        """Return how many engines of so many threads could begin now."""
        if threads == 1:
            return self._idle
        return sum(all(self._free[first : first + threads]) for first in range(0, self.cores - threads + 1, threads))

    def _look(self) -> None:
        """Give out work, and look again where it is to wait."""
        self._asked = False
        now_s = self.clock()
        with self.lock:
            again_s = self._give(now_s)
        self._ask_again(again_s, now_s)

    def _give(self, now_s: float) -> float:
        """Give every free core to whoever goes first, until none is free or nobody has work; return when to ask again."""
        again_s = math.inf
        pools = self._pools if len(self._pools) == 1 else list(self._pools)
        while self._idle and pools:
            pool = pools[0] if len(pools) == 1 else self._first(pools)
            free = self.free_slots(pool.threads) if pool is not None else 0
            if pool is None or not free:  # whoever goes first and needs more cores has them as they become free
                break
            work = _taken(pool, now_s, free)
            if work is None or isinstance(work, float):
                again_s = min(again_s, math.inf if work is None else work)
                pools = [other for other in pools if other is not pool]
                continue
            self._begin(work)
        return again_s

    def _first(self, pools: list[EngineFeeder]) -> EngineFeeder | None:
        """Return the pool whose first waiting request goes first."""
        best: EngineFeeder | None = None
        best_urgency: Urgency | None = None
        for pool in pools:
            urgency = pool.urgency()
            if urgency is not None and (best_urgency is None or urgency < best_urgency):
                best, best_urgency = pool, urgency
        return best

    def _begin(self, work: EngineWorkload) -> None:
        """Hand a batch to the first engine that is free."""
        first, threads = 0, work.threads
        while not all(self._free[first : first + threads]):
            first += threads
        self._free[first : first + threads] = [False] * threads
        self._idle -= threads
        work.slot = first // threads
        self._inboxes[first].put(work)

    def _go_on(self, work: EngineWorkload, loop: asyncio.AbstractEventLoop) -> None:
        """Take an engine back, in its thread, and give it what goes next."""
        threads = work.threads
        first = work.slot * threads
        with self.lock:
            self._free[first : first + threads] = [True] * threads
            self._idle += threads
            again_s = self._give(self.clock())
        if again_s < math.inf:
            loop.call_soon_threadsafe(self.poke)  # timers are the loop's

    def _ask_again(self, again_s: float, now_s: float) -> None:
        """Ask again at a time; infinite is when something happens."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if again_s < math.inf and self._loop is not None:
            self._timer = self._loop.call_later(max(again_s - now_s, LEAST_WAIT_S), self.poke)

    def _serve(self, core: int, loop: asyncio.AbstractEventLoop) -> None:
        """Run what comes, in an engine's thread, until None comes or the loop has closed."""
        inbox = self._inboxes[core]
        with held_to(self.places[core]):
            while (work := inbox.get()) is not None:
                work.run()
                try:
                    loop.call_soon_threadsafe(work.ended)
                except RuntimeError:  # the loop has closed
                    return
                try:
                    self._go_on(work, loop)
                except Exception:
                    log.exception("a defect in what gives out work: the engine goes on when the next request comes")
                del work  # the answers of one batch are not kept until the next


def _taken(pool: EngineFeeder, now_s: float, free: int) -> EngineWorkload | float | None:
    """Return what a pool has for an engine; nothing where a defect keeps it from choosing: the other pools are asked all the same."""
    try:
        return pool.take(now_s, free)
    except Exception:
        log.exception("a defect in what chooses a batch: the pool is asked again when the next request comes")
        return None
