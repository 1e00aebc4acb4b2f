"""When a batching server starts its next batch: pure functions, compiled by the replay and called plain by a gateway."""


def batch_due_s(arrived_s: float, max_wait_s: float, answer_within_s: float, service_of_one_more_s: float) -> float:
    """Return when a partial batch must go: its first request has waited its longest, or could not take one more and be in time.

    ``service_of_one_more_s`` is the time of a batch with one request more than wait now.

    >>> batch_due_s(10.0, 0.5, float("inf"), 2.0), batch_due_s(10.0, 0.5, 2.25, 2.0)
    (10.5, 10.25)
    """
    return min(arrived_s + max_wait_s, arrived_s + answer_within_s - service_of_one_more_s)


def batch_size(waiting: int, max_batch: int, now_s: float, due_s: float) -> int:
    """Return how many waiting requests to run now; 0 means wait for more.

    A full batch goes at once; a partial one from ``due_s`` on. Both are points in time, since a wait computed back from a late
    clock can fall short of itself by rounding, and would never be over.

    >>> batch_size(3, 8, 2.0, 2.0), batch_size(3, 8, 2.0, 2.005), batch_size(9, 8, 2.0, 2.005)
    (3, 0, 8)
    """
    if waiting >= max_batch:
        return max_batch
    return waiting if now_s >= due_s else 0
