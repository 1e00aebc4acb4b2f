"""The bound's prices: never worth more than a committed dollar costs."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.plan.bound import _affordable, lower_bound
from tightrope.plan.solve import relax, solve


@settings(max_examples=100)
@given(prices=st.lists(st.floats(-10.0, 1e3), min_size=3, max_size=3))
def test_prices_are_made_affordable(brute: ModuleType, prices: list[float]) -> None:
    problem = brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), ((1.0, 2.0, 3.0),)).problem
    given_prices = np.array(prices)
    found = _affordable(problem, given_prices)
    assert (found >= 0.0).all()
    assert found.mean() <= 1.0 + 1e-9
    if (given_prices >= 0.0).all() and given_prices.mean() <= 1.0:
        assert found.tolist() == given_prices.tolist()


def test_the_steps_never_lower_the_bound(brute: ModuleType) -> None:
    case = brute.Case(
        (brute.Sold("m0.0", "0.30", (1.0,), plan="0.20"), brute.Sold("m1.0", "0.17", (0.5,), plan="0.12")),
        ((0.4, 1.3, 2.6, 3.1),),
    )
    relaxation, known = relax(case.problem), solve(case.problem, case.prices).usd_per_month
    first, sharper = lower_bound(case.problem, relaxation), lower_bound(case.problem, relaxation, known)
    assert relaxation.usd_per_month <= first <= sharper <= known


def test_two_windows_of_unlike_size_at_one_price_are_not_taken_for_one(brute: ModuleType) -> None:
    # work is worth nothing where machines idle anyway: equal prices must not hide that the hours' work differs
    case = brute.Case(
        (brute.Sold("m0.0", "0.30", (1.0,), work=1.0),), ((0.2, 0.2),), windows=(((0,), 900.0), ((1,), 1.9 * 3600.0))
    )
    found = lower_bound(case.problem, relax(case.problem), solve(case.problem, case.prices).usd_per_month)
    assert found <= brute.cheapest_with_work_usd(case.problem, 4) * (1 + 1e-9)
    assert found == pytest.approx(brute.cheapest_with_work_usd(case.problem, 4), rel=0.35)
