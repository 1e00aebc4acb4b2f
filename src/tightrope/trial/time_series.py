"""The series of the time-line chart, from one outcome: machines, queue, latency and cost over the time of the replay."""

import numpy as np

from tightrope.base.plan import Plan
from tightrope.base.records import FloatArray, IntArray
from tightrope.base.replay_report import TimeSeries
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.replay.evidence import metric_s
from tightrope.replay.records import UNANSWERED, Outcome, Timeline
from tightrope.replay.traffic import as_asked

WIDTHS_S = (60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 86_400.0)
MOST_BINS = 300
"""A chart of more values than this shows no more."""
UNUSED = "commitment unused"


def bin_width_s(duration_s: float) -> float:
    """Return the width of the bins: a minute where the stretch is short, wider where there would be too many."""
    return next((width for width in WIDTHS_S if duration_s / width <= MOST_BINS), duration_s / MOST_BINS)


def series_of(plan: Plan, outcome: Outcome, duration_s: float, clock_s: float, hourly_usd: dict[str, list[float]]) -> TimeSeries:
    """Return the series of one replay; raise ``ValueError`` for an outcome without a time-line, which no replay gives."""
    if (timeline := outcome.timeline) is None:
        msg = "got an outcome without a time-line, expected one of replay_fleet"
        raise ValueError(msg)
    width_s = bin_width_s(duration_s)
    bins = max(1, int(np.ceil(duration_s / width_s)))
    names = [pool.name for pool in plan.pools]
    ready, starting = (_bin_samples(timeline, counts, bins, width_s) for counts in (timeline.ready, timeline.starting))
    whole, names_asked = as_asked(outcome), [item.asked_as or item.name for item in plan.classes]
    latency = {name: _measure_latency(plan, whole, index, bins, width_s) for index, name in enumerate(names_asked)}
    seen = {name: both for name, both in latency.items() if any(value is not None for value in both[0])}
    return TimeSeries(
        start_h=clock_s / SECONDS_PER_HOUR,
        bin_s=width_s,
        ready={name: tuple(row.tolist()) for name, row in zip(names, ready, strict=True)},
        starting={name: tuple(row.tolist()) for name, row in zip(names, starting, strict=True) if row.any()},
        queued=tuple(_count_queued(outcome, bins, width_s).tolist()),
        latency_p50_ms={name: both[0] for name, both in seen.items()},
        latency_p95_ms={name: both[1] for name, both in seen.items()},
        promised_ms={
            name: 1000.0 * item.slos[0].limit_s
            for name, item in zip(names_asked, plan.classes, strict=True)
            if item.slos and name in seen
        },
        usd_per_hour={name or UNUSED: tuple(values) for name, values in hourly_usd.items() if name or any(values)},
    )


def _bin_samples(timeline: Timeline, counts: IntArray, bins: int, width_s: float) -> FloatArray:
    """Return the mean of the samples in each bin, float64[pools, bins]; a bin without a sample has that of the last one."""
    index = (timeline.time_s / width_s).astype(np.int64)
    inside = index < bins
    number = np.bincount(index[inside], minlength=bins)
    sums = np.stack([np.bincount(index[inside], weights=row[inside], minlength=bins) for row in counts.T])
    last = np.maximum.accumulate(np.where(number > 0, np.arange(bins), 0))
    return (sums / np.maximum(number, 1))[:, last]


def waiting(outcome: Outcome) -> tuple[FloatArray, FloatArray]:
    """Return when requests that wait for an engine arrive and when they begin, both float64[requests that wait], ascending.

    The beginning is that of the first try, inf where none came. What the cache answers, what is turned away and what fits nowhere
    waits for no engine.
    """
    waits = (np.isfinite(outcome.begin_s) | (outcome.ended == UNANSWERED)) & np.isfinite(outcome.arrived_s)
    return np.sort(outcome.arrived_s[waits]), np.sort(outcome.begin_s[waits])


def _count_queued(outcome: Outcome, bins: int, width_s: float) -> FloatArray:
    """Return the most requests that waited at any time of each bin, float64[bins]; who begins on arrival waits at none.

    A queue grows by arrivals only, so its maximum in a bin is at the bin's start or right after one of its arrivals.
    """
    arrived, begun = waiting(outcome)
    starts_s = width_s * np.arange(bins)
    most = (np.searchsorted(arrived, starts_s, "right") - np.searchsorted(begun, starts_s, "right")).astype(float)
    index = (arrived / width_s).astype(np.int64)
    after = np.arange(1, len(arrived) + 1) - np.searchsorted(begun, arrived, "right")
    inside = index < bins
    np.maximum.at(most, index[inside], after[inside])
    return most


def _measure_latency(
    plan: Plan, outcome: Outcome, index: int, bins: int, width_s: float
) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
    """Return p50 and p95 of what a class's first promise is about, in milliseconds by time of arrival; None where nobody came."""
    slos = plan.classes[index].slos
    rows = np.flatnonzero((outcome.traffic.traffic_class == index) & np.isfinite(outcome.finish_s))
    value = metric_s(outcome, slos[0].metric if slos else "latency")[rows]
    which = np.minimum((outcome.traffic.time_s[rows] / width_s).astype(np.int64), bins - 1)
    order = np.lexsort((value, which))
    value, count = value[order], np.bincount(which, minlength=bins)
    first = np.cumsum(count) - count
    return _take_percentile(value, first, count, 0.5), _take_percentile(value, first, count, 0.95)


def _take_percentile(value: FloatArray, first: IntArray, count: IntArray, percentile: float) -> tuple[float | None, ...]:
    """Return the percentile of each bin's sorted values, the nearest rank from above, in milliseconds."""
    rank = np.maximum(np.ceil(count * percentile).astype(np.int64), 1) - 1
    return tuple(1000.0 * float(value[f + r]) if n else None for f, r, n in zip(first, rank, count, strict=True))
