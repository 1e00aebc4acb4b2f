"""Metered offers: a price per unit of usage beside the cost of machine-hours. The module defines no ``OFFER``.

A function's machine-hours are its billed hours of answering; a token API has none.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tightrope.base.contracts import Prices
from tightrope.base.plan import BillLine, Committed, OfferTerms, Refusal, Usage

REQUESTS = "requests"


@dataclass(frozen=True, slots=True)
class MeteredOffer:
    """An offer that charges units at the rates of its terms."""

    name: str
    kind: Literal["pay-as-you-go"] = "pay-as-you-go"

    @abstractmethod
    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return the rates, or a refusal if a rate is unknown."""

    def charge(self, usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[tuple[BillLine, ...], Usage]:
        """Return one line for each priced pool under this offer, and the unpaid usage."""
        del committed
        bill: list[BillLine] = []
        unpaid: list[int] = []
        for index, line in enumerate(usage.lines):
            terms = self.terms(line.machine, line.region, prices) if line.offer == self.name else None
            if isinstance(terms, OfferTerms):
                bill.append(BillLine("compute", line.pool, self.name, metered_usd(usage, index, terms)))
            else:
                unpaid.append(index)
        return tuple(bill), usage.take(unpaid)


def metered_usd(usage: Usage, line: int, terms: OfferTerms) -> float:
    """Return the monthly cost of one line's machine-hours and units, US dollars."""
    usd = float(usage.machine_hours[line] @ usage.hours_per_month) * terms.usd_per_hour
    units = (
        float(usage.units[name][line] @ usage.hours_per_month) * rate
        for name, rate in terms.usd_per_unit.items()
        if name in usage.units
    )
    return usd + sum(units)
