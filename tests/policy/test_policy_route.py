"""Shares are kept at every moment, not only in the long run; the emptiest replica wins."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tightrope.policy.routing import expected_wait, pick_by_share


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6).filter(any), st.integers(1, 3000))
def test_every_prefix_keeps_the_shares(parts: list[int], requests: int) -> None:
    shares = np.array(parts) / sum(parts)
    counts = np.bincount([pick_by_share(i, shares) for i in range(requests)], minlength=len(shares))
    assert np.abs(counts - requests * shares).max() < 3.0 + np.log2(requests)
    assert counts[shares == 0.0].sum() == 0


def test_rounding_in_the_shares_loses_nobody() -> None:
    shares = np.array([0.1] * 9 + [0.0999999, 0.0])
    assert max(pick_by_share(i, shares) for i in range(100_000)) == 9


def test_without_any_share_the_first_answers() -> None:
    assert pick_by_share(12345, np.zeros(3)) == 0


def test_twice_the_capacity_takes_twice_the_queue() -> None:
    assert expected_wait(1, 1.0) == expected_wait(3, 2.0)
    assert expected_wait(0, 1.0) < expected_wait(2, 2.0)
