"""What the slow replay is made of: requests, engines, machines, and the two caches."""

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tightrope.base.records import TokenEngine
from tightrope.replay.records import UNANSWERED, FleetPool, ResponseCache


@dataclass(eq=False, slots=True)
class Request:
    """One request: what it is, what became of it, and how far its engine is with it."""

    index: int
    time_s: float
    kind: int
    prompt: int
    answer: int
    priority: int = 0
    key: int = -1
    deadline_s: float = math.inf
    hashes: tuple[int, ...] = ()
    first_s: float = math.inf
    finish_s: float = math.inf
    begin_s: float = math.inf
    pool: int = -1
    ended: int = UNANSWERED
    prefix_tokens: int = 0
    turned_away: int = 0
    written: int = 0
    """Tokens of its answer that were given."""
    read: int = 0
    """Tokens of its prompt in the KV cache while it is being read, those that the prefix cache spared included."""
    turn: int = 0
    """Grows with every request that is taken up: the largest of an engine was taken up last."""
    blocks: list[int] = field(default_factory=list)
    """Hashes of the leading blocks that it holds."""
    follows: bool = False
    """Whether it goes on from another."""
    next: "Request | None" = None
    """The one that goes on from it."""

    @property
    def tokens(self) -> int:
        """KV cache that must be there for it to be taken at all."""
        return self.prompt + self.answer

    @property
    def to_read(self) -> int:
        """Tokens that are read when it is taken up: its prompt, and what it had written when it was preempted."""
        return self.prompt + self.written

    @property
    def cached(self) -> int:
        """Tokens in the KV cache while it decodes: all but the newest."""
        return self.prompt + self.written - 1

    def fail(self, ended: int) -> None:
        """End without an answer, and with it what would have gone on."""
        self.ended = ended
        if self.next is not None:
            self.next.ended = ended

    def forget(self) -> None:
        """Go back to the beginning: its machine was taken."""
        self.first_s = self.begin_s = math.inf
        self.pool, self.written, self.read, self.prefix_tokens = -1, 0, 0, 0
        self.blocks = []


class Queue:
    """Requests by priority, larger first; within one, in the order in which they came."""

    def __init__(self) -> None:
        """Begin empty."""
        self.rows: list[Request] = []

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Request]:
        return iter(self.rows)

    @property
    def first(self) -> Request:
        """The next to go."""
        return self.rows[0]

    def join(self, request: Request) -> None:
        """Put a request behind those of its priority."""
        self.rows.insert(sum(row.priority >= request.priority for row in self.rows), request)

    def return_to_front(self, request: Request) -> None:
        """Put a request before those of its priority."""
        self.rows.insert(sum(row.priority > request.priority for row in self.rows), request)

    def pop(self) -> Request:
        """Take the first."""
        return self.rows.pop(0)

    def clear(self) -> None:
        """Let everybody go."""
        self.rows = []


class Blocks:
    """The prefix cache of one engine: how many requests hold each block, and which blocks are idle, longest idle first."""

    def __init__(self, tokens: int) -> None:
        """Begin empty; ``tokens`` are those of one block, 0 where there is no prefix cache."""
        self.tokens = tokens
        self.holders: dict[int, int] = {}
        self.idle: OrderedDict[int, None] = OrderedDict()

    @property
    def occupied(self) -> int:
        """Tokens of the blocks that are in use, each counted once."""
        return self.tokens * (len(self.holders) - len(self.idle))

    def full(self, request: Request) -> tuple[int, ...]:
        """Return the hashes of the blocks that the request's prompt fills."""
        return request.hashes[: request.prompt // self.tokens] if self.tokens else ()

    def found(self, request: Request) -> list[int]:
        """Return the longest run of leading blocks that are kept, leaving at least one token to read."""
        found: list[int] = []
        for block in self.full(request):
            if block not in self.holders or (len(found) + 1) * self.tokens >= request.to_read:
                break
            found.append(block)
        return found

    def need(self, request: Request) -> int:
        """Return the tokens that are occupied besides if the request begins: what is read, and idle blocks that it holds."""
        found = self.found(request)
        return request.to_read - self.tokens * (len(found) - len(self.idle.keys() & set(found)))

    def hold(self, request: Request, block: int) -> None:
        """Let the request hold a block, which is kept from now on if it was not."""
        self.holders[block] = self.holders.get(block, 0) + 1
        self.idle.pop(block, None)
        request.blocks.append(block)

    def keep(self, request: Request) -> None:
        """Keep (and hold) the further full blocks of a prompt that is complete."""
        for block in self.full(request)[len(request.blocks) :]:
            self.hold(request, block)

    def let_go(self, request: Request) -> None:
        """Release what the request holds, the last of its prompt first."""
        while request.blocks:
            block = request.blocks.pop()
            self.holders[block] -= 1
            if self.holders[block] == 0:
                self.idle[block] = None

    def clear(self) -> None:
        """Forget all: the machine is gone."""
        self.holders.clear()
        self.idle.clear()

    def shrink(self, free_tokens: int) -> None:
        """Give up idle blocks, the longest idle first, until they fit into what is free."""
        while self.idle and self.tokens * len(self.idle) > free_tokens:
            block, _ = self.idle.popitem(last=False)
            del self.holders[block]


class Answers:
    """The response cache: when each kept answer was made, the least recently used first."""

    def __init__(self, rules: ResponseCache | None) -> None:
        """Begin empty; without rules nothing is ever kept."""
        self.rules = rules
        self.made_s: OrderedDict[int, float] = OrderedDict()

    def has(self, request: Request, now_s: float) -> bool:
        """Return whether the request's answer is kept and young enough; an old one is dropped."""
        if self.rules is None or request.key not in self.made_s:
            return False
        if now_s - self.made_s[request.key] < self.rules.ttl_s:
            self.made_s.move_to_end(request.key)
            return True
        del self.made_s[request.key]
        return False

    def keep(self, request: Request, now_s: float) -> None:
        """Keep an answer that is complete."""
        if self.rules is None or request.key < 0:
            return
        self.made_s[request.key] = now_s
        self.made_s.move_to_end(request.key)
        while len(self.made_s) > self.rules.entries:
            self.made_s.popitem(last=False)


@dataclass(eq=False, slots=True)
class Engine:
    """One engine of a machine, and the requests on it: queued, being read, decoding or in a batch."""

    number: int
    machine: "Machine"
    blocks: Blocks
    queue: Queue = field(default_factory=Queue)
    reading: list[Request] = field(default_factory=list)
    running: list[Request] = field(default_factory=list)
    doing: str = "nothing"
    """``nothing``, ``start``, ``wait`` (for more of a batch), ``batch``, ``step``, or ``run`` (a decode step in a run)."""
    called: bool = False
    """Whether a new first request of the queue ends the run at the end of this step."""
    begun_s: float = 0.0
    end_s: float = math.inf
    arrivals_s: list[float] = field(default_factory=list)
    """When requests came to it since its machine started, where it asks how many come."""

    @property
    def working(self) -> bool:
        """Whether it is busy, as far as the bill's busy time goes."""
        return self.doing in {"batch", "step", "run"}

    @property
    def outstanding(self) -> int:
        """Requests on it."""
        return len(self.queue) + len(self.reading) + len(self.running)


@dataclass(eq=False, slots=True)
class Machine:
    """One place of a pool, and the machine in it, if any."""

    pool: int
    engines: list[Engine] = field(default_factory=list)
    there: bool = False
    ready: bool = False
    going: bool = False
    """Told to go, with notice, or in a lost zone: gets nothing new."""
    number: int = -1
    """Of all machines that were ever asked for, from 0."""
    zone: int = 0
    asked_s: float = 0.0
    ready_s: float = 0.0
    interrupt_s: float = math.inf
    fail_s: float = math.inf
    taken_s: float = math.inf
    """Two minutes after its notice."""
    idle_s: float = 0.0
    """When it was last left by a request; when it was ready, where it never had one."""

    @property
    def stays(self) -> bool:
        """Whether it is there, starting or ready, and not told to go."""
        return self.there and not self.going

    @property
    def open(self) -> bool:
        """Whether it is ready and takes requests."""
        return self.there and self.ready and not self.going

    @property
    def outstanding(self) -> int:
        """Requests on it."""
        return sum(engine.outstanding for engine in self.engines)


def holds(pool: FleetPool, request: Request) -> bool:
    """Return whether the pool's KV cache, if it has one, is large enough for the request alone."""
    return not isinstance(pool.engine, TokenEngine) or request.tokens <= pool.engine.kv_capacity_tokens


def may_run(pool: FleetPool) -> bool:
    """Return whether the pool may ever have a machine."""
    return pool.ceiling > 0


def step_s(model: TokenEngine, prompt: int, decoding: int, cached: int) -> float:
    """Return the time of one step."""
    dense_s = max(model.weights_s, (prompt + decoding) * model.per_token_s)
    return model.overhead_s + dense_s + cached * model.per_cached_token_s
