"""The recommendations to compare with, by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from tightrope.plan.commit.lookback import known, look_back
from tightrope.plan.commit.sizing import find_cheapest_commitments
from tightrope.plan.problem.arrays import CommitmentOption

INF = float("inf")


def test_only_the_last_days_count(cover: Callable[..., CommitmentOption]) -> None:
    """10 machines before, 4 in the last two days; the commitment at 0.7 USD covers the 4."""
    past = np.concatenate([np.full((1, 480), 10.0), np.full((1, 48), 4.0)], axis=1)
    plan = cover([0.7])
    assert look_back(past, np.ones(1), [plan], np.array([True]), days=2) == pytest.approx([2.8])
    assert look_back(past, np.ones(1), [plan], np.array([True]), days=20) == pytest.approx([7.0])


def test_what_is_not_proposed_is_not_bought(cover: Callable[..., CommitmentOption]) -> None:
    past = np.array([[4.0] * 24, [2.0] * 24])
    covers = [cover([0.6, INF], order=2), cover([INF, 0.6], order=2, existing=0.6), cover([0.75, 0.75], order=3)]
    found = look_back(past, np.ones(2), covers, np.array([False, False, True]), days=1)
    assert found == pytest.approx([0.0, 0.6, 0.75 * 5])


def test_who_knows_the_future_buys_for_it(cover: Callable[..., CommitmentOption]) -> None:
    covers = [cover([0.6, INF], order=2), cover([INF, 0.6], order=2), cover([0.75, 0.75], order=3)]
    moved = np.array([[4.0] * 12 + [0.0] * 12, [0.0] * 12 + [4.0] * 12])
    assert find_cheapest_commitments(known(moved, np.ones(2)), covers).usd_per_hour == pytest.approx([0.0, 0.0, 3.0], abs=0.01)
