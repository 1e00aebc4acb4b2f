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
