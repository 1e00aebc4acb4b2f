"""Speaks as Google's two price lists do, on the loopback: one set of facts, told in the form of v1 and of v2beta."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.clouds.loopback import Loopback, Request

from tightrope.base.catalogue import ON_DEMAND, SPOT
from tightrope.clouds.gcp.skus import LOCAL_SSD, UNITS, SeriesPart, every_series

V1 = "/v1/services/6F81-5844-456A/skus"
V2_SKUS = "/v2beta/skus"
V2_PRICES = "/v1beta/skus/-/prices"
TOKEN = "ya29.secret-token-of-the-test"  # noqa: S105 - nobody's
USD = {"core": "0.025", "memory": "0.003", LOCAL_SSD: "0.08", "TpuV5e": "1.2", "TpuV6e": "2.7", "Nvidia L4 GPU": "0.56"}
GPU_USD = {"A100": "2.93375", "H100": "9.796551"}
USAGE = {ON_DEMAND: "OnDemand", SPOT: "Preemptible", "1": "Commit1Yr", "3": "Commit3Yr"}
SHARE = {ON_DEMAND: "1", SPOT: "0.4", "1": "0.63", "3": "0.45"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One SKU."""

    sku_id: str
    description: str
    usage: str
    unit: str
    usd: Decimal
    regions: tuple[str, ...]


def list_usd(part: SeriesPart) -> Decimal:
    """Return what a part costs on demand in every region of these lists."""
    name = part.names[0]
    gpu = next((usd for chip, usd in GPU_USD.items() if chip in name), "0")
    return Decimal(USD.get(part.kind) or USD.get(name) or gpu)


def described(part: SeriesPart, way: str) -> str:
    """Return the description of a part under a way of paying, as Google writes it."""
    ssd = part.kind == LOCAL_SSD
    if way in {"1", "3"}:
        running = " running" if part.kind == "accelerator" else ""
        return f"Commitment v1: {part.committed[0]}{running} in Iowa for {way} Year{'s' if way == '3' else ''}"
    if way == ON_DEMAND:
        return part.names[0] if ssd else f"{part.names[0]} running in Iowa"
    if part.kind in {"core", "memory"}:
        return f"Spot Preemptible {part.names[0]} running in Iowa"
    return f"{part.names[0]} attached to Spot Preemptible VMs" + ("" if ssd else " running in Iowa")


def facts(*regions: str) -> list[Fact]:
    """Return the SKUs of every part of every known series, at the same prices in every region."""
    parts = {part.names: part for series in every_series() for part in series.parts}
    found = [
        (described(part, way), USAGE[way], UNITS[part.kind], list_usd(part) * Decimal(SHARE[way]))
        for part in parts.values()
        for way in SHARE
        if part.committed or way in {ON_DEMAND, SPOT}
    ]
    return [Fact(f"0000-0000-{number:04X}", *fact, regions) for number, fact in enumerate(found)]


DECOYS = (
    ("Reserved Nvidia L4 GPU in Iowa", "OnDemand", "h", "0.000001"),
    ("Nvidia L4 GPU attached to DWS Defined Duration VMs running in Iowa", "OnDemand", "h", "0.000001"),
    ("DWS Defined Duration G2 Instance Core running in Iowa", "OnDemand", "h", "0.000001"),
    ("G2 Custom Instance Core running in Iowa", "OnDemand", "h", "0.000001"),
    ("G2 Sole Tenancy Instance Core running in Iowa", "OnDemand", "h", "0.000001"),
    ("Capacity Optimized TpuV6e running in Iowa", "OnDemand", "h", "0.000001"),
    ("Reserved V6e TPU in Iowa in Calendar Mode", "OnDemand", "h", "0.000001"),
    ("G2 Instance Core running in Iowa in Calendar Mode", "OnDemand", "h", "0.000001"),
    ("Spot Preemptible Nvidia L4 GPU attached to Spot Preemptible VMs running in Iowa", "Preemptible", "h", "0.000001"),
    ("Commitment v1: SLES for SAP for VM with 4 VCPU for 1 Year", "Commit1Yr", "h", "0.000001"),
    ("Network Internet Data Transfer Out from Americas to Americas", "OnDemand", "GiBy", "0.000001"),
    ("M4 Instance Core running in Iowa", "OnDemand", "h", "0.000001"),
)


def decoys(*regions: str) -> list[Fact]:
    """Return SKUs that must not be taken for the parts that they resemble."""
    return [
        Fact(f"FFFF-0000-{number:04X}", description, usage, unit, Decimal(usd), regions)
        for number, (description, usage, unit, usd) in enumerate(DECOYS)
    ]


def money(usd: Decimal) -> dict[str, Any]:
    """Return an amount as Google writes it: what is 0 is left out."""
    units, nanos = divmod(int(usd * 10**9), 10**9)
    return {"currencyCode": "USD"} | ({"units": str(units)} if units else {}) | ({"nanos": nanos} if nanos else {})


def sku_v1(fact: Fact) -> dict[str, Any]:
    """Return a SKU of the Cloud Billing Catalog v1."""
    amount = money(fact.usd)
    price = {"currencyCode": "USD", "units": amount.get("units", "0"), "nanos": amount.get("nanos", 0)}
    expression = {
        "usageUnit": fact.unit,
        "displayQuantity": 1,
        "baseUnitConversionFactor": 3600,
        "tieredRates": [{"startUsageAmount": 0, "unitPrice": price}],
    }
    return {
        "name": f"services/6F81-5844-456A/skus/{fact.sku_id}",
        "skuId": fact.sku_id,
        "description": fact.description,
        "category": {"resourceFamily": "Compute", "resourceGroup": "CPU", "usageType": fact.usage},
        "serviceRegions": list(fact.regions),
        "pricingInfo": [{"pricingExpression": expression, "effectiveTime": "2026-11-24T08:31:16.371Z"}],
    }


def sku_v2(fact: Fact) -> dict[str, Any]:
    """Return a SKU of the Pricing API."""
    named = [{"region": region} for region in fact.regions]
    one = {"type": "TYPE_REGIONAL", "regionalMetadata": {"region": named[0]}}
    many = {"type": "MULTI_REGIONAL", "multiRegionalMetadata": {"regions": named}}
    return {
        "name": f"skus/{fact.sku_id}",
        "skuId": fact.sku_id,
        "displayName": fact.description,
        "service": "6F81-5844-456A",
        "geoTaxonomy": one if len(named) == 1 else many,
    }


def price_v2(fact: Fact) -> dict[str, Any]:
    """Return a price of the Pricing API."""
    unit = {"unit": fact.unit, "unitDescription": "hour", "unitQuantity": {"value": "1"}}
    tiers = [{"startAmount": {"value": "0"}, "listPrice": money(fact.usd)}]
    rate = {"tiers": tiers, "unitInfo": unit, "aggregationInfo": {"level": "LEVEL_ACCOUNT"}}
    return {"name": f"skus/{fact.sku_id}/price", "currencyCode": "USD", "valueType": "rate", "rate": rate}


def pages_of(key: str, items: Sequence[Mapping[str, Any]], size: int) -> Iterator[dict[str, Any]]:
    """Yield the pages of a list."""
    for start in range(0, len(items), size):
        last = start + size >= len(items)
        yield {key: items[start : start + size]} | ({} if last else {"nextPageToken": f"{start + size}/+="})


def answering(key: str, items: Iterable[Mapping[str, Any]], size: int) -> Callable[[Request], str]:
    """Return what answers a page of a list."""
    pages = list(pages_of(key, list(items), size))

    def answer(request: Request) -> str:
        return json.dumps(pages[int(request.query.get("pageToken", "0").split("/")[0]) // size])

    return answer


def serve(loopback: Loopback, listed: Sequence[Fact], size: int = 40) -> None:
    """Serve facts in both forms, and tokens."""
    loopback.serve(V1, answering("skus", map(sku_v1, listed), size), gzip=True)
    loopback.serve(V2_SKUS, answering("skus", map(sku_v2, listed), size), gzip=True)
    loopback.serve(V2_PRICES, answering("prices", map(price_v2, reversed(listed)), size), gzip=True)
    loopback.serve("/token", json.dumps({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}))
