"""Commitments on stated futures, in a plan: its cost, lines and gap follow them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from types import ModuleType

import numpy as np
import pytest

from tightrope.base.future import Future, Scenario
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.commit.future_costs import break_evens, commit_on_futures, list_future_costs
from tightrope.plan.make import make_plan
from tightrope.plan.solve.decomposition import monthly_usd, solve

FUTURE = """\
future:
  months: 12
  scenarios:
    - {name: shrinks, weight: 60 %, growth_per_month: -20 %}
    - {name: stays, weight: 40 %, growth_per_month: 0 %}
today:
"""


def test_where_nothing_is_stated_nothing_changes(brute: ModuleType, workload: Workload) -> None:
    solution = solve(brute.Case((brute.Sold("m0.0", "0.30", (1.0,), "0.18"),), ((2.0,),)).problem)
    assert commit_on_futures(workload, solution, solution.problem) == (solution, None)
    assert list_future_costs(workload, None) == ()


def test_a_future_without_traffic_commits_to_nothing(brute: ModuleType, workload: Workload) -> None:
    solution = solve(brute.Case((brute.Sold("m0.0", "0.30", (1.0,), "0.18"),), ((2.0,),)).problem)
    assert solution.commitments == pytest.approx([0.36])
    gone = replace(workload, future=Future(12, (Scenario("gone", 1.0, -0.9),)))
    again, decision = commit_on_futures(gone, solution, solution.problem)
    assert decision is not None
    assert again.commitments == pytest.approx([0.0])
    # the planned week then pays its two machines on demand, disks included
    assert again.usd_per_month == pytest.approx(730 * 2 * 0.31)
    (cost,) = list_future_costs(gone, decision)
    assert (cost.name, cost.weight, cost.utilisation) == ("gone", 1.0, ())
    assert cost.monthly_cost_usd == pytest.approx(cost.uncommitted_monthly_cost_usd)


def test_a_least_utilisation_holds_where_no_future_is_stated(brute: ModuleType, workload: Workload) -> None:
    """The second machine runs seven hours of ten, worth it from six; of both 85 % are used, of 0.216 (7 · 0.216 + 3 · 0.18) / 2.16."""
    solution = solve(brute.Case((brute.Sold("m0.0", "0.30", (1.0,), "0.18"),), ((2.0,) * 7 + (1.0,) * 3,)).problem)
    assert solution.commitments == pytest.approx([0.36])
    for least, usd_per_hour in ((0.8, 0.36), (0.95, 0.216)):
        asked = replace(workload, purchase=replace(workload.purchase, min_utilisation=least))
        again, decision = commit_on_futures(asked, solution, solution.problem)
        assert decision is not None
        assert again.commitments == pytest.approx([usd_per_hour], abs=0.001)
        assert decision.outcome.utilisation.min() >= least - 1e-9
        assert list_future_costs(asked, decision) == ()


def test_a_commitment_pays_from_its_rate_over_the_on_demand_rate(brute: ModuleType) -> None:
    solution = solve(
        brute.Case((brute.Sold("m0.0", "0.30", (1.0,), "0.18"), brute.Sold("m1.0", "9.00", (1.0,), "4.50")), ((2.0,),)).problem
    )
    assert break_evens(solution) == pytest.approx([0.6])
    idle = replace(solution, machines=np.zeros_like(solution.machines))
    assert np.isnan(break_evens(idle)).all()


def test_a_plans_cost_lines_and_gap_follow_its_futures(load: Callable[..., Workload], book: PriceBook) -> None:
    plan = make_plan(load(("today:\n", FUTURE)), book, date(2026, 12, 1))
    assert [item.name for item in plan.futures] == ["shrinks", "stays"]
    assert sum(item.weight for item in plan.futures) == pytest.approx(1.0)
    assert sum(line.usd for line in plan.cost_lines) == pytest.approx(plan.monthly_cost_usd)
    assert plan.lower_bound_monthly_usd <= plan.monthly_cost_usd
    assert plan.gap_fraction == pytest.approx(1.0 - plan.lower_bound_monthly_usd / plan.monthly_cost_usd)
    for item in plan.futures:
        assert len(item.utilisation) == len(plan.commitments)
        assert item.monthly_cost_usd <= item.uncommitted_monthly_cost_usd or item.name == "shrinks"
    assert sum(lever.saving_usd for lever in plan.levers) == pytest.approx(plan.today_monthly_cost_usd - plan.monthly_cost_usd)
    for item in plan.commitments:
        assert item.break_even is not None
        assert 0.0 < item.break_even < 1.0
        assert item.upfront_usd == 0.0


def test_the_months_cost_is_the_optimisers_own(brute: ModuleType, workload: Workload) -> None:
    solution = solve(brute.Case((brute.Sold("m0.0", "0.30", (1.0,), "0.18"),), ((2.0, 1.0),)).problem)
    stays = replace(workload, future=Future(12, (Scenario("stays", 1.0, 0.0),)))
    again, _ = commit_on_futures(stays, solution, solution.problem)
    assert again.usd_per_month == pytest.approx(
        monthly_usd(again.problem, again.machines, again.share, again.work, again.commitments)
    )
    # the planned week for ever: what it deserves by itself
    assert again.usd_per_month == pytest.approx(solution.usd_per_month)
    # the second machine runs half of the hours, and pays from 60 % of them
    assert [item.usd_per_hour for item in again.committed] == pytest.approx([0.18])
