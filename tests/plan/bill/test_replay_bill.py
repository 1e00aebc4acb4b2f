"""What ran, charged: a part of an hour is no whole hour, at the scale of a month and in dollars an hour."""

from dataclasses import replace

import numpy as np
import pytest

from tightrope.base.plan import Plan
from tightrope.base.records import Committed
from tightrope.clouds.book import load_price_book
from tightrope.plan.bill.replay_bill import ReplayUsage, build_stretch_lines, hourly_usd, measure_replay_usage, month_usd
from tightrope.plan.problem.cost_lines import total_usd

COMMITMENT_USD_PER_HOUR = 50.0
"""More than everything that runs: it is paid whole, used or not."""
MADE = Committed("aws", "compute-savings-plan-1y-no-upfront", "", COMMITMENT_USD_PER_HOUR)
RESERVED = Committed("aws", "reserved-1y-no-upfront", "us-east-1/c6i", 0.05623)


def steady(plan: Plan, hours: float) -> ReplayUsage:
    """Return one machine of every pool for so many hours, under a commitment."""
    parts = np.clip(hours - np.arange(int(np.ceil(hours))), 0.0, 1.0)
    ran = measure_replay_usage(plan, load_price_book(), np.tile(parts, (len(plan.pools), 1)), 0.0, hours * 3600.0)
    return replace(ran, committed=(MADE,))


def test_a_month_does_not_depend_on_where_in_an_hour_the_stretch_ends(plan: Plan) -> None:
    book = load_price_book()
    whole, longer = (month_usd(steady(plan, hours), book) for hours in (24.0, 24.0 + 1.0 / 60.0))
    assert whole > 730.0 * COMMITMENT_USD_PER_HOUR
    assert longer == pytest.approx(whole, rel=1e-9)


def test_the_stretch_itself_pays_a_commitment_for_every_hour_begun(plan: Plan) -> None:
    book = load_price_book()
    whole, longer = (total_usd(build_stretch_lines(steady(plan, hours), book)) for hours in (24.0, 24.5))
    assert longer - whole > 0.99 * COMMITMENT_USD_PER_HOUR


@pytest.mark.parametrize("committed", [(), (MADE,), (MADE, RESERVED)], ids=["none", "one", "two"])
def test_dollars_an_hour_are_a_rate_also_in_a_part_of_an_hour(plan: Plan, committed: tuple[Committed, ...]) -> None:
    hourly = hourly_usd(replace(steady(plan, 2.25), committed=committed), load_price_book())
    assert any(values[0] > 0.0 for values in hourly.values())
    for values in hourly.values():
        assert values == pytest.approx([values[0]] * 3)


@pytest.mark.parametrize("times", [0.5, 1.0, 1.1])
def test_of_a_short_stretch_machines_are_scaled_and_commitments_are_not(plan: Plan, times: float) -> None:
    """What is committed to is paid all the same where less is run, and covers no more where more is."""
    book = load_price_book()
    week = replace(
        measure_replay_usage(plan, book, np.array([pool.schedule for pool in plan.pools], dtype=np.float64), 0.0, 168 * 3600.0)
    )
    short = replace(week, machine_hours=times * week.machine_hours[:, :6], duration_s=6 * 3600.0)
    assert short.machines.all()
    for committed in ((), (replace(MADE, usd_per_hour=0.05),), (MADE,)):
        whole = replace(week, machine_hours=times * week.machine_hours, committed=committed)
        assert month_usd(replace(short, committed=committed), book) == pytest.approx(month_usd(whole, book), rel=1e-9)


def test_what_runs_where_nothing_was_scheduled_comes_on_top(plan: Plan) -> None:
    book = load_price_book()
    unplanned = replace(steady(plan, 2.0), schedule=np.zeros((len(plan.pools), 168), dtype=np.int64))
    idle = replace(unplanned, machine_hours=np.zeros((len(plan.pools), 2)))
    assert month_usd(idle, book) == unplanned.scheduled_usd_per_month
    on_top = month_usd(unplanned, book) - unplanned.scheduled_usd_per_month
    assert on_top == pytest.approx(730.0 * float(unplanned.usd_per_hour.sum()))
