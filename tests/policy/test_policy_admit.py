"""Full queues stay bounded and fair, patience settles where it is told to, buckets fill and empty; and all of it compiles."""

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.perf.compress.cascade import margins
from tightrope.policy import admission, caching, routing
from tightrope.policy.admission import (
    MOST_SPREAD_S,
    RETRIED_S,
    bucket_level,
    bucket_wait_s,
    come_back_s,
    is_owed_a_place,
    may_enter,
    next_patience,
    queue_room,
)
from tightrope.policy.caching import is_checked
from tightrope.policy.routing import cheapest, goes_on, margin_of

POINT_TWO = np.array([0.1, 0.9]), np.array([0.9, 1.0]), np.array([0.0, 0.5])


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (admission.default_shed_wait_s, (0.5, 0.5)),
        (admission.next_patience, (0.5, True, 0.02)),
        (admission.queue_room, (3, 2.5, 0.7)),
        (admission.is_owed_a_place, (1, 3, 7, 6.0)),
        (admission.bucket_level, (0.5, 2.0, 3.0, 0.25)),
        (admission.bucket_wait_s, (0.5, 2.0)),
        (admission.come_back_s, (6.2, 0.5)),
        (caching.is_checked, (99, 0.01)),
        (routing.margin_of, (np.array([0.5, 0.2, 0.3], dtype=np.float32),)),
        (routing.goes_on, (0.2, 0.3)),
        (routing.cheapest, (*POINT_TWO, 0.95, 1.0)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_compiled_it_says_the_same(function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    assert numba.njit(function)(*arguments) == function(*arguments)


@given(replicas=st.integers(1, 50), per_s=st.floats(0.01, 1000.0), wait_s=st.floats(0.0, 60.0))
def test_the_room_is_what_may_enter_fills(replicas: int, per_s: float, wait_s: float) -> None:
    """Requests that come one by one, each to the emptiest replica, stop at the room, or one a replica off it by rounding."""
    ahead = int(wait_s * per_s) + 2
    while not may_enter(ahead, per_s, wait_s):
        ahead -= 1
    assert abs(queue_room(replicas, per_s, wait_s) - replicas * (ahead + 1)) <= (replicas if wait_s * per_s > 1e-9 else 0)


@given(st.integers(1, 40), st.lists(st.integers(0, 9), max_size=400))
def test_a_full_queue_is_bounded_and_gives_everybody_a_place(room: int, arrivals: list[int]) -> None:
    """Whoever comes, in any order, nobody leaving: never more than a quarter beyond the room, rounded up."""
    held: dict[int, int] = {}
    for tenant in arrivals:
        mine, present = held.get(tenant, 0), sum(held.values())
        tenants = len(held) + (tenant not in held)
        if present < room or is_owed_a_place(mine, tenants, present, float(room)):
            held[tenant] = mine + 1
    assert sum(held.values()) <= np.ceil(admission.FAIR_EXCESS * room)
    if room >= 10 and sum(held.values()) == room:
        assert set(held) == set(arrivals)


def test_patience_settles_where_so_many_are_late() -> None:
    """Answers take 1 + patience x Exp(1) and are late beyond 2.5: of a memoryless wait, 5 % are where patience is 1.5 / ln 20."""
    rng = np.random.default_rng(3)
    patience, seen, late_in_all = 1.0, [], 0
    for _ in range(60_000):
        late = bool(1.0 + patience * rng.exponential() > 2.5)
        late_in_all += late
        patience = next_patience(patience, late, 0.05)
        seen.append(patience)
    assert late_in_all / 60_000 == pytest.approx(0.05, abs=0.005)
    assert np.mean(seen[10_000:]) == pytest.approx(1.5 / np.log(20.0), rel=0.05)


@given(st.floats(0.0, 1.0), st.booleans(), st.floats(0.0, 0.5))
def test_patience_stays_within_its_bounds(patience: float, late: bool, share: float) -> None:
    assert admission.LEAST_PATIENCE <= next_patience(patience, late, share) <= 1.0


@given(st.floats(0.0, 5.0), st.floats(0.01, 100.0))
def test_a_bucket_holds_a_request_once_its_wait_is_over(level: float, per_s: float) -> None:
    assert bucket_level(level, per_s, 5.0, bucket_wait_s(level, per_s)) >= min(1.0, 1.0 - 1e-9)


@given(st.integers(1, 3000), st.floats(0.0, 1.0))
def test_the_checked_share_is_kept_at_every_moment(hits: int, share: float) -> None:
    assert abs(sum(is_checked(hit, share) for hit in range(hits)) - hits * share) <= 1.0


# -------------------------------------------------------------------------------------------------------------------- routing

SCORES = st.lists(st.floats(0.0, 1.0, width=32), min_size=2, max_size=8)


@given(SCORES, st.floats(-1.0, 1.0))
def test_the_margin_is_the_one_that_was_calibrated(scores: list[float], threshold: float) -> None:
    """At run time the same answers go on as when the threshold was chosen."""
    row = np.array(scores)
    assert margin_of(row) == margins(row[None, :])[0]
    assert goes_on(margin_of(row), threshold) == bool(margins(row[None, :])[0] < threshold)


VARIANT = st.tuples(
    st.one_of(st.floats(0.0, 10.0), st.just(float("nan"))),
    st.floats(0.5, 1.0),
    st.one_of(st.floats(0.0, 10.0), st.just(float("inf"))),
)


@given(st.lists(VARIANT, min_size=1, max_size=6), st.floats(0.5, 1.0), st.floats(0.0, 10.0))
def test_the_cheapest_is_good_enough_in_time_and_no_other_is_better(
    variants: list[tuple[float, float, float]], floor: float, within_s: float
) -> None:
    usd, quality, wait_s = (np.array(column) for column in zip(*variants, strict=True))
    found = cheapest(usd, quality, wait_s, floor, within_s)
    good = [index for index in range(len(variants)) if quality[index] >= floor]
    in_time = [index for index in good if wait_s[index] <= within_s]
    if not good:
        assert found == -1
    elif not in_time:
        assert found in good
        assert wait_s[found] == min(wait_s[good])
    else:
        assert found in in_time
        known = [usd[index] for index in in_time if not np.isnan(usd[index])]
        assert usd[found] == min(known) if known else np.isnan(usd[found])


@given(st.floats(0.0, 1e7), st.floats(0.0, 1.0, exclude_max=True))
def test_nobody_is_told_to_come_back_too_soon_or_much_too_late(needed_s: float, draw: float) -> None:
    seconds, exact_s = come_back_s(needed_s, draw)
    for told_s in (seconds, exact_s):
        assert max(1.0, needed_s) <= told_s <= max(1.0, needed_s) + min(MOST_SPREAD_S, max(1.0, 0.5 * needed_s)) + 1.0
        assert told_s <= RETRIED_S or needed_s > RETRIED_S


@pytest.mark.parametrize(
    ("needed_s", "seconds"),
    [(0.1, {1, 2}), (6.0, {6, 7, 8, 9}), (59.0, {59, 60}), (4e6, {*range(4_000_000, 4_000_181)})],
    ids=["at once", "soon", "as long as is waited", "next month"],
)
def test_those_told_together_do_not_come_back_together(needed_s: float, seconds: set[int]) -> None:
    told = [come_back_s(needed_s, draw / 10_000)[0] for draw in range(10_000)]
    assert set(told) == seconds
    assert max(told.count(second) for second in seconds) <= 1.1 * len(told) / len(seconds)
