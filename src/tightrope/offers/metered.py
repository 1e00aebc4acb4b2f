"""What is paid by use: so much for each unit of it, beside what its machine-hours cost. It carries no ``OFFER`` itself.

A function's machine-hours are those in which it answers; a token API has none.
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
        """Return the rates; a refusal where one of them is not known."""

    def charge(self, usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[tuple[BillLine, ...], Usage]:
        """Return one line for each pool under this offer; those without a price stay in the usage left unpaid."""
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
    """Return what the machine-hours and units of one line cost in a month, US dollars."""
    usd = float(usage.machine_hours[line] @ usage.hours_per_month) * terms.usd_per_hour
    units = (
        float(usage.units[name][line] @ usage.hours_per_month) * rate
        for name, rate in terms.usd_per_unit.items()
        if name in usage.units
    )
    return usd + sum(units)
