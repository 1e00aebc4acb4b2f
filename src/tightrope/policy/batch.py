"""When a batching server starts its next batch: a pure function, compiled by the replay and called plain by a gateway."""


def batch_size(waiting: int, oldest_wait_s: float, max_batch: int, max_wait_s: float) -> int:
    """Return how many waiting requests to run now; 0 means wait for more.

    A full batch goes at once; a partial one goes when its oldest request has waited ``max_wait_s`` (0 never waits).

    >>> batch_size(3, 0.0, 8, 0.0), batch_size(3, 0.001, 8, 0.005), batch_size(9, 0.0, 8, 0.005)
    (3, 0, 8)
    """
    if waiting >= max_batch:
        return max_batch
    return waiting if oldest_wait_s >= max_wait_s else 0
