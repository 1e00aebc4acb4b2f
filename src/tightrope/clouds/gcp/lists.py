"""Reads the two forms of Google's price list into one: ``PartPrices``, the price of each part by region and way of paying.

- **Cloud Billing Catalog v1** (``v1/services/…/skus``): descriptions, regions and prices in one list, a page at a time.
- **Pricing API** (``v2beta/skus`` and ``v1beta/skus/-/prices``): descriptions and regions in one list, prices of every service in
  another, joined by the SKU's identifier.

Only SKUs whose description names a part of ``series.csv`` are read further. A missing key, another unit or another currency is an
error; a price that cannot be one (zero, negative, absurd) is left out and counted.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from tightrope.base.errors import SourceError
from tightrope.clouds.downloads import Fetcher, Headers, reshaped
from tightrope.clouds.gcp.skus import OFFERS, UNITS, SkuMeaning, kinds, read_description, stranger
from tightrope.clouds.refresh import RefreshQuery

HOST = "https://cloudbilling.googleapis.com"
COMPUTE_ENGINE = "6F81-5844-456A"
V1_SKUS = f"{HOST}/v1/services/{COMPUTE_ENGINE}/skus"
V2_SKUS = f"{HOST}/v2beta/skus"
V2_PRICES = f"{HOST}/v1beta/skus/-/prices"
PAGE_SIZE = 5000
MAX_USD = 1000
"""No part costs more for an hour or a month: a larger figure is an error of units."""
NANO = Decimal("0.000000001")
USAGE_TYPES = dict(zip(OFFERS, ("OnDemand", "Preemptible", "Commit1Yr", "Commit3Yr"), strict=True))
Object: TypeAlias = Mapping[str, object]
Kind = TypeVar("Kind")


@dataclass
class PartPrices:
    """The price of each part, and what was left out."""

    regions: frozenset[str]
    usd: dict[tuple[str, str, str], Decimal] = field(default_factory=dict)
    """(part, region, offer) → dollars for a unit of it."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why a SKU was left out → how many."""
    strangers: set[str] = field(default_factory=set)
    """Series of machines that ``series.csv`` does not know."""

    def wanted(self, description: str) -> SkuMeaning | None:
        """Return what a SKU sells, None where it is no part of a known machine."""
        sold = read_description(description)
        if sold is not None and (sold.name, sold.committed) in kinds():
            return sold
        name = stranger(description)
        if name:
            self.strangers.add(name)
        return None

    def take(self, sold: SkuMeaning, regions: Sequence[str], usd: Decimal) -> None:
        """Keep a price for the regions that are asked for: the more expensive where there are two."""
        if not 0 < usd < MAX_USD:
            self.left_out["their price cannot be one"] += 1
            return
        for region in self.regions.intersection(regions):
            key = (sold.name, region, sold.offer)
            if key in self.usd and self.usd[key] != usd:
                self.left_out["another of the same part is more expensive"] += 1
            self.usd[key] = max(usd, self.usd.get(key, usd))

    def find(self, names: Sequence[str], region: str, offer: str) -> Decimal | None:
        """Return the price of a part by the first of its names that has one."""
        return next((self.usd[name, region, offer] for name in names if (name, region, offer) in self.usd), None)


# ----------------------------------------------------------------------------------------------------------------- shapes


def _odd(where: str, key: str, got: object, expected: str) -> SourceError:
    """Return the error for what is under a key and is not as known."""
    return reshaped(f"{where}, {key}", got, expected)


def _get(where: str, item: Object, key: str, kind: type[Kind]) -> Kind:
    """Return what is under a key; raise ``SourceError`` where it is missing or of another kind."""
    value = item.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _odd(where, key, value, f"a value of the kind {kind.__name__}")
    return value


def _objects(where: str, item: Object, key: str) -> list[Object]:
    """Return a list of objects under a key."""
    values = _get(where, item, key, list)
    if not all(isinstance(value, dict) for value in values):
        raise _odd(where, key, values, "a list of objects")
    return values


def _texts(where: str, item: Object, key: str) -> list[str]:
    """Return a list of texts under a key."""
    values = _get(where, item, key, list)
    if not all(isinstance(value, str) for value in values):
        raise _odd(where, key, values, "a list of texts")
    return values


def _whole(where: str, item: Object, key: str) -> int:
    """Return a whole number, which Google writes as a number or as text, and leaves out where it is 0."""
    value = item.get(key, 0)
    try:
        if isinstance(value, int | str) and not isinstance(value, bool):
            return int(value or 0)
    except ValueError:
        pass
    raise _odd(where, key, value, "a whole number")


def _money(where: str, item: Object) -> Decimal:
    """Return an amount of dollars from its ``units`` and ``nanos``."""
    currency = _get(where, item, "currencyCode", str)
    if currency != "USD":
        raise _odd(where, "currencyCode", currency, "USD")
    return _whole(where, item, "units") + _whole(where, item, "nanos") * NANO


def _check_unit(where: str, sold: SkuMeaning, unit: str) -> None:
    """Raise ``SourceError`` unless a part is priced by the unit that machines count it in."""
    expected = UNITS[kinds()[sold.name, sold.committed]]
    if unit != expected:
        raise _odd(where, f"the unit of {sold.name!r}", unit, expected)


def _pages(
    ask: RefreshQuery, fetcher: Fetcher, headers: Headers, url: str, query: Mapping[str, str], key: str
) -> Iterator[Object]:
    """Yield the items of a list, page by page; ``key`` is what a page calls them."""
    start = ask.at(f"{url}?{urlencode(query, quote_via=quote)}")

    def following(page: object) -> str | None:
        token = page.get("nextPageToken") if isinstance(page, dict) else None
        return f"{start}&pageToken={quote(str(token), safe='')}" if token else None

    for number, page in enumerate(fetcher.pages(start, following, f"Google Cloud {key}", headers)):
        if not isinstance(page, dict):
            raise reshaped(url, page, f"an object with {key}")
        if page or number == 0:  # a page after the last item may be empty, a list not
            yield from _objects(url, page, key)


# ---------------------------------------------------------------------------------------------------------------------- v1


def read_v1(ask: RefreshQuery, fetcher: Fetcher, headers: Headers) -> PartPrices:
    """Return the prices of the Cloud Billing Catalog v1; raise ``SourceError`` where it has another shape."""
    rates = PartPrices(frozenset(ask.regions))
    query = {"currencyCode": "USD", "pageSize": str(PAGE_SIZE)}
    for sku in _pages(ask, fetcher, headers, V1_SKUS, query, "skus"):
        where = f"SKU {_get('a SKU of v1', sku, 'skuId', str)}"
        sold = rates.wanted(_get(where, sku, "description", str))
        if sold is None:
            continue
        usage = _get(where, _get(where, sku, "category", dict), "usageType", str)
        if usage != USAGE_TYPES[sold.offer]:
            rates.left_out["their description and their usage type differ"] += 1
        else:
            _take_v1(rates, where, sold, sku)
    return rates


def _take_v1(rates: PartPrices, where: str, sold: SkuMeaning, sku: Object) -> None:
    """Keep the price of one SKU of v1: the last that is stated, in its only tier."""
    regions = _texts(where, sku, "serviceRegions")
    stated = _objects(where, sku, "pricingInfo")
    if not stated:
        rates.left_out["they have no price"] += 1
        return
    expression = _get(where, stated[-1], "pricingExpression", dict)
    _check_unit(where, sold, _get(where, expression, "usageUnit", str))
    _take_tier(rates, where, sold, regions, _objects(where, expression, "tieredRates"), "unitPrice")


def _take_tier(
    rates: PartPrices, where: str, sold: SkuMeaning, regions: Sequence[str], tiers: Sequence[Object], key: str
) -> None:
    """Keep the price of the only tier."""
    if len(tiers) == 1:
        rates.take(sold, regions, _money(where, _get(where, tiers[0], key, dict)))
    else:
        rates.left_out["they have several prices" if tiers else "they have no price"] += 1


# ---------------------------------------------------------------------------------------------------------------------- v2


def read_v2(ask: RefreshQuery, fetcher: Fetcher, headers: Headers) -> PartPrices:
    """Return the prices of the Pricing API (v2beta and v1beta); raise ``SourceError`` where it has another shape."""
    rates = PartPrices(frozenset(ask.regions))
    found: dict[str, tuple[SkuMeaning, list[str]]] = {}
    query = {"pageSize": str(PAGE_SIZE), "filter": f'service="services/{COMPUTE_ENGINE}"'}
    for sku in _pages(ask, fetcher, headers, V2_SKUS, query, "skus"):
        where = f"SKU {_get('a SKU of v2beta', sku, 'skuId', str)}"
        sold = rates.wanted(_get(where, sku, "displayName", str))
        if sold is not None:
            found[_get(where, sku, "skuId", str)] = sold, _v2_regions(where, _get(where, sku, "geoTaxonomy", dict))
    query = {"currencyCode": "USD", "pageSize": str(PAGE_SIZE)}
    for price in _pages(ask, fetcher, headers, V2_PRICES, query, "prices"):
        name = _get("a price of v1beta", price, "name", str)
        sku_id = name.removeprefix("skus/").removesuffix("/price")
        if sku_id in found:
            _take_v2(rates, f"SKU {sku_id}", found.pop(sku_id), price)
    if found:
        rates.left_out["they have no price"] += len(found)
    return rates


def _v2_regions(where: str, place: Object) -> list[str]:
    """Return the regions of a SKU: one, several, or none where it is sold everywhere."""
    kind = _get(where, place, "type", str).removeprefix("TYPE_")
    if kind == "GLOBAL":
        return []
    if kind == "REGIONAL":
        named = [_get(where, _get(where, place, "regionalMetadata", dict), "region", dict)]
    elif kind == "MULTI_REGIONAL":
        named = _objects(where, _get(where, place, "multiRegionalMetadata", dict), "regions")
    else:
        raise _odd(where, "geoTaxonomy", kind, "REGIONAL, MULTI_REGIONAL or GLOBAL")
    return [_get(where, item, "region", str) for item in named]


def _take_v2(rates: PartPrices, where: str, sku: tuple[SkuMeaning, list[str]], price: Object) -> None:
    """Keep the price of one SKU of the Pricing API: its only tier, for one unit."""
    sold, regions = sku
    rate = _get(where, price, "rate", dict)
    unit = _get(where, rate, "unitInfo", dict)
    _check_unit(where, sold, _get(where, unit, "unit", str))
    quantity = _get(where, _get(where, unit, "unitQuantity", dict), "value", str)
    if quantity != "1":
        raise _odd(where, "unitQuantity", quantity, "1")
    _take_tier(rates, where, sold, regions, _objects(where, rate, "tiers"), "listPrice")


READERS: Mapping[str, Callable[[RefreshQuery, Fetcher, Headers], PartPrices]] = {"v1": read_v1, "v2beta": read_v2}
