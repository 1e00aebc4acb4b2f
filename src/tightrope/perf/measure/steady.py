"""Where a series of times has become steady, what its mean is, and how sure that is."""

import math
from dataclasses import dataclass

import numpy as np

from tightrope.base.records import FloatArray

GROUP = 5
"""Runs averaged before the cut is searched: MSER-5 (White, Simulation 69, 1997)."""
BATCHES = 20
"""Means of so many stretches give the interval, so that times that hang together do not make it too narrow."""
T_95 = 2.093
"""Student's t of 19 degrees of freedom, two-sided at 95 %."""
MOST_WARM_UP = 0.5
"""A series whose warm-up takes more than this share of it never became steady."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The steady part of a series of times, in seconds."""

    warm_up: int
    """Runs left out at the beginning."""
    runs: int
    mean_s: float
    half_width_s: float
    """Of the 95 % interval of the mean; infinite where there are too few runs for one."""
    p50_s: float
    p95_s: float
    settled: bool
    """Whether the warm-up ended within the first half; if not, the interval is as wide as the halves are apart."""

    @property
    def relative(self) -> float:
        """The interval's half-width as a share of the mean."""
        return self.half_width_s / self.mean_s if self.mean_s > 0 else math.inf


def warm_up(times_s: FloatArray) -> int:
    """Return how many runs to leave out: those without which the mean of the others is known best (MSER-5).

    >>> warm_up(np.array([9.0, 5.0, 3.0, 2.0, 1.5] + [1.0, 1.02] * 50))
    5
    """
    groups = times_s[: len(times_s) // GROUP * GROUP].reshape(-1, GROUP).mean(axis=1)
    if len(groups) < 4:
        return 0
    left = np.arange(len(groups), 0, -1)
    total, square = np.cumsum(groups[::-1])[::-1], np.cumsum((groups**2)[::-1])[::-1]
    spread = np.maximum(square / left - (total / left) ** 2, 0.0) / left
    return GROUP * int(np.argmin(spread[: max(1, int(0.75 * len(groups)))]))


def steady_part(times_s: FloatArray) -> Steady:
    """Return the steady part of float64[runs] seconds, its mean and the 95 % interval of that by batch means."""
    cut = warm_up(times_s)
    kept = times_s[cut:]
    mean_s = float(kept.mean())
    half_s = math.inf
    if len(kept) >= BATCHES:
        means = np.array([part.mean() for part in np.array_split(kept, BATCHES)])
        half_s = T_95 * float(means.std(ddof=1)) / math.sqrt(BATCHES)
    settled = cut <= MOST_WARM_UP * len(times_s)
    if not settled:  # what still moves is known no better than by how far it moved
        first, second = np.array_split(times_s, 2)
        half_s = max(half_s, abs(float(first.mean() - second.mean())))
    p50_s, p95_s = (float(figure) for figure in np.percentile(kept, [50, 95]))
    return Steady(cut, len(kept), mean_s, half_s, p50_s, p95_s, settled)


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
