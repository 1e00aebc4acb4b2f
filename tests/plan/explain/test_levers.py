"""The waterfall: what each lever saves after those before it, and by itself."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from tightrope.base.plan import BillLine, Plan
from tightrope.plan.explain import levers
from tightrope.plan.explain.baseline import Baseline
from tightrope.plan.explain.levers import NO_PLAN, STEPS, _build_without, _price_fixed_fleet, _with_levers, find_levers, lever_usd
from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.solve.decomposition import solve

LEVERS = ["right-size", "autoscale", "batch", "quantise", "route", "spot", "commit", "defer"]
TODAY = (BillLine("compute", "today", "on-demand", 900.0), BillLine("egress", "", "web", 100.0))


def quiet(_: str) -> None:
    """Say nothing."""


def problem_with(ground: Baseline, levers: frozenset[str]) -> Problem:
    """Return what is planned with these levers."""
    return _with_levers(*_build_without(ground, ground.workload, levers), levers)


def test_the_waterfall_goes_from_todays_bill_to_the_plans(plan: Plan) -> None:
    assert [lever.name for lever in plan.levers] == LEVERS
    assert all(lever.note for lever in plan.levers)
    assert sum(lever.saving_usd for lever in plan.levers) == pytest.approx(plan.today_monthly_cost_usd - plan.monthly_cost_usd)
    assert next(lever for lever in plan.levers if lever.name == "right-size").saving_usd > 0.0


def test_each_stage_allows_what_its_levers_say(ground: Baseline) -> None:
    seen = {}
    for number in range(len(LEVERS)):
        problem = problem_with(ground, frozenset(LEVERS[: number + 1]))
        seen[LEVERS[number]] = (
            {option.variant.name for option in problem.options},
            {option.terms.offer for option in problem.options},
            len(problem.covers),
        )
    assert seen["right-size"][0] == {"big/fp32"}
    assert "big/int8" in seen["quantise"][0]
    assert "small/int8" not in seen["quantise"][0]
    assert "small/int8" in seen["route"][0]
    assert seen["route"][1] == {"on-demand"}
    assert "spot" in seen["spot"][1]
    assert [count for _, _, count in seen.values()] == [0] * 6 + [len(ground.proof.problem.covers)] * 2


def test_a_pruned_variant_needs_its_own_lever_and_that_of_its_precision(ground: Baseline) -> None:
    variants = tuple(replace(variant, pruned=variant.name == "big/int8") for variant in ground.workload.variants)
    options = [replace(o, variant=replace(o.variant, pruned=o.variant.name == "big/int8")) for o in ground.whole.options]
    pruned = replace(
        ground,
        workload=replace(ground.workload, variants=variants),
        whole=replace(ground.whole, options=tuple(options)),
    )
    before = frozenset({"right-size", "autoscale", "batch"})
    with_it = {
        levers: "big/int8" in {option.variant.name for option in problem_with(pruned, before | set(levers)).options}
        for levers in ((), ("quantise",), ("prune",), ("quantise", "prune"))
    }
    assert with_it == {(): False, ("quantise",): False, ("prune",): False, ("quantise", "prune"): True}
    assert [step.lever for step in STEPS if step.used(pruned.workload, pruned.whole)].index("prune") == 4


def test_by_itself_a_lever_keeps_todays_types_of_machines(ground: Baseline) -> None:
    problem = problem_with(ground, frozenset({"autoscale"}))
    assert {option.machine.name for option in problem.options if option.variant.model == "big"} == {"c6i.large"}


def test_by_itself_a_lever_takes_its_share_off_todays_machines(ground: Baseline, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {frozenset(): 500.0, frozenset({"autoscale"}): 400.0, frozenset({"commit"}): None}

    def cost(_ground: Baseline, _workload: object, names: frozenset[str]) -> float | None:
        return costs.get(names, 300.0)

    monkeypatch.setattr(levers, "lever_usd", cost)
    found = {lever.name: lever for lever in find_levers(ground, TODAY, quiet)}
    # the smallest fixed fleet of today's types costs 500, with autoscaling 400: a fifth off the 900 that today's machines cost
    assert found["autoscale"].alone_usd == pytest.approx(180.0)
    assert found["spot"].alone_usd == pytest.approx(360.0)
    assert found["commit"].alone_usd is None
    assert found["right-size"].alone_usd == found["right-size"].saving_usd
    assert sum(lever.saving_usd for lever in found.values()) == pytest.approx(1000.0 - ground.usd_per_month)


def test_levers_that_change_nothing_are_not_planned_for_again(ground: Baseline, monkeypatch: pytest.MonkeyPatch) -> None:
    first, all_but_defer = frozenset(LEVERS[:5]), frozenset(LEVERS[:7])
    fresh, idle = (replace(ground, whole=replace(ground.whole, windows=windows)) for windows in (ground.whole.windows, ()))
    before = lever_usd(fresh, ground.workload, first)
    monkeypatch.setattr(levers, "solve", lambda *_, **__: pytest.fail("planned again"))
    assert lever_usd(fresh, ground.workload, first | {"services", "cache"}) == before
    # without work that waits, all levers but the last are the plan itself
    assert lever_usd(idle, ground.workload, all_but_defer | {"services"}) == ground.proof.solution.usd_per_month


def test_a_stage_without_a_plan_leaves_its_saving_to_the_next(ground: Baseline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levers, "lever_usd", lambda _g, _w, names: None if names <= {"right-size"} else 80.0)
    found = find_levers(ground, TODAY, quiet)
    assert (found[0].saving_usd, found[0].note, found[0].alone_usd) == (0.0, NO_PLAN, None)
    assert found[1].saving_usd == pytest.approx(1000.0 - 80.0 - ground.constant_usd)
    assert all(lever.alone_usd is None for lever in found)


def test_without_a_fleet_today_there_is_no_waterfall(ground: Baseline) -> None:
    assert find_levers(ground, (), quiet) == ()


def test_autoscaling_costs_no_more_than_the_fixed_fleet(ground: Baseline) -> None:
    fixed, scaled = (lever_usd(ground, ground.workload, frozenset(names)) for names in (LEVERS[:1], LEVERS[:2]))
    assert fixed is not None
    assert scaled is not None
    assert scaled <= fixed


def test_a_step_that_the_workload_has_no_use_for_is_left_out(ground: Baseline) -> None:
    used = {step.lever for step in STEPS if step.used(ground.workload, ground.whole)}
    assert "services" not in used
    unbatched = replace(ground.workload, today=tuple(replace(pool, max_batch=0) for pool in ground.workload.today))
    assert not next(step for step in STEPS if step.lever == "batch").used(unbatched, ground.whole)


def test_a_fixed_fleet_does_the_work_that_waits_in_its_valleys(brute: ModuleType) -> None:
    # one machine serves the first half of the day and is free in the second, in which 1,620 requests fit at 1 a second
    one = brute.Sold("m0.0", "0.10", (1.0,), work=1.0)
    case = brute.Case((one,), ((1.0, 0.0),), windows=(((1,), 1620.0),))
    assert _price_fixed_fleet(case.problem) == pytest.approx(730 * 0.11)
    twice = brute.Case((one,), ((1.0, 0.0),), windows=(((1,), 2 * 3240.0),))
    assert _price_fixed_fleet(twice.problem) == pytest.approx(2 * 730 * 0.11)


def test_work_that_is_spread_stays_within_the_quotas(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,), work=1.0), brute.Sold("m1.0", "0.30", (1.0,), work=1.0))
    case = brute.Case(sold, ((0.0, 0.0),), windows=(((0, 1), 2 * 2 * 3240.0),), quotas={"m0": 1})
    found = solve(case.problem, spread_work=True)
    assert found.machines.tolist() == [[1, 1], [1, 1]]
    assert found.work.sum() == pytest.approx(1.0)
    with pytest.raises(Infeasible):
        solve(replace(case, quotas={"m0": 1, "m1": 0}).problem, spread_work=True)


def test_savings_by_themselves_overlap(plan: Plan) -> None:
    known = [lever.alone_usd for lever in plan.levers if lever.alone_usd is not None]
    assert len(known) >= 6
    assert np.isfinite(known).all()
    # on its own every lever starts from today's bill: none takes off more than that
    assert max(known) <= plan.today_monthly_cost_usd
