"""From latencies to evidence: attainment of each promise with a confidence interval that respects bursts.

Requests close in time succeed and fail together, so the interval comes from resampling whole hours (block bootstrap; Künsch, Annals
of Statistics 17(3), 1989), not single requests.
"""

from dataclasses import dataclass

import numpy as np

from tightrope.base.records import Deferral, Evidence, FloatArray, IntArray, Slo
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.replay.run import Outcome

RESAMPLES = 1000
CONFIDENCE = 0.95
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A share and the interval it lies in."""

    share: float
    low: float
    high: float


def metric_s(outcome: Outcome, metric: str) -> FloatArray:
    """Return the values an SLO's metric takes, float64[requests] in seconds; inf where a request was never answered."""
    return {"ttft": outcome.ttft_s, "tpot": outcome.tpot_s, "latency": outcome.latency_s}[metric]


def attained(kept: np.ndarray, hour: IntArray) -> Interval:
    """Return the share of ``kept`` (bool[requests]) and its interval; ``hour`` (int64[requests]) groups what belongs together."""
    groups, index = np.unique(hour, return_inverse=True)
    good = np.bincount(index, weights=kept, minlength=len(groups))
    total = np.bincount(index, minlength=len(groups))
    share = float(good.sum() / total.sum())
    draws = np.random.default_rng(0).multinomial(len(groups), np.full(len(groups), 1.0 / len(groups)), size=RESAMPLES)
    shares = (draws @ good) / np.maximum(draws @ total, 1)
    low, high = np.quantile(shares, [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
    return Interval(share, min(float(low), share), max(float(high), share))


def deadlines_s(time_s: FloatArray, start_s: float, deferral: Deferral) -> FloatArray:
    """Return when each request released at ``time_s`` is due, float64[requests]; ``start_s`` is the clock's offset from midnight."""
    since_release_s = (time_s + start_s - deferral.release_h * SECONDS_PER_HOUR) % DAY_S
    return time_s - since_release_s + deferral.window_h * SECONDS_PER_HOUR


def judge(
    outcomes: list[Outcome],
    class_index: int,
    name: str,
    promise: Slo | Deferral,
    *,
    start_s: float,
    window: str,
    seeds: tuple[int, ...],
) -> Evidence | None:
    """Return the evidence for one promise of one class over several replays of the same stretch; None where it had no requests."""
    values: list[FloatArray] = []
    kept: list[np.ndarray] = []
    hours: list[IntArray] = []
    for run, outcome in enumerate(outcomes):
        mine = outcome.traffic.traffic_class == class_index
        time_s = outcome.traffic.time_s[mine]
        if isinstance(promise, Slo):
            value = metric_s(outcome, promise.metric)[mine]
            kept.append(value <= promise.limit_s)
        else:
            value = outcome.latency_s[mine]
            kept.append(outcome.finish_s[mine] <= deadlines_s(time_s, start_s, promise))
        values.append(value)
        hours.append((time_s // SECONDS_PER_HOUR).astype(np.int64) + run * 100_000)
    flat, ok = np.concatenate(values), np.concatenate(kept)
    if not len(flat):
        return None
    interval = attained(ok, np.concatenate(hours))
    target = promise.percentile if isinstance(promise, Slo) else 1.0
    p50, p95, p99 = (1000.0 * float(q) for q in np.quantile(_finite(flat), [0.5, 0.95, 0.99]))
    return Evidence(
        traffic_class=name,
        slo=str(promise) if isinstance(promise, Slo) else f"done by {_clock(promise.deadline_h)}",
        window=window,
        requests=len(flat),
        attainment=interval.share,
        attainment_low=interval.low,
        attainment_high=interval.high,
        target=target,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        seeds=seeds,
        verdict="proven" if interval.low >= target else "not proven",
    )


def _finite(values: FloatArray) -> FloatArray:
    """Return latencies with "never" as a day, the longest that a replay waits for an answer."""
    return np.minimum(values, DAY_S)


def _clock(hour: float) -> str:
    """Return an hour of the day as a clock shows it.

    >>> _clock(6.5)
    '06:30'
    """
    return f"{int(hour) % 24:02d}:{round(60 * (hour % 1)):02d}"
