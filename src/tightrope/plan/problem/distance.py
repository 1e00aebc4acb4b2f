"""How far users are: the time to a region and back is taken off what a class promises, and what is not known is refused."""

from collections.abc import Iterator
from dataclasses import replace

from tightrope.base.plan import Refusal
from tightrope.base.records import TrafficClass, WherePolicy, Workload
from tightrope.plan.problem.demand_week import ClassDemand

AWAY = ("latency", "ttft")
"""Metrics that the way to a region and back is part of; the time between tokens is not longer for it."""


def round_trip_s(item: TrafficClass, region: str, where: WherePolicy) -> float | None:
    """Return the time from a class's users to a region and back, in seconds; None where it is not known.

    0 where they are in that region, or where nobody says where they are.
    """
    if item.place is None or item.place[1] == region:
        return 0.0
    return where.round_trip_s.get((item.place[1], region))


def group_by_distance(
    workload: Workload, sized: tuple[ClassDemand, ...]
) -> Iterator[tuple[Workload, tuple[ClassDemand, ...], tuple[Refusal, ...]]]:
    """Yield the regions that are equally far from everyone's users, each with the classes as machines there must serve them.

    A class that cannot be served there is left out, with the reason.
    """
    groups: dict[tuple[float | None, ...], dict[str, tuple[str, ...]]] = {}
    for cloud, regions in workload.where.regions.items():
        for region in regions:
            away = tuple(round_trip_s(item.traffic_class, region, workload.where) for item in sized)
            held = groups.setdefault(away, {})
            held[cloud] = (*held.get(cloud, ()), region)
    for away, regions in groups.items():
        near = [tighten_promises(item.traffic_class, trip_s) for item, trip_s in zip(sized, away, strict=True)]
        refused = tuple(
            Refusal(
                f"{item.traffic_class.name} in {', '.join(r for names in regions.values() for r in names)}",
                _explain_refusal(item, trip_s),
            )
            for item, trip_s, kept in zip(sized, away, near, strict=True)
            if kept is None
        )
        served = tuple(replace(item, traffic_class=kept) for item, kept in zip(sized, near, strict=True) if kept is not None)
        yield replace(workload, where=replace(workload.where, regions=regions)), served, refused


def tighten_promises(item: TrafficClass, away_s: float | None) -> TrafficClass | None:
    """Return the class with what machines ``away_s`` there and back from its users must keep; None where they cannot."""
    if not away_s or item.deferral is not None:
        return item if away_s is not None or item.deferral is not None else None
    slos = tuple(replace(slo, limit_s=slo.limit_s - away_s) if slo.metric in AWAY else slo for slo in item.slos)
    return replace(item, slos=slos) if all(slo.limit_s > 0.0 for slo in slos) else None


def _explain_refusal(item: ClassDemand, away_s: float | None) -> str:
    """Say why a class cannot be served from so far away."""
    place = item.traffic_class.place
    if away_s is None:
        return f"{item.traffic_class.name}: no round trip from {place[1] if place else ''} is stated in where.round_trip"
    return f"{item.traffic_class.name}: {1000 * away_s:g} ms there and back is all that it promises, or more"
