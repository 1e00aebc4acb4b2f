"""Many hours as few: those whose usage is alike are replaced by their mean.

What the cheapest cover of an hour costs is convex in the hour's usage, so the means never cost more than the hours they stand for
(Jensen, 1906): a linear programme on them is a lower bound of the one on all.
"""

import heapq

import numpy as np

from tightrope.base.records import FloatArray, IntArray


def cluster_hours(value: FloatArray, weight: FloatArray, group: IntArray, count: int) -> IntArray:
    """Return the cluster of each hour, int64[N], about ``count`` of them; hours of different groups never share one.

    ``value`` is float64[P, N] in comparable units (US dollars an hour), ``weight`` float64[N], ``group`` int64[N]. The cluster with
    the largest weighted spread is cut in two at its mean, along its widest option, until there are enough or all are single points.
    """
    label = group.copy()
    heap = [_measure_spread(value, weight, np.flatnonzero(group == each), int(each)) for each in np.unique(group)]
    heapq.heapify(heap)
    made = int(group.max()) + 1 if len(group) else 0
    while heap and len(heap) < count and heap[0][0] < 0.0:
        _, name, option, members = heapq.heappop(heap)
        mean = np.average(value[option, members], weights=weight[members])
        above = value[option, members] > mean
        label[members[above]] = made
        heapq.heappush(heap, _measure_spread(value, weight, members[~above], name))
        heapq.heappush(heap, _measure_spread(value, weight, members[above], made))
        made += 1
    return np.unique(label, return_inverse=True)[1].reshape(-1)


def _measure_spread(value: FloatArray, weight: FloatArray, members: IntArray, name: int) -> tuple[float, int, int, IntArray]:
    """Return the negative weighted variance along the widest option, the cluster's name, that option, and its hours."""
    mass = weight[members]
    inside = value[:, members]
    mean = inside @ mass / mass.sum()
    variance = ((inside - mean[:, None]) ** 2) @ mass
    option = int(np.argmax(variance))
    alike = bool(np.ptp(inside[option]) <= 1e-9 * max(1.0, float(np.abs(inside[option]).max())))
    return (0.0 if alike else -float(variance[option]), name, option, members)


def means(value: FloatArray, weight: FloatArray, label: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the weighted means of each cluster, float64[P, M], and its weight, float64[M]."""
    mass = np.bincount(label, weights=weight)
    total = np.zeros((len(value), len(mass)))
    for p, row in enumerate(value):
        total[p] = np.bincount(label, weights=row * weight, minlength=len(mass))
    return total / mass, np.asarray(mass, dtype=np.float64)
