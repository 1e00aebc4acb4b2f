"""A plan's machines in a workload's futures: what moves where, what is left out, what is decided."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from tightrope.base.catalogue import MachineType, PriceRow
from tightrope.base.errors import InputError
from tightrope.base.future import Future, Move, Scenario
from tightrope.base.plan import OfferTerms
from tightrope.base.records import ModelVariant, Profile, Provenance, RequestEngine, Workload
from tightrope.plan.commit.decision import build_outlook, choose_for_futures
from tightrope.plan.problem.arrays import CommitmentOption, PoolOption, Problem

INF = float("inf")
DAY = date(2026, 1, 1)
DISK_USD_PER_HOUR = 0.01
SOLD = (
    ("g5.xlarge", "on-demand", 1.0, "llm/int8"),
    ("g5.xlarge", "spot", 0.4, "llm/int8"),
    ("g6.xlarge", "on-demand", 0.8, "llm/fp16"),
    ("g6.xlarge", "on-demand", 0.8, "llm/int8"),
    ("g6.2xlarge", "on-demand", 0.9, "llm/int8"),
)
"""Machine, offer, US dollars an hour, variant."""


def option(name: str, offer: str, usd_per_hour: float, variant: str) -> PoolOption:
    """Return the option that a workload would have given."""
    vcpu = {"xlarge": 4, "2xlarge": 8}[name.partition(".")[2]]
    machine = MachineType("aws", name, name.partition(".")[0], vcpu, 16.0, "x86_64", "l4", 1, 24.0, "by hand", DAY)
    model = ModelVariant(variant, "llm", "request", "int8", 1.0, 0.0, {})
    profile = Profile(variant, name, RequestEngine((1.0,), 0.0), 1, Provenance("measured", "by hand", 0.1))
    row = PriceRow("aws", "r", name, offer, Decimal(str(usd_per_hour)), 3, None, "list", "by hand", DAY)
    return PoolOption(model, machine, "r", profile, OfferTerms(offer, name, "r", usd_per_hour, 0.0, 3, row))


@pytest.fixture(scope="module")
def problem() -> Problem:
    """Return five options in two blocks, with a plan for g5, one for everything, and one of everything for three years."""
    count = len(SOLD)
    rates = np.array([usd for _, _, usd, _ in SOLD])
    firm = np.array([offer == "on-demand" for _, offer, _, _ in SOLD])
    return Problem(
        options=tuple(option(*one) for one in SOLD),
        interactive=("chat",),
        deferrable=(),
        rate=np.ones((1, 2)),
        mean_rate=np.ones((1, 2)),
        mu=np.ones((1, count, 2)),
        work_per_s=np.zeros((0, count)),
        share_cap=np.ones((1, 2)),
        quality=np.ones(2),
        quality_floor=np.zeros(1),
        variant_of=np.zeros(count, dtype=np.int64),
        usd_per_hour=rates + DISK_USD_PER_HOUR,
        disk_usd_per_hour=np.full(count, DISK_USD_PER_HOUR),
        usd_per_request=np.zeros((1, count)),
        usd_per_work=np.zeros((0, count)),
        metered=np.zeros(count, dtype=np.bool_),
        only_covered=np.zeros(count, dtype=np.bool_),
        covers=(
            CommitmentOption("aws", "family-1y", "r/g5", 2, 1, np.array([0.6, INF, INF, INF, INF])),
            CommitmentOption("aws", "all-1y", "", 3, 1, np.where(firm, 0.75 * rates, INF)),
            CommitmentOption("aws", "all-3y", "", 3, 3, np.where(firm, 0.5 * rates, INF)),
        ),
        block_hours=np.array([365.0, 365.0]),
        zones=np.full(count, 3),
        interruptible=~firm,
        windows=(),
        quotas=(),
        max_spot_share=0.5,
        spot_zone_loss_share=0.7,
        max_pools=5,
        pool_worth=0.0,
        refusals=(),
    )


@pytest.fixture(scope="module")
def machines() -> np.ndarray:
    """Return 4 machines of g5.xlarge on demand and 9 on spot, in both blocks."""
    return np.array([[4, 4], [9, 9], [0, 0], [0, 0], [0, 0]])


def moving(*moves: Move, months: int = 12) -> Future:
    """Return a future with one scenario."""
    return Future(months, (Scenario("moving", 1.0, 0.0, moves),))


def test_without_futures_the_planned_week_goes_on(workload: Workload, problem: Problem, machines: np.ndarray) -> None:
    decision = choose_for_futures(workload, problem, machines)
    assert decision.usd_per_hour == pytest.approx([2.4, 0.0, 0.0], abs=1e-6)
    assert decision.outcome.expected_usd_per_month == pytest.approx(730 * 2.4)
    assert decision.uncommitted.expected_usd_per_month == pytest.approx(730 * 4.0)
    assert decision.bound_usd_per_month == pytest.approx(730 * 2.4)
    assert decision.expected_utilisation == pytest.approx([1.0, 1.0, 1.0])
    assert decision.break_even == pytest.approx([0.6, 0.75, 0.5])
    assert decision.futures == ("every week like the one planned",)


def test_what_lasts_longer_than_is_looked_at_is_left_out(workload: Workload, problem: Problem, machines: np.ndarray) -> None:
    (refusal,) = choose_for_futures(workload, problem, machines).refusals
    assert (refusal.what, "months: 36" in refusal.reason) == ("all-3y", True)
    longer = choose_for_futures(replace(workload, future=Future(36)), problem, machines)
    assert longer.refusals == ()
    assert longer.usd_per_hour == pytest.approx([0.0, 0.0, 2.0], abs=1e-6)


def test_a_move_goes_to_the_most_alike_option(problem: Problem, machines: np.ndarray) -> None:
    """Of the same variant and as many CPUs; what runs on spot is no one's to cover, and stays out."""
    view = build_outlook(moving(Move("g5", "g6", 1, 2.0)), problem, machines)
    assert view.hours.any(axis=2).tolist() == [[False, False, False, True, False]]
    assert view.hours[0, 3] == pytest.approx(8.0)
    assert view.on_demand_usd_per_hour == pytest.approx([1.0, 0.4, 0.8, 0.8, 0.9])


def test_a_move_follows_another(problem: Problem, machines: np.ndarray) -> None:
    view = build_outlook(moving(Move("g5", "g6.2xlarge", 1, 1.0), Move("g6", "g5", 1, 0.5)), problem, machines)
    assert view.hours[0, :, 0] == pytest.approx([2.0, 0.0, 0.0, 0.0, 0.0])


def test_a_move_of_what_is_not_in_use_changes_nothing(problem: Problem, machines: np.ndarray) -> None:
    view = build_outlook(moving(Move("g6", "g5", 1, 1.0)), problem, machines)
    assert view.hours[0, 0] == pytest.approx(4.0)


def test_a_move_to_where_nothing_can_serve_is_refused(problem: Problem, machines: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"future 'moving' moves g5\.xlarge of r to p5") as caught:
        build_outlook(moving(Move("g5", "p5", 3, 1.0)), problem, machines)
    assert "allow p5" in str(caught.value)


def test_a_likely_move_goes_from_the_family_to_everything(workload: Workload, problem: Problem, machines: np.ndarray) -> None:
    """Either nothing changes or all has moved in the second month: what is bound to g5 is then useless."""
    stay, move = Scenario("stay", 0.3, 0.0), Scenario("move", 0.7, 0.0, (Move("g5", "g6", 1, 1.25),))
    decision = choose_for_futures(replace(workload, future=Future(12, (stay, move))), problem, machines)
    assert decision.usd_per_hour == pytest.approx([0.0, 3.0, 0.0], abs=0.01)
    assert decision.futures == ("stay", "move")
    assert decision.outcome.worst_utilisation == pytest.approx([1.0, 1.0, 1.0])


def test_a_least_utilisation_of_the_workload_is_kept(workload: Workload, problem: Problem, machines: np.ndarray) -> None:
    shrinking = Future(12, (Scenario("shrinking", 1.0, -0.05),))
    free = choose_for_futures(replace(workload, future=shrinking), problem, machines)
    strict = replace(workload, future=shrinking, purchase=replace(workload.purchase, min_utilisation=0.98))
    kept = choose_for_futures(strict, problem, machines)
    assert free.outcome.worst_utilisation.min() < 0.98 <= kept.outcome.worst_utilisation.min() + 1e-9
    assert kept.usd_per_hour.sum() > 0.0


def test_machines_of_ones_own_are_the_plans_to_count(workload: Workload, problem: Problem, machines: np.ndarray) -> None:
    own = CommitmentOption("own", "owned", "r/g6.2xlarge", 0, 0, np.array([INF, INF, INF, INF, 0.3]), step_usd_per_hour=0.3)
    others = (
        replace(each, usd_per_hour=np.where(np.isfinite(own.usd_per_hour), INF, each.usd_per_hour)) for each in problem.covers
    )
    mixed = replace(problem, covers=(*others, own), only_covered=np.array([False] * 4 + [True]))
    decision = choose_for_futures(workload, mixed, machines, np.array([9.0, 9.0, 0.0, 0.6]))
    assert decision.usd_per_hour == pytest.approx([2.4, 0.0, 0.0, 0.6], abs=1e-6)
    assert decision.outcome.expected_usd_per_month == pytest.approx(730 * 3.0)
