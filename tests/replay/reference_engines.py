"""What one engine of the slow replay does: batches, and steps of a token server one by one."""

import heapq
import math
from collections import deque
from dataclasses import dataclass, field

from tightrope.base.records import TokenEngine
from tightrope.replay.records import Fleet, FleetPool

SPARE_PLACES = 4


@dataclass(eq=False, slots=True)
class Request:
    """One request; ``prefilled`` and ``left`` are what its engine has done and has to do."""

    index: int
    time_s: float
    kind: int
    prompt: int
    answer: int
    first_s: float = math.inf
    finish_s: float = math.inf
    pool: int = -1
    prefilled: int = 0
    left: int = 0

    @property
    def tokens(self) -> int:
        """KV cache that it takes in the end."""
        return self.prompt + self.answer


@dataclass(eq=False, slots=True)
class Engine:
    """One engine of a machine: ``running`` are decoding sequences or the batch, ``ending`` the prompts that the step completes."""

    number: int
    machine: "Machine"
    waiting: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    ending: int = 0
    doing: str = "nothing"
    called: bool = False
    end_s: float = math.inf

    @property
    def outstanding(self) -> int:
        """Requests on it."""
        return len(self.waiting) + len(self.running)


@dataclass(eq=False, slots=True)
class Machine:
    """One place of a pool, and the machine in it."""

    pool: int
    engines: list[Engine] = field(default_factory=list)
    state: str = "off"
    zone: int = 0
    asked_s: float = 0.0
    ready_s: float = 0.0
    interrupt_s: float = math.inf
    taken_s: float = math.inf

    @property
    def outstanding(self) -> int:
        """Requests on it."""
        return sum(engine.outstanding for engine in self.engines)


class Engines:
    """Every engine of a fleet, the work that can wait, and when each engine's work ends."""

    def __init__(self, fleet: Fleet, duration_s: float) -> None:
        """Lay the engines out, all machines off."""
        self.fleet, self.pools, self.duration_s = fleet, fleet.pools, duration_s
        self.machines: list[list[Machine]] = []
        self.engines: list[Engine] = []
        for p, pool in enumerate(fleet.pools):
            places = max(pool.ceiling, int(pool.schedule.max())) + SPARE_PLACES
            self.machines.append([self._place(p, pool) for _ in range(places)])
        self.deferred: list[deque[Request]] = [deque() for _ in fleet.classes]
        self.busy_s = [0.0] * len(fleet.pools)
        self.ends: list[tuple[float, int]] = []

    def _place(self, p: int, pool: FleetPool) -> Machine:
        machine = Machine(p)
        for _ in range(pool.engines_per_machine):
            machine.engines.append(Engine(len(self.engines), machine))
            self.engines.append(machine.engines[-1])
        return machine

    def begin(self, engine: Engine, now_s: float) -> None:
        """Start what the engine does next, or let it idle."""
        pool = self.pools[engine.machine.pool]
        if isinstance(pool.engine, TokenEngine):
            self.begin_step(engine, pool.engine, now_s)
        else:
            self.begin_batch(engine, pool, now_s)

    def work(self, engine: Engine, doing: str, now_s: float, duration_s: float) -> None:
        """Set the engine to work."""
        engine.doing, engine.end_s = doing, now_s + duration_s
        if doing != "wait":
            self.busy_s[engine.machine.pool] += self.within(now_s, engine.end_s)
        heapq.heappush(self.ends, (engine.end_s, engine.number))

    def within(self, from_s: float, to_s: float) -> float:
        """Return how much of a stretch of time lies before the end of the traffic: only that is billed, or counted as work."""
        return max(0.0, min(to_s, self.duration_s) - from_s)

    def rest(self, engine: Engine) -> None:
        """Let the engine idle."""
        engine.doing, engine.end_s = "nothing", math.inf

    def begin_batch(self, engine: Engine, pool: FleetPool, now_s: float) -> None:
        """Start a batch: full at once, else when its first request has waited long enough."""
        largest = len(pool.engine.service_s)
        while len(engine.waiting) < largest and self.pull(engine, len(engine.waiting)):
            pass
        if not engine.waiting:
            self.rest(engine)
            return
        due_s = engine.waiting[0].time_s + pool.max_wait_s
        if len(engine.waiting) < largest and now_s < due_s:
            self.rest(engine)
            engine.doing, engine.end_s = "wait", due_s
            heapq.heappush(self.ends, (due_s, engine.number))
            return
        engine.running = [engine.waiting.popleft() for _ in range(min(largest, len(engine.waiting)))]
        self.work(engine, "batch", now_s, pool.engine.service_s[len(engine.running) - 1])

    def begin_step(self, engine: Engine, model: TokenEngine, now_s: float) -> None:
        """Start a step: prompts or parts of them in the order of the queue, and one token for each running sequence."""
        cached = sum(r.prompt + r.answer - 1 - r.left for r in engine.running)
        cached += engine.waiting[0].prefilled if engine.waiting else 0
        sequences, budget, place, taken = len(engine.running), model.chunk_tokens - len(engine.running), 0, 0
        engine.ending, engine.called = 0, False
        while budget > 0 and (place < len(engine.waiting) or self.pull(engine, sequences)):
            request = engine.waiting[place]
            if request.prefilled == 0 and not self.fits(engine, request, sequences):
                break
            part = min(budget, request.prompt - request.prefilled)
            request.prefilled += part
            budget, taken, sequences, place = budget - part, taken + part, sequences + 1, place + 1
            engine.ending += request.prefilled == request.prompt
        if taken:
            self.work(engine, "prefill", now_s, step_s(model, taken, len(engine.running), cached))
        elif engine.running:
            self.work(engine, "decode", now_s, step_s(model, 0, len(engine.running), cached))
        else:
            self.rest(engine)

    def decode_step(self, engine: Engine, now_s: float) -> None:
        """Go on with a run of decode steps: nobody joins."""
        model = self.pools[engine.machine.pool].engine
        cached = sum(r.prompt + r.answer - 1 - r.left for r in engine.running)
        cached += engine.waiting[0].prefilled if engine.waiting else 0
        self.work(engine, "decode", now_s, step_s(model, 0, len(engine.running), cached))

    def end_step(self, engine: Engine, now_s: float) -> bool:
        """Take a step in; return whether it is one in a run of decode steps that goes on."""
        for request in engine.running:
            request.left -= 1
            if request.left == 0:
                request.finish_s = now_s
        going = [request for request in engine.running if request.left > 0]
        none_ended = len(going) == len(engine.running)
        engine.running = going
        for _ in range(engine.ending):
            request = engine.waiting.popleft()
            request.first_s, request.left = now_s, request.answer - 1
            if request.left:
                engine.running.append(request)
            else:
                request.finish_s = now_s
        engine.ending = 0
        return engine.doing == "decode" and none_ended and not engine.called

    def fits(self, engine: Engine, request: Request, sequences: int) -> bool:
        """Return whether a request may join: a sequence free, and KV cache for all of its tokens beside all that is promised."""
        model = self.pools[engine.machine.pool].engine
        promised = sum(r.tokens for r in engine.running) + sum(r.tokens for r in engine.waiting if r.prefilled)
        return sequences < model.max_sequences and promised + request.tokens <= model.kv_capacity_tokens

    def pull(self, engine: Engine, sequences: int) -> bool:
        """Move the first work that can wait and fits to the engine; return whether there was any."""
        pool, p = self.pools[engine.machine.pool], engine.machine.pool
        if engine.machine.state in {"draining", "off"} or sequences >= pool.deferrable_limit:
            return False
        for kind, queue in enumerate(self.deferred):
            if not queue or not self.fleet.allowed[kind, p]:
                continue
            if isinstance(pool.engine, TokenEngine) and not self.fits(engine, queue[0], sequences):
                continue
            queue[0].pool = p
            engine.waiting.append(queue.popleft())
            return True
        return False


def holds(pool: FleetPool, request: Request) -> bool:
    """Return whether the pool's KV cache, if it has one, is large enough for the request alone."""
    return not isinstance(pool.engine, TokenEngine) or request.tokens <= pool.engine.kv_capacity_tokens


def step_s(model: TokenEngine, prefill: int, decode: int, cached: int) -> float:
    """Return the time of one step."""
    dense_s = max(model.weights_s, (prefill + decode) * model.per_token_s)
    return model.overhead_s + dense_s + cached * model.per_cached_token_s
