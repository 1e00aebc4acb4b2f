"""Makes unit prices of what AWS's offer files say of storage, traffic, NAT gateways and load balancers.

A tier that costs nothing becomes the bound above which the next one holds. What is in another unit than known, or is said twice
with different prices, is left out and counted: one item says nothing about the rest.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import TypeAlias

from tightrope.base.catalogue import UnitPrice
from tightrope.clouds.aws.offers import AwsMeter, Listing, ListPrice
from tightrope.clouds.aws.rates import SkippedRates, check_currency, in_force, trimmed, usd_of

LEAST_USD, MOST_USD = Decimal("0.0005"), Decimal(100)
"""No unit of the book's costs less or more (inter-zone traffic 0.01, a million writes 5): a price beyond is an error in the list."""
MOST_UNITS = 10**12
"""No tier begins later."""
Tiers: TypeAlias = dict[Decimal, Decimal]
"""Where a tier begins → US dollars a unit, both as the price book counts."""


def unit_prices(listing: Listing, today: date, skipped: SkippedRates) -> Iterator[UnitPrice]:
    """Yield the unit prices of an offer file, by item and tier; raise ``SourceError`` for another currency, or for no number."""
    by_item: dict[str, list[tuple[AwsMeter, Tiers]]] = defaultdict(list)
    for (sku, _), prices in sorted(_terms(listing, today).items()):
        meter = listing.metered[sku]
        tiers = _tiers(meter, prices, listing.where)
        if isinstance(tiers, str):
            skipped.add(tiers, meter.item)
        elif tiers:
            by_item[meter.item].append((meter, tiers))
    for item, found in sorted(by_item.items()):
        meter, tiers = found[0]
        if any(others != tiers for _, others in found):
            skipped.add("unit price that is said in two ways", item)
            continue
        for above, usd in tiers.items():
            yield UnitPrice("aws", listing.region, item, meter.unit, usd, "list", listing.source, today, above)


def _terms(listing: Listing, today: date) -> dict[tuple[str, str], list[ListPrice]]:
    """Return (SKU, term) → its prices, of the terms that hold today: the newest of each product."""
    newest: dict[str, str] = {}
    metered = [price for price in listing.prices if price.kind == "OnDemand" and price.sku in listing.metered]
    holding = [price for price in metered if in_force(price.effective, today, listing.where)]
    for price in holding:
        newest[price.sku] = max(newest.get(price.sku, ""), price.effective)
    terms: dict[tuple[str, str], list[ListPrice]] = defaultdict(list)
    for price in holding:
        if price.effective == newest[price.sku]:
            terms[price.sku, price.term].append(price)
    return terms


def _tiers(meter: AwsMeter, prices: list[ListPrice], where: str) -> Tiers | str:
    """Return the tiers of one term that cost something, the lowest first, or why they cannot be said."""
    tiers: Tiers = {}
    for price in prices:
        check_currency(price.currency, where)
        if price.unit not in meter.units:
            return f"unit price per {price.unit!r} instead of {' or '.join(sorted(meter.units))}"
        begin, usd = usd_of(price.begin or "0", where) / meter.times, usd_of(price.price, where) * meter.times
        if not 0 <= begin <= MOST_UNITS or begin in tiers or (usd != 0 and not LEAST_USD <= usd <= MOST_USD):
            return "unit price that cannot be"
        tiers[begin] = usd
    if 0 not in tiers:
        return "unit price whose first tier is missing"
    ordered = sorted(tiers.items())
    paid = [(begin, usd) for begin, usd in ordered if usd > 0]
    if paid != ordered[len(ordered) - len(paid) :]:
        return "unit price that cannot be"  # nothing is free again after it has cost
    least = Decimal(meter.free)
    return {trimmed(max(begin, least) if index == 0 else begin): trimmed(usd) for index, (begin, usd) in enumerate(paid)}
