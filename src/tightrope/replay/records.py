"""What goes into a replay and what comes out: a fleet, its classes, the traffic, a drill; the outcome."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import EngineModel, FloatArray, IntArray, ScalingPolicy

SPOT_NOTICE_S = 120.0
"""Warning before a spot machine is taken away (AWS EC2 User Guide, "Spot Instance interruption notices": two minutes)."""
ANSWERED, CACHED, SHED, TOO_LARGE, NO_POOL, UNANSWERED = 0, 1, 2, 3, 4, 5
"""How a request ended: by an engine; from the response cache; turned away; larger than every KV cache of its group; no pool of
its group ever runs; not answered by the end of the replay."""
ENDINGS = ("answered", "cached", "shed", "too large", "no pool", "unanswered")


@dataclass(frozen=True, slots=True)
class FleetPool:
    """One pool as the replay sees it; ``schedule`` is int64[168] machines per hour of the week."""

    name: str
    group: str
    engine: EngineModel
    engines_per_machine: int
    requests_per_s: float
    """What one machine sustains within the SLO: the weight for routing and the autoscaler's 100 %."""
    start_s: float
    zones: int
    interruptions_per_hour: float
    schedule: IntArray
    ceiling: int
    deferrable_limit: int
    """Concurrent requests per engine up to which deferrable work may join."""
    max_wait_s: float = 0.0
    """Longest time that a partial batch waits for more."""
    load_s: float = 0.0
    """Last part of ``start_s``: the pod runs and loads its model; before, it waits for its node (to the autoscaler: pending)."""
    concurrency: float = 1.0
    """Requests a machine holds at ``requests_per_s``: the autoscaler's 100 % where it follows concurrency."""
    failures_per_hour: float = 0.0
    """Rate at which a machine dies without notice."""
    backs: str = ""
    """Name of the pool whose missing machines this one stands in for: on-demand behind spot."""
    keep_alive_s: float | None = None
    """Not None: a serverless pool. Instances start per request and go after being idle for so long; ``engines_per_machine`` is
    the concurrency of one, the schedule what is kept warm, the ceiling the most there may be."""
    prefix_block_tokens: int = 0
    """Tokens of one block of the prefix cache (a token engine's); 0 is none."""
    answer_s: tuple[float, ...] | None = None
    """Where given, a service without a queue: from a request's taking up to its first token, and to each further one."""
    metered: bool = False
    """Paid by the request; the replay does not act on it."""
    cooldown_s: float | None = None
    """Not None: where nothing is scheduled, a request that finds no machine of the group starts one; it goes after so long without any."""


@dataclass(frozen=True, slots=True)
class FleetClass:
    """How one class of requests is treated."""

    name: str
    deferrable: bool = False
    priority: int = 0
    """Larger goes first in every queue, as in Kubernetes."""
    answer_within_s: float = float("inf")
    """A partial batch goes no later than its first request needs to be answered in this time."""
    shed_wait_s: float = float("inf")
    """A request whose expected wait is longer is turned away."""
    retries: int = 0
    """How often a client whose request was turned away asks again."""
    retry_after_s: float = 1.0
    follows: str = ""
    """In a cascade, the class whose requests go on to this one when they are answered; its requests are in no trace."""
    follow_share: float = 1.0
    """Which share of them goes on."""


@dataclass(frozen=True, slots=True)
class ResponseCache:
    """Answers kept by their exact key, the least recently used going first where ``entries`` is reached."""

    entries: int
    ttl_s: float
    """Time from an answer's making to its end."""
    hit_s: float = 0.0
    """Time that an answer from the cache takes."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Pools, and who may be answered where: ``share`` is float64[classes, groups, 168], ``allowed`` bool[classes, pools]."""

    pools: tuple[FleetPool, ...]
    classes: tuple[FleetClass, ...]
    groups: tuple[str, ...]
    share: FloatArray
    allowed: np.ndarray
    scaling: ScalingPolicy
    cache: ResponseCache | None = None
    away_s: FloatArray | None = None
    """float64[classes, pools]: time from a class's users to the pool and back, part of every answer; None is none at all."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests ascending in time: all arrays [requests] (or [0]: nobody has any); ``traffic_class`` indexes ``Fleet.classes``."""

    time_s: FloatArray
    traffic_class: IntArray
    input_tokens: IntArray
    output_tokens: IntArray
    key: IntArray | None = None
    """What the answer is cached under; negative: never cached."""
    deadline_s: FloatArray | None = None
    """When deferrable work is due: of the classes an engine may help, the one whose first request is due first goes first."""
    block_start: IntArray | None = None
    """int64[requests + 1]: request ``i`` begins with ``blocks[block_start[i] : block_start[i + 1]]``."""
    blocks: IntArray | None = None
    """Hashes of the prompts' blocks, one after another; equal hashes are equal prefixes (the trace format of Mooncake)."""
    after: IntArray | None = None
    """int64[requests], set by the replay where classes follow others: the request that each goes on from, -1 where it came by itself.

    Those that go on stand behind all others, at the time when the first of them came.
    """


DrillKind: TypeAlias = Literal["zone-loss", "spot-zone-loss", "spot-storm", "metrics-loss"]


@dataclass(frozen=True, slots=True)
class Drill:
    """Something that goes wrong from ``start_s`` to ``end_s``.

    ``zone-loss``: every machine in ``zone`` is gone at once, and none is to be had there. ``spot-zone-loss``: the same, for
    interruptible machines only. ``spot-storm``: every interruptible machine gets its notice, and none is to be had.
    ``metrics-loss``: the autoscaler sees no metric.
    """

    kind: DrillKind
    start_s: float
    end_s: float
    zone: int = 0


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the fleet looked like at rounds of the control loop: ``time_s`` is float64[samples], the rest int64[samples, pools]."""

    time_s: FloatArray
    ready: IntArray
    starting: IntArray
    draining: IntArray
    queued: IntArray
    """Requests that wait on the pool's machines."""
    running: IntArray
    held: IntArray
    """int64[samples]: requests that wait for a machine, or for idle capacity."""


@dataclass(frozen=True, slots=True)
class EngineWork:
    """One step, run of steps or batch of one engine, for a time-line of engines; arrays [entries]."""

    pool: IntArray
    machine: IntArray
    engine: IntArray
    begin_s: FloatArray
    end_s: FloatArray
    steps: IntArray
    prompt_tokens: IntArray
    sequences: IntArray
    complete: bool = True
    """False where the log was full before its time was over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened; times are float64[requests] (inf: never), ``machine_hours`` float64[pools, hours]."""

    traffic: Traffic
    first_s: FloatArray
    finish_s: FloatArray
    pool: NDArray[np.integer]
    """Which answered; -1 where none did."""
    machine_hours: FloatArray
    busy_hours: FloatArray
    """float64[pools]: engine-hours busy until the traffic's end, divided by the engines of a machine (machine-hours of work)."""
    interruptions: int
    retries: int
    """Requests that began again because their machine was taken."""
    begin_s: FloatArray
    """When an engine first took the request up."""
    ended: NDArray[np.integer]
    """How, see ``ENDINGS``."""
    prefix_tokens: NDArray[np.integer]
    """Prompt tokens that the prefix cache spared, when the prompt was last begun."""
    preemptions: int = 0
    failures: int = 0
    cold_starts: int = 0
    attempts_shed: int = 0
    timeline: Timeline | None = None
    work: EngineWork | None = None
    came_s: FloatArray | None = None
    """When each request came to the fleet, float64[requests], where some went on from others; None: at the traffic's times."""

    @property
    def arrived_s(self) -> FloatArray:
        """When the request came to the fleet, float64[requests]: of those that go on, when what they go on from was answered."""
        return self.traffic.time_s if self.came_s is None else self.came_s

    @property
    def queue_s(self) -> FloatArray:
        """Time until an engine took the request up, float64[requests]."""
        with np.errstate(invalid="ignore"):
            return self.begin_s - self.arrived_s

    @property
    def ttft_s(self) -> FloatArray:
        """Time to first token (to the answer, where there are no tokens), float64[requests]."""
        return self.first_s - self.traffic.time_s

    @property
    def latency_s(self) -> FloatArray:
        """Time to the whole answer, float64[requests]."""
        return self.finish_s - self.traffic.time_s

    @property
    def tpot_s(self) -> FloatArray:
        """Mean time per output token after the first, float64[requests]; 0 with at most one token, inf if unanswered."""
        steps = np.maximum(self.traffic.output_tokens - 1, 1)
        with np.errstate(invalid="ignore"):
            tpot = (self.finish_s - self.first_s) / steps
        return np.where(np.isfinite(self.finish_s), tpot, np.inf)
