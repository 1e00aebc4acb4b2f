"""What a replay of a plan on recorded traffic showed, as ``replay.json`` holds it.

Counts are means over the seeds replayed; a percentile is over all seeds' requests together. Times of the charts are hours of the
trace's clock.
"""

from dataclasses import dataclass, field

from tightrope.base.plan import BillLine, Evidence


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of a time, over the requests that were answered."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class ClassOutcome:
    """What became of one class's requests; each ends in exactly one of six ways, so the six counts sum to ``requests``."""

    name: str
    requests: float
    answered: float
    """By an engine."""
    cached: float
    """From the cache of answers."""
    shed: float
    """Turned away, and given up."""
    too_large: float
    """Larger than every KV cache that might hold it."""
    no_pool: float
    """No pool that may answer it ever runs."""
    unanswered: float
    """Not answered a day after the traffic's end."""
    prompt_tokens: float
    """Tokens of the prompts that engines answered."""
    prefix_share: float | None = None
    """Part of ``prompt_tokens`` that the prefix cache spared, fraction of 1; left out where the trace names no blocks, or no pool has
    a prefix cache."""
    latency: Spread | None = None
    ttft: Spread | None = None
    """Left out, as ``tpot`` is, where answers have no tokens."""
    tpot: Spread | None = None
    queue: Spread | None = None
    """Time until an engine took the request up."""


@dataclass(frozen=True, slots=True)
class PoolOutcome:
    """What one pool did."""

    name: str
    machine: str
    offer: str
    requests: float
    """Answered by its engines."""
    late: float
    """Of those, answered after the stretch's end: what ran then is not billed."""
    machine_hours: float
    least_machines: float
    """Smallest mean over an hour."""
    most_machines: float
    """Largest mean over an hour."""
    utilisation: float | None
    """Part of the machine-hours paid for in which engines were busy, fraction of 1; left out where there were none."""


@dataclass(frozen=True, slots=True)
class DrillEvidence:
    """How a promise was kept for the requests that arrived while a drill went on."""

    traffic_class: str
    slo: str
    requests: float
    attainment: float
    target: float


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """What the time-line chart draws, for the first seed: one value a bin of ``bin_s`` seconds from ``start_h`` on."""

    start_h: float
    bin_s: float
    ready: dict[str, tuple[float, ...]]
    """Pool → machines that are there, mean over the bin; over the hour, starting and draining ones included, where no more is known."""
    starting: dict[str, tuple[float, ...]]
    queued: tuple[float, ...]
    """Most requests that waited for an engine at one time, by their own times of arrival and beginning."""
    latency_p50_ms: dict[str, tuple[float | None, ...]]
    """Class → median of what its first promise is about, by time of arrival; null where nobody was answered."""
    latency_p95_ms: dict[str, tuple[float | None, ...]]
    promised_ms: dict[str, float]
    """Class → limit of its first promise."""
    usd_per_hour: dict[str, tuple[float, ...]]
    """Pool → dollars an hour in each hour from ``start_h`` on, also of a part of one; under ``commitment unused`` what is
    promised and not used."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """One way of replaying the traffic: as it was recorded, or with something gone wrong."""

    scenario: str
    """Names of what was changed, such as ``zone-loss + surge=2x``; empty where nothing was."""
    notes: tuple[str, ...]
    """What exactly was changed."""
    evidence: tuple[Evidence, ...]
    drill_evidence: tuple[DrillEvidence, ...]
    classes: tuple[ClassOutcome, ...]
    pools: tuple[PoolOutcome, ...]
    interruptions: float
    """Notices that a spot machine would be taken."""
    failures: float
    retries: float
    """Requests that began again because their machine was taken."""
    cold_starts: float
    preemptions: float
    """Sequences that gave their memory back and were read again."""
    attempts_shed: float
    """Requests turned away, each time counted that their client asked again."""
    cost_lines: tuple[BillLine, ...]
    """The bill of the stretch itself."""
    stretch_cost_usd: float
    monthly_cost_usd: float
    """At the scale of a month."""
    series: TimeSeries
    drill_start_h: float | None = None
    drill_end_h: float | None = None

    @property
    def kept(self) -> bool:
        """Whether every promise that had requests was proven, and there was one."""
        return bool(self.evidence) and all(item.verdict == "proven" for item in self.evidence)


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The report of ``tightrope replay``: the plan's fleet on the traffic as recorded and, where asked for, in a scenario."""

    workload: str
    plan_status: str
    plan_monthly_cost_usd: float
    plan_replay_monthly_cost_usd: float
    sources: tuple[str, ...]
    """Files of the traffic, with what is to be known about them."""
    window: str
    duration_h: float
    seeds: tuple[int, ...]
    runs: tuple[RunOutcome, ...]
    """The traffic as recorded first."""
    warnings: tuple[str, ...]
    schema_version: int = field(default=1)

    @property
    def last(self) -> RunOutcome:
        """The run that the verdict is about: the scenario's, where there is one."""
        return self.runs[-1]
