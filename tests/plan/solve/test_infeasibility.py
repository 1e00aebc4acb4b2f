"""What is said where no plan keeps the promises: the family in the way, and a change that is enough and no larger than needed."""

import re
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tightrope.base.errors import InfeasibleError
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.arrays import Infeasible
from tightrope.plan.prove.proof import Bench
from tightrope.plan.solve.decomposition import solve
from tightrope.plan.solve.infeasibility import explain_infeasible, find_stuck_block
from tightrope.plan.solve.limit_relief import LIMITS, STEPS, find_stuck_busy_block, smallest

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
    assert find_stuck_block(case.problem) is not None
    fixed = replace(case, quotas=quotas | enough)
    assert find_stuck_block(fixed.problem) is None
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


IN_THE_WAY = [
    (
        "quality-floor",
        [{}],
        {"quality_floor": (0.95,), "quality": (0.9,)},
        "lower traffic.class-0.quality_floor to 0.9 or less (now 0.95), or add a better variant",
    ),
    (
        "spot-share",  # 0.5 of a class on spot, 0.25 of it at most on the other
        [{"spot": True}, {"variant": 1}],
        {"max_spot_share": 0.5, "share_cap": ((1.0, 0.25),), "quality": (1.0, 1.0)},
        (
            "raise models.model.variants.v1.serves.class-0 to 50 % (now 25 %); "
            "or raise purchase.max_spot_share to at least 75 % (now 50 %)"
        ),
    ),
    (
        "spot-zone-loss",
        [{"spot": True, "zones": 2, "mu": (2.0,)}],
        {"spot_zone_loss_share": 0.9, "quotas": {"m0": 2}, "rate": ((3.0,),)},
        # two machines in two zones keep one, of the load of 1.5: two thirds
        (
            "raise where.quotas to at least {m0: 4} (now {m0: 2}); "
            "or lower purchase.spot_zone_loss_share to at most 66.6 % (now 90 %)"
        ),
    ),
    (
        "zone-loss",
        [{"zones": 1}],
        {"zone_loss_share": 0.5},
        "lower purchase.zone_loss_share to at most 0 % (now 50 %)",
    ),
    (
        "n-plus-one",
        [{"mu": (2.0,)}],
        {"n_plus_one_share": 1.0, "quotas": {"m0": 2}, "rate": ((2.5,),)},
        # two machines less one carry 1 of the load of 1.25
        "raise where.quotas to at least {m0: 3} (now {m0: 2}); or lower purchase.n_plus_one_share to at most 80 % (now 100 %)",
    ),
    (
        "routing-share",
        [{}],
        {"share_cap": ((0.5,),)},
        "raise models.model.variants.v0.serves.class-0 to 100 % (now 50 %)",
    ),
]


def sold_of(brute: ModuleType, each: list[dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(brute.Sold(f"m{p}.{p}", "0.10", **{"mu": (1.0,)} | kind) for p, kind in enumerate(each))


@pytest.mark.parametrize(("family", "sold", "limits", "remedy"), IN_THE_WAY, ids=[row[0] for row in IN_THE_WAY])
def test_the_family_in_the_way_is_named_with_the_smallest_change(
    brute: ModuleType, family: str, sold: list[dict[str, Any]], limits: dict[str, Any], remedy: str
) -> None:
    error = explained(brute.Case(sold_of(brute, sold), **{"rate": ((0.5,),)} | limits))
    named = error.what.partition(":")[0]
    assert f"{named}: no plan keeps it in block day 1 00:00" in error.what
    assert named == family or "; or " in remedy
    assert error.resolve == remedy


def test_several_limits_at_once_are_told_with_a_change_of_each(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,), spot=True, zones=1),)
    case = brute.Case(sold, ((2.5,),), quotas={"m0": 1}, max_spot_share=0.5)
    error = explained(case)
    assert error.what.startswith("quota and spot-share: no plan keeps them in block day 1 00:00")
    assert error.resolve == (
        "raise where.quotas to at least {m0: 3} (now {m0: 1}) and raise purchase.max_spot_share to at least 100 % (now 50 %)"
    )


def test_more_than_two_limits_are_found_one_by_one(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,), spot=True, zones=1),)
    case = brute.Case(sold, ((2.5,),), quotas={"m0": 1}, max_spot_share=0.5, n_plus_one_share=0.5, quality_floor=(1.1,))
    assert explained(case).what.startswith("quota and quality-floor and spot-share: no plan keeps them")


def test_no_limit_is_blamed_for_what_no_machine_can_do(brute: ModuleType) -> None:
    error = explained(brute.Case((brute.Sold("m0.0", "0.10", (0.0,)),), ((1.0,),), quotas={"m0": 1}))
    assert error.what.startswith("demand: no plan serves block day 1 00:00, and no limit")


def steps_back(now: Any, then: Any) -> list[Any]:
    """Return the changed problem with each number that was changed a step less so."""
    found = []
    for name in ("max_spot_share", "spot_zone_loss_share", "zone_loss_share", "n_plus_one_share"):
        was, is_ = getattr(now, name), getattr(then, name)
        if was != is_:
            found.append(replace(then, **{name: is_ + np.sign(was - is_) / STEPS}))
    for name in ("quality_floor", "share_cap"):
        was, is_ = getattr(now, name), getattr(then, name)
        for at in zip(*np.nonzero(was != is_), strict=True):
            less = is_.copy()
            less[at] += 2.0 * np.sign(was[at] - is_[at]) / STEPS
            found.append(replace(then, **{name: less}))
    for place, (was, is_) in enumerate(zip(now.quotas, then.quotas, strict=True)):
        if was.machines < is_.machines:
            quotas = [replace(q, machines=q.machines - (at == place)) for at, q in enumerate(then.quotas)]
            found.append(replace(then, quotas=tuple(quotas)))
    return found


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_change_is_enough_and_a_step_less_is_not(brute: ModuleType, data: st.DataObject) -> None:
    problem = data.draw(brute.cases(blocks=2)).problem
    block = find_stuck_busy_block(problem)
    assume(block is not None)
    assert block is not None
    for limit in LIMITS:
        if limit.states(problem) and find_stuck_busy_block(limit.without(problem)) is None:
            change = smallest(limit, problem, block)
            assert find_stuck_busy_block(change.problem) is None
            assert change.words
            for less in steps_back(problem, change.problem):
                assert find_stuck_busy_block(less) is not None


def test_a_later_deadline_is_offered_in_whole_hours(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,), work=1.0),)
    rate = ((0.5,) * 8,)
    case = brute.Case(sold, rate, windows=(((0, 1, 2), 5 * 3600.0),), quotas={"m0": 2})
    error = explained(case)
    hours = int(re.search(r"night.nightly.deadline be (\d+) hours later", error.resolve)[1])  # type: ignore[index]
    assert find_stuck_block(replace(case, windows=((tuple(range(3 + hours)), 5 * 3600.0),)).problem) is None
    assert find_stuck_block(replace(case, windows=((tuple(range(2 + hours)), 5 * 3600.0),)).problem) is not None


def test_the_hour_named_is_the_busiest_that_does_not_fit(brute: ModuleType) -> None:
    rate = tuple(1.0 + (hour == 50) for hour in range(168))
    error = explained(brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), (rate,), quotas={"m0": 1}))
    assert "day 3 02:00" in error.what


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
