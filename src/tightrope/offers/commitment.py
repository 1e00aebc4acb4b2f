"""The common model of commitments: rates and coverage rules from the price book. The module defines no ``OFFER``.

A commitment is a promise to spend a fixed amount of US dollars an hour, at the offer's rates, used or not, within its scope.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tightrope.base.catalogue import ON_DEMAND, CommitmentRule, MachineType, PriceRow
from tightrope.base.contracts import Prices
from tightrope.base.errors import UnknownNameError
from tightrope.base.plan import BillLine, Committed, OfferTerms, Refusal, Usage
from tightrope.base.scope import format_scope, resolve_scope
from tightrope.base.units import HOURS_PER_YEAR
from tightrope.offers.commitment_application import settle


@dataclass(frozen=True, slots=True)
class CommitmentOffer:
    """A commitment of one name; several sellers may sell it, each by its own rule in the price book."""

    name: str
    kind: Literal["commitment"] = "commitment"

    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return the commitment's rate for a covered machine-hour and its scope, or the reason why no commitment covers it."""
        row, on_demand = prices.find(machine, region, self.name), prices.find(machine, region, ON_DEMAND)
        what = f"{machine} {region} {self.name}"
        if row is None:
            return Refusal(what, "the catalogue has no such price")
        if on_demand is None or row.usd_per_hour >= on_demand.usd_per_hour:
            return Refusal(what, "it saves nothing: the catalogue has no higher on-demand price")
        try:
            rule = prices.commitment(row.cloud, self.name)
        except UnknownNameError:
            return Refusal(what, f"the catalogue does not say how {row.cloud} applies it")
        sold = prices.machine(machine)
        if sold.family in rule.excluded_families.split():
            return Refusal(what, f"{row.cloud} does not sell it for the family {sold.family}")
        return OfferTerms(
            offer=self.name,
            machine=machine,
            region=region,
            usd_per_hour=float(row.usd_per_hour),
            interruptions_per_hour=0.0,
            zones=row.zones,
            row=row,
            scope=format_scope(rule, sold, region),
            order=rule.order,
            step_usd_per_hour=_step_usd_per_hour(rule, sold, row, prices),
            term_years=rule.term_years,
        )

    def charge(self, usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[tuple[BillLine, ...], Usage]:
        """Return a line for each covered pool and offer, a line for each commitment's unused part, and the remaining usage."""
        return settle(usage, prices, committed)


def _step_usd_per_hour(rule: CommitmentRule, machine: MachineType, row: PriceRow, prices: Prices) -> float:
    """Return the rate of the smallest machine on sale where commitments are to whole machines; else 0."""
    if rule.scope != "machine":
        return 0.0
    if not rule.covers_other_sizes(machine.family):
        return float(row.usd_per_hour)
    sizes = (
        prices.find(size.name, row.region, row.offer) for size in prices.machines([machine.family]) if size.cloud == row.cloud
    )
    return min(float(size.usd_per_hour) for size in sizes if size is not None)


def upfront_usd(prices: Prices, committed: Committed) -> float:
    """Return the upfront payment of a commitment, US dollars; the monthly bill spreads it over the hours of the term.

    For a commitment to machines: the seller's figure per machine times the number of machines. For any other: the rule's share of
    the price of the whole term (a year has 8,760 hours).
    """
    rule = prices.commitment(committed.cloud, committed.offer)
    region, _, name = resolve_scope(committed, rule, prices).partition("/")
    sizes = prices.machines([name]) if rule.scope == "machine" else ()
    rows = [row for row in (prices.find(size.name, region, committed.offer) for size in sizes) if row is not None]
    if rows:
        row = min(rows, key=lambda row: row.usd_per_hour)
        return committed.usd_per_hour * float(row.upfront_usd / row.usd_per_hour)
    return committed.usd_per_hour * HOURS_PER_YEAR * rule.term_years * float(rule.upfront_share)
