"""AWS Compute Savings Plans: lower rates on every machine of every region and family, for so many US dollars an hour.

They are applied after Reserved Instances and EC2 Instance Savings Plans, all of them together whatever their term and payment (see
``cover.py``). Source: AWS Savings Plans user guide, "Understanding how Savings Plans apply to your usage" (2026).
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from tightrope.base.contracts import Prices
from tightrope.base.plan import Usage
from tightrope.base.records import FloatArray, IntArray
from tightrope.offers.commitment import CommitmentOffer

NAME = "compute-savings-plan-1y-no-upfront"
ELIGIBLE_OFFER = "on-demand"


@dataclass(frozen=True, slots=True)
class _Eligible:
    """The usage a plan can cover, in AWS's order: ``lines`` int64[eligible], rates float64[eligible] in US dollars an hour."""

    lines: IntArray
    plan_rate: FloatArray
    on_demand_rate: FloatArray


def _eligible(usage: Usage, prices: Prices) -> _Eligible:
    """Return the lines with both rates, in the order in which AWS covers them (compared exactly, so that ties are ties)."""
    found: list[tuple[Fraction, Decimal, int, Decimal]] = []
    for index, line in enumerate(usage.lines):
        plan = prices.find(line.machine, line.region, NAME)
        on_demand = prices.find(line.machine, line.region, ELIGIBLE_OFFER)
        if line.offer == ELIGIBLE_OFFER and plan and on_demand and plan.usd_per_hour < on_demand.usd_per_hour:
            paid_share = Fraction(plan.usd_per_hour) / Fraction(on_demand.usd_per_hour)
            found.append((paid_share, plan.usd_per_hour, index, on_demand.usd_per_hour))
    found.sort()
    lines = np.array([index for _, _, index, _ in found], dtype=np.int64)
    plan_rate = np.array([float(rate) for _, rate, _, _ in found], dtype=np.float64)
    return _Eligible(lines, plan_rate, np.array([float(rate) for _, _, _, rate in found], dtype=np.float64))


def _covered_usd(usage: Usage, eligible: _Eligible, commitment_usd_per_hour: float) -> tuple[FloatArray, FloatArray]:
    """Return what is covered and what would be at full cover, at plan rates, float64[eligible, periods] US dollars an hour."""
    full = usage.machine_hours[eligible.lines] * eligible.plan_rate[:, None]
    before = np.cumsum(full, axis=0) - full
    return np.clip(commitment_usd_per_hour - before, 0.0, full), full


def commitment_utilisation(usage: Usage, prices: Prices, commitment_usd_per_hour: float) -> float:
    """Return the share of the commitment that the usage consumes; 1 where nothing is committed, as nothing is wasted."""
    paid_usd = commitment_usd_per_hour * float(usage.hours_per_month.sum())
    if paid_usd == 0:
        return 1.0
    covered, _ = _covered_usd(usage, _eligible(usage, prices), commitment_usd_per_hour)
    return min(1.0, float((covered @ usage.hours_per_month).sum()) / paid_usd)


def best_commitment_usd_per_hour(usage: Usage, prices: Prices) -> float:
    """Return the smallest commitment with the lowest bill, exactly.

    In one hour, a dollar more committed costs 1 and saves what it newly covers at the on-demand rate: the on-demand rate over the
    plan rate. AWS covers the largest such ratio first, so the bill is convex and piecewise linear in the commitment, its kinks at
    the running sums of each hour's spend; the slope is followed from kink to kink until the bill stops falling.
    """
    eligible = _eligible(usage, prices)
    if not len(eligible.lines):
        return 0.0
    kinks = np.cumsum(usage.machine_hours[eligible.lines] * eligible.plan_rate[:, None], axis=0)
    ratio = eligible.on_demand_rate / eligible.plan_rate
    steps = (ratio - np.append(ratio[1:], 0.0))[:, None] * usage.hours_per_month
    order = np.argsort(kinks, axis=None, kind="stable")
    slopes = float((1.0 - ratio[0]) * usage.hours_per_month.sum()) + np.cumsum(steps.ravel()[order])
    stops_falling = slopes >= -1e-9 * float(usage.hours_per_month.sum())
    return float(kinks.ravel()[order][int(np.argmax(stops_falling))])


OFFERS = tuple(
    CommitmentOffer(f"compute-savings-plan-{term}-{payment}-upfront")
    for term in ("1y", "3y")
    for payment in ("no", "partial", "all")
)
