"""Several commitments over several futures: brute force on small grids, the bound, steps, sunk ones and utilisation."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.plan.commit.outlook import Outlook, judge
from tightrope.plan.commit.sizing import find_cheapest_commitments, find_undominated
from tightrope.plan.problem.arrays import CommitmentOption

INF = float("inf")
ON_DEMAND = (1.0, 0.8)


def brute_force(view: Outlook, covers: list[CommitmentOption], grids: list[list[float]], min_utilisation: float = 0.0) -> float:
    """Return the lowest expected bill over every combination of amounts."""
    found = []
    for amounts in itertools.product(*grids):
        outcome = judge(view, covers, np.array(amounts))
        added = np.array(amounts) > np.array([cover.existing_usd_per_hour for cover in covers])
        if np.all(outcome.worst_utilisation[added] >= min_utilisation - 1e-9):
            found.append(outcome.expected_usd_per_month)
    return min(found)


def family_and_all(cover: Callable[..., CommitmentOption]) -> list[CommitmentOption]:
    """Return a plan for each of two families, and one for both."""
    return [cover([0.6, INF], order=2), cover([INF, 0.5], order=2), cover([0.75, 0.6], order=3)]


@given(seed=st.integers(0, 100_000))
@settings(max_examples=12, deadline=None)
def test_no_combination_on_a_grid_is_cheaper(
    cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook], seed: int
) -> None:
    random = np.random.default_rng(seed)
    view = outlook(random.integers(0, 5, (2, 2, 4)), ON_DEMAND, weight=[0.3, 0.7])
    covers = family_and_all(cover)
    sized = find_cheapest_commitments(view, covers)
    grids = [[0.6 * n for n in range(5)], [0.5 * n for n in range(5)], [0.3 * n for n in range(19)]]
    best = brute_force(view, covers, grids)
    assert sized.expected_usd_per_month <= best * (1.0 + 5e-4)
    assert sized.bound_usd_per_month <= min(best, sized.expected_usd_per_month) * (1.0 + 1e-9)
    assert sized.expected_usd_per_month == pytest.approx(judge(view, covers, sized.usd_per_hour).expected_usd_per_month)


def test_whole_machines_and_a_plan_together(cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]) -> None:
    random = np.random.default_rng(8)
    view = outlook(random.integers(0, 6, (3, 2, 8)), ON_DEMAND)
    covers = [cover([0.55, INF], order=1, step=0.55), cover([0.7, 0.56], order=3)]
    sized = find_cheapest_commitments(view, covers)
    grids = [[0.55 * n for n in range(7)], [0.02 * n for n in range(300)]]
    assert sized.expected_usd_per_month <= brute_force(view, covers, grids) * (1.0 + 2e-4)
    assert sized.usd_per_hour[0] / 0.55 == pytest.approx(round(sized.usd_per_hour[0] / 0.55), abs=1e-9)


def test_futures_count_by_their_weight(cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]) -> None:
    """At a discount of 40 % the 2 sure machines are covered, and the 3 that come with probability 0.7, not with 0.5."""
    hours = np.array([[[5.0]], [[2.0]]])
    covers = [cover([0.6])]
    assert find_cheapest_commitments(outlook(hours, [1.0], weight=[0.7, 0.3]), covers).usd_per_hour == pytest.approx([3.0])
    assert find_cheapest_commitments(outlook(hours, [1.0], weight=[0.5, 0.5]), covers).usd_per_hour == pytest.approx([1.2])


def test_what_exists_is_paid_and_counts_first(cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]) -> None:
    """4 machines always; 5 are already covered by a poor plan, so no good one is worth buying."""
    view = outlook(np.full((1, 1, 3), 4.0), [1.0])
    covers = [cover([0.6], order=3), cover([0.9], order=1, existing=4.5)]
    sized = find_cheapest_commitments(view, covers)
    assert sized.usd_per_hour.tolist() == [0.0, 4.5]
    assert sized.expected_usd_per_month == pytest.approx(730 * 4.5)
    assert sized.bound_usd_per_month <= 730 * 4.5 + 1e-6
    half = [cover([0.6], order=3), cover([0.9], order=1, existing=1.8)]
    assert find_cheapest_commitments(view, half).usd_per_hour == pytest.approx([1.2, 1.8], abs=1e-3)


def test_a_least_utilisation_holds_in_every_future(
    cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]
) -> None:
    random = np.random.default_rng(4)
    view = outlook(random.integers(0, 6, (3, 2, 8)), ON_DEMAND)
    covers = family_and_all(cover)
    free = find_cheapest_commitments(view, covers)
    sized = find_cheapest_commitments(view, covers, min_utilisation=0.9)
    outcome = judge(view, covers, sized.usd_per_hour)
    assert judge(view, covers, free.usd_per_hour).worst_utilisation.min() < 0.9
    assert outcome.worst_utilisation.min() >= 0.9 - 1e-9
    assert sized.usd_per_hour.sum() > 0.0
    grids = [[0.15 * n for n in range(12)], [0.125 * n for n in range(12)], [0.15 * n for n in range(24)]]
    assert sized.expected_usd_per_month <= brute_force(view, covers, grids, 0.9) * 1.005
    assert sized.expected_usd_per_month >= free.expected_usd_per_month - 1e-6


def test_a_least_utilisation_of_one_commitment(cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]) -> None:
    """Hours of 4 and 2 machines: 4 are used at 75 %, 2 always, and 3 at 83 %."""
    view = outlook(np.array([[[4.0, 2.0]]]), [1.0])
    covers = [cover([0.4])]
    assert find_cheapest_commitments(view, covers).usd_per_hour == pytest.approx([1.6])
    assert find_cheapest_commitments(view, covers, 0.99).usd_per_hour == pytest.approx([0.8 / 0.98 * 1.0], abs=0.01)


def test_whole_machines_that_would_idle_are_not_bought(
    cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]
) -> None:
    """One machine for 7 of 10 hours: cheaper reserved at 0.5, and used too little."""
    view = outlook(np.array([[[1.0] * 7 + [0.0] * 3]]), [1.0])
    covers = [cover([0.5], step=0.5)]
    assert find_cheapest_commitments(view, covers, 0.7).usd_per_hour.tolist() == [0.5]
    assert find_cheapest_commitments(view, covers, 0.8).usd_per_hour.tolist() == [0.0]


def test_what_saves_nothing_is_not_bought(cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]) -> None:
    view = outlook(np.full((1, 2, 3), 1.0), ON_DEMAND)
    sized = find_cheapest_commitments(view, [cover([1.0, 0.9]), cover([1.2, INF], existing=0.4)])
    assert sized.usd_per_hour.tolist() == [0.0, 0.4]
    assert sized.expected_usd_per_month == pytest.approx(730 * 2.2)


def test_only_what_may_grow_grows(cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]) -> None:
    view = outlook(np.full((1, 2, 3), 4.0), ON_DEMAND)
    sized = find_cheapest_commitments(view, family_and_all(cover), may_grow=np.array([True, False, False]))
    assert sized.usd_per_hour == pytest.approx([2.4, 0.0, 0.0], abs=1e-3)
    nothing = find_cheapest_commitments(view, family_and_all(cover), may_grow=np.zeros(3, dtype=np.bool_))
    assert nothing.usd_per_hour.tolist() == [0.0, 0.0, 0.0]


def test_machines_that_nothing_covers_are_in_the_bill_and_the_bound(
    cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]
) -> None:
    view = outlook(np.full((1, 2, 3), 1.0), ON_DEMAND)
    covers = [cover([0.6, INF], order=2), cover([0.7, INF], order=3)]
    sized = find_cheapest_commitments(view, covers)
    assert sized.expected_usd_per_month == pytest.approx(730 * (0.6 + 0.8))
    assert sized.bound_usd_per_month == pytest.approx(730 * (0.6 + 0.8))


def test_nothing_to_cover_and_nothing_to_buy(cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]) -> None:
    idle = outlook(np.zeros((1, 2, 3)), ON_DEMAND)
    assert find_cheapest_commitments(idle, family_and_all(cover)).usd_per_hour.tolist() == [0.0, 0.0, 0.0]
    assert find_cheapest_commitments(idle, []).expected_usd_per_month == 0.0


@pytest.mark.parametrize(
    ("other", "stays"),
    [
        ({"rates": [0.6, 0.6]}, False),
        ({"rates": [0.6, INF]}, True),
        ({"rates": [0.8, 0.5]}, True),
        ({"rates": [0.6, 0.6], "term": 3}, False),
        ({"rates": [0.6, 0.6], "step": 0.6}, True),
    ],
)
def test_what_another_does_better_is_left_out(cover: Callable[..., CommitmentOption], other: dict, stays: bool) -> None:
    covers = [cover([0.7, 0.6]), cover(**other)]
    assert find_undominated(covers, np.array([True, True])).tolist() == [stays, True]
    assert find_undominated(covers, np.array([True, False])).tolist() == [True, False]


def test_of_two_alike_one_stays_the_shorter_one(cover: Callable[..., CommitmentOption]) -> None:
    assert find_undominated([cover([0.7]), cover([0.7])], np.array([True, True])).sum() == 1
    assert find_undominated([cover([0.7], term=3), cover([0.7])], np.array([True, True])).tolist() == [False, True]
