"""What is said where no plan keeps the promises: the family in the way, and a change that is enough and no larger than needed."""

import re
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from tightrope.base.errors import InfeasibleError
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.infeasible import explain_infeasible, first_stuck
from tightrope.plan.prove import Bench
from tightrope.plan.solve import Infeasible, solve

Load = Callable[..., Workload]


def explained(case: Any) -> InfeasibleError:
    with pytest.raises(Infeasible) as caught:
        solve(case.problem)
    return explain_infeasible(case.problem, caught.value)


def quotas_named(error: InfeasibleError) -> dict[str, int]:
    """Return the quotas of a remedy."""
    asked, _, _ = error.resolve.partition(" (now")
    assert asked.startswith("raise where.quotas to at least {")
    return {name: int(count) for name, count in re.findall(r"([\w.]+): (\d+)", asked)}


@pytest.mark.parametrize(
    ("quotas", "enough"),
    [
        ({"m0": 2}, {"m0": 3}),
        ({"m0.0": 1, "m1": 0}, {"m1": 1}),  # one of the faster machine does what three of the cheaper would
        ({"m0.0": 3, "m1": 0, "m0": 1}, {"m1": 1}),
    ],
)
def test_the_smallest_quota_that_works_is_named(brute: ModuleType, quotas: dict[str, int], enough: dict[str, int]) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,)), brute.Sold("m1.0", "0.90", (3.0,)))
    case = brute.Case(sold if "m1" in quotas else sold[:1], ((2.9, 1.0),), quotas=quotas)
    error = explained(case)
    assert "quota: no plan keeps it in block day 1 00:00" in error.what
    assert quotas_named(error) == enough
    assert first_stuck(case.problem) is not None
    fixed = replace(case, quotas=quotas | enough)
    assert first_stuck(fixed.problem) is None
    assert max(brute.violations(solve(fixed.problem)).values()) <= brute.TOLERANCE


def test_a_quota_too_small_for_the_work_that_waits_is_named(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,), work=1.0),)
    case = brute.Case(sold, ((0.5, 0.5, 0.5),), windows=(((0, 1, 2), 5 * 3600.0),), quotas={"m0": 2})
    error = explained(case)
    assert error.what.startswith("quota: the deferrable work of the window around day 1")
    enough = quotas_named(error)
    solve(replace(case, quotas=enough).problem)
    with pytest.raises(Infeasible):
        solve(replace(case, quotas={"m0": enough["m0"] - 1}).problem)


def test_work_that_nothing_can_do_misses_its_deadline(brute: ModuleType) -> None:
    error = explained(brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), ((0.5,),), windows=(((0,), 60.0),)))
    assert error.what.startswith("deadline: no allowed machine can do")
    assert error.exit_code == 3


SPOT_ONLY = {"spot": True, "zones": 1}
IN_THE_WAY = [
    ("quality-floor", {}, {"quality_floor": (0.95,), "quality": (0.9,)}, "lower traffic.class-0.quality_floor to 0.9 or less"),
    ("spot-share", SPOT_ONLY, {"max_spot_share": 0.5}, "purchase.max_spot_share"),
    ("spot-zone-loss", SPOT_ONLY, {"spot_zone_loss_share": 0.5}, "purchase.spot_zone_loss_share"),
    ("routing-share", {}, {"share_cap": ((0.5,),)}, "serves"),
]


@pytest.mark.parametrize(("family", "sold", "limits", "remedy"), IN_THE_WAY, ids=[row[0] for row in IN_THE_WAY])
def test_the_family_in_the_way_is_named(
    brute: ModuleType, family: str, sold: dict[str, Any], limits: dict[str, Any], remedy: str
) -> None:
    error = explained(brute.Case((brute.Sold("m0.0", "0.10", (1.0,), **sold),), ((0.5,),), **limits))
    assert error.what.startswith(f"{family}: no plan keeps it in block day 1 00:00")
    assert remedy in error.resolve


def test_the_hour_named_is_the_busiest_that_does_not_fit(brute: ModuleType) -> None:
    rate = tuple(1.0 + (hour == 50) for hour in range(168))
    error = explained(brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), (rate,), quotas={"m0": 1}))
    assert "day 3 02:00" in error.what


def test_several_limits_at_once_are_called_so(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,), spot=True, zones=1),)
    error = explained(brute.Case(sold, ((2.5,),), quotas={"m0": 1}, max_spot_share=0.5))
    assert "no single limit" in error.what


def test_too_few_pools_say_how_many_would_do(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0, 0.0)), brute.Sold("m1.0", "0.10", (0.0, 1.0)))
    error = explained(brute.Case(sold, ((0.5,), (0.5,)), max_pools=1))
    assert error.what.startswith("pools: no plan with 1 found")
    assert "purchase.max_pools to 2" in error.resolve


def test_a_workload_whose_quota_is_raised_as_told_plans(load: Load, book: PriceBook, bench: Bench) -> None:
    where = "  families: [c6i.large, c6i.xlarge, c7i.large]\n"
    quota = "  quotas: {{c6i: {}, c7i: {}}}\n"

    def planned(c6i: int, c7i: int) -> Bench:
        return Bench(load((where, where + quota.format(c6i, c7i))), book, bench.table)

    tight = planned(0, 1)
    with pytest.raises(InfeasibleError) as caught:
        tight.solve(tight.regions({})[0])
    enough = {"c6i": 0, "c7i": 1} | quotas_named(caught.value)
    roomy = planned(enough["c6i"], enough["c7i"])
    solution = roomy.solve(roomy.regions({})[0])
    for quota_of in solution.problem.quotas:
        assert solution.machines[quota_of.mask].sum(axis=0).max() <= quota_of.machines
