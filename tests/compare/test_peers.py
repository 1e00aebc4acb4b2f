"""The rules of the peers: each against its own arithmetic, on one small workload."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tightrope.base.catalogue import ON_DEMAND, SPOT
from tightrope.base.errors import InfeasibleError
from tightrope.base.records import TrafficClass, Workload
from tightrope.clouds.book import PriceBook
from tightrope.compare.demand_buckets import draft_buckets_mean, draft_buckets_peak, split_into_buckets
from tightrope.compare.hpa import draft_hpa
from tightrope.compare.lookback import count_past_hours, draft_look_back
from tightrope.compare.peak import draft_peak
from tightrope.compare.peer_draft import Draft, Setting, list_assignments, on_demand, scheduled_usd, serves_alone
from tightrope.compare.single_type import draft_single_type
from tightrope.compare.spot_fallback import draft_spot_fallback
from tightrope.plan.fleet.plan_fleet import find_heldout_stretch
from tightrope.plan.prove.proof import Bench
from tightrope.plan.solve.decomposition import solve
from tightrope.plan.solve.relaxation import relax

HOURS_PER_MONTH = 730.0
DRAFTS = (draft_peak, draft_hpa, draft_single_type, draft_buckets_mean, draft_buckets_peak, draft_spot_fallback)
NAMES = [draft.__name__ for draft in DRAFTS]


@pytest.fixture(scope="session")
def setting(bench: Bench) -> Setting:
    headroom = dict.fromkeys((item.name for item in bench.workload.classes), 1.0)
    return Setting(bench.workload, bench.book, bench.table, bench.regions(headroom)[0], headroom)


def scheduled(draft: Draft, setting: Setting) -> float:
    return scheduled_usd(draft, setting.book, setting.problem.block_hours)


@pytest.mark.parametrize("draft_of", DRAFTS, ids=NAMES)
def test_a_draft_says_of_every_pool_what_it_is_made_of(draft_of: Callable[[Setting], Draft], setting: Setting) -> None:
    draft = draft_of(setting)
    assert len(draft.options) == len(draft.fleet.pools) == len(draft.machines) == len(draft.disk_usd_per_hour)
    assert draft.fleet.allowed.shape == (len(draft.fleet.classes), len(draft.options))
    assert draft.machines.shape == (len(draft.options), 168)
    assert {line.pool for line in draft.lines} == {pool.name for pool in draft.fleet.pools}
    np.testing.assert_allclose(draft.fleet.share.sum(axis=1)[0], 1.0)


def test_the_peak_is_held_around_the_clock_by_the_type_that_does_so_for_least(setting: Setting) -> None:
    problem, draft = setting.problem, draft_peak(setting)
    able = np.flatnonzero(on_demand(problem) & serves_alone(problem).all(axis=0))
    costs = {p: np.ceil((problem.rate[0] / problem.mu[0, p]).max() - 1e-9) * problem.usd_per_hour[p] for p in able}
    cheapest = problem.options[min(costs, key=lambda p: costs[p])]
    assert [(option.machine.name, option.variant.name) for option in draft.options] == [
        (cheapest.machine.name, cheapest.variant.name)
    ]
    assert (draft.machines == draft.machines[0, 0]).all()
    assert not draft.fleet.scaling.enabled
    assert scheduled(draft, setting) == pytest.approx(
        draft.machines[0, 0] * (draft.options[0].terms.usd_per_hour + draft.disk_usd_per_hour[0]) * HOURS_PER_MONTH
    )


def test_the_autoscaler_begins_with_one_machine_and_expects_what_the_mean_asks_for(setting: Setting) -> None:
    draft, problem = draft_hpa(setting), setting.problem
    p = problem.options.index(draft.options[0])
    wanted = np.maximum(np.ceil(problem.mean_rate[0] / problem.mu[0, p] / 0.7 - 1e-9), 1)
    jobs = draft.fleet.pools[0].schedule - 1
    assert jobs.any(), "the nightly work has machines of its own"
    assert (jobs >= 0).all()
    np.testing.assert_array_equal(draft.machines[0], wanted + jobs)
    assert draft.fleet.scaling.enabled
    assert draft.fleet.scaling.target_utilisation == 0.7
    assert draft.fleet.pools[0].ceiling >= 2 * problem.rate[0].max() / problem.mu[0, p].max() / 0.7


def test_sizing_up_lowers_the_autoscalers_target(setting: Setting) -> None:
    raised = draft_hpa(replace(setting, headroom={"web": 1.4, "night": 1.0}))
    assert raised.fleet.scaling.target_utilisation == pytest.approx(0.5)
    assert scheduled(raised, setting) > scheduled(draft_hpa(setting), setting)


def test_spot_has_one_machine_more_and_on_demand_behind_it(setting: Setting) -> None:
    draft = draft_spot_fallback(setting)
    spot, behind = draft.fleet.pools
    assert [option.terms.offer for option in draft.options] == [SPOT, ON_DEMAND]
    assert draft.options[0].machine == draft.options[1].machine
    assert behind.backs == spot.name
    assert not behind.schedule.any()
    assert behind.ceiling == 0
    assert spot.interruptions_per_hour > 0.0 == behind.interruptions_per_hour
    p = setting.problem.options.index(draft.options[0])
    asked = np.maximum(np.ceil(setting.problem.mean_rate[0] / setting.problem.mu[0, p] / 0.7 - 1e-9), 1)
    assert (draft.machines[0] >= asked + 1).all()
    assert draft.fleet.scaling.target_utilisation < 0.7
    assert "max_spot_share allows 50%" in draft.breaks


def test_without_spot_there_is_no_plan_of_it(setting: Setting) -> None:
    no_spot = replace(setting.workload, purchase=replace(setting.workload.purchase, offers=(ON_DEMAND,)))
    bench = Bench(no_spot, setting.book, setting.table)
    with pytest.raises(InfeasibleError, match="both spot and sold on demand"):
        draft_spot_fallback(replace(setting, workload=no_spot, problem=bench.regions(setting.headroom)[0]))


def test_one_type_with_all_else_lies_between_the_bound_and_the_peak(setting: Setting) -> None:
    draft = draft_single_type(setting)
    assert len({(option.machine.name, option.variant.name) for option in draft.options}) == 1
    assert not draft.committed
    assert relax(setting.problem).usd_per_month <= scheduled(draft, setting) <= scheduled(draft_peak(setting), setting)
    assert solve(setting.problem).usd_per_month <= scheduled(draft, setting) * 1.02, "more to choose from costs no more"


def test_buckets_share_out_a_class_by_size(workload: Workload) -> None:
    sizes = np.array([10, 10, 100, 100, 100, 5000, 5000, 5000, 5000, 5000])
    sample = replace(workload.classes[0].demand, input_tokens=sizes, output_tokens=np.full(10, 30), arrival_s=np.zeros(0))
    found = list(split_into_buckets(3, replace(workload.classes[0], demand=sample)))
    assert [bucket.share for bucket in found] == [0.2, 0.3, 0.5]
    assert {bucket.index for bucket in found} == {3}
    assert [set(bucket.traffic_class.demand.input_tokens.tolist()) for bucket in found] == [{10}, {100}, {5000}]
    assert len({bucket.traffic_class.name for bucket in found}) == 3


def test_a_bucket_of_hardly_any_requests_goes_with_the_largest(workload: Workload) -> None:
    sizes = np.append(np.full(199, 100), 9000)
    sample = replace(workload.classes[0].demand, input_tokens=sizes, output_tokens=np.full(200, 30), arrival_s=np.zeros(0))
    (only,) = split_into_buckets(0, replace(workload.classes[0], demand=sample))
    assert only.share == 1.0


def test_requests_without_tokens_are_one_bucket_so_that_the_fleet_is_the_cheapest_mix_for_one_rate(setting: Setting) -> None:
    setting = replace(setting, problem=replace(setting.problem, windows=()))
    mean, peak = draft_buckets_mean(setting), draft_buckets_peak(setting)
    assert len(list(split_into_buckets(0, setting.workload.classes[0]))) == 1
    for draft in (mean, peak):
        assert (draft.machines == draft.machines[:, :1]).all()
        assert {option.terms.offer for option in draft.options} == {ON_DEMAND}
        assert not draft.fleet.scaling.enabled
    assert scheduled(mean, setting) <= scheduled(peak, setting) <= scheduled(draft_peak(setting), setting) + 1e-6


def test_a_trace_that_is_too_short_to_commit_on_gives_no_look_back(setting: Setting) -> None:
    two_days = replace(setting.workload, heldout_share=0.99)
    with pytest.raises(InfeasibleError, match="no commitment"):
        draft_look_back(replace(setting, workload=two_days))


def test_the_look_back_commits_to_what_its_own_past_deserved(setting: Setting) -> None:
    draft, alone = draft_look_back(setting), draft_hpa(setting)
    (made,) = draft.committed
    assert made.offer == "compute-savings-plan-1y-no-upfront"
    rate = setting.book.find(draft.options[0].machine.name, draft.options[0].region, made.offer)
    assert rate is not None
    hours = count_past_hours(setting.workload, alone)[0]
    discounted = float(rate.usd_per_hour)
    on_demand_usd = draft.options[0].terms.usd_per_hour

    def bill(usd_per_hour: float) -> float:
        covered = np.minimum(hours, usd_per_hour / discounted)
        return float((usd_per_hour + (hours - covered) * on_demand_usd).sum())

    tried = [bill(machines * discounted) for machines in np.linspace(0.0, hours.max(), 200)]
    assert bill(made.usd_per_hour) <= min(tried) + 1e-6
    assert scheduled(draft, setting) < scheduled(alone, setting)


def test_a_past_too_busy_to_replay_is_what_the_rule_expects(setting: Setting) -> None:
    draft, web = draft_hpa(setting), setting.workload.classes[0]
    busy = replace(web, demand=replace(web.demand, rate_per_s=web.demand.rate_per_s * 100.0))
    hours = count_past_hours(replace(setting.workload, classes=(busy, *setting.workload.classes[1:])), draft)
    assert hours.shape[1] == find_heldout_stretch(setting.workload).start_s // 3600
    np.testing.assert_array_equal(hours[:, :168], draft.machines[:, : hours.shape[1]][:, :168])


def test_what_exists_is_paid_by_every_peer(load: Callable[..., Workload], setting: Setting, book: PriceBook) -> None:
    offers = "offers: [on-demand, spot, compute-savings-plan-1y-no-upfront]"
    existing = "  existing:\n    - {offer: compute-savings-plan-1y-no-upfront, usd_per_hour: 3}"
    committed = load((offers, f"{offers}\n{existing}"))
    bench = Bench(committed, book, setting.table)
    sunk = replace(setting, workload=committed, problem=bench.regions(setting.headroom)[0])
    for draft_of in (draft_peak, draft_hpa):
        draft = draft_of(sunk)
        assert [item.usd_per_hour for item in draft.committed] == [3.0]
        assert scheduled(draft, sunk) >= 3.0 * HOURS_PER_MONTH


def test_classes_that_no_one_type_serves_each_have_their_own(setting: Setting) -> None:
    problem = setting.problem
    of_big = np.array([option.variant.name.startswith("big/") for option in problem.options])
    night_only = replace(problem, work_per_s=np.where(of_big, 0.0, 1.0)[None, :])
    (chosen,) = list_assignments(night_only, on_demand(problem))
    assert chosen[0] != chosen[1]
    assert serves_alone(night_only)[0, chosen[0]]
    assert problem.options[int(chosen[1])].variant.name == "small/int8"


def test_a_class_that_nothing_serves_whole_is_named(setting: Setting) -> None:
    problem = setting.problem
    with pytest.raises(InfeasibleError, match="web"):
        list_assignments(replace(problem, share_cap=np.full_like(problem.share_cap, 0.5)), on_demand(problem))


def test_a_peer_keeps_the_quotas(setting: Setting) -> None:
    workload = replace(setting.workload, where=replace(setting.workload.where, quotas={"c6i": 40, "c7i": 0}))
    bench = Bench(workload, setting.book, setting.table)
    draft = draft_peak(replace(setting, workload=workload, problem=bench.regions(setting.headroom)[0]))
    assert {option.machine.family for option in draft.options} == {"c6i"}


def test_a_bucket_keeps_the_class_it_is_of(workload: Workload) -> None:
    item: TrafficClass = workload.classes[0]
    (bucket,) = split_into_buckets(0, item)
    assert bucket.traffic_class.slos == item.slos
    assert bucket.traffic_class.name == item.name
