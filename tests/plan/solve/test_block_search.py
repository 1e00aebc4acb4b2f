"""The search of one block: as cheap as trying everything, never a bound too high, and nothing left to the solver that it can do."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.plan.solve import block_search as search
from tightrope.plan.solve.block_search import BlockFleet, find_cheapest_fleet, may_search


def test_a_fleet_that_mixes_sizes_is_found_and_proven(brute: ModuleType) -> None:
    # 7.5 at 3 a large and 1 a small machine: two large and two small at 2 × 2.5 + 2 × 1.0, for rounding makes three large more expensive
    case = brute.Case((brute.Sold("m0.0", "2.50", (3.0,)), brute.Sold("m1.0", "1.00", (1.0,))), ((7.5,),))
    problem = case.problem
    fleet = find_cheapest_fleet(problem, 0, problem.usd_per_hour, 0.0)
    assert fleet is not None
    assert fleet.machines.tolist() == [2, 2]
    assert fleet.usd_per_hour == pytest.approx(7.04)
    assert fleet.bound_usd_per_hour == pytest.approx(7.04)


def test_a_walk_cut_short_claims_less_and_never_too_much(brute: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    sold = tuple(brute.Sold(f"m{m}.0", f"0.{30 + 7 * m}", (1.0 + 0.24 * m, 0.8 + 0.31 * m)) for m in range(6))
    problem = brute.Case(sold, ((9.3,), (7.1,))).problem
    whole = find_cheapest_fleet(problem, 0, problem.usd_per_hour, 0.0)
    monkeypatch.setattr(search, "MOST_STEPS", 3)
    short = find_cheapest_fleet(problem, 0, problem.usd_per_hour, 0.0)
    assert whole is not None
    assert short is not None
    assert whole.bound_usd_per_hour == pytest.approx(whole.usd_per_hour)
    assert 0.9 * whole.usd_per_hour < short.bound_usd_per_hour <= whole.usd_per_hour <= short.usd_per_hour


def test_work_that_waits_is_left_to_the_solver(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.30", (1.0,), work=1.0),)
    problem = brute.Case(sold, ((0.2, 0.2),), windows=(((1,), 900.0),)).problem
    assert may_search(problem, 0)
    assert not may_search(problem, 1)


@pytest.mark.parametrize("dear", [search.DEAR, 20.0, 0.5])
def test_what_is_dearer_to_serve_than_to_leave_is_served_still(
    brute: ModuleType, monkeypatch: pytest.MonkeyPatch, dear: float
) -> None:
    # quality 0.91 is asked for: at $12 an hour from an API, or from 15 machines of $1; leaving 0.01 of it out may look cheaper, and
    # then nothing may be claimed of a fleet that does
    monkeypatch.setattr(search, "DEAR", dear)
    sold = (
        brute.Sold("m0.0", "0.99", (1.0, 10.0)),
        brute.Sold("m1.0", "0.99", (1.0 / 15.0, 0.0), variant=1),
        brute.Sold("api.0", "0.00", (1.0, 0.0), variant=1, metered=True, usd_per_request=(12.0 / 3600.0, 0.0)),
    )
    problem = brute.Case(sold, ((1.0,), (1.0,)), quality=(0.9, 0.91), quality_floor=(0.91, 0.0)).problem
    start = BlockFleet(np.array([1, 15, 0]), np.zeros((2, 3)), 0.0, 0.0)
    fleet = find_cheapest_fleet(problem, 0, problem.usd_per_hour, 0.0, (start,))
    assert fleet is not None
    assert fleet.bound_usd_per_hour <= 13.0
    if dear > 100.0:
        assert fleet.machines.tolist() == [1, 0, 0]
        assert fleet.usd_per_hour == pytest.approx(13.0)
        assert fleet.bound_usd_per_hour == pytest.approx(13.0)


def test_machines_of_ones_own_and_services_are_counted_no_further_than_there_are(brute: ModuleType) -> None:
    own = tuple(brute.Sold(f"m{m}.0", "0.01", (1.0 + 0.13 * m,), reserved=f"0.{30 + m}", only_covered=True) for m in range(4))
    api = brute.Sold("api.0", "0.00", (1.0,), metered=True, usd_per_request=(1e-3,))
    existing = {(brute.RESERVED, f"r/m{m}.0"): 2 * (0.30 + 0.01 * m) for m in range(4)}
    problem = brute.Case((*own, api), ((12.0,),), existing=existing, closed=True).problem
    fleet = find_cheapest_fleet(problem, 0, problem.usd_per_hour, 0.0, (), problem.existing_usd_per_hour)
    assert fleet is not None
    assert fleet.machines.tolist() == [2, 2, 2, 2, 0]
    assert fleet.usd_per_hour == pytest.approx(brute.cheapest_hour_usd(problem, 0, problem.existing_usd_per_hour, most=2))
    assert fleet.bound_usd_per_hour == pytest.approx(fleet.usd_per_hour)


def test_where_nothing_is_asked_for_nothing_runs(brute: ModuleType) -> None:
    problem = brute.Case((brute.Sold("m0.0", "0.30", (1.0,)),), ((0.0,),), max_spot_share=0.5).problem
    fleet = find_cheapest_fleet(problem, 0, problem.usd_per_hour, 0.0)
    assert fleet is not None
    assert fleet.machines.tolist() == [0]
    assert fleet.usd_per_hour == fleet.bound_usd_per_hour == 0.0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_searched_block_is_as_cheap_as_trying_everything(brute: ModuleType, data: st.DataObject) -> None:
    problem = data.draw(brute.cases(classes=2, options=3, blocks=1)).problem
    committed = problem.existing_usd_per_hour
    fleet = find_cheapest_fleet(problem, 0, problem.usd_per_hour, 0.0, (), committed)
    by_trying = brute.cheapest_hour_usd(problem, 0, committed, most=6)
    if fleet is not None and np.isfinite(by_trying):
        assert fleet.usd_per_hour <= by_trying + 1e-6
        assert fleet.usd_per_hour >= by_trying - 1e-6 or fleet.machines.max() > 6
        assert fleet.bound_usd_per_hour <= by_trying + 1e-6
        assert (fleet.machines[problem.metered] == 0).all()
