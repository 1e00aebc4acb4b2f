"""Machines of the slow replay: where requests go, and how machines come, go, and are taken."""

import math
from collections import deque
from collections.abc import Iterator

import numpy as np
from reference_engines import Engines
from reference_parts import Engine, Machine, Request, holds, may_run

from tightrope.replay.records import NO_POOL, SHED, TOO_LARGE, Drill, Fleet

DRAWS = 4096
NOTICE_S, HOUR_S = 120.0, 3600.0
ZONE_DRILLS = ("zone-loss", "spot-zone-loss")


class Machines(Engines):
    """Machines that come and go, the requests that are sent to them, and those that nobody can take yet."""

    def __init__(self, fleet: Fleet, duration_s: float, *, block_offset_s: float, seed: int, drill: Drill | None) -> None:
        """Lay everything out, all machines off."""
        super().__init__(fleet, duration_s)
        self.offset_s, self.drill = block_offset_s, drill
        self.lifetimes, self.failures_after = np.random.default_rng(seed).exponential(size=(2, DRAWS)).tolist()
        self.held: dict[str, deque[Request]] = {group: deque() for group in fleet.groups}
        self.again: list[deque[tuple[float, Request]]] = [deque() for _ in fleet.classes]
        self.asked = self.interruptions = self.retries = self.failures = self.cold_starts = self.attempts_shed = 0
        self.hours = np.zeros((len(fleet.pools), max(1, math.ceil(duration_s / HOUR_S))))

    def all_machines(self) -> Iterator[Machine]:
        """Yield every place, pool by pool."""
        for places in self.machines:
            yield from places

    # -------------------------------------------------------------------------------------------------------------- routing

    def send(self, request: Request, group: str, now_s: float, *, arrives: bool = False) -> None:
        """Send a request to an engine of the group, hold it, or end it; only one that arrives may be turned away."""
        offers = [offer for p in self.pools_for(group, request) for offer in self.offers(p, now_s)]
        if not offers:
            self.hold(request, group)
            return
        _, p, engine = min(offers, key=lambda offer: offer[0])
        if arrives:
            longest_s = self.fleet.classes[request.kind].shed_wait_s
            if self.ahead_s(p, engine) > longest_s:
                _, p, engine = min(offers, key=lambda offer: self.ahead_s(offer[1], offer[2]))
            self.count_arrival(p)
            if self.ahead_s(p, engine) > longest_s:
                self.turn_away(request, now_s)
                return
        if engine is None:
            engine = self.ask(p, now_s).engines[0]
            self.cold_starts += 1
        self.queue(engine, request, now_s)

    def count_arrival(self, p: int) -> None:
        """Tell the pool's autoscaler that a request was routed to it as it arrived."""

    def ahead_s(self, p: int, engine: Engine | None) -> float:
        """Return the time that what is on an engine takes; a new instance has nothing on it."""
        return engine.outstanding / self.weight(p) if engine else 0.0

    def pools_for(self, group: str, request: Request) -> list[int]:
        """Return the group's pools whose KV cache could hold the request."""
        return [p for p, pool in enumerate(self.pools) if pool.group == group and holds(pool, request)]

    def weight(self, p: int) -> float:
        """Return requests/s of one engine of a pool."""
        return self.pools[p].requests_per_s / self.pools[p].engines_per_machine

    def offers(self, p: int, now_s: float) -> list[tuple[float, int, Engine | None]]:
        """Return the engines that a pool offers as (requests with this one / requests/s, pool, engine); None is a new instance."""
        if self.pools[p].keep_alive_s is not None:
            return self.serverless_offer(p, now_s)
        engines = [engine for machine in self.machines[p] if machine.open for engine in machine.engines]
        return [((engine.outstanding + 1) / self.weight(p), p, engine) for engine in engines]

    def serverless_offer(self, p: int, now_s: float) -> list[tuple[float, int, Engine | None]]:
        """Return the one engine that a serverless pool offers: the first with nothing on it, a new one, or that with the fewest."""
        here = [machine for machine in self.machines[p] if machine.stays]
        emptiest = min((e for machine in here for e in machine.engines), key=lambda e: e.outstanding, default=None)
        idle = emptiest is not None and emptiest.outstanding == 0
        if not idle and len(here) < self.pools[p].ceiling and self.can_ask(p, now_s):
            return [(1 / self.weight(p), p, None)]
        return [((emptiest.outstanding + 1) / self.weight(p), p, emptiest)] if emptiest else []

    def hold(self, request: Request, group: str) -> None:
        """Hold a request until a machine is ready; end it where none of the group ever could be, or could hold it."""
        pools = [pool for pool in self.pools if pool.group == group and may_run(pool)]
        if not pools:
            request.fail(NO_POOL)
        elif not any(holds(pool, request) for pool in pools):
            request.fail(TOO_LARGE)
        else:
            self.held[group].append(request)

    def turn_away(self, request: Request, now_s: float) -> None:
        """Turn a request away: its client asks again, if it has not done so often enough."""
        kind = self.fleet.classes[request.kind]
        self.attempts_shed += 1
        if request.turned_away < kind.retries:
            request.turned_away += 1
            self.again[request.kind].append((now_s + kind.retry_after_s, request))
        else:
            request.fail(SHED)

    def queue(self, engine: Engine, request: Request, now_s: float) -> None:
        """Queue a request on an engine, which looks at it at once unless it is in the midst of something."""
        request.pool = engine.machine.pool
        engine.queue.join(request)
        engine.arrivals_s.append(now_s)
        if engine.doing in {"nothing", "wait"}:
            self.begin(engine, now_s)
        elif engine.queue.first is request:
            engine.called = True

    def defer(self, request: Request, now_s: float) -> None:
        """Let deferrable work join its class's queue; end it where no pool that may do it ever could."""
        pools = [pool for p, pool in enumerate(self.pools) if self.may_defer(request.kind, p) and may_run(pool)]
        if not pools:
            request.fail(NO_POOL)
        elif not any(holds(pool, request) for pool in pools):
            request.fail(TOO_LARGE)
        else:
            self.deferred[request.kind].append(request)
            self.wake(now_s)

    def wake(self, now_s: float) -> None:
        """Let idle engines look for deferrable work."""
        for engine in self.engines:
            if engine.doing == "nothing" and engine.machine.open:
                self.begin(engine, now_s)

    # ------------------------------------------------------------------------------------------------- machines come and go

    def on(self, kinds: tuple[str, ...], now_s: float) -> bool:
        """Return whether a drill of one of these kinds is on."""
        return self.drill is not None and self.drill.kind in kinds and self.drill.start_s <= now_s < self.drill.end_s

    def interruptible(self, p: int) -> bool:
        """Return whether the pool's machines may be interrupted."""
        return self.pools[p].interruptions_per_hour > 0.0

    def lost(self, p: int, zone: int, now_s: float) -> bool:
        """Return whether the drill has taken this zone of the pool."""
        if not self.on(ZONE_DRILLS, now_s) or zone != self.drill.zone:
            return False
        return self.drill.kind == "zone-loss" or self.interruptible(p)

    def storm(self, p: int, now_s: float) -> bool:
        """Return whether a storm takes the pool's machines."""
        return self.on(("spot-storm",), now_s) and self.interruptible(p)

    def zones_up(self, p: int, now_s: float) -> list[int]:
        """Return the zones in which a machine of the pool is to be had."""
        zones = range(max(1, self.pools[p].zones))
        return [] if self.storm(p, now_s) else [zone for zone in zones if not self.lost(p, zone, now_s)]

    def can_ask(self, p: int, now_s: float) -> bool:
        """Return whether a place is free and a zone is up."""
        return bool(self.zones_up(p, now_s)) and not all(machine.there for machine in self.machines[p])

    def ask(self, p: int, now_s: float) -> Machine:
        """Ask for a machine in the lowest free place, zones by turns over all machines ever asked for."""
        pool, up, zones = self.pools[p], self.zones_up(p, now_s), max(1, self.pools[p].zones)
        machine = next(machine for machine in self.machines[p] if not machine.there)
        turn, draw = self.asked % zones, self.asked % DRAWS
        machine.there, machine.ready, machine.going, machine.number = True, False, False, self.asked
        machine.zone = turn if turn in up else (turn + 1) % zones
        machine.asked_s, machine.ready_s, machine.taken_s = now_s, now_s + pool.start_s, math.inf
        machine.interrupt_s = after_s(now_s, self.lifetimes[draw], pool.interruptions_per_hour)
        machine.fail_s = after_s(now_s, self.failures_after[draw], pool.failures_per_hour)
        self.asked += 1
        if pool.keep_alive_s is not None:
            for engine in machine.engines:
                self.work(engine, "start", now_s, machine.ready_s)
        return machine

    def become_ready(self, machine: Machine, now_s: float) -> None:
        """Let a machine take requests."""
        machine.ready, machine.idle_s = True, now_s

    def stop(self, machine: Machine, now_s: float) -> None:
        """Give a machine back; its life is billed by the hours of the clock, until the end of the traffic."""
        machine.there = machine.ready = machine.going = False
        row, until_s = self.hours[machine.pool], min(now_s, self.duration_s)
        for hour in range(len(row)):
            close_s = math.inf if hour == len(row) - 1 else (hour + 1) * HOUR_S
            row[hour] += max(0.0, min(until_s, close_s) - max(machine.asked_s, hour * HOUR_S)) / HOUR_S
        for engine in machine.engines:
            self.rest(engine)
            engine.blocks.clear()
            engine.arrivals_s.clear()

    def tell_to_go(self, machine: Machine, now_s: float) -> None:
        """Let a machine finish what it has."""
        machine.going = True
        if not machine.outstanding:
            self.stop(machine, now_s)

    def take(self, machine: Machine, now_s: float) -> None:
        """Take a machine away: engine by engine, what ran is sent again first, then what was being read, then the queue."""
        for engine in machine.engines:
            self.count_busy(engine, now_s)
            if engine.doing != "batch":
                engine.running.sort(key=lambda row: (row.answer - row.written, row.index))
        rows = [[*engine.running, *engine.reading, *engine.queue] for engine in machine.engines]
        for engine in machine.engines:
            engine.running, engine.reading = [], []
            engine.queue.clear()
        self.stop(machine, now_s)
        for request in [request for row in rows for request in row]:
            self.start_again(request, now_s)

    def start_again(self, request: Request, now_s: float) -> None:
        """Send a request that lost its machine again, within its group, or to its class's queue."""
        self.retries += 1
        group = self.pools[request.pool].group
        request.forget()
        if self.fleet.classes[request.kind].deferrable:
            self.defer(request, now_s)
        else:
            self.send(request, group, now_s)


def after_s(now_s: float, draw: float, per_hour: float) -> float:
    """Return when something that happens at a rate does, by a standard exponential draw."""
    return now_s + HOUR_S * draw / per_hour if per_hour > 0.0 else math.inf
