"""A plan tried on recorded traffic: the bill adds up, drills take the worst zone, and watching changes nothing."""

import re
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.clouds.book import PriceBook
from tightrope.plan.bill.replay_bill import fixed_usd
from tightrope.plan.fleet.recorded_traffic import RecordedTraffic
from tightrope.plan.fleet.scenarios import ReplayScenario, place_drills
from tightrope.plan.plan_json import rebuild_fleet
from tightrope.plan.problem.cost_lines import BYTES_PER_GB
from tightrope.replay.records import ENDINGS, Traffic
from tightrope.replay.run import replay_fleet
from tightrope.trial.arguments import TrialArguments, answer, parse_seeds
from tightrope.trial.trial import try_plan

HOUR_S = 3600.0


def hours_of(length_h: float, per_s: float = 3.0, seed: int = 1, peak_h: float | None = None) -> RecordedTraffic:
    """Return Poisson requests of ``web`` from midnight on, half as many again in the half hour from ``peak_h``."""
    random = np.random.default_rng(seed)
    time_s = np.sort(random.uniform(0.0, length_h * HOUR_S, int(per_s * length_h * HOUR_S)))
    if peak_h is not None:
        peak_s = random.uniform(peak_h * HOUR_S, (peak_h + 0.5) * HOUR_S, int(0.25 * per_s * HOUR_S))
        time_s = np.sort(np.concatenate([time_s, peak_s]))
    ones = np.ones(len(time_s), dtype=np.int64)
    return RecordedTraffic(Traffic(time_s, 0 * ones, ones, ones), 0.0, 0.0, length_h * HOUR_S, ("drawn",))


@dataclass
class Watcher:
    """Notes what it hears."""

    live: bool
    heard: list[tuple[str, int, int]] = field(default_factory=list)
    expected: int = 0

    def expect(self, requests: int) -> None:
        """Note how much is to come."""
        self.expected = requests

    def arrived(self, what: str, replay: int, requests: int) -> None:
        """Note how far a replay is."""
        self.heard.append((what, replay, requests))


def test_every_request_ends_once_and_the_bill_adds_up(plan: Plan, book: PriceBook) -> None:
    recorded = hours_of(2.0)
    (run,) = try_plan(plan, recorded, book, seeds=(1,)).report.runs
    (web,) = run.classes
    assert web.requests == len(recorded.traffic.time_s)
    assert sum(getattr(web, ending.replace(" ", "_")) for ending in ENDINGS) == web.requests
    assert run.stretch_cost_usd == pytest.approx(sum(line.usd for line in run.cost_lines))
    egress = next(line.usd for line in run.cost_lines if line.driver == "egress")
    free_gb = 100.0 * 2.0 / 730.0  # the first 100 GB of a month, in proportion
    assert egress == pytest.approx(0.09 * (web.answered * 20_000 / BYTES_PER_GB - free_gb))
    hourly = sum(sum(values) for values in run.series.usd_per_hour.values())
    moved = sum(line.usd for line in run.cost_lines if line.driver in {"egress", "network"})
    assert moved > egress
    assert hourly == pytest.approx(run.stretch_cost_usd - moved)


def test_a_month_of_a_whole_day_scales_the_day(plan: Plan, book: PriceBook) -> None:
    recorded = hours_of(24.0)
    (run,) = try_plan(plan, recorded, book, seeds=(1,)).report.runs
    moving = {"load-balancer-traffic"}
    fixed = sum(
        line.usd
        for line in plan.cost_lines
        if not line.pool and line.driver in {"storage", "network", "control plane"} and line.offer not in moving
    )
    assert run.monthly_cost_usd == pytest.approx(run.stretch_cost_usd * 730.0 / 24.0 + fixed)


def test_less_than_a_day_is_said_to_be_no_picture_of_a_month(plan: Plan, book: PriceBook) -> None:
    report = try_plan(plan, hours_of(0.5), book, seeds=(1,)).report
    assert any("less than a day" in text for text in report.warnings)
    assert report.runs[0].monthly_cost_usd > fixed_usd(plan)


def test_watching_changes_nothing_but_what_is_heard(plan: Plan, book: PriceBook) -> None:
    recorded, quiet, live = hours_of(1.0), Watcher(live=False), Watcher(live=True)
    reports = [
        try_plan(plan, recorded, book, seeds=(1, 2), scenario=ReplayScenario(surge=2.0), progress=watcher).report
        for watcher in (None, quiet, live)
    ]
    assert reports[0] == reports[1] == reports[2]
    requests = len(recorded.traffic.time_s)
    assert quiet.expected == live.expected == 2 * requests + 2 * 2 * requests
    assert sorted(quiet.heard) == [
        ("as recorded", 0, requests),
        ("as recorded", 1, requests),
        ("surge=2x", 2, 2 * requests),
        ("surge=2x", 3, 2 * requests),
    ]
    assert len(live.heard) > 4 * 10
    for number in range(4):
        steps = [count for _, replay, count in live.heard if replay == number]
        assert steps == sorted(steps)


def test_the_drill_takes_the_zone_that_hurts_most(plan: Plan, book: PriceBook) -> None:
    recorded = hours_of(3.0)
    found = try_plan(plan, recorded, book, seeds=(1,), scenario=ReplayScenario(drill="zone-loss")).report
    plain, drilled = found.runs
    assert "is lost without notice (the worst of them; it takes " in drilled.notes[0]
    assert (plain.drill_start_h, plain.drill_evidence) == (None, ())
    assert drilled.drill_start_h is not None
    assert drilled.drill_end_h == pytest.approx(drilled.drill_start_h + 0.5)
    assert drilled.pools != plain.pools
    assert min(item.attainment for item in drilled.drill_evidence) <= min(item.attainment for item in plain.evidence)


def test_no_zone_is_worse_than_the_one_a_drill_takes_on_all_of_the_traffic(plan: Plan, book: PriceBook) -> None:
    """Machines that come and go before the drill decide who stands where: a replay of the hours around it chose another zone."""
    recorded = hours_of(8.0, peak_h=6.0)
    fleet = rebuild_fleet(plan)
    slow: list[int] = []
    for drill in place_drills("zone-loss", fleet, recorded):
        outcome = replay_fleet(fleet, recorded.traffic, duration_s=8 * HOUR_S, block_offset_s=0.0, seed=1, drill=drill)
        slow.append(int(np.count_nonzero(outcome.latency_s > plan.classes[0].slos[0].limit_s)))
    assert len(set(slow)) > 1
    run = try_plan(plan, recorded, book, seeds=(1,), scenario=ReplayScenario(drill="zone-loss")).report.last
    assert run.notes[0].startswith(
        f"zone {slow.index(max(slow)) + 1} of 3 is lost without notice (the worst of them; it takes 1 machine)"
    )
    assert run.evidence[0].attainment == pytest.approx(1.0 - max(slow) / len(recorded.traffic.time_s))


def test_a_spot_drill_takes_a_zone_with_spot_machines(plan: Plan, book: PriceBook) -> None:
    # one machine on demand, asked for first and so in zone 1, and two spot machines in the other zones
    hours = range(24)
    counts = [
        [sum(pool.schedule[h] for pool in plan.pools if pool.offer == offer) for offer in ("on-demand", "spot")] for h in hours
    ]
    evening = replace(hours_of(1.0), start_s=counts.index([1, 2]) * HOUR_S)
    run = try_plan(plan, evening, book, seeds=(2, 1), scenario=ReplayScenario(drill="spot-zone-loss")).report.last
    words = r"the spot machines in zone [23] of 3 are lost without notice \(the worst of them; it takes 1 machine with seed 2\)"
    assert re.match(words, run.notes[0])
    morning = replace(hours_of(1.0), start_s=4 * HOUR_S)
    nobody = try_plan(plan, morning, book, seeds=(1,), scenario=ReplayScenario(drill="spot-zone-loss")).report.last
    assert nobody.notes[0].startswith("no zone has a machine to lose then: nothing is taken")


def test_what_is_expected_is_what_is_heard_with_a_search_and_a_surge(plan: Plan, book: PriceBook) -> None:
    watcher = Watcher(live=False)
    try_plan(plan, hours_of(0.5), book, seeds=(1, 2), scenario=ReplayScenario(surge=2.0, drill="zone-loss"), progress=watcher)
    assert sum(requests for _, _, requests in watcher.heard) == watcher.expected
    # two as recorded, one without the drill, one for each of three zones, two of the scenario
    assert sorted(replay for _, replay, _ in watcher.heard) == list(range(8))


def test_a_run_without_evidence_keeps_nothing(plan: Plan, book: PriceBook) -> None:
    report = try_plan(plan, hours_of(0.2), book, seeds=(1,)).report
    assert report.last.kept
    assert not replace(report.last, evidence=()).kept


def test_no_cache_says_where_there_was_none(plan: Plan, book: PriceBook) -> None:
    bare = replace(plan, cache=None)
    assert not any(pool.prefix_block_tokens for pool in rebuild_fleet(bare).pools)
    report = try_plan(bare, hours_of(0.2), book, seeds=(1,), scenario=ReplayScenario(no_cache=True)).report
    assert report.last.notes == ("the fleet has no cache: nothing is taken",)


def test_what_was_assumed_of_the_traffic_is_a_warning(plan: Plan, book: PriceBook) -> None:
    report = try_plan(plan, replace(hours_of(0.2), warnings=("one zero",)), book, seeds=(1,)).report
    assert "one zero" in report.warnings


def test_a_storm_on_a_fleet_without_spot_takes_nothing_and_says_so(plan: Plan, book: PriceBook) -> None:
    pools = tuple(
        replace(pool, offer="on-demand", serving=replace(pool.serving, interruptions_per_hour=0.0)) for pool in plan.pools
    )
    fixed = replace(plan, pools=pools)
    plain, storm = try_plan(fixed, hours_of(1.0), book, seeds=(1,), scenario=ReplayScenario(drill="spot-storm")).report.runs
    assert storm.notes[0].startswith("no pool can be interrupted: nothing is taken")
    assert replace(storm, scenario="", notes=(), drill_evidence=(), drill_start_h=None, drill_end_h=None) == plain


def test_a_class_that_is_not_in_the_trace_is_named(plan: Plan, book: PriceBook) -> None:
    report = try_plan(plan, hours_of(0.2), book, seeds=(1,)).report
    assert any("no requests of night" in text for text in report.warnings)


def test_the_work_of_engines_is_noted_until_then(plan: Plan, book: PriceBook) -> None:
    noted = try_plan(plan, hours_of(0.2), book, seeds=(1,), log_s=60.0).outcome.work
    assert noted is not None
    assert len(noted.begin_s) > 0
    assert (noted.begin_s < 60.0).all()
    assert (noted.end_s > noted.begin_s).all()
    assert try_plan(plan, hours_of(0.2), book, seeds=(1,)).outcome.work is None


def test_a_question_is_checked_before_any_file_is_read(plan: Plan, book: PriceBook) -> None:
    with pytest.raises(InputError, match="scenario 'flood'"):
        answer(TrialArguments(traces=("none.csv",), scenarios=("flood",)), plan, book)
    with pytest.raises(InputError, match="at most"):
        parse_seeds((",".join(map(str, range(1001))),))
    with pytest.raises(InputError, match="seed '99999999999999999999…': expected a whole number") as caught:
        parse_seeds(("9" * 5000,))
    assert len(str(caught.value)) < 200
