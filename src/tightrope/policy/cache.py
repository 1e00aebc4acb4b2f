"""When a kept answer may be given again: a pure function, compiled by the replay and called plain by a gateway."""


def is_fresh(made_s: float, ttl_s: float, now_s: float) -> bool:
    """Return whether an answer made at ``made_s`` may still be given.

    >>> is_fresh(10.0, 60.0, 69.9), is_fresh(10.0, 60.0, 70.0)
    (True, False)
    """
    return now_s - made_s < ttl_s
