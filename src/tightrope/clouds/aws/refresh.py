"""Fetches AWS's own prices: the Price List's offer files and Savings Plan files, spot price history, the Spot Instance Advisor.

Comes in: regions, and the machines that the price book knows. Goes out: their on-demand, Reserved Instance, Savings Plan and spot
rows of today, and machine types for sizes that their families have gained. The way to the files is the one that the Price List's
index shows; each is read as the CSV that AWS keeps beside the JSON which the index names, or as JSON where it names another file.
Only the spot price history needs credentials (see ``spot.py``). Shapes: AWS Billing user guide, "Reading the price list files".
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast
from urllib.parse import urljoin, urlsplit

from tightrope.base.catalogue import Catalogue, MachineType, PriceRow
from tightrope.base.errors import SourceError, near_names
from tightrope.clouds.aws import offers_csv, offers_json
from tightrope.clouds.aws.offers import Listing, described
from tightrope.clouds.aws.rates import Skipped, on_demand_rows, reserved_rows
from tightrope.clouds.aws.savings_plans import PlanRate, savings_plan_rows
from tightrope.clouds.aws.spot import Advice, load_advice, load_history, spot_rows
from tightrope.clouds.fetch import Fetcher, reshaped
from tightrope.clouds.refresh import Ask

HOST = "https://pricing.us-east-1.amazonaws.com"
INDEX_URL = f"{HOST}/offers/v1.0/aws/index.json"
INDEX = "AWS Price List, index"
Form: TypeAlias = Literal["csv", "json"]


@dataclass(frozen=True, slots=True)
class _Files:
    """Where one region's files are."""

    offers: str
    plans: str
    """Empty where the region has no Savings Plans."""


@dataclass(frozen=True, slots=True)
class _Task:
    """What every region's part needs."""

    ask: Ask
    fetcher: Fetcher
    form: Form
    advice: Mapping[tuple[str, str], Advice]

    def url(self, url: str) -> str:
        """Return where to ask for a file, in the format wanted."""
        beside = self.form == "csv" and url.endswith("/index.json")
        return self.ask.at(f"{url.removesuffix('json')}csv" if beside else url)


def fetch(ask: Ask, fetcher: Fetcher, form: Form = "csv") -> Catalogue:
    """Return today's prices of the regions and machines asked for, and the machines' new sizes.

    Raises
    ------
    SourceError
        A list that can not be had, has another shape than known, or holds no price of these machines; a region that it lacks.

    """
    files = _find_files(ask, fetcher)
    task = _Task(ask, fetcher, form, load_advice(ask, fetcher))
    parts = [_fetch_region(region, files[region], task) for region in ask.regions]
    machines = {machine.name: machine for part in parts for machine in part.machines}
    return Catalogue(machines=tuple(machines.values()), prices=tuple(row for part in parts for row in part.prices))


def _fetch_region(region: str, files: _Files, task: _Task) -> Catalogue:
    """Return one region's rows, and the machines that are new in it."""
    ask, skipped = task.ask, Skipped()
    listing = _read_offers(region, files.offers, task)
    new = _new_sizes(listing, ask, skipped)
    on_demand = on_demand_rows(listing, ask.today, skipped)
    rows = [*on_demand.values(), *reserved_rows(listing, on_demand, ask.today, skipped)]
    rows += _plan_rows(listing, files.plans, on_demand, task, skipped)
    history = load_history(region, sorted(on_demand), ask, task.fetcher, skipped)
    rows = [replace(row, zones=len(history.get(row.machine, ()))) for row in rows]
    rows += spot_rows(on_demand, history, task.advice, skipped)
    skipped.note(task.fetcher, region)
    return Catalogue(machines=new, prices=tuple(rows))


def _read_offers(region: str, url: str, task: _Task) -> Listing:
    """Return what counts in a region's offer file."""
    url, families = task.url(url), frozenset(machine.family for machine in task.ask.machines.values())
    listing = Listing(f"AWS Price List, offer file AmazonEC2 of {region}", region, families)
    label = f"{region} offers"
    if url.endswith(".csv"):
        offers_csv.read_offers(task.fetcher.download(url, label), listing)
    else:
        with closing(task.fetcher.open(url, label)) as stream:
            offers_json.read_offers(stream, listing)
    if listing.other_families:
        task.fetcher.note(f"aws {region}: left out {len(listing.other_families)} families that the price book does not know")
    return listing


def _new_sizes(listing: Listing, ask: Ask, skipped: Skipped) -> tuple[MachineType, ...]:
    """Return the machines that the book does not know yet; those that can not be described are taken off the listing."""
    new: dict[str, MachineType] = {}
    for sku, product in list(listing.products.items()):
        if product.machine in ask.machines or product.machine in new:
            continue
        machine = described(product, ask.machines, ask.today)
        if machine is None:
            skipped.add("machine whose attributes do not describe it", product.machine)
            del listing.products[sku]
        else:
            new[product.machine] = machine
    listing.prices = [price for price in listing.prices if price.sku in listing.products]
    return tuple(new.values())


def _plan_rows(listing: Listing, url: str, on_demand: Mapping[str, PriceRow], task: _Task, skipped: Skipped) -> list[PriceRow]:
    """Return the Savings Plan rows of a region, none where it has no such file: the user is told."""
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


def _find_files(ask: Ask, fetcher: Fetcher) -> dict[str, _Files]:
    """Return region → its files; raise ``SourceError`` for a region that the Price List lacks."""
    root = fetcher.json(ask.at(INDEX_URL), "index")
    ec2 = _field(_field(root, "offers"), "AmazonEC2")
    offers = _field(fetcher.json(ask.at(_url(ec2, "currentRegionIndexUrl")), "regions"), "regions")
    listed = _field(fetcher.json(ask.at(_url(ec2, "currentSavingsPlanIndexUrl")), "savings plans by region"), "regions")
    if not isinstance(offers, dict) or not isinstance(listed, list):
        raise reshaped(INDEX, f"{type(offers).__name__} and {type(listed).__name__}", "regions by name, and a list of them")
    plans = {str(_field(item, "regionCode")): _url(item, "versionUrl") for item in listed}
    for region in ask.regions:
        if region not in offers:
            near = near_names(region, map(str, offers))
            msg = f"AWS's Price List has no region {region!r}"
            raise SourceError(msg, resolve=f"ask for {' or '.join(near) or 'one of: ' + ', '.join(sorted(map(str, offers)))}")
    return {region: _Files(_url(offers[region], "currentVersionUrl"), plans.get(region, "")) for region in ask.regions}


def _field(record: object, name: str) -> object:
    """Return a field of an index; raise ``SourceError`` where there is none."""
    if not isinstance(record, dict) or name not in record:
        raise reshaped(INDEX, record, f"a field {name!r}")
    return cast("dict[str, object]", record)[name]


def _url(record: object, name: str) -> str:
    """Return a URL of an index, which is a path on the same server."""
    url = urljoin(INDEX_URL, str(_field(record, name)))
    if urlsplit(url)[:2] != urlsplit(HOST)[:2]:
        raise reshaped(INDEX, url, f"a path on {HOST}")
    return url
