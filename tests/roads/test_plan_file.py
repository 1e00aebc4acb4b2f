"""Two roads to the evidence: the fleet that was proven, and the fleet that ``plan.json`` describes."""

from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from tests.small_workload import SMALL

from tightrope.base.plan import Plan, Usage
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.demand.workload import load_workload
from tightrope.plan.bill.replay_bill import fixed_usd, measure_replay_usage, month_usd
from tightrope.plan.bill.transfer_bill import around_as_ran_usd, find_answering
from tightrope.plan.fleet.plan_fleet import draw_traffic
from tightrope.plan.fleet.recorded_traffic import RecordedTraffic
from tightrope.plan.make import make_plan
from tightrope.plan.plan_json import rebuild_fleet
from tightrope.plan.problem.cost_lines import build_machine_lines, total_usd
from tightrope.plan.prove.proof import Bench, Proof, prove
from tightrope.plan.prove.tuning import tune
from tightrope.render.plan_json import RENDERER
from tightrope.render.plan_json.load import load_plan
from tightrope.replay.records import Fleet, Outcome
from tightrope.replay.run import replay_fleet
from tightrope.trial.outcome_figures import gather_trial_evidence
from tightrope.trial.trial import try_plan

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Roads:
    """The same plan as it was proven, as it was made, and as its file says."""

    workload: Workload
    book: PriceBook
    proof: Proof
    made: Plan
    read: Plan


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> Roads:
    folder, book = tmp_path_factory.mktemp("roads"), load_price_book()
    (folder / "workload.yaml").write_text(SMALL, encoding="utf-8")
    workload = load_workload(folder / "workload.yaml", book)
    made = make_plan(workload, book, date(2026, 12, 1))
    (folder / "plan.json").write_text(RENDERER.render(made)[Path("plan.json")], encoding="utf-8")
    bench = Bench(workload, book)
    return Roads(workload, book, prove(bench, tune(bench)), made, load_plan(folder / "plan.json"))


def check_equal(mine: object, other: object, at: str) -> None:
    """Assert that two records are equal to the last bit, field by field."""
    assert type(mine) is type(other), at
    if isinstance(mine, np.ndarray):
        assert isinstance(other, np.ndarray)
        assert mine.dtype == other.dtype, at
        np.testing.assert_array_equal(mine, other, err_msg=at)
    elif isinstance(mine, tuple) and isinstance(other, tuple):
        assert len(mine) == len(other), at
        for place, (one, two) in enumerate(zip(mine, other, strict=True)):
            check_equal(one, two, f"{at}[{place}]")
    elif hasattr(mine, "__dataclass_fields__"):
        for field in fields(mine):  # type: ignore[arg-type]
            check_equal(getattr(mine, field.name), getattr(other, field.name), f"{at}.{field.name}")
    else:
        assert mine == other, at


def test_the_fleet_rebuilt_from_the_file_is_the_fleet_proven(roads: Roads) -> None:
    check_equal(rebuild_fleet(roads.read), roads.proof.fleet, "fleet")
    assert any(pool.interruptions_per_hour > 0.0 for pool in rebuild_fleet(roads.read).pools)
    assert any(pool.serving.deferrable_classes for pool in roads.read.pools)


def replays(fleet: Fleet, roads: Roads) -> list[Outcome]:
    stretch, workload = roads.proof.stretch, roads.workload
    return [
        replay_fleet(
            fleet,
            draw_traffic(workload, stretch, seed),
            duration_s=stretch.end_s - stretch.start_s,
            block_offset_s=stretch.start_s,
            seed=seed,
        )
        for seed in workload.seeds
    ]


def test_replaying_the_file_gives_the_plans_evidence(roads: Roads) -> None:
    stretch = roads.proof.stretch
    outcomes = replays(rebuild_fleet(roads.read), roads)
    found = gather_trial_evidence(roads.read, outcomes, start_s=stretch.start_s, window=stretch.words, seeds=roads.workload.seeds)
    assert found == tuple(item for item in roads.made.evidence if "surge" not in item.window)
    assert len(found) == 2


def test_replaying_the_file_gives_the_plans_bill(roads: Roads) -> None:
    stretch = roads.proof.stretch
    outcomes = replays(rebuild_fleet(roads.read), roads)
    hours = np.mean([outcome.machine_hours for outcome in outcomes], axis=0)
    length_s = stretch.end_s - stretch.start_s
    for plan, tolerance in ((roads.made, 0.0), (roads.read, 1e-6)):
        ran = measure_replay_usage(plan, roads.book, hours, stretch.start_s, length_s)
        moved = find_answering(plan, roads.book).in_month(outcomes, length_s)
        assert month_usd(ran, roads.book) + around_as_ran_usd(plan.cost_lines, moved) == pytest.approx(
            roads.made.replay_monthly_cost_usd, abs=tolerance, rel=1e-15
        )


def test_the_verb_bills_what_the_plan_says_it_ran_for(roads: Roads) -> None:
    stretch, (seed,) = roads.proof.stretch, roads.workload.seeds
    length_s = stretch.end_s - stretch.start_s
    recorded = RecordedTraffic(draw_traffic(roads.workload, stretch, seed), stretch.start_s, stretch.start_s, length_s, ())
    (run,) = try_plan(roads.read, recorded, roads.book, seeds=(seed,)).report.runs
    assert run.monthly_cost_usd == pytest.approx(roads.made.replay_monthly_cost_usd, abs=1e-6)
    assert [line.driver for line in run.cost_lines].count("egress") == 1


def test_a_stretch_of_less_than_a_day_is_scaled_from_the_schedules_bill(roads: Roads) -> None:
    plan, hours = roads.made, 6
    schedule = np.array([pool.schedule for pool in plan.pools], dtype=float)[:, 10 : 10 + hours]
    ran = measure_replay_usage(plan, roads.book, schedule, 10 * 3600.0, hours * 3600.0)
    scheduled = plan.monthly_cost_usd - fixed_usd(plan)
    assert month_usd(ran, roads.book) == pytest.approx(scheduled, rel=1e-9)
    # half as many machines again, and the commitment as large as it is
    more = np.array([pool.schedule for pool in plan.pools], dtype=float) * 1.5
    usage = Usage(ran.lines, more, np.full(168, 730.0 / 168))
    larger = total_usd(build_machine_lines(usage, roads.book, ran.committed, {}, ran.disk_usd_per_hour))
    assert month_usd(replace(ran, machine_hours=1.5 * schedule), roads.book) == pytest.approx(larger, rel=1e-9)
    assert ran.committed
    assert scheduled < larger != pytest.approx(1.5 * scheduled, rel=1e-3)
