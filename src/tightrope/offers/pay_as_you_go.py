"""On-demand machines, spot machines and container services: machine-hours times a rate, without commitment.

- **On-demand** machines have a fixed rate.
- **Spot** machines are spare capacity at a changing, lower rate. The seller takes them back at two minutes' notice.
- **Container** services charge the vCPUs and the memory of each hour that a container runs. No commitment covers them here: the price
  book has no rate of a Compute Savings Plan for AWS Fargate, and unknown is not zero. Sources: AWS Fargate pricing, Azure Container
  Instances pricing, Google Cloud Run pricing (instance-based billing; all 2026).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tightrope.base.catalogue import PriceRow
from tightrope.base.contracts import Prices
from tightrope.base.plan import BillLine, Committed, OfferTerms, Refusal, Usage
from tightrope.base.units import HOURS_PER_MONTH


def interruptions_per_hour(interruptions_per_month: float) -> float:
    """Return the constant hourly rate that interrupts this share of machines within a month of 730 hours.

    >>> round(1 - math.exp(-interruptions_per_hour(0.2) * HOURS_PER_MONTH), 12)
    0.2
    """
    return -math.log1p(-interruptions_per_month) / HOURS_PER_MONTH


@dataclass(frozen=True, slots=True)
class PayAsYouGo:
    """An offer that charges each machine-hour at the row's rate."""

    name: str
    interruptible: bool
    kind: Literal["pay-as-you-go"] = "pay-as-you-go"

    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return rate and risk, or a refusal if the price or an interruptible machine's interruption rate is unknown."""
        row = prices.find(machine, region, self.name)
        if row is None:
            return Refusal(f"{machine} {region} {self.name}", "the catalogue has no such price")
        if self.interruptible and row.interruptions_per_month is None:
            return Refusal(f"{machine} {region} {self.name}", "the catalogue does not say how often it is interrupted")
        return OfferTerms(self.name, machine, region, float(row.usd_per_hour), self._interruption_rate(row), row.zones, row)

    def _interruption_rate(self, row: PriceRow) -> float:
        """Return interruptions per machine-hour; 0 for an offer without interruptions."""
        return interruptions_per_hour(row.interruptions_per_month or 0.0) if self.interruptible else 0.0

    def charge(self, usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[tuple[BillLine, ...], Usage]:
        """Return hours × rate of each priced line under this offer, and the unpaid usage."""
        del committed
        hours_per_month = usage.machine_hours @ usage.hours_per_month
        bill: list[BillLine] = []
        unpaid: list[int] = []
        for index, line in enumerate(usage.lines):
            row = prices.find(line.machine, line.region, self.name) if line.offer == self.name else None
            if row is None:
                unpaid.append(index)
            else:
                usd = float(hours_per_month[index]) * float(row.usd_per_hour)
                bill.append(BillLine("compute", line.pool, self.name, usd))
        return tuple(bill), usage.take(unpaid)


OFFERS = (
    PayAsYouGo("on-demand", interruptible=False),
    PayAsYouGo("spot", interruptible=True),
    PayAsYouGo("container", interruptible=False),
)
