"""Where a series of times has become steady, what its mean is, and how sure several such means are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tightrope.base.records import FloatArray

GROUP = 5
"""Runs averaged before the cut is searched: MSER-5 (White, Simulation 69, 1997)."""
LEAST_GROUPS = 4
"""With fewer the cut cannot be searched: the first run alone is left out."""
T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
"""Student's t at 95 %, two-sided, of 2, 3, 4 … 16 means; of more it is smaller."""


@dataclass(frozen=True, slots=True)
class SteadyTimes:
    """The steady part of a series of times, in seconds."""

    warm_up: int
    """Runs left out at the beginning."""
    runs: int
    mean_s: float
    p50_s: float
    p95_s: float


def warm_up(times_s: FloatArray) -> int:
    """Return how many runs to leave out: those without which the mean of the others is known best (MSER-5).

    >>> warm_up(np.array([9.0, 5.0, 3.0, 2.0, 1.5] + [1.0, 1.02] * 50))
    5
    """
    groups = times_s[: len(times_s) // GROUP * GROUP].reshape(-1, GROUP).mean(axis=1)
    if len(groups) < LEAST_GROUPS:
        return min(1, len(times_s) - 1)
    left = np.arange(len(groups), 0, -1)
    total, square = np.cumsum(groups[::-1])[::-1], np.cumsum((groups**2)[::-1])[::-1]
    spread = np.maximum(square / left - (total / left) ** 2, 0.0) / left
    return GROUP * int(np.argmin(spread[: max(1, int(0.75 * len(groups)))]))


def steady_part(times_s: FloatArray) -> SteadyTimes:
    """Return the steady part of float64[runs] seconds."""
    cut = warm_up(times_s)
    kept = times_s[cut:]
    p50_s, p95_s = (float(figure) for figure in np.percentile(kept, [50, 95]))
    return SteadyTimes(cut, len(kept), float(kept.mean()), p50_s, p95_s)


def half_width(means: Sequence[float] | FloatArray) -> float:
    """Return the half-width of the 95 % interval of what independent means are around; infinite for fewer than two.

    >>> round(half_width([1.0, 1.1, 0.9, 1.0]), 3)
    0.13
    """
    if len(means) < 2:
        return math.inf
    return T_95[min(len(means), 16) - 2] * float(np.std(means, ddof=1)) / math.sqrt(len(means))


def never_falling(values: FloatArray) -> FloatArray:
    """Return the nearest values (least squares) that never fall: a larger batch takes as long or longer (pool adjacent violators).

    >>> never_falling(np.array([1.0, 3.0, 2.0, 4.0])).tolist()
    [1.0, 2.5, 2.5, 4.0]
    """
    means: list[float] = []
    counts: list[int] = []
    for value in values:
        means.append(float(value))
        counts.append(1)
        while len(means) > 1 and means[-2] > means[-1]:
            mean, count = means.pop(), counts.pop()
            means[-1] = (means[-1] * counts[-1] + mean * count) / (counts[-1] + count)
            counts[-1] += count
    return np.repeat(means, counts)
