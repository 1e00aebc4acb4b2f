"""The price book: machines and prices of every discovered cloud, as they stood on one day.

Comes in: the clouds of the registry, and optionally a user's own folder of tables. Goes out: a ``PriceBook``. Prices are
append-only: the row in force is the newest that was seen by the day asked for; a user's rows stand before those that ship.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeAlias, TypeVar

from tightrope.base import registry
from tightrope.base.errors import InputError, UnknownNameError, Where, near_names, unknown_name
from tightrope.base.records import MachineType, PriceRow, UnitPrice
from tightrope.clouds.rows import Catalogue, load_catalogue

Key: TypeAlias = tuple[str, str, str]
Dated = TypeVar("Dated", PriceRow, UnitPrice)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Machines by name, and the prices in force; satisfies ``contracts.Prices``."""

    machine_types: dict[str, MachineType]
    rows: dict[Key, PriceRow]
    """(machine, region, offer) → row in force."""
    unit_rows: dict[Key, UnitPrice]
    """(cloud, region, item) → row in force."""

    def machine(self, name: str, where: Where | None = None) -> MachineType:
        """Return one machine type; raise ``UnknownNameError`` with near names, the smallest of its family among them."""
        if name not in self.machine_types:
            raise _unknown_machine(name, self.machine_types, where)
        return self.machine_types[name]

    def machines(self, families: Iterable[str] = (), where: Where | None = None) -> tuple[MachineType, ...]:
        """Return the machines of these families or type names, in catalogue order; all where none are named."""
        wanted = set(families)
        known = {machine.family for machine in self.machine_types.values()} | set(self.machine_types)
        for name in sorted(wanted - known):
            raise _unknown_machine(name, self.machine_types, where)
        return tuple(m for m in self.machine_types.values() if not wanted or {m.family, m.name} & wanted)

    def find(self, machine: str, region: str, offer: str) -> PriceRow | None:
        """Return the row in force, None where it is not sold so."""
        return self.rows.get((machine, region, offer))

    def unit_price(self, cloud: str, region: str, item: str) -> UnitPrice:
        """Return the price of ``internet-egress``, ``inter-zone-transfer``, ``object-storage`` or ``block-storage``."""
        self.check_region(cloud, region)
        if (cloud, region, item) not in self.unit_rows:
            known = [key[2] for key in self.unit_rows if key[:2] == (cloud, region)]
            raise unknown_name(item, kind=f"priced item of {cloud} {region}", known=known)
        return self.unit_rows[cloud, region, item]

    @property
    def clouds(self) -> tuple[str, ...]:
        """Names of the clouds that have prices."""
        return tuple(sorted({row.cloud for row in self.rows.values()}))

    def regions(self, cloud: str) -> tuple[str, ...]:
        """Return the regions in which a cloud has prices; raise ``UnknownNameError`` for a cloud without any."""
        if cloud not in self.clouds:
            raise unknown_name(cloud, kind="cloud", known=self.clouds)
        return tuple(sorted({row.region for row in self.rows.values() if row.cloud == cloud}))

    def check_region(self, cloud: str, region: str, where: Where | None = None) -> None:
        """Raise ``UnknownNameError`` unless the cloud has prices in the region."""
        if cloud not in self.clouds:
            raise unknown_name(cloud, kind="cloud", known=self.clouds, where=where)
        if region not in self.regions(cloud):
            raise unknown_name(region, kind=f"{cloud} region", known=self.regions(cloud), where=where)

    @property
    def newest_seen(self) -> date:
        """Date of the newest price in force."""
        return max(row.seen for row in self.rows.values())

    def sources(self, rows: Iterable[PriceRow | UnitPrice] | None = None) -> tuple[str, ...]:
        """Return the public sources of ``rows`` (all in force by default), each with the newest date it was seen."""
        newest: dict[str, date] = {}
        for row in [*self.rows.values(), *self.unit_rows.values()] if rows is None else rows:
            newest[row.source] = max(row.seen, newest.get(row.source, row.seen))
        return tuple(sorted(f"{source} (seen {seen})" for source, seen in newest.items()))


def _unknown_machine(name: str, known: dict[str, MachineType], where: Where | None) -> UnknownNameError:
    """Return the error for a machine that does not exist; a known family answers with its own sizes, the smallest named so."""
    family = [machine for machine in known.values() if machine.family == name.partition(".")[0]]
    if not family:
        return unknown_name(name, kind="machine", known={*known, *(machine.family for machine in known.values())}, where=where)
    smallest = min(family, key=lambda machine: (machine.vcpu, machine.memory_gib)).name
    sizes = [machine.name for machine in family]
    near = list(dict.fromkeys([*near_names(name, sizes, 2), smallest]))
    named = [f"{size} (the smallest {family[0].family})" if size == smallest else size for size in near]
    msg = f"unknown machine {name!r}: the family {family[0].family} is sold as {', '.join(sizes)}"
    return UnknownNameError(msg, resolve=f"use {' or '.join(named)}", where=where)


def _in_force(rows: Iterable[Dated], as_of: date | None, key: Callable[[Dated], Key]) -> dict[Key, Dated]:
    """Return key → the newest row seen by ``as_of``."""
    return {key(row): row for row in sorted(rows, key=lambda row: row.seen) if as_of is None or row.seen <= as_of}


def _price_key(row: PriceRow) -> Key:
    """Return what a price is asked for by."""
    return row.machine, row.region, row.offer


def _unit_key(row: UnitPrice) -> Key:
    """Return what a unit price is asked for by."""
    return row.cloud, row.region, row.item


def _by_name(machines: Iterable[MachineType]) -> dict[str, MachineType]:
    """Return name → machine; two sellers of one name are an error, since prices are found by name."""
    found: dict[str, MachineType] = {}
    for machine in machines:
        if machine.name in found:
            msg = f"the clouds {found[machine.name].cloud!r} and {machine.cloud!r} both sell a machine called {machine.name!r}"
            raise InputError(msg, resolve="rename the machine in one of the catalogues")
        found[machine.name] = machine
    return found


def load_price_book(as_of: date | None = None, directory: Path | None = None) -> PriceBook:
    """Return the machines and the prices in force on ``as_of`` (default: the newest) of every discovered cloud.

    ``directory`` is a user's own folder of tables (see ``rows.py``): its machines replace those of the same name, its prices
    those of the same machine, region and offer, whatever their dates. Raises ``InputError`` with file, line and remedy.
    """
    clouds = registry.clouds().values()
    machines = _by_name(machine for cloud in clouds for machine in cloud.machines())
    own = load_catalogue(directory, machines) if directory else Catalogue((), (), ())
    prices = [row for cloud in clouds for row in cloud.prices()]
    unit_prices = [row for cloud in clouds for row in cloud.unit_prices()]
    rows = _in_force(prices, as_of, _price_key) | _in_force(own.prices, as_of, _price_key)
    if not rows:
        oldest = min(row.seen for row in [*prices, *own.prices])
        msg = f"no price was seen by {as_of}"
        raise InputError(msg, resolve=f"ask for a day from {oldest} on")
    return PriceBook(
        machine_types=machines | {machine.name: machine for machine in own.machines},
        rows=rows,
        unit_rows=_in_force(unit_prices, as_of, _unit_key) | _in_force(own.unit_prices, as_of, _unit_key),
    )
