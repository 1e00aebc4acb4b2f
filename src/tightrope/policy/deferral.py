"""How much of the deferrable work runs now: pure functions, in the subset that numba compiles.

Deadlines come in order, each with the items that are due by it and not done; they are done in that order, so what is due by one needs
all that is due before it too.
"""

import math

from tightrope.base.records import FloatArray

URGENT_SHARE = 0.25
"""Work is urgent when less than so much of the time that it has is spare; until then what is interactive goes before it altogether."""


def least_slack_s(left_s: FloatArray, items: FloatArray, rate_per_s: float) -> float:
    """Return the least time that is spare at a deadline if ``rate_per_s`` items are done each second; negative is late.

    ``left_s`` is float64[deadlines], seconds from now, ascending; ``items`` float64[deadlines]. Infinite where nothing is due.

    >>> import numpy as np
    >>> float(least_slack_s(np.array([60.0, 100.0]), np.array([100.0, 300.0]), 5.0))
    20.0
    """
    total, least = 0.0, math.inf
    for index in range(len(left_s)):
        total += items[index]
        if items[index] > 0.0:
            least = min(least, left_s[index] - total / rate_per_s)
    return least


def needed_per_s(left_s: FloatArray, items: FloatArray) -> float:
    """Return the items a second with which everything is done just in time; infinite where something is overdue.

    >>> import numpy as np
    >>> float(needed_per_s(np.array([60.0, 100.0]), np.array([120.0, 300.0])))
    4.2
    """
    total, needed = 0.0, 0.0
    for index in range(len(left_s)):
        total += items[index]
        if items[index] > 0.0:
            needed = max(needed, total / left_s[index] if left_s[index] > 0.0 else math.inf)
    return needed


def urgency(slack_s: float, left_s: float) -> float:
    """Return how urgent work is with ``slack_s`` spare of the ``left_s`` to its deadline: 0 not at all, 1 without a second to lose.

    >>> [urgency(slack_s, 100.0) for slack_s in (60.0, 25.0, 10.0, 0.0, -5.0)]
    [0.0, 0.0, 0.6, 1.0, 1.0]
    """
    if slack_s <= 0.0 or left_s <= 0.0:
        return 1.0
    return max(0.0, 1.0 - slack_s / (URGENT_SHARE * left_s))


def in_flight_limit(learned: float, most: int, interactive_waits: bool, urgent: float, needed: float) -> int:
    """Return how many requests that can wait may be in flight now.

    While nobody waits who cannot, as many as was learned to be taken (``learned``), since what is idle costs the same. Else none until
    the work is urgent (``urgent``, 0..1), and from there on up to as many as it needs to be in time (``needed``).

    >>> [in_flight_limit(20.0, 64, waits, urgent, 8.0) for waits, urgent in ((False, 0.0), (True, 0.0), (True, 0.6), (True, 1.0))]
    [20, 0, 5, 8]
    """
    allowed = min(float(most), max(1.0, learned))
    if interactive_waits:
        return 0 if urgent <= 0.0 else math.ceil(min(math.floor(allowed), urgent * needed))
    return int(allowed)


def learn_taken(learned: float, most: int, refused_before: bool) -> float:
    """Return what is learned of an answer when as many as allowed were in flight: twice as many a round, one more once refused.

    >>> learn_taken(8.0, 64, False), learn_taken(8.0, 64, True), learn_taken(64.0, 64, False)
    (9.0, 8.125, 64.0)
    """
    return min(float(most), learned + (1.0 / learned if refused_before else 1.0))


def learn_refused(learned: float) -> float:
    """Return what is learned of a round in which one was turned away: half as many, at least one.

    >>> learn_refused(9.0), learn_refused(1.0)
    (4.5, 1.0)
    """
    return max(1.0, learned / 2.0)


def retry_after_s(tries: int) -> float:
    """Return the time to the next try after ``tries`` that did not succeed: it doubles from a second to five minutes.

    >>> [retry_after_s(tries) for tries in (1, 2, 5, 9, 10, 2000)]
    [1.0, 2.0, 16.0, 256.0, 300.0, 300.0]
    """
    return min(300.0, 2.0 ** min(tries - 1, 10))
