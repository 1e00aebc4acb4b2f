"""The decision: pools, hours, work that waits."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from tightrope.base.records import FloatArray
from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.solve.block_solutions import solve_blocks
from tightrope.plan.solve.commitment_sizes import choose_amounts
from tightrope.plan.solve.decomposition import SAMPLED_BLOCKS, choose_pools, solve
from tightrope.plan.solve.relaxation import relax


def week(*rates: float) -> tuple[float, ...]:
    """Return 168 hours at the first rate, less the last ones at the others."""
    return (*(rates[0],) * (168 - len(rates) + 1), *rates[1:])


def test_a_class_that_is_busy_for_one_hour_gets_a_pool(brute: ModuleType) -> None:
    rising = tuple(1.0 + hour for hour in range(168))
    sold = (brute.Sold("m0.0", "0.10", (10.0, 0.0)), brute.Sold("m1.0", "0.10", (0.0, 10.0)))
    case = brute.Case(sold, (rising, tuple(0.01 * (hour == 5) for hour in range(168))))
    solution = solve(case.problem)
    assert max(brute.violations(solution).values()) <= brute.TOLERANCE
    assert solution.machines[1].nonzero()[0].tolist() == [5]
    assert SAMPLED_BLOCKS < 168


def test_more_pools_than_allowed_are_an_error_that_says_how_many_would_do(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0, 0.0)), brute.Sold("m1.0", "0.10", (0.0, 1.0)))
    case = brute.Case(sold, ((0.5,), (0.5,)), max_pools=1)
    with pytest.raises(Infeasible) as caught:
        solve(case.problem)
    assert caught.value.pools == 2


def test_one_pool_is_found_where_the_cheapest_pools_are_two(brute: ModuleType) -> None:
    # each cheap variant may answer half; only the dear one may answer everything alone
    sold = tuple(brute.Sold(f"m{v}.0", usd, (1.0,), variant=v) for v, usd in enumerate(("0.10", "0.10", "0.90")))
    case = brute.Case(sold, ((1.5,),), share_cap=((0.5, 0.5, 1.0),), quality=(1.0, 1.0, 1.0), max_pools=1)
    solution = solve(case.problem)
    assert solution.machines[:, 0].tolist() == [0, 0, 2]
    assert solve(replace(case, max_pools=2).problem).machines[:, 0].tolist() == [1, 1, 0]


def test_work_that_needs_one_pool_too_many_is_an_error(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,)), brute.Sold("m1.0", "0.10", (0.0,), work=1.0))
    case = brute.Case(sold, ((0.5,),), windows=(((0,), 60.0),), max_pools=1)
    with pytest.raises(Infeasible) as caught:
        solve(case.problem)
    assert caught.value.pools == 2
    assert solve(replace(case, max_pools=2).problem).machines[:, 0].tolist() == [1, 1]


def test_work_fills_the_valleys_before_machines_are_bought(brute: ModuleType) -> None:
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,), work=1.0),), ((0.1, 0.1, 0.1),), windows=(((0, 1, 2), 1.2 * 3600.0),))
    solution = solve(case.problem)
    assert solution.machines.tolist() == [[1, 1, 1]]
    assert solution.work.sum() == pytest.approx(1.0)
    spread = solve(case.problem, spread_work=True)
    assert spread.machines.tolist() == [[2, 2, 2]]
    assert spread.usd_per_month > solution.usd_per_month


def test_work_within_a_quota_goes_where_there_is_room(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,), work=1.0), brute.Sold("m1.0", "0.40", (1.0,), work=1.0))
    case = brute.Case(sold, ((0.95, 0.0, 0.0),), windows=(((0, 1, 2), 2.5 * 3600.0),), quotas={"m0": 1, "m1": 1})
    solution = solve(case.problem)
    assert max(brute.violations(solution).values()) <= brute.TOLERANCE
    assert solution.machines.tolist() == [[1, 1, 0], [1, 1, 0]]  # the last hour of the window stays free
    with pytest.raises(Infeasible):
        solve(replace(case, quotas={"m0": 1, "m1": 0}).problem)


def test_equal_hours_are_solved_once_and_alike(brute: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), (week(1.5, 0.5, 2.5),))
    asked: list[int] = []
    module = __import__("tightrope.plan.solve.block_solutions", fromlist=["solve_block"])
    one = module.solve_block

    def counted(problem: Problem, block: int, commitments: FloatArray, *more: object) -> object:
        asked.append(block)
        return one(problem, block, commitments, *more)

    monkeypatch.setattr(module, "solve_block", counted)
    machines, _, costs = solve_blocks(case.problem, np.zeros(0))
    assert len(asked) == 3
    assert machines[0].tolist() == [2] * 166 + [1, 3]
    assert costs == pytest.approx(machines[0] * case.problem.usd_per_hour[0])


def test_a_pool_that_hardly_saves_is_not_opened(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "1.00", (10.0,)), brute.Sold("m1.0", "0.99", (9.9,)))
    case = brute.Case(sold, (week(50.0, 49.5),))
    assert choose_pools(case.problem, relax(case.problem).commitments).sum() == 1


def test_stated_pools_are_used_and_no_others(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "1.00", (10.0,)), brute.Sold("m1.0", "0.10", (10.0,)))
    case = brute.Case(sold, ((5.0,),))
    solution = solve(case.problem, pools=np.array([True, False]))
    assert solution.machines[:, 0].tolist() == [1, 0]


def test_the_relaxation_says_what_no_promise_can_be_kept_for(brute: ModuleType) -> None:
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), ((5.0,),), quotas={"m0": 4})
    with pytest.raises(Infeasible):
        relax(case.problem)
    free = relax(replace(case, quotas={}).problem)
    assert free.usd_per_month == pytest.approx(730 * 5 * 0.11)
    assert free.machines.tolist() == [[5.0]]


def test_part_of_a_machine_is_committed_to_in_whole_or_not_at_all(brute: ModuleType) -> None:
    half = brute.Case((brute.Sold("m0.0", "1.00", (1.0,), reserved="0.60"),), ((0.5, 0.5),)).problem
    assert relax(half).commitments == pytest.approx([0.30])
    assert choose_amounts(half) == pytest.approx([0.60])
    assert solve(half).commitments == pytest.approx([0.60])
    # busy in one hour of two: a machine used half the time is worth 0.50 an hour, less than 0.60
    rarely = brute.Case((brute.Sold("m0.0", "1.00", (1.0,), reserved="0.60"),), ((0.9, 0.0),)).problem
    assert choose_amounts(rarely) == pytest.approx([0.0])
