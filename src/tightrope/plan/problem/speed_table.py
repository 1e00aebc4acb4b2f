"""What every variant does on every machine for a class, and what that costs: the table that a plan chooses from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tightrope.base.records import TrafficClass, Workload
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.arrays import PoolOption, Problem
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.demand_week import lead_seconds, size_classes

MILLION = 1e6


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """One variant on one machine under one offer, for one class."""

    traffic_class: str
    variant: str
    machine: str
    cloud: str
    region: str
    offer: str
    setting: str
    quality: float
    requests_per_s: float | None
    """What one machine sustains within the class's promises, in a fleet as large as the traffic's peak needs; None of what is paid by the
    request."""
    idle_latency_s: float | None
    """What the promise that is nearest to its limit comes to on an idle engine, at its percentile; None where nothing is promised."""
    nearest_promise: str
    promise_used: float | None
    """That latency as a share of the promise's limit: what latencies of several promises are compared by."""
    usd_per_hour: float
    """Of one machine and its disk."""
    usd_per_million_requests: float
    """Of a machine that is busy at that rate all the time: what idle hours cost is the plan's to say."""
    usd_per_million_tokens: float | None
    """The same for a million tokens, those that come in and those that go out; None where requests have none."""
    provenance: Literal["measured", "published", "model"]
    error_band: float
    source: str


def find_speeds(
    workload: Workload, book: PriceBook, table: CapacityTable, progress: Callable[[str], None] = lambda _: None
) -> tuple[SpeedRow, ...]:
    """Return every way to serve each class, the cheapest for each class first; raise ``InfeasibleError`` where a class has none."""
    progress("replay every variant on every machine")
    problem = build_problem(workload, book, table, {}, whole=True)
    sized = {item.traffic_class.name: item for item in size_classes(workload, {}, lead_seconds(workload))}
    found = [
        _build_row(option, sized[name].traffic_class, table, *figures)
        for place, option in enumerate(problem.options)
        for name, figures in _collect_figures(problem, place).items()
    ]
    return tuple(sorted(found, key=lambda item: (item.traffic_class, item.usd_per_million_requests, item.variant, item.machine)))


def _collect_figures(problem: Problem, place: int) -> dict[str, tuple[float | None, float, float]]:
    """Return class → requests/s of one machine (None where metered), its $ an hour, and $ a request, of those that an option serves."""
    found: dict[str, tuple[float | None, float, float]] = {}
    hour_usd, metered = float(problem.usd_per_hour[place]), bool(problem.metered[place])
    for c, name in enumerate(problem.interactive):
        peak = float(problem.mu[c, place, int(np.argmax(problem.rate[c]))])
        if peak > 0.0:
            found[name] = _price_class(peak, hour_usd, float(problem.usd_per_request[c, place]), metered=metered)
    for d, name in enumerate(problem.deferrable):
        if problem.work_per_s[d, place] > 0.0:
            found[name] = _price_class(
                float(problem.work_per_s[d, place]), hour_usd, float(problem.usd_per_work[d, place]), metered=metered
            )
    return found


def _price_class(
    requests_per_s: float, hour_usd: float, request_usd: float, *, metered: bool
) -> tuple[float | None, float, float]:
    """Return the figures of one class on one option."""
    if metered:
        return None, 0.0, request_usd
    return requests_per_s, hour_usd, request_usd + hour_usd / SECONDS_PER_HOUR / requests_per_s


def _build_row(
    option: PoolOption,
    item: TrafficClass,
    table: CapacityTable,
    requests_per_s: float | None,
    hour_usd: float,
    request_usd: float,
) -> SpeedRow:
    """Return one row."""
    profile = option.profile
    best_s = table.find(profile.engine, item).best_s if item.slos and requests_per_s is not None else {}
    limits = {str(slo): slo.limit_s for slo in item.slos}
    nearest = max(best_s, key=lambda name: best_s[name] / limits[name], default="")
    tokens = float((item.demand.input_tokens + item.demand.output_tokens).mean()) if option.variant.engine == "token" else 0.0
    return SpeedRow(
        traffic_class=item.name,
        variant=option.variant.name,
        machine=option.machine.name,
        cloud=option.machine.cloud,
        region=option.region,
        offer=option.terms.offer,
        setting=profile.setting,
        quality=option.variant.quality,
        requests_per_s=requests_per_s,
        idle_latency_s=best_s.get(nearest),
        nearest_promise=nearest,
        promise_used=best_s[nearest] / limits[nearest] if nearest else None,
        usd_per_hour=hour_usd,
        usd_per_million_requests=MILLION * request_usd,
        usd_per_million_tokens=MILLION * request_usd / tokens if tokens else None,
        provenance=profile.provenance.kind,
        error_band=profile.provenance.error_band,
        source=profile.provenance.source,
    )


def find_pareto_front(speeds: tuple[SpeedRow, ...]) -> tuple[SpeedRow, ...]:
    """Return those that no other of their class beats in cost, latency and quality at once; of equals the first.

    A latency is what it takes of its promise; one that is not known is the worst.
    """
    front: dict[tuple[str, tuple[float, float, float]], SpeedRow] = {}
    for item in speeds:
        if not any(_dominates(other, item) for other in speeds if other.traffic_class == item.traffic_class):
            front.setdefault((item.traffic_class, _rank_row(item)), item)
    return tuple(front.values())


def _rank_row(item: SpeedRow) -> tuple[float, float, float]:
    """Return cost, latency and the lack of quality: of each, less is better."""
    used = float("inf") if item.promise_used is None else item.promise_used
    return item.usd_per_million_requests, used, -item.quality


def _dominates(one: SpeedRow, other: SpeedRow) -> bool:
    """Return whether one is as good in everything and better in something."""
    return _rank_row(one) != _rank_row(other) and all(
        mine <= theirs for mine, theirs in zip(_rank_row(one), _rank_row(other), strict=True)
    )
