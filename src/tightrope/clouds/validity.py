"""Which rows hold on a day: pure functions of rows of all dates, shared by the book, a user's folder and refreshing."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import TypeAlias, TypeVar

from tightrope.base.catalogue import Discount, PriceRow, UnitPrice, Withdrawal

Key: TypeAlias = tuple[str, str, str]
ZoneKey: TypeAlias = tuple[str, str, str, str]
Dated = TypeVar("Dated", PriceRow, UnitPrice, Discount)
Found = TypeVar("Found", bound=tuple[str, ...])


def price_key(row: PriceRow | Withdrawal) -> ZoneKey:
    """Return what a price is asked for by."""
    return row.machine, row.region, row.offer, row.zone


def unit_key(row: UnitPrice) -> Key:
    """Return what a unit price, with all its tiers, is asked for by."""
    return row.cloud, row.region, row.item


def discount_key(row: Discount) -> ZoneKey:
    """Return what a discount is asked for by."""
    return row.cloud, row.region, row.family, row.offer


def in_force(rows: Iterable[Dated], as_of: date | None, key: Callable[[Dated], Found]) -> dict[Found, Dated]:
    """Return key → the newest row seen by ``as_of``, the last of those seen on one day."""
    found: dict[Found, Dated] = {}
    for row in rows:
        if as_of is None or row.seen <= as_of:
            place = key(row)
            old = found.get(place)
            if old is None or old.seen <= row.seen:
                found[place] = row
    return found


def withdraw(prices: dict[ZoneKey, PriceRow], withdrawn: Iterable[Withdrawal], as_of: date | None) -> frozenset[Key]:
    """Take out of ``prices`` what its seller no longer lists, a region with its zones, and return it (of whole regions)."""
    gone: dict[Key, date] = {}
    for item in withdrawn:
        row = prices.get(price_key(item))
        if (as_of is None or item.seen <= as_of) and (row is None or row.seen < item.seen):
            prices.pop(price_key(item), None)
            if not item.zone:
                gone[item.machine, item.region, item.offer] = item.seen
    for key in [key for key, row in prices.items() if key[3] and row.seen < gone.get(key[:3], date.min)]:
        del prices[key]
    return frozenset(gone)


def drop(prices: dict[ZoneKey, PriceRow], withdrawn: Iterable[Withdrawal], as_of: date | None) -> frozenset[Key]:
    """Take out of ``prices`` what the user says is not sold, whenever it was seen, and return it (of whole regions)."""
    gone = {price_key(item) for item in withdrawn if as_of is None or item.seen <= as_of}
    whole = frozenset(key[:3] for key in gone if not key[3])
    for key in [key for key in prices if key in gone or key[:3] in whole]:
        del prices[key]
    return whole


def by_zone(prices: dict[ZoneKey, PriceRow]) -> dict[Key, tuple[PriceRow, ...]]:
    """Return (machine, region, offer) → the rows of single zones, by zone."""
    zoned = sorted(((key, row) for key, row in prices.items() if key[3]), key=lambda item: item[0])
    return {key: tuple(row for _, row in group) for key, group in groupby(zoned, key=lambda item: item[0][:3])}


def without_zones(prices: dict[ZoneKey, PriceRow], mine: Mapping[ZoneKey, PriceRow]) -> dict[ZoneKey, PriceRow]:
    """Return prices without those of the single zones of what has one of the user's own."""
    own = {key[:3] for key in mine}
    return {key: row for key, row in prices.items() if not key[3] or key[:3] not in own} if own else prices


def tiers_in_force(unit_prices: Iterable[UnitPrice], as_of: date | None) -> dict[Key, tuple[UnitPrice, ...]]:
    """Return (cloud, region, item) → its tiers in force, the lowest first: those of one day, for they change together."""
    days: dict[Key, dict[date, dict[Decimal, UnitPrice]]] = defaultdict(lambda: defaultdict(dict))
    for row in unit_prices:
        if as_of is None or row.seen <= as_of:
            days[unit_key(row)][row.seen][row.above] = row
    return {key: tuple(sorted(found[max(found)].values(), key=lambda row: row.above)) for key, found in days.items()}


def newest_tiers(parts: Iterable[Iterable[UnitPrice]], as_of: date | None) -> dict[Key, tuple[UnitPrice, ...]]:
    """Return (cloud, region, item) → its tiers in force, of the catalogue that saw them last; the later one where two did that day."""
    found: dict[Key, tuple[UnitPrice, ...]] = {}
    for part in parts:
        for key, tiers in tiers_in_force(part, as_of).items():
            if key not in found or found[key][0].seen <= tiers[0].seen:
                found[key] = tiers
    return found
