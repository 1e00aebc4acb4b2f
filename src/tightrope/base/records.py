"""The records that cross stages. Every number's name carries its unit; arrays state shape and dtype.

Money is ``Decimal`` in the price catalogue (``PriceRow``, ``UnitPrice``) and float64 US dollars inside arrays and bills.
"""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

# ---------------------------------------------------------------------------------------------------- machines and prices


@dataclass(frozen=True, slots=True)
class MachineType:
    """A machine that a seller rents out (or that the user owns), one row of a catalogue."""

    cloud: str
    name: str
    family: str
    vcpu: int
    memory_gib: float
    arch: str
    accelerator: str
    """Accelerator model in lower case (``t4``), empty where there is none."""
    accelerators: int
    accelerator_memory_gib: float
    """Memory of one accelerator; 0 where there is none."""
    source: str
    seen: date


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What one machine costs for one hour under one offer: a dated fact with its public source."""

    cloud: str
    region: str
    machine: str
    offer: str
    usd_per_hour: Decimal
    zones: int
    """Availability zones in which the region sells it; 0 where unknown."""
    interruptions_per_month: float | None
    """Share of machines interrupted in a month; None where the offer is never interrupted or the figure is unknown."""
    basis: Literal["list", "derived"]
    source: str
    seen: date


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """A price that is not per machine-hour: egress, storage, disks."""

    cloud: str
    region: str
    item: str
    unit: str
    usd: Decimal
    basis: Literal["list", "derived"]
    source: str
    seen: date


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
    """Precision of the weights: ``fp32``, ``fp16``, ``bf16``, ``fp8``, ``int8`` or ``int4``."""
    quality: float
    size_bytes: float
    serves: dict[str, float]
    """Traffic class → largest share of it that this variant may answer (1 = all)."""
    architecture: Architecture | None = None
    profile_key: str = ""
    """Name under which published profiles know this model, such as ``resnet50``; empty where there is none."""
    declared: tuple["Profile", ...] = ()
    """Profiles the user measured and wrote into the workload."""


@dataclass(frozen=True, slots=True)
class RequestEngine:
    """A server that runs batches: ``service_s[b - 1]`` is the time of a batch of ``b``; the longest is the maximum batch."""

    service_s: tuple[float, ...]
    load_s: float

    @property
    def max_batch(self) -> int:
        """The largest batch that was profiled."""
        return len(self.service_s)


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


# -------------------------------------------------------------------------------------------------------------- workload


@dataclass(frozen=True, slots=True)
class WherePolicy:
    """Where the plan may place machines."""

    regions: dict[str, tuple[str, ...]]
    """Cloud → its allowed regions."""
    families: tuple[str, ...]
    """Allowed machine families or type names; empty allows all."""
    quotas: dict[str, int]
    """Machine family or type name → most machines at one time."""


@dataclass(frozen=True, slots=True)
class PurchasePolicy:
    """How the plan may pay."""

    offers: tuple[str, ...]
    max_spot_share: float
    """Largest share of an interactive class's planned load that may rest on interruptible machines."""
    spot_zone_loss_share: float
    """Share of the planned load that must still fit after the loss of the largest spot zone."""
    max_pools: int


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
    scale_up: ScalingLimit = ScalingLimit((ScalingRule("pods", 4, 15.0), ScalingRule("percent", 100, 15.0)))
    scale_down: ScalingLimit = ScalingLimit((ScalingRule("percent", 100, 15.0),))
    upscale_stabilization_s: float = 0.0


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


# ------------------------------------------------------------------------------------------------------------------ usage


@dataclass(frozen=True, slots=True)
class UsageLine:
    """Whose machine-hours one row of ``Usage`` holds."""

    pool: str
    cloud: str
    region: str
    machine: str
    offer: str
    """The pay-as-you-go offer the machines run under: commitments apply to it, they are not run under."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Machine-hours, float64[lines, periods]; ``hours_per_month``, float64[periods], weighs each billing hour."""

    lines: tuple[UsageLine, ...]
    machine_hours: FloatArray
    hours_per_month: FloatArray


@dataclass(frozen=True, slots=True)
class BillLine:
    """One amount of a monthly bill; ``driver`` is a cost driver of the guide (compute, idle, egress, storage)."""

    driver: str
    pool: str
    offer: str
    usd: float


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """What one machine-hour costs under one offer, and how often it is taken away."""

    offer: str
    machine: str
    region: str
    usd_per_hour: float
    interruptions_per_hour: float
    zones: int
    row: PriceRow


@dataclass(frozen=True, slots=True)
class Refusal:
    """A candidate that can not be used, and why: nothing is silently filtered."""

    what: str
    reason: str


# ------------------------------------------------------------------------------------------------------------------- plan


@dataclass(frozen=True, slots=True)
class Commitment:
    """A promise to spend: ``usd_per_hour`` at the offer's own rates, used or not."""

    offer: str
    scope: str
    term_years: int
    payment: str
    usd_per_hour: float
    utilisation: float
    """Share of the commitment that the planned usage consumes."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Identical machines running one variant under one offer, with the machines wanted in every block of the week."""

    name: str
    cloud: str
    region: str
    zones: int
    machine: str
    variant: str
    offer: str
    min_replicas: int
    max_replicas: int
    schedule: tuple[int, ...]
    batching: dict[str, float]
    autoscaling: dict[str, float]


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """Which share of a class a pool answers, over the week and in each block (tuple[blocks])."""

    traffic_class: str
    pool: str
    share: float
    share_by_block: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the replay measured about one promise on held-out traffic."""

    traffic_class: str
    slo: str
    window: str
    requests: int
    attainment: float
    attainment_low: float
    attainment_high: float
    target: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    seeds: tuple[int, ...]
    verdict: Literal["proven", "not proven"]


@dataclass(frozen=True, slots=True)
class Lever:
    """What one lever takes off the monthly bill, in the order of the waterfall."""

    name: str
    saving_usd: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class ProfileUse:
    """A profile the plan rests on, with its provenance in words."""

    profile: str
    kind: str
    source: str
    error_band: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer, as written to ``plan.json``: the fields of one stable, versioned schema."""

    workload: str
    horizon: str
    status: Literal["proven", "not proven"]
    monthly_cost_usd: float
    today_monthly_cost_usd: float
    saving_fraction: float
    lower_bound_monthly_usd: float
    gap_fraction: float
    cost_lines: tuple[BillLine, ...]
    today_cost_lines: tuple[BillLine, ...]
    pools: tuple[Pool, ...]
    routing: tuple[RoutingRule, ...]
    commitments: tuple[Commitment, ...]
    levers: tuple[Lever, ...]
    evidence: tuple[Evidence, ...]
    replay_monthly_cost_usd: float
    today_evidence: tuple[Evidence, ...]
    provenance: tuple[ProfileUse, ...]
    price_sources: tuple[str, ...]
    binding: tuple[str, ...]
    sensitivities: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    charts: dict[str, list[float]] = field(default_factory=dict)
    """Series the report draws, float per block of the week: demand per class, capacity per pool."""
    schema_version: int = 1
