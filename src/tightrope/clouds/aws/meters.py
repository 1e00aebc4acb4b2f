"""Unit prices of storage, traffic, NAT gateways and load balancers from AWS's offer files.

A free tier becomes the lower bound of the next one. An item in an unknown unit, or with two different prices, is left out and
counted: one bad item does not discredit the rest.
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
"""Plausible unit prices (inter-zone traffic costs 0.01, a million writes 5); any other is an error in the list."""
MOST_UNITS = 10**12
"""The highest plausible start of a tier."""
Tiers: TypeAlias = dict[Decimal, Decimal]
"""Start of a tier → US dollars a unit, both in the price book's units."""


def unit_prices(listing: Listing, today: date, skipped: SkippedRates) -> Iterator[UnitPrice]:
    """Yield the unit prices of an offer file, by item and tier; raise ``SourceError`` for another currency or an invalid number."""
    by_item: dict[str, list[tuple[AwsMeter, Tiers]]] = defaultdict(list)
    for (sku, _), prices in sorted(_find_terms(listing, today).items()):
        meter = listing.metered[sku]
        tiers = _parse_tiers(meter, prices, listing.where)
        if isinstance(tiers, str):
            skipped.add(tiers, meter.item)
        elif tiers:
            by_item[meter.item].append((meter, tiers))
    for item, found in sorted(by_item.items()):
        meter, tiers = found[0]
        if any(other_tiers != tiers for _, other_tiers in found):
            skipped.add("unit price with two different values", item)
            continue
        for above, usd in tiers.items():
            yield UnitPrice("aws", listing.region, item, meter.unit, usd, "list", listing.source, today, above)


def _find_terms(listing: Listing, today: date) -> dict[tuple[str, str], list[ListPrice]]:
    """Return (SKU, term) → prices of each product's newest terms in force."""
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


def _parse_tiers(meter: AwsMeter, prices: list[ListPrice], where: str) -> Tiers | str:
    """Return the paid tiers of one term, the lowest first, or the reason why they are invalid."""
    tiers: Tiers = {}
    for price in prices:
        check_currency(price.currency, where)
        if price.unit not in meter.units:
            return f"unit price per {price.unit!r} instead of {' or '.join(sorted(meter.units))}"
        begin, usd = usd_of(price.begin or "0", where) / meter.times, usd_of(price.price, where) * meter.times
        if not 0 <= begin <= MOST_UNITS or begin in tiers or (usd != 0 and not LEAST_USD <= usd <= MOST_USD):
            return "implausible unit price"
        tiers[begin] = usd
    if 0 not in tiers:
        return "unit price whose first tier is missing"
    ordered = sorted(tiers.items())
    paid = [(begin, usd) for begin, usd in ordered if usd > 0]
    if paid != ordered[len(ordered) - len(paid) :]:
        return "implausible unit price"  # no tier is free above a paid one
    least = Decimal(meter.free)
    return {trimmed(max(begin, least) if index == 0 else begin): trimmed(usd) for index, (begin, usd) in enumerate(paid)}
