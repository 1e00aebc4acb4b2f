"""The Kubernetes HorizontalPodAutoscaler's rule as pure functions, compiled by the replay.

Source: Kubernetes documentation, "Horizontal Pod Autoscaling", sections *Algorithm details* and *Stabilization window*
(read 2026-11): ``desired = ceil(current * currentMetric / targetMetric)``, no change within the tolerance, and a scale-down to
no less than the highest recommendation of the stabilisation window.
"""

import math

from tightrope.base.records import IntArray


def desired_replicas(current: int, utilisation: float, target_utilisation: float, tolerance: float) -> int:
    """Return the replicas that bring ``utilisation`` (per current replica) to its target; ``current`` itself within the tolerance.

    For a metric of the whole pool, such as its request rate, ``current`` counts every replica, ready or not.

    >>> desired_replicas(4, 0.9, 0.6, 0.1), desired_replicas(4, 0.63, 0.6, 0.1), desired_replicas(4, 0.3, 0.6, 0.1)
    (6, 4, 2)
    """
    ratio = utilisation / target_utilisation
    if abs(ratio - 1.0) <= tolerance:
        return current
    return math.ceil(current * ratio - 1e-9)


def stabilised(recommendations: IntArray) -> int:
    """Return the replicas to run now: the highest of the window's recommendations, int64[syncs], the newest included.

    >>> import numpy as np
    >>> stabilised(np.array([3, 5, 2]))
    5
    """
    best = 0
    for value in recommendations:
        best = max(best, int(value))
    return best
