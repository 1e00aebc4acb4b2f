"""Fetches Azure's retail prices: an open list, asked region by region, a thousand items a page, in any order.

The list tells no vCPUs, memory or accelerators, so it is read for machines that the book describes; others are counted. It tells
no zones and no interruptions either: those stay as the book has them. Reservations are sold for the whole term and may be paid
monthly at no extra cost, so nothing counts as paid upfront (Azure documentation, "Prepay for Virtual machines with Azure Reserved
VM Instances"). The format: learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from tightrope.base.catalogue import ON_DEMAND, Catalogue, PriceRow, UnitPrice
from tightrope.clouds.azure.meters import Item, MeterQuote, as_object, check_place, machine_name, part, quotes, series
from tightrope.clouds.azure.units import SERVICES, unit_prices
from tightrope.clouds.downloads import Fetcher, reshaped, shown
from tightrope.clouds.refresh import RefreshQuery

HOST, PATH = "prices.azure.com", "/api/retail/prices"
VERSION = "2023-01-01-preview"
"""The only version that tells savings plans."""
MACHINES = "Virtual Machines"
KINDS = ("Consumption", "Reservation")
SOURCE = f"Azure Retail Prices {VERSION}, service {MACHINES}"
NAMED = 4


@dataclass(slots=True)
class _Tally:
    """What was left out, to be told at the end."""

    left_out: Counter[str] = field(default_factory=Counter)
    undescribed: set[str] = field(default_factory=set)
    units: set[str] = field(default_factory=set)

    def tell(self, fetcher: Fetcher, ask: RefreshQuery) -> None:
        """Note everything once."""
        for reason, count in sorted(self.left_out.items()):
            fetcher.note(f"azure: {count} price{'s' if count > 1 else ''} left out: {reason}")
        for text in sorted(self.units):
            fetcher.note(f"azure: {text}")
        known = {series(name) for name in ask.machines}
        sizes = sorted(name for name in self.undescribed if series(name) in known)
        if sizes:
            more = " …" if len(sizes) > NAMED else ""
            fetcher.note(f"azure: {len(sizes)} sizes of known series are not described: {', '.join(sizes[:NAMED])}{more}")
        if others := len(self.undescribed) - len(sizes):
            fetcher.note(f"azure: {others} sizes of series that the book does not have were left out")


def fetch(ask: RefreshQuery, fetcher: Fetcher) -> Catalogue:
    """Return on-demand, spot, reservation and savings-plan prices of the machines in ``ask``, and a few unit prices.

    Raises
    ------
    SourceError
        The list cannot be had, leads elsewhere, or has another shape, currency or region than was asked for.

    """
    tally = _Tally()
    prices = tuple(row for region in ask.regions for row in _region(ask, fetcher, region, tally))
    units = tuple(row for region in ask.regions for row in _units(ask, fetcher, region, tally))
    tally.tell(fetcher, ask)
    return Catalogue(prices=prices, unit_prices=units)


def _region(ask: RefreshQuery, fetcher: Fetcher, region: str, tally: _Tally) -> Iterator[PriceRow]:
    """Yield a region's prices, by machine and offer."""
    names = {name.lower(): name for name in ask.machines}
    best: dict[str, dict[tuple[str, str], MeterQuote]] = defaultdict(dict)
    for item, where in _items(ask, fetcher, region, MACHINES, KINDS):
        sku = machine_name(item, where)
        machine = names.get(sku.lower())
        if machine is None:
            tally.undescribed |= {sku} - {""}
            continue
        here = f"{where}: {machine}"
        check_place(item, region, here)
        for found in quotes(item, machine, ask.today, tally.left_out, here):
            old = best[machine].get((found.offer, found.product))
            if old is not None and old.usd_per_hour != found.usd_per_hour:
                tally.left_out["beside a price that counts more (primary, newer or more expensive)"] += 1
            best[machine][found.offer, found.product] = max(found, old or found)
    for machine in sorted(best):
        yield from _rows(_undisputed(best[machine].values(), tally), region, ask, tally)


def _undisputed(quoted: Iterable[MeterQuote], tally: _Tally) -> dict[str, MeterQuote]:
    """Return offer → price of a machine; none where several products have different ones, for nothing tells which is the machine's."""
    offers: dict[str, list[MeterQuote]] = defaultdict(list)
    for each in quoted:
        offers[each.offer].append(each)
    disputed = [offer for offer, of_it in offers.items() if len({each.usd_per_hour for each in of_it}) > 1]
    for offer in disputed:
        tally.left_out["of one machine by several products"] += len(offers.pop(offer))
    return {offer: max(of_it) for offer, of_it in offers.items()}


def _rows(offers: dict[str, MeterQuote], region: str, ask: RefreshQuery, tally: _Tally) -> Iterator[PriceRow]:
    """Yield a machine's rows: on-demand, and what costs less than that."""
    on_demand = offers.get(ON_DEMAND)
    for offer in sorted(offers):
        quoted = offers[offer]
        if on_demand is None:
            tally.left_out["without an on-demand price"] += 1
        elif offer != ON_DEMAND and quoted.usd_per_hour >= on_demand.usd_per_hour:
            tally.left_out[f"{offer} that costs no less than on-demand"] += 1
        else:
            yield PriceRow("azure", region, quoted.machine, offer, quoted.usd_per_hour, 0, None, "list", SOURCE, ask.today)


def _units(ask: RefreshQuery, fetcher: Fetcher, region: str, tally: _Tally) -> Iterator[UnitPrice]:
    """Yield a region's unit prices."""
    for service in SERVICES:
        items = (item for item, _ in _items(ask, fetcher, region, service, KINDS[:1]))
        for found in unit_prices(items, service, region, ask.today, f"{service} in {region}"):
            if isinstance(found, UnitPrice):
                yield found
            else:
                tally.units.add(f"{found[0].item} in {region} left out: {found[1]}")


# ---------------------------------------------------------------------------------------------------------------- pages


def _items(ask: RefreshQuery, fetcher: Fetcher, region: str, service: str, kinds: tuple[str, ...]) -> Iterator[tuple[Item, str]]:
    """Yield every item of a service in a region, page by page, each with the place to name in an error."""
    for kind in kinds:
        where = f"{service} in {region}, {kind}"
        for page in fetcher.pages(_url(ask, region, service, kind), lambda page: _following(ask, page), f"azure {where}"):
            for item in part(as_object(page, where), "Items", list, where):
                yield as_object(item, where), where


def _url(ask: RefreshQuery, region: str, service: str, kind: str) -> str:
    """Return the address of a list's first page."""
    wanted = f"serviceName eq '{service}' and armRegionName eq '{region}' and priceType eq '{kind}'"
    return ask.at(f"https://{HOST}{PATH}?api-version={VERSION}&$filter={quote(wanted)}")


def _following(ask: RefreshQuery, page: object) -> str | None:
    """Return the next page's address: of the same server, however the list writes its name (it names the port, too)."""
    link = as_object(page, SOURCE).get("NextPageLink")
    if link is None or link == "":
        return None
    parts = urlsplit(str(link))
    query = quote(parts.query, safe="%=&$'(),:/+-._~")
    own = ask.at(f"https://{HOST}{PATH}")
    if str(link).startswith(f"{own}?"):
        return f"{own}?{query}"
    if (parts.scheme, parts.netloc.removesuffix(":443"), parts.path) != ("https", HOST, PATH):
        raise reshaped(SOURCE, shown(str(link)), f"a next page at https://{HOST}{PATH}")
    return f"{own}?{query}"
