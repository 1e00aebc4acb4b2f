"""What Google's price list calls the parts of a machine, and what a machine is made of.

A machine has no price of its own: it is vCPUs, GiB of memory, accelerators and, for some, local SSD, each with a price per region
and way of paying, told apart by its description only (``Spot Preemptible G2 Instance Core running in Iowa``). ``series.csv`` names
the parts of each series as they stand in on-demand and in commitment descriptions, alternatives with ``|`` between; a name must
match whole, so reserved, custom, sole-tenant, calendar-mode and flex-start (DWS) parts are never taken for the plain ones.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

from tightrope.base.catalogue import ON_DEMAND, SPOT, MachineType

LOCAL_SSD = "local SSD"
UNITS = {"core": "h", "memory": "GiBy.h", "accelerator": "h", LOCAL_SSD: "GiBy.mo"}
"""Part → the unit that its price must be for."""
COMMITMENTS = {"1 Year": "resource-commitment-1y", "3 Year": "resource-commitment-3y", "3 Years": "resource-commitment-3y"}
OFFERS = (ON_DEMAND, SPOT, "resource-commitment-1y", "resource-commitment-3y")
PLACE = r"(?:(?! in ).)+"
USAGE = re.compile(
    rf"(?P<spot>Spot Preemptible )?(?P<name>.+?)(?P<attached> attached to Spot Preemptible VMs)?(?: (?:running )?in {PLACE})?"
)
COMMITTED = re.compile(rf"Commitment(?: v1)?: (?P<name>.+?)(?: running)? [iI]n {PLACE} for (?P<term>1 Year|3 Years?)")
STRANGER = re.compile(rf"(?P<name>\S+(?: \S+)?) Instance Core running in {PLACE}")
"""The cores of a whole series."""


@dataclass(frozen=True, slots=True)
class SkuMeaning:
    """What a description says: a part by its name, and the way of paying."""

    name: str
    offer: str

    @property
    def committed(self) -> bool:
        """Whether the name is that of a commitment."""
        return self.offer not in {ON_DEMAND, SPOT}


@dataclass(frozen=True, slots=True)
class SeriesPart:
    """A part of the machines of a series, by the names that it may have; without ``committed`` it has no commitment."""

    kind: str
    names: tuple[str, ...]
    committed: tuple[str, ...]

    def called(self, offer: str) -> tuple[str, ...]:
        """Return its names under an offer."""
        return self.names if offer in {ON_DEMAND, SPOT} else self.committed


@dataclass(frozen=True, slots=True)
class MachineSeries:
    """Machines of one kind: their parts, without local SSD where none comes with them."""

    name: str
    parts: tuple[SeriesPart, ...]
    local_ssd_gib_per_accelerator: int

    def quantities(self, machine: MachineType) -> Iterator[tuple[SeriesPart, Decimal]]:
        """Yield each part of a machine and how much of it: vCPUs, GiB, pieces."""
        has = {
            "core": Decimal(machine.vcpu),
            "memory": Decimal(str(machine.memory_gib)),
            "accelerator": Decimal(machine.accelerators),
            LOCAL_SSD: Decimal(machine.accelerators * self.local_ssd_gib_per_accelerator),
        }
        yield from ((part, has[part.kind]) for part in self.parts)


def read_description(description: str) -> SkuMeaning | None:
    """Return what a description says, None for a commitment of another kind.

    >>> read_description("Nvidia L4 GPU attached to Spot Preemptible VMs running in Iowa")
    SkuMeaning(name='Nvidia L4 GPU', offer='spot')
    >>> read_description("Commitment v1: G2 Cpu in Iowa for 3 Years")
    SkuMeaning(name='G2 Cpu', offer='resource-commitment-3y')
    """
    if description.startswith("Commitment"):
        found = COMMITTED.fullmatch(description)
        return SkuMeaning(found["name"], COMMITMENTS[found["term"]]) if found else None
    found = USAGE.fullmatch(description)
    if not found or (found["spot"] and found["attached"]):
        return None
    return SkuMeaning(found["name"], SPOT if found["spot"] or found["attached"] else ON_DEMAND)


def stranger(description: str) -> str | None:
    """Return the series of which a description sells plain cores, None for anything else.

    >>> stranger("M4 Instance Core running in Iowa"), stranger("N2 Custom Instance Core running in Iowa")
    ('M4', None)
    """
    found = STRANGER.fullmatch(description)
    odd = {"Custom", "Sole", "Tenancy", "Preemptible", "DWS", "Reserved"}
    return found["name"] if found and not odd & set(found["name"].split()) else None


@cache
def every_series() -> tuple[MachineSeries, ...]:
    """Return the series of ``series.csv``."""
    with Path(__file__).with_name("series.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_series(row) for row in csv.DictReader(file))


def _series(row: Mapping[str, str]) -> MachineSeries:
    """Return one row of ``series.csv``."""
    ssd_gib = int(row["local_ssd_gib_per_accelerator"])
    named = [SeriesPart(kind, _names(row[kind]), _names(row[f"{kind}_committed"])) for kind in UNITS if kind != LOCAL_SSD]
    ssd = [SeriesPart(LOCAL_SSD, ("SSD backed Local Storage",), ("Local SSD",))] if ssd_gib else []
    return MachineSeries(row["series"], tuple(part for part in [*named, *ssd] if part.names), ssd_gib)


def _names(cell: str) -> tuple[str, ...]:
    """Return the alternatives of a cell."""
    return tuple(name for name in cell.split("|") if name)


def series_of(machine: str) -> MachineSeries | None:
    """Return the series of a machine by its name, None where ``series.csv`` has none."""
    return next((series for series in every_series() if machine.startswith(series.name + "-")), None)


@cache
def kinds() -> Mapping[tuple[str, bool], str]:
    """Return (name, whether of a commitment) → kind of part."""
    parts = [part for series in every_series() for part in series.parts]
    return {
        (name, committed): part.kind
        for part in parts
        for committed in (False, True)
        for name in (part.committed if committed else part.names)
    }
