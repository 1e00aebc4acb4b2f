"""A slow replay in plain Python, written from ``docs/explanation/replay-rules.md``: the fast engine must agree with it event for event.

It shares the records of ``replay.records`` and ``base.records`` with the fast engine and nothing else: no policy, no queue, no clock.
Decode steps are taken one by one, machines and requests are objects, queues are lists. Here are the clock and the control loop;
``reference_parts.py`` has the objects, ``reference_engines.py`` what engines do, ``reference_machines.py`` how requests find
machines and how machines come and go, ``reference_scale.py`` how many there should be.
"""

import heapq
import math
from collections import deque

import numpy as np
from reference_machines import HOUR_S, NOTICE_S, Machines
from reference_parts import Engine, Machine, Request, holds, may_run
from reference_scale import Autoscaler, Seen

from tightrope.replay.records import CACHED, Drill, Fleet, Outcome, Traffic

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
LATEST_S = 86_400.0


class Reference(Machines):
    """A whole replay; ``run`` gives the outcome."""

    def __init__(
        self, fleet: Fleet, traffic: Traffic, *, duration_s: float, block_offset_s: float, seed: int, drill: Drill | None
    ) -> None:
        """Lay everything out, all machines off."""
        super().__init__(fleet, duration_s, block_offset_s=block_offset_s, seed=seed, drill=drill)
        self.traffic, self.sync_s = traffic, fleet.scaling.sync_s
        self.requests = the_requests(fleet, traffic)
        self.routed = [0] * len(fleet.classes)
        self.going: list[deque[tuple[float, Request]]] = [deque(), deque()]
        self.scalers = [Autoscaler(pool, fleet.scaling, self.figure(p, 0.0)) for p, pool in enumerate(fleet.pools)]
        self.lag = round(fleet.scaling.metric_lag_s / self.sync_s)
        self.snapshots: list[dict[int, int]] = []

    # ------------------------------------------------------------------------------------------------------------ the clock

    def run(self) -> Outcome:
        """Replay: at equal times ends of work first (by place), then arrivals, what goes on, who asks again, and the control loop."""
        self.warm_up()
        coming, rounds = deque(row for row in self.requests if not row.follows), 0
        while True:
            end_s, control_s = self.next_end(), rounds * self.sync_s
            arrival_s = coming[0].time_s if coming else math.inf
            again_s, kind = min((queue[0][0] if queue else math.inf, kind) for kind, queue in enumerate(self.again))
            goes_s, part = min((queue[0][0] if queue else math.inf, part) for part, queue in enumerate(self.going))
            now_s = min(end_s, arrival_s, goes_s, again_s, control_s)
            if end_s == now_s:
                self.end(self.engines[heapq.heappop(self.ends)[1]], end_s)
            elif arrival_s == now_s:
                self.arrive(coming.popleft(), arrival_s)
            elif goes_s == now_s:
                self.arrive(self.going[part].popleft()[1], goes_s)
            elif again_s == now_s:
                self.arrive(self.again[kind].popleft()[1], again_s)
            elif self.is_over(control_s, bool(coming)):
                break
            else:
                self.control(control_s)
                rounds += 1
        self.close()
        return self.outcome()

    def warm_up(self) -> None:
        """Begin with the schedule's machines ready."""
        for p in range(len(self.pools)):
            for _ in range(self.figure(p, 0.0)):
                if self.can_ask(p, 0.0):
                    self.ask(p, 0.0)
        for machine in self.all_machines():
            if machine.there:
                self.become_ready(machine, 0.0)
                machine.ready_s = 0.0
            for engine in machine.engines:
                self.rest(engine)

    def next_end(self) -> float:
        """Return when the next work ends; entries that were overtaken are dropped."""
        while self.ends and self.engines[self.ends[0][1]].end_s != self.ends[0][0]:
            heapq.heappop(self.ends)
        return self.ends[0][0] if self.ends else math.inf

    def is_over(self, now_s: float, coming: bool) -> bool:
        """Return whether the replay ends before this round: the traffic has, and every request, or a day has gone by."""
        if now_s < self.duration_s:
            return False
        waits = coming or any(self.held.values()) or any(self.deferred) or any(self.again) or any(self.going)
        return now_s >= self.duration_s + LATEST_S or not (waits or any(engine.outstanding for engine in self.engines))

    def close(self) -> None:
        """Count the work and the machines that are still there."""
        for engine in self.engines:
            self.count_busy(engine, self.duration_s)
        for machine in self.all_machines():
            if machine.there:
                self.stop(machine, self.duration_s)

    def end(self, engine: Engine, now_s: float) -> None:
        """Take in what ends now, and go on."""
        machine = engine.machine
        self.count_busy(engine, now_s)
        if engine.doing == "start" and not machine.ready:
            self.become_ready(machine, now_s)
        if engine.doing in {"step", "run"}:
            self.end_step(engine, now_s)
        else:
            if engine.doing == "batch":
                self.end_batch(engine, now_s)
            self.begin(engine, now_s)
        if not machine.outstanding:
            machine.idle_s = now_s
            if machine.going:
                self.stop(machine, now_s)

    def outcome(self) -> Outcome:
        """Return what happened."""
        rows, engines = self.requests, np.array([pool.engines_per_machine for pool in self.pools])
        return Outcome(
            traffic=self.traffic,
            first_s=np.array([row.first_s for row in rows]),
            finish_s=np.array([row.finish_s for row in rows]),
            pool=np.array([row.pool for row in rows], dtype=np.int64),
            machine_hours=self.hours,
            busy_hours=np.array(self.busy_s) / engines / HOUR_S,
            interruptions=self.interruptions,
            retries=self.retries,
            begin_s=np.array([row.begin_s for row in rows]),
            ended=np.array([row.ended for row in rows], dtype=np.int64),
            prefix_tokens=np.array([row.prefix_tokens for row in rows], dtype=np.int64),
            preemptions=self.preemptions,
            failures=self.failures,
            cold_starts=self.cold_starts,
            attempts_shed=self.attempts_shed,
        )

    # ------------------------------------------------------------------------------------------------------------- arrivals

    def arrive(self, request: Request, now_s: float) -> None:
        """Answer a request from the cache, or send it to its class's queue, or to the variant whose turn it is."""
        kind = request.kind
        if self.answers.has(request, now_s):
            request.ended, request.first_s = CACHED, now_s + self.fleet.cache.hit_s
            request.finish_s = request.first_s
            self.go_on(request, request.finish_s, 1)
        elif self.fleet.classes[kind].deferrable:
            self.defer(request, now_s)
        else:
            group = self.turn(self.routed[kind], self.fleet.share[kind, :, self.block(now_s)].tolist())
            self.routed[kind] += 1
            self.send(request, group, now_s, arrives=True)

    def go_on(self, request: Request, now_s: float, part: int = 0) -> None:
        """Let the request that goes on from an answered one come: ``part`` is 1 where the cache answered."""
        if request.next is not None:
            self.going[part].append((now_s, request.next))

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

    def count_arrival(self, p: int) -> None:
        """Tell the pool's autoscaler that a request was routed to it as it arrived."""
        self.scalers[p].count_arrival()

    # -------------------------------------------------------------------------------------------------------- control loop

    def block(self, now_s: float) -> int:
        """Return the hour of the week."""
        return int((now_s + self.offset_s) // HOUR_S) % 168

    def figure(self, p: int, now_s: float) -> int:
        """Return the schedule's machines of the hour at hand."""
        return int(self.pools[p].schedule[self.block(now_s)])

    def floor(self, p: int, now_s: float) -> int:
        """Return the schedule's machines, or those of the hour in which machines asked for now are ready, if they are more."""
        return max(self.figure(p, now_s), self.figure(p, now_s + self.pools[p].start_s))

    def control(self, now_s: float) -> None:
        """Age every machine (a lost zone closes first), give those that are ready what waits, then size every pool."""
        self.snapshots.append({m.number: m.outstanding for m in self.all_machines() if m.there and m.ready})
        for machine in self.all_machines():
            serverless = self.pools[machine.pool].keep_alive_s is not None
            if machine.there and (machine.ready or serverless) and self.lost(machine.pool, machine.zone, now_s):
                machine.going = True
        for machine in self.all_machines():
            if machine.there:
                self.age(machine, now_s)
        for group, held in self.held.items():
            for request in [held.popleft() for _ in range(len(held))]:
                self.send(request, group, now_s)
        self.wake(now_s)
        for p, pool in enumerate(self.pools):
            if pool.keep_alive_s is None:
                self.resize(p, now_s)
            else:
                self.resize_serverless(p, pool.keep_alive_s, now_s)
            self.scalers[p].next_round()

    def age(self, machine: Machine, now_s: float) -> None:
        """Let the first of what is due happen to a machine: taken, notice, ready."""
        p = machine.pool
        if self.lost(p, machine.zone, now_s) or machine.taken_s <= now_s:
            self.take(machine, now_s)
        elif machine.fail_s <= now_s:
            self.failures += 1
            self.take(machine, now_s)
        elif math.isinf(machine.taken_s) and (machine.interrupt_s <= now_s or self.storm(p, now_s)):
            self.interruptions += 1
            machine.taken_s = now_s + NOTICE_S
            self.tell_to_go(machine, now_s)
        elif not machine.ready and machine.ready_s <= now_s and self.pools[p].keep_alive_s is None:
            self.become_ready(machine, now_s)

    def resize(self, p: int, now_s: float) -> None:
        """Ask for machines, or tell those still starting and then the least loaded to go, until the pool has what it should."""
        blind = self.on(("metrics-loss",), now_s)
        if self.floor(p, now_s):
            self.scalers[p].woken = False
        want = self.scalers[p].decide(self.floor(p, now_s) or self.awake(p, now_s), None if blind else self.seen(p, now_s))
        want += self.stands_in_for(p)
        here = [machine for machine in self.machines[p] if machine.stays]
        for _ in range(want - len(here)):
            if self.can_ask(p, now_s):
                self.ask(p, now_s)
        order = sorted(here, key=lambda machine: machine.outstanding if machine.ready else -1)
        for machine in order[: max(0, len(here) - want)]:
            self.tell_to_go(machine, now_s)

    def awake(self, p: int, now_s: float) -> int:
        """Return 1 where a pool without a schedule starts a machine for those who wait, or keeps one that it started."""
        pool, scaler = self.pools[p], self.scalers[p]
        if pool.cooldown_s is None or not self.fleet.scaling.enabled:
            return 0
        waiting, group = self.held[pool.group], [q for q, other in enumerate(self.pools) if other.group == pool.group]
        if scaler.woken:
            if waiting or any(machine.outstanding for machine in self.machines[p]):
                scaler.last_s = now_s
            others = [
                q for q in group if self.scalers[q].wanted and not self.scalers[q].woken and self.pools[q].keep_alive_s is None
            ]
            relieved = any(machine.open for q in others for machine in self.machines[q])
            scaler.woken = not relieved and now_s - scaler.last_s < pool.cooldown_s
        elif waiting and not any(machine.stays for q in group for machine in self.machines[q]):
            scaler.woken = holds(pool, waiting[0]) and may_run(pool) and self.can_ask(p, now_s)
            scaler.last_s = now_s
            self.cold_starts += scaler.woken
        return int(scaler.woken)

    def stands_in_for(self, p: int) -> int:
        """Return how many machines the pool that this one backs wants and has not ready."""
        number = 0
        for other, pool in enumerate(self.pools):
            if pool.name == self.pools[p].backs:
                ready = sum(machine.open for machine in self.machines[other])
                number += max(0, self.scalers[other].wanted - ready)
        return number

    def seen(self, p: int, now_s: float) -> Seen:
        """Return what a metric of pods sees of the pool's machines: as they were at the beginning of an earlier round."""
        then = len(self.snapshots) - 1 - self.lag
        requests, seen = (self.snapshots[then] if then >= 0 else {}), Seen()
        for machine in self.machines[p]:
            if not machine.stays:
                continue
            if not machine.ready and now_s < machine.ready_s - self.pools[p].load_s:
                seen.unready += 1
            elif machine.ready and machine.number in requests:
                seen.requests.append(requests[machine.number])
            else:
                seen.missing += 1
        return seen

    def resize_serverless(self, p: int, keep_alive_s: float, now_s: float) -> None:
        """Keep the schedule's instances warm, and give others back that nobody has needed for long enough."""
        floor = self.floor(p, now_s)
        here = [machine for machine in self.machines[p] if machine.stays]
        for _ in range(floor - len(here)):
            if self.can_ask(p, now_s):
                self.ask(p, now_s)
                self.cold_starts += 1
        for machine in [row for row in here if row.ready and not row.outstanding and now_s - row.idle_s >= keep_alive_s]:
            if sum(row.stays for row in self.machines[p]) > floor:
                self.tell_to_go(machine, now_s)


def the_requests(fleet: Fleet, traffic: Traffic) -> list[Request]:
    """Lay the traffic out; an empty prompt or answer counts as one token."""
    requests = []
    for i, time_s in enumerate(traffic.time_s.tolist()):
        kind = int(traffic.traffic_class[i])
        request = Request(i, time_s, kind, max(1, int(traffic.input_tokens[i])), max(1, int(traffic.output_tokens[i])))
        request.priority = fleet.classes[kind].priority
        if traffic.key is not None and len(traffic.key):
            request.key = int(traffic.key[i])
        if traffic.deadline_s is not None and len(traffic.deadline_s):
            request.deadline_s = float(traffic.deadline_s[i])
        if traffic.block_start is not None and traffic.blocks is not None and len(traffic.block_start):
            request.hashes = tuple(traffic.blocks[traffic.block_start[i] : traffic.block_start[i + 1]].tolist())
        requests.append(request)
    everybody = list(requests)
    for kind in range(len(fleet.classes)):
        everybody += that_go_on(fleet, requests, kind, len(everybody))
    return everybody


def that_go_on(fleet: Fleet, requests: list[Request], kind: int, number: int) -> list[Request]:
    """Return the requests of a class that follows another, each known to the one that it goes on from."""
    follows, found = fleet.classes[kind].follows, []
    begun = [row for row in requests if fleet.classes[row.kind].name == follows]
    keys, total = 1 + max((row.key for row in requests), default=-1), 0
    for place, row in enumerate(begun):
        before, total = total, math.floor((place + 1) * fleet.classes[kind].follow_share + 1e-9)
        if total > before:
            key = row.key if row.key < 0 else row.key + keys * (1 + kind)
            row.next = Request(number + len(found), row.time_s, kind, row.prompt, row.answer, key=key, follows=True)
            row.next.priority, row.next.deadline_s, row.next.hashes = fleet.classes[kind].priority, row.deadline_s, row.hashes
            found.append(row.next)
    return found


def replay_slowly(
    fleet: Fleet, traffic: Traffic, *, duration_s: float, block_offset_s: float, seed: int, drill: Drill | None = None
) -> Outcome:
    """Return what ``replay.run.replay_fleet`` should return."""
    reference = Reference(fleet, traffic, duration_s=duration_s, block_offset_s=block_offset_s, seed=seed, drill=drill)
    return reference.run()
