"""Results of replaying a plan on recorded traffic, as ``replay.json`` holds them.

Counts are means over the seeds; percentiles are over all seeds' requests together. Chart times are hours of the trace's clock.
"""

from dataclasses import dataclass, field

from tightrope.base.plan import BillLine, Evidence


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of a time, over the answered requests."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class ClassOutcome:
    """Outcome counts of one class; each request has exactly one of six outcomes, so the six counts sum to ``requests``."""

    name: str
    requests: float
    answered: float
    """By an engine."""
    cached: float
    """By the answer cache."""
    shed: float
    """Shed, and not retried further."""
    too_large: float
    """Larger than every eligible KV cache."""
    no_pool: float
    """Requests for which no eligible pool ever runs."""
    unanswered: float
    """Unanswered a day after the end of the traffic."""
    prompt_tokens: float
    """Tokens of the prompts that engines answered."""
    prefix_share: float | None = None
    """Part of ``prompt_tokens`` that the prefix cache saved, fraction of 1; left out where the trace names no blocks, or no pool has
    a prefix cache."""
    latency: Spread | None = None
    ttft: Spread | None = None
    """Left out, like ``tpot``, where answers have no tokens."""
    tpot: Spread | None = None
    queue: Spread | None = None
    """Time until an engine started the request."""


@dataclass(frozen=True, slots=True)
class PoolOutcome:
    """Requests, machines and utilisation of one pool."""

    name: str
    machine: str
    offer: str
    requests: float
    """Answered by its engines."""
    late: float
    """Of these, answered after the end of the period, when machines are not billed."""
    machine_hours: float
    least_machines: float
    """Smallest hourly mean."""
    most_machines: float
    """Largest hourly mean."""
    utilisation: float | None
    """Busy part of the paid machine-hours, fraction of 1; left out where there were none."""


@dataclass(frozen=True, slots=True)
class DrillEvidence:
    """Attainment of an SLO for the requests that arrived during a drill."""

    traffic_class: str
    slo: str
    requests: float
    attainment: float
    target: float


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """Series of the time-line chart for the first seed: one value per bin of ``bin_s`` seconds from ``start_h`` on."""

    start_h: float
    bin_s: float
    ready: dict[str, tuple[float, ...]]
    """Pool → mean number of machines in the bin; where only hourly data exist, the hour's mean with starting and draining machines."""
    starting: dict[str, tuple[float, ...]]
    queued: tuple[float, ...]
    """Largest number of requests waiting for an engine at one time, from their arrival and start times."""
    latency_p50_ms: dict[str, tuple[float | None, ...]]
    """Class → median of its first SLO's metric, by arrival time; null where no request was answered."""
    latency_p95_ms: dict[str, tuple[float | None, ...]]
    promised_ms: dict[str, float]
    """Class → limit of its first SLO."""
    usd_per_hour: dict[str, tuple[float, ...]]
    """Pool → dollars an hour in each full or partial hour from ``start_h`` on; ``commitment unused`` holds the unused commitments."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """Results of one replay run: the traffic as recorded, or with a failure scenario."""

    scenario: str
    """Names of the changes, such as ``zone-loss + surge=2x``; empty for none."""
    notes: tuple[str, ...]
    """Exact description of the changes."""
    evidence: tuple[Evidence, ...]
    drill_evidence: tuple[DrillEvidence, ...]
    classes: tuple[ClassOutcome, ...]
    pools: tuple[PoolOutcome, ...]
    interruptions: float
    """Interruption notices of spot machines."""
    failures: float
    retries: float
    """Requests restarted because their machine was lost."""
    cold_starts: float
    preemptions: float
    """Sequences that released their memory and were prefilled again."""
    attempts_shed: float
    """Shed attempts, including each retry."""
    cost_lines: tuple[BillLine, ...]
    """The bill of the replayed period."""
    stretch_cost_usd: float
    monthly_cost_usd: float
    """Scaled to a month."""
    series: TimeSeries
    drill_start_h: float | None = None
    drill_end_h: float | None = None

    @property
    def kept(self) -> bool:
        """Whether there was evidence, and every SLO with requests was proven."""
        return bool(self.evidence) and all(item.verdict == "proven" for item in self.evidence)


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The report of ``tightrope replay``: the plan's fleet on the recorded traffic and, where requested, in a scenario."""

    workload: str
    plan_status: str
    plan_monthly_cost_usd: float
    plan_replay_monthly_cost_usd: float
    sources: tuple[str, ...]
    """The traffic's files, with notes on them."""
    window: str
    duration_h: float
    seeds: tuple[int, ...]
    runs: tuple[RunOutcome, ...]
    """The run on the recorded traffic is first."""
    warnings: tuple[str, ...]
    schema_version: int = field(default=1)

    @property
    def last(self) -> RunOutcome:
        """The run that decides the verdict: the scenario's, where there is one."""
        return self.runs[-1]
