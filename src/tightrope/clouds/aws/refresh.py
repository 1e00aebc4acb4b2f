"""AWS's own prices: the Price List's offer files and Savings Plan files, spot price history, the Spot Instance Advisor.

Comes in: regions, and the machines of the price book. Goes out: their on-demand, Reserved Instance, Savings Plan and spot rows of
today, machine types for new sizes of their families, and unit prices of storage and network. The Price List's index names the
files. AWS keeps a CSV beside each JSON file of the index: the CSV is read, or JSON if the index names another file. Only the spot
price history needs credentials (see ``spot.py``). Shapes: AWS Billing user guide, "Reading the price list files".
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast
from urllib.parse import urljoin, urlsplit

from tightrope.base.catalogue import Catalogue, MachineType, PriceRow, UnitPrice
from tightrope.base.errors import SourceError, find_near_names
from tightrope.clouds.aws import offers_csv, offers_json
from tightrope.clouds.aws.meters import unit_prices
from tightrope.clouds.aws.offers import EC2, METERS, Listing, described
from tightrope.clouds.aws.rates import SkippedRates, on_demand_rows, reserved_rows
from tightrope.clouds.aws.savings_plans import PlanRate, savings_plan_rows
from tightrope.clouds.aws.spot import Advice, load_advice, load_history, spot_rows
from tightrope.clouds.downloads import Fetcher, reshaped
from tightrope.clouds.refresh import RefreshQuery

HOST = "https://pricing.us-east-1.amazonaws.com"
INDEX_URL = f"{HOST}/offers/v1.0/aws/index.json"
INDEX = "AWS Price List, index"
Form: TypeAlias = Literal["csv", "json"]


@dataclass(frozen=True, slots=True)
class _Files:
    """The URLs of one region's files."""

    offers: dict[str, str]
    """Service → its offer file; EC2 always has one."""
    plans: str
    """Empty where the region has no Savings Plans."""


@dataclass(frozen=True, slots=True)
class _Task:
    """The common inputs of all regions."""

    ask: RefreshQuery
    fetcher: Fetcher
    form: Form
    advice: Mapping[tuple[str, str], Advice]

    def url(self, url: str) -> str:
        """Return a file's URL in the wanted format."""
        beside = self.form == "csv" and url.endswith("/index.json")
        return self.ask.at(f"{url.removesuffix('json')}csv" if beside else url)


def fetch(ask: RefreshQuery, fetcher: Fetcher, form: Form = "csv") -> Catalogue:
    """Return today's prices of the regions and machines asked for, and the machines' new sizes.

    Raises
    ------
    SourceError
        A list is unavailable, has an unknown shape, or has no price of these machines or no such region.

    """
    files = _find_files(ask, fetcher)
    task = _Task(ask, fetcher, form, load_advice(ask, fetcher))
    parts = [_fetch_region(region, files[region], task) for region in ask.regions]
    machines = {machine.name: machine for part in parts for machine in part.machines}
    return Catalogue(
        machines=tuple(machines.values()),
        prices=tuple(row for part in parts for row in part.prices),
        unit_prices=tuple(row for part in parts for row in part.unit_prices),
    )


def _fetch_region(region: str, files: _Files, task: _Task) -> Catalogue:
    """Return one region's rows and its new machines."""
    ask, skipped = task.ask, SkippedRates()
    families = frozenset(machine.family for machine in ask.machines.values())
    listing = _read_offers(Listing(region, families), files.offers[EC2], task)
    units = [*unit_prices(listing, ask.today, skipped), *_fetch_unit_prices(region, files, task, skipped)]
    new = _describe_new_sizes(listing, ask, skipped)
    on_demand = on_demand_rows(listing, ask.today, skipped)
    rows = [*on_demand.values(), *reserved_rows(listing, on_demand, ask.today, skipped)]
    rows += _fetch_plan_rows(listing, files.plans, on_demand, task, skipped)
    history = load_history(region, sorted(on_demand), ask, task.fetcher, skipped)
    rows = [replace(row, zones=len(history.get(row.machine, ()))) for row in rows]
    rows += spot_rows(on_demand, history, task.advice, skipped)
    skipped.note(task.fetcher, region)
    return Catalogue(machines=new, prices=tuple(rows), unit_prices=tuple(units))


def _read_offers(listing: Listing, url: str, task: _Task) -> Listing:
    """Return a listing filled from its file."""
    url, label = task.url(url), f"{listing.region} {listing.service}"
    if url.endswith(".csv"):
        offers_csv.read_offers(task.fetcher.download(url, label), listing)
    else:
        with closing(task.fetcher.open(url, label)) as stream:
            offers_json.read_offers(stream, listing)
    if listing.other_families:
        count = len(listing.other_families)
        task.fetcher.note(f"aws {listing.region}: left out {count} families that are not in the price book")
    return listing


def _fetch_unit_prices(region: str, files: _Files, task: _Task, skipped: SkippedRates) -> Iterator[UnitPrice]:
    """Yield the unit prices of the other services' files."""
    for service in METERS:
        if service in files.offers and service != EC2:
            listing = _read_offers(Listing(region, service=service), files.offers[service], task)
            yield from unit_prices(listing, task.ask.today, skipped)
        elif service != EC2:
            task.fetcher.note(f"aws {region}: AWS's Price List has no {service} there, its unit prices stay as they are")


def _describe_new_sizes(listing: Listing, ask: RefreshQuery, skipped: SkippedRates) -> tuple[MachineType, ...]:
    """Return the machines that are new to the book; remove from the listing those with incomplete attributes."""
    new: dict[str, MachineType] = {}
    for sku, product in list(listing.products.items()):
        if product.machine in ask.machines or product.machine in new:
            continue
        machine = described(product, ask.machines, ask.today)
        if machine is None:
            skipped.add("machine with incomplete attributes", product.machine)
            del listing.products[sku]
        else:
            new[product.machine] = machine
    listing.prices = [price for price in listing.prices if price.sku in listing.products]
    return tuple(new.values())


def _fetch_plan_rows(
    listing: Listing, url: str, on_demand: Mapping[str, PriceRow], task: _Task, skipped: SkippedRates
) -> list[PriceRow]:
    """Return the Savings Plan rows of a region; tell the user if the region has none."""
    if not url:
        task.fetcher.note(f"aws {listing.region}: AWS lists no Savings Plans for the region")
        return []
    skus = {sku: product.machine for sku, product in listing.products.items()}
    where = f"AWS Price List, Savings Plan file of {listing.region}"
    return savings_plan_rows(_read_plans(task.url(url), listing.region, where, skus, task), skus, on_demand, where, skipped)


def _read_plans(url: str, region: str, where: str, skus: Mapping[str, str], task: _Task) -> Iterator[PlanRate]:
    """Yield the rates of these products."""
    label = f"{region} savings plans"
    if url.endswith(".csv"):
        yield from offers_csv.read_plans(task.fetcher.download(url, label), where, skus)
    else:
        with closing(task.fetcher.open(url, label)) as stream:
            yield from offers_json.read_plans(stream, where, skus)


# --------------------------------------------------------------------------------------------------------------- index


def _find_files(ask: RefreshQuery, fetcher: Fetcher) -> dict[str, _Files]:
    """Return region → its files; raise ``SourceError`` for a region that the Price List lacks."""
    services = _check_record(_get_field(fetcher.json(ask.at(INDEX_URL), "index"), "offers"))
    ec2 = _get_field(services, EC2)
    listed = _get_field(fetcher.json(ask.at(_get_url(ec2, "currentSavingsPlanIndexUrl")), "savings plans by region"), "regions")
    if not isinstance(listed, list):
        raise reshaped(INDEX, listed, "a list of regions with Savings Plans")
    plans = {str(_get_field(item, "regionCode")): _get_url(item, "versionUrl") for item in listed}
    offers = {service: _fetch_region_urls(services[service], service, ask, fetcher) for service in METERS if service in services}
    for region in ask.regions:
        if region not in offers[EC2]:
            near = find_near_names(region, offers[EC2])
            msg = f"AWS's Price List has no region {region!r}"
            raise SourceError(msg, resolve=f"ask for {' or '.join(near) or 'one of: ' + ', '.join(sorted(offers[EC2]))}")
    return {
        region: _Files({service: urls[region] for service, urls in offers.items() if region in urls}, plans.get(region, ""))
        for region in ask.regions
    }


def _fetch_region_urls(offer: object, service: str, ask: RefreshQuery, fetcher: Fetcher) -> dict[str, str]:
    """Return region → a service's offer file."""
    index = fetcher.json(ask.at(_get_url(offer, "currentRegionIndexUrl")), f"{service} by region")
    return {region: _get_url(item, "currentVersionUrl") for region, item in _check_record(_get_field(index, "regions")).items()}


def _check_record(value: object) -> dict[str, object]:
    """Return an object of an index."""
    if not isinstance(value, dict):
        raise reshaped(INDEX, value, "an object, by name")
    return cast("dict[str, object]", value)


def _get_field(record: object, name: str) -> object:
    """Return a field of an index; raise ``SourceError`` if it is missing."""
    fields = _check_record(record)
    if name not in fields:
        raise reshaped(INDEX, sorted(fields), f"a field {name!r}")
    return fields[name]


def _get_url(record: object, name: str) -> str:
    """Return a URL of an index; it must be on the same server."""
    url = urljoin(INDEX_URL, str(_get_field(record, name)))
    if urlsplit(url)[:2] != urlsplit(HOST)[:2]:
        raise reshaped(INDEX, url, f"a path on {HOST}")
    return url
