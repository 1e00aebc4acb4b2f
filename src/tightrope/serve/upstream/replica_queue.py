"""Who waits for a replica: interactive requests before deferrable work, higher priority first, then first come."""

import asyncio
from collections.abc import Collection, Mapping
from heapq import heapify, heappop, heappush
from math import ceil, inf

from tightrope.base.plan import ServedClass
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.records import Call
from tightrope.serve.refusals import RequestRefusal, TooMany, Unavailable
from tightrope.serve.upstream.fleet import ReplicaFleet
from tightrope.serve.upstream.replica import Replica

SPARE = 64
"""Requests in the line that nobody waits for any more, beside as many as somebody does."""


class _Waiter:
    """One request in the line."""

    __slots__ = ("avoid", "future", "key", "most", "timer")

    def __init__(self, key: bytes, avoid: Collection[Replica], most: float) -> None:
        self.key, self.avoid, self.most = key, avoid, most
        self.future: asyncio.Future[Replica] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None


class ReplicaQueue:
    """Gives requests a place on a replica, at once or in turn."""

    def __init__(
        self, fleet: ReplicaFleet, classes: Mapping[str, ServedClass], load: PoolLoad, hold_s: float, deferrable_limit: int
    ) -> None:
        """Begin with nobody; while no replica is ready a request is held for so long."""
        self._fleet, self._classes, self._load, self._hold_s = fleet, classes, load, hold_s
        self._most_deferrable = deferrable_limit or inf  # below it, as `policy.admission.may_start_deferrable` says
        self._heap: list[tuple[bool, int, float, int, _Waiter]] = []
        self._came = 0
        self._length = 0
        self._since_s = 0.0
        """Since when no replica is ready, by the loop's clock; 0 while one is."""

    async def place(self, call: Call, key: bytes, avoid: Collection[Replica] = ()) -> Replica:
        """Return a replica that holds the request, to be released; raise ``RequestRefusal`` where none is free in time."""
        waits = self._can_wait(call)
        most = self._most_deferrable if waits else inf
        if self._length == 0 and (replica := self._fleet.pick(key, avoid, most)) is not None:
            return replica
        if not waits and (told := self._fleet.told_to_wait()) is not None:
            raise _refused(*told)
        served = self._classes.get(call.traffic_class)
        self._came += 1
        waiter = _Waiter(key, avoid, most)
        until_s = call.deadline_s if waits and call.deadline_s is not None else 0.0
        heappush(self._heap, (waits, -served.priority if served else 0, until_s, self._came, waiter))
        return await self._turn(call, waiter)

    def serve(self) -> None:
        """Give out the places that there are; called whenever there may be more."""
        while self._heap:
            waiter = self._heap[0][-1]
            if not waiter.future.done():
                replica = self._fleet.pick(waiter.key, waiter.avoid, waiter.most)
                if replica is None:
                    break
                waiter.future.set_result(replica)
            heappop(self._heap)
        self._hold()

    def turn_away(self) -> None:
        """Refuse everybody who waits: the gateway goes away."""
        for *_, waiter in self._heap:
            if not waiter.future.done():
                waiter.future.set_exception(going_away())
        self._heap.clear()

    async def _turn(self, call: Call, waiter: _Waiter) -> Replica:
        """Wait for a request's turn; leave nothing behind where it is not waited for any more."""
        waiting, name = self._load.waiting, call.traffic_class
        waiting[name] = waiting.get(name, 0) + 1
        self._length += 1
        waiter.timer = asyncio.get_running_loop().call_later(self._hold_s, self._held_long, waiter)
        self.serve()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self._fleet.release(waiter.future.result())  # it was given a place in the same turn of the loop
            raise
        finally:
            if waiter.timer is not None:
                waiter.timer.cancel()
            waiting[name] -= 1
            self._length -= 1
            self._hold()
            if len(self._heap) > 2 * self._length + SPARE:  # those who gave up, behind one whose turn does not come
                self._heap = [item for item in self._heap if not item[-1].future.done()]
                heapify(self._heap)

    def _held_long(self, waiter: _Waiter) -> None:
        """Refuse a request that has been held its time, if it still is: where replicas are ready it waits for its turn."""
        if waiter.future.done():
            return
        loop = asyncio.get_running_loop()
        left_s = self._hold_s if self._fleet.ready else self._since_s + self._hold_s - loop.time()
        if left_s > 0.0:
            waiter.timer = loop.call_later(left_s, self._held_long, waiter)
        else:
            waiter.future.set_exception(
                Unavailable(
                    f"no server of the model was ready within {self._hold_s:.0f} s",
                    retry_after_s=float(ceil(self._hold_s)),
                    reason="not_ready",
                )
            )

    def _hold(self) -> None:
        """Note how many wait because nothing is there to answer them."""
        if self._fleet.ready:
            self._load.held, self._since_s = 0, 0.0
        else:
            self._load.held = self._length
            self._since_s = self._since_s or asyncio.get_running_loop().time()

    def _can_wait(self, call: Call) -> bool:
        """Return whether a call is deferrable work."""
        served = self._classes.get(call.traffic_class)
        return call.deadline_s is not None or (served is not None and served.deferral is not None)


def going_away() -> Unavailable:
    """Return the refusal while the gateway leaves."""
    return Unavailable("this gateway is going away: ask again", retry_after_s=1.0, reason="draining")


def _refused(seconds: float, status: int) -> RequestRefusal:
    """Return the refusal where every replica said not to come for so long."""
    kind = TooMany if status == 429 else Unavailable
    return kind("the model's servers ask not to be asked now", retry_after_s=max(1.0, seconds), reason="upstream_busy")


class RetryBudget:
    """How many requests may be asked again: those of one replica, which may end, and a share of all, lest trouble is made worse.

    >>> budget = RetryBudget(share=0.2, least=1)
    >>> budget.take(), budget.take()
    (True, False)
    >>> for _ in range(5):
    ...     budget.earn()
    >>> budget.take(), budget.take()
    (True, False)
    >>> budget.cover(2)
    >>> budget.take(), budget.take()
    (True, False)
    """

    def __init__(self, share: float, least: int) -> None:
        """Begin with what may be taken at any time."""
        self._share, self._most = share, float(least)
        self._left = self._most

    def cover(self, requests: int) -> None:
        """Let so many be asked again as one replica has now, where that is more than any had before."""
        if requests > self._most:
            self._left += requests - self._most
            self._most = float(requests)

    def earn(self) -> None:
        """Count a request."""
        self._left = min(self._most, self._left + self._share)

    def take(self) -> bool:
        """Return whether one may be asked again, and count it."""
        if self._left < 1.0 - 1e-9:
            return False
        self._left -= 1.0
        return True
