"""The price book: machines and prices of every discovered cloud, as they stood on one day.

Comes in: the clouds of the registry, what was refreshed from the vendors' own lists (``archive.py``), and optionally a user's own
folder of tables. Goes out: a ``PriceBook``. Prices are append-only: the row in force is the newest that was seen by the day asked
for; a user's rows stand before all others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_UP, Decimal
from pathlib import Path

from tightrope.base.catalogue import (
    ANY,
    ON_DEMAND,
    OWNED,
    Catalogue,
    CommitmentRule,
    Discount,
    MachineType,
    PriceRow,
    Stock,
    TokenPrice,
    UnitPrice,
)
from tightrope.base.errors import InputError, UnknownNameError, Where, build_unknown_name_error, find_near_names
from tightrope.base.units import HOURS_PER_YEAR, THOUSANDTH_OF_A_CENT
from tightrope.clouds.book_parts import BookPart, load_parts, machines_of
from tightrope.clouds.service_sizes import SERVICES, find_size, unknown_size
from tightrope.clouds.token_prices import token_price
from tightrope.clouds.validity import (
    Key,
    ZoneKey,
    by_zone,
    discount_key,
    drop,
    in_force,
    newest_tiers,
    price_key,
    tiers_in_force,
    withdraw,
    without_zones,
)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Machines by name, and the prices in force; satisfies ``contracts.Prices``."""

    machine_types: dict[str, MachineType]
    rows: dict[Key, PriceRow]
    """(machine, region, offer) → row in force, of those that are stated for a whole region."""
    unit_tiers: dict[Key, tuple[UnitPrice, ...]]
    """(cloud, region, item) → rows in force, the lowest tier first."""
    zone_rows: dict[Key, tuple[PriceRow, ...]] = field(default_factory=dict)
    """(machine, region, offer) → rows in force that hold in one zone, by zone."""
    discounts: dict[ZoneKey, Discount] = field(default_factory=dict)
    """(cloud, region or ``*``, family or ``*``, offer) → row in force."""
    own_discounts: dict[ZoneKey, Discount] = field(default_factory=dict)
    """Those of the user, which stand before every price but the user's own."""
    own_prices: frozenset[Key] = frozenset()
    """(machine, region, offer) of which the user gave the price."""
    listed: dict[Key, PriceRow] = field(default_factory=dict)
    """(machine, region, offer) → the seller's price, of what the user gave another."""
    commitments: dict[tuple[str, str], CommitmentRule] = field(default_factory=dict)
    """(cloud, offer) → how the seller applies it."""
    withdrawn: frozenset[Key] = frozenset()
    """(machine, region, offer) that the seller's own list no longer holds."""
    as_of: date | None = None
    """The day that the book stands for; None is the newest of everything."""
    stocks: dict[tuple[str, str], Stock] = field(default_factory=dict)
    """(machine, site) → machines of the user's own."""

    def machine(self, name: str, where: Where | None = None) -> MachineType:
        """Return one machine type, or a size of a service; raise ``UnknownNameError`` with near names, the smallest of its family too."""
        if name in self.machine_types:
            return self.machine_types[name]
        if (size := find_size(name)) is not None:
            return size.machine
        raise unknown_size(name, where) or _unknown_machine(name, self.machine_types, where)

    def machines(self, families: Iterable[str] = (), where: Where | None = None) -> tuple[MachineType, ...]:
        """Return the machines of these families or type names, in catalogue order; all where none are named.

        Sizes of services follow where they are named; the name of a service has too many of them to be listed.
        """
        wanted = set(families)
        known = {machine.family for machine in self.machine_types.values()} | set(self.machine_types) | SERVICES.keys()
        sizes = {name: self.machine(name, where) for name in sorted(wanted - known)}
        listed = (m for m in self.machine_types.values() if not wanted or {m.family, m.name} & wanted)
        return (*listed, *sizes.values())

    def find(self, machine: str, region: str, offer: str) -> PriceRow | None:
        """Return the row in force, a derived one where only a discount of the family is known, None where it is not sold so.

        A seller's discount is taken off its list price, the user's own off what the user pays on demand.
        """
        if machine not in self.machine_types:
            return self._of_service(machine, region, offer)
        key = (machine, region, offer)
        own = None if key in self.own_prices else self._own_discounted(key)
        row = own or self.rows.get(key)
        if row is not None or key in self.withdrawn:
            return row
        place = (machine, region, ON_DEMAND)
        return self._derived(key, self.discounts, self.listed.get(place) or self.rows.get(place))

    def _of_service(self, machine: str, region: str, offer: str) -> PriceRow | None:
        """Return what a size of a service costs an hour, None where it is not sold so or the region's unit prices are not known."""
        size = find_size(machine)
        if size is None or size.service.offer != offer:
            return None
        cloud = size.service.cloud
        if any((cloud, region, item) not in self.unit_tiers for item, _ in size.service.items):
            return None
        return size.price(region, lambda item: self.unit_price(cloud, region, item))

    def token_price(self, provider: str, model: str) -> TokenPrice:
        """Return what a provider charges for a model's tokens on the book's day; raise ``UnknownNameError`` with near names."""
        return token_price(provider, model, self.as_of)

    def stock(self, machine: str, site: str) -> Stock | None:
        """Return the machines of one's own at a site; None where there are none."""
        return self.stocks.get((machine, site))

    def _own_discounted(self, key: Key) -> PriceRow | None:
        """Return what a discount of the user's own makes of a price, None where there is none."""
        machine, region, offer = key
        if not self.own_discounts or key in self.withdrawn:
            return None
        base = self.rows.get((machine, region, ON_DEMAND)) if offer == ON_DEMAND else self.find(machine, region, ON_DEMAND)
        return self._derived(key, self.own_discounts, base)

    def _derived(self, key: Key, discounts: Mapping[ZoneKey, Discount], on_demand: PriceRow | None) -> PriceRow | None:
        """Return on-demand less the family's discount, rounded up to a thousandth of a cent."""
        machine, region, offer = key
        if on_demand is None:
            return None
        family = self.machine_types[machine].family
        keys = ((on_demand.cloud, place, kind, offer) for kind in (family, ANY) for place in (region, ANY))
        found = (discounts.get(key) for key in keys)
        discount = next((item for item in found if item is not None), None)
        return None if discount is None else self._less(on_demand, discount)

    def _less(self, on_demand: PriceRow, discount: Discount) -> PriceRow:
        """Return the row that a discount makes of an on-demand row."""
        usd_per_hour = (on_demand.usd_per_hour * (1 - discount.share_off)).quantize(THOUSANDTH_OF_A_CENT, ROUND_UP)
        rule = self.commitments.get((discount.cloud, discount.offer))
        return PriceRow(
            cloud=on_demand.cloud,
            region=on_demand.region,
            machine=on_demand.machine,
            offer=discount.offer,
            usd_per_hour=usd_per_hour,
            zones=on_demand.zones,
            interruptions_per_month=None,
            basis="derived",
            source=f"on-demand less {100 * discount.share_off:f} %: {discount.source}; on-demand: {on_demand.source}",
            seen=min(on_demand.seen, discount.seen),
            upfront_usd=usd_per_hour * HOURS_PER_YEAR * rule.term_years * rule.upfront_share if rule else Decimal(0),
        )

    def offers(self, machine: str, region: str) -> tuple[PriceRow, ...]:
        """Return every way to pay for a machine in a region, on-demand first, then the cheapest first."""
        cloud = self.machine(machine).cloud
        stated = {offer for name, place, offer in self.rows if (name, place) == (machine, region)}
        names = stated | {offer for seller, _, _, offer in (*self.discounts, *self.own_discounts) if seller == cloud}
        found = [row for row in (self.find(machine, region, name) for name in names) if row is not None]
        return tuple(sorted(found, key=lambda row: (row.offer != ON_DEMAND, row.usd_per_hour, row.offer)))

    def zone_prices(self, machine: str, region: str, offer: str) -> tuple[PriceRow, ...]:
        """Return the rows that hold in single zones, by zone; none where prices are known for the whole region only."""
        key = (machine, region, offer)
        return () if self._own_discounted(key) else self.zone_rows.get(key, ())

    def tiers(self, cloud: str, region: str, item: str) -> tuple[UnitPrice, ...]:
        """Return a unit price's tiers, the lowest first; raise ``UnknownNameError`` where the region has no such price."""
        if found := self.unit_tiers.get((cloud, region, item)):
            return found
        self.check_region(cloud, region)
        if self.as_of:
            msg = f"no price of {item} of {cloud} {region} was seen by {self.as_of}"
            raise UnknownNameError(msg, resolve="ask for a later day, or give the price in unit_prices.csv of your own catalogue")
        known = [key[2] for key in self.unit_tiers if key[:2] == (cloud, region)]
        raise build_unknown_name_error(item, kind=f"priced item of {cloud} {region}", known=known)

    def unit_price(self, cloud: str, region: str, item: str) -> UnitPrice:
        """Return the lowest tier that is not free, the most expensive, of an item of ``unit_prices.csv``."""
        tiers = self.tiers(cloud, region, item)
        return next((tier for tier in tiers if tier.usd), tiers[0])

    def commitment(self, cloud: str, offer: str) -> CommitmentRule:
        """Return how a seller applies a commitment; raise ``UnknownNameError`` where it sells no such."""
        if (cloud, offer) not in self.commitments:
            known = [name for seller, name in self.commitments if seller == cloud]
            raise build_unknown_name_error(offer, kind=f"commitment of {cloud}", known=known)
        return self.commitments[cloud, offer]

    @property
    def clouds(self) -> tuple[str, ...]:
        """Names of the clouds that have prices."""
        return tuple(sorted({row.cloud for row in self.rows.values()}))

    def regions(self, cloud: str) -> tuple[str, ...]:
        """Return the regions in which a cloud has prices; raise ``UnknownNameError`` for a cloud without any."""
        if cloud not in self.clouds:
            raise build_unknown_name_error(cloud, kind="cloud", known=self.clouds)
        return tuple(sorted({row.region for row in self.rows.values() if row.cloud == cloud}))

    def check_region(self, cloud: str, region: str, where: Where | None = None) -> None:
        """Raise ``UnknownNameError`` unless the cloud has prices in the region."""
        if cloud not in self.clouds:
            raise build_unknown_name_error(cloud, kind="cloud", known=self.clouds, where=where)
        if region not in self.regions(cloud):
            raise build_unknown_name_error(region, kind=f"{cloud} region", known=self.regions(cloud), where=where)

    def every_price(self) -> Iterator[PriceRow]:
        """Yield every stated price of a machine in force, those of single zones too."""
        yield from self.rows.values()
        for group in self.zone_rows.values():
            yield from group

    def every_row(self) -> Iterator[PriceRow | UnitPrice]:
        """Yield every stated row in force, the unit prices too."""
        yield from self.every_price()
        for tiers in self.unit_tiers.values():
            yield from tiers

    def sources(self, rows: Iterable[PriceRow | UnitPrice]) -> tuple[str, ...]:
        """Return the public sources of ``rows``, each with the newest date it was seen."""
        newest: dict[str, date] = {}
        for row in rows:
            newest[row.source] = max(row.seen, newest.get(row.source, row.seen))
        return tuple(sorted(f"{source} (seen {seen})" for source, seen in newest.items()))


def _unknown_machine(name: str, known: dict[str, MachineType], where: Where | None) -> UnknownNameError:
    """Return the error for a machine that does not exist; a known family answers with its own sizes, the smallest named so."""
    family = [machine for machine in known.values() if machine.family == name.partition(".")[0]]
    if not family:
        return build_unknown_name_error(
            name, kind="machine", known={*known, *(machine.family for machine in known.values())}, where=where
        )
    smallest = min(family, key=lambda machine: (machine.vcpu, machine.memory_gib)).name
    sizes = [machine.name for machine in family]
    near = list(dict.fromkeys([*find_near_names(name, sizes, 2), smallest]))
    named = [f"{size} (the smallest {family[0].family})" if size == smallest else size for size in near]
    msg = f"unknown machine {name!r}: the family {family[0].family} is sold as {', '.join(sizes)}"
    return UnknownNameError(msg, resolve=f"use {' or '.join(named)}", where=where)


def load_price_book(as_of: date | None = None, directory: Path | None = None) -> PriceBook:
    """Return the machines and the prices in force on ``as_of`` (default: the newest) of every discovered cloud.

    ``directory`` is a user's own folder of tables (see ``user_catalogue.py``): its machines replace
    those of the same name, its prices those of the same machine, region and offer (a unit price all tiers of the same item), its
    discounts every price but its own, whatever their dates. Raises ``InputError`` with file, line and remedy.
    """
    return book_of(load_parts(directory, earlier=as_of is not None), as_of)


def book_of(parts: Sequence[BookPart], as_of: date | None = None) -> PriceBook:
    """Return what the catalogues say together of a day; raise ``InputError`` where nothing was seen by then."""
    theirs = [item for part in parts if part.kind != "own" for item in part.catalogues]
    own = next((item for part in parts if part.kind == "own" for item in part.catalogues), Catalogue())
    prices = in_force((row for part in theirs for row in part.prices), as_of, price_key)
    withdrawn = withdraw(prices, (item for part in theirs for item in part.withdrawn), as_of)
    mine = in_force(own.prices, as_of, price_key)
    prices = without_zones(prices, mine)
    withdrawn |= drop(prices, own.withdrawn, as_of)
    listed = {key[:3]: row for key, row in prices.items() if key in mine}
    prices |= mine
    if not prices:
        oldest = min(row.seen for part in [*theirs, own] for row in part.prices)
        msg = f"no price was seen by {as_of}"
        raise InputError(msg, resolve=f"ask for a day from {oldest} on")
    return PriceBook(
        machine_types=machines_of(parts),
        rows={(machine, region, offer): row for (machine, region, offer, zone), row in prices.items() if not zone},
        unit_tiers=newest_tiers([part.unit_prices for part in theirs], as_of) | tiers_in_force(own.unit_prices, as_of),
        zone_rows=by_zone(prices),
        discounts=in_force((row for part in theirs for row in part.discounts), as_of, discount_key),
        own_discounts=in_force(own.discounts, as_of, discount_key),
        own_prices=frozenset(key[:3] for key in mine),
        listed=listed,
        commitments={(rule.cloud, rule.offer): rule for part in [*theirs, own] for rule in part.commitments} | _owning(own),
        withdrawn=withdrawn,
        as_of=as_of,
        stocks={(stock.machine, stock.site): stock for stock in own.stocks if as_of is None or stock.seen <= as_of},
    )


def _owning(own: Catalogue) -> dict[tuple[str, str], CommitmentRule]:
    """Return the rule by which machines of one's own are paid for: one covers itself, and all of it was paid at its start."""
    rules = (
        CommitmentRule(OWNED, OWNED, "machine", 0, Decimal(1), 0, ANY, "", "fixed", item.source, item.seen) for item in own.stocks
    )
    return {(rule.cloud, rule.offer): rule for rule in rules}
