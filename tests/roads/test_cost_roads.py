"""Two roads to every dollar: the optimiser's own arithmetic, the offers' exact bill, and the replay's machine-hours charged."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plan import brute_force
from tests.small_workload import SMALL

from tightrope.base.plan import OfferTerms, Plan, Usage, UsageLine
from tightrope.base.records import Committed, Profile, Provenance, RequestEngine
from tightrope.base.registry import find_offer
from tightrope.base.units import HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.clouds.book import load_price_book
from tightrope.demand.workload import load_workload
from tightrope.offers.bill import charge_fleet
from tightrope.plan.bill.plan_bill import plan_lines
from tightrope.plan.bill.replay_bill import measure_replay_usage, month_usd
from tightrope.plan.fleet.plan_fleet import build_fleet, open_pools
from tightrope.plan.make import make_plan
from tightrope.plan.problem.arrays import PoolOption, Problem, usage_of
from tightrope.plan.problem.commitment_options import find_covers
from tightrope.plan.problem.cost_lines import total_usd
from tightrope.plan.prove.proof import Bench
from tightrope.plan.solve.bound import find_lower_bound
from tightrope.plan.solve.commitment_choice import choose_commitments
from tightrope.plan.solve.decomposition import Solution, monthly_usd
from tightrope.plan.solve.relaxation import relax
from tightrope.render.plan_json import RENDERER
from tightrope.render.plan_json.load import load_plan
from tightrope.replay.records import Fleet, Outcome, Traffic
from tightrope.replay.run import replay_fleet

ROOT = Path(__file__).parents[2]
EXACT = 1e-6
WRITTEN = 1e-5
"""Figures that a file rounds."""
WEEK_S = HOURS_PER_WEEK * SECONDS_PER_HOUR


BRUTE: Any = brute_force


def charged_usd(problem: Problem, machines: np.ndarray, prices: Any, commitments: np.ndarray) -> float:
    """Return the month's machines and disks through ``offers``."""
    usage = usage_of(problem, machines, [f"pool {p}" for p in range(len(problem.options))])
    disks = float(problem.disk_usd_per_hour @ (machines @ usage.hours_per_month))
    return total_usd(charge_fleet(usage, prices, committed_of(problem, commitments))) + disks


def committed_of(problem: Problem, commitments: np.ndarray) -> tuple[Committed, ...]:
    return tuple(
        Committed(cover.cloud, cover.offer, cover.scope, float(usd))
        for cover, usd in zip(problem.covers, commitments, strict=True)
    )


def machines_and_commitments_usd(problem: Problem, machines: np.ndarray, commitments: np.ndarray) -> float:
    """Return the optimiser's own arithmetic of a month without requests and work."""
    share = np.zeros((len(problem.interactive), *machines.shape))
    return monthly_usd(problem, machines, share, np.zeros((0, *machines.shape)), commitments)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Any, np.ndarray, np.ndarray]:
    """Draw prices of up to four options, machines of each in up to five blocks, and commitments of every kind."""
    cents = st.integers(1, 999)
    sold = []
    for p in range(draw(st.integers(1, 4))):
        usd, spot = draw(cents), draw(st.booleans())
        rates = {name: draw(st.none() | st.integers(1, usd)) for name in ("plan", "family_plan", "reserved")}
        stated = {name: f"{rate / 100:.2f}" for name, rate in rates.items() if rate is not None}
        sold.append(BRUTE.Sold(f"m{p % 2}.{p}", f"{usd / 100:.2f}", (1.0,), spot=spot, **stated))
    blocks = draw(st.integers(1, 5))
    counts = st.lists(st.integers(0, 50), min_size=blocks, max_size=blocks)
    machines = np.array([draw(counts) for _ in sold])
    hours = tuple(draw(st.sampled_from([1.0, 30.4, 365.0])) for _ in range(blocks))
    case = BRUTE.Case(tuple(sold), ((1.0,) * blocks,), block_hours=hours)
    amounts = draw(st.lists(st.floats(0.0, 150.0), min_size=9, max_size=9))
    return case, machines, np.array(amounts[: len(case.problem.covers)])


@settings(max_examples=200, deadline=None)
@given(fleet=fleets())
def test_the_optimisers_arithmetic_is_the_offers_bill(fleet: tuple[Any, np.ndarray, np.ndarray]) -> None:
    case, machines, commitments = fleet
    problem = case.problem
    mine = machines_and_commitments_usd(problem, machines, commitments)
    assert mine == pytest.approx(charged_usd(problem, machines, case.prices, commitments), rel=EXACT)
    assert mine == pytest.approx(BRUTE.slow_machines_usd(problem, machines, commitments), rel=EXACT)


@settings(max_examples=60, deadline=None)
@given(fleet=fleets())
def test_the_commitments_bought_are_no_dearer_than_any_of_one_kind(fleet: tuple[Any, np.ndarray, np.ndarray]) -> None:
    case, machines, drawn = fleet
    problem = case.problem
    best = machines_and_commitments_usd(problem, machines, choose_commitments(problem, machines))
    assert best <= machines_and_commitments_usd(problem, machines, np.zeros(len(drawn))) * (1.0 + 1e-9)
    if len(problem.covers) == 1 and problem.covers[0].step_usd_per_hour == 0.0:
        tried = (machines_and_commitments_usd(problem, machines, np.array([usd])) for usd in kinks(problem, machines))
        assert best <= min(tried) * (1.0 + 1e-9)


def kinks(problem: Problem, machines: np.ndarray) -> list[float]:
    """Return the amounts at which one commitment is used up in some block, in the sellers' order."""
    (cover,) = problem.covers
    own = problem.usd_per_hour - problem.disk_usd_per_hour
    order = sorted(np.flatnonzero(cover.covers), key=lambda p: (cover.usd_per_hour[p] / own[p], cover.usd_per_hour[p]))
    return np.cumsum(cover.usd_per_hour[order][:, None] * machines[order], axis=0).ravel().tolist()


# --------------------------------------------------------------------------------------------------------- the book's prices

EVERY = (
    "reserved-1y-no-upfront",
    "reserved-1y-all-upfront",
    "reserved-3y-no-upfront",
    "convertible-1y-no-upfront",
    "instance-savings-plan-1y-no-upfront",
    "instance-savings-plan-3y-no-upfront",
    "compute-savings-plan-1y-no-upfront",
    "compute-savings-plan-3y-no-upfront",
)
MACHINES = ("c6i.large", "c6i.xlarge", "c6i.2xlarge", "c7i.large", "g5.xlarge", "g5.2xlarge", "g6.xlarge")


@pytest.fixture(scope="module")
def sold() -> Problem:
    """Return a week of machines of the shipped book, under every commitment that AWS sells on them, each alike."""
    book = load_price_book()
    workload = load_workload(ROOT / "examples" / "chatgenius" / "workload.yaml", book)
    purchase = replace(workload.purchase, offers=("on-demand", "spot", *EVERY))
    variant, profile = workload.variants[0], None
    options = []
    for machine in book.machines(MACHINES):
        profile = Profile(variant.name, machine.name, RequestEngine((1.0,), 0.0), 1, Provenance("model", "by hand", 0.1))
        for offer in ("on-demand", "spot"):
            terms = find_offer(offer).terms(machine.name, "us-east-1", book)
            if isinstance(terms, OfferTerms):
                options.append(PoolOption(variant, machine, "us-east-1", profile, terms))
    future = replace(workload.future, months=36)
    covers, _ = find_covers(replace(workload, purchase=purchase, future=future), book, tuple(options))
    count, blocks = len(options), 3
    case = BRUTE.Case(tuple(BRUTE.Sold(f"m0.{p}", "1.00", (1.0,)) for p in range(count)), ((1.0,) * blocks,))
    disk = np.full(count, 0.011)
    return replace(
        case.problem,
        options=tuple(options),
        usd_per_hour=np.array([option.terms.usd_per_hour for option in options]) + disk,
        disk_usd_per_hour=disk,
        interruptible=np.array([option.interruptible for option in options]),
        covers=covers,
        block_hours=np.array([100.0, 230.0, 400.0]),
    )


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_commitment_at_once_on_the_books_prices_costs_what_the_sellers_charge(sold: Problem, data: st.DataObject) -> None:
    count = st.lists(st.integers(0, 6), min_size=3, max_size=3)
    machines = np.array([data.draw(count) for _ in sold.options])
    commitments = np.array([data.draw(st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.7])) for _ in sold.covers])
    mine = machines_and_commitments_usd(sold, machines, commitments)
    assert mine == pytest.approx(charged_usd(sold, machines, load_price_book(), commitments), rel=EXACT)


def test_the_book_sells_commitments_of_every_order_and_of_both_terms(sold: Problem) -> None:
    assert {(cover.order, cover.term_years) for cover in sold.covers} == {(order, term) for order in (1, 2, 3) for term in (1, 3)}
    assert {cover.scope for cover in sold.covers} >= {"", "us-east-1/c6i", "us-east-1/g5", "us-east-1/g5.xlarge"}


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
    again = monthly_usd(solution.problem, solution.machines, solution.share, solution.work, solution.commitments)
    assert solution.usd_per_month == pytest.approx(again, rel=1e-12)
    assert total_usd(lines) == pytest.approx(again, rel=EXACT)
    assert solution.commitments.sum() > 0.0


def test_the_chatbots_bill_is_what_its_replayed_week_is_charged(chatbot: tuple[Bench, Solution]) -> None:
    bench, solution = chatbot
    pools = open_pools(solution)
    outcome = replay_of(build_fleet(bench.workload, solution, bench.table))
    scheduled = solution.machines[[pool.index for pool in pools]]
    assert outcome.machine_hours == pytest.approx(scheduled, abs=1e-9)
    lines = tuple(
        UsageLine(pool.name, "aws", pool.option.region, pool.option.machine.name, pool.option.terms.offer) for pool in pools
    )
    usage = Usage(lines, outcome.machine_hours, solution.problem.block_hours)
    disk_usd_per_hour = solution.problem.disk_usd_per_hour[[pool.index for pool in pools]]
    disks = float(disk_usd_per_hour @ (outcome.machine_hours @ usage.hours_per_month))
    charged = total_usd(charge_fleet(usage, bench.book, solution.committed)) + disks
    assert charged == pytest.approx(solution.usd_per_month, rel=EXACT)


def test_fractions_of_machine_hours_cost_the_same_on_both_roads(chatbot: tuple[Bench, Solution]) -> None:
    bench, solution = chatbot
    random = np.random.default_rng(7)
    hours = solution.machines * random.uniform(0.3, 1.2, solution.machines.shape)
    for times in (0.0, 0.5, 3.0):
        commitments = times * solution.commitments
        mine = machines_and_commitments_usd(without_work(solution.problem), hours, commitments)
        assert mine == pytest.approx(charged_usd(solution.problem, hours, bench.book, commitments), rel=EXACT)


def without_work(problem: Problem) -> Problem:
    return replace(problem, windows=())


def test_the_chatbots_bound_is_below_its_cost_and_above_the_relaxation(chatbot: tuple[Bench, Solution]) -> None:
    _, solution = chatbot
    relaxation = relax(solution.problem)
    bound = find_lower_bound(solution.problem)
    assert relaxation.usd_per_month * (1.0 - 1e-6) <= bound <= solution.usd_per_month
    worst = max(by for by in BRUTE.violations(solution).values())
    assert worst <= BRUTE.TOLERANCE


OFFERS = "offers: [on-demand, spot, compute-savings-plan-1y-no-upfront]"
ALL_OFFERS = """offers:
    - on-demand
    - spot
    - reserved-1y-no-upfront
    - instance-savings-plan-1y-no-upfront
    - compute-savings-plan-1y-no-upfront
  existing:
    - {offer: compute-savings-plan-3y-no-upfront, usd_per_hour: 0.01}
    - {offer: instance-savings-plan-1y-no-upfront, scope: us-west-2/g5, usd_per_hour: 0.02}"""
"""Every kind of commitment; of those made already, one may cover machines here and one covers nothing."""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Return the small workload planned under every kind of commitment, end to end."""
    path = tmp_path_factory.mktemp("every") / "workload.yaml"
    assert OFFERS in SMALL
    path.write_text(SMALL.replace(OFFERS, ALL_OFFERS), encoding="utf-8")
    book = load_price_book()
    return make_plan(load_workload(path, book), book, date(2026, 12, 1))


def test_the_levers_lead_from_todays_bill_to_the_plans_and_the_gap_is_its_formula(planned: Plan) -> None:
    assert planned.today_monthly_cost_usd == pytest.approx(total_usd(planned.today_cost_lines), rel=1e-12)
    assert planned.monthly_cost_usd == pytest.approx(total_usd(planned.cost_lines), rel=1e-12)
    saved = sum(lever.saving_usd for lever in planned.levers)
    assert planned.today_monthly_cost_usd - saved == pytest.approx(planned.monthly_cost_usd, rel=EXACT)
    dearest = max(planned.monthly_cost_usd, planned.replay_monthly_cost_usd)
    assert planned.saving_fraction == pytest.approx(1.0 - dearest / planned.today_monthly_cost_usd)
    assert 0.0 < planned.lower_bound_monthly_usd <= planned.monthly_cost_usd
    assert planned.gap_fraction == pytest.approx(1.0 - planned.lower_bound_monthly_usd / planned.monthly_cost_usd)


def test_what_is_committed_is_listed_paid_and_used_as_said(planned: Plan) -> None:
    made = {(item.offer, item.scope): item.usd_per_hour for item in planned.commitments if item.existing}
    assert made == {
        ("compute-savings-plan-3y-no-upfront", ""): 0.01,
        ("instance-savings-plan-1y-no-upfront", "us-west-2/g5"): 0.02,
    }
    unused = {item.offer: 0.0 for item in planned.commitments}
    for item in planned.commitments:
        unused[item.offer] += 730.0 * item.usd_per_hour * (1.0 - item.utilisation)
    billed = {line.offer: line.usd for line in planned.cost_lines if line.driver == "commitment unused"}
    assert {offer: usd for offer, usd in unused.items() if usd > 1e-6} == pytest.approx(billed, rel=1e-6)
    assert billed["instance-savings-plan-1y-no-upfront"] >= 730.0 * 0.02 * (1.0 - 1e-9)


def test_the_plan_rebuilt_from_its_file_is_charged_the_same(planned: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(RENDERER.render(planned)[Path("plan.json")], encoding="utf-8")
    again = load_plan(path)
    named = [[(item.offer, item.cloud, item.scope, item.existing) for item in plan.commitments] for plan in (again, planned)]
    assert named[0] == named[1]
    book = load_price_book()
    week = np.array([pool.schedule for pool in again.pools], dtype=np.float64)
    ran = measure_replay_usage(again, book, week, 0.0, WEEK_S)
    fixed = sum(line.usd for line in planned.cost_lines) - ran.scheduled_usd_per_month
    said = [item.usd_per_hour for item in ran.committed]
    assert said == pytest.approx([item.usd_per_hour for item in planned.commitments], rel=WRITTEN)
    assert month_usd(ran, book) + fixed == pytest.approx(planned.monthly_cost_usd, rel=WRITTEN)
