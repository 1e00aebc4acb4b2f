"""Sustained use in a plan: its cost is what is charged, its bound takes all off, and nothing is dropped that it may make cheaper."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.bill.plan_bill import plan_lines
from tightrope.plan.fleet.plan_fleet import open_pools
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.cost_lines import total_usd
from tightrope.plan.problem.dominance import drop_dominated
from tightrope.plan.problem.sustained_use import apply_full_discount, least_usd_per_hour, sustained_usd
from tightrope.plan.solve.decomposition import solve
from tightrope.plan.solve.relaxation import relax

HALF_USD = 0.25 * (1.0 - 0.8678)
"""What comes off one dollar an hour of n2 in the second quarter of the month, as a share of the month."""


def on_google(problem: Problem, *families: str) -> Problem:
    """Return the problem with its options sold by Google, of these families."""
    options = tuple(
        replace(option, machine=replace(option.machine, cloud="gcp", family=family))
        for option, family in zip(problem.options, families, strict=True)
    )
    return replace(problem, options=options)


def test_machines_that_always_run_get_all_of_it_and_half_a_month_a_part(brute: ModuleType) -> None:
    problem = brute.Case((brute.Sold("m0.0", "1.00", (1.0,)), brute.Sold("m1.0", "1.00", (1.0,))), ((1.0, 1.0),)).problem
    always, half = np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0]])
    assert sustained_usd(problem, always) == 0.0
    of_google = on_google(problem, "n2", "n2")
    assert sustained_usd(of_google, always) == pytest.approx(730 * 0.2, rel=1e-3)
    assert sustained_usd(of_google, half) == pytest.approx(730 * HALF_USD)
    # machines of a family count together: one after the other is one all the time
    assert sustained_usd(of_google, np.eye(2)) == pytest.approx(730 * 0.2, rel=1e-3)
    assert sustained_usd(on_google(problem, "n2", "e2"), np.eye(2)) == pytest.approx(730 * HALF_USD)
    assert sustained_usd(on_google(problem, "n2", "n1"), np.eye(2)) == pytest.approx(730 * (HALF_USD + 0.25 * 0.2))
    assert least_usd_per_hour(on_google(problem, "n1", "e2")) == pytest.approx([0.71, 1.01])


@pytest.mark.parametrize(("usd", "kept"), [("0.90", 2), ("0.75", 1)])
def test_what_it_may_make_cheapest_is_not_dropped(brute: ModuleType, usd: str, kept: int) -> None:
    problem = brute.Case((brute.Sold("m0.0", "1.00", (1.0,)), brute.Sold("m1.0", usd, (1.0,))), ((1.0,),)).problem
    assert len(drop_dominated(problem).options) == 1
    assert len(drop_dominated(on_google(problem, "n2", "e2")).options) == kept
    assert len(drop_dominated(on_google(problem, "n2", "n2")).options) == 1


ON_GOOGLE = (
    ("aws: [us-east-1, us-west-2]", "gcp: [us-central1]"),
    ("region: us-east-1", "region: us-central1"),
    ("c6i.large", "n2-standard-2"),
    ("c6i.xlarge", "n2-standard-4"),
    ("c7i.large", "n2-highcpu-2"),
)


@pytest.mark.parametrize("offers", ["[on-demand]", "[on-demand, resource-commitment-1y, flexible-commitment-1y]"])
def test_a_plan_costs_what_is_charged_and_no_less_than_its_bound(
    load: Callable[..., Workload], book: PriceBook, offers: str
) -> None:
    workload = load(*ON_GOOGLE, ("[on-demand, spot, compute-savings-plan-1y-no-upfront]", offers))
    problem = build_problem(workload, book, CapacityTable(), {})
    solution = solve(problem)
    lines = plan_lines(solution, open_pools(solution), book)
    assert sum(line.usd for line in lines if line.offer == "sustained-use") < 0.0
    assert total_usd(lines) == pytest.approx(solution.usd_per_month, rel=1e-9)
    assert relax(apply_full_discount(problem)).usd_per_month <= solution.usd_per_month
