"""The plan as the replay sees it: names, shares, ceilings, and the traffic of a stretch."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from tightrope.base.records import CachePolicy, Slo, Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.fleet.plan_fleet import (
    Stretch,
    build_fleet,
    build_today_fleet,
    busiest,
    draw_traffic,
    find_heldout_stretch,
    open_pools,
)
from tightrope.plan.plan_json import build_serving
from tightrope.plan.problem.arrays import Quota
from tightrope.plan.problem.demand_week import grow
from tightrope.plan.prove.proof import Bench, Proof
from tightrope.plan.solve.decomposition import solve
from tightrope.replay.records import FleetClass, ResponseCache

Load = Callable[..., Workload]


def test_pools_are_the_options_in_use_each_with_a_name_of_its_own(proof: Proof) -> None:
    pools = open_pools(proof.solution)
    assert len({pool.name for pool in pools}) == len(pools)
    assert sorted(pool.index for pool in pools) == np.flatnonzero(proof.solution.machines.any(axis=1)).tolist()
    spend = [proof.problem.usd_per_hour[pool.index] * proof.solution.machines[pool.index].sum() for pool in pools]
    assert spend == sorted(spend, reverse=True)


def test_pools_alike_are_numbered(brute: ModuleType) -> None:
    sold = tuple(brute.Sold(f"m{p}.0", "0.10", tuple(float(c == p) for c in range(3))) for p in range(3))
    case = brute.Case(sold, ((0.5,),) * 3)
    alike = tuple(replace(option, machine=case.problem.options[0].machine) for option in case.problem.options)
    solution = replace(solve(case.problem), problem=replace(case.problem, options=alike))
    assert sorted(pool.name for pool in open_pools(solution)) == ["v0-m0-0", "v0-m0-0-2", "v0-m0-0-3"]


def test_shares_add_up_wherever_there_is_traffic_and_work_goes_where_it_was_placed(bench: Bench, proof: Proof) -> None:
    fleet, (web, night) = proof.fleet, (0, 1)
    assert [(item.name, item.deferrable) for item in fleet.classes] == [("web", False), ("night", True)]
    assert fleet.share[web].sum(axis=0) == pytest.approx(np.ones(168))
    assert not fleet.share[night].any()
    assert not fleet.allowed[web].any()
    placed = [pool.name for pool in open_pools(proof.solution) if proof.solution.work[:, pool.index].any()]
    assert [pool.name for pool, may in zip(fleet.pools, fleet.allowed[night], strict=True) if may] == placed


def test_a_pool_scales_up_to_its_ceiling_and_never_below_its_schedule(bench: Bench, proof: Proof) -> None:
    surge = bench.workload.scaling.max_surge
    for pool, opened in zip(proof.fleet.pools, open_pools(proof.solution), strict=True):
        assert pool.schedule.tolist() == proof.solution.machines[opened.index].tolist()
        assert pool.ceiling in {pool.schedule.max(), int(np.ceil(surge * pool.schedule.max()))}
        assert pool.start_s == bench.workload.scaling.machine_start_s + pool.engine.load_s
        assert pool.requests_per_s > 0.0
        answers = proof.solution.share[:, opened.index].any()
        mine = proof.problem.mu[0, opened.index] if answers else proof.problem.work_per_s[:, opened.index]
        assert mine.min() - 1e-9 <= pool.requests_per_s <= mine.max() + 1e-9


def test_a_pool_never_scales_beyond_what_the_quotas_leave_it(bench: Bench, proof: Proof) -> None:
    """Half as many again where nothing stands in the way; within a quota, the pools that share it keep their fewest machines."""
    solution, surge = proof.solution, bench.workload.scaling.max_surge
    opened = open_pools(solution)
    served = [pool.index for pool in opened if solution.share[:, pool.index].any()]
    largest, least = solution.machines.max(axis=1), solution.machines.min(axis=1)
    for room in (0, 1, 100):
        total = int(largest[served].sum()) + room
        mask = np.isin(np.arange(len(largest)), served)
        limited = replace(solution, problem=replace(solution.problem, quotas=(Quota("all", mask, total),)))
        fleet = build_fleet(bench.workload, limited, bench.table)
        ceilings = {opened[place].index: pool.ceiling for place, pool in enumerate(fleet.pools)}
        for p in served:
            others = sum(int(least[other]) for other in served if other != p)
            assert ceilings[p] == max(largest[p], min(np.ceil(surge * largest[p]), total - others))


def test_a_single_block_is_a_whole_week(brute: ModuleType, workload: Workload, bench: Bench, proof: Proof) -> None:
    one = replace(
        proof.solution,
        problem=replace(proof.problem, rate=proof.problem.rate[:, :1], mu=proof.problem.mu[:, :, :1], windows=()),
        machines=proof.solution.machines[:, :1],
        share=proof.solution.share[:, :, :1],
        work=np.zeros((0, len(proof.problem.options), 1)),
    )
    fleet = build_fleet(workload, one, bench.table)
    assert all(len(pool.schedule) == 168 and (pool.schedule == pool.schedule[0]).all() for pool in fleet.pools)


def test_the_replay_is_told_how_the_workload_treats_its_classes(workload: Workload, bench: Bench, proof: Proof) -> None:
    web, night = workload.classes
    told = replace(web, priority=7, shed_wait_s=1.5, retries=2, retry_after_s=0.25)
    stated = replace(workload, classes=(told, night), cache=CachePolicy(100, 60.0, 0.002))
    fleet = build_fleet(stated, proof.solution, bench.table)
    tightest = min(slo.limit_s for slo in web.slos if slo.metric in {"latency", "ttft"})
    assert fleet.classes[0] == FleetClass("web", False, 7, tightest, 1.5, 2, 0.25)
    assert fleet.classes[1] == FleetClass("night", True)
    assert fleet.cache == ResponseCache(100, 60.0, 0.002)
    assert proof.fleet.classes == (FleetClass("web", False, 0, tightest), FleetClass("night", True))
    assert proof.fleet.cache is None


def test_machines_that_fail_and_prefix_caches_reach_the_replay_and_the_plan(
    workload: Workload, bench: Bench, proof: Proof, book: PriceBook
) -> None:
    variants = tuple(replace(variant, prefix_block_tokens=64) for variant in workload.variants)
    stated = replace(workload, variants=variants, failures_per_hour=1e-4)
    options = tuple(
        replace(option, variant=replace(option.variant, prefix_block_tokens=64)) for option in proof.solution.problem.options
    )
    solution = replace(proof.solution, problem=replace(proof.solution.problem, options=options))
    fleet, today = build_fleet(stated, solution, bench.table), build_today_fleet(stated, book)
    assert today is not None
    for place, pool in enumerate(fleet.pools):
        serving = build_serving(fleet, place)
        assert (pool.failures_per_hour, pool.prefix_block_tokens) == (1e-4, 64)
        assert (serving.failures_per_hour, serving.prefix_block_tokens) == (1e-4, 64)
    assert (today.pools[0].failures_per_hour, today.pools[0].prefix_block_tokens) == (1e-4, 64)
    assert {(pool.failures_per_hour, pool.prefix_block_tokens) for pool in proof.fleet.pools} == {(0.0, 0)}


def test_a_promise_on_time_per_token_alone_hurries_no_batch(workload: Workload, bench: Bench, proof: Proof) -> None:
    slow = replace(workload.classes[0], slos=(Slo("tpot", 0.95, 0.1),))
    fleet = build_fleet(replace(workload, classes=(slow, workload.classes[1])), proof.solution, bench.table)
    assert fleet.classes[0].answer_within_s == float("inf")


def test_a_pool_says_how_long_it_loads_and_what_a_machine_holds(bench: Bench, proof: Proof) -> None:
    for pool, opened in zip(proof.fleet.pools, open_pools(proof.solution), strict=True):
        assert pool.load_s == pool.engine.load_s > 0.0
        assert pool.concurrency == pool.deferrable_limit * opened.option.profile.replicas_per_machine
        if proof.solution.share[0, opened.index].any():
            held = bench.table.find(pool.engine, bench.workload.classes[0]).concurrency
            assert pool.concurrency == held * pool.engines_per_machine


# ------------------------------------------------------------------------------------------------------------------- today


def test_todays_fleet_is_fixed_and_shared_evenly(workload: Workload, book: PriceBook) -> None:
    fleet = build_today_fleet(workload, book)
    assert fleet is not None
    (pool,) = fleet.pools
    assert (pool.schedule == 20).all()
    assert pool.ceiling == 20
    assert pool.engine.max_batch == 1  # type: ignore[union-attr]
    assert not fleet.scaling.enabled
    assert fleet.classes[0].answer_within_s < float("inf")
    assert fleet.cache is None
    cached = build_today_fleet(replace(workload, cache=CachePolicy(9, 5.0)), book)
    assert cached is not None
    assert cached.cache == ResponseCache(9, 5.0)
    assert fleet.share.sum(axis=1) == pytest.approx(np.ones((2, 168)))


def test_todays_pools_share_by_machines(load: Load, book: PriceBook) -> None:
    more = "{machine: c6i.xlarge, region: us-east-1, variant: big/fp32, machines: 5, classes: [web]}"
    fleet = build_today_fleet(load(("max_batch: 1}", f"max_batch: 1}}\n  - {more}")), book)
    assert fleet is not None
    assert fleet.share[0, :, 0].tolist() == [0.8, 0.2]
    assert fleet.share[1, :, 0].tolist() == [1.0, 0.0]


def test_a_fleet_that_leaves_a_class_unserved_is_not_replayed(load: Load, book: PriceBook) -> None:
    assert build_today_fleet(load(("classes: [web, night]", "classes: [web]")), book) is None


def test_a_fleet_without_a_profile_is_not_replayed(load: Load, book: PriceBook) -> None:
    gpu = ("today:\n  - {machine: c6i.large", "today:\n  - {machine: g4dn.xlarge")
    assert build_today_fleet(load(gpu), book) is None


# ------------------------------------------------------------------------------------------------------------------- traffic


def test_the_held_out_stretch_is_the_end_of_the_trace(workload: Workload) -> None:
    stretch = find_heldout_stretch(workload)
    assert (stretch.start_s, stretch.end_s) == (13 * 86_400.0, 14 * 86_400.0)
    assert stretch.words == "day 14"


@pytest.mark.parametrize(
    ("start_s", "end_s", "words"),
    [(0.0, 86_400.0, "day 1"), (86_400.0, 4 * 86_400.0, "days 2–4"), (90_000.0, 91_800.0, "day 2, 01:00–01:30")],
)
def test_stretches_are_named_as_people_do(start_s: float, end_s: float, words: str) -> None:
    assert Stretch(start_s, end_s).words == words


def test_the_busiest_stretch_is_around_the_peak(workload: Workload) -> None:
    found = busiest(workload, find_heldout_stretch(workload), 3600.0)
    assert found.end_s - found.start_s == 3600.0
    assert found.start_s % 86_400.0 / 3600.0 in {19.0, 20.0}


def test_traffic_is_merged_in_time_and_the_same_for_the_same_seed(workload: Workload) -> None:
    stretch = Stretch(13 * 86_400.0, 13.2 * 86_400.0)
    one, again, other = (draw_traffic(workload, stretch, seed) for seed in (1, 1, 2))
    assert (np.diff(one.time_s) >= 0.0).all()
    assert 0.0 <= one.time_s[0] <= one.time_s[-1] < stretch.end_s - stretch.start_s
    assert one.time_s.tobytes() == again.time_s.tobytes()
    assert one.time_s.tobytes() != other.time_s.tobytes()


def test_work_that_can_wait_carries_its_deadline(workload: Workload) -> None:
    """Where several classes wait, the one that is due first goes first; what cannot wait is never due."""
    stretch = Stretch(13 * 86_400.0, 13.2 * 86_400.0)
    traffic = draw_traffic(workload, stretch, 1)
    night = workload.classes[1].deferral
    assert night is not None
    assert traffic.deadline_s is not None
    waits = traffic.traffic_class == 1
    assert not np.isfinite(traffic.deadline_s[~waits]).any()
    assert traffic.deadline_s[waits] % 86_400.0 / 3600.0 == pytest.approx(night.deadline_h % 24)


def test_growth_brings_more_requests(workload: Workload) -> None:
    web = workload.classes[0]
    assert grow(web, 1.0) is web
    assert grow(web, 1.5).demand.requests == pytest.approx(1.5 * web.demand.requests)
    stretch = find_heldout_stretch(workload)
    grown = replace(workload, classes=(replace(web, growth=0.5), *workload.classes[1:]))
    counts = [np.count_nonzero(draw_traffic(w, stretch, 1).traffic_class == 0) for w in (workload, grown)]
    assert counts[1] == pytest.approx(1.5 * counts[0], rel=0.02)
