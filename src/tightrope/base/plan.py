"""What crosses stages: usage, bills, offers' terms, and the plan itself, as ``plan.json`` holds it. Money is float64 US dollars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tightrope.base.catalogue import PriceRow
from tightrope.base.explanation import Alternative, BindingLimit, BreakEven, CostRange, FutureCost, Lever, WhatIf
from tightrope.base.places import Infrastructure
from tightrope.base.records import Committed, Deferral, EngineModel, FloatArray, ScalingPolicy, Slo

EXACT = {"exact": True}
"""Marks a field that ``plan.json`` holds to the last bit, so that a replay of the file gives the same bytes."""

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
    """Machine-hours, float64[lines, periods]; ``hours_per_month``, float64[periods], weighs each billing hour.

    ``units`` holds what is paid for beside machine-hours, by its name (``requests``, ``input tokens``): float64[lines, periods], in one
    hour of the period as the machine-hours are.
    """

    lines: tuple[UsageLine, ...]
    machine_hours: FloatArray
    hours_per_month: FloatArray
    units: Mapping[str, FloatArray] = field(default_factory=dict)

    def take(self, rows: Sequence[int]) -> "Usage":
        """Return the usage of some lines, by their places."""
        at = np.array(rows, dtype=np.int64)
        units = {name: amounts[at] for name, amounts in self.units.items()}
        return Usage(tuple(self.lines[row] for row in rows), self.machine_hours[at], self.hours_per_month, units)


@dataclass(frozen=True, slots=True)
class BillLine:
    """One amount of a monthly bill; ``driver`` is a cost driver of the guide (compute, idle, egress, storage)."""

    driver: str
    pool: str
    offer: str
    usd: float


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """What one machine-hour costs under one offer, and how often it is taken away; of a commitment, what it covers too."""

    offer: str
    machine: str
    region: str
    usd_per_hour: float
    """Of a commitment: what a covered machine-hour takes from it, at its own rates."""
    interruptions_per_hour: float
    zones: int
    row: PriceRow
    scope: str = ""
    """Of a commitment: what one covers (see ``Committed``)."""
    order: int = 0
    """Of a commitment: those of a lower order are applied first, those of one order together."""
    step_usd_per_hour: float = 0.0
    """Of a commitment: the smallest that can be bought, and its multiples; 0 where any amount can."""
    term_years: int = 0
    usd_per_unit: Mapping[str, float] = field(default_factory=dict, hash=False)
    """What is paid beside machine-hours, by the names of ``Usage.units``."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A candidate that can not be used, and why: nothing is silently filtered."""

    what: str
    reason: str


# ------------------------------------------------------------------------------------------------------------------- plan


@dataclass(frozen=True, slots=True)
class Commitment:
    """A promise to spend, as ``plan.json`` shows it: see ``Committed`` for the first four fields."""

    offer: str
    cloud: str
    scope: str
    usd_per_hour: float
    term_years: int
    payment: str
    utilisation: float
    """Share of the commitment that the planned usage consumes."""
    existing: bool = False
    """Made before this plan: paid whatever the plan decides."""
    upfront_usd: float = field(default=0.0, metadata={"unit": "US dollars"})
    """Due at its start; the monthly cost spreads it over the term."""
    break_even: float | None = None
    """Utilisation from which it pays, on the machines that it covers; left out where it covers none."""

    @property
    def committed(self) -> Committed:
        """Return what a bill needs to know of it."""
        return Committed(self.cloud, self.offer, self.scope, self.usd_per_hour)


@dataclass(frozen=True, slots=True)
class Serving:
    """How one machine of a pool serves: what a replay needs to know of it beside the pool's own fields."""

    engine: EngineModel
    engines_per_machine: int
    requests_per_s: float
    """What one machine sustains within the promises: its weight in routing, and the autoscaler's 100 % of the request rate."""
    concurrency: float
    """Requests on one machine at that rate: the autoscaler's 100 % where it follows concurrency."""
    start_s: float
    """From asking for a machine to its first request, the loading of the model included."""
    load_s: float
    """Last part of ``start_s``, in which the model loads."""
    interruptions_per_hour: float
    deferrable_limit: int
    """Requests on one engine up to which work that can wait may join."""
    deferrable_classes: tuple[str, ...]
    """Classes whose work that can wait this pool may do."""
    max_wait_s: float = 0.0
    """Longest time that a partial batch waits for more."""
    failures_per_hour: float = 0.0
    backs: str = ""
    """Pool whose missing machines this one stands in for."""
    keep_alive_s: float | None = None
    """Where given, the pool is serverless: an instance goes after being idle for so long."""
    prefix_block_tokens: int = 0
    """Tokens in a block of the prefix cache; 0 is no such cache."""
    cooldown_s: float | None = None
    """Where given, a request that finds no machine starts one where none is scheduled; it goes after so long without any."""
    group: str = ""
    """Pools of one group take one another's place; empty where the variant says it."""
    round_trip_s: dict[str, float] = field(default_factory=dict)
    """Class → time from its users to the pool and back, part of every answer; what is not there has none."""
    metered: bool = False
    """Paid by the request: no machines are counted, and ``machine`` names a function's size or a provider's model."""
    answer_s: tuple[float, ...] | None = None
    """Where given, a token API: its time to the first token, and to each further one. It has no queue."""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of a pool as the price book described it when the plan was made, so that ``plan.json`` can be rendered alone."""

    family: str
    vcpu: int
    memory_gib: float
    arch: str
    accelerator: str
    """Accelerator model in lower case (``t4``), empty where there is none."""
    accelerators: int
    accelerator_memory_gib: float
    usd_per_hour: float
    """Under the pool's offer, before what commitments cover."""


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
    """Block 0 is the hour from 00:00 of the first day of the traffic planned for, so block 30 is 06:00 of the second day."""
    batching: dict[str, float]
    autoscaling: dict[str, float]
    serving: Serving = field(metadata=EXACT)
    node: Node | None = field(default=None, metadata=EXACT)
    """Left out where the pool is paid by the request."""

    @property
    def model(self) -> str:
        """The model that it runs: its variant is ``model/variant``, or the model alone."""
        return self.variant.rpartition("/")[0] or self.variant

    @property
    def form(self) -> str:
        """The variant without its model."""
        return self.variant.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """Which share of a class a pool answers, over the week and in each block (tuple[blocks])."""

    traffic_class: str
    pool: str
    share: float
    share_by_block: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class VariantShare:
    """Which share of an interactive class the pools of one variant answer together, in each hour of the week from block 0."""

    traffic_class: str
    variant: str
    share_by_block: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ServedClass:
    """What is promised to one class, and how its requests are treated; interactive classes come first in a plan."""

    name: str
    slos: tuple[Slo, ...]
    egress_bytes_per_request: float
    deferral: Deferral | None = None
    """Where given, the class is work that can wait."""
    priority: int = 0
    """Larger goes first in every queue."""
    answer_within_s: float | None = None
    """A partial batch goes no later than its first request needs to be answered in this time."""
    shed_wait_s: float | None = None
    """A request whose expected wait is longer is turned away."""
    retries: int = 0
    """How often a client whose request was turned away asks again."""
    retry_after_s: float = 1.0
    asked_as: str = ""
    """Where it is the first part of a cascade, the class that was asked: what is promised counts to the cascade's last answer."""
    follows: str = ""
    """Where it is the second part, the first: a share of what that one answered goes on to this one."""
    follow_share: float = 1.0
    ingress_bytes_per_request: float = 0.0
    place: tuple[str, str] | None = None
    """Cloud and region where its requests come in; left out where that is where they are answered."""


@dataclass(frozen=True, slots=True)
class AnswerCache:
    """A cache of whole answers by their exact key; the least recently used goes first."""

    entries: int
    ttl_s: float
    hit_s: float = 0.0
    """Time that an answer from the cache takes."""


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
    p50_ms: float | None = field(default=None, kw_only=True)
    """Left out, as the others are, where so many were never answered that this share of them never was."""
    p95_ms: float | None = field(default=None, kw_only=True)
    p99_ms: float | None = field(default=None, kw_only=True)
    seeds: tuple[int, ...]
    verdict: Literal["proven", "not proven", "infeasible"]
    """Infeasible: four times the machines, always on, miss it too."""


@dataclass(frozen=True, slots=True)
class RobustnessPromise:
    """What something that goes wrong does to one promise; the latencies are over the whole stretch."""

    traffic_class: str
    slo: str
    requests: int
    target: float
    attainment: float
    """Over the whole stretch."""
    attainment_low: float | None = field(default=None, kw_only=True)
    """The interval that it lies in, over hours and seeds."""
    attainment_high: float | None = field(default=None, kw_only=True)
    during_attainment: float | None = field(default=None, kw_only=True)
    """Of the requests that arrived while it lasted; left out where none did, and where it lasted throughout."""
    during_low: float | None = field(default=None, kw_only=True)
    during_high: float | None = field(default=None, kw_only=True)
    p50_ms: float | None = field(default=None, kw_only=True)
    p95_ms: float | None = field(default=None, kw_only=True)
    p99_ms: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class RobustnessCase:
    """What the plan makes of something that goes wrong at the peak of the traffic that proves it."""

    name: str
    what: str
    window: str
    promises: tuple[RobustnessPromise, ...]
    cost_usd: float
    """The machines' bill of the stretch under the plan's commitments, mean over the seeds."""
    usual_cost_usd: float
    """The same where nothing goes wrong."""
    retries: int
    """Requests that began again because their machine was taken, mean over the seeds."""
    verdict: Literal["holds", "recovers", "misses"]
    """Every promise is kept while it lasts; over the whole stretch only; not even then."""
    seeds: tuple[int, ...] = ()
    """Of the draws that it was tried on."""


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
    binding: tuple[BindingLimit, ...]
    sensitivities: tuple[WhatIf, ...]
    refusals: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    classes: tuple[ServedClass, ...] = field(metadata=EXACT)
    variant_shares: tuple[VariantShare, ...] = field(metadata=EXACT)
    scaling: ScalingPolicy = field(metadata=EXACT)
    cache: AnswerCache | None = field(default=None, metadata=EXACT)
    cost_range: CostRange | None = None
    """Left out where nothing runs on a profile."""
    alternatives: tuple[Alternative, ...] = ()
    """The next-best plans, the cheapest first; with ``--explain``."""
    break_evens: tuple[BreakEven, ...] = ()
    """With ``--explain``."""
    futures: tuple[FutureCost, ...] = ()
    """What the commitments are sized on, where the workload states futures."""
    explained: bool = False
    """Planned with ``--explain``: everything that explains is here."""
    charts: dict[str, list[float]] = field(default_factory=dict)
    """Series the report draws, float per block of the week: demand per class, capacity per pool."""
    robustness: tuple[RobustnessCase, ...] = ()
    """What goes wrong at the peak, tried on traffic that nothing was decided on."""
    tuned: tuple[str, ...] = ()
    """What was decided on the tuning days, in words."""
    prices_as_of: str = ""
    """The past day whose prices were asked for, such as 2026-10-31; empty for the newest. A replay bills with the same."""
    disk_gb: float = 100.0
    """Root volume of every machine."""
    infrastructure: Infrastructure = field(default=Infrastructure(), metadata=EXACT)
    """What stands around the machines; a replay bills it, and what moves, as the plan does."""
    regions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Cloud → the regions allowed, in the order stated: what a service of another seller answers comes in at the first."""
    egress_usd_per_gb: dict[str, float] = field(default_factory=dict)
    """Place, such as aws/us-east-1 → what 10⁹ bytes of answers cost on their way out, the month's mean; what is not known is left out."""
    first_day: str = ""
    """The day that block 0 begins, such as 2026-10-31, by UTC; empty where the traffic is not of the calendar."""
    schema_version: int = 3
