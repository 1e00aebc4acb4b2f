"""What Azure's retail price server sends: items filtered, a thousand a page, the next page's link with a port and with spaces."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from tests.clouds.loopback import Loopback, Request

PATH = "/api/retail/prices"
PAGE = 1000
SIZE = re.compile(r"\d+(-\d+)?")
PRODUCTS = {"NCasT4v3": "Virtual Machines NCasT4 v3 Series", "NCadsA100v4": "NCads A100 v4 Series Linux"}
"""Names that are written otherwise than those of most series."""
TERM = re.compile(r"(\w+) eq '([^']*)'")
FIELD = {"priceType": "type"}
Item: TypeAlias = dict[str, Any]


def series(machine: str) -> str:
    """Return the series as products name it: ``Easv5`` for ``Standard_E4as_v5``."""
    return SIZE.sub("", machine.removeprefix("Standard_"), count=1).replace("_", "")


def product(machine: str) -> str:
    """Return the product that has the prices of a Linux machine."""
    return PRODUCTS.get(series(machine), f"Virtual Machines {series(machine)} Series")


def item(machine: str, usd: object, **other: object) -> Item:
    """Return an item of the list, by default an on-demand price of a Linux machine in East US."""
    size = machine.removeprefix("Standard_").replace("_", " ")
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": usd,
        "unitPrice": usd,
        "armRegionName": "eastus",
        "location": "US East",
        "effectiveStartDate": "2023-09-01T00:00:00Z",
        "meterId": f"meter of {size}",
        "meterName": size,
        "productId": "DZH318Z0K9JH",
        "skuId": "DZH318Z0K9JH/00QW",
        "productName": product(machine),
        "skuName": size,
        "serviceName": "Virtual Machines",
        "serviceId": "DZH313Z7MMC8",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": machine,
    } | other


def unit_item(service: str, product: str, meter: str, measure: str, usd: object, **other: object) -> Item:
    """Return an item that is no machine's."""
    return item(
        "", usd, serviceName=service, productName=product, meterName=meter, skuName="Standard", unitOfMeasure=measure, **other
    )


def every_item_of(machine: str, usd: float, region: str = "eastus") -> Iterator[Item]:
    """Yield the dozen items that one machine has, of which four are its prices (six with the savings plans)."""
    sku = machine.removeprefix("Standard_").replace("_", " ")
    windows = {"productName": f"Virtual Machines {series(machine)} Series Windows"}
    services, closely = ({"productName": f"{series(machine)} Series {name}"} for name in ("Cloud Services", "CloudServices"))
    spot, low = {"skuName": f"{sku} Spot"}, {"skuName": f"{sku} Low Priority"}
    plans = [{"retailPrice": round(usd * part, 6), "term": term} for part, term in ((0.5, "3 Years"), (0.7, "1 Year"))]

    def one(share: float, **other: object) -> Item:
        return item(machine, round(usd * share, 6), armRegionName=region, **other)

    def term(years: int, share: float) -> Item:
        named = "1 Year" if years == 1 else f"{years} Years"
        return one(1, type="Reservation", reservationTerm=named) | {"retailPrice": float(round(usd * 8760 * years * share))}

    yield one(0.3, **services, **low)
    yield one(1.1, **closely)
    yield one(0.2, **low)
    yield one(1, savingsPlan=plans)
    yield term(1, 0.6)
    yield term(3, 0.4)
    yield term(5, 0.3)
    yield one(2, **windows)
    yield one(1, **windows, type="DevTestConsumption")
    yield one(0.25, **spot)
    yield one(1.3, **windows, **spot)
    yield one(0.4, **windows, **low)


def transfer(region: str = "eastus") -> Iterator[Item]:
    """Yield what data transfer costs."""
    place, mgn = {"armRegionName": region}, "Rtn Preference: MGN"
    for above, usd in ((0, 0.0), (100, 0.087), (10100, 0.083), (50100, 0.07), (150100, 0.05)):
        yield unit_item("Bandwidth", mgn, "Standard Data Transfer Out", "1 GB", usd, tierMinimumUnits=above, **place)
    yield unit_item("Bandwidth", "Bandwidth - Routing Preference: Internet", "Standard Data Transfer Out", "1 GB", 0.08, **place)
    yield unit_item("Bandwidth", mgn, "Standard Inter-Region Data Transfer", "1 GB", 0.02, **place)
    yield unit_item("Bandwidth", mgn, "Standard Inter-Availability Zone Data Transfer Out", "1 GB", 0.01, **place)


def containers(region: str = "eastus") -> Iterator[Item]:
    """Yield what Container Instances cost."""
    name = "Container Instances"
    yield unit_item(name, name, "Standard vCPU Duration", "1 Hour", 0.0405, armRegionName=region)
    yield unit_item(name, name, "Standard Memory Duration", "1 GB Hour", 0.00445, armRegionName=region)
    yield unit_item(name, name, "Standard Windows Software", "1 Second", 0.000012, armRegionName=region)


def page_of(items: Sequence[Item], query: Mapping[str, str], link: str) -> bytes:
    """Return the page that a query asks for."""
    wanted = TERM.findall(query["$filter"])
    found = [each for each in items if all(each[FIELD.get(key, key)] == value for key, value in wanted)]
    skip = int(query.get("$skip", 0))
    following = f"{link}?api-version={query['api-version']}&$filter={query['$filter']}&$skip={skip + PAGE}"
    page = found[skip : skip + PAGE]
    envelope = {
        "BillingCurrency": "USD",
        "CustomerEntityId": "Default",
        "CustomerEntityType": "Retail",
        "Items": page,
        "NextPageLink": following if skip + PAGE < len(found) else None,
        "Count": len(page),
    }
    return json.dumps(envelope).encode()


def serve(loopback: Loopback, items: Sequence[Item], link: str = f"https://prices.azure.com:443{PATH}") -> None:
    """Serve these items as Azure does; ``link`` is what a next page's link begins with."""

    def answer(request: Request) -> bytes:
        assert request.query["api-version"] == "2023-01-01-preview"
        return page_of(items, request.query, link)

    loopback.serve(PATH, answer, gzip=True)


def changed(each: Item, change: Callable[[Item], object]) -> Item:
    """Return a copy of an item, changed."""
    copy = dict(each)
    change(copy)
    return copy
