"""The Kubernetes HorizontalPodAutoscaler's rules as pure functions, compiled by the replay, and KEDA's for the way from zero and back.

Sources (read 2026-11): Kubernetes documentation, "Horizontal Pod Autoscaling", sections *Algorithm details*, *Scaling policies* and
*Stabilization window*; where it is silent, the controller's ``replica_calculator.go`` and ``horizontal.go``; KEDA
documentation, "Scaling Deployments": 0 to 1 and back is the operator's, with ``cooldownPeriod`` 300 s by default. Rounds of the control
loop are numbered; what was recommended and changed in each stands in rings, at the round's number modulo their length.
"""

import math

from tightrope.base.records import FloatArray, IntArray

NO_RECOMMENDATION = -1
SELECT_MAX, SELECT_MIN, SELECT_DISABLED = 0, 1, 2
RULE_PODS, RULE_PERCENT = 0.0, 1.0
ROUNDING = 1e-9
"""Ratios this little above a whole number are that number: they come from sums of float64."""


def wakes(waiting: int, present: int) -> bool:
    """Return whether a pool at zero starts its first machine: somebody waits, and none that could answer is there or on its way.

    >>> wakes(1, 0), wakes(1, 1), wakes(0, 0)
    (True, False, False)
    """
    return waiting > 0 and present == 0


def sleeps(idle_s: float, cooldown_s: float, relieved: bool) -> bool:
    """Return whether a pool that was woken goes back to zero: nobody came for so long, or one that is scheduled has taken over.

    >>> sleeps(299.0, 300.0, False), sleeps(300.0, 300.0, False), sleeps(0.0, 300.0, True)
    (False, True, True)
    """
    return relieved or idle_s >= cooldown_s


def desired_for_total(current: int, total: float, target: float, tolerance: float) -> int:
    """Return the replicas that bring a metric of the whole pool to ``target`` each; ``current`` within the tolerance.

    Every replica counts, ready or not.

    >>> [desired_for_total(4, total, 0.6, 0.1) for total in (3.6, 2.52, 1.2)]
    [6, 4, 2]
    """
    if 1.0 - tolerance <= total / (target * current) <= 1.0 + tolerance:
        return current
    return math.ceil(total / target - ROUNDING)


def desired_for_pods(
    current: int, measured_total: float, measured: int, missing: int, unready: int, target: float, tolerance: float
) -> int:
    """Return the replicas that bring a metric measured on each of ``measured`` pods to ``target``; ``current`` where that is unsure.

    On a way up, pods without a metric and those not ready count as 0; on a way down, pods without a metric as the target. Where
    that turns the decision round, nothing changes. NO_RECOMMENDATION where nothing is measured.

    >>> desired_for_pods(4, 3.6, 4, 0, 0, 0.6, 0.1), desired_for_pods(4, 3.6, 2, 0, 2, 0.6, 0.1)
    (6, 6)
    >>> desired_for_pods(4, 0.6, 3, 1, 0, 0.6, 0.1), desired_for_pods(4, 1.8, 3, 1, 0, 0.6, 0.1)
    (2, 3)
    """
    if measured == 0:
        return NO_RECOMMENDATION
    ratio = measured_total / measured / target
    rising = unready > 0 and ratio > 1.0
    if not rising and missing == 0:
        return current if 1.0 - tolerance <= ratio <= 1.0 + tolerance else math.ceil(ratio * measured - ROUNDING)
    total, pods = measured_total, measured + missing
    if missing > 0 and ratio < 1.0:
        total += missing * target
    if rising:
        pods += unready
    sure = total / pods / target
    turned = (ratio < 1.0 < sure) or (sure < 1.0 < ratio)
    if 1.0 - tolerance <= sure <= 1.0 + tolerance or turned:
        return current
    wanted = math.ceil(sure * pods - ROUNDING)
    backwards = (sure < 1.0 and wanted > current) or (sure > 1.0 and wanted < current)
    return current if backwards else wanted


def stabilised(current: int, recommended: IntArray, now: int, up_rounds: int, down_rounds: int) -> int:
    """Return ``current`` moved no further than every recommendation of the last rounds agrees to.

    ``recommended`` is a ring with round ``now``'s in it; windows of ``up_rounds`` and ``down_rounds`` rounds count it too.

    >>> import numpy as np
    >>> ring = np.array([3, 5, 2])
    >>> stabilised(6, ring, 2, 1, 3), stabilised(6, ring, 2, 1, 1), stabilised(1, ring, 2, 1, 3), stabilised(1, ring, 2, 3, 3)
    (5, 2, 2, 2)
    """
    newest = recommended[now % len(recommended)]
    least, most = newest, newest
    for back in range(1, max(up_rounds, down_rounds)):
        value = recommended[(now - back) % len(recommended)]
        if value != NO_RECOMMENDATION:
            if back < up_rounds:
                least = min(least, value)
            if back < down_rounds:
                most = max(most, value)
    return int(min(max(current, least), most))


def limited(current: int, desired: int, changed: IntArray, now: int, sync_s: float, rules: FloatArray, select: int) -> int:
    """Return ``desired``, or as much of the way there as the rules of its direction allow.

    ``rules`` is float64[rules, 3] of (pods or per cent, value, period_s). A rule counts from the number at its period's start:
    ``current`` less the changes of rounds before ``now`` that are less than a period ago, which stand in the ring ``changed``.

    >>> import numpy as np
    >>> none = np.zeros(8, dtype=np.int64)
    >>> up = np.array([[RULE_PODS, 4.0, 15.0], [RULE_PERCENT, 100.0, 15.0]])
    >>> [limited(current, 50, none, 5, 15.0, up, SELECT_MAX) for current in (1, 10)]
    [5, 20]
    >>> down = np.array([[RULE_PODS, 4.0, 60.0], [RULE_PERCENT, 10.0, 60.0]])
    >>> [limited(current, 10, none, 5, 15.0, down, SELECT_MAX) for current in (80, 72, 37)]
    [72, 64, 33]
    """
    if select == SELECT_DISABLED:
        return current
    up = 1 if desired > current else -1
    limit = current
    for i in range(len(rules)):
        start, back = current, 1
        while back * sync_s < rules[i, 2]:
            start -= changed[(now - back) % len(changed)]
            back += 1
        exact = start + up * rules[i, 1] if rules[i, 0] == RULE_PODS else start * (1.0 + up * rules[i, 1] / 100.0)
        allowed = math.ceil(exact - ROUNDING) if up > 0 else int(max(exact, 0.0) + ROUNDING)
        further = up * (allowed - limit) > 0
        if i == 0 or further == (select == SELECT_MAX):
            limit = allowed
    most = max(limit, current) if up > 0 else min(limit, current)
    return min(desired, most) if up > 0 else max(desired, most)
