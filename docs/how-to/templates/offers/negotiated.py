"""A private discount: the same fraction off every on-demand price, as an enterprise agreement grants it.

Copy the file to ``src/tightrope/offers/``, set ``DISCOUNT``, and allow ``negotiated`` under ``purchase`` in the workload.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tightrope.base.contracts import Prices
from tightrope.base.plan import BillLine, Committed, OfferTerms, Refusal, Usage

DISCOUNT = 0.10
"""Fraction off the on-demand price."""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """On-demand machines at a flat discount."""

    name: str = "negotiated"
    kind: Literal["pay-as-you-go", "commitment"] = "pay-as-you-go"

    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return the discounted hour, or a refusal where the machine is not sold on demand."""
        row = prices.find(machine, region, "on-demand")
        if row is None:
            return Refusal(f"{machine} {region} {self.name}", "there is no on-demand price to take the discount from")
        usd_per_hour = float(row.usd_per_hour) * (1 - DISCOUNT)
        return OfferTerms(self.name, machine, region, usd_per_hour, interruptions_per_hour=0.0, zones=row.zones, row=row)

    def charge(self, usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[tuple[BillLine, ...], Usage]:
        """Return hours × rate of each line run under this offer; every other line stays unpaid. There is nothing to commit to."""
        del committed
        hours_per_month = usage.machine_hours @ usage.hours_per_month
        bill: list[BillLine] = []
        unpaid: list[int] = []
        for index, line in enumerate(usage.lines):
            terms = self.terms(line.machine, line.region, prices)
            if line.offer == self.name and isinstance(terms, OfferTerms):
                bill.append(BillLine("compute", line.pool, self.name, float(hours_per_month[index]) * terms.usd_per_hour))
            else:
                unpaid.append(index)
        return tuple(bill), Usage(tuple(usage.lines[at] for at in unpaid), usage.machine_hours[unpaid], usage.hours_per_month)


OFFER = Negotiated()
