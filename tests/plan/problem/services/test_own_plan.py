"""A plan on machines of one's own alone: the autoscaler asks for no more than there are, so that what ran can be billed."""

from collections.abc import Callable
from datetime import date

import pytest

from tightrope.base.records import Workload
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.clouds.book import PriceBook
from tightrope.plan.make import make_plan

HAVING = 0.2


def test_a_plan_that_needs_every_machine_is_proven_and_billed(own: Callable[..., Workload], own_book: PriceBook) -> None:
    """12 requests a second of 120 ms need all three within 400 ms; half as many again would be five."""
    busy = ("mean_per_s: 0.5, peak_per_s: 0.9", "mean_per_s: 8, peak_per_s: 12")
    plan = make_plan(own(busy, ("proof:", "scaling: {headroom: 1}\nproof:")), own_book, date(2026, 12, 1))
    (pool,), (made,) = plan.pools, plan.commitments
    assert plan.status == "proven"
    assert (pool.offer, max(pool.schedule), pool.max_replicas) == ("owned", 3, 3)
    assert (made.existing, made.break_even) == (True, None)
    assert made.usd_per_hour == pytest.approx(3 * HAVING)
    power = sum(line.usd for line in plan.cost_lines if line.driver == "power")
    assert plan.monthly_cost_usd == pytest.approx(3 * HAVING * HOURS_PER_MONTH + power)
    assert plan.replay_monthly_cost_usd == pytest.approx(plan.monthly_cost_usd, rel=0.02)
