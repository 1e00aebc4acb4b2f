"""What one engine of the slow replay does: batches, and steps of a token server one by one."""

import heapq
import math
from collections import deque

from reference_lengths import LOOKED_AT, Waits, fits_in, time_s, together, waits_for_more
from reference_parts import Answers, Blocks, Engine, Machine, Request, holds, step_s

from tightrope.base.records import RequestEngine, TokenEngine
from tightrope.replay.records import ANSWERED, Fleet, FleetPool

SPARE_PLACES = 4


class Engines:
    """Every engine of a fleet, the deferrable work, and when each engine's work ends."""

    def __init__(self, fleet: Fleet, duration_s: float) -> None:
        """Lay the engines out, all machines off."""
        self.fleet, self.pools, self.duration_s = fleet, fleet.pools, duration_s
        self.engines: list[Engine] = []
        self.machines = [[self._place(p, pool) for _ in range(self._places(pool))] for p, pool in enumerate(fleet.pools)]
        self.deferred: list[deque[Request]] = [deque() for _ in fleet.classes]
        self.answers = Answers(fleet.cache)
        self.busy_s = [0.0] * len(fleet.pools)
        self.ends: list[tuple[float, int]] = []
        self.turns = self.preemptions = 0

    def _places(self, pool: FleetPool) -> int:
        """Return how many machines of a pool may be there at once, those that finish and those they make way for."""
        stands_in_for = [other for other in self.pools if other.name == pool.backs]
        return SPARE_PLACES + sum(max(row.ceiling, int(row.schedule.max())) for row in [pool, *stands_in_for])

    def _place(self, p: int, pool: FleetPool) -> Machine:
        """Return a place with its engines, which are numbered in the order of pools and places."""
        machine = Machine(p)
        for _ in range(pool.engines_per_machine):
            machine.engines.append(Engine(len(self.engines), machine, Blocks(pool.prefix_block_tokens)))
            self.engines.append(machine.engines[-1])
        return machine

    # ---------------------------------------------------------------------------------------------------------- engine work

    def begin(self, engine: Engine, now_s: float) -> None:
        """Start what the engine does next, or let it idle."""
        pool = self.pools[engine.machine.pool]
        if isinstance(pool.engine, TokenEngine):
            self.begin_step(engine, pool.engine, now_s)
        else:
            self.begin_batch(engine, pool, now_s)

    def work(self, engine: Engine, doing: str, now_s: float, end_s: float) -> None:
        """Set the engine to work, or let it wait, until a moment."""
        engine.doing, engine.begun_s, engine.end_s, engine.called = doing, now_s, end_s, False
        heapq.heappush(self.ends, (end_s, engine.number))

    def rest(self, engine: Engine) -> None:
        """Let the engine idle."""
        engine.doing, engine.end_s = "nothing", math.inf

    def count_busy(self, engine: Engine, now_s: float) -> None:
        """Count what the engine has worked since it began, up to the end of the traffic."""
        if engine.working:
            self.busy_s[engine.machine.pool] += max(0.0, min(now_s, self.duration_s) - engine.begun_s)

    def take_up(self, engine: Engine, request: Request, now_s: float) -> None:
        """Note that an engine begins a request."""
        request.pool, request.begin_s = engine.machine.pool, min(request.begin_s, now_s)
        self.turns += 1
        request.turn = self.turns

    def answer(self, request: Request, now_s: float) -> None:
        """End a request that is complete."""
        request.finish_s, request.ended = now_s, ANSWERED
        self.answers.keep(request, now_s)
        self.go_on(request, now_s)

    def go_on(self, request: Request, now_s: float, part: int = 0) -> None:
        """Let the request that goes on from this one come."""

    # --------------------------------------------------------------------------------------------------------------- batches

    def begin_batch(self, engine: Engine, pool: FleetPool, now_s: float) -> None:
        """Start a batch if a full or a partial one is due, filled up with deferrable work where nobody else is left."""
        if pool.engine.lengths:
            self.begin_batch_by_length(engine, pool, now_s)
            return
        times_s = pool.engine.service_s
        if 0 < len(engine.queue) < len(times_s) and now_s < self.batch_due_s(engine, pool):
            self.work(engine, "wait", now_s, self.batch_due_s(engine, pool))
            return
        while engine.queue and len(engine.running) < len(times_s):
            engine.running.append(engine.queue.pop())
        while not engine.queue and len(engine.running) < len(times_s):
            request = self.pull(engine)
            if request is None:
                break
            engine.running.append(request)
        if not engine.running:
            self.rest(engine)
            return
        for request in engine.running:
            self.take_up(engine, request, now_s)
        self.work(engine, "batch", now_s, now_s + times_s[len(engine.running) - 1])

    def batch_due_s(self, engine: Engine, pool: FleetPool) -> float:
        """Return when a batch that is not full starts: its first request has waited long enough, or would be late with one more."""
        first, one_more_s = engine.queue.first, pool.engine.service_s[len(engine.queue)]
        late_s = first.time_s + self.fleet.classes[first.kind].answer_within_s - one_more_s
        return min(first.time_s + pool.max_wait_s, late_s)

    def begin_batch_by_length(self, engine: Engine, pool: FleetPool, now_s: float) -> None:
        """Start a batch of requests whose lengths go together, unless the engine had better wait for more of them."""
        model = pool.engine
        if 0 < len(engine.queue) < model.max_batch and pool.max_wait_s > 0.0:
            due_s = self.due_by_length_s(engine, pool)
            if now_s < due_s:
                self.work(engine, "wait", now_s, due_s)
                return
        engine.running = self.those_together(engine, model, now_s)
        if not engine.queue:
            self.add_what_can_wait(engine, pool, now_s)
        if not engine.running:
            self.rest(engine)
            return
        for request in engine.running:
            self.take_up(engine, request, now_s)
        duration_s = time_s(model, len(engine.running), max(row.prompt for row in engine.running))
        self.work(engine, "batch", now_s, now_s + duration_s)

    def waits(self, request: Request, now_s: float) -> Waits:
        """Return a request as one that is looked at."""
        kind = self.fleet.classes[request.kind]
        due_s = request.deadline_s if kind.deferrable else request.time_s + kind.answer_within_s
        return Waits(request.prompt, due_s - now_s)

    def due_by_length_s(self, engine: Engine, pool: FleetPool) -> float:
        """Return when a batch that is not full starts, where times depend on length."""
        lengths, first = [row.prompt for row in engine.queue], engine.queue.first
        wait_s = pool.max_wait_s if waits_for_more(pool.engine, lengths, engine.arrivals_s) else 0.0
        late_s = (
            first.time_s + self.fleet.classes[first.kind].answer_within_s - time_s(pool.engine, len(lengths) + 1, max(lengths))
        )
        return min(first.time_s + wait_s, late_s)

    def those_together(self, engine: Engine, model: RequestEngine, now_s: float) -> list[Request]:
        """Take those of the queue that go together: of its first priority where that could fill a batch, else of all."""
        most = min(model.max_batch, len(engine.queue))
        looked_at = list(engine.queue)[: max(most, LOOKED_AT)]
        first = [row for row in looked_at if row.priority == looked_at[0].priority]
        rows = first if len(first) >= most else looked_at
        taken = [rows[place] for place in together(model, [self.waits(row, now_s) for row in rows], most)] if rows else []
        for request in taken:
            engine.queue.rows.remove(request)
        return taken

    def add_what_can_wait(self, engine: Engine, pool: FleetPool, now_s: float) -> None:
        """Fill a batch up with deferrable work, or make one of it."""
        rows = self.first_that_can_wait(engine, pool)
        if not engine.running:
            taken = self.that_can_wait_together(engine.machine.pool, rows, now_s)
        else:
            taken, batch = [], [self.waits(row, now_s) for row in engine.running]
            for row in rows:
                room = len(batch) < min(pool.engine.max_batch, pool.deferrable_limit)
                if room and fits_in(pool.engine, batch, self.waits(row, now_s)):
                    taken.append(row)
                    batch.append(Waits(row.prompt, -math.inf))
        for row in taken:
            self.deferred[row.kind].remove(row)
            engine.running.append(row)

    def first_that_can_wait(self, engine: Engine, pool: FleetPool) -> list[Request]:
        """Return the first requests that the engine may take, of the classes' next ones that which is due first."""
        if not engine.machine.open or not pool.deferrable_limit:
            return []
        mine = [kind for kind in range(len(self.deferred)) if self.may_defer(kind, engine.machine.pool)]
        queues, rows = [list(self.deferred[kind]) for kind in mine], []
        while any(queues) and len(rows) < LOOKED_AT:
            rows.append(min((queue for queue in queues if queue), key=lambda queue: queue[0].deadline_s).pop(0))
        return rows

    def that_can_wait_together(self, p: int, rows: list[Request], now_s: float) -> list[Request]:
        """Return those that go together and take an engine no longer than a quarter of the shortest promise."""
        if not rows:
            return []
        pool, model = self.pools[p], self.pools[p].engine
        g = self.fleet.groups.index(pool.group)
        answers = [self.fleet.share[kind, g].any() or self.fleet.allowed[kind, p] for kind in range(len(self.fleet.classes))]
        kinds = [kind for kind, mine in zip(self.fleet.classes, answers, strict=True) if mine]
        room_s = 0.25 * min(kind.answer_within_s for kind in kinds)
        looked_at = [self.waits(row, now_s) for row in rows]
        alone_s = time_s(model, 1, looked_at[0].length)
        most = 1 if alone_s > room_s else min(model.max_batch, pool.deferrable_limit)
        looked_at = [Waits(row.length, min(row.left_s, room_s)) for row in looked_at]
        return [rows[place] for place in together(model, looked_at, most)]

    def end_batch(self, engine: Engine, now_s: float) -> None:
        """Answer all of a batch."""
        for request in engine.running:
            request.first_s = now_s
            self.answer(request, now_s)
        engine.running = []

    # ----------------------------------------------------------------------------------------------------------------- steps

    def begin_step(self, engine: Engine, model: TokenEngine, now_s: float) -> None:
        """Start a step: memory for the sequences that decode, then prompts or parts of them in the order of the queue."""
        preempted = self.make_room(engine, model)
        cached = sum(row.cached for row in engine.running) + sum(row.read for row in engine.reading)
        budget = model.chunk_tokens - len(engine.running)
        parts = [self.read(row, budget) for row in engine.reading]
        while budget > sum(parts) and not preempted:
            request = self.next_to_begin(engine, model)
            if request is None:
                break
            cached += self.begin_request(engine, model, request, now_s)
            parts.append(self.read(request, budget - sum(parts)))
        if not engine.running and not engine.reading:
            self.rest(engine)
            return
        duration_s = step_s(model, sum(parts), len(engine.running), cached)
        self.work(engine, "step" if engine.reading else "run", now_s, now_s + duration_s)

    def read(self, request: Request, budget: int) -> int:
        """Read what the step has left for a prompt; return how many tokens that is."""
        part = max(0, min(budget, request.to_read - request.read))
        request.read += part
        return part

    def occupied(self, engine: Engine) -> int:
        """Return the tokens in use: blocks in use once, and of each request what its blocks do not hold."""
        own = sum(row.cached for row in engine.running) + sum(row.to_read for row in engine.reading)
        in_blocks = sum(len(row.blocks) for row in [*engine.running, *engine.reading])
        return engine.blocks.occupied + own - engine.blocks.tokens * in_blocks

    def short_of_memory(self, engine: Engine, model: TokenEngine) -> bool:
        """Return whether one token more for each decoding sequence does not fit."""
        return self.occupied(engine) + len(engine.running) > model.kv_capacity_tokens

    def shrink(self, engine: Engine, model: TokenEngine) -> None:
        """Give up idle blocks that do not fit beside what is occupied and the tokens of this step."""
        engine.blocks.shrink(model.kv_capacity_tokens - self.occupied(engine) - len(engine.running))

    def make_room(self, engine: Engine, model: TokenEngine) -> bool:
        """Preempt until the tokens of the step fit; return whether anybody was."""
        preempted = False
        while self.short_of_memory(engine, model):
            victim = min([*engine.running, *engine.reading], key=lambda row: (row.priority, -row.turn))
            (engine.running if victim in engine.running else engine.reading).remove(victim)
            engine.blocks.let_go(victim)
            victim.read = 0
            engine.queue.return_to_front(victim)
            self.preemptions += 1
            preempted = True
        self.shrink(engine, model)
        return preempted

    def next_to_begin(self, engine: Engine, model: TokenEngine) -> Request | None:
        """Take who begins next out of the queue, or of the deferrable work."""
        if not engine.queue:
            return self.pull(engine)
        return engine.queue.pop() if self.fits(engine, model, engine.queue.first) else None

    def fits(self, engine: Engine, model: TokenEngine, request: Request) -> bool:
        """Return whether a request may begin: a sequence is free, and its prompt fits beside all that is occupied."""
        if len(engine.running) + len(engine.reading) >= model.max_sequences:
            return False
        tokens = self.occupied(engine) + len(engine.running) + engine.blocks.need(request)
        return tokens <= model.kv_capacity_tokens

    def begin_request(self, engine: Engine, model: TokenEngine, request: Request, now_s: float) -> int:
        """Begin a request; return the tokens that the prefix cache spares it."""
        self.take_up(engine, request, now_s)
        for block in engine.blocks.found(request):
            engine.blocks.hold(request, block)
        request.read = request.prefix_tokens = engine.blocks.tokens * len(request.blocks)
        engine.reading.append(request)
        self.shrink(engine, model)
        return request.read

    def end_step(self, engine: Engine, now_s: float) -> None:
        """Take a step in, and begin the next: in the run, if it goes on."""
        model = self.pools[engine.machine.pool].engine
        sequences = len(engine.running)
        for request in sorted(engine.running, key=lambda row: row.index):
            self.write(engine, request, now_s)
        goes_on = len(engine.running) == sequences
        for request in [row for row in engine.reading if row.read == row.to_read]:
            engine.reading.remove(request)
            engine.running.append(request)
            engine.blocks.keep(request)
            self.write(engine, request, now_s)
        if engine.doing == "run" and goes_on and not engine.called and not self.short_of_memory(engine, model):
            self.shrink(engine, model)
            cached = sum(row.cached for row in engine.running)
            self.work(engine, "run", now_s, now_s + step_s(model, 0, len(engine.running), cached))
        else:
            self.begin_step(engine, model, now_s)

    def write(self, engine: Engine, request: Request, now_s: float) -> None:
        """Give a decoding sequence one more token; it leaves if that is the last."""
        request.written += 1
        request.first_s = min(request.first_s, now_s)
        if request.written == request.answer:
            engine.running.remove(request)
            engine.blocks.let_go(request)
            self.answer(request, now_s)

    # --------------------------------------------------------------------------------------------------- deferrable work

    def pull(self, engine: Engine) -> Request | None:
        """Take the first of the class whose first request is due first, of those that fit; None if there is none to take."""
        p = engine.machine.pool
        pool = self.pools[p]
        if not engine.machine.open or len(engine.running) + len(engine.reading) >= pool.deferrable_limit:
            return None
        queues = [
            queue
            for kind, queue in enumerate(self.deferred)
            if queue and self.may_defer(kind, p) and holds(pool, queue[0]) and self.fits_now(engine, pool, queue[0])
        ]
        return min(queues, key=lambda queue: queue[0].deadline_s).popleft() if queues else None

    def may_defer(self, kind: int, p: int) -> bool:
        """Return whether a pool does a class's deferrable work: serverless ones do none."""
        return bool(self.fleet.allowed[kind, p]) and self.pools[p].keep_alive_s is None

    def fits_now(self, engine: Engine, pool: FleetPool, request: Request) -> bool:
        """Return whether the engine could begin the request in this step, or batch."""
        return not isinstance(pool.engine, TokenEngine) or self.fits(engine, pool.engine, request)
