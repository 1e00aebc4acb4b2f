"""Functions and containers as options: what they cost, when they are refused, and a plan that runs on nothing else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import Plan
from tightrope.base.records import RequestEngine, Workload
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.clouds.book import PriceBook
from tightrope.clouds.service_sizes import find_size
from tightrope.plan.bill.plan_bill import plan_lines
from tightrope.plan.fleet.plan_fleet import open_pools
from tightrope.plan.make import make_plan
from tightrope.plan.plan_json import rebuild_fleet
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.cost_lines import total_usd
from tightrope.plan.problem.placement import split_by_machines
from tightrope.plan.problem.services.functions import try_function
from tightrope.plan.problem.services.metered_costs import MOST_OF_LIMIT
from tightrope.plan.prove.proof import estimate_relaxed_usd
from tightrope.plan.solve.decomposition import solve
from tightrope.plan.solve.relaxation import relax
from tightrope.render.formats import active_hours, replicas
from tightrope.render.plan_json import RENDERER
from tightrope.render.plan_json.load import load_plan

Load = Callable[..., Workload]
COLD_SHARE_MOST = 0.05
CONTROL_PLANE_USD = 73.0


@pytest.fixture(scope="module")
def problem(functions: Load, own_book: PriceBook, table: CapacityTable) -> Problem:
    return build_problem(functions(), own_book, table, {}, whole=True)


def place(problem: Problem, machine: str) -> int:
    return [option.machine.name for option in problem.options].index(machine)


def test_a_function_is_metered_and_a_container_is_a_machine_without_a_disk(problem: Problem) -> None:
    function, container = (place(problem, name) for name in ("lambda-1769mb", "fargate-1vcpu-2gb"))
    assert problem.metered.tolist() == [p == function for p in range(len(problem.options))]
    assert problem.disk_usd_per_hour[container] == 0.0
    assert problem.usd_per_hour[container] == pytest.approx(0.04048 + 2 * 0.004445)
    assert not np.isfinite(problem.cover_rates[:, container]).any()


def test_a_request_costs_its_time_rounded_up_and_its_share_of_cold_starts(problem: Problem) -> None:
    """121 ms (of 120.4) at 1769/1024 GB, and 3 s more for those that meet a cold start; the request on top."""
    per_s = 1769 / 1024 * 0.0000166667
    warm_usd = 0.121 * per_s + 0.2e-6
    usd = problem.usd_per_request[0, place(problem, "lambda-1769mb")]
    assert warm_usd < usd < warm_usd + COLD_SHARE_MOST * 3.0 * per_s


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("mean_per_s: 0.5, peak_per_s: 0.9", "mean_per_s: 0.0005, peak_per_s: 0.0009", "meet a cold start"),
        ("latency p95 <= 400 ms", "latency p95 <= 100 ms", "misses latency"),
        ("[120.4]", "[950000]", "ends it after 900 s"),
    ],
    ids=["rare", "slow", "too long"],
)
def test_a_function_that_breaks_a_promise_is_refused_with_its_figure(
    functions: Load, own_book: PriceBook, table: CapacityTable, old: str, new: str, reason: str
) -> None:
    workload = functions((old, new), ("[serverless, container]", "[serverless]"))
    with pytest.raises(InfeasibleError, match=reason):
        build_problem(workload, own_book, table, {})


def test_instances_that_go_sooner_make_more_starts_cold(functions: Load) -> None:
    size, engine = find_size("lambda-1769mb"), RequestEngine((0.1,), 1.0)
    assert size is not None
    kept, gone = functions(), functions(("where:", "services: {keep_alive: 1 s}\nwhere:"))
    item = replace(kept.classes[0], slos=())
    tries = [try_function(workload, item, engine, size) for workload in (kept, gone)]
    shares = [tried if isinstance(tried, str) else tried.cold_share for tried in tries]
    assert isinstance(shares[0], float)
    assert isinstance(shares[1], float)
    assert shares[1] > 5 * shares[0] > 0.0


def test_no_block_is_planned_beyond_what_an_account_may_run(functions: Load, own_book: PriceBook, table: CapacityTable) -> None:
    """Ten times the traffic at 120 ms keeps 0.1 to 1.1 instances busy: under a quota of one, hours above 0.9 are left out."""
    workload = functions(("families:", "quotas: {lambda: 1}\n  families:"))
    found = build_problem(workload, own_book, table, {"web": 10.0}, whole=True)
    busy = 0.1204 * found.rate[0]
    assert busy.min() < MOST_OF_LIMIT < busy.max()
    assert ((found.mu[0, place(found, "lambda-1769mb")] > 0.0) == (busy <= MOST_OF_LIMIT)).all()


def test_what_is_not_measured_is_refused(functions: Load, own_book: PriceBook, table: CapacityTable) -> None:
    workload = functions(("lambda-1769mb", "fargate-2vcpu-4gb"))
    found = build_problem(workload, own_book, table, {})
    assert any(item.what == "serverless" and "no variant was measured" in item.reason for item in found.refusals)


def test_the_optimiser_and_the_bill_agree(problem: Problem, own_book: PriceBook) -> None:
    for keep, standing_usd in ((problem.metered, 0.0), (~problem.metered, CONTROL_PLANE_USD)):
        alone = solve(problem, pools=keep)
        bill = plan_lines(alone, open_pools(alone), own_book)
        moved = total_usd(bill) + standing_usd - alone.usd_per_month
        assert moved == pytest.approx(0.0, abs=1e-9 * total_usd(bill))
        assert {line.driver for line in bill} <= {"compute", "idle"}


def test_services_alone_are_spared_what_stands_beside_machines(problem: Problem) -> None:
    """At so much a request that functions cost 30 more than containers, these need 73 more."""
    assert problem.standing_usd_per_month == pytest.approx(CONTROL_PLANE_USD)
    free = replace(problem, standing_usd_per_month=0.0)
    by_request, by_hour = (solve(free, pools=keep).usd_per_month for keep in (problem.metered, ~problem.metered))
    dear = replace(free, usd_per_request=problem.usd_per_request * (by_hour + 30.0) / by_request)
    standing = replace(dear, standing_usd_per_month=CONTROL_PLANE_USD)
    assert solve(dear).machines.any()
    found = solve(standing)
    assert not found.machines.any()
    assert found.usd_per_month == pytest.approx(by_hour + 30.0)
    assert found.share.sum(axis=1) == pytest.approx(np.ones((1, 168)))
    parts = [relax(part).usd_per_month + besides for part, besides in split_by_machines(standing)]
    assert estimate_relaxed_usd(standing) == pytest.approx(min(parts))
    assert min(parts) <= found.usd_per_month + standing.constant_usd_per_month + 1e-6


@pytest.fixture(scope="module")
def plan(functions: Load, own_book: PriceBook) -> Plan:
    return make_plan(functions(), own_book, date(2026, 12, 1))


def test_a_plan_of_functions_alone_is_proven_and_billed_as_it_ran(plan: Plan) -> None:
    """0.5 requests a second, all month, at about 121 ms."""
    (pool,) = plan.pools
    assert plan.status == "proven"
    assert (pool.machine, pool.offer, set(pool.schedule)) == ("lambda-1769mb", "serverless", {0})
    usd = sum(line.usd for line in plan.cost_lines if line.pool == pool.name)
    assert usd == pytest.approx(0.5 * 3600 * HOURS_PER_MONTH * (0.121 * 1769 / 1024 * 0.0000166667 + 0.2e-6), rel=0.1)
    assert plan.replay_monthly_cost_usd == pytest.approx(plan.monthly_cost_usd, rel=0.1)
    assert (replicas(pool), active_hours(pool)) == ("by request", "on request")
    # no autoscaler that could lose its metric, no zone of ours
    assert [case.name for case in plan.robustness] == ["surge ×1.5"]


def test_the_file_holds_what_a_replay_needs(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(RENDERER.render(plan)[Path("plan.json")], encoding="utf-8")
    (pool,) = rebuild_fleet(load_plan(tmp_path / "plan.json")).pools
    assert (pool.keep_alive_s, pool.ceiling, pool.start_s, pool.metered) == (300.0, 1000, 3.0, True)
