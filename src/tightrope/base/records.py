"""Input records shared by the stages: demand, SLOs, models, profiles, policies; ``plan.py`` has the output records.

Names of numbers carry the unit; arrays state shape and dtype. Money is float64 US dollars in arrays and bills, ``Decimal`` in the
price catalogue (``catalogue.py``).
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
    """A service-level objective: a share ``percentile`` (0..1) of the requests stays within ``limit_s``."""

    metric: Literal["latency", "ttft", "tpot"]
    percentile: float
    limit_s: float

    def __str__(self) -> str:
        """Return the usual notation, such as ``ttft p95 ≤ 1 s``."""
        limit = f"{self.limit_s:g} s" if self.limit_s >= 1 else f"{1000 * self.limit_s:g} ms"
        return f"{self.metric} p{100 * self.percentile:g} ≤ {limit}"

    @property
    def label(self) -> str:
        """The SLO in ASCII for metric labels: CloudWatch accepts nothing else."""
        return str(self).replace("≤", "<=")


@dataclass(frozen=True, slots=True)
class Deferral:
    """Deferrable work: it is released at one hour of the day and due at another (hours 0..24, due may be next day)."""

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
    """The clients of a demand: each is a separate renewal process, and their arrivals are merged.

    ``share`` is float64[clients, bins], each client's part of the bin's rate; the sum is 1, or 0 in a bin without requests. ``shape``,
    float64[clients, bins], is the shape of its gap distribution: Weibull where ``weibull``, bool[clients, bins], is true, else Gamma;
    1 is Poisson, infinity makes all gaps equal.
    """

    share: FloatArray
    shape: FloatArray
    weibull: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Demand:
    """Arrivals and request sizes of one traffic class.

    ``rate_per_s`` is float64[bins] from the start of the trace; ``input_tokens`` and ``output_tokens`` are int64[samples], a
    joint empirical sample (all ones where requests have no tokens). ``arrival_s`` is float64[requests], ascending, where the
    trace lists arrivals: then ``input_tokens[i]`` belongs to arrival ``i``. It is empty where only rates are known.
    """

    bin_s: float
    rate_per_s: FloatArray
    input_tokens: IntArray
    output_tokens: IntArray
    interarrival_cv: float
    """Coefficient of variation (cv) of the inter-arrival time within a bin; 1 is Poisson."""
    arrival_s: FloatArray
    source: str
    interarrival_law: Literal["gamma", "weibull"] = "gamma"
    """Distribution of the inter-arrival time, with this cv."""
    clients: ClientMix | None = None
    """Clients that the arrivals are drawn from, where known; the cv is then that of the merged arrivals."""
    key: IntArray | None = None
    """int64[samples], where requests have cache keys; negative where the answer is never cached. The samples are then the recorded
    requests in order, and draws take recorded requests of about the same time."""
    cached: NDArray[np.bool_] | None = None
    """bool[samples]: requests that the chosen cache answers instead of a machine."""
    first_day: date | None = None
    """The UTC day that begins at time 0, where the times are calendar times that start at midnight."""

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
    """One class of requests: its SLOs, deferral, quality floor, demand and treatment."""

    name: str
    slos: tuple[Slo, ...]
    deferral: Deferral | None
    quality_floor: float
    """Smallest demand-weighted mean quality of the answering variants, on the scale of ``ModelVariant.quality``."""
    growth: float
    """Fraction by which traffic exceeds the trace over the planning horizon."""
    surge: float
    """Fraction above the trace's rate that must still be served within the SLOs."""
    egress_bytes_per_request: float
    demand: Demand
    priority: int = 0
    """A larger number goes first in every queue, as in Kubernetes."""
    shed_wait_s: float = float("inf")
    """A request with a longer expected wait is shed."""
    retries: int = 0
    """How often a client retries a shed request."""
    retry_after_s: float = 1.0
    ingress_bytes_per_request: float = 0.0
    """Size of a request; paid for only where it crosses zones or regions."""
    place: tuple[str, str] | None = None
    """Cloud and region where its requests enter; None where not stated."""
    cascade: Cascade | None = None
    """A cascade that the plan may use, where it is cheaper."""
    part: CascadePart | None = None
    """Its part in a cascade; ``slos`` are then the limits it is sized for."""
    whole_slos: tuple[Slo, ...] = ()
    """SLOs of the whole cascade."""


# ---------------------------------------------------------------------------------------------------- models and profiles


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of a decoder-only transformer that determine its speed and KV cache."""

    parameters: float
    layers: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class ModelVariant:
    """One variant of a model (a precision, a pruning, a smaller sibling), its quality and the classes it may answer."""

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
    """This model's name in published profiles, such as ``resnet50``; empty where there is none."""
    declared: tuple["Profile", ...] = ()
    """Profiles that the user measured and wrote into the workload."""
    prefix_block_tokens: int = 0
    """Tokens in a block of its engines' prefix cache; 0 means no such cache. Token engines only."""
    api: ApiUse | None = None
    """A token API that answers beside its machines, or alone where ``precision`` is empty."""
    pruned: bool = False
    """Whether parts of the model are removed."""


@dataclass(frozen=True, slots=True)
class RequestEngine:
    """A batching server: ``service_s[b - 1]`` is the time of a batch of ``b``; its length is the maximum batch.

    Where times by length are known, ``service_by_length_s[b - 1][k]`` is that of a batch of ``b`` padded to ``lengths[k]`` (ascending,
    in input tokens), and ``service_s`` that of the longest length. Linear between lengths, proportional beyond the last.
    """

    service_s: tuple[float, ...]
    load_s: float
    lengths: tuple[int, ...] = ()
    service_by_length_s: tuple[tuple[float, ...], ...] = ()

    @property
    def max_batch(self) -> int:
        """The largest batch that was profiled."""
        return len(self.service_s)

    def limit_batches(self, max_batch: int) -> "RequestEngine":
        """Return the engine with batches of at most ``max_batch``."""
        return replace(self, service_s=self.service_s[:max_batch], service_by_length_s=self.service_by_length_s[:max_batch])

    def speed_up(self, speed: float) -> "RequestEngine":
        """Return the engine ``speed`` times as fast, with the same load time."""
        by_length = tuple(tuple(time_s / speed for time_s in row) for row in self.service_by_length_s)
        return replace(self, service_s=tuple(time_s / speed for time_s in self.service_s), service_by_length_s=by_length)


@dataclass(frozen=True, slots=True)
class TokenEngine:
    """A continuous-batching server, as vLLM is.

    One step with ``p`` prefill and ``n`` decode tokens over ``c`` cached tokens takes
    ``overhead_s + max(weights_s, (p + n) * per_token_s) + c * per_cached_token_s``: the roofline of the dense layers plus the
    KV-cache reads.
    """

    overhead_s: float
    weights_s: float
    per_token_s: float
    per_cached_token_s: float
    kv_capacity_tokens: int
    max_sequences: int
    chunk_tokens: int
    """Maximum number of tokens (prefill and decode) in one step."""
    load_s: float


EngineModel: TypeAlias = RequestEngine | TokenEngine


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin and accuracy of a profile."""

    kind: Literal["measured", "published", "model"]
    source: str
    error_band: float
    """Half-width of the error band, as a fraction: 0.25 is ±25 %."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """Performance of one variant on one machine, which runs ``replicas_per_machine`` engines side by side."""

    variant: str
    machine: str
    engine: EngineModel
    replicas_per_machine: int
    provenance: Provenance
    setting: str = ""
    """Engine setting that the plan chose, in words; empty for the source's own."""
    wider: tuple["Profile", ...] = ()
    """Known profiles with more of the machine's chips per engine: fewer, faster engines."""


# -------------------------------------------------------------------------------------------------------------- workload


@dataclass(frozen=True, slots=True)
class Committed:
    """A commitment to spend ``usd_per_hour`` at an offer's rates within its scope, used or not.

    ``scope`` is ``region/machine``, ``region/family`` or ``region``; empty where it covers the whole cloud.
    """

    cloud: str
    offer: str
    scope: str
    usd_per_hour: float


@dataclass(frozen=True, slots=True)
class PurchasePolicy:
    """Allowed offers and commitments, and the limits on using them."""

    offers: tuple[str, ...]
    max_spot_share: float
    """Largest share of an interactive class's planned load on interruptible machines."""
    spot_zone_loss_share: float
    """Share of the planned load that must still fit after the loss of the largest spot zone."""
    max_pools: int
    pool_worth: float = 0.02
    """A pool stays only where dropping it raises the machine cost by this share: every pool adds operational work."""
    existing: tuple[Committed, ...] = ()
    """Commitments already bought, so paid in any case."""
    min_utilisation: float = 0.0
    """Minimum utilisation of a new commitment in every stated future; 0 leaves it to the expected cost."""
    n_plus_one_share: float = 0.0
    """Share of each pool's interactive load that must still fit after the loss of one machine; 0 for no rule."""
    zone_loss_share: float = 0.0
    """Share of each pool's interactive load that must still fit after the loss of its largest zone; 0 for no rule."""
    min_spot_zones: int = 1
    """Minimum number of zones that sell a spot machine for the plan to use it."""


@dataclass(frozen=True, slots=True)
class ScalingRule:
    """A limit on change, as in the HorizontalPodAutoscaler's ``behavior``: a number or percentage of pods per period."""

    kind: Literal["pods", "percent"]
    value: float
    period_s: float


@dataclass(frozen=True, slots=True)
class ScalingLimit:
    """The rules of one direction; ``select`` picks the largest or smallest allowed change, or disables change."""

    rules: tuple[ScalingRule, ...]
    select: Literal["max", "min", "disabled"] = "max"


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """The autoscaler's settings, named as in the Kubernetes HorizontalPodAutoscaler (v2), plus the start-up time.

    The limits on change are the defaults of Kubernetes 1.34 (documentation, "Horizontal Pod Autoscaling", read 2026-11).
    """

    enabled: bool
    target_utilisation: float
    """The autoscaler's target load per replica, as a share of the load it sustains within the SLO."""
    max_surge: float
    """Largest fleet of the autoscaler, as a multiple of the largest scheduled fleet."""
    tolerance: float
    sync_s: float
    metric_lag_s: float
    downscale_stabilization_s: float
    machine_start_s: float
    """Seconds from requesting a machine to a booted node, before the model loads."""
    metric_window_s: float = 60.0
    """Averaging window of the request rate; in short windows with little traffic, noise buys machines."""
    metric: Literal["rate", "concurrency"] = "rate"
    """Scaling metric: the pool's request rate (an external metric), or the requests on each machine (a pod metric)."""
    scale_up: ScalingLimit = ScalingLimit((ScalingRule("pods", 4.0, 15.0), ScalingRule("percent", 100.0, 15.0)))
    scale_down: ScalingLimit = ScalingLimit((ScalingRule("percent", 100.0, 15.0),))
    upscale_stabilization_s: float = 0.0
    cooldown_s: float | None = None
    """Time without a request after which an unscheduled machine, started by a request, stops; None: none is started."""


@dataclass(frozen=True, slots=True)
class TodayPool:
    """Part of today's fleet: a fixed number of machines, around the clock."""

    name: str
    cloud: str
    region: str
    machine: str
    variant: str
    offer: str
    machines: int
    max_batch: int
    """The server's configured maximum batch (or concurrent sequences); 0 keeps the profile's own."""
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything the user states: traffic, SLOs, models, places, purchase policy, and today's fleet."""

    name: str
    classes: tuple[TrafficClass, ...]
    variants: tuple[ModelVariant, ...]
    where: WherePolicy
    purchase: PurchasePolicy
    scaling: ScalingPolicy
    today: tuple[TodayPool, ...]
    heldout_share: float
    """Last fraction of the trace, hidden from sizing and replayed for the proof."""
    seeds: tuple[int, ...]
    source: str
    cache: CachePolicy | None = None
    failures_per_hour: float = 0.0
    """Rate of machine failures without notice, in every replay."""
    tunes_target: bool = False
    """Whether the plan may choose the autoscaler's target, since the workload states none."""
    headroom: float | None = None
    """Multiple of the observed peaks to plan for, where the workload states it; else it is tuned."""
    future: Future = field(default_factory=Future)
    """Futures that commitments are sized on."""
    direct: "Workload | None" = None
    """For chosen cascades: the same workload without them, with the stated classes."""
    infrastructure: Infrastructure = field(default_factory=Infrastructure)
    services: ServicePolicy = field(default_factory=ServicePolicy)
