"""Owned machines: capital and overhead are spent, used or not; only the power of running hours comes on top.

The commitment is to machines of one kind at one site: dollars an hour of capital and overhead, in steps of one machine. It
covers no other usage, and no other offer pays for these machines: hours beyond the number of machines stay unpaid.
Source of the split: ``clouds/owned`` (Barroso, Hölzle and Ranganathan, The Datacenter as a Computer, 3rd edition, 2018, chapter 6).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tightrope.base.catalogue import OWNED
from tightrope.base.contracts import Prices
from tightrope.base.plan import BillLine, Committed, OfferTerms, Refusal, Usage
from tightrope.offers.commitment_application import UNUSED

POWER = "power"
"""Driver of the cost that accrues only while a machine runs."""


@dataclass(frozen=True, slots=True)
class OwnedOffer:
    """Owned machines at a site, by the hourly cost of having them."""

    name: str
    kind: Literal["commitment"] = "commitment"

    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return the hourly cost of having one machine, power excluded; it is also the step of the commitment."""
        row, stock = prices.find(machine, region, self.name), prices.stock(machine, region)
        if row is None or stock is None:
            return Refusal(f"{machine} {region} {self.name}", "owned.csv of the catalogue has no such machine at that site")
        usd_per_hour = float(row.usd_per_hour - stock.running_usd_per_hour)
        scope = f"{region}/{machine}"
        return OfferTerms(self.name, machine, region, usd_per_hour, 0.0, row.zones, row, scope, 0, usd_per_hour)

    def charge(self, usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[tuple[BillLine, ...], Usage]:
        """Return lines for each pool's covered hours and power and each commitment's unused part, and the uncovered usage."""
        hours, weights = usage.machine_hours.copy(), usage.hours_per_month
        bill: list[BillLine] = []
        unused: list[BillLine] = []
        for item in committed:
            left = np.full(len(weights), item.usd_per_hour)
            for index, line in enumerate(usage.lines):
                terms = self.terms(line.machine, line.region, prices) if line.offer == self.name else None
                if not isinstance(terms, OfferTerms) or terms.scope != item.scope:
                    continue
                # a whole machine covers a whole hour, in spite of rounding in the division
                covered = np.minimum(hours[index], left / terms.usd_per_hour + 1e-9)
                hours[index] -= covered
                left = np.maximum(left - covered * terms.usd_per_hour, 0.0)
                used_usd, stock = float(covered @ weights), prices.stock(line.machine, line.region)
                bill.append(BillLine("compute", line.pool, self.name, used_usd * terms.usd_per_hour))
                if stock is not None:
                    bill.append(BillLine(POWER, line.pool, self.name, used_usd * float(stock.running_usd_per_hour)))
            unused.append(BillLine(UNUSED, "", self.name, float(left @ weights)))
        return (*bill, *unused), replace(usage, machine_hours=hours)


OFFER = OwnedOffer(OWNED)
