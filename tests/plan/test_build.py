"""From workload to arrays: rates rounded up, refusals with reasons, and no option dropped that a cheapest plan would need."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tightrope.base.errors import InfeasibleError
from tightrope.base.records import TokenEngine, Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.build import (
    RATE_STEP,
    Deployment,
    Rules,
    _drop_dominated,
    _round_up,
    _too_long,
    build_problem,
    comparison_rules,
    size_classes,
)
from tightrope.plan.capacity import Capacity, CapacityTable
from tightrope.plan.problem import PoolOption, Problem, Quota
from tightrope.plan.prove import Bench, one_region_each
from tightrope.plan.solve import Infeasible, solve_block

Load = Callable[..., Workload]


@given(st.lists(st.floats(0.0, 1e7), min_size=1))
def test_rates_are_rounded_up_by_less_than_a_step(rates: list[float]) -> None:
    rate = np.array(rates)
    found = _round_up(rate)
    assert (found >= rate * (1.0 - 1e-9)).all()
    assert (found <= rate * (1.0 + RATE_STEP) * (1.0 + 1e-9)).all()
    assert ((found == 0.0) == (rate == 0.0)).all()
    assert _round_up(found) == pytest.approx(found, rel=1e-9)


def test_classes_are_sized_on_what_sizing_may_see(workload: Workload) -> None:
    before = size_classes(workload, {}, 165.0)
    web = workload.classes[0]
    louder = web.demand.rate_per_s.copy()
    louder[-len(louder) // 14 :] *= 100.0
    changed = replace(workload, classes=(replace(web, demand=replace(web.demand, rate_per_s=louder)), *workload.classes[1:]))
    after = size_classes(changed, {}, 165.0)
    assert np.array_equal(before[0].planned, after[0].planned)
    assert (before[0].planned >= before[0].expected * (1.0 - 1e-9)).all()
    raised = size_classes(workload, {"web": 1.5}, 165.0)
    assert (raised[0].planned >= 1.5 * before[0].planned / (1.0 + RATE_STEP)).all()
    assert np.array_equal(raised[1].planned, before[1].planned)


# ------------------------------------------------------------------------------------------------------------- refusals


def test_every_candidate_is_an_option_or_has_a_reason(bench: Bench) -> None:
    (first, *_) = one_region_each(bench.workload)
    problem = build_problem(first, bench.book, bench.table, {})
    assert all(refusal.reason for refusal in problem.refusals)
    refused = {refusal.what for refusal in problem.refusals}
    options = {option.label for option in problem.options}
    assert not options & refused
    for machine in bench.book.machines(bench.workload.where.families):
        for variant in bench.workload.variants:
            for offer in ("on-demand", "spot"):
                sold = f"{machine.name} us-east-1 {offer}"
                assert {f"{sold}, {variant.name}", sold, f"{variant.name} on {machine.name}"} & (options | refused)


def test_a_machine_that_misses_the_promise_is_refused_with_its_figure(load: Load, book: PriceBook) -> None:
    workload = load(("latency p95 <= 900 ms", "latency p95 <= 300 ms"), ("    quality_floor: 0.9\n", ""))
    problem = build_problem(workload, book, CapacityTable(), {})
    c, labels = problem.interactive.index("web"), [option.label for option in problem.options]
    assert {label.split(", ")[1] for p, label in enumerate(labels) if problem.mu[c, p].any()} <= {"big/int8", "small/int8"}


def test_where_no_machine_keeps_the_promise_the_nearest_miss_is_named(load: Load, book: PriceBook) -> None:
    workload = load(("latency p95 <= 900 ms", "latency p95 <= 5 ms"))
    with pytest.raises(InfeasibleError, match=r"no machine keeps the promises of class 'web'") as caught:
        build_problem(workload, book, CapacityTable(), {})
    assert "latency p95 ≤ 5 ms comes to 0.04" in str(caught.value)
    assert "traffic.web.slo" in caught.value.resolve
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("room", "fits"), [(20, True), (19, False)])
def test_requests_longer_than_the_kv_cache_are_refused(workload: Workload, room: int, fits: bool) -> None:
    web = workload.classes[0]
    demand = replace(web.demand, input_tokens=np.array([1, 15, 3]), output_tokens=np.array([2, 5, 9]))
    engine = TokenEngine(0.0, 0.1, 0.0, 0.0, room, 8, 512, 0.0)
    profile = replace(workload.variants[0].declared[0], engine=engine)
    assert _too_long(profile, replace(web, demand=demand)) == (
        "" if fits else "its largest request needs a KV cache of 20 tokens, there is room for 19"
    )


# ------------------------------------------------------------------------------------------------------------ dominance


Served = tuple[Deployment, PoolOption]


@st.composite
def menus(draw: st.DrawFn, brute: ModuleType) -> tuple[list[Served], Problem, dict[str, int]]:
    """Draw up to four options of up to two variants for one class, and the one block they may serve."""
    rate, floor = draw(st.sampled_from([0.7, 2.0, 5.0])), draw(st.sampled_from([0.0, 0.95]))
    serves = draw(st.sampled_from([(1.0, 1.0), (0.5, 1.0), (1.0, 0.5), (0.5, 0.5)]))
    quality = draw(st.sampled_from([(1.0, 1.0), (0.9, 1.0)]))
    sold, capacities = [], []
    for p in range(draw(st.integers(2, 4))):
        single = draw(st.sampled_from([0.5, 1.0, 2.0]))
        spot, usd, copies = draw(st.booleans()), draw(st.integers(11, 40)), draw(st.integers(1, 2))
        plan = None if spot or draw(st.booleans()) else f"0.{draw(st.integers(10, usd - 1))}"
        variant = draw(st.integers(0, 1))
        name = f"m{draw(st.integers(0, 1))}.{p}"
        sold.append(
            brute.Sold(name, f"0.{usd}", (single * copies,), plan, spot, draw(st.integers(1, 3)), variant, replicas=copies)
        )
        capacities.append(Capacity(single, single, single, 1, {}))
    quotas = draw(st.sampled_from([{}, {"m0": 1}, {"m0": 2, "m1": 2}, {sold[0].name: 1}]))
    case = brute.Case(
        tuple(sold),
        ((rate,),),
        share_cap=(serves,),
        quality=quality,
        quality_floor=(floor,),
        quotas=quotas,
        max_spot_share=draw(st.sampled_from([1.0, 0.5])),
        spot_zone_loss_share=draw(st.sampled_from([0.0, 0.7])),
    )
    problem = case.problem
    named = {f"model/v{v}": dict.fromkeys(("class-0",), serves[v]) for v in (0, 1)}
    served = []
    for option, capacity in zip(problem.options, capacities, strict=True):
        whole = replace(option, variant=replace(option.variant, serves=named[option.variant.name]))
        served.append((Deployment(whole.variant, whole.machine, whole.profile, {"class-0": capacity}), whole))
    return served, problem, quotas


def cheapest_usd(problem: Problem, commitment: float) -> float:
    try:
        return solve_block(problem, 0, commitment)[2]
    except Infeasible:
        return np.inf


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_dropping_dominated_options_never_costs_anything(brute: ModuleType, data: st.DataObject) -> None:
    served, problem, quotas = data.draw(menus(brute))
    worst = sum(
        part * problem.quality[v]
        for v, part in zip(np.argsort(problem.quality), _parts(problem.share_cap[0][np.argsort(problem.quality)]), strict=True)
    )
    full = problem.share_cap[0].sum() >= 1.0 and worst >= problem.quality_floor[0]
    rules = Rules(frozenset(quotas), {"class-0": problem.rate[0]}, frozenset({"class-0"} if full else ()))
    kept, refusals = _drop_dominated(served, rules)
    assert len(kept) + len(refusals) == len(served)
    keep = np.array([any(option is one for _, one in kept) for _, option in served])
    small = restrict_all(problem, keep)
    for commitment in (0.0, 0.25):
        assert cheapest_usd(small, commitment) == pytest.approx(cheapest_usd(problem, commitment), rel=2e-4)


def _parts(caps: np.ndarray) -> list[float]:
    """Return what each variant answers when the first ones answer all that they may."""
    left, parts = 1.0, []
    for cap in caps:
        parts.append(min(left, float(cap)))
        left -= parts[-1]
    return parts


def restrict_all(problem: Problem, keep: np.ndarray) -> Problem:
    """Return the problem where the others are not sold: their rates are 0, everything else stays."""
    return replace(
        problem,
        mu=np.where(keep[None, :, None], problem.mu, 0.0),
        quotas=tuple(Quota(quota.name, quota.mask, quota.machines) for quota in problem.quotas),
    )


def pair(brute: ModuleType, *sold: object, **limits: object) -> list[Served]:
    """Return options that each sustain what their ``mu`` says, whatever the fleet."""
    case = brute.Case(sold, ((1.0,),), **limits)
    found = []
    for one, option in zip(case.sold, case.problem.options, strict=True):
        variant = replace(option.variant, serves={"class-0": float((case.share_cap or ((1.0, 1.0),))[0][one.variant])})
        per_engine = one.mu[0] / one.replicas
        capacity = {"class-0": Capacity(per_engine, per_engine, per_engine, 1, {})}
        found.append((Deployment(variant, option.machine, option.profile, capacity), replace(option, variant=variant)))
    return found


def dropped(options: list[Served], *limited: str) -> list[str]:
    rules = Rules(frozenset(limited), {"class-0": np.array([10.0])}, frozenset())
    return [refusal.what.split()[0] for refusal in _drop_dominated(options, rules)[1]]


def test_a_dearer_and_slower_machine_is_dropped_with_its_rival_named(brute: ModuleType) -> None:
    options = pair(brute, brute.Sold("m0.0", "0.30", (1.0,)), brute.Sold("m1.0", "0.20", (2.0,)))
    (refusal,) = _drop_dominated(options, Rules(frozenset(), {"class-0": np.array([10.0])}, frozenset()))[1]
    assert refusal.what == "m0.0 r on-demand, model/v0"
    assert refusal.reason == "m1.0 r on-demand, model/v0 serves as much for no more"


def test_of_equals_the_first_stays(brute: ModuleType) -> None:
    options = pair(brute, brute.Sold("m0.0", "0.20", (1.0,)), brute.Sold("m1.0", "0.20", (1.0,)))
    assert dropped(options) == ["m1.0"]


def test_a_rival_under_a_quota_of_its_own_drops_nothing(brute: ModuleType) -> None:
    options = pair(brute, brute.Sold("m0.0", "0.30", (1.0,)), brute.Sold("m1.0", "0.20", (2.0,)))
    assert dropped(options, "m1") == []
    assert dropped(options, "m0") == ["m0.0"]
    same = pair(brute, brute.Sold("m0.0", "0.30", (1.0,)), brute.Sold("m0.1", "0.20", (2.0,)))
    assert dropped(same, "m0") == ["m0.0"]
    assert dropped(same, "m0.1") == []


def test_a_variant_with_a_capped_share_replaces_no_other(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.30", (1.0,), variant=0), brute.Sold("m1.0", "0.20", (2.0,), variant=1))
    assert dropped(pair(brute, *sold, quality=(1.0, 1.0), share_cap=((0.5, 0.5),))) == []
    assert dropped(pair(brute, *sold, quality=(1.0, 1.0), share_cap=((0.5, 1.0),))) == ["m0.0"]


def test_a_machine_that_may_be_taken_away_drops_none_that_may_not(brute: ModuleType) -> None:
    options = pair(brute, brute.Sold("m0.0", "0.30", (1.0,), spot=True), brute.Sold("m1.0", "0.20", (2.0,), spot=True))
    deployment, safe = options[0]
    never = replace(safe, terms=replace(safe.terms, interruptions_per_hour=0.0))
    assert dropped(options) == ["m0.0"]
    assert dropped([(deployment, never), options[1]]) == []


def test_what_counts_is_what_a_machine_sustains_at_the_planned_rates(brute: ModuleType) -> None:
    # in the fleet of 1 that 100/s needs, the engine of the higher limit sustains 10/s; in one of 2, the other sustains 21.7/s
    small, large = pair(brute, brute.Sold("m0.0", "0.30", (1.0,)), brute.Sold("m1.0", "0.20", (1.0,)))
    capacities = Capacity(10.0, 50.0, 100.0, 1, {}), Capacity(10.0, 100.0, 100.0, 1, {})
    options = [
        (replace(one, capacity={"class-0": capacity}), option)
        for (one, option), capacity in zip((small, large), capacities, strict=True)
    ]
    for rate, gone in ((100.0, []), (1000.0, ["m0.0"])):
        rules = Rules(frozenset(), {"class-0": np.array([rate])}, frozenset())
        assert [refusal.what.split()[0] for refusal in _drop_dominated(options, rules)[1]] == gone


def test_quality_never_binds_where_the_worst_variants_hold_the_floor(workload: Workload) -> None:
    sized = size_classes(workload, {}, 165.0)
    assert comparison_rules(workload, sized).any_quality == frozenset({"night", "web"})  # 0.3 × 0.8 + 0.7 × 0.95 = 0.905 ≥ 0.9
    web = replace(sized[0], traffic_class=replace(sized[0].traffic_class, quality_floor=0.92))
    assert comparison_rules(workload, (web, sized[1])).any_quality == frozenset({"night"})
