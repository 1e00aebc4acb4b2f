"""Why this plan: levers in order, what binds, and what other worlds would cost."""

import re
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from tightrope.base.plan import Plan
from tightrope.plan.explain import (
    LOOSENED,
    STAGES,
    _stage_workload,
    _worlds,
    find_binding,
    find_levers,
    find_sensitivities,
    stage_usd,
)
from tightrope.plan.prove import Bench, Proof
from tightrope.plan.solve import relax


def test_the_waterfall_goes_from_lever_to_lever(plan: Plan) -> None:
    assert [lever.name for lever in plan.levers] == [stage.lever for stage in STAGES] + ["defer"]
    assert all(lever.note for lever in plan.levers)
    assert sum(lever.saving_usd for lever in plan.levers) == pytest.approx(plan.today_monthly_cost_usd - plan.monthly_cost_usd)
    assert next(lever for lever in plan.levers if lever.name == "right-size").saving_usd > 0.0


def test_each_stage_allows_what_its_words_say(bench: Bench) -> None:
    allowed = {stage.lever: _stage_workload(bench.workload, stage) for stage in STAGES}
    names = {lever: [variant.name for variant in found.variants] for lever, found in allowed.items()}
    assert names["autoscale"] == ["big/fp32"]
    assert names["quantise"] == ["big/fp32", "big/int8"]
    assert names["route"] == ["big/fp32", "big/int8", "small/int8"]
    offers = {lever: found.purchase.offers for lever, found in allowed.items()}
    assert offers["route"] == ("on-demand",)
    assert offers["spot"] == ("on-demand", "spot")
    assert offers["commit"] == bench.workload.purchase.offers


def test_autoscaling_costs_no_more_than_the_fixed_fleet(bench: Bench, proof: Proof) -> None:
    fixed, scaled = (stage_usd(bench, stage, proof) for stage in STAGES[:2])
    assert scaled <= fixed


def test_a_stage_without_a_plan_leaves_its_saving_to_the_next(
    bench: Bench, proof: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = iter([np.inf, 80.0, 70.0, 60.0, 50.0, 40.0, 30.0])
    monkeypatch.setattr("tightrope.plan.explain.stage_usd", lambda *_: next(costs))
    levers = find_levers(bench, proof, 1000.0, 10.0, lambda _: None)
    assert (levers[0].saving_usd, levers[0].note) == (0.0, "no plan with this lever alone")
    assert levers[1].saving_usd == pytest.approx(1000.0 - 90.0)
    assert sum(lever.saving_usd for lever in levers) == pytest.approx(1000.0 - proof.solution.usd_per_month - 10.0)


def test_without_a_fleet_today_there_is_no_waterfall(bench: Bench, proof: Proof) -> None:
    assert find_levers(bench, proof, 0.0, 10.0, lambda _: None) == ()


def test_sensitivities_say_what_changes_and_by_how_much(plan: Plan) -> None:
    words = [line.partition(": ")[0] for line in plan.sensitivities]
    assert words == ["traffic +25 %", "every profile slower by its error band", "spot prices +50 %"]
    assert all(re.search(r": [+−]\$[\d,]+ a month \([+−]\d+%\)$", line) for line in plan.sensitivities)


def test_more_traffic_slower_machines_and_dearer_spot_cost_more(bench: Bench, proof: Proof) -> None:
    base = relax(proof.problem).usd_per_month
    assert all(relax(world).usd_per_month >= base * (1.0 - 1e-9) for _, world in _worlds(proof.problem))
    more = dict(_worlds(proof.problem))["traffic +25 %"]
    assert [window.requests for window in more.windows] == pytest.approx(
        [1.25 * window.requests for window in proof.problem.windows]
    )


def test_a_world_without_a_plan_says_so(brute: ModuleType, bench: Bench, proof: Proof) -> None:
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), ((1.0,),), quotas={"m0": 1})
    solution = replace(proof.solution, problem=case.problem, share=np.ones((1, 1, 1)))
    found = find_sensitivities(bench, replace(proof, problem=case.problem, solution=solution), lambda _: None)
    assert found[0] == "traffic +25 %: no plan keeps the promises"


def test_what_binds_is_worth_what_the_relaxation_says(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,)), brute.Sold("m1.0", "0.30", (1.0,)))
    case = brute.Case(sold, ((2.0,),), quotas={"m0": 1})
    (line,) = find_binding(relax(case.problem))
    # one more of the cheap machine takes the place of a dear one, around the clock
    assert line == f"quota: one machine more saves about ${730 * 0.20:,.2f} a month"
    assert find_binding(relax(replace(case, quotas={}).problem)) == ()
    assert set(LOOSENED) == {"routing-share", "spot-share", "quota", "quality-floor"}
