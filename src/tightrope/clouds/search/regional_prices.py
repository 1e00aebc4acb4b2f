"""The price of a machine in a region, whether it is stated for the region or for its zones."""

from collections.abc import Iterator
from dataclasses import replace

from tightrope.base.catalogue import PriceRow
from tightrope.clouds.book import PriceBook
from tightrope.clouds.search.name_matching import in_order


def regional(book: PriceBook, machine: str, region: str, offer: str) -> PriceRow | None:
    """Return a region's price under an offer, that of its most expensive zone where only zones have one; None where it is not sold so."""
    row = book.find(machine, region, offer)
    zones = book.zone_prices(machine, region, offer) if row is None else ()
    return replace(max(zones, key=lambda zone: zone.usd_per_hour), zone="", zones=len(zones)) if zones else row


def ways_to_pay(book: PriceBook, machine: str, region: str) -> tuple[PriceRow, ...]:
    """Return a region's price under every offer: on-demand, the cheapest first, then what is priced in zones only."""
    whole = book.offers(machine, region)
    zoned = {offer for name, place, offer in book.zone_rows if (name, place) == (machine, region)}
    rest = (regional(book, machine, region, offer) for offer in in_order(zoned - {row.offer for row in whole}))
    return (*whole, *(row for row in rest if row is not None))


def sold(book: PriceBook) -> Iterator[tuple[str, str]]:
    """Yield each machine and region that has a price, by name."""
    yield from sorted({(machine, region) for machine, region, _ in (*book.rows, *book.zone_rows)})
