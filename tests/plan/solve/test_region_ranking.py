"""Regions judged with whole machines: small fleets need one of the smallest, whatever a part of a large one costs."""

from dataclasses import replace
from types import ModuleType

import pytest

from tightrope.plan.prove.proof import estimate_relaxed_usd
from tightrope.plan.solve.region_ranking import estimate_usd, rank_problems

LARGE, SMALL = ("m9.0", "10.00", (1000.0,)), ("m0.0", "0.30", (1.0,))


def test_a_small_fleet_goes_where_its_whole_machines_are_cheapest(brute: ModuleType) -> None:
    """A thousandth of the large machine carries it for 0.01; whole ones cost 10 and 0.30, and their disks 0.01."""
    large, small = (brute.Case((brute.Sold(*sold),), ((1.0,) * 4,)).problem for sold in (LARGE, SMALL))
    assert estimate_relaxed_usd(large) < estimate_relaxed_usd(small)
    assert [estimate_usd(large), estimate_usd(small)] == pytest.approx([730 * 10.01, 730 * 0.31])
    assert rank_problems([large, small]) == [small, large]
    assert rank_problems([small, large]) == [small, large]
    assert rank_problems([large]) == [large]


def test_what_is_nearly_as_cheap_does_not_change_the_order(brute: ModuleType) -> None:
    first, second = (brute.Case((brute.Sold("m0.0", usd, (1.0,)),), ((1.0,) * 4,)).problem for usd in ("0.300", "0.298"))
    assert rank_problems([first, second]) == [first, second]


def test_what_stands_beside_and_work_that_waits_are_counted(brute: ModuleType) -> None:
    """An hour's work of one machine, whenever: half of the one that runs is free in one block, so that half of another is bought."""
    sold, rate = (brute.Sold("m0.0", "0.30", (1.0,), work=2.0),), ((1.0, 1.0, 1.0, 0.5),)
    problem = brute.Case(sold, rate, windows=(((0, 1, 2, 3), 7200.0),)).problem
    idle = replace(problem, windows=())
    assert estimate_usd(replace(problem, constant_usd_per_month=50.0)) == pytest.approx(estimate_usd(problem) + 50.0)
    assert estimate_usd(idle) == pytest.approx(730 * 0.31)
    assert estimate_usd(problem) - estimate_usd(idle) == pytest.approx(estimate_relaxed_usd(problem) - estimate_relaxed_usd(idle))
    assert estimate_usd(problem) > estimate_usd(idle) + 1.0


def test_a_problem_without_a_plan_is_last(brute: ModuleType) -> None:
    can, can_not = (brute.Case((brute.Sold("m0.0", "0.30", mu),), ((1.0,) * 4,)).problem for mu in ((1.0,), (0.0,)))
    assert estimate_usd(can_not) == float("inf")
    assert rank_problems([can, can_not]) == [can, can_not]
