"""Who comes in, when a batch starts and how long an answer is kept: at the last moment, token and request, and never beyond."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tightrope.policy.admission import may_begin, may_enter, may_start_deferrable
from tightrope.policy.batching import batch_due_s, batch_size
from tightrope.policy.caching import is_fresh

TIMES = st.floats(0.0, 1e7)


@given(st.integers(1, 100), st.integers(1, 32), TIMES, st.floats(0.0, 10.0), st.floats(0.0, 60.0), st.floats(0.0, 5.0))
def test_a_batch_is_always_due_at_its_due_time(
    waiting: int, largest: int, arrived_s: float, wait_s: float, within_s: float, one_more_s: float
) -> None:
    due_s = batch_due_s(arrived_s, wait_s, within_s, one_more_s)
    assert due_s <= arrived_s + wait_s
    assert batch_size(waiting, largest, due_s, due_s) == min(waiting, largest)


def test_a_partial_batch_waits_and_a_full_one_does_not() -> None:
    assert batch_size(3, 4, 1.0, 1.5) == 0
    assert batch_size(4, 4, 1.0, 1.5) == 4
    assert batch_size(5, 4, 1.0, 1.5) == 4


def test_a_batch_goes_while_its_first_request_can_still_be_in_time() -> None:
    """Arrived at 10 s, to be answered by 12 s; a batch of one more takes 0.5 s: at 11.5 s, or sooner where the wait is shorter."""
    assert batch_due_s(10.0, 3.0, 2.0, 0.5) == 11.5
    assert batch_due_s(10.0, 1.0, 2.0, 0.5) == 11.0
    assert batch_due_s(10.0, 3.0, math.inf, 0.5) == 13.0
    assert batch_due_s(10.0, 3.0, 0.2, 0.5) < 10.0  # late whatever is done: at once


def test_a_prompt_begins_up_to_the_last_token_and_sequence() -> None:
    assert may_begin(96, 4000, 4096, 7, 8)
    assert not may_begin(97, 4000, 4096, 7, 8)
    assert not may_begin(1, 0, 4096, 8, 8)


def test_work_that_can_wait_stops_at_its_limit() -> None:
    assert [may_start_deferrable(sequences, 2) for sequences in range(4)] == [True, True, False, False]


@given(st.integers(0, 1000), st.floats(0.01, 100.0), st.floats(0.0, 100.0))
def test_who_is_turned_away_would_have_waited_too_long(ahead: int, requests_per_s: float, shed_wait_s: float) -> None:
    """Up to rounding: ``ahead`` requests are done in ahead / requests_per_s seconds."""
    wait_s = ahead / requests_per_s
    if may_enter(ahead, requests_per_s, shed_wait_s):
        assert wait_s <= shed_wait_s * (1.0 + 1e-9)
    else:
        assert wait_s >= shed_wait_s * (1.0 - 1e-9)


def test_an_empty_replica_turns_nobody_away_and_no_limit_means_none() -> None:
    assert may_enter(0, 1.0, 0.0)
    assert not may_enter(1, 1.0, 0.0)
    assert may_enter(10**9, 0.001, math.inf)


def test_an_answer_is_kept_for_less_than_its_time_to_live() -> None:
    assert [is_fresh(100.0, 60.0, now_s) for now_s in (100.0, 159.9, 160.0, 200.0)] == [True, True, False, False]
    assert not is_fresh(100.0, 0.0, 100.0)
