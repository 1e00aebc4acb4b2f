"""Which variant answers, and which replica of it: pure functions, compiled by the replay and called plain by a gateway."""

import math

from tightrope.base.records import FloatArray

GOLDEN_RATIO_FRACTION = 0.6180339887498949
"""Fractional part of the golden ratio: multiples of it, modulo 1, fill the unit interval more evenly than random numbers do."""


def pick_by_share(sequence_number: int, shares: FloatArray) -> int:
    """Return the index that request ``sequence_number`` goes to; long-run shares equal ``shares`` (float64[n], sum 1).

    Low-discrepancy, not random: after any ``k`` requests each count is within a few of ``k * share``.

    >>> import numpy as np
    >>> counts = np.bincount([pick_by_share(i, np.array([0.25, 0.75])) for i in range(1000)])
    >>> counts.tolist()
    [251, 749]
    """
    turn = sequence_number * GOLDEN_RATIO_FRACTION
    point = turn - math.floor(turn)
    total = 0.0
    last = 0
    for index in range(len(shares)):
        if shares[index] > 0.0:
            last = index
            total += shares[index]
            if point < total:
                return index
    return last


def expected_wait(outstanding: int, weight: float) -> float:
    """Return what join-the-shortest-queue compares: requests on the replica, this one included, per unit of its capacity.

    >>> expected_wait(3, 2.0)
    2.0
    """
    return (outstanding + 1) / weight


def margin_of(scores: FloatArray) -> float:
    """Return by how much the likeliest class of ``scores`` (float[classes]) is likelier than the next; 1 where there is no other.

    >>> import numpy as np
    >>> f"{margin_of(np.array([0.2, 0.7, 0.1])):.3f}"
    '0.500'
    """
    best, second = -math.inf, -math.inf
    for score in scores:
        if score > best:
            best, second = score, best
        elif score > second:
            second = score
    return best - second if second > -math.inf else 1.0


def goes_on(margin: float, threshold: float) -> bool:
    """Return whether a small model's answer is not sure enough, so that the large one is asked.

    A margin that is no number is never sure; a threshold below 0 lets nothing go on.

    >>> goes_on(0.1, 0.2), goes_on(0.2, 0.2), goes_on(float("nan"), 0.2), goes_on(0.0, -1.0)
    (True, False, True, False)
    """
    return threshold >= 0.0 and not margin >= threshold


def threshold_towards(threshold: float, went_on: bool, share: float, step: float) -> float:
    """Return the threshold after one more answer, such that in the long run this share of them goes on.

    A stochastic approximation of the margins' quantile: it falls by ``step * (1 - share)`` where one went on, else it rises by
    ``step * share``, and stays within 0 and 1 (H. Robbins and S. Monro, 1951).

    >>> threshold_towards(0.5, True, 0.25, 0.01), threshold_towards(0.5, False, 0.25, 0.01)
    (0.4925, 0.5025)
    """
    return min(max(threshold + step * (share - (1.0 if went_on else 0.0)), 0.0), 1.0)


def cheapest(usd: FloatArray, quality: FloatArray, wait_s: FloatArray, quality_floor: float, within_s: float) -> int:
    """Return which variant may answer at the least cost: of those that are good enough, in time; -1 where none is good enough.

    All are float[variants]: cost of one answer (not a number where unknown: such go last), quality, and the wait expected. Where none is
    in time, it is the one with the shortest wait. Of equals the one with the shorter wait, then the first.

    >>> import numpy as np
    >>> usd, quality, wait_s = np.array([1.0, 3.0]), np.array([0.95, 1.0]), np.array([0.5, 0.1])
    >>> [cheapest(usd, quality, wait_s, *limits) for limits in ((0.9, 1.0), (0.9, 0.2), (0.99, 1.0), (0.9, 0.0), (1.1, 1.0))]
    [0, 1, 1, 1, -1]
    """
    best, best_late, best_usd, best_wait_s = -1, True, math.inf, math.inf
    for index in range(len(usd)):
        if quality[index] < quality_floor:
            continue
        late = wait_s[index] > within_s
        cost = 0.0 if late else (math.inf if math.isnan(usd[index]) else usd[index])
        if best < 0 or (late, cost, wait_s[index]) < (best_late, best_usd, best_wait_s):
            best, best_late, best_usd, best_wait_s = index, late, cost, wait_s[index]
    return best
