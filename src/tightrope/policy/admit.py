"""Who may come in: to a replica's queue, to a token server's running batch; pure functions, compiled and called plain."""


def may_enter(ahead: int, requests_per_s: float, shed_wait_s: float) -> bool:
    """Return whether a request may join a replica with ``ahead`` on it; one that would wait longer than that is turned away.

    What is turned away keeps the wait of what is admitted within ``shed_wait_s``, however much more comes than can be served.

    >>> may_enter(4, 2.0, 2.0), may_enter(5, 2.0, 2.0)
    (True, False)
    """
    return ahead / requests_per_s <= shed_wait_s


def may_begin(tokens: int, occupied_tokens: int, kv_capacity_tokens: int, sequences: int, max_sequences: int) -> bool:
    """Return whether a prompt of ``tokens`` may begin beside ``sequences`` others that occupy KV cache.

    Memory for the answer is found as it is written, as vLLM does: where there is none, a sequence is preempted.

    >>> may_begin(596, 3500, 4096, 3, 8), may_begin(597, 3500, 4096, 3, 8), may_begin(596, 3500, 4096, 8, 8)
    (True, False, False)
    """
    return sequences < max_sequences and occupied_tokens + tokens <= kv_capacity_tokens


def may_start_deferrable(sequences: int, limit: int) -> bool:
    """Return whether work that can wait may join: called only when no interactive request waits, up to ``limit`` sequences.

    >>> may_start_deferrable(3, 4), may_start_deferrable(4, 4)
    (True, False)
    """
    return sequences < limit
