"""The second road to a plan's cost: what rendered files say of machines, priced with the price book, against the plan's own bill."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from tightrope.base.plan import Plan, Usage, UsageLine
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.clouds.book import load_price_book
from tightrope.offers.bill import charge_fleet
from tightrope.render.infra.schedule import WEEK

DRIVERS = frozenset({"compute", "idle", "commitment unused", "discount"})
"""What machines cost in a plan's bill: used and idle time, what a commitment pays for nothing, what a seller takes off by itself."""
CENT = 0.005


@dataclass(frozen=True, slots=True)
class Parsed:
    """Alike machines as a target's files state them."""

    cloud: str
    region: str
    machine: str
    offer: str
    week: tuple[int, ...]
    """Machines in each of the 168 hours from Monday at 00:00 UTC, read back from the file's schedule."""


def priced_usd(plan: Plan, parsed: Sequence[Parsed]) -> float:
    """Return what the machines cost a month, US dollars, under the plan's commitments on their clouds and at its prices."""
    assert all(len(item.week) == WEEK for item in parsed)
    lines = tuple(
        UsageLine(f"parsed {row}", item.cloud, item.region, item.machine, item.offer) for row, item in enumerate(parsed)
    )
    usage = Usage(lines, np.array([item.week for item in parsed], dtype=np.float64), np.full(WEEK, HOURS_PER_MONTH / WEEK))
    clouds = {item.cloud for item in parsed}
    committed = [item.committed for item in plan.commitments if item.cloud in clouds]
    book = load_price_book(date.fromisoformat(plan.prices_as_of) if plan.prices_as_of else None)
    return sum(line.usd for line in charge_fleet(usage, book, committed))


def planned_usd(plan: Plan, pools: Iterable[str]) -> float:
    """Return what the plan's bill says of the machines of some pools, with what commitments on their clouds pay for nothing."""
    names = set(pools)
    clouds = {pool.cloud for pool in plan.pools if pool.name in names}
    offers = {item.offer for item in plan.commitments if item.cloud in clouds}
    return sum(
        line.usd
        for line in plan.cost_lines
        if line.driver in DRIVERS and (line.pool in names or (not line.pool and line.offer in offers))
    )


def assert_same_cost(plan: Plan, pools: Iterable[str], parsed: Sequence[Parsed]) -> None:
    """Fail where the two roads differ by half a cent a month."""
    planned, found = planned_usd(plan, pools), priced_usd(plan, parsed)
    assert abs(planned - found) < CENT, f"the plan says ${planned:.4f} a month, what was rendered costs ${found:.4f}"
