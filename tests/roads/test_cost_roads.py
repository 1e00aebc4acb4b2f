"""Two roads to every dollar: the optimiser's own arithmetic, the offers' exact bill, and the replay's machine-hours charged."""

import importlib.util
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.plan import Usage, UsageLine
from tightrope.base.units import HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.clouds.book import load_price_book
from tightrope.demand.workload import load_workload
from tightrope.offers.bill import charge_fleet
from tightrope.offers.compute_savings_plan import NAME as PLAN
from tightrope.offers.compute_savings_plan import best_commitment_usd_per_hour
from tightrope.plan.bill import total_usd
from tightrope.plan.bound import lower_bound
from tightrope.plan.fleet import open_pools, plan_fleet
from tightrope.plan.make import commitments_of, make_plan, plan_lines
from tightrope.plan.problem import Problem, usage_of
from tightrope.plan.prove import Bench
from tightrope.plan.solve import Solution, monthly_usd, relax
from tightrope.replay.records import Fleet, Outcome, Traffic
from tightrope.replay.run import replay_fleet

ROOT = Path(__file__).parents[2]
EXACT = 1e-6
WEEK_S = HOURS_PER_WEEK * SECONDS_PER_HOUR


def load_module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"plan_{name}", ROOT / "tests" / "plan" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


BRUTE: Any = sys.modules.get("plan_brute_force") or load_module("brute_force")
SMALL: str = load_module("conftest").SMALL


def charged_usd(problem: Problem, machines: np.ndarray, prices: Any, commitment_usd_per_hour: float) -> float:
    """Return the month's machines and disks through ``offers``."""
    usage = usage_of(problem, machines, [option.label for option in problem.options])
    disks = problem.disk_usd_per_hour * float((machines @ usage.hours_per_month).sum())
    return total_usd(charge_fleet(usage, prices, {PLAN: commitment_usd_per_hour})) + disks


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Any, np.ndarray, float]:
    """Draw prices of up to four options, machines of each in up to five blocks, and a commitment."""
    cents = st.integers(1, 999)
    sold = []
    for p in range(draw(st.integers(1, 4))):
        usd, spot = draw(cents), draw(st.booleans())
        plan = None if spot else draw(st.none() | st.integers(1, usd))
        sold.append(BRUTE.Sold(f"m{p}.x", f"{usd / 100:.2f}", (1.0,), None if plan is None else f"{plan / 100:.2f}", spot))
    blocks = draw(st.integers(1, 5))
    counts = st.lists(st.integers(0, 50), min_size=blocks, max_size=blocks)
    machines = np.array([draw(counts) for _ in sold])
    return BRUTE.Case(tuple(sold), ((1.0,) * blocks,)), machines, draw(st.floats(0.0, 300.0))


@settings(max_examples=200, deadline=None)
@given(fleet=fleets())
def test_the_optimisers_arithmetic_is_the_offers_bill(fleet: tuple[Any, np.ndarray, float]) -> None:
    case, machines, commitment = fleet
    problem = without_dear_plans(case.problem)
    assert monthly_usd(problem, machines, commitment) == pytest.approx(
        charged_usd(problem, machines, case.prices, commitment), rel=EXACT
    )


@settings(max_examples=100, deadline=None)
@given(fleet=fleets())
def test_the_commitment_bought_is_the_cheapest(fleet: tuple[Any, np.ndarray, float]) -> None:
    case, machines, other = fleet
    problem = without_dear_plans(case.problem)
    usage = usage_of(problem, machines, [option.label for option in problem.options])
    best = monthly_usd(problem, machines, best_commitment_usd_per_hour(usage, case.prices))
    tried = min(monthly_usd(problem, machines, kink) for kink in [*BRUTE.kinks(problem, machines.T), other])
    assert best == pytest.approx(min(best, tried), rel=1e-9)


def without_dear_plans(problem: Problem) -> Problem:
    """Return the problem as ``build`` would: a plan that is no cheaper than on-demand covers nothing."""
    own = problem.usd_per_hour - problem.disk_usd_per_hour
    return replace(
        problem, covered_usd_per_hour=np.where(problem.covered_usd_per_hour < own - 1e-12, problem.covered_usd_per_hour, np.inf)
    )


# ------------------------------------------------------------------------------------------------------- the chatbot example


@pytest.fixture(scope="module")
def chatbot() -> tuple[Bench, Solution]:
    """Return the chatbot example decided once, not proven or explained."""
    book = load_price_book()
    bench = Bench(load_workload(ROOT / "examples" / "chatgenius" / "workload.yaml", book), book)
    return bench, bench.solve(bench.regions({})[0])


def replay_of(fleet: Fleet) -> Outcome:
    """Replay one week of the fleet's schedule, machines ready at once and never taken away, one request in the middle of each hour."""
    pools = tuple(replace(pool, start_s=0.0, interruptions_per_hour=0.0) for pool in fleet.pools)
    fixed = replace(fleet, pools=pools, scaling=replace(fleet.scaling, enabled=False))
    ones = np.ones(HOURS_PER_WEEK, dtype=np.int64)
    traffic = Traffic((np.arange(HOURS_PER_WEEK) + 0.5) * SECONDS_PER_HOUR, 0 * ones, 100 * ones, 20 * ones)
    return replay_fleet(fixed, traffic, duration_s=WEEK_S, block_offset_s=0.0, seed=1)


def test_the_chatbots_cost_is_its_bill(chatbot: tuple[Bench, Solution]) -> None:
    bench, solution = chatbot
    lines = plan_lines(solution, open_pools(solution), bench.book)
    again = monthly_usd(solution.problem, solution.machines, solution.commitment_usd_per_hour)
    assert solution.usd_per_month == pytest.approx(again, rel=1e-12)
    assert total_usd(lines) == pytest.approx(again, rel=EXACT)
    assert solution.commitment_usd_per_hour > 0.0


def test_the_chatbots_bill_is_what_its_replayed_week_is_charged(chatbot: tuple[Bench, Solution]) -> None:
    bench, solution = chatbot
    pools = open_pools(solution)
    outcome = replay_of(plan_fleet(bench.workload, solution, bench.table))
    scheduled = solution.machines[[pool.index for pool in pools]]
    assert outcome.machine_hours == pytest.approx(scheduled, abs=1e-9)
    lines = tuple(
        UsageLine(pool.name, "aws", pool.option.region, pool.option.machine.name, pool.option.terms.offer) for pool in pools
    )
    usage = Usage(lines, outcome.machine_hours, solution.problem.block_hours)
    disks = solution.problem.disk_usd_per_hour * float((outcome.machine_hours @ usage.hours_per_month).sum())
    charged = total_usd(charge_fleet(usage, bench.book, commitments_of(solution))) + disks
    assert charged == pytest.approx(solution.usd_per_month, rel=EXACT)


def test_fractions_of_machine_hours_cost_the_same_on_both_roads(chatbot: tuple[Bench, Solution]) -> None:
    bench, solution = chatbot
    random = np.random.default_rng(7)
    hours = solution.machines * random.uniform(0.3, 1.2, solution.machines.shape)
    for commitment in (0.0, 0.5 * solution.commitment_usd_per_hour, 3.0 * solution.commitment_usd_per_hour):
        mine = monthly_usd(solution.problem, hours, commitment)
        assert mine == pytest.approx(charged_usd(solution.problem, hours, bench.book, commitment), rel=EXACT)


def test_the_chatbots_bound_is_below_its_cost_and_above_the_relaxation(chatbot: tuple[Bench, Solution]) -> None:
    _, solution = chatbot
    relaxation = relax(solution.problem)
    bound = lower_bound(solution.problem, relaxation, solution.usd_per_month)
    assert relaxation.usd_per_month * (1.0 - 1e-6) <= bound <= solution.usd_per_month
    worst = max(by for by in BRUTE.violations(solution).values())
    assert worst <= BRUTE.TOLERANCE


def test_the_levers_lead_from_todays_bill_to_the_plans_and_the_gap_is_its_formula(tmp_path: Path) -> None:
    (tmp_path / "workload.yaml").write_text(SMALL, encoding="utf-8")
    book = load_price_book()
    plan = make_plan(load_workload(tmp_path / "workload.yaml", book), book, date(2026, 12, 1))
    assert plan.today_monthly_cost_usd == pytest.approx(total_usd(plan.today_cost_lines), rel=1e-12)
    assert plan.monthly_cost_usd == pytest.approx(total_usd(plan.cost_lines), rel=1e-12)
    saved = sum(lever.saving_usd for lever in plan.levers)
    assert plan.today_monthly_cost_usd - saved == pytest.approx(plan.monthly_cost_usd, rel=EXACT)
    dearest = max(plan.monthly_cost_usd, plan.replay_monthly_cost_usd)
    assert plan.saving_fraction == pytest.approx(1.0 - dearest / plan.today_monthly_cost_usd)
    assert 0.0 < plan.lower_bound_monthly_usd <= plan.monthly_cost_usd
    assert plan.gap_fraction == pytest.approx(1.0 - plan.lower_bound_monthly_usd / plan.monthly_cost_usd)
