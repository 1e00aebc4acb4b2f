"""Requests as rows: some of them taken, those of a cascade that go on to another model, and each as whoever asked saw it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.replay.records import ANSWERED, CACHED, FleetClass, Outcome, Traffic


def take_requests(traffic: Traffic, rows: IntArray) -> Traffic:
    """Return the requests at ``rows``, int64[requests], in that order; a row may come more than once."""
    block_start, blocks = traffic.block_start, traffic.blocks
    if block_start is not None and blocks is not None:
        sizes = np.diff(block_start)[rows]
        start = starts_of(sizes)
        blocks = blocks[np.repeat(block_start[:-1][rows] - start[:-1], sizes) + np.arange(start[-1])]
        block_start = start
    return Traffic(
        time_s=traffic.time_s[rows],
        traffic_class=traffic.traffic_class[rows],
        input_tokens=traffic.input_tokens[rows],
        output_tokens=traffic.output_tokens[rows],
        key=None if traffic.key is None else traffic.key[rows],
        deadline_s=None if traffic.deadline_s is None else traffic.deadline_s[rows],
        block_start=block_start,
        blocks=blocks,
    )


def starts_of(sizes: IntArray) -> IntArray:
    """Return where lists of these sizes begin one after another, int64[sizes + 1]."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def going_on(requests: int, share: float) -> IntArray:
    """Return which of a class's requests go on, by their numbers: spread evenly, so that any stretch has its share.

    >>> going_on(10, 0.3).tolist(), going_on(3, 1.0).tolist()
    ([3, 6, 9], [0, 1, 2])
    """
    return np.flatnonzero(np.diff(np.floor(np.arange(requests + 1) * share + 1e-9)) > 0.0)


def with_followers(classes: Sequence[FleetClass], traffic: Traffic) -> Traffic:
    """Return the traffic with the requests that go on from others behind all others; itself where no class follows another.

    Who goes on asks the large model what it asked the small one: the same prompt, an answer of the length that the trace has.
    """
    names, count = [item.name for item in classes], len(traffic.time_s)
    rows, kinds, parts = [np.arange(count)], [traffic.traffic_class], [np.full(count, -1, dtype=np.int64)]
    for index, item in enumerate(classes):
        if item.follows:
            asked = np.flatnonzero(traffic.traffic_class == names.index(item.follows))
            asked = asked[going_on(len(asked), item.follow_share)]
            rows.append(asked)
            kinds.append(np.full(len(asked), index, dtype=np.int64))
            parts.append(asked)
    if len(rows) == 1:
        return traffic
    kind, after = np.concatenate(kinds), np.concatenate(parts)
    return replace(take_requests(traffic, np.concatenate(rows)), traffic_class=kind, key=_keys(traffic, rows, kinds), after=after)


def _keys(traffic: Traffic, rows: list[IntArray], kinds: list[IntArray]) -> IntArray | None:
    """Return all keys, those of what goes on beyond all others: the answers of two models are two answers."""
    if traffic.key is None:
        return None
    beyond = int(traffic.key.max(initial=-1)) + 1
    own, *followers = rows
    keys = [traffic.key[own]]
    for asked, kind in zip(followers, kinds[1:], strict=True):
        key = traffic.key[asked]
        keys.append(np.where(key >= 0, key + beyond * (1 + kind), -1))
    return np.concatenate(keys)


def came_s(traffic: Traffic, ended: np.ndarray, finish_s: FloatArray) -> FloatArray | None:
    """Return when each request came to the fleet, float64[requests]: of those that go on, when the first part was answered, or never.

    None where nobody goes on.
    """
    if traffic.after is None:
        return None
    after = np.maximum(traffic.after, 0)
    answered = np.isin(ended[after], (ANSWERED, CACHED))
    return np.where(traffic.after < 0, traffic.time_s, np.where(answered, finish_s[after], np.inf))


def as_asked(outcome: Outcome) -> Outcome:
    """Return the outcome as whoever asked saw it: a request that went on counts once, under the class that was asked, to its last answer.

    What the small model answered is shown when it is whole, since only then is it known whether it will do. First parts that went on
    have the class -1, which is nobody's.
    """
    after = outcome.traffic.after
    if after is None:
        return outcome
    follower = np.flatnonzero(after >= 0)
    kind, first_s = outcome.traffic.traffic_class.copy(), outcome.first_s.copy()
    begins = np.isin(kind, np.unique(kind[after[follower]]))
    first_s[begins] = outcome.finish_s[begins]
    kind[follower] = kind[after[follower]]
    kind[after[follower]] = -1
    return replace(outcome, traffic=replace(outcome.traffic, traffic_class=kind), first_s=first_s)
