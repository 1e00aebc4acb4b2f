"""AWS Compute Savings Plan, 1 year, no upfront: a promise to spend so much an hour at lower rates, used or not.

In each billing hour AWS covers on-demand usage of any region and family, the highest saving over on-demand first and the lowest
plan rate first among equals, in fractions of a machine-hour, until the commitment is spent; the rest is charged on demand. Spot
is never covered. Source: AWS Savings Plans user guide, "Understanding how Savings Plans apply to your usage" (2026).
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import numpy as np

from tightrope.base.contracts import Prices
from tightrope.base.plan import BillLine, OfferTerms, Refusal, Usage
from tightrope.base.records import FloatArray, IntArray

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


@dataclass(frozen=True, slots=True)
class ComputeSavingsPlan:
    """The offer; ``scope``, ``term_years`` and ``payment`` are what a plan's ``Commitment`` says of it."""

    name: str = NAME
    kind: Literal["commitment"] = "commitment"
    scope: str = "aws, every region and family"
    term_years: int = 1
    payment: str = "no upfront"

    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return the plan's rate for one covered machine-hour; a refusal where there is none."""
        row = prices.find(machine, region, self.name)
        if row is None:
            return Refusal(f"{machine} {region} {self.name}", "the catalogue has no such price")
        return OfferTerms(self.name, machine, region, float(row.usd_per_hour), 0.0, row.zones, row)

    def charge(self, usage: Usage, prices: Prices, commitment_usd_per_hour: float) -> tuple[tuple[BillLine, ...], Usage]:
        """Return one line for each pool covered and one for what the commitment pays unused, and the usage left to on-demand."""
        eligible = _eligible(usage, prices)
        covered, full = _covered_usd(usage, eligible, commitment_usd_per_hour)
        used_usd = covered @ usage.hours_per_month
        bill = [
            BillLine("compute", usage.lines[line].pool, self.name, float(usd))
            for line, usd in zip(eligible.lines, used_usd, strict=True)
            if usd > 0
        ]
        if commitment_usd_per_hour > 0:
            paid_usd = commitment_usd_per_hour * float(usage.hours_per_month.sum())
            bill.append(BillLine("commitment unused", "", self.name, max(0.0, paid_usd - float(used_usd.sum()))))
        share = np.divide(covered, full, out=np.zeros_like(full), where=full > 0)
        hours = usage.machine_hours.copy()
        hours[eligible.lines] *= 1.0 - share
        return tuple(bill), Usage(usage.lines, hours, usage.hours_per_month)


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


OFFER = ComputeSavingsPlan()
