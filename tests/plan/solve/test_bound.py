"""The bound's prices: never worth more than a committed dollar costs."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.plan.problem.arrays import Infeasible
from tightrope.plan.solve.bound import _cap_prices, find_lower_bound
from tightrope.plan.solve.decomposition import solve
from tightrope.plan.solve.relaxation import relax, relax_few
from tightrope.plan.solve.representative_blocks import reduce_blocks


@settings(max_examples=100)
@given(prices=st.lists(st.floats(-10.0, 1e3), min_size=3, max_size=3))
def test_prices_are_made_affordable(brute: ModuleType, prices: list[float]) -> None:
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,), plan="0.05"),), ((1.0, 2.0, 3.0),), block_hours=(100.0, 230.0, 400.0))
    given_prices, hours = np.array([prices]), np.array(case.block_hours)
    found = _cap_prices(case.problem, given_prices)
    assert (found >= 0.0).all()
    assert (found @ hours <= hours.sum() * (1.0 + 1e-9)).all()
    if (given_prices >= 0.0).all() and given_prices @ hours <= hours.sum():
        assert found.tolist() == given_prices.tolist()


def test_what_no_more_can_be_made_of_may_be_worth_any_price(brute: ModuleType) -> None:
    existing = {("compute-savings-plan-1y-no-upfront", ""): 0.05}
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,), plan="0.05"),), ((1.0, 2.0),), existing=existing, closed=True)
    assert _cap_prices(case.problem, np.array([[5.0, 0.5]])).tolist() == [[5.0, 0.5]]


def test_the_bound_of_a_commitment_made_already_is_what_it_saves(brute: ModuleType) -> None:
    # $0.05 an hour is paid anyway and covers one machine of $0.10; the disk of each is $0.01
    existing = {("compute-savings-plan-1y-no-upfront", ""): 0.05}
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,), plan="0.05"),), ((1.0, 2.0),), existing=existing, closed=True)
    by_hand = 730.0 * 0.05 + 365.0 * 0.10 + 365.0 * 3 * 0.01
    assert find_lower_bound(case.problem) == pytest.approx(by_hand)
    assert solve(case.problem).usd_per_month == pytest.approx(by_hand)
    assert brute.cheapest_month_usd(case.problem) == pytest.approx(by_hand)


def test_a_commitment_that_covers_nothing_is_paid_and_bounded(brute: ModuleType) -> None:
    existing = {("instance-savings-plan-1y-no-upfront", "r/other"): 0.40}
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), ((1.0,),), existing=existing, closed=True)
    by_hand = 730.0 * (0.40 + 0.11)
    assert solve(case.problem).usd_per_month == pytest.approx(by_hand)
    assert find_lower_bound(case.problem) == pytest.approx(by_hand)


def test_the_bound_lies_between_the_relaxation_and_the_plan(brute: ModuleType) -> None:
    case = brute.Case(
        (brute.Sold("m0.0", "0.30", (1.0,), plan="0.20"), brute.Sold("m1.0", "0.17", (0.5,), plan="0.12")),
        ((0.4, 1.3, 2.6, 3.1),),
    )
    relaxed, sharper = relax(case.problem).usd_per_month, relax(case.problem, whole=True).usd_per_month
    assert relaxed < sharper <= find_lower_bound(case.problem) * (1.0 + 1e-9) <= solve(case.problem).usd_per_month * (1.0 + 1e-9)


def test_two_windows_of_unlike_size_at_one_price_are_not_taken_for_one(brute: ModuleType) -> None:
    # work is worth nothing where machines idle anyway: equal prices must not hide that the hours' work differs
    case = brute.Case(
        (brute.Sold("m0.0", "0.30", (1.0,), work=1.0),), ((0.2, 0.2),), windows=(((0,), 900.0), ((1,), 1.9 * 3600.0))
    )
    found = find_lower_bound(case.problem)
    assert found <= brute.cheapest_with_work_usd(case.problem, 4) * (1 + 1e-9)
    assert found == pytest.approx(brute.cheapest_with_work_usd(case.problem, 4), rel=0.35)


def test_hours_whose_mean_asks_for_more_than_a_quota_are_planned_and_bounded(brute: ModuleType) -> None:
    # 1 + 3, 3 + 1 and 2 + 2 machines are four each; the means of some of these hours, rounded up, are five
    random = np.random.default_rng(0)
    rate = (np.array([(1, 3), (3, 1), (2, 2)])[random.integers(0, 3, 60)] - random.uniform(0.0, 0.9, (60, 2))).T
    sold = (brute.Sold("m0.0", "0.10", (1.0, 0.0), plan="0.06"), brute.Sold("m0.1", "0.10", (0.0, 1.0), plan="0.06"))
    problem = brute.Case(sold, tuple(map(tuple, rate)), quotas={"m0": 4}).problem
    with pytest.raises(Infeasible):
        relax(reduce_blocks(problem, 16)[0], whole=True)
    assert relax_few(problem, 16)[1].max() == 15
    plan = solve(problem)
    assert plan.machines.sum(axis=0).max() == 4
    assert 0.9 * plan.usd_per_month < find_lower_bound(problem) <= plan.usd_per_month * (1.0 + 1e-9)
