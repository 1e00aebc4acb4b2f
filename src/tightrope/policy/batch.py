"""When a batching server starts its next batch: a pure function, compiled by the replay and called plain by a gateway."""


def batch_size(waiting: int, max_batch: int, now_s: float, due_s: float) -> int:
    """Return how many waiting requests to run now; 0 means wait for more.

    A full batch goes at once; a partial one from ``due_s`` on: the arrival of its oldest request plus the longest wait. Both are
    points in time, since a wait computed back from a late clock can fall short of itself by rounding, and would never be over.

    >>> batch_size(3, 8, 2.0, 2.0), batch_size(3, 8, 2.0, 2.005), batch_size(9, 8, 2.0, 2.005)
    (3, 0, 8)
    """
    if waiting >= max_batch:
        return max_batch
    return waiting if now_s >= due_s else 0
