"""Records shared by the stages: usage, bills, offer terms, and the plan as ``plan.json`` holds it. Money is float64 US dollars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tightrope.base.catalogue import PriceRow
from tightrope.base.explanation import Alternative, BindingLimit, BreakEven, CostRange, FutureCost, Lever, WhatIf
from tightrope.base.places import Infrastructure
from tightrope.base.records import Committed, Deferral, EngineModel, FloatArray, ScalingPolicy, Slo

EXACT = {"exact": True}
"""Marks a field that ``plan.json`` stores exactly, so that a replay of the file gives the same bytes."""

# ------------------------------------------------------------------------------------------------------------------ usage


@dataclass(frozen=True, slots=True)
class UsageLine:
    """The key of one row of ``Usage``."""

    pool: str
    cloud: str
    region: str
    machine: str
    offer: str
    """The machines' pay-as-you-go offer; commitments apply to it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Machine-hours, float64[lines, periods]; ``hours_per_month``, float64[periods], weighs each billing hour.

    ``units`` holds other billed quantities by name (``requests``, ``input tokens``): float64[lines, periods], per hour of the period
    like the machine-hours.
    """

    lines: tuple[UsageLine, ...]
    machine_hours: FloatArray
    hours_per_month: FloatArray
    units: Mapping[str, FloatArray] = field(default_factory=dict)

    def take(self, rows: Sequence[int]) -> "Usage":
        """Return the usage of the given rows."""
        at = np.array(rows, dtype=np.int64)
        units = {name: amounts[at] for name, amounts in self.units.items()}
        return Usage(tuple(self.lines[row] for row in rows), self.machine_hours[at], self.hours_per_month, units)


@dataclass(frozen=True, slots=True)
class BillLine:
    """One amount of a monthly bill; ``driver`` is its cost driver (compute, idle, egress, storage)."""

    driver: str
    pool: str
    offer: str
    usd: float


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """Cost and interruption rate of a machine-hour under one offer; for a commitment, its coverage too."""

    offer: str
    machine: str
    region: str
    usd_per_hour: float
    """For a commitment: the amount that a covered machine-hour consumes, at the commitment's rates."""
    interruptions_per_hour: float
    zones: int
    row: PriceRow
    scope: str = ""
    """For a commitment: its scope (see ``Committed``)."""
    order: int = 0
    """For a commitment: a lower order is applied first, equal orders together."""
    step_usd_per_hour: float = 0.0
    """For a commitment: the step between amounts on sale; 0 where any amount is."""
    term_years: int = 0
    usd_per_unit: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Price of each other billed quantity, by the names of ``Usage.units``."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rejected candidate and the reason: nothing is silently filtered."""

    what: str
    reason: str


# ------------------------------------------------------------------------------------------------------------------- plan


@dataclass(frozen=True, slots=True)
class Commitment:
    """A commitment as ``plan.json`` shows it; ``Committed`` explains the first four fields."""

    offer: str
    cloud: str
    scope: str
    usd_per_hour: float
    term_years: int
    payment: str
    utilisation: float
    """Share of the commitment that the planned usage consumes."""
    existing: bool = False
    """Bought before this plan, so paid in any case."""
    upfront_usd: float = field(default=0.0, metadata={"unit": "US dollars"})
    """Due at the start; the monthly cost spreads it over the term."""
    break_even: float | None = None
    """Utilisation at which it breaks even on the machines it covers; left out where it covers none."""

    @property
    def committed(self) -> Committed:
        """The commitment as a bill needs it."""
        return Committed(self.cloud, self.offer, self.scope, self.usd_per_hour)


@dataclass(frozen=True, slots=True)
class Serving:
    """How one machine of a pool serves, as a replay needs it beside the pool's fields."""

    engine: EngineModel
    engines_per_machine: int
    requests_per_s: float
    """Rate that one machine sustains within the SLOs: its routing weight, and the autoscaler's 100 % of the request rate."""
    concurrency: float
    """Requests in flight on one machine at that rate: the autoscaler's 100 % for the concurrency metric."""
    start_s: float
    """From requesting a machine to its first request, including the loading of the model."""
    load_s: float
    """Last part of ``start_s``, during which the model loads."""
    interruptions_per_hour: float
    deferrable_limit: int
    """Requests on one engine up to which deferrable work may join."""
    deferrable_classes: tuple[str, ...]
    """Classes with deferrable work that this pool may serve."""
    max_wait_s: float = 0.0
    """Longest time a partial batch waits for more requests."""
    failures_per_hour: float = 0.0
    backs: str = ""
    """The pool that this one backs up: it replaces its missing machines."""
    keep_alive_s: float | None = None
    """If given, the pool is serverless: an instance stops after this idle time."""
    prefix_block_tokens: int = 0
    """Tokens in a block of the prefix cache; 0 means no such cache."""
    cooldown_s: float | None = None
    """If given, a request to a pool with none scheduled starts a machine; it stops after this time without requests."""
    group: str = ""
    """Pools of one group can replace each other; empty where the variant is the group."""
    round_trip_s: dict[str, float] = field(default_factory=dict)
    """Class → round-trip time between its users and the pool, part of every latency; 0 where missing."""
    metered: bool = False
    """Paid per request: no machines are counted, and ``machine`` names a function's size or a provider's model."""
    answer_s: tuple[float, ...] | None = None
    """If given, a token API: its TTFT and TPOT. It has no queue."""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of a pool as the price book described it at planning time, so that ``plan.json`` can be rendered alone."""

    family: str
    vcpu: int
    memory_gib: float
    arch: str
    accelerator: str
    """Accelerator model in lower case (``t4``), empty where there is none."""
    accelerators: int
    accelerator_memory_gib: float
    usd_per_hour: float
    """Under the pool's offer, before commitments."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Identical machines that run one variant under one offer, with their number in every block of the week."""

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
    """Block 0 starts at 00:00 of the first day of the planned traffic, so block 30 is 06:00 of the second day."""
    batching: dict[str, float]
    autoscaling: dict[str, float]
    serving: Serving = field(metadata=EXACT)
    node: Node | None = field(default=None, metadata=EXACT)
    """Left out where the pool is paid per request."""

    @property
    def model(self) -> str:
        """The pool's model: the variant is ``model/variant``, or the model alone."""
        return self.variant.rpartition("/")[0] or self.variant

    @property
    def form(self) -> str:
        """The variant without its model."""
        return self.variant.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """Share of a class that a pool answers, over the week and in each block (tuple[blocks])."""

    traffic_class: str
    pool: str
    share: float
    share_by_block: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class VariantShare:
    """Share of an interactive class that all pools of one variant answer, in each hour of the week from block 0."""

    traffic_class: str
    variant: str
    share_by_block: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ServedClass:
    """SLOs and treatment of one traffic class; interactive classes come first in a plan."""

    name: str
    slos: tuple[Slo, ...]
    egress_bytes_per_request: float
    deferral: Deferral | None = None
    """If given, the class is deferrable work."""
    priority: int = 0
    """A larger number goes first in every queue."""
    answer_within_s: float | None = None
    """A partial batch starts early enough for its first request to be answered within this time."""
    shed_wait_s: float | None = None
    """A request with a longer expected wait is shed."""
    retries: int = 0
    """How often a client retries a shed request."""
    retry_after_s: float = 1.0
    asked_as: str = ""
    """For the first part of a cascade: the requested class, whose SLOs count up to the cascade's last answer."""
    follows: str = ""
    """For the second part of a cascade: the first part, a share of whose answers escalates to this one."""
    follow_share: float = 1.0
    ingress_bytes_per_request: float = 0.0
    place: tuple[str, str] | None = None
    """Cloud and region where its requests enter; left out where they enter at the answering pool."""


@dataclass(frozen=True, slots=True)
class AnswerCache:
    """A cache of complete answers by exact key, with least-recently-used eviction."""

    entries: int
    ttl_s: float
    hit_s: float = 0.0
    """Latency of a cache hit."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The replay's measurement of one SLO on held-out traffic."""

    traffic_class: str
    slo: str
    window: str
    requests: int
    attainment: float
    attainment_low: float
    attainment_high: float
    target: float
    p50_ms: float | None = field(default=None, kw_only=True)
    """A percentile is left out where too few requests were ever answered for it to exist."""
    p95_ms: float | None = field(default=None, kw_only=True)
    p99_ms: float | None = field(default=None, kw_only=True)
    seeds: tuple[int, ...]
    verdict: Literal["proven", "not proven", "infeasible"]
    """Infeasible: four times the machines, always on, miss it too."""


@dataclass(frozen=True, slots=True)
class RobustnessPromise:
    """Effect of a failure scenario on one SLO; the latencies are over the whole period."""

    traffic_class: str
    slo: str
    requests: int
    target: float
    attainment: float
    """Over the whole period."""
    attainment_low: float | None = field(default=None, kw_only=True)
    """Its confidence interval, over hours and seeds."""
    attainment_high: float | None = field(default=None, kw_only=True)
    during_attainment: float | None = field(default=None, kw_only=True)
    """Of the requests that arrived during the failure; left out where none did, or it lasted throughout."""
    during_low: float | None = field(default=None, kw_only=True)
    during_high: float | None = field(default=None, kw_only=True)
    p50_ms: float | None = field(default=None, kw_only=True)
    p95_ms: float | None = field(default=None, kw_only=True)
    p99_ms: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class RobustnessCase:
    """How the plan copes with one failure scenario at the peak of the held-out traffic."""

    name: str
    what: str
    window: str
    promises: tuple[RobustnessPromise, ...]
    cost_usd: float
    """The machines' bill for the period under the plan's commitments, mean over the seeds."""
    usual_cost_usd: float
    """The same without the failure."""
    retries: int
    """Requests restarted because their machine was lost, mean over the seeds."""
    verdict: Literal["holds", "recovers", "misses"]
    """Every SLO is met during the failure; over the whole period only; or not at all."""
    seeds: tuple[int, ...] = ()
    """Seeds of the random draws."""


@dataclass(frozen=True, slots=True)
class ProfileUse:
    """A profile that the plan uses, with its provenance in words."""

    profile: str
    kind: str
    source: str
    error_band: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan as written to ``plan.json``: one stable, versioned schema."""

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
    binding: tuple[BindingLimit, ...]
    sensitivities: tuple[WhatIf, ...]
    refusals: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    classes: tuple[ServedClass, ...] = field(metadata=EXACT)
    variant_shares: tuple[VariantShare, ...] = field(metadata=EXACT)
    scaling: ScalingPolicy = field(metadata=EXACT)
    cache: AnswerCache | None = field(default=None, metadata=EXACT)
    cost_range: CostRange | None = None
    """Left out where no pool uses a profile."""
    alternatives: tuple[Alternative, ...] = ()
    """The next-best plans, the cheapest first; with ``--explain``."""
    break_evens: tuple[BreakEven, ...] = ()
    """With ``--explain``."""
    futures: tuple[FutureCost, ...] = ()
    """Futures that the commitments are sized on, where the workload states any."""
    explained: bool = False
    """Whether the plan was made with ``--explain`` and holds its results."""
    charts: dict[str, list[float]] = field(default_factory=dict)
    """Series of the report's charts, float per block of the week: demand per class, capacity per pool."""
    robustness: tuple[RobustnessCase, ...] = ()
    """Failure scenarios at the peak, replayed on held-out traffic."""
    tuned: tuple[str, ...] = ()
    """Decisions made on the tuning days, in words."""
    prices_as_of: str = ""
    """Requested price date, such as 2026-10-31; empty for the newest prices. A replay bills with the same prices."""
    disk_gb: float = 100.0
    """Root volume of every machine."""
    infrastructure: Infrastructure = field(default=Infrastructure(), metadata=EXACT)
    """Infrastructure around the machines; a replay bills it and data transfer like the plan."""
    regions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Cloud → allowed regions in the stated order; answers of another seller's service enter at the first."""
    egress_usd_per_gb: dict[str, float] = field(default_factory=dict)
    """Place, such as aws/us-east-1 → egress price of 10⁹ bytes of answers, the month's mean; unknown prices are left out."""
    first_day: str = ""
    """UTC day on which block 0 begins, such as 2026-10-31; empty where the traffic has no calendar dates."""
    schema_version: int = 3
