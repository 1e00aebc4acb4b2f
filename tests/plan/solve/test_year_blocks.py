"""Thousands of blocks served and bounded by few that are searched: every hour is served, and the bound is one."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tightrope.plan.problem.arrays import Problem
from tightrope.plan.solve import bound, decomposition, year_blocks
from tightrope.plan.solve.block_solutions import solve_blocks
from tightrope.plan.solve.bound import find_lower_bound
from tightrope.plan.solve.decomposition import solve
from tightrope.plan.solve.year_blocks import choose_representatives, serve_many


@pytest.fixture
def problem(brute: ModuleType) -> Problem:
    """Return the problem of twenty-four hours of two classes, each hour another."""
    sold = (
        brute.Sold("m0.0", "0.30", (1.0, 0.7), reserved="0.19"),
        brute.Sold("m1.0", "0.80", (3.0, 2.6), reserved="0.50"),
        brute.Sold("m0.0", "0.11", (1.0, 0.7), spot=True),
    )
    random = np.random.default_rng(5)
    hours = np.arange(24)
    rates = [2.0 + 1.5 * np.cos(2 * np.pi * (hours - peak) / 24) + random.uniform(0.0, 0.4, 24) for peak in (9, 15)]
    return brute.Case(sold, tuple(tuple(rate) for rate in rates)).problem


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let five blocks stand for a day's."""
    monkeypatch.setattr(year_blocks, "MOST_KINDS", 5)
    monkeypatch.setattr(bound, "MANY_PRICED", 5)


def test_the_most_of_a_kind_is_no_less_than_any_of_it(problem: Problem) -> None:
    standing = choose_representatives(problem, 5)
    load, most = problem.load(problem.rate), standing.most.load(standing.most.rate)
    assert (load <= most[:, :, standing.label] + 1e-12).all()
    assert (problem.rate <= standing.most.rate[:, standing.label]).all()


def test_every_hour_is_served_for_little_more_than_by_its_own_search(brute: ModuleType, problem: Problem) -> None:
    amounts = np.array([0.38, 0.0])
    machines, share, costs = serve_many(problem, amounts)
    _, _, exact = solve_blocks(problem, amounts)
    assert all(brute.may_serve(problem, block, machines[:, block]) for block in range(problem.blocks))
    assert share.sum(axis=1) == pytest.approx(np.ones((2, 24)))
    assert ((share * problem.load(problem.rate)).sum(axis=0) <= machines + 1e-6).all()
    assert (costs >= exact * (1.0 - 6e-3) - 0.38 * 6e-3).all()
    assert costs.sum() <= 1.15 * exact.sum()


def test_where_no_fleet_serves_the_most_of_everything_hours_are_searched(brute: ModuleType) -> None:
    # the quota allows either class its peak, not both at once
    sold = (brute.Sold("m0.0", "0.30", (1.0, 1.0)),)
    problem = brute.Case(sold, ((4.0, 1.0, 4.0, 1.0), (1.0, 4.0, 1.0, 4.0)), quotas={"m0": 5}).problem
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(year_blocks, "MOST_KINDS", 1)
        machines, _, _ = serve_many(problem, np.zeros(0))
    assert machines.tolist() == [[5, 5, 5, 5]]


def test_the_bound_of_many_is_below_that_of_every_hour_searched(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    every, plan = find_lower_bound(problem), solve(problem).usd_per_month
    monkeypatch.setattr(bound, "MANY_BLOCKS", 24)
    monkeypatch.setattr(decomposition, "MANY_BLOCKS", 24)
    few = find_lower_bound(problem)
    assert 0.85 * every <= few <= plan
    assert few <= solve(problem).usd_per_month <= 1.15 * plan


def test_no_hour_is_served_on_what_may_not_serve_it(brute: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    # the more expensive machine alone may serve the second hour, though one fleet of the cheaper stands for both
    problem = brute.Case((brute.Sold("m0.0", "0.99", (1.0,)), brute.Sold("m1.0", "0.50", (1.0,))), ((1.0, 0.9),)).problem
    mu = problem.mu.copy()
    mu[0, 1, 1] = 0.0
    monkeypatch.setattr(year_blocks, "MOST_KINDS", 1)
    machines, share, _ = serve_many(replace(problem, mu=mu), np.zeros(0))
    assert machines.tolist() == [[0, 1], [1, 0]]
    assert share[0].tolist() == [[0.0, 1.0], [1.0, 0.0]]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kinds=st.integers(1, 3))
def test_the_bound_of_many_is_one_and_every_hour_is_served(brute: ModuleType, data: st.DataObject, kinds: int) -> None:
    problem = data.draw(brute.cases(classes=2, options=3, blocks=4)).problem
    most_usd = brute.cheapest_month_usd(problem, most=4)
    if not np.isfinite(most_usd):
        return
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bound, "MANY_BLOCKS", 1)
        patched.setattr(bound, "MANY_PRICED", kinds)
        patched.setattr(year_blocks, "MOST_KINDS", kinds)
        assert find_lower_bound(problem) <= most_usd * (1.0 + 1e-9) + 1e-9
        machines, _, costs = serve_many(problem, problem.existing_usd_per_hour)
    assert all(brute.may_serve(problem, block, machines[:, block]) for block in range(problem.blocks))
    assert (costs >= solve_blocks(problem, problem.existing_usd_per_hour)[2] * 0.99 - 0.01).all()
