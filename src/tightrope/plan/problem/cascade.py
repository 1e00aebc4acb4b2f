"""Cascades: every request goes to a small model first, and a share of them on to a large one.

A cascade is planned as two classes. ``<class>-first`` is all requests, answered by the small model in the time stated for it;
``<class>-escalated`` is the share that goes on, with that time taken off its limits. The class's promise at percentile ``p`` then holds
whatever the two have to do with each other (the union bound): a request is late only if the small model was late, which half of the
``1 - p`` is kept for, or if it was escalated and the large one was late, which is the other half.

That is how the parts are sized. The replay knows that one goes on from the other, and proves the promise that was stated: what is escalated
comes to the large model when the small one has answered, and its latency counts from when it was asked.
"""

from dataclasses import replace

import numpy as np

from tightrope.base.levers import CascadePart
from tightrope.base.records import Cascade, Deferral, Demand, FloatArray, ModelVariant, Slo, TrafficClass, Workload

LEAST_PERCENTILE = 0.5
"""Where few are escalated, this share of them must be in time still."""


def find_least_escalated(curve: tuple[tuple[float, float], ...], quality_floor: float) -> float | None:
    """Return the smallest share escalated at which the mean quality reaches the floor; None where none does.

    Two thresholds can be mixed, so the quality of a share is that of the curve's concave hull.

    >>> find_least_escalated(((0.0, 0.5), (0.5, 0.75), (1.0, 1.0)), 0.625), find_least_escalated(((0.2, 0.9),), 0.95)
    (0.25, None)
    """
    hull: list[tuple[float, float]] = []
    for point in curve:
        while len(hull) > 1 and _compute_slope(hull[-2], hull[-1]) <= _compute_slope(hull[-2], point):
            hull.pop()
        hull.append(point)
    shares, qualities = (np.array(values) for values in zip(*hull, strict=True))
    if qualities[-1] < quality_floor - 1e-12:
        return None
    if qualities[0] >= quality_floor - 1e-12:
        return float(shares[0])
    above = int(np.argmax(qualities >= quality_floor - 1e-12))
    part = (quality_floor - qualities[above - 1]) / (qualities[above] - qualities[above - 1])
    return float(shares[above - 1] + min(part, 1.0) * (shares[above] - shares[above - 1]))


def _compute_slope(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the quality gained from one point to another by share escalated."""
    return (other[1] - one[1]) / (other[0] - one[0])


def asked_as(item: TrafficClass) -> str:
    """Return the name under which the class's requests are asked and judged: of a part of a cascade, the class that was stated."""
    return item.name if item.part is None else item.part.whole


def get_promises(item: TrafficClass) -> tuple[str, tuple[Slo, ...], Deferral | None]:
    """Return a class's name and what it is promised; a cascade is promised as a whole, to its first part."""
    if item.part is None:
        return item.name, item.slos, item.deferral
    return (item.name, (), None) if item.part.follows else (item.part.whole, item.whole_slos, None)


def answer_directly(workload: Workload, name: str) -> Workload:
    """Return the workload with one class answered directly."""
    plain = tuple(replace(item, cascade=None) if item.name == name else item for item in workload.classes)
    return replace(workload, classes=plain)


def split_by_cascade(workload: Workload, name: str) -> Workload | None:
    """Return the workload with one class in two, as its cascade has it; None where that cannot reach the quality floor."""
    item = next(item for item in workload.classes if item.name == name)
    cascade = item.cascade
    share = None if cascade is None else find_least_escalated(cascade.curve, item.quality_floor)
    if cascade is None or share is None:
        return None
    parts = [_take_first_part(item, cascade, share), *([_take_escalated_part(item, cascade, share)] if share > 0.0 else [])]
    classes = [part for other in workload.classes for part in (parts if other.name == name else [other])]
    variants = tuple(_place_cascade_part(variant, name, cascade, parts) for variant in workload.variants)
    return replace(workload, classes=tuple(classes), variants=variants)


def _place_cascade_part(variant: ModelVariant, name: str, cascade: Cascade, parts: list[TrafficClass]) -> ModelVariant:
    """Return the variant with its part of the cascade in the place of the class."""
    serves = {other: share for other, share in variant.serves.items() if other != name}
    for part, model in zip(parts, (cascade.small, cascade.large), strict=False):
        if variant.name == model:
            serves[part.name] = 1.0
    return replace(variant, serves=serves)


def _take_first_part(item: TrafficClass, cascade: Cascade, share: float) -> TrafficClass:
    """Return all requests, as the small model is asked; it answers those that are not escalated."""
    strictest = max(slo.percentile for slo in item.slos if slo.metric != "tpot")
    return replace(
        item,
        name=f"{item.name}-first",
        slos=(Slo("latency", 1.0 - (1.0 - strictest) / 2.0, cascade.within_s),),
        quality_floor=0.0,
        egress_bytes_per_request=(1.0 - share) * item.egress_bytes_per_request,
        cascade=None,
        part=CascadePart(item.name),
        whole_slos=item.slos,
    )


def _take_escalated_part(item: TrafficClass, cascade: Cascade, share: float) -> TrafficClass:
    """Return the requests that go on, with what is left of the time."""
    slos = tuple(
        slo
        if slo.metric == "tpot"
        else Slo(slo.metric, max(LEAST_PERCENTILE, 1.0 - (1.0 - slo.percentile) / (2.0 * share)), slo.limit_s - cascade.within_s)
        for slo in item.slos
    )
    return replace(
        item,
        name=f"{item.name}-escalated",
        slos=slos,
        quality_floor=0.0,
        demand=_take_share(item.demand, share),
        cascade=None,
        part=CascadePart(item.name, f"{item.name}-first", share),
        whole_slos=item.slos,
    )


def _take_share(demand: Demand, share: float) -> Demand:
    """Return a share of the requests, taken evenly: nobody knows beforehand which."""
    clients = {"rate_per_s": share * demand.rate_per_s}
    if not len(demand.arrival_s) and demand.key is None:
        return replace(demand, **clients)
    taken = np.diff(np.floor(np.arange(len(demand.input_tokens) + 1) * share)) > 0.0
    if not taken.any():
        return replace(demand, **clients, arrival_s=np.zeros(0), key=None, cached=None)
    arrival_s: FloatArray = demand.arrival_s[taken] if len(demand.arrival_s) else demand.arrival_s
    return replace(
        demand,
        **clients,
        arrival_s=arrival_s,
        input_tokens=demand.input_tokens[taken],
        output_tokens=demand.output_tokens[taken],
        key=None if demand.key is None else demand.key[taken],
        cached=None,
    )
