"""What every commitment is made of: the price book's rates and its rule of what one covers. It carries no ``OFFER`` itself.

A commitment is a promise to spend so many US dollars an hour, at the offer's own rates, used or not, on what its scope covers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tightrope.base.catalogue import ON_DEMAND, CommitmentRule, MachineType, PriceRow
from tightrope.base.contracts import Prices
from tightrope.base.errors import UnknownNameError
from tightrope.base.plan import BillLine, Committed, OfferTerms, Refusal, Usage
from tightrope.base.scope import covered_scope, scope_of
from tightrope.base.units import HOURS_PER_YEAR
from tightrope.offers.commitment_application import settle


@dataclass(frozen=True, slots=True)
class CommitmentOffer:
    """A commitment of one name, which several sellers may sell, each by its own rule in the price book."""

    name: str
    kind: Literal["commitment"] = "commitment"

    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return what a covered machine-hour takes from a commitment, and which commitment that is; or why none covers it."""
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
            scope=scope_of(rule, sold, region),
            order=rule.order,
            step_usd_per_hour=_step_usd_per_hour(rule, sold, row, prices),
            term_years=rule.term_years,
        )

    def charge(self, usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[tuple[BillLine, ...], Usage]:
        """Return one line for each pool and offer that covers it, one for what each commitment pays unused, and the usage left."""
        return settle(usage, prices, committed)


def _step_usd_per_hour(rule: CommitmentRule, machine: MachineType, row: PriceRow, prices: Prices) -> float:
    """Return the rate of the smallest machine that one can commit to, where whole machines are sold; else 0."""
    if rule.scope != "machine":
        return 0.0
    if not rule.covers_other_sizes(machine.family):
        return float(row.usd_per_hour)
    sizes = (
        prices.find(size.name, row.region, row.offer) for size in prices.machines([machine.family]) if size.cloud == row.cloud
    )
    return min(float(size.usd_per_hour) for size in sizes if size is not None)


def upfront_usd(prices: Prices, committed: Committed) -> float:
    """Return what a commitment costs at its start, US dollars; the monthly bill spreads it over the hours of the term.

    Of a commitment to machines the seller's own figure for one, as often as it is bought; of any other the rule's share of the
    whole term's price (a year has 8,760 hours).
    """
    rule = prices.commitment(committed.cloud, committed.offer)
    region, _, name = covered_scope(committed, rule, prices).partition("/")
    sizes = prices.machines([name]) if rule.scope == "machine" else ()
    rows = [row for row in (prices.find(size.name, region, committed.offer) for size in sizes) if row is not None]
    if rows:
        row = min(rows, key=lambda row: row.usd_per_hour)
        return committed.usd_per_hour * float(row.upfront_usd / row.usd_per_hour)
    return committed.usd_per_hour * HOURS_PER_YEAR * rule.term_years * float(rule.upfront_share)
