"""When a kept answer may be given again: pure functions, compiled by the replay and called plain by a gateway."""

import math


def is_fresh(made_s: float, ttl_s: float, now_s: float) -> bool:
    """Return whether an answer made at ``made_s`` may still be given.

    >>> is_fresh(10.0, 60.0, 69.9), is_fresh(10.0, 60.0, 70.0)
    (True, False)
    """
    return now_s - made_s < ttl_s


def is_checked(hit: int, share: float) -> bool:
    """Return whether the cache's ``hit``-th answer (from 0) is also made anew to see whether it was right: evenly spread, ``share`` of all.

    >>> [hit for hit in range(12) if is_checked(hit, 0.25)]
    [3, 7, 11]
    """
    return math.floor((hit + 1) * share) > math.floor(hit * share)
