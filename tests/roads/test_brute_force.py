"""Two roads to the decision: the decomposed solver, and trying every fleet of tiny problems.

What is tried is in ``tests/plan/brute_force.py``, written from the formulas of ``constraints.FAMILIES`` without its code.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.plan import brute_force

from tightrope.plan.problem.arrays import Infeasible, restrict
from tightrope.plan.solve.block_search import find_cheapest_fleet, may_search
from tightrope.plan.solve.block_solutions import solve_block
from tightrope.plan.solve.bound import find_lower_bound
from tightrope.plan.solve.constraints import FAMILIES
from tightrope.plan.solve.decomposition import Solution, solve
from tightrope.plan.solve.relaxation import relax

BRUTE: Any = brute_force
Case, Sold = BRUTE.Case, BRUTE.Sold
MOST = 4
"""Machines of an option, at most, in what is tried."""
CLOSE = 2e-4
BLOCK_GAP = 6e-3
"""A block's search stops within 5e-3 of its optimum, what is committed included."""
BOUNDED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@BOUNDED
@given(case=BRUTE.cases(blocks=1), cents=st.lists(st.integers(0, 60), min_size=9, max_size=9))
def test_a_block_costs_what_trying_every_fleet_finds(case: Any, cents: list[int]) -> None:
    problem = case.problem
    commitments = np.array(cents[: len(problem.covers)]) / 100
    tried = BRUTE.cheapest_hour_usd(problem, 0, commitments, MOST)
    try:
        fleet = solve_block(problem, 0, commitments)
    except Infeasible:
        assert tried == np.inf
        return
    machines, share, cost = fleet.machines, fleet.share, fleet.usd_per_hour
    assert cost <= tried + BLOCK_GAP * (tried + commitments.sum()) + 1e-9
    assert fleet.bound_usd_per_hour <= tried * (1.0 + CLOSE) + 1e-9
    requests = 3600.0 * float((problem.mean_rate[:, 0] * (problem.usd_per_request * share).sum(axis=1)).sum())
    assert cost == pytest.approx(float(BRUTE.hourly_usd(problem, machines[None], commitments)[0]) + requests, abs=1e-6)
    if machines.max(initial=0) <= MOST:
        assert cost >= tried * (1.0 - CLOSE) - 1e-9
        assert BRUTE.may_serve(problem, 0, machines)


@BOUNDED
@given(case=BRUTE.cases(blocks=1), gap=st.sampled_from([0.0, 0.02]))
def test_the_search_finds_what_trying_every_fleet_finds(case: Any, gap: float) -> None:
    whole = case.problem
    problem = replace(restrict(whole, ~whole.only_covered), covers=())
    fleet = find_cheapest_fleet(problem, 0, problem.usd_per_hour, gap) if may_search(problem, 0) else None
    if fleet is None:
        return
    tried = BRUTE.cheapest_hour_usd(problem, 0, np.zeros(0), MOST)
    assert fleet.bound_usd_per_hour <= tried * (1.0 + 1e-9)
    assert fleet.bound_usd_per_hour >= fleet.usd_per_hour * (1.0 - gap) * (1.0 - 1e-6) - 1e-9
    assert BRUTE.may_serve(problem, 0, fleet.machines)
    if fleet.machines.max(initial=0) <= MOST:
        assert fleet.usd_per_hour >= tried * (1.0 - 1e-9)
        assert fleet.usd_per_hour * (1.0 - gap) <= tried * (1.0 + 1e-9) + 1e-9


@BOUNDED
@given(case=BRUTE.cases())
def test_the_bound_is_below_every_plan_and_the_plan_keeps_every_promise(case: Any) -> None:
    problem = case.problem
    tried = BRUTE.cheapest_month_usd(problem, MOST)
    try:
        relaxation = relax(problem)
        solution = solve(problem)
    except Infeasible:
        assert tried == np.inf or needs_more_pools(case)
        return
    broken = {name: by for name, by in BRUTE.violations(solution).items() if by > BRUTE.TOLERANCE}
    assert not broken
    assert solution.usd_per_month == pytest.approx(BRUTE.month_usd(solution), rel=1e-9)
    assert relaxation.usd_per_month <= tried * (1.0 + 1e-9)
    bound = find_lower_bound(problem)
    assert bound <= min(tried, solution.usd_per_month) * (1.0 + 1e-9)
    assert bound >= relaxation.usd_per_month * (1.0 - 1e-6)
    if solution.machines.max(initial=0) <= MOST:
        assert solution.usd_per_month >= tried * (1.0 - 1e-9)


def needs_more_pools(case: Any) -> bool:
    """Return whether the limit on pools stands in the way: brute force does not know it."""
    try:
        solve(replace(case, max_pools=9).problem)
    except Infeasible:
        return False
    return True


@settings(BOUNDED, max_examples=25)
@given(
    loads=st.lists(st.sampled_from([0.0, 0.4, 1.0, 1.5]), min_size=2, max_size=4),
    first=st.sets(st.integers(0, 3), min_size=1),
    second=st.sets(st.integers(0, 3)),
    hours=st.lists(st.floats(0.05, 2.0), min_size=2, max_size=2),
    quota=st.none() | st.integers(1, 3),
)
def test_work_that_waits_is_done_in_time_and_bounded_from_below(
    loads: list[float], first: set[int], second: set[int], hours: list[float], quota: int | None
) -> None:
    windows = [
        (tuple(sorted(b for b in blocks if b < len(loads))), 3600.0 * h) for blocks, h in zip((first, second), hours, strict=True)
    ]
    windows = [window for window in windows if window[0]]
    assume(windows)
    case = Case(
        sold=(Sold("m0.0", "0.30", (1.0,), work=1.0),),
        rate=(tuple(loads),),
        windows=tuple(windows),
        quotas={} if quota is None else {"m0": quota},
    )
    problem = case.problem
    tried = BRUTE.cheapest_with_work_usd(problem, MOST)
    try:
        solution = solve(problem)
    except Infeasible:
        assert quota is not None
        spare = replace(case, windows=tuple((blocks[:-1] or blocks, requests / 0.9) for blocks, requests in windows))
        assert len(windows) > 1 or BRUTE.cheapest_with_work_usd(spare.problem, MOST) == np.inf
        return
    broken = {name: by for name, by in BRUTE.violations(solution).items() if by > BRUTE.TOLERANCE}
    assert not broken
    assert solution.usd_per_month >= tried * (1.0 - 1e-9) or solution.machines.max() > MOST
    assert find_lower_bound(problem) <= min(tried, solution.usd_per_month) * (1.0 + 1e-9)


# ------------------------------------------------------------------------------------------------- each family where it binds

CHEAP, DEAR = Sold("m0.0", "0.10", (1.0,), variant=0), Sold("m1.0", "0.25", (1.0,), variant=1)
TWO = {"sold": (CHEAP, DEAR), "rate": ((1.8,),), "quality": (0.9, 1.0)}
SPOT = Sold("m0.0", "0.10", (1.0,), spot=True)
FIXED = Sold("m1.0", "0.25", (1.0,))
BINDING = {
    # family: the case, its cheapest machines, the case without the family, its cheapest machines
    "demand": (Case((CHEAP,), ((1.8,),)), [2], Case((CHEAP,), ((0.0,),)), [0]),
    "capacity": (Case((CHEAP,), ((2.1,),)), [3], Case((replace(CHEAP, mu=(2.1,)),), ((2.1,),)), [1]),
    "routing-share": (Case(**TWO, share_cap=((0.5, 1.0),)), [1, 1], Case(**TWO), [2, 0]),
    "quality-floor": (Case(**TWO, quality_floor=(0.95,)), [1, 1], Case(**TWO), [2, 0]),
    "spot-share": (Case((SPOT, FIXED), ((1.8,),), max_spot_share=0.5), [1, 1], Case((SPOT, FIXED), ((1.8,),)), [2, 0]),
    "spot-zone-loss": (Case((SPOT,), ((1.8,),), spot_zone_loss_share=1.0), [3], Case((SPOT,), ((1.8,),)), [2]),
    "zone-loss": (Case((FIXED,), ((1.8,),), zone_loss_share=1.0), [3], Case((FIXED,), ((1.8,),)), [2]),
    "n-plus-one": (Case((CHEAP,), ((1.8,),), n_plus_one_share=1.0), [3], Case((CHEAP,), ((1.8,),)), [2]),
    "quota": (Case((CHEAP, DEAR), ((1.8,),), quality=(1.0, 1.0), quotas={"m0": 1}), [1, 1], Case(**TWO), [2, 0]),
    "commitment": (
        Case((replace(CHEAP, plan="0.06"),), ((1.8,),)),
        [2],
        Case((CHEAP,), ((1.8,),)),
        [2],
    ),
    "deadline": (
        Case((replace(CHEAP, work=1.0),), ((0.0,),), windows=(((0,), 1800.0),)),
        [1],
        Case((CHEAP,), ((0.0,),)),
        [0],
    ),
}


def test_every_family_has_a_case_where_it_binds() -> None:
    assert BINDING.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", BINDING)
def test_the_family_binds(family: str) -> None:
    case, machines, loose_case, loose_machines = BINDING[family]
    bound, loose = (solve(one.problem) for one in (case, loose_case))
    assert bound.machines[:, 0].tolist() == machines
    assert loose.machines[:, 0].tolist() == loose_machines
    assert worst(bound) <= BRUTE.TOLERANCE
    assert worst(loose) <= BRUTE.TOLERANCE
    assert bound.usd_per_month != pytest.approx(loose.usd_per_month)
    crossed = replace(loose, problem=case.problem)
    if family == "commitment":
        assert bound.commitments.tolist() == pytest.approx([2 * 0.06])
        assert bound.usd_per_month == pytest.approx(730.0 * 2 * (0.06 + BRUTE.DISK_USD_PER_HOUR))
        assert BRUTE.violations(replace(bound, problem=replace(case.problem, covers=made_already(case))))[family] > 0.0
    elif family == "deadline":
        assert BRUTE.violations(replace(crossed, work=np.zeros((1, 1, 1))))[family] == 1.0
    elif family == "demand":
        assert BRUTE.violations(crossed)[family] == 1.0
    else:
        assert BRUTE.violations(crossed)[family] > 0.0


def made_already(case: Any) -> Any:
    """Return the case's commitments as if a dollar an hour of each had been made."""
    return tuple(replace(cover, existing_usd_per_hour=1.0) for cover in case.problem.covers)


def worst(solution: Solution) -> float:
    """Return the worst violation of any family."""
    return max(BRUTE.violations(solution).values())


def test_a_hand_reckoned_month() -> None:
    # two blocks of 365 h: 1 and 3 machines at $0.30 + disk $0.01, plan at $0.20; committing for 1 saves 0.10 × 730, for 2 more
    # saves 0.30 × 365 − 0.20 × 730 an hour each: less than nothing.
    case = Case((Sold("m0.0", "0.30", (1.0,), plan="0.20"),), ((1.0, 3.0),))
    solution = solve(case.problem)
    assert solution.commitments.tolist() == pytest.approx([0.20])
    by_hand = 730 * 0.20 + 365 * 2 * 0.30 + 365 * 4 * 0.01
    assert solution.usd_per_month == pytest.approx(by_hand)
    assert BRUTE.cheapest_month_usd(case.problem) == pytest.approx(by_hand)
    assert find_lower_bound(case.problem) == pytest.approx(by_hand, rel=1e-3)
