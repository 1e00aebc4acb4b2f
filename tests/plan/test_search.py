"""The search of one block: as cheap as trying everything, never a bound too high, and nothing left to the solver that it can do."""

from types import ModuleType

import pytest

from tightrope.plan import search
from tightrope.plan.search import cheapest_fleet, may_search


def test_a_fleet_that_mixes_sizes_is_found_and_proven(brute: ModuleType) -> None:
    # 7.5 at 3 a large and 1 a small machine: two large and two small at 2 × 2.5 + 2 × 1.0, for rounding makes three large dearer
    case = brute.Case((brute.Sold("m0.0", "2.50", (3.0,)), brute.Sold("m1.0", "1.00", (1.0,))), ((7.5,),))
    problem = case.problem
    fleet = cheapest_fleet(problem, 0, problem.usd_per_hour, 0.0)
    assert fleet is not None
    assert fleet.machines.tolist() == [2, 2]
    assert fleet.usd_per_hour == pytest.approx(7.04)
    assert fleet.bound_usd_per_hour == pytest.approx(7.04)


def test_a_walk_cut_short_claims_less_and_never_too_much(brute: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    sold = tuple(brute.Sold(f"m{m}.0", f"0.{30 + 7 * m}", (1.0 + 0.24 * m, 0.8 + 0.31 * m)) for m in range(6))
    problem = brute.Case(sold, ((9.3,), (7.1,))).problem
    whole = cheapest_fleet(problem, 0, problem.usd_per_hour, 0.0)
    monkeypatch.setattr(search, "MOST_STEPS", 3)
    short = cheapest_fleet(problem, 0, problem.usd_per_hour, 0.0)
    assert whole is not None
    assert short is not None
    assert whole.bound_usd_per_hour == pytest.approx(whole.usd_per_hour)
    assert 0.9 * whole.usd_per_hour < short.bound_usd_per_hour <= whole.usd_per_hour <= short.usd_per_hour


def test_work_that_waits_is_left_to_the_solver(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.30", (1.0,), work=1.0),)
    problem = brute.Case(sold, ((0.2, 0.2),), windows=(((1,), 900.0),)).problem
    assert may_search(problem, 0)
    assert not may_search(problem, 1)
