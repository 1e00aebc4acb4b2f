"""The plan itself: complete, consistent, and the same bytes for the same input."""

from dataclasses import fields
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tightrope.base.plan import Plan
from tightrope.base.records import TokenEngine, Workload
from tightrope.base.units import HOURS_PER_WEEK
from tightrope.clouds.book import PriceBook
from tightrope.plan.bill.plan_bill import replay_usd
from tightrope.plan.bill.replay_bill import count_scheduled_hours
from tightrope.plan.fleet.plan_fleet import open_pools
from tightrope.plan.make import make_plan
from tightrope.plan.problem.cost_lines import total_usd
from tightrope.plan.problem.network import count_monthly_requests
from tightrope.plan.prove.proof import Proof
from tightrope.render.plan_json import RENDERER
from tightrope.render.plan_json.load import load_plan


def test_every_field_says_something(plan: Plan) -> None:
    may_be_empty = {"commitments", "binding", "cache", "prices_as_of", "tuned", "first_day"}
    may_be_empty |= {"alternatives", "break_evens", "futures", "explained"}  # what `--explain` adds
    assert [field.name for field in fields(plan) if not getattr(plan, field.name) and field.name not in may_be_empty] == []


def test_the_same_input_gives_the_same_bytes(plan: Plan, workload: Workload, book: PriceBook) -> None:
    again = make_plan(workload, book, date(2026, 12, 1))
    assert RENDERER.render(again)[Path("plan.json")] == RENDERER.render(plan)[Path("plan.json")]


def test_the_plan_survives_its_file(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(RENDERER.render(plan)[Path("plan.json")], encoding="utf-8")
    again = load_plan(path)
    assert [(pool.name, pool.schedule) for pool in again.pools] == [(pool.name, pool.schedule) for pool in plan.pools]
    assert RENDERER.render(again) == RENDERER.render(plan)


def test_figures_agree_with_one_another(plan: Plan) -> None:
    assert plan.monthly_cost_usd == pytest.approx(total_usd(plan.cost_lines))
    assert plan.today_monthly_cost_usd == pytest.approx(total_usd(plan.today_cost_lines))
    assert 0.0 < plan.lower_bound_monthly_usd <= plan.monthly_cost_usd < plan.today_monthly_cost_usd
    assert plan.gap_fraction == pytest.approx(1.0 - plan.lower_bound_monthly_usd / plan.monthly_cost_usd)
    assert plan.status == ("proven" if all(item.verdict == "proven" for item in plan.evidence) else "not proven")


def test_what_egress_costs_a_gb_is_what_the_bill_has(workload: Workload, plan: Plan) -> None:
    requests = count_monthly_requests(workload)
    (usd_per_gb,) = plan.egress_usd_per_gb.values()
    assert usd_per_gb > 0.0
    for item in plan.classes:
        if item.egress_bytes_per_request:
            billed = sum(line.usd for line in plan.cost_lines if (line.driver, line.offer) == ("egress", item.name))
            assert usd_per_gb * requests[item.name] * item.egress_bytes_per_request / 1e9 == pytest.approx(billed, rel=1e-6)


def test_pools_have_a_weeks_schedule_within_their_replicas(plan: Plan) -> None:
    for pool in plan.pools:
        assert len(pool.schedule) == HOURS_PER_WEEK
        assert pool.min_replicas == min(pool.schedule)
        assert max(pool.schedule) <= pool.max_replicas
        assert pool.batching["max_batch"] >= 1.0
        assert pool.autoscaling["target_requests_per_s"] > 0.0
    assert len({pool.region for pool in plan.pools}) == 1
    assert len(plan.pools) <= 4


def test_routing_answers_everything_once(plan: Plan) -> None:
    names = {pool.name for pool in plan.pools}
    for traffic_class in ("web", "night"):
        rules = [rule for rule in plan.routing if rule.traffic_class == traffic_class]
        assert {rule.pool for rule in rules} <= names
        assert sum(rule.share for rule in rules) == pytest.approx(1.0)
    web = [rule.share_by_block for rule in plan.routing if rule.traffic_class == "web"]
    assert [sum(shares) for shares in zip(*web, strict=True)] == pytest.approx([1.0] * HOURS_PER_WEEK)
    small = sum(rule.share for rule in plan.routing if "small" in rule.pool)
    assert small <= 0.3 + 1e-9


def test_charts_cover_the_week_and_capacity_covers_demand(plan: Plan) -> None:
    assert {f"capacity:{pool.name}" for pool in plan.pools} | {"demand:web"} == plan.charts.keys()
    assert {len(values) for values in plan.charts.values()} == {HOURS_PER_WEEK}
    capacity = [sum(values) for values in zip(*(v for k, v in plan.charts.items() if k.startswith("capacity")), strict=True)]
    assert all(has >= needs * (1.0 - 1e-6) for has, needs in zip(capacity, plan.charts["demand:web"], strict=True))


def test_provenance_and_sources_are_those_of_the_pools(plan: Plan) -> None:
    assert {use.profile for use in plan.provenance} == {f"{pool.variant} on {pool.machine}" for pool in plan.pools}
    assert all("(seen 20" in source for source in plan.price_sources)
    for commitment in plan.commitments:
        assert 0.0 < commitment.utilisation <= 1.0
        assert (commitment.term_years, commitment.payment) == (1, "nothing upfront")


def test_the_horizon_says_what_was_planned_for(plan: Plan) -> None:
    assert plan.horizon.startswith("2 classes · 3 variants · 14 days, ")
    assert plan.horizon.endswith("the last 1 held out · aws us-east-1, us-west-2")


def test_the_replays_bill_is_at_least_the_schedules(proof: Proof, book: PriceBook) -> None:
    # the autoscaler only adds to the schedule, but for the moments in which interrupted machines are replaced
    pools = open_pools(proof.solution)
    assert replay_usd(proof.solution, proof.fleet, pools, book, proof.stretch, proof.outcomes) > 0.0
    schedule = np.stack([pool.schedule for pool in proof.fleet.pools])
    scheduled = count_scheduled_hours(schedule, proof.stretch.start_s, proof.stretch.end_s - proof.stretch.start_s)
    assert scheduled.shape == proof.machine_hours.shape == (len(pools), 24)
    assert proof.machine_hours.sum() >= 0.98 * scheduled.sum()
    assert not any(isinstance(pool.engine, TokenEngine) for pool in proof.fleet.pools)
