"""When deferrable work runs: worked by hand, against a simulation second by second, and compiled as it is plain."""

import math

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.policy.deferral import (
    in_flight_limit,
    learn_refused,
    learn_taken,
    least_slack_s,
    needed_per_s,
    retry_after_s,
    urgency,
)

due = st.lists(st.tuples(st.floats(1.0, 1e5), st.integers(0, 10_000)), min_size=1, max_size=8).map(sorted)


@given(due, st.floats(0.01, 1e4))
def test_the_needed_rate_is_the_one_that_leaves_no_slack(work: list[tuple[float, int]], rate: float) -> None:
    left, items = (np.array(column, dtype=np.float64) for column in zip(*work, strict=True))
    needed = needed_per_s(left, items)
    if needed == 0.0:
        assert least_slack_s(left, items, rate) == math.inf
        return
    assert least_slack_s(left, items, needed) == pytest.approx(0.0, abs=1e-6 * left.max())
    assert (least_slack_s(left, items, rate) >= 0.0) == (rate >= needed) or rate == pytest.approx(needed)


@given(due, st.floats(0.5, 1e3))
def test_slack_is_what_doing_the_work_in_order_leaves(work: list[tuple[float, int]], rate: float) -> None:
    now, spare = 0.0, math.inf
    for left, items in work:
        now += items / rate
        spare = min(spare, left - now) if items else spare
    left, items = (np.array(column, dtype=np.float64) for column in zip(*work, strict=True))
    assert least_slack_s(left, items, rate) == pytest.approx(spare, rel=1e-9, abs=1e-6)


def test_overdue_work_needs_all_there_is() -> None:
    left, items = np.array([-1.0, 50.0]), np.array([3.0, 10.0])
    assert needed_per_s(left, items) == math.inf
    assert least_slack_s(left, items, 10.0) < 0.0
    assert in_flight_limit(7.9, 64, interactive_waits=True, urgent=urgency(-1.0, 1.0), needed=math.inf) == 7


def test_more_urgent_as_slack_shrinks() -> None:
    said = [urgency(slack, 1000.0) for slack in range(400, -100, -10)]
    assert said == sorted(said)
    assert (said[0], said[-1]) == (0.0, 1.0)


@given(st.floats(1.0, 500.0), st.integers(1, 256), st.booleans(), st.floats(0.0, 1.0), st.floats(0.0, 1e4))
def test_interactive_work_only_ever_takes_away(learned: float, most: int, waits: bool, urgent: float, needed: float) -> None:
    limit = in_flight_limit(learned, most, waits, urgent, needed)
    idle = in_flight_limit(learned, most, False, urgent, needed)
    assert 0 <= limit <= idle <= most
    assert idle >= 1
    assert limit >= min(idle, math.floor(urgent * needed)) or not waits or urgent == 0.0


def test_it_finds_what_is_taken_and_stays_near_it() -> None:
    capacity, learned, refused, seen = 40, 1.0, False, []
    for _ in range(400):
        tried = int(learned)
        for _ in range(min(tried, capacity)):
            learned = learn_taken(learned, 256, refused)
        if tried > capacity:
            learned, refused = learn_refused(learned), True
        seen.append(learned)
    assert min(seen[50:]) >= capacity / 2 - 1
    assert max(seen[50:]) <= capacity + 2
    assert np.mean(seen[50:]) > 0.7 * capacity


def test_tries_grow_rarer() -> None:
    waits = [retry_after_s(tries) for tries in range(1, 30)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1.0, 300.0)


def test_compiled_as_plain() -> None:
    left, items = np.array([10.0, 90.0]), np.array([5.0, 100.0])
    assert numba.njit(least_slack_s)(left, items, 3.0) == least_slack_s(left, items, 3.0)
    assert numba.njit(needed_per_s)(left, items) == needed_per_s(left, items)
    assert numba.njit(urgency)(10.0, 90.0) == urgency(10.0, 90.0)
    assert numba.njit(in_flight_limit)(9.5, 64, True, 0.4, 10.0) == in_flight_limit(9.5, 64, True, 0.4, 10.0) == 4
    assert numba.njit(learn_taken)(9.5, 64, True) == learn_taken(9.5, 64, True)
    assert numba.njit(learn_refused)(9.5) == learn_refused(9.5)
    assert numba.njit(retry_after_s)(7) == retry_after_s(7)
