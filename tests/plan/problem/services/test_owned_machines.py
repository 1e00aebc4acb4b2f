"""Machines of one's own: how many there are, what is sunk, and what running them costs."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tightrope.base.errors import InfeasibleError
from tightrope.base.records import Workload
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.clouds.book import PriceBook
from tightrope.plan.bill.plan_bill import plan_lines
from tightrope.plan.fleet.plan_fleet import open_pools
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.solve.decomposition import solve

Load = Callable[..., Workload]
HAVING, RUNNING = 0.2, 0.025


@pytest.fixture(scope="module")
def problem(own: Load, own_book: PriceBook, table: CapacityTable) -> Problem:
    return build_problem(own(), own_book, table, {})


def test_three_machines_are_sunk_and_no_more_run(problem: Problem) -> None:
    (cover,), (quota,) = problem.covers, problem.quotas
    assert problem.only_covered.all()
    assert (cover.offer, cover.scope, cover.may_grow) == ("owned", "shop/box", False)
    assert cover.existing_usd_per_hour == pytest.approx(3 * HAVING)
    assert cover.step_usd_per_hour == pytest.approx(HAVING)
    assert quota.machines == 3
    assert problem.disk_usd_per_hour == pytest.approx([RUNNING])


def test_what_runs_costs_its_power_alone(problem: Problem, own_book: PriceBook) -> None:
    """One machine carries 0.9 requests a second of 120 ms: three are paid for, one is run."""
    solution = solve(problem)
    assert solution.machines.tolist() == [[1] * 168]
    sums = {line.driver: line.usd for line in plan_lines(solution, open_pools(solution), own_book)}
    assert sums["power"] == pytest.approx(RUNNING * HOURS_PER_MONTH)
    assert sums["commitment unused"] == pytest.approx(2 * HAVING * HOURS_PER_MONTH)
    assert sums["compute"] + sums["idle"] == pytest.approx(HAVING * HOURS_PER_MONTH)
    assert sum(sums.values()) == pytest.approx(solution.usd_per_month, rel=1e-9)


def test_of_machines_to_buy_only_those_that_run_are_bought(own: Load, own_book: PriceBook, table: CapacityTable) -> None:
    solution = solve(build_problem(own(("where:", "services: {own_machines: to buy}\nwhere:")), own_book, table, {}))
    assert solution.commitments == pytest.approx([HAVING])
    bill = sum(line.usd for line in plan_lines(solution, open_pools(solution), own_book))
    assert bill == pytest.approx((HAVING + RUNNING) * HOURS_PER_MONTH)
    assert solution.usd_per_month == pytest.approx(bill, rel=1e-9)


def test_a_site_without_the_offer_is_refused(own: Load, own_book: PriceBook, table: CapacityTable) -> None:
    with pytest.raises(InfeasibleError, match=r"purchase\.offers does not allow owned"):
        build_problem(own(("[owned]", "[on-demand]")), own_book, table, {})


def test_what_is_bought_is_paid_for_wherever_the_plan_goes(own: Load, own_book: PriceBook, table: CapacityTable) -> None:
    """A plan that stays in a rented region pays for the machines in the shop too, so that using them is never counted as more expensive."""
    workload = own(
        ("owned: [shop]", "owned: [shop]\n  aws: [us-east-1]"),
        ("[owned]", "[owned, container]"),
        ("machine: box", "machine: lambda-512mb"),
    )
    rented = replace(workload, where=replace(workload.where, regions={"aws": ("us-east-1",)}))
    problem = build_problem(rented, own_book, table, {})
    (cover,) = problem.covers
    assert not cover.covers.any()
    assert cover.existing_usd_per_hour == pytest.approx(3 * HAVING)
    assert not problem.only_covered.any()


def test_families_limit_what_is_rented_alone(own: Load, own_book: PriceBook, table: CapacityTable) -> None:
    workload = own(("owned: [shop]", "owned: [shop]\n  families: [c6i]"))
    assert [option.machine.name for option in build_problem(workload, own_book, table, {}).options] == ["box"]
