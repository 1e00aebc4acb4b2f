"""Fetches Google's price list of Compute Engine and Cloud TPU, and adds up machines from their parts.

The list is the **Cloud Billing Catalog v1**; an endpoint that ends in ``/v2beta`` (``https://cloudbilling.googleapis.com/v2beta``)
asks for the newer **Pricing API** instead, which tells the same. The list has no machine types: those that the book knows are
priced, others are not found. A machine of which one part has no price gets no price. Google lists prices of types in regions that
do not offer them, so in a region that the book has, only what it has there is priced.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_UP, Decimal

from tightrope.base.catalogue import ON_DEMAND, Catalogue, MachineType, PriceRow
from tightrope.clouds.downloads import Fetcher
from tightrope.clouds.gcp import CLOUD
from tightrope.clouds.gcp.auth import headers_for
from tightrope.clouds.gcp.lists import HOST, NANO, READERS, PartPrices
from tightrope.clouds.gcp.skus import LOCAL_SSD, OFFERS, series_of
from tightrope.clouds.refresh import RefreshQuery

NEWER = "/v2beta"
HOURS_PER_MONTH = 730
SOURCE = "Google Cloud Billing Catalog, Compute Engine: the sum of the list prices of vCPUs, memory, accelerators and local SSD"
NAMED = 3


def fetch(ask: RefreshQuery, fetcher: Fetcher) -> Catalogue:
    """Return on-demand, spot and resource-commitment prices of the machines asked for, as Google lists them.

    Raises
    ------
    MissingExtraError
        Google's library, which finds the credentials, is not installed.
    SourceError
        There are no credentials, or the list cannot be had or has another shape than known.

    """
    endpoint = ask.endpoint.rstrip("/")
    version = "v2beta" if endpoint.endswith(NEWER) else "v1"
    ask = replace(ask, endpoint=endpoint.removesuffix(NEWER))
    rates = READERS[version](ask, fetcher, headers_for(ask.at(HOST + "/")))
    adding = MachineSums(rates)
    rows = tuple(adding.rows(ask))
    for note in adding.notes(ask):
        fetcher.note(note)
    return Catalogue(prices=rows)


@dataclass
class MachineSums:
    """Adds up machines from the prices of their parts."""

    rates: PartPrices
    lacking: Counter[str] = field(default_factory=Counter)
    """Part that has no price where others of the machine do → prices left out."""
    not_offered: int = 0
    """Prices of machines in regions that do not offer them, as far as the book knows."""
    not_cheaper: int = 0
    """Prices of another way of paying that are not below the on-demand price."""

    def rows(self, ask: RefreshQuery) -> Iterator[PriceRow]:
        """Yield the rows of every machine and region asked for."""
        offered = {(row.region, row.machine) for row in CLOUD.catalogue().prices}
        regions = {region for region, _ in offered}
        for name, machine in sorted(ask.machines.items()):
            for region in ask.regions:
                prices = self._prices(machine, region)
                if region in regions and (region, name) not in offered:
                    self.not_offered += len(prices)
                else:
                    yield from (_row(name, region, offer, usd, ask) for offer, usd in prices.items())

    def _prices(self, machine: MachineType, region: str) -> Mapping[str, Decimal]:
        """Return offer → dollars an hour; what is not cheaper than on-demand is left out."""
        sums = ((offer, self._sum(machine, region, offer)) for offer in OFFERS)
        prices = {offer: usd for offer, usd in sums if usd is not None}
        on_demand = prices.get(ON_DEMAND)
        dear = [offer for offer, usd in prices.items() if offer != ON_DEMAND and on_demand is not None and usd >= on_demand]
        self.not_cheaper += len(dear)
        return {offer: usd for offer, usd in prices.items() if offer not in dear}

    def _sum(self, machine: MachineType, region: str, offer: str) -> Decimal | None:
        """Return what all parts of a machine cost for an hour, None unless each has a price."""
        series = series_of(machine.name)
        if series is None:
            return None
        total, missing, parts = Decimal(0), list[str](), 0
        for part, quantity in series.quantities(machine):
            usd = self.rates.find(part.called(offer), region, offer)
            parts += 1
            if usd is None:
                missing.append(part.names[0])
            else:
                total += quantity * usd / (HOURS_PER_MONTH if part.kind == LOCAL_SSD else 1)
        if missing and len(missing) < parts:
            self.lacking[missing[0]] += 1
        return None if missing else total.quantize(NANO, ROUND_UP).normalize()

    def notes(self, ask: RefreshQuery) -> Iterator[str]:
        """Yield what the user should know of what was left out."""
        for why, count in sorted(self.rates.left_out.items()):
            yield f"{count} SKUs of parts are left out: {why}"
        for part, count in sorted(self.lacking.items()):
            yield f"{count} prices are left out: {part!r} has none where other parts of the machine have"
        if self.not_offered:
            yield f"{self.not_offered} prices are left out: the book knows their region and does not have the machine there"
        if self.not_cheaper:
            yield f"{self.not_cheaper} prices are left out: they are not below the on-demand price"
        strange = sorted(set(ask.regions) - {row.region for row in CLOUD.catalogue().prices})
        if strange:
            yield f"{', '.join(strange)}: Google's list does not say which machines are offered there; see its page of regions and zones"
        unknown = sorted(name for name in ask.machines if series_of(name) is None)
        if unknown:
            yield f"{len(unknown)} machines are of no known series: {_some(unknown)}"
        if self.rates.strangers:
            yield f"Google lists {len(self.rates.strangers)} series that the book does not: {_some(sorted(self.rates.strangers))}"


def _some(names: list[str]) -> str:
    """Return the first few names."""
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")


def _row(machine: str, region: str, offer: str, usd_per_hour: Decimal, ask: RefreshQuery) -> PriceRow:
    """Return one row; zones and interruptions are not in the list."""
    return PriceRow(
        cloud=CLOUD.name,
        region=region,
        machine=machine,
        offer=offer,
        usd_per_hour=Decimal(format(usd_per_hour, "f")),
        zones=0,
        interruptions_per_month=None,
        basis="list",
        source=SOURCE,
        seen=ask.today,
    )
