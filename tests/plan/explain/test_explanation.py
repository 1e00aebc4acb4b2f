"""What binds, what other worlds cost, what comes next, and where the answer changes: small cases worked by hand."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.plan import Plan
from tightrope.plan.explain import break_even, sensitivity
from tightrope.plan.explain.alternatives import find_alternatives
from tightrope.plan.explain.baseline import Baseline, plan_again, reprice_pools, scale_prices, scale_speed, scale_traffic
from tightrope.plan.explain.binding_limits import LOOSENED, find_binding, find_limits
from tightrope.plan.explain.break_even import BreakEvenRace, bisect, find_break_evens
from tightrope.plan.explain.explanation import explain
from tightrope.plan.explain.sensitivity import find_range, find_sensitivities, list_what_ifs
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.solve.decomposition import solve
from tightrope.plan.solve.relaxation import relax

MONTH = 730.0
DISK = 0.01
Stand = Callable[[Problem], Baseline]


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def stand(ground: Baseline) -> Stand:
    """Return a function that puts a problem made by hand, solved, in the place of the small workload's."""

    def make(problem: Problem) -> Baseline:
        proof = replace(ground.proof, problem=problem, others=(), solution=solve(problem))
        return replace(ground, proof=proof, whole=problem, constant_usd=0.0, workload=replace(ground.workload, today=()))

    return make


def two_machines(brute: ModuleType, *, quota: int = 9) -> Problem:
    """Return one class that needs two machines, cheap ones first."""
    sold = (brute.Sold("m0.0", "0.10", (1.0,)), brute.Sold("m1.0", "0.30", (1.0,)))
    return brute.Case(sold, ((2.0,),), quotas={"m0": quota}).problem


# -------------------------------------------------------------------------------------------------------------------- limits


def test_what_binds_is_worth_what_a_solution_with_one_more_saves(brute: ModuleType) -> None:
    problem = two_machines(brute, quota=1)
    (limit,) = find_binding(problem, relax(problem))
    # one more of the cheap machine takes the place of a dear one, around the clock
    assert (limit.name, limit.step, limit.by) == ("quota", "one machine more", "duals")
    assert limit.usd == pytest.approx(MONTH * 0.20)
    assert solve(problem).usd_per_month - solve(two_machines(brute, quota=2)).usd_per_month == pytest.approx(limit.usd)
    assert find_binding(two_machines(brute), relax(two_machines(brute))) == ()


@pytest.mark.parametrize("name", [item.name for item in LOOSENED if item.by_dual])
def test_duals_agree_with_the_relaxation_one_step_looser(brute: ModuleType, name: str) -> None:
    sold = (
        brute.Sold("m0.0", "0.30", (1.0,)),
        brute.Sold("m1.0", "0.10", (1.0,), spot=True),
        brute.Sold("m2.0", "0.05", (1.0,), variant=1),
    )
    case = brute.Case(
        sold,
        ((40.0,),),
        share_cap=((1.0, 0.9 if name == "quality-floor" else 0.3),),
        quality=(1.0, 0.8),
        quality_floor=(0.9 if name == "quality-floor" else 0.0,),
        quotas={"m1": 10},
        max_spot_share=0.2,
    )
    problem = case.problem
    if name == "quota":
        problem = replace(problem, max_spot_share=1.0)
    item = next(item for item in LOOSENED if item.name == name)
    priced = {limit.name: limit.usd for limit in find_binding(problem, relax(problem))}
    looser = item.loosen(problem)
    assert looser is not None
    assert priced[name] > 1.0
    assert relax(problem).usd_per_month - relax(looser).usd_per_month == pytest.approx(priced[name], rel=1e-6)


def test_a_zone_whose_loss_is_survived_costs_what_the_relaxation_saves_without(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,), spot=True, zones=2),)
    problem = brute.Case(sold, ((10.0,),), spot_zone_loss_share=0.7).problem
    (limit,) = find_binding(problem, relax(problem))
    # of n machines in two zones half go: 0.7 × 10 busy ones must fit the rest, so 14 are run; at 0.6, 12
    assert (limit.name, limit.by) == ("spot-zone-loss", "relaxations")
    assert limit.usd == pytest.approx(2 * MONTH * (0.10 + DISK))


def test_a_pool_more_and_a_spare_machine_less_are_planned_again(brute: ModuleType, stand: Stand) -> None:
    sold = (
        brute.Sold("m0.0", "0.10", (1.0, 0.0)),
        brute.Sold("m1.0", "0.10", (0.0, 1.0)),
        brute.Sold("m2.0", "0.40", (1.0, 1.0)),
    )
    case = brute.Case(sold, ((1.0,), (1.0,)), max_pools=1)
    (limit,) = find_limits(stand(case.problem), quiet)
    # one pool of two dear machines; two pools of one cheap machine each
    assert (limit.name, limit.by) == ("max_pools", "plans")
    assert limit.usd == pytest.approx(MONTH * (2 * (0.40 + DISK) - 2 * (0.10 + DISK)))
    spare = replace(brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), ((19.5,),)).problem, n_plus_one_share=1.0)
    (limit,) = find_limits(stand(spare), quiet)
    # 19.5 busy and one spare are 21 machines; where nine tenths of what is busy must fit beside a spare one, 20 do
    assert (limit.name, limit.by) == ("n-plus-one", "plans")
    assert limit.usd == pytest.approx(MONTH * 0.11)


# -------------------------------------------------------------------------------------------------------------------- worlds


def test_prices_move_everything_but_the_disk(brute: ModuleType) -> None:
    problem = two_machines(brute)
    dearer = scale_prices(problem, np.array([2.0, 1.0]), np.ones(0))
    assert dearer.usd_per_hour == pytest.approx([0.21, 0.31])
    assert scale_speed(problem, np.array([0.5, 1.0])).mu[0, :, 0] == pytest.approx([0.5, 1.0])


def test_the_range_sizes_the_same_pools_at_both_ends_of_the_bands(brute: ModuleType, stand: Stand) -> None:
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), ((12.0,),))
    ground = stand(case.problem)
    found = find_range(ground, ground.usd_per_month, quiet)
    assert found is not None
    # every profile by hand is ± 25 %: 12 machines' work takes 9 where all are a quarter faster, 15 where all are slower
    assert found.low_usd == pytest.approx(9 * MONTH * 0.11)
    assert found.high_usd == pytest.approx(15 * MONTH * 0.11)


def test_machines_that_may_be_too_slow_leave_the_range_open(brute: ModuleType, stand: Stand) -> None:
    case = brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), ((12.0,),), quotas={"m0": 14})
    ground = stand(case.problem)
    found = find_range(ground, ground.usd_per_month, quiet)
    assert found is not None
    assert found.high_usd is None


def test_a_world_without_a_plan_says_so(brute: ModuleType, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    ground = stand(brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), ((1.0,),), quotas={"m0": 1}).problem)
    monkeypatch.setattr(sensitivity, "scale_traffic", lambda g, factor: replace(g.whole, rate=g.whole.rate * factor))
    (found,) = find_sensitivities(ground, ground.usd_per_month, quiet, full=False)
    assert (found.what, found.monthly_cost_usd, found.more_usd) == ("traffic +25 %", None, None)


def test_every_offer_is_looked_at_to_both_sides(brute: ModuleType, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    sold = (brute.Sold("m0.0", "0.30", (1.0,)), brute.Sold("m0.0", "0.10", (1.0,), spot=True))
    ground = stand(brute.Case(sold, ((4.0,),), max_spot_share=0.5).problem)
    monkeypatch.setattr(sensitivity, "scale_traffic", lambda g, factor: replace(g.whole, rate=g.whole.rate * factor))
    found = {item.what: item.more_usd for item in find_sensitivities(ground, ground.usd_per_month, quiet, full=True)}
    assert list(found) == [
        "traffic +25 %",
        "traffic −25 %",
        "on-demand prices +25 %",
        "on-demand prices −25 %",
        "spot prices +25 %",
        "spot prices −25 %",
    ]
    assert found["on-demand prices +25 %"] == pytest.approx(2 * MONTH * 0.075)
    assert found["spot prices −25 %"] == pytest.approx(-2 * MONTH * 0.025)
    assert found["traffic −25 %"] == pytest.approx(-MONTH * 0.11)


def test_more_traffic_is_sized_again(ground: Baseline) -> None:
    more, same = scale_traffic(ground, 1.25), scale_traffic(ground, 1.0)
    assert [window.requests for window in more.windows] == pytest.approx([1.25 * window.requests for window in same.windows])
    assert more.mean_rate == pytest.approx(1.25 * same.mean_rate)


def test_without_asking_only_spot_and_traffic_are_looked_at(ground: Baseline) -> None:
    few, all_of_them = (dict(list_what_ifs(ground, full=full)) for full in (False, True))
    assert list(few) == ["traffic +25 %", "spot prices +25 %"]
    assert set(few) < set(all_of_them)
    assert any("savings-plan" in name for name in all_of_them) == bool((ground.proof.solution.commitments > 0.0).any())


# --------------------------------------------------------------------------------------------------------------- alternatives


def test_the_next_best_plan_does_without_one_of_the_pools(brute: ModuleType, stand: Stand) -> None:
    found = find_alternatives(stand(two_machines(brute)), quiet)
    assert [(item.what, item.pools) for item in found] == [
        ("without m0.0 r on-demand, model/v0", ("m1.0 r on-demand, model/v0",))
    ]
    assert found[0].more_usd == pytest.approx(2 * MONTH * 0.20)
    assert found[0].monthly_cost_usd == pytest.approx(2 * MONTH * 0.31)


def test_what_can_not_be_done_without_has_no_alternative(brute: ModuleType, stand: Stand) -> None:
    assert find_alternatives(stand(brute.Case((brute.Sold("m0.0", "0.10", (1.0,)),), ((1.0,),)).problem), quiet) == ()


# ----------------------------------------------------------------------------------------------------------------- break-evens


@given(st.floats(1.02, 7.9))
def test_bisection_ends_around_the_turn(turn: float) -> None:
    found = bisect(lambda factor: factor < turn, 1.0, 8.0)
    assert found is not None
    assert found == pytest.approx(turn, rel=0.01)


def test_what_never_turns_has_no_turn() -> None:
    assert bisect(lambda _: True, 1.0, 8.0) is None
    assert bisect(lambda _: False, 1.0, 8.0) is None


def test_spot_stops_paying_at_the_price_where_the_plan_drops_it(brute: ModuleType, stand: Stand) -> None:
    sold = (brute.Sold("m0.0", "0.30", (1.0,)), brute.Sold("m1.0", "0.10", (1.0,), spot=True))
    problem = replace(brute.Case(sold, ((10.0,),)).problem, pool_worth=0.0)
    ground = stand(problem)
    (found,) = [item for item in find_break_evens(ground, quiet) if item.what == "spot stops paying above"]
    assert found.now == pytest.approx(0.10)
    assert found.value == pytest.approx(0.30, rel=0.01)
    assert found.value is not None
    for factor, spot in ((found.value / 0.10 * 0.98, True), (found.value / 0.10 * 1.02, False)):
        again = plan_again(ground, scale_prices(problem, np.array([1.0, factor]), np.ones(0)))
        assert again is not None
        assert bool(again.machines[again.problem.interruptible].any()) == spot


def test_a_pool_must_be_worth_its_keep(brute: ModuleType, stand: Stand) -> None:
    sold = (brute.Sold("m0.0", "0.30", (1.0,)), brute.Sold("m1.0", "0.10", (1.0,), spot=True))
    problem = replace(brute.Case(sold, ((10.0,),)).problem, pool_worth=0.1)
    found = next(item for item in find_break_evens(stand(problem), quiet) if item.what.startswith("spot"))
    # spot stays while (spot + disk) × 1.1 < on-demand + disk
    assert found.value == pytest.approx(0.31 / 1.1 - DISK, rel=0.01)


def test_todays_machine_is_run_again_below_its_rivals_price(brute: ModuleType, stand: Stand) -> None:
    ground = stand(replace(two_machines(brute), pool_worth=0.0))
    pool = replace(ground.bench.workload.today[0], machine="m1.0")
    ground = replace(ground, workload=replace(ground.workload, today=(pool,)))
    (found,) = [item for item in find_break_evens(ground, quiet) if "run below" in item.what]
    assert found.now == pytest.approx(0.30)
    assert found.value == pytest.approx(0.10, rel=0.01)
    kept = replace(ground, workload=replace(ground.workload, today=(replace(pool, machine="m0.0"),)))
    (found,) = [item for item in find_break_evens(kept, quiet) if "stays in the plan" in item.what]
    assert found.value == pytest.approx(0.30, rel=0.01)


def test_what_no_price_within_reach_changes_says_so(brute: ModuleType, stand: Stand) -> None:
    sold = (brute.Sold("m0.0", "0.10", (1.0,)), brute.Sold("m1.0", "9.00", (1.0,)))
    ground = stand(brute.Case(sold, ((2.0,),)).problem)
    pool = replace(ground.bench.workload.today[0], machine="m1.0")
    (found,) = find_break_evens(replace(ground, workload=replace(ground.workload, today=(pool,))), quiet)
    assert found.value is None
    assert "factor of 4" in found.note


def test_a_commitment_pays_from_its_share_of_the_on_demand_rate(brute: ModuleType, stand: Stand) -> None:
    sold = (brute.Sold("m0.0", "0.30", (1.0,), "0.18"),)
    ground = stand(brute.Case(sold, ((2.0, 1.0, 0.0),)).problem)
    (found,) = find_break_evens(ground, quiet)
    assert (found.unit, found.value) == ("hours a day", pytest.approx(24 * 0.6))
    assert found.now == pytest.approx(16.0)
    # the solver's own answer on both sides: a machine that runs for 15 of 24 hours is committed to, one of 14 is not
    for hours, made in ((15, True), (14, False)):
        day = (tuple(1.0 if hour < hours else 0.0 for hour in range(24)),)
        assert bool(solve(brute.Case(sold, day).problem).commitments.any()) == made


def test_self_hosting_beats_buying_from_the_traffic_that_pays_a_machine(
    brute: ModuleType, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    usd = 1e-5
    sold = (brute.Sold("m0.0", "0.35", (50.0,)), brute.Sold("api", "0", (1.0,), metered=True, usd_per_request=(usd,)))
    ground = stand(brute.Case(sold, ((1.0,),)).problem)

    def busier(_ground: Baseline, factor: float) -> Problem:
        return replace(ground.whole, rate=ground.whole.rate * factor, mean_rate=ground.whole.mean_rate * factor)

    monkeypatch.setattr(break_even, "scale_traffic", busier)
    (found,) = [item for item in find_break_evens(ground, quiet) if item.what.startswith("self-hosting")]
    assert found.now is not None
    assert found.value is not None
    # a machine and its disk cost $0.36 an hour: as much as 10 requests a second by the piece
    assert found.value / found.now == pytest.approx(10.0, rel=0.05)
    for factor, metered in ((9.4, True), (10.6, False)):
        again = plan_again(ground, busier(ground, factor))
        assert again is not None
        assert bool(again.share[:, again.problem.metered].any()) == metered


def test_an_upper_bound_of_the_rivals_cost_is_what_their_pools_cost(brute: ModuleType, stand: Stand) -> None:
    ground = stand(replace(two_machines(brute), pool_worth=0.0))
    rivals = BreakEvenRace(ground, np.array([True, False]), 2 * MONTH * 0.31, ground.opened)
    assert rivals.pays(2.9)
    assert not rivals.pays(3.1)
    assert reprice_pools(ground, ground.whole, ground.opened) == pytest.approx(2 * MONTH * 0.11)


# ------------------------------------------------------------------------------------------------------------------- together


def test_a_plan_carries_what_is_cheap_to_know(plan: Plan) -> None:
    assert not plan.explained
    assert plan.alternatives == ()
    assert plan.break_evens == ()
    assert [item.what for item in plan.sensitivities] == ["traffic +25 %", "spot prices +25 %"]
    assert plan.cost_range is not None
    assert plan.cost_range.high_usd is None or plan.cost_range.low_usd <= plan.monthly_cost_usd <= plan.cost_range.high_usd


def test_asked_for_everything_is_there(ground: Baseline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(break_even, "bisect", lambda holds, low, high, *_: bisect(holds, low, high, 1.0))  # coarse, for speed
    found = explain(ground, (), quiet, full=True)
    open_pools = int(ground.opened.sum())
    assert 1 <= len(found.alternatives) <= open_pools + len(ground.proof.others)
    assert [item.monthly_cost_usd for item in found.alternatives] == sorted(item.monthly_cost_usd for item in found.alternatives)
    assert any("c6i.large on demand" in item.what for item in found.break_evens)
    assert len(found.sensitivities) >= 4
