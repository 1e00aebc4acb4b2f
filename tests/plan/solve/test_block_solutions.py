"""Blocks solved apart: equal ones once, and unlike ones never taken for equal."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from tightrope.plan.solve.block_search import BlockFleet
from tightrope.plan.solve.block_solutions import build_block_keys, solve_blocks
from tightrope.plan.solve.bound import find_lower_bound
from tightrope.plan.solve.commitment_sizes import _Known
from tightrope.plan.solve.decomposition import solve


def test_hours_planned_alike_that_expect_unlike_traffic_are_told_apart_where_requests_are_paid(brute: ModuleType) -> None:
    # a machine is $1 an hour, the API $0.36 an hour at 0.1 requests/s and $3.60 at 1/s; both hours are planned for 1/s
    api = brute.Sold("api.0", "0.00", (1.0,), metered=True, usd_per_request=(1e-3,))
    problem = brute.Case((brute.Sold("m0.0", "0.99", (1.0,)), api), ((1.0, 1.0),)).problem
    problem = replace(problem, mean_rate=np.array([[0.1, 1.0]]))
    machines, _, usd = solve_blocks(problem, np.zeros(0))
    assert machines[0].tolist() == [0, 1]
    assert usd == pytest.approx([0.36, 1.0])
    assert find_lower_bound(problem) == pytest.approx(365.0 * 1.36)
    assert solve(replace(problem, pool_worth=0.0)).usd_per_month == pytest.approx(365.0 * 1.36)


def test_where_machines_are_all_that_is_paid_what_is_expected_tells_no_hours_apart(brute: ModuleType) -> None:
    problem = brute.Case((brute.Sold("m0.0", "0.99", (1.0,)),), ((1.0, 1.0, 2.0),)).problem
    keys = build_block_keys(replace(problem, mean_rate=np.array([[0.1, 1.0, 1.0]])))
    assert keys[0] == keys[1] != keys[2]


def test_a_fleet_serves_no_other_hour_on_what_may_not_serve_there(brute: ModuleType) -> None:
    problem = brute.Case((brute.Sold("m0.0", "0.99", (1.0,)), brute.Sold("m1.0", "0.50", (1.0,))), ((1.0, 0.8, 0.0),)).problem
    mu = problem.mu.copy()
    mu[0, 1, 1] = 0.0
    problem = replace(problem, mu=mu)
    known = _Known(problem, np.zeros((2, 0), dtype=np.int64), np.zeros((3, 0), dtype=bool), np.zeros((3, 0)))
    known.add(0, BlockFleet(np.array([0, 1]), np.array([[0.0, 1.0]]), 0.51, 0.51))
    known.add(0, BlockFleet(np.array([1, 0]), np.array([[1.0, 0.0]]), 1.0, 1.0))
    assert known.serves.tolist() == [[True, True], [False, True], [True, True]]
