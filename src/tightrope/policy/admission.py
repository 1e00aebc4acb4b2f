"""Who may come in: to a gateway, a replica's queue, a token server's running batch; pure functions, compiled and called plain."""

import math

FAIR_EXCESS = 1.25
"""How far beyond its room a full queue takes those that have less than their share of it."""
DEFAULT_SHARE = 0.5
"""Of a promised time, what a request may wait where nothing is said: the rest is for the answer, and for waits that turn out longer."""
PATIENCE_STEP = 0.02
"""What one late answer takes off the patience."""
LEAST_PATIENCE = 1 / 64
SPREAD_SHARE = 0.5
"""Of the time that a client must stay away, what is added at most so that those refused together do not all come back together."""
LEAST_SPREAD_S, MOST_SPREAD_S = 1.0, 180.0
RETRIED_S = 60.0
"""Clients that ask again by themselves wait so long and no longer (OpenAI's: 60 s, in newer versions 120 s)."""


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
    """Return whether deferrable work may join: called only when no interactive request waits, up to ``limit`` sequences.

    >>> may_start_deferrable(3, 4), may_start_deferrable(4, 4)
    (True, False)
    """
    return sequences < limit


def default_shed_wait_s(promised_s: float, patience: float) -> float:
    """Return the wait beyond which a request is turned away where its class does not say: a part of the promised time.

    >>> default_shed_wait_s(0.2, 1.0), default_shed_wait_s(0.2, 0.5)
    (0.1, 0.05)
    """
    return DEFAULT_SHARE * promised_s * patience


def next_patience(patience: float, late: bool, late_share: float) -> float:
    """Return the patience (up to 1) after one more answer, so that in the long run ``late_share`` of the answers are late.

    Each late answer takes a step off, each other gives back as much as balances that: a quantile found by stochastic approximation
    (Robbins and Monro, 1951). It needs to know neither how fast engines are nor how their times are spread.

    >>> round(next_patience(0.5, True, 0.02), 4), round(next_patience(0.5, False, 0.02), 4)
    (0.4804, 0.5004)
    """
    moved = patience + PATIENCE_STEP * (late_share - (1.0 if late else 0.0))
    return min(1.0, max(LEAST_PATIENCE, moved))


def queue_room(replicas: int, requests_per_s: float, shed_wait_s: float) -> int:
    """Return how many requests ``may_enter`` lets into the queues of so many replicas that share them evenly.

    >>> queue_room(3, 2.0, 2.0)
    15
    """
    return replicas * (math.floor(requests_per_s * shed_wait_s) + 1)


def is_owed_a_place(mine: int, tenants: int, present: int, room: float) -> bool:
    """Return whether a tenant with ``mine`` of the ``present`` requests may come into a full queue: it has less than its share.

    ``tenants`` have requests there, this one included. A queue goes ``FAIR_EXCESS`` beyond its room for such, and no further; whoever
    has more than its share is kept out until the queue is no longer full, so that nobody can fill it against others.

    >>> is_owed_a_place(0, 2, 10, 10.0), is_owed_a_place(5, 2, 10, 10.0), is_owed_a_place(0, 2, 13, 10.0)
    (True, False, False)
    """
    return mine * tenants < room and present < FAIR_EXCESS * room


def bucket_level(level: float, requests_per_s: float, capacity: float, passed_s: float) -> float:
    """Return what a token bucket holds after ``passed_s`` more: it fills at the rate, up to its capacity.

    >>> bucket_level(1.0, 2.0, 10.0, 3.0), bucket_level(1.0, 2.0, 10.0, 30.0)
    (7.0, 10.0)
    """
    return min(capacity, level + requests_per_s * passed_s)


def bucket_wait_s(level: float, requests_per_s: float) -> float:
    """Return the time until a token bucket holds one whole request.

    >>> bucket_wait_s(0.5, 2.0), bucket_wait_s(3.0, 2.0)
    (0.25, 0.0)
    """
    return max(0.0, (1.0 - level) / requests_per_s)


def come_back_s(needed_s: float, draw: float) -> tuple[int, float]:
    """Return when a client is told to come back: in whole seconds, and exactly, where that can be said; never sooner than is needed.

    ``draw``, uniform from 0 to below 1, spreads it over up to half as long again, 1 s at least and 3 min at most; a wait that clients
    take upon themselves stays one.

    >>> come_back_s(0.2, 0.0), come_back_s(0.2, 0.5), come_back_s(6.2, 0.99)
    ((1, 1.0), (2, 1.5), (10, 9.269))
    >>> come_back_s(50.0, 0.99), come_back_s(86_400.0, 0.5)
    ((60, 59.9), (86490, 86490.0))
    """
    least_s = max(1.0, needed_s)
    spread_s = min(MOST_SPREAD_S, max(LEAST_SPREAD_S, SPREAD_SHARE * least_s))
    if least_s <= RETRIED_S:
        spread_s = min(spread_s, RETRIED_S - least_s)
    return math.ceil(least_s) + math.floor(draw * (1 + math.floor(spread_s))), least_s + draw * spread_s
