"""The facts and the wishes that cross stages; the answers stand beside them in ``plan.py``.

Every number's name carries its unit; arrays state shape and dtype. Money is float64 US dollars inside arrays and bills, ``Decimal``
in the price catalogue (``catalogue.py``).
"""

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tightrope.base.future import Future
from tightrope.base.levers import CachePolicy, Cascade, CascadePart
from tightrope.base.places import Infrastructure, WherePolicy
from tightrope.base.services import ApiUse, ServicePolicy

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

# ------------------------------------------------------------------------------------------------------- demand and SLOs


@dataclass(frozen=True, slots=True)
class Slo:
    """A promise: ``percentile`` (0..1) of the requests stay within ``limit_s``."""

    metric: Literal["latency", "ttft", "tpot"]
    percentile: float
    limit_s: float

    def __str__(self) -> str:
        """Return the promise as people write it, such as ``ttft p95 ≤ 1.0 s``."""
        limit = f"{self.limit_s:g} s" if self.limit_s >= 1 else f"{1000 * self.limit_s:g} ms"
        return f"{self.metric} p{100 * self.percentile:g} ≤ {limit}"

    @property
    def label(self) -> str:
        """The promise in ASCII, as metrics carry it: CloudWatch takes nothing else."""
        return str(self).replace("≤", "<=")


@dataclass(frozen=True, slots=True)
class Deferral:
    """Work that can wait: it is released at one hour of the day and due at another (hours 0..24, due may be next day)."""

    release_h: float
    deadline_h: float

    @property
    def window_h(self) -> float:
        """Hours between release and deadline, in (0, 24].

        >>> Deferral(22, 6).window_h
        8.0
        """
        span = (self.deadline_h - self.release_h) % 24.0
        return float(span) or 24.0


@dataclass(frozen=True, slots=True)
class ClientMix:
    """Who sends a demand's requests: each client is a renewal process of its own, and they are merged in time.

    ``share`` is float64[clients, bins], each client's part of the bin's rate: 1 in all, 0 in a bin without requests. ``shape``,
    float64[clients, bins], is that of the distribution of its gaps, Weibull where ``weibull``, bool[clients, bins], says so and
    Gamma elsewhere; 1 is Poisson, infinity all gaps alike.
    """

    share: FloatArray
    shape: FloatArray
    weibull: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Demand:
    """How much of one traffic class arrives, and how large its requests are.

    ``rate_per_s`` is float64[bins] from the start of the trace; ``input_tokens`` and ``output_tokens`` are int64[samples], a
    joint empirical sample (all ones where requests have no tokens). ``arrival_s`` is float64[requests], ascending, where the
    trace lists single arrivals: then ``input_tokens[i]`` is that of arrival ``i``. It is empty where only rates are known.
    """

    bin_s: float
    rate_per_s: FloatArray
    input_tokens: IntArray
    output_tokens: IntArray
    interarrival_cv: float
    """Coefficient of variation of the time between arrivals inside a bin; 1 is Poisson."""
    arrival_s: FloatArray
    source: str
    interarrival_law: Literal["gamma", "weibull"] = "gamma"
    """Distribution of the time between arrivals, which has this cv."""
    clients: ClientMix | None = None
    """Where the requests are known by client: then these decide how they are drawn, and the cv is that of their merging."""
    key: IntArray | None = None
    """int64[samples], where requests have one: what the answer is kept under, negative where it never is. Then the samples are the
    recorded requests in order, and those that are drawn are the recorded ones of about the same time."""
    cached: NDArray[np.bool_] | None = None
    """bool[samples]: which of them the chosen cache answers, so that no machine needs to."""
    first_day: date | None = None
    """The day of UTC that begins at time 0, where the times are of the calendar and begin a day."""

    @property
    def duration_s(self) -> float:
        """Length of the trace in seconds."""
        return self.bin_s * len(self.rate_per_s)

    @property
    def requests(self) -> float:
        """Expected number of requests in the whole trace."""
        return float(self.rate_per_s.sum() * self.bin_s)


@dataclass(frozen=True, slots=True)
class TrafficClass:
    """One kind of request: what it promises, whether it can wait, and what it may be served by."""

    name: str
    slos: tuple[Slo, ...]
    deferral: Deferral | None
    quality_floor: float
    """Smallest demand-weighted mean quality of the variants that answer, on the scale of ``ModelVariant.quality``."""
    growth: float
    """Fraction by which the traffic will be larger than the trace over the horizon planned for."""
    surge: float
    """Fraction above the trace's rate that must still be served within the promises."""
    egress_bytes_per_request: float
    demand: Demand
    priority: int = 0
    """Larger goes first in every queue, as in Kubernetes."""
    shed_wait_s: float = float("inf")
    """A request whose expected wait is longer is turned away."""
    retries: int = 0
    """How often a client whose request was turned away asks again."""
    retry_after_s: float = 1.0
    ingress_bytes_per_request: float = 0.0
    """What a request brings: paid for only where it crosses zones or regions."""
    place: tuple[str, str] | None = None
    """Cloud and region where its requests come in; None where that is not stated."""
    cascade: Cascade | None = None
    """A cascade that may answer it, where the plan finds that cheaper."""
    part: CascadePart | None = None
    """Which part of a cascade it is: its own limits are then those that it is sized for."""
    whole_slos: tuple[Slo, ...] = ()
    """What is promised of the whole cascade."""


# ---------------------------------------------------------------------------------------------------- models and profiles


@dataclass(frozen=True, slots=True)
class Architecture:
    """The sizes of a decoder-only transformer that decide its speed and its KV cache."""

    parameters: float
    layers: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class ModelVariant:
    """One form of a model (a precision, a pruning, a smaller sibling) with its quality and what it may answer."""

    name: str
    model: str
    engine: Literal["token", "request"]
    precision: str
    """Precision of the weights: ``fp32``, ``fp16``, ``bf16``, ``fp8``, ``int8`` or ``int4``; empty where no machine runs it."""
    quality: float
    size_bytes: float
    serves: dict[str, float]
    """Traffic class → largest share of it that this variant may answer (1 = all)."""
    architecture: Architecture | None = None
    profile_key: str = ""
    """Name under which published profiles know this model, such as ``resnet50``; empty where there is none."""
    declared: tuple["Profile", ...] = ()
    """Profiles the user measured and wrote into the workload."""
    prefix_block_tokens: int = 0
    """Tokens of one block of its engines' prefix cache; 0 is no such cache. Token engines only."""
    api: ApiUse | None = None
    """Answers beside its own machines, or alone where it has no precision."""
    pruned: bool = False
    """Whether parts of the model are taken out."""


@dataclass(frozen=True, slots=True)
class RequestEngine:
    """A server that runs batches: ``service_s[b - 1]`` is the time of a batch of ``b``; the longest is the maximum batch.

    Where it is known by length, ``service_by_length_s[b - 1][k]`` is the time of a batch of ``b`` padded to ``lengths[k]`` (ascending,
    in input tokens), and ``service_s`` that of one of the longest. Linear between lengths, in proportion beyond the last.
    """

    service_s: tuple[float, ...]
    load_s: float
    lengths: tuple[int, ...] = ()
    service_by_length_s: tuple[tuple[float, ...], ...] = ()

    @property
    def max_batch(self) -> int:
        """The largest batch that was profiled."""
        return len(self.service_s)

    def limited(self, max_batch: int) -> "RequestEngine":
        """Return the engine with batches of at most ``max_batch``."""
        return replace(self, service_s=self.service_s[:max_batch], service_by_length_s=self.service_by_length_s[:max_batch])

    def faster(self, speed: float) -> "RequestEngine":
        """Return the engine ``speed`` times as fast, its loading as it was."""
        by_length = tuple(tuple(time_s / speed for time_s in row) for row in self.service_by_length_s)
        return replace(self, service_s=tuple(time_s / speed for time_s in self.service_s), service_by_length_s=by_length)


@dataclass(frozen=True, slots=True)
class TokenEngine:
    """A continuous-batching server, as vLLM is.

    One step with ``p`` prefill and ``n`` decode tokens over ``c`` cached tokens takes
    ``overhead_s + max(weights_s, (p + n) * per_token_s) + c * per_cached_token_s``: the roofline of the dense layers plus the
    reading of the KV cache.
    """

    overhead_s: float
    weights_s: float
    per_token_s: float
    per_cached_token_s: float
    kv_capacity_tokens: int
    max_sequences: int
    chunk_tokens: int
    """Most tokens (prefill and decode) in one step."""
    load_s: float


EngineModel: TypeAlias = RequestEngine | TokenEngine


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a profile comes from, and how far to trust it."""

    kind: Literal["measured", "published", "model"]
    source: str
    error_band: float
    """Half-width of the band around the figure, as a fraction: 0.25 is ±25 %."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """How one variant behaves on one machine; a machine runs ``replicas_per_machine`` engines side by side."""

    variant: str
    machine: str
    engine: EngineModel
    replicas_per_machine: int
    provenance: Provenance
    setting: str = ""
    """How the plan set the engine where it had a choice, in words; empty where it is as the source has it."""
    wider: tuple["Profile", ...] = ()
    """The same with more of the machine's chips for one engine, where the source knows of it: fewer engines, each of them faster."""


# -------------------------------------------------------------------------------------------------------------- workload


@dataclass(frozen=True, slots=True)
class Committed:
    """A promise to spend ``usd_per_hour`` at an offer's own rates, used or not, for what its scope covers.

    ``scope`` is ``region/machine`` or ``region/family`` or ``region``; empty where everything of the cloud is covered.
    """

    cloud: str
    offer: str
    scope: str
    usd_per_hour: float


@dataclass(frozen=True, slots=True)
class PurchasePolicy:
    """How the plan may pay."""

    offers: tuple[str, ...]
    max_spot_share: float
    """Largest share of an interactive class's planned load that may rest on interruptible machines."""
    spot_zone_loss_share: float
    """Share of the planned load that must still fit after the loss of the largest spot zone."""
    max_pools: int
    pool_worth: float = 0.02
    """A pool stays open only where the machines cost more by this share without it: every pool is something to run."""
    existing: tuple[Committed, ...] = ()
    """Commitments already made: paid whatever the plan decides."""
    min_utilisation: float = 0.0
    """Share of a new commitment that must be used in every stated future; 0 leaves it to the expected cost."""
    n_plus_one_share: float = 0.0
    """Share of each pool's interactive load that must still fit after the loss of one of its machines; 0 asks for nothing."""
    zone_loss_share: float = 0.0
    """Share of each pool's interactive load that must still fit after the loss of its largest zone; 0 asks for nothing."""
    min_spot_zones: int = 1
    """Zones that must sell a spot machine before a plan runs it."""


@dataclass(frozen=True, slots=True)
class ScalingRule:
    """A limit on change, as in the HorizontalPodAutoscaler's ``behavior``: so many pods, or per cent of them, in a period."""

    kind: Literal["pods", "percent"]
    value: float
    period_s: float


@dataclass(frozen=True, slots=True)
class ScalingLimit:
    """The rules of one direction; ``select`` says which holds: the one that allows most or least change, or that none may be."""

    rules: tuple[ScalingRule, ...]
    select: Literal["max", "min", "disabled"] = "max"


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """The autoscaler's numbers, named as in the Kubernetes HorizontalPodAutoscaler (v2), plus the start-up time.

    The limits on change are the defaults of Kubernetes 1.34 (documentation, "Horizontal Pod Autoscaling", read 2026-11).
    """

    enabled: bool
    target_utilisation: float
    """Load per replica, as a share of what it sustains within the SLO, that the autoscaler steers to."""
    max_surge: float
    """Largest fleet the autoscaler may reach, as a multiple of the largest scheduled one."""
    tolerance: float
    sync_s: float
    metric_lag_s: float
    downscale_stabilization_s: float
    machine_start_s: float
    """Seconds from asking for a machine to a booted node, before the model loads."""
    metric_window_s: float = 60.0
    """The metric is the request rate over this window; short windows of little traffic are noise, which buys machines."""
    metric: Literal["rate", "concurrency"] = "rate"
    """What is followed: the pool's request rate (an external metric), or the requests on each machine (a metric of pods)."""
    scale_up: ScalingLimit = ScalingLimit((ScalingRule("pods", 4.0, 15.0), ScalingRule("percent", 100.0, 15.0)))
    scale_down: ScalingLimit = ScalingLimit((ScalingRule("percent", 100.0, 15.0),))
    upscale_stabilization_s: float = 0.0
    cooldown_s: float | None = None
    """Time without a request after which a machine goes that one started where none is scheduled; None: none is started."""


@dataclass(frozen=True, slots=True)
class TodayPool:
    """Part of the fleet that runs now: a fixed number of machines, around the clock."""

    name: str
    cloud: str
    region: str
    machine: str
    variant: str
    offer: str
    machines: int
    max_batch: int
    """Largest batch (or concurrent sequences) the server is set to; 0 leaves the profile's own."""
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything the user states: traffic, promises, models, where and how to buy, and what runs today."""

    name: str
    classes: tuple[TrafficClass, ...]
    variants: tuple[ModelVariant, ...]
    where: WherePolicy
    purchase: PurchasePolicy
    scaling: ScalingPolicy
    today: tuple[TodayPool, ...]
    heldout_share: float
    """Last part of the trace, as a fraction of it, that sizing never sees and the proof replays."""
    seeds: tuple[int, ...]
    source: str
    cache: CachePolicy | None = None
    failures_per_hour: float = 0.0
    """Rate at which a machine dies without notice, in every replay."""
    tunes_target: bool = False
    """Whether the plan may choose the autoscaler's target itself: the workload states none."""
    headroom: float | None = None
    """Multiple of the peaks seen that is planned for, where the workload states it; else it is tuned."""
    future: Future = field(default_factory=Future)
    """What commitments are sized on."""
    direct: "Workload | None" = None
    """Where cascades were chosen: the same without them, whose classes are those that were stated."""
    infrastructure: Infrastructure = field(default_factory=Infrastructure)
    services: ServicePolicy = field(default_factory=ServicePolicy)
