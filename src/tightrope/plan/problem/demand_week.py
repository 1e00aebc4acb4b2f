"""Each class's week as the plan must serve it: the peak of every hour, growth and headroom on top, from the part sizing may see."""

from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.records import FloatArray, TrafficClass, Workload
from tightrope.base.units import HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.demand.blocks import Blocks, split_demand, weekly_blocks
from tightrope.demand.request_keys import without_cached

RATE_STEP = 0.02
"""Planned rates are rounded up to steps of this size, so that hours alike are equal and solved once."""


@dataclass(frozen=True, slots=True)
class ClassDemand:
    """One class, its demand cut to the part that sizing may see, and its week; rates in requests/s, float64[168].

    ``planned`` is the peak within each block, growth, surge and headroom included; ``expected`` the mean, growth included; ``work``
    the mean with everything that ``planned`` includes, for work that waits.
    """

    traffic_class: TrafficClass
    planned: FloatArray
    expected: FloatArray
    work: FloatArray
    note: str


def size_classes(workload: Workload, headroom: dict[str, float], lead_s: float) -> tuple[ClassDemand, ...]:
    """Return every class's week from the part of the trace that may be seen: peak within each block, growth and surge on top."""
    sized = []
    for item in workload.classes:
        seen = without_cached(split_demand(item.demand, workload.heldout_share).sizing, item.growth)
        blocks: Blocks = weekly_blocks(seen, lead_s)
        factor = (1.0 + item.growth) * (1.0 + item.surge) * headroom.get(item.name, 1.0)
        sized.append(
            ClassDemand(
                traffic_class=replace(item, demand=seen),
                planned=_round_up(blocks.peak_rate_per_s * factor),
                expected=blocks.mean_rate_per_s * (1.0 + item.growth),
                work=blocks.mean_rate_per_s * factor,
                note=blocks.note,
            )
        )
    return tuple(sized)


def _round_up(rate_per_s: FloatArray) -> FloatArray:
    """Return rates rounded up to powers of 1 + ``RATE_STEP``; zero stays zero."""
    positive = rate_per_s > 0.0
    steps = np.ceil(np.log(np.where(positive, rate_per_s, 1.0)) / np.log1p(RATE_STEP) - 1e-9)
    return np.where(positive, (1.0 + RATE_STEP) ** steps, 0.0)


def may_commit(workload: Workload) -> bool:
    """Return whether sizing sees a week or more of the longest trace: less is no ground to commit a year on."""
    longest = max(workload.classes, key=lambda item: item.demand.duration_s)
    seen = split_demand(longest.demand, workload.heldout_share).sizing
    return seen.duration_s >= HOURS_PER_WEEK * SECONDS_PER_HOUR - 1.0


def lead_seconds(workload: Workload) -> float:
    """Return how long a rise waits for new machines: the metric's lag, one look of the autoscaler and a machine's start."""
    return workload.scaling.metric_lag_s + workload.scaling.sync_s + workload.scaling.machine_start_s


def grow(item: TrafficClass, factor: float) -> TrafficClass:
    """Return the class with ``factor`` times its rate; single recorded requests become a draw at the higher rate."""
    if factor == 1.0:
        return item
    return replace(item, demand=replace(item.demand, rate_per_s=item.demand.rate_per_s * factor, arrival_s=np.zeros(0)))
