"""From latencies to evidence: attainment of each promise with a confidence interval that respects bursts.

Requests close in time succeed and fail together, so the interval comes from resampling whole hours (block bootstrap; Künsch, Annals
of Statistics 17(3), 1989), not single requests. Where few requests missed, or few hours were seen, resampling knows too little: the
interval is never narrower than that of as many independent requests (Wilson, JASA 22(158), 1927). Of less than a day there are too few
hours, so the groups are shorter: see ``group_s``.

Replays with several seeds share the stretch's hours, so an hour of all of them is one group, and what differs between seeds from end to
end (an interruption that the day never recovers from) would go unseen. That variance is taken out of the table of seeds and hours (the
crossed random-effects model without replication; Burdick and Graybill, Confidence Intervals on Variance Components, 1992, section 5),
and the interval is then never narrower than Student's with the degrees of freedom that both sources have together (Satterthwaite,
Biometrics Bulletin 2(6), 1946): with two seeds that really differ, 12.7 standard errors.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tightrope.base.plan import Evidence
from tightrope.base.records import Deferral, FloatArray, IntArray, Slo
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.replay.records import Outcome

RESAMPLES = 1000
CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054
"""Of ``CONFIDENCE``, two-sided."""
DAY_S = 86_400.0
GROUPS_S = (3600.0, 1800.0, 900.0, 600.0, 300.0, 120.0, 60.0)
"""Lengths that a group may have."""
LEAST_GROUPS = 24
"""A group is an hour where there are so many of them, shorter where there are not."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A share and the interval it lies in."""

    share: float
    low: float
    high: float


def metric_s(outcome: Outcome, metric: str) -> FloatArray:
    """Return the values an SLO's metric takes, float64[requests] in seconds; inf where a request was never answered."""
    return {"ttft": outcome.ttft_s, "tpot": outcome.tpot_s, "latency": outcome.latency_s}[metric]


def attained(kept: NDArray[np.bool_], hour: IntArray, seed: IntArray | None = None) -> Interval:
    """Return the share of ``kept`` (bool[requests]) and its interval.

    ``hour`` (int64[requests], not negative) groups what belongs together, ``seed`` (int64[requests], from 0) says which replay a
    request is from; all are one where it is left out.
    """
    seeds, hours = (1 if seed is None else int(seed.max()) + 1), int(hour.max()) + 1
    cell = hour if seed is None else seed * hours + hour
    total = np.bincount(cell, minlength=seeds * hours).reshape(seeds, hours)
    good = np.bincount(cell[kept], minlength=seeds * hours).reshape(seeds, hours)
    total, good = (table[:, total.any(axis=0)] for table in (total, good))
    share = float(good.sum() / total.sum())
    low, high = _resampled(good.sum(axis=0), total.sum(axis=0))
    independent = wilson(share, len(kept))
    low, high = min(low, independent.low), max(high, independent.high)
    half = _half_of_seeds(good - share * total) / float(total.sum())
    return Interval(share, max(0.0, min(low, share - half)), min(1.0, max(high, share + half)))


def _resampled(good: IntArray, total: IntArray) -> tuple[float, float]:
    """Return the interval of the share from drawing as many groups again; both are int64[groups]."""
    groups = len(total)
    draws = np.random.default_rng(0).multinomial(groups, np.full(groups, 1.0 / groups), size=RESAMPLES)
    shares = (draws @ good) / np.maximum(draws @ total, 1)
    low, high = np.quantile(shares, [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
    return float(low), float(high)


def _half_of_seeds(excess: FloatArray) -> float:
    """Return half the width, in requests, of the interval that seeds give; 0 where they differ no more than their hours explain.

    ``excess`` is float64[seeds, groups]: requests kept beyond the share of all.
    """
    seeds, groups = excess.shape
    if seeds < 2 or groups < 2:
        return 0.0
    of_seed, of_group, size = excess.sum(axis=1), excess.sum(axis=0), seeds * groups
    rest = excess - of_seed[:, None] / groups - of_group[None, :] / seeds + excess.sum() / size
    interaction = size * float((rest**2).sum()) / ((seeds - 1) * (groups - 1))
    between = seeds * float(of_seed.var(ddof=1)) - interaction
    within = groups * float(of_group.var(ddof=1))
    if between <= 0.0:
        return 0.0
    freedom = (between + within) ** 2 / (between**2 / (seeds - 1) + within**2 / (groups - 1))
    return student(freedom) * math.sqrt(between + within)


def student(freedom: float) -> float:
    """Return the two-sided quantile of ``CONFIDENCE`` of Student's distribution with 1 or more degrees of freedom, to about 0.1 %.

    With x = sqrt(freedom) * tan(angle) its density is cos(angle) ** (freedom - 1), on a bounded interval.

    >>> [round(student(freedom), 2) for freedom in (1.0, 2.0, 10.0)]
    [12.71, 4.3, 2.23]
    """
    angle = np.linspace(0.0, math.pi / 2.0, 20_001)
    middle = (angle[1:] + angle[:-1]) / 2.0
    below = np.concatenate([[0.0], np.cumsum(np.cos(middle) ** (freedom - 1.0))])
    return math.sqrt(freedom) * math.tan(float(np.interp(CONFIDENCE, below / below[-1], angle)))


def group_s(last_s: float) -> float:
    """Return the length of the groups that are resampled, in seconds, where the last request arrives at ``last_s``.

    An hour where there are 24 or more of them begun; else the longest length that gives about 24 to 60 groups, but never less than a
    minute. A burst that fills a group then counts as one, as it should; one that lasts for several is taken for several.

    >>> [group_s(hours * 3600.0) for hours in (23.5, 12.0, 0.98, 0.1)]
    [3600.0, 1800.0, 120.0, 60.0]
    """
    return next((length for length in GROUPS_S if last_s // length + 1 >= LEAST_GROUPS), GROUPS_S[-1])


def wilson(share: float, requests: int) -> Interval:
    """Return the score interval of a share among independent requests; it is never empty, not even at a share of 0 or 1.

    >>> wilson(1.0, 100).low
    0.9630065017930143
    """
    spread = NORMAL_QUANTILE**2 / requests
    middle = (share + spread / 2.0) / (1.0 + spread)
    half = np.sqrt(share * (1.0 - share) * spread + spread**2 / 4.0) / (1.0 + spread)
    return Interval(share, float(min(middle - half, share)), float(max(middle + half, share)))


def deadlines_s(time_s: FloatArray, start_s: float, deferral: Deferral) -> FloatArray:
    """Return the next deadline after each ``time_s``, float64[requests]; ``start_s`` is the clock's offset from midnight.

    What comes outside the window, after one deadline and before the next release, is due with the next window's work.
    """
    left_s = (deferral.deadline_h * SECONDS_PER_HOUR - start_s - time_s) % DAY_S
    return time_s + np.where(left_s == 0.0, DAY_S, left_s)


def due_s(time_s: FloatArray, traffic_class: IntArray, start_s: float, deferrals: Sequence[Deferral | None]) -> FloatArray | None:
    """Return when each request is due, float64[requests], inf where its class cannot wait; None where no class can."""
    if not any(deferrals):
        return None
    due = np.full(len(time_s), np.inf)
    for index, deferral in enumerate(deferrals):
        if deferral is not None:
            mine = traffic_class == index
            due[mine] = deadlines_s(time_s[mine], start_s, deferral)
    return due


def judge_all(
    outcomes: list[Outcome],
    promised: Iterable[tuple[str, Sequence[Slo], Deferral | None]],
    *,
    start_s: float,
    window: str,
    seeds: tuple[int, ...],
) -> tuple[Evidence, ...]:
    """Return the evidence for every promise of every class that had requests; ``promised`` names the fleet's classes, in its order."""
    found = (
        judge(outcomes, index, name, promise, start_s=start_s, window=window, seeds=seeds)
        for index, (name, slos, deferral) in enumerate(promised)
        for promise in (slos if deferral is None else (deferral,))
    )
    return tuple(evidence for evidence in found if evidence is not None)


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
    """Return the evidence for one promise of one class over several replays of the same stretch; None where it had no requests.

    Replays of one stretch share its rates, so an hour (less than a day of traffic: ``group_s``) is one group over all of them; what
    differs between seeds beyond that counts too (``attained``).
    A latency promise is proven where the whole interval lies at or above its percentile; a deadline where every request met it.
    """
    values: list[FloatArray] = []
    kept: list[np.ndarray] = []
    groups: list[IntArray] = []
    replays: list[IntArray] = []
    length_s = group_s(max((outcome.traffic.time_s.max(initial=0.0) for outcome in outcomes), default=0.0))
    for number, outcome in enumerate(distinct(outcomes)):
        mine = outcome.traffic.traffic_class == class_index
        time_s = outcome.traffic.time_s[mine]
        if isinstance(promise, Slo):
            has = mine & has_metric(outcome, promise.metric)
            time_s = outcome.traffic.time_s[has]
            value = metric_s(outcome, promise.metric)[has]
            kept.append(value <= promise.limit_s)
        else:
            value = outcome.latency_s[mine]
            kept.append(outcome.finish_s[mine] <= deadlines_s(time_s, start_s, promise))
        values.append(value)
        groups.append((time_s // length_s).astype(np.int64))
        replays.append(np.full(len(time_s), number))
    flat, ok = np.concatenate(values), np.concatenate(kept)
    if not len(flat):
        return None
    interval = attained(ok, np.concatenate(groups), np.concatenate(replays))
    target, reached = (promise.percentile, interval.low) if isinstance(promise, Slo) else (1.0, interval.share)
    p50, p95, p99 = percentiles_ms(flat)
    return Evidence(
        traffic_class=name,
        slo=str(promise) if isinstance(promise, Slo) else due_words(promise),
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
        verdict="proven" if reached >= target else "not proven",
    )


def has_metric(outcome: Outcome, metric: str) -> np.ndarray:
    """Return which requests the metric says anything about, bool[requests].

    Time per output token is for answers of two tokens or more that were written token by token; what came at once, from a server
    that writes no tokens, would only thin the misses out. What never came counts.
    """
    if metric != "tpot":
        return np.ones(len(outcome.finish_s), dtype=bool)
    at_once = np.isfinite(outcome.finish_s) & (outcome.finish_s == outcome.first_s)
    return ((outcome.traffic.output_tokens > 1) | ~np.isfinite(outcome.finish_s)) & ~at_once


def distinct(outcomes: list[Outcome]) -> list[Outcome]:
    """Return the replays that differ in what they show: one recorded trace replayed twice alike is no more evidence than once."""
    kept: list[Outcome] = []
    for outcome in outcomes:
        if not any(np.array_equal(outcome.finish_s, other.finish_s) for other in kept):
            kept.append(outcome)
    return kept


def percentiles_ms(values_s: FloatArray) -> tuple[float | None, ...]:
    """Return p50, p95 and p99 in milliseconds, between ranks as numpy does it; None where the rank above was never answered.

    >>> percentiles_ms(np.array([1.0, 2.0, 3.0, np.inf]))
    (2500.0, None, None)
    """
    ranks = np.array([0.5, 0.95, 0.99]) * (len(values_s) - 1)
    below, above = np.floor(ranks).astype(np.int64), np.ceil(ranks).astype(np.int64)
    sorted_there = np.partition(values_s, np.unique(np.concatenate([below, above])))
    low_s, high_s = sorted_there[below], sorted_there[above]
    pairs = zip(low_s, high_s, ranks - below, strict=True)
    return tuple(1000.0 * float(low + (high - low) * part) if np.isfinite(high) else None for low, high, part in pairs)


def due_words(deferral: Deferral) -> str:
    """Return the promise of work that waits, in words.

    >>> due_words(Deferral(22.0, 6.5))
    'done by 06:30'
    """
    hour = deferral.deadline_h
    return f"done by {int(hour) % 24:02d}:{round(60 * (hour % 1)):02d}"
