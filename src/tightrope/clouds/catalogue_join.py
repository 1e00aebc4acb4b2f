"""Compares what a vendor lists today with the book, and joins it to what was refreshed before. Pure functions of catalogues.

Append-only: a price that changed gets a dated successor and stays as an earlier one; one that did not keeps its first sighting and
its latest; one that its vendor no longer lists is withdrawn. Spot prices move by the hour: of those older than a month, the first
of each week stays.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import chain

from tightrope.base.catalogue import ON_DEMAND, SPOT, Catalogue, MachineType, PriceRow, UnitPrice, Withdrawal
from tightrope.base.errors import SourceError
from tightrope.clouds.book import PriceBook
from tightrope.clouds.validity import Dated, ZoneKey, discount_key, price_key, unit_key

SHRUNKEN = 0.2
"""More than this share of an offer's machines gone (and more than one) is no change of a price list, but a broken one."""
JUMP = {ON_DEMAND: 4, SPOT: 10}
"""A price that changes by more than this factor is more likely an error of units; commitments as on-demand. The largest cut known
is 1.8-fold: p5.48xlarge, 98.32 to 55.04 dollars an hour in June 2025."""
WHOLE_SPOT_HISTORY = timedelta(days=31)
NAMED = 4


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A price that is not what the book said."""

    what: str
    """The machine type, or the item of ``unit_prices.csv``."""
    region: str
    offer: str
    """The offer, or the unit."""
    part: str
    """The zone, or the units a month beyond which it holds; empty for all."""
    old_usd: Decimal | None
    """Dollars an hour, or a unit; None where the book had no such price."""
    new_usd: Decimal

    @property
    def factor(self) -> Decimal:
        """By what factor the price went up or down, at least 1."""
        old_usd = self.old_usd or self.new_usd
        return max(old_usd / self.new_usd, self.new_usd / old_usd)


@dataclass(frozen=True, slots=True)
class CatalogueComparison:
    """What a vendor lists today beside what the book has."""

    prices: tuple[PriceRow, ...]
    """The new rows, with what the list does not tell (zones, interruptions) as the book has it."""
    changes: tuple[PriceChange, ...]
    """Of unit prices too."""
    unchanged: int
    withdrawn: tuple[Withdrawal, ...]
    covered: frozenset[tuple[str, str]]
    """(region, offer) that the list tells of."""

    @property
    def added(self) -> tuple[PriceChange, ...]:
        """Prices that the book did not have."""
        return tuple(change for change in self.changes if change.old_usd is None)

    @property
    def moved(self) -> tuple[PriceChange, ...]:
        """Prices that are others now, the largest relative change first."""
        both = [change for change in self.changes if change.old_usd is not None]
        return tuple(sorted(both, key=lambda change: change.factor, reverse=True))


def compare(book: PriceBook, listed: Catalogue, cloud: str, today: date) -> CatalogueComparison:
    """Return what changes with the list of one cloud."""
    source = f"no longer in the price lists of {cloud}"
    known = {price_key(row): row for row in book.every_price() if row.cloud == cloud}
    prices = tuple(_completed(row, known.get(price_key(row))) for row in listed.prices)
    here = {price_key(row): row for row in prices}
    covered = frozenset((row.region, row.offer) for row in prices)
    gone = tuple(
        Withdrawal(cloud, region, machine, offer, source, today, zone)
        for machine, region, offer, zone in sorted(_gone(book, known, here, covered, cloud))
    )
    changes = [*_price_changes(book, known, prices), *_unit_changes(book, listed.unit_prices)]
    unchanged = len(prices) + len(listed.unit_prices) - len(changes)
    return CatalogueComparison(prices, tuple(changes), unchanged, gone, covered)


def _price_changes(book: PriceBook, known: Mapping[ZoneKey, PriceRow], prices: Iterable[PriceRow]) -> Iterator[PriceChange]:
    """Yield the prices of machines that the book does not have so."""
    for row in prices:
        old = known.get(price_key(row)) if row.zone else book.find(row.machine, row.region, row.offer)
        if old is None or old.usd_per_hour != row.usd_per_hour:
            yield PriceChange(row.machine, row.region, row.offer, row.zone, old.usd_per_hour if old else None, row.usd_per_hour)


def _unit_changes(book: PriceBook, unit_prices: Iterable[UnitPrice]) -> Iterator[PriceChange]:
    """Yield the tiers of unit prices that the book does not have so."""
    for row in unit_prices:
        tiers = {tier.above: tier.usd for tier in book.unit_tiers.get(unit_key(row), ()) if tier.usd}
        if tiers.get(row.above) != row.usd:
            part = f"above {row.above:,f}" if row.above else ""
            yield PriceChange(row.item, row.region, f"a {row.unit}", part, tiers.get(row.above), row.usd)


def _completed(row: PriceRow, old: PriceRow | None) -> PriceRow:
    """Return a row with the zones and the interruptions that the book knows, where the list does not tell them."""
    if old is None or (row.zones and row.interruptions_per_month is not None):
        return row
    band = old.interruptions_per_month if row.interruptions_per_month is None else row.interruptions_per_month
    return replace(row, zones=row.zones or old.zones, interruptions_per_month=band)


def _gone(
    book: PriceBook,
    known: dict[ZoneKey, PriceRow],
    here: dict[ZoneKey, PriceRow],
    covered: frozenset[tuple[str, str]],
    cloud: str,
) -> set[ZoneKey]:
    """Return what the book has (or derives) and a list that tells of its region and offer does not."""
    zoned = {key[:3] for key in here if key[3]}
    machines = [machine.name for machine in book.machine_types.values() if machine.cloud == cloud]
    whole = {
        (machine, region, offer, "")
        for region, offer in covered
        for machine in machines
        if (machine, region, offer, "") not in here and book.find(machine, region, offer) is not None
    }
    single = {key for key in known if key[3] and key not in here and (key[:3] in zoned or (*key[:3], "") in whole)}
    return whole | single


# ------------------------------------------------------------------------------------------------------------------ doubts


@dataclass(frozen=True, slots=True)
class PriceDoubt:
    """What looks wrong in a list."""

    said: str
    place: tuple[str, str] | None = None
    """(region, offer) of which a list tells too little."""


def doubts(
    book: PriceBook, before: Catalogue, found: CatalogueComparison, regions: Sequence[str], cloud: str
) -> Iterator[PriceDoubt]:
    """Yield what looks wrong in a list: empty, shrunken, or with prices that no vendor would change so."""
    here: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in found.prices:
        here[row.region, row.offer].add(row.machine)
    yield from (
        PriceDoubt(f"{region}: no on-demand price", (region, ON_DEMAND)) for region in regions if not here[region, ON_DEMAND]
    )
    for place, machines in sorted(_had(book, before, found.covered, regions, cloud).items()):
        missing = sorted(machines - here[place])
        if len(missing) > max(1, SHRUNKEN * len(machines)) or not here[place]:
            more = " …" if len(missing) > NAMED else ""
            left = f"{len(machines) - len(missing)} of the {len(machines)} machines known are left"
            yield PriceDoubt(f"{' '.join(place)}: {left}, without {', '.join(missing[:NAMED])}{more}", place)
    for change in found.moved:
        if change.factor > JUMP.get(change.offer, JUMP[ON_DEMAND]):
            said = " ".join(filter(None, (change.region, change.what, change.offer, change.part)))
            yield PriceDoubt(f"{said}: ${change.old_usd:f} became ${change.new_usd:f}")


def _had(
    book: PriceBook, before: Catalogue, covered: frozenset[tuple[str, str]], regions: Sequence[str], cloud: str
) -> dict[tuple[str, str], set[str]]:
    """Return (region, offer) → the machines that a list should have: what an earlier one had, and what the book states.

    Of an offer that a list does not tell of at all only an earlier list is a reason to expect it: not every way to fetch tells all.
    """
    had: dict[tuple[str, str], set[str]] = defaultdict(set)
    stated = (
        row for row in book.rows.values() if row.cloud == cloud and (row.offer == ON_DEMAND or (row.region, row.offer) in covered)
    )
    for row in chain(before.prices, stated):
        if row.region in regions:
            had[row.region, row.offer].add(row.machine)
    return had


def doubted(found: Sequence[PriceDoubt], cloud: str) -> SourceError:
    """Return the error for lists that look wrong, with the first few reasons."""
    shown = "; ".join(doubt.said for doubt in found[:NAMED]) + (f"; and {len(found) - NAMED} more" if len(found) > NAMED else "")
    msg = f"the price lists of {cloud} look wrong, nothing was changed: {shown}"
    resolve = (
        "look at the vendor's own pages; if they are right, run it again with --accept, which keeps what is missing, "
        "or with --accept --withdraw where it is really no longer sold"
    )
    return SourceError(msg, resolve=resolve)


# -------------------------------------------------------------------------------------------------------------------- join


def joined(
    now: Catalogue,
    earlier: Catalogue,
    listed: Catalogue,
    found: CatalogueComparison,
    today: date,
    machines: Iterable[MachineType] = (),
) -> tuple[Catalogue, Catalogue]:
    """Return what stands after a refresh, and what it and those before it have replaced.

    What was seen on the same day by an earlier refresh is not kept beside what this one says. ``machines`` are those of the book: what
    has a price is described beside it, so that the prices outlive a package that no longer describes it.
    """
    left_on: dict[Hashable, date] = {price_key(item): item.seen for item in now.withdrawn}
    prices, old_prices = _succeeded(now.prices, earlier.prices, found.prices, price_key, today, left_on)
    gone = {price_key(item) for item in found.withdrawn}
    left = [row for row in prices if price_key(row) not in gone]
    old_prices += [row for row in prices if price_key(row) in gone and row.seen < today]
    units, old_units = _succeeded(now.unit_prices, earlier.unit_prices, listed.unit_prices, unit_key, today)
    discounts, old_discounts = _succeeded(now.discounts, earlier.discounts, listed.discounts, discount_key, today)
    known = {machine.name: machine for machine in [*machines, *now.machines, *listed.machines]}
    priced = {row.machine for row in chain(left, old_prices)}
    rules = {rule.offer: rule for rule in [*now.commitments, *listed.commitments]}
    back = {price_key(row) for row in found.prices}
    withdrawn = [item for item in now.withdrawn if item.seen < today or price_key(item) not in back]
    standing = Catalogue(
        tuple(machine for name, machine in known.items() if name in priced),
        tuple(left),
        tuple(units),
        tuple(discounts),
        tuple(rules.values()),
        tuple(withdrawn) + found.withdrawn,
    )
    thinned = tuple(_thinned(old_prices, today))
    return standing, Catalogue(prices=thinned, unit_prices=tuple(old_units), discounts=tuple(old_discounts))


def _succeeded(
    now: Iterable[Dated],
    earlier: Iterable[Dated],
    listed: Iterable[Dated],
    key: Callable[[Dated], Hashable],
    today: date,
    left_on: Mapping[Hashable, date] = {},
) -> tuple[list[Dated], list[Dated]]:
    """Return key by key what stands now (all tiers of a unit price together), and what stood before: each change once."""
    history = list(earlier)
    standing, last = _by_key(now, key), _by_key(history, key)
    for place, rows in _by_key(listed, key).items():
        old = standing.get(place, [])
        if old and old[0].seen < today and not _held(last.get(place, []), old, left_on.get(place)):
            history += old
        standing[place] = rows
    return list(chain.from_iterable(standing.values())), history


def _by_key(rows: Iterable[Dated], key: Callable[[Dated], Hashable]) -> dict[Hashable, list[Dated]]:
    """Return key → its rows of the newest day, in their order."""
    found: dict[Hashable, list[Dated]] = {}
    for row in rows:
        group = found.setdefault(key(row), [row])
        if group[0].seen < row.seen:
            found[key(row)] = [row]
        elif group[0].seen == row.seen and group[0] is not row:
            group.append(row)
    return found


def _held(before: list[Dated], old: list[Dated], left_on: date | None) -> bool:
    """Return whether earlier rows say already what ``old`` says, and it did not leave the list in between."""
    same = len(before) == len(old) and all(map(_same, before, old))
    return same and (left_on is None or left_on <= before[0].seen)


def _same(one: Dated, other: Dated) -> bool:
    """Return whether two rows say the same, whenever and wherever it was read."""
    return replace(one, seen=other.seen, source=other.source) == other


def _thinned(rows: Iterable[PriceRow], today: date) -> Iterator[PriceRow]:
    """Yield the rows but of spot prices older than a month only the first of each week."""
    taken: set[tuple[ZoneKey, int]] = set()
    for row in rows:
        week = (price_key(row), row.seen.toordinal() // 7)
        if row.offer != SPOT or row.seen > today - WHOLE_SPOT_HISTORY or week not in taken:
            taken.add(week)
            yield row
