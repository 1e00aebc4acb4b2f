"""Reads prices that are not per machine from Azure's retail price list: data transfer and Container Instances."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tightrope.base.catalogue import UnitPrice
from tightrope.clouds.azure.meters import Item, check_place, day, in_force, number, part

MGN = "Rtn Preference: MGN"
"""Data transfer that takes Microsoft's own network, as it does where nothing else was chosen."""
FREE = (Decimal(0),)
EGRESS_TIERS_GB = tuple(Decimal(above) for above in (100, 10_100, 50_100, 150_100))
DEAREST_USD = 100


@dataclass(frozen=True, slots=True)
class AzureMeter:
    """How the list names a price, and how the price book does."""

    service: str
    product: str
    name: str
    measure: str
    item: str
    unit: str
    tiers: tuple[Decimal, ...] = FREE
    """Where its tiers begin (what lies below is free): with others, the book's older tiers would stay between them."""


METERS = (
    AzureMeter("Bandwidth", MGN, "Standard Data Transfer Out", "1 GB", "internet-egress", "GB", EGRESS_TIERS_GB),
    AzureMeter("Bandwidth", MGN, "Standard Inter-Region Data Transfer", "1 GB", "inter-region-transfer", "GB"),
    AzureMeter(
        "Bandwidth", MGN, "Standard Inter-Availability Zone Data Transfer Out", "1 GB", "inter-zone-transfer", "GB each way"
    ),
    AzureMeter("Container Instances", "Container Instances", "Standard vCPU Duration", "1 Hour", "container-cpu", "vCPU-hour"),
    AzureMeter(
        "Container Instances", "Container Instances", "Standard Memory Duration", "1 GB Hour", "container-memory", "GB-hour"
    ),
)
SERVICES = tuple(dict.fromkeys(meter.service for meter in METERS))


def unit_prices(
    items: Iterable[Item], service: str, region: str, today: date, where: str
) -> Iterator[UnitPrice | tuple[AzureMeter, str]]:
    """Yield the prices that a service's items hold of the meters above, or a meter and why it is left out.

    Raises ``SourceError`` for an item of another shape.
    """
    meters = {(meter.product, meter.name): meter for meter in METERS if meter.service == service}
    tiers: dict[AzureMeter, dict[Decimal, tuple[bool, date, Decimal]]] = defaultdict(dict)
    for item in items:
        meter = meters.get((part(item, "productName", str, where), part(item, "meterName", str, where)))
        if meter is None or part(item, "type", str, where) != "Consumption" or not in_force(item, today, where):
            continue
        check_place(item, region, where)
        above, usd = number(item, "tierMinimumUnits", where), number(item, "retailPrice", where)
        if part(item, "unitOfMeasure", str, where) != meter.measure:
            usd = Decimal(-1)  # in another unit: as unusable as a price that is none
        rank = part(item, "isPrimaryMeterRegion", bool, where), day(item, "effectiveStartDate", where), usd
        tiers[meter][above] = max(rank, tiers[meter].get(above, rank))
    for meter, found in tiers.items():
        yield from _tiers(meter, {above: usd for above, (_, _, usd) in found.items()}, region, today)


def _tiers(
    meter: AzureMeter, usd_above: dict[Decimal, Decimal], region: str, today: date
) -> Iterator[UnitPrice | tuple[AzureMeter, str]]:
    """Yield a meter's tiers, or the meter and why they cannot be taken."""
    paid = {above: usd for above, usd in usd_above.items() if above or usd}
    if not all(0 < usd < DEAREST_USD for usd in paid.values()):
        yield meter, "no sensible price"
    elif tuple(sorted(paid)) != meter.tiers:
        yield meter, f"tiers from {', '.join(f'{above:g}' for above in sorted(paid)) or 'nowhere'}"
    else:
        source = f"Azure Retail Prices, service {meter.service}, {meter.product}, {meter.name}"
        for above in meter.tiers:
            yield UnitPrice("azure", region, meter.item, meter.unit, paid[above], "list", source, today, above)
