"""The replicas of a pool: which there are, which can be asked, and which has least to do."""

import asyncio
import logging
import random
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from math import inf
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from aiohttp import ClientConnectorError, ClientError, ConnectionTimeoutError

from tightrope.serve.config.settings import Upstream
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.upstream.name_resolver import NO_ADDRESS
from tightrope.serve.upstream.replica import Replica, nearness, number

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""(name, port) → addresses, none where the name stands for nothing now; raises ``OSError`` where that is not known."""

FIRST_PAUSE_S, WAKING_S, LONGEST_OUT_S = 0.25, 1.0, 60.0
"""First check after a failure; how often addresses are asked for while somebody waits; longest time that a replica is left out."""
REST_S, MOST_REST_S, LONGEST_REST_S = 0.25, 1.0, 60.0
"""Pause after a failure, and after several; the longest that a server may ask for."""
SURE_S = 1.0
"""A replica whose answer makes one doubt it, and that was found well, is not checked again for so long."""
NEAR_TIMES, NEAR_MORE = 2, 2
"""A session stays on its replica up to so many times the requests of the least loaded one, and so many more."""
MOST_ADDRESSES, RESOLVE_S = 1000, 5.0

log = logging.getLogger(__name__)


class ReplicaFleet:
    """Watches the replicas and picks among them."""

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        limit: float,
        start_s: float,
        load: PoolLoad,
        changed: Callable[[], None],
        check: Callable[[Replica], Awaitable[bool]],
        resolve: Resolve | None = None,
    ) -> None:
        """Begin with none; ``check`` asks a replica whether it is healthy, ``changed`` hears when there are more, fewer or other ones."""
        self.name, self.upstream, self.load, self.changed = name, upstream, load, changed
        self.limit = limit
        """Requests on one replica at a time."""
        self.present = 0
        """Replicas at which something listens, ready or not: their machines are paid for."""
        self.replicas: dict[str, Replica] = {}
        """By base URL; those that leave stay until they are done."""
        self.ready: list[Replica] = []
        self._start_s, self._check, self._resolve = start_s, check, resolve or _addresses
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lookups: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
        """By name and port, those that have not been answered yet."""
        self._picked = 0

    async def start(self) -> None:
        """Find the replicas, check each once, and watch them from then on."""
        if self.upstream.discover:
            await self._discover()
        else:
            for base in dict.fromkeys(self.upstream.replicas):
                self._add(base)
        await asyncio.gather(*self._tasks)
        self._changed()
        if self.upstream.discover:
            self._spawn(self._follow())

    async def stop(self) -> None:
        """Watch no more and close every connection."""
        tasks = [*self._tasks, *self._watches.values(), *self._lookups.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(replica.close() for replica in self.replicas.values()))
        self.replicas.clear()
        self._changed()

    # ------------------------------------------------------------------------------------------------------------ picking

    def pick(self, key: bytes, avoid: Collection[Replica] = (), most: float = inf) -> Replica | None:
        """Return the replica with the least expected wait, with a request more on it; None where none has room.

        Calls of one ``key`` go to one replica while that is not loaded far beyond the least; those to ``avoid`` come last.
        ``most`` is a limit of requests on it below the fleet's.
        """
        now_s, limit = time.monotonic(), min(self.limit, most)
        free = [replica for replica in self.ready if replica.outstanding < limit and replica.rests_until_s <= now_s]
        if avoid:
            free = [replica for replica in free if replica not in avoid] or free
        if not free:
            return None
        best = min(free, key=_wait) if len(free) > 1 else free[0]
        if key and len(free) > 1:
            hashed = number(key)
            near = max(free, key=lambda replica: nearness(hashed, replica.seed))
            if near.outstanding <= NEAR_TIMES * best.outstanding + NEAR_MORE:
                best = near
        self._picked += 1
        best.used = self._picked
        best.outstanding += 1
        return best

    def release(self, replica: Replica) -> None:
        """Take a request off a replica."""
        replica.outstanding -= 1
        if replica.leaving and replica.outstanding == 0:
            self._spawn(self._remove(replica))
        self.changed()

    def told_to_wait(self) -> tuple[float, int] | None:
        """Return for how many seconds every replica has said not to come, and by which status; None where one may be asked."""
        now_s = time.monotonic()
        if not self.ready or any(not replica.told or replica.rests_until_s <= now_s for replica in self.ready):
            return None
        first = min(self.ready, key=lambda replica: replica.rests_until_s)
        return first.rests_until_s - now_s, first.told

    # ---------------------------------------------------------------------------------------------------- what requests tell

    def answered(self, replica: Replica) -> None:
        """Note that a request was answered."""
        replica.failed = replica.ejected = 0

    def told(self, replica: Replica, status: int, seconds: float) -> None:
        """Note that a replica said not to come for so long."""
        self._rest(replica, seconds, status)

    def unreachable(self, replica: Replica) -> None:
        """Leave out a replica at which nothing listens, and check it soon."""
        replica.there = False
        self._out(replica, "nothing listens there")

    async def is_well(self, replica: Replica) -> bool:
        """Check a replica whose answer makes one doubt it, and leave it out at once where it says that it is not well."""
        if time.monotonic() < replica.sure_until_s:
            return True
        if replica.doubt is None:
            replica.doubt = self._spawn(self._doubt(replica))
        await asyncio.wait({replica.doubt})
        return time.monotonic() < replica.sure_until_s

    async def _doubt(self, replica: Replica) -> None:
        """Check a replica; all who doubt it meanwhile wait for this one answer."""
        try:
            healthy, why = await self._checked(replica)
            if healthy:
                replica.sure_until_s = time.monotonic() + SURE_S
            elif healthy is False:
                self._out(replica, f"a request failed, and {why}")
        finally:
            replica.doubt = None

    def failure(self, replica: Replica, why: str, *, rest: bool) -> None:
        """Note that a request failed: after so many one after another the replica is left out, if at least half of them stay.

        It stays where the others fail as well: then it is the requests, which nobody else answers either.
        """
        replica.failed += 1
        if rest:
            self._rest(replica, min(REST_S * replica.failed, MOST_REST_S))
        if not replica.ready or replica.failed < self.upstream.failures:
            return
        known = sum(not item.leaving for item in self.replicas.values())
        least = min((item.failed for item in self.ready if item is not replica), default=0)
        if 2 * (len(self.ready) - 1) < known or 2 * least >= replica.failed:
            return
        out_s = min(self.upstream.health_s * 2**replica.ejected, LONGEST_OUT_S)
        replica.out_until_s, replica.failed = time.monotonic() + out_s, 0
        replica.ejected = min(replica.ejected + 1, 10)
        self._out(replica, f"{self.upstream.failures} requests failed one after another, the last by {why}")

    def _rest(self, replica: Replica, seconds: float, told: int = 0) -> None:
        """Ask a replica nothing for a while, then look who waits; a longer rest that it has goes on."""
        seconds = min(seconds, LONGEST_REST_S)
        until_s = time.monotonic() + seconds
        if until_s > replica.rests_until_s:
            replica.rests_until_s, replica.told = until_s, told
            asyncio.get_running_loop().call_later(seconds + 0.001, self.changed)

    # ------------------------------------------------------------------------------------------------------------- watching

    async def _watch(self, replica: Replica) -> None:
        """Check a replica without end: often where it cannot be asked, and never all at the same time."""
        pause_s = FIRST_PAUSE_S
        while True:
            pause_s = self.upstream.health_s if replica.ready else min(pause_s, self.upstream.health_s)
            try:
                async with asyncio.timeout(pause_s * random.uniform(0.8, 1.2)):  # noqa: S311 - no secret
                    await replica.due.wait()
                replica.due.clear()
                pause_s = FIRST_PAUSE_S
            except TimeoutError:
                pause_s *= 2
                await self._look(replica)

    async def _look(self, replica: Replica) -> None:
        """Check a replica once, and let it in or out."""
        if time.monotonic() < replica.out_until_s:
            return
        began_s = time.monotonic()
        healthy, why = await self._checked(replica)
        if healthy is None and replica.ready:
            replica.failed_checks = 0
        elif not healthy:
            replica.failed_checks += 1
            if why != replica.why:
                log.warning("pool %s: %s is not well: %s", self.name, replica.name, why)
                replica.why = why
            if replica.ready and replica.failed_checks >= self.upstream.failures:
                self._out(replica, f"{replica.failed_checks} checks failed one after another")
            self._changed()
            self._note_silence(replica, began_s)
        else:
            replica.failed_checks, replica.why = 0, ""
            if not replica.ready:
                log.info("pool %s: %s can be asked", self.name, replica.name)
                replica.ready = replica.was_ready = True
                self._changed()

    def _note_silence(self, replica: Replica, began_s: float) -> None:
        """Count a check while which nothing at all came of a replica; after so many, who waits on it is to ask another as well.

        A process that is stopped looks as one that is busy for long, so nothing is taken from it. Where no other is well it may be the way.
        """
        if replica.heard_s != replica.silent_since_s:
            replica.silent_checks, replica.silent_since_s = 0, replica.heard_s
        replica.silent_checks += replica.heard_s < began_s
        if replica.silent_checks >= self.upstream.failures and self.ready:
            for ask_another in list(replica.waiting):
                ask_another()

    async def _checked(self, replica: Replica) -> tuple[bool | None, str]:
        """Return whether a replica is well, and why not; note whether something listens there.

        None is that it has not said so in time and answers others meanwhile: where they have left no room for checks it is best left alone.
        """
        began_s = time.monotonic()
        try:
            healthy, replica.there = await self._check(replica), True
        except (ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
            replica.there = not isinstance(error, (ClientConnectorError, ConnectionTimeoutError))
            why = f"{type(error).__name__}: {error}"
            if isinstance(error, TimeoutError):
                return (None if replica.heard_s >= began_s else False), why
            replica.heard_s = time.monotonic()  # it is there, and ends or finishes by itself what it was asked
            return False, why
        return healthy, "its check says that it is not ready"

    def _out(self, replica: Replica, why: str) -> None:
        """Ask a replica nothing until a check succeeds."""
        if replica.ready:
            log.warning("pool %s: %s is left out: %s", self.name, replica.name, why)
        replica.ready = False
        replica.due.set()
        self._changed()

    def _changed(self) -> None:
        """Count the replicas anew, and tell."""
        staying = [replica for replica in self.replicas.values() if not replica.leaving]
        self.ready = [replica for replica in staying if replica.ready]
        load = self.load
        load.replicas_ready = len(self.ready)
        load.replicas_starting = sum(self._starts(replica) for replica in staying)
        load.replicas_down = len(staying) - load.replicas_ready - load.replicas_starting
        load.replicas_draining = len(self.replicas) - len(staying)
        self.present = load.replicas_draining + sum(replica.ready or replica.there for replica in staying)
        self.changed()

    def _starts(self, replica: Replica) -> bool:
        """Return whether a replica that is not ready never was, and is there or may yet come."""
        in_time = time.monotonic() < replica.since_s + self._start_s
        return not replica.ready and not replica.was_ready and (replica.there or in_time)

    # ------------------------------------------------------------------------------------------------------- which there are

    async def _follow(self) -> None:
        """Ask for the addresses again and again, more often while somebody waits for one."""
        while True:
            pause_s = WAKING_S if not self.ready else self.upstream.discover_s
            await asyncio.sleep(min(pause_s, self.upstream.discover_s) * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            await self._discover()

    async def _discover(self) -> None:
        """Find which replicas there are now: new ones are checked, those that are gone finish what they have."""
        found: dict[str, str] = {}  # base URL → name
        for base in self.upstream.replicas:
            parts = urlsplit(base)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            try:
                addresses = (await self._lookup(parts.hostname or "", port))[:MOST_ADDRESSES]
            except (OSError, ValueError) as error:
                log.warning("pool %s: the addresses of %s cannot be had, the last ones are used: %r", self.name, base, error)
                found |= {
                    item.base: item.host for item in self.replicas.values() if item.host == parts.netloc and not item.leaving
                }
                continue
            hosts = [f"[{address}]" if ":" in address else address for address in addresses]
            found |= {f"{parts.scheme}://{host}:{port}{parts.path}": parts.netloc for host in hosts}
        self._take_over(found)

    async def _lookup(self, name: str, port: int) -> list[str]:
        """Return a name's addresses; raise ``OSError`` where they do not come in time, and wait on for the same answer the next time.

        Each lookup holds a thread for as long as the system's resolver takes, which gives up late.
        """
        lookup = self._lookups.get((name, port))
        if lookup is None:
            lookup = self._lookups[name, port] = asyncio.ensure_future(self._resolve(name, port))
        if not (await asyncio.wait({lookup}, timeout=RESOLVE_S))[0]:
            msg = f"no answer within {RESOLVE_S:g} s"
            raise TimeoutError(msg)
        self._lookups.pop((name, port), None)
        return lookup.result()

    def _take_over(self, found: dict[str, str]) -> None:
        """Add and take leave of replicas so that they are these: base URL → name."""
        for replica in self.replicas.values():
            if not replica.leaving and replica.base not in found:
                replica.leaving = True
                if replica.outstanding == 0:
                    self._spawn(self._remove(replica))
        for base, host in sorted(found.items()):
            replica = self.replicas.get(base)
            if replica is None:
                replica = self._add(base, host)
            replica.leaving = False
        self._changed()

    def _add(self, base: str, host: str = "") -> Replica:
        """Add a replica and check it: it is not asked before."""
        replica = self.replicas[base] = Replica(base, self.upstream, host)
        self._spawn(self._look(replica))
        self._watches[base] = asyncio.create_task(self._watch(replica))
        return replica

    async def _remove(self, replica: Replica) -> None:
        """Forget a replica that is done, unless it has come back."""
        if not replica.leaving or replica.outstanding or self.replicas.get(replica.base) is not replica:
            return
        del self.replicas[replica.base]
        self._watches.pop(replica.base).cancel()
        self._changed()
        await replica.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside, until it ends or all is stopped."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _wait(replica: Replica) -> tuple[float, int]:
    """Return by what replicas are compared."""
    return replica.wait


async def _addresses(name: str, port: int) -> list[str]:
    """Return the addresses of a name by the system's resolver; raise ``OSError`` where it does not answer."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in NO_ADDRESS:
            return []
        raise
    return sorted({str(item[4][0]) for item in found})
