"""A batch starts when it is full or due, and never later than that."""

from hypothesis import given
from hypothesis import strategies as st

from tightrope.policy.admit import may_admit, may_start_deferrable
from tightrope.policy.batch import batch_size


@given(st.integers(1, 100), st.integers(1, 32), st.floats(0.0, 1e7), st.floats(0.0, 10.0))
def test_a_batch_is_always_due_at_its_due_time(waiting: int, largest: int, arrived_s: float, wait_s: float) -> None:
    due_s = arrived_s + wait_s
    assert batch_size(waiting, largest, due_s, due_s) == min(waiting, largest)


def test_a_partial_batch_waits_and_a_full_one_does_not() -> None:
    assert batch_size(3, 4, 1.0, 1.5) == 0
    assert batch_size(4, 4, 1.0, 1.5) == 4
    assert batch_size(5, 4, 1.0, 1.5) == 4


def test_a_request_is_admitted_up_to_the_last_token_and_sequence() -> None:
    assert may_admit(96, 4000, 4096, 7, 8)
    assert not may_admit(97, 4000, 4096, 7, 8)
    assert not may_admit(1, 0, 4096, 8, 8)


def test_work_that_can_wait_stops_at_its_limit() -> None:
    assert [may_start_deferrable(sequences, 2) for sequences in range(4)] == [True, True, False, False]
