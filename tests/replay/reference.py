"""A slow replay in plain Python, written from ``docs/explanation/replay-rules.md``: the fast engine must agree with it event for event.

It shares the records of ``replay.run`` with the fast engine and nothing else: no policy, no queue, no clock. Decode steps are taken
one by one, machines and requests are objects, queues are deques. What engines do stands in ``reference_engines.py``.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterator

import numpy as np
from reference_engines import Engine, Engines, Machine, Request, holds

from tightrope.replay.records import ANSWERED, UNANSWERED, Drill, Fleet, Outcome, Traffic

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
NOTICE_S, LATEST_S, HOUR_S = 120.0, 86_400.0, 3600.0
LIFETIMES = 4096


class Reference(Engines):
    """A whole replay; ``run`` gives the outcome."""

    def __init__(
        self, fleet: Fleet, traffic: Traffic, *, duration_s: float, block_offset_s: float, seed: int, drill: Drill | None
    ) -> None:
        """Lay everything out, all machines off."""
        super().__init__(fleet, duration_s)
        self.traffic, self.offset_s = traffic, block_offset_s
        self.drill, self.scaling = drill, fleet.scaling
        columns = (traffic.time_s, traffic.traffic_class, traffic.input_tokens, traffic.output_tokens)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        self.requests = [Request(i, t, kind, max(1, p), max(1, a)) for i, (t, kind, p, a) in enumerate(rows)]
        self.held: dict[str, deque[Request]] = {group: deque() for group in fleet.groups}
        self.routed = [0] * len(fleet.classes)
        self.counts: list[list[int]] = [[0] for _ in fleet.pools]
        self.recommended: list[list[int]] = [[] for _ in fleet.pools]
        self.draws = np.random.default_rng(seed).exponential(size=LIFETIMES).tolist()
        self.started = self.interrupted = self.retries = 0
        self.hours = np.zeros((len(fleet.pools), max(1, math.ceil(duration_s / HOUR_S))))

    # ------------------------------------------------------------------------------------------------------------ the clock

    def run(self) -> Outcome:
        """Replay: at equal times ends of work come first (by place), then arrivals, then the control loop."""
        self.warm_up()
        coming, rounds = deque(self.requests), 0
        while True:
            end_s, control_s = self.next_end(), rounds * self.scaling.sync_s
            arrival_s = coming[0].time_s if coming else math.inf
            if end_s <= arrival_s and end_s <= control_s:
                self.end(self.engines[heapq.heappop(self.ends)[1]], end_s)
            elif arrival_s <= control_s:
                self.arrive(coming.popleft(), arrival_s)
            elif not coming and control_s >= self.duration_s and (self.all_done() or control_s >= self.duration_s + LATEST_S):
                break
            else:
                self.control(rounds, control_s)
                rounds += 1
        for machine in self.all_machines():
            if machine.state != "off":
                self.stop(machine, self.duration_s)
        return self.outcome()

    def warm_up(self) -> None:
        """Begin with the schedule's first machines ready."""
        for p in range(len(self.pools)):
            for _ in range(self.floor(p, 0.0)):
                self.ask(p, 0.0, 0.0)
        for machine in self.all_machines():
            if machine.state != "off":
                machine.state = "ready"

    def end(self, engine: Engine, now_s: float) -> None:
        """Take in what ends now, and go on."""
        engine.end_s = math.inf
        again = False
        if engine.doing == "batch":
            for request in engine.running:
                request.first_s = request.finish_s = now_s
            engine.running.clear()
        elif engine.doing in {"decode", "prefill"}:
            again = self.end_step(engine, now_s)
        if again:
            self.decode_step(engine, now_s)
        else:
            self.begin(engine, now_s)
        if engine.machine.state == "draining" and not engine.machine.outstanding:
            self.stop(engine.machine, now_s)

    def next_end(self) -> float:
        """Return when the next work ends; entries that were overtaken are dropped."""
        while self.ends and self.engines[self.ends[0][1]].end_s != self.ends[0][0]:
            heapq.heappop(self.ends)
        return self.ends[0][0] if self.ends else math.inf

    def all_done(self) -> bool:
        """Return whether nothing waits or runs anywhere."""
        queued = any(self.held.values()) or any(self.deferred)
        return not queued and not any(engine.outstanding for engine in self.engines)

    def outcome(self) -> Outcome:
        """Return what happened."""
        rows = self.requests
        engines = np.array([pool.engines_per_machine for pool in self.pools])
        return Outcome(
            traffic=self.traffic,
            first_s=np.array([row.first_s for row in rows]),
            finish_s=np.array([row.finish_s for row in rows]),
            pool=np.array([row.pool for row in rows], dtype=np.int64),
            machine_hours=self.hours,
            busy_hours=np.array(self.busy_s) / engines / HOUR_S,
            interruptions=self.interrupted,
            retries=self.retries,
            begin_s=np.array([row.first_s for row in rows]),
            ended=np.array([UNANSWERED if math.isinf(row.finish_s) else ANSWERED for row in rows]),
            prefix_tokens=np.zeros(len(rows), dtype=np.int64),
        )

    def all_machines(self) -> Iterator[Machine]:
        """Yield every place, pool by pool."""
        for places in self.machines:
            yield from places

    # -------------------------------------------------------------------------------------------------------------- routing

    def arrive(self, request: Request, now_s: float) -> None:
        """Send a request to its class's queue, or to the variant that its turn among the shares gives."""
        kind = request.kind
        if self.fleet.classes[kind].deferrable:
            pools = [pool for pool, may in zip(self.pools, self.fleet.allowed[kind], strict=True) if may]
            if any(pool.ceiling > 0 and holds(pool, request) for pool in pools):
                self.deferred[kind].append(request)
                self.wake(now_s)
            return
        group = self.turn(self.routed[kind], self.fleet.share[kind, :, self.block(now_s)].tolist())
        self.routed[kind] += 1
        self.send(request, group, now_s)
        if request.pool >= 0:
            self.counts[request.pool][-1] += 1

    def turn(self, number: int, shares: list[float]) -> str:
        """Return the group in whose part of [0, 1) the number's multiple of the golden ratio falls."""
        point, edge, chosen = (number * GOLDEN) % 1.0, 0.0, 0
        for g, share in enumerate(shares):
            if share > 0.0:
                chosen = g
                edge += share
                if point < edge:
                    break
        return self.fleet.groups[chosen]

    def send(self, request: Request, group: str, now_s: float) -> None:
        """Queue a request on the group's emptiest ready engine, for its capacity; hold it where none is ready."""
        pools = [p for p, pool in enumerate(self.pools) if pool.group == group and holds(pool, request)]
        ready = [e for p in pools for m in self.machines[p] if m.state == "ready" for e in m.engines]
        if not ready:
            if any(self.pools[p].ceiling > 0 for p in pools):
                self.held[group].append(request)
            return
        engine = min(ready, key=lambda e: (e.outstanding + 1) / self.weight(e))
        request.pool = engine.machine.pool
        engine.waiting.append(request)
        if engine.doing in {"nothing", "wait"}:
            self.begin(engine, now_s)
        elif engine.doing == "decode" and len(engine.waiting) == 1:
            engine.called = self.fits(engine, request, len(engine.running))

    def weight(self, engine: Engine) -> float:
        """Return requests/s of one engine."""
        pool = self.pools[engine.machine.pool]
        return pool.requests_per_s / pool.engines_per_machine

    def wake(self, now_s: float) -> None:
        """Let idle engines look for work that can wait."""
        for engine in self.engines:
            if engine.doing == "nothing" and engine.machine.state == "ready":
                self.begin(engine, now_s)

    # ------------------------------------------------------------------------------------------------------------- machines

    def block(self, now_s: float) -> int:
        """Return the hour of the week."""
        return int((now_s + self.offset_s) // HOUR_S) % 168

    def floor(self, p: int, now_s: float) -> int:
        """Return the schedule's machines."""
        return int(self.pools[p].schedule[self.block(now_s)])

    def lost(self, p: int, zone: int, now_s: float) -> bool:
        """Return whether the drill has taken this zone of the pool."""
        drill = self.drill
        if drill is None or self.pools[p].interruptions_per_hour == 0.0:
            return False
        return zone == drill.zone and drill.start_s <= now_s < drill.end_s

    def ask(self, p: int, now_s: float, ready_s: float) -> bool:
        """Ask for a machine in the lowest free place, zones by turns over all machines ever asked for."""
        pool, zones = self.pools[p], max(1, self.pools[p].zones)
        free = [machine for machine in self.machines[p] if machine.state == "off"]
        up = [zone for zone in range(zones) if not self.lost(p, zone, now_s)]
        if not free or not up:
            return False
        machine, turn = free[0], self.started % zones
        machine.zone = turn if turn in up else (turn + 1) % zones
        machine.state, machine.asked_s, machine.ready_s, machine.taken_s = "starting", now_s, ready_s, math.inf
        machine.interrupt_s = math.inf
        if pool.interruptions_per_hour > 0.0:
            machine.interrupt_s = now_s + HOUR_S * self.draws[self.started % LIFETIMES] / pool.interruptions_per_hour
        self.started += 1
        return True

    def stop(self, machine: Machine, now_s: float) -> None:
        """Give a machine back; its life is billed by the hours of the clock, until the end of the traffic."""
        machine.state = "off"
        row, until_s = self.hours[machine.pool], min(now_s, self.duration_s)
        for hour in range(len(row)):
            close_s = math.inf if hour == len(row) - 1 else (hour + 1) * HOUR_S
            row[hour] += max(0.0, min(until_s, close_s) - max(machine.asked_s, hour * HOUR_S)) / HOUR_S

    def drain(self, machine: Machine, now_s: float) -> None:
        """Let a machine finish what it has."""
        machine.state = "draining"
        if not machine.outstanding:
            self.stop(machine, now_s)

    def take(self, machine: Machine, now_s: float) -> None:
        """Take a machine away: what ran on it is sent again first, those nearest their end first; then what waited."""
        self.stop(machine, now_s)
        for engine in machine.engines:
            if engine.doing in {"batch", "decode", "prefill"}:
                self.busy_s[machine.pool] -= self.within(now_s, engine.end_s)
            if engine.doing != "batch":
                engine.running.sort(key=lambda r: (r.left, r.index))
            again = [*engine.running, *engine.waiting]
            engine.running, engine.ending = [], 0
            engine.waiting.clear()
            self.rest(engine)
            for request in again:
                self.retry(request, now_s)

    def retry(self, request: Request, now_s: float) -> None:
        """Send a request that lost its machine again, within its group."""
        self.retries += 1
        group = self.pools[request.pool].group
        request.first_s, request.pool, request.prefilled, request.left = math.inf, -1, 0, 0
        if self.fleet.classes[request.kind].deferrable:
            self.deferred[request.kind].append(request)
            self.wake(now_s)
        else:
            self.send(request, group, now_s)

    # -------------------------------------------------------------------------------------------------------- control loop

    def control(self, rounds: int, now_s: float) -> None:
        """Age every machine (a lost zone closes first), give those that are ready what waits, then size every pool."""
        for machine in self.all_machines():
            if machine.state == "ready" and self.lost(machine.pool, machine.zone, now_s):
                machine.state = "draining"
        for machine in self.all_machines():
            if machine.state != "off":
                self.age(machine, now_s)
        for group, held in self.held.items():
            for request in [held.popleft() for _ in range(len(held))]:
                self.send(request, group, now_s)
        self.wake(now_s)
        for p in range(len(self.pools)):
            self.resize(p, rounds, now_s)
            self.counts[p].append(0)

    def age(self, machine: Machine, now_s: float) -> None:
        """Let what is due happen to a machine: taken, notice, ready; one of them a round."""
        if self.lost(machine.pool, machine.zone, now_s) or machine.taken_s <= now_s:
            self.take(machine, now_s)
        elif machine.interrupt_s <= now_s and math.isinf(machine.taken_s):
            self.interrupted += 1
            machine.taken_s = now_s + NOTICE_S
            self.drain(machine, now_s)
        elif machine.state == "starting" and machine.ready_s <= now_s:
            machine.state = "ready"

    def resize(self, p: int, rounds: int, now_s: float) -> None:
        """Start machines, or drain those still starting and then the least loaded, until the pool has what it should."""
        here = [machine for machine in self.machines[p] if machine.state in {"starting", "ready"}]
        want = self.wanted(p, len(here), rounds, now_s)
        for _ in range(want - len(here)):
            self.ask(p, now_s, now_s + self.pools[p].start_s)
        order = sorted(here, key=lambda machine: machine.outstanding if machine.state == "ready" else -1)
        for machine in order[: max(0, len(here) - want)]:
            self.drain(machine, now_s)

    def wanted(self, p: int, current: int, rounds: int, now_s: float) -> int:
        """Return the machines the pool should have: the schedule, raised by the autoscaler's rule."""
        floor, scaling, pool = self.floor(p, now_s), self.scaling, self.pools[p]
        if not scaling.enabled or floor == 0:
            self.recommended[p].append(0)
            return floor
        lag, window = round(scaling.metric_lag_s / scaling.sync_s), max(1, round(scaling.metric_window_s / scaling.sync_s))
        newest = rounds - lag
        seen = self.counts[p][max(0, newest - window + 1) : max(0, newest + 1)]
        rate_per_s = sum(seen) / (window * scaling.sync_s)
        desired = current
        if current and abs(rate_per_s / (current * pool.requests_per_s * scaling.target_utilisation) - 1.0) > scaling.tolerance:
            desired = math.ceil(rate_per_s / (pool.requests_per_s * scaling.target_utilisation) - 1e-9)
        self.recommended[p].append(min(max(desired, floor), max(pool.ceiling, floor)))
        remembered = round(scaling.downscale_stabilization_s / scaling.sync_s) + 1
        return max(floor, *self.recommended[p][-remembered:])


def replay_slowly(
    fleet: Fleet, traffic: Traffic, *, duration_s: float, block_offset_s: float, seed: int, drill: Drill | None = None
) -> Outcome:
    """Return what ``replay.run.replay_fleet`` should return."""
    reference = Reference(fleet, traffic, duration_s=duration_s, block_offset_s=block_offset_s, seed=seed, drill=drill)
    return reference.run()
