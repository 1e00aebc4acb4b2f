"""When a batching server starts its next batch, and with what: pure functions, compiled by the replay and called plain by a gateway.

*When* is ``batch_size`` and ``batch_due_s``: whatever waits goes at once if the batch is full, else from the moment that it is due.
``worth_waiting`` says whether there is a point in waiting at all. *With what* is ``choose_batch``, where texts differ in length: a batch
takes as long as its longest, so texts that stay far below it cost more together than alone. Where all have one length it takes the
first ones, as many as pay.

All they know of the engine is its service curve: ``service_s`` float64[largest batch, knots], seconds of a batch of 1, 2, … that is
padded to each of ``knots`` (lengths, ascending). Nothing is allocated: what is chosen is written where the caller says. To compile those
that call others of this file, make the others known with ``numba.extending.register_jitable``.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

from tightrope.base.records import FloatArray, IntArray

Floats: TypeAlias = FloatArray | Sequence[float]
"""Arrays where compiled, lists where plain, which are then faster."""
Integers: TypeAlias = IntArray | Sequence[int]
Curve: TypeAlias = FloatArray | Sequence[Sequence[float]]

LEAST_GAIN = 1.01
"""A batch saves at least this much of the time that its members take alone, or the first one goes alone: less is noise."""
AS_GOOD = 0.995
"""The smallest batch that saves nearly as much as the best does is taken: its members are answered sooner."""
WINDOW = 64
"""Requests from the front of a queue among which mates of near length are looked for; more only where a batch may be larger."""
ROOM = 0.25
"""Share of the shortest promised time that a batch of deferrable work may take an engine for."""
RATE_S = 10.0
"""Arrivals are counted over about so long."""


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


def batch_time_s(size: int, length: int, service_s: Curve, knots: Integers) -> float:
    """Return the seconds of a batch of ``size`` padded to ``length``: linear between knots, and in proportion beyond the last.

    >>> curve, knots = [[1.0, 2.0], [1.5, 3.5]], [10, 20]
    >>> [batch_time_s(2, length, curve, knots) for length in (5, 10, 15, 20, 40)]
    [1.5, 1.5, 2.5, 3.5, 7.0]
    """
    last = len(knots) - 1
    row = service_s[size - 1]
    if length <= knots[0]:
        return row[0]
    if length >= knots[last]:
        return row[last] if last == 0 else row[last] * (length / knots[last])
    right = 1
    while knots[right] < length:
        right += 1
    part = (length - knots[right - 1]) / (knots[right] - knots[right - 1])
    return row[right - 1] + part * (row[right] - row[right - 1])


def rate_after(rate_per_s: float, passed_s: float, count: int) -> float:
    """Return how many come in a second, ``count`` having come now and the rate having been known ``passed_s`` ago: an exponential mean.

    >>> rate_after(0.0, 0.0, 5), round(rate_after(8.0, 10.0, 0), 3)
    (0.5, 2.943)
    """
    return rate_per_s * math.exp(-passed_s / RATE_S) + count / RATE_S


def worth_waiting(rate_per_s: float, saved_s: float) -> bool:
    """Return whether an engine that could begin now saves time by waiting for one request more.

    The next comes after ``1 / rate_per_s`` on average, and is done ``saved_s`` sooner in the batch than alone.

    >>> worth_waiting(100.0, 0.02), worth_waiting(100.0, 0.005), worth_waiting(0.0, 1.0)
    (True, False, False)
    """
    return rate_per_s * saved_s > 1.0


def choose_batch(
    lengths: Integers,
    slack_s: Floats,
    order: Integers,
    most: int,
    planned: bool,
    service_s: Curve,
    knots: Integers,
    chosen: IntArray | list[int],
) -> int:
    """Write the places of those that go together to ``chosen`` (int64[most] or longer), the first waiting first; return how many.

    ``lengths`` int64[waiting] and ``slack_s`` float64[waiting] (time to the moment that each is to be answered by, infinite where none
    is) are in the order of the queue; ``order`` int64[waiting] holds their places by length, equals in the order of the queue. The first
    waiting always goes, so that nothing starves, whatever its length. From it the batch grows to the next shorter or longer one,
    whichever leaves it the greater gain (time alone over time together), as long as nobody in it who could be in time is made late;
    the size with the best gain is taken. ``planned`` takes as many as may go where all have one length, as the replay does.

    >>> curve, knots = [[1.0, 4.0], [1.2, 7.8], [1.4, 11.6]], [10, 40]
    >>> def choose(*lengths):
    ...     chosen, order = [0, 0, 0], sorted(range(len(lengths)), key=lengths.__getitem__)
    ...     return chosen[: choose_batch(lengths, [math.inf] * len(lengths), order, 3, False, curve, knots, chosen)]
    >>> choose(10, 40, 12, 10), choose(40, 10, 10), choose(40, 40)
    ([0, 3], [0], [0, 1])
    """
    if lengths[order[0]] == lengths[order[len(order) - 1]]:
        return first_together(lengths, slack_s, most, planned, service_s, knots, chosen)
    low = 0
    while order[low] != 0:
        low += 1
    high, longest, alone_s, limit_s = low, lengths[0], batch_time_s(1, lengths[0], service_s, knots), slack_s[0]
    if limit_s < alone_s:
        limit_s = math.inf
    chosen[0] = 0
    size, best, best_gain = 1, 1, LEAST_GAIN * AS_GOOD
    while size < min(most, len(order)):
        shorter, longer = 0.0, 0.0
        if low > 0:
            shorter = gain_with(order[low - 1], size, longest, alone_s, limit_s, lengths, slack_s, service_s, knots)
        if high < len(order) - 1:
            longer = gain_with(order[high + 1], size, longest, alone_s, limit_s, lengths, slack_s, service_s, knots)
        if max(shorter, longer) == 0.0:
            break
        low, high = (low - 1, high) if shorter >= longer else (low, high + 1)
        taken = order[low] if shorter >= longer else order[high]
        own_s = batch_time_s(1, lengths[taken], service_s, knots)
        longest, alone_s = max(longest, lengths[taken]), alone_s + own_s
        if slack_s[taken] >= own_s:
            limit_s = min(limit_s, slack_s[taken])
        chosen[size] = taken
        size += 1
        if max(shorter, longer) * AS_GOOD > best_gain:
            best, best_gain = size, max(shorter, longer)
    return best


def gain_with(
    place: int,
    size: int,
    longest: int,
    alone_s: float,
    limit_s: float,
    lengths: Integers,
    slack_s: Floats,
    service_s: Curve,
    knots: Integers,
) -> float:
    """Return the gain of a batch of ``size``, whose members take ``alone_s`` alone, with one more; 0 where one would be made late by it.

    ``limit_s`` is the least time that a member who can be in time has left; who is late already holds nobody back.
    """
    own_s = batch_time_s(1, lengths[place], service_s, knots)
    together_s = batch_time_s(size + 1, max(longest, lengths[place]), service_s, knots)
    if together_s > limit_s or own_s <= slack_s[place] < together_s:
        return 0.0
    return (alone_s + own_s) / together_s


def first_together(
    lengths: Integers,
    slack_s: Floats,
    most: int,
    planned: bool,
    service_s: Curve,
    knots: Integers,
    chosen: IntArray | list[int],
) -> int:
    """Do as ``choose_batch`` where all have one length: take the first ones, as many as pay, or as may go where it is ``planned``."""
    alone_s = batch_time_s(1, lengths[0], service_s, knots)
    limit_s = math.inf
    best, best_gain = 1, LEAST_GAIN * AS_GOOD
    for place in range(min(most, len(lengths))):
        chosen[place] = place
        together_s = batch_time_s(place + 1, lengths[0], service_s, knots)
        if slack_s[place] >= alone_s:
            limit_s = min(limit_s, slack_s[place])
        gain = (place + 1) * alone_s / together_s
        if planned or (place > 0 and together_s <= limit_s and gain * AS_GOOD > best_gain):
            best, best_gain = place + 1, gain
    return best


def may_fill(
    size: int,
    longest: int,
    limit_s: float,
    length: int,
    planned: bool,
    service_s: Curve,
    knots: Integers,
) -> bool:
    """Return whether one that can wait may fill up a batch of ``size`` padded to ``longest``.

    It may where it makes the batch no longer than it would take alone, it does not lengthen its padding, and nobody in the batch is made
    late (``limit_s``). A planned batch is filled up as the replay does it.

    >>> curve, knots = [[1.0, 4.0], [1.2, 7.8]], [10, 40]
    >>> [may_fill(1, longest, limit_s, 10, False, curve, knots) for longest, limit_s in ((10, 9.0), (40, 9.0), (10, 1.1))]
    [True, False, False]
    """
    if planned:
        return True
    together_s = batch_time_s(size + 1, longest, service_s, knots)
    more_s = together_s - batch_time_s(size, longest, service_s, knots)
    return length <= longest and together_s <= limit_s and more_s * LEAST_GAIN <= batch_time_s(1, length, service_s, knots)
