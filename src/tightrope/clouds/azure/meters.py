"""Reads items of Azure's retail price list: which are prices of Linux machines by the hour, and what an hour then costs.

One machine has a dozen items in a region, told apart by names only, which the list writes in several ways (``Easv5 Series
CloudServices``, ``Dasv5 Series Cloud Services``): they are compared without spaces, signs and capitals. Left out are Windows, Cloud
Services, dedicated hosts, promotions, DevTest prices, Low Priority (an older kind of spot), every other product than ``… Series`` or
``… Series Linux``, prices that do not hold yet or any more, tiers above the first, and terms other than 1 and 3 years. A
reservation's price is that of the whole term, though its unit says ``1 Hour``. Pure functions of what was sent.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_UP, Decimal
from typing import TypeAlias, TypeVar

from tightrope.base.catalogue import ON_DEMAND, SPOT
from tightrope.base.errors import SourceError
from tightrope.base.units import HOURS_PER_YEAR, THOUSANDTH_OF_A_CENT
from tightrope.clouds.downloads import reshaped

YEARS = {"1 Year": 1, "3 Years": 3}
CHEAPEST_USD_PER_HOUR, DEAREST_USD_PER_HOUR = Decimal("0.0001"), Decimal(1000)
"""What lies outside is no price of a machine: the cheapest costs half a cent, the most expensive 150 dollars an hour (2026)."""
SIZE = re.compile(r"\d+(-\d+)?")
SIGNS = re.compile(r"[\W_]+")
PRODUCT = re.compile(r"(?:virtualmachines)?((?:(?!series).)+)series(?:linux)?")
"""The plain name of a product that has the prices of Linux machines of one series."""
APART = {
    "windows": "Windows",
    "cloudservices": "Cloud Services",
    "dedicatedhost": "Dedicated Host",
    "promo": "promotion",
    "lowpriority": "Low Priority",
    "expired": "expired",
}
"""What a price of something else is known by, anywhere in its names, and how it is told."""
Item: TypeAlias = Mapping[str, object]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, order=True)
class MeterQuote:
    """What one item says of one machine and offer; of several, the greatest counts: primary, then newest, then most expensive."""

    primary: bool
    """Whether the meter is the one that bills this region."""
    since: date
    usd_per_hour: Decimal
    machine: str
    offer: str
    product: str
    """The product that has the price: prices of several products of one machine are not compared."""


def as_object(got: object, where: str) -> Item:
    """Return a JSON object; raise ``SourceError`` for anything else."""
    if not isinstance(got, dict):
        raise reshaped(where, got, "an object")
    return got


def unlike(where: str, key: str, got: object, expected: str) -> SourceError:
    """Return the error for what an item has under a key."""
    return reshaped(f"{where}: {key}", got, expected)


def part(item: Item, key: str, kind: type[Value], where: str) -> Value:
    """Return what an item has under a key; raise ``SourceError`` where it has none, or none of that kind."""
    value = item.get(key)
    if not isinstance(value, kind):
        raise unlike(where, key, value, f"a value of type {kind.__name__}")
    return value


def machine_name(item: Item, where: str) -> str:
    """Return the machine that an item names, empty where it is none's."""
    return "" if item.get("armSkuName", "missing") is None else part(item, "armSkuName", str, where)


def number(item: Item, key: str, where: str) -> Decimal:
    """Return a finite number; raise ``SourceError`` for text, true, infinity, or nothing."""
    got = item.get(key)
    if isinstance(got, bool) or not isinstance(got, int | Decimal) or not Decimal(got).is_finite():
        raise unlike(where, key, got, "a number")
    return Decimal(got)


def day(item: Item, key: str, where: str) -> date:
    """Return the day of a timestamp such as ``2023-09-01T00:00:00Z``."""
    text = part(item, key, str, where)
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise unlike(where, key, text, "a timestamp such as 2023-09-01T00:00:00Z") from None


def in_force(item: Item, today: date, where: str) -> bool:
    """Return whether a price holds today."""
    ended = item.get("effectiveEndDate") is not None and day(item, "effectiveEndDate", where) < today
    return day(item, "effectiveStartDate", where) <= today and not ended


def check_place(item: Item, region: str, where: str) -> None:
    """Raise ``SourceError`` for a price in another currency, or of another region than was asked for."""
    for key, expected in (("currencyCode", "USD"), ("armRegionName", region)):
        if part(item, key, str, where) != expected:
            raise unlike(where, key, item[key], repr(expected))


def quotes(item: Item, machine: str, today: date, left_out: Counter[str], where: str) -> Iterator[MeterQuote]:
    """Yield what an item says of a machine: one price, and those of savings plans beside an on-demand price.

    Counts in ``left_out`` what it says that is none of ours, by reason. Raises ``SourceError`` for an item of another shape.
    """
    offer, hours, reason = _offer(item, where)
    if not reason:
        reason = _no_price(item, today, where)
    if reason:
        left_out[reason] += 1
        return
    named = {offer: (number(item, "retailPrice", where), hours)}
    if offer == ON_DEMAND:
        named |= _savings_plans(item, left_out, where)
    primary, since = part(item, "isPrimaryMeterRegion", bool, where), day(item, "effectiveStartDate", where)
    for name, (usd, its_hours) in named.items():
        if CHEAPEST_USD_PER_HOUR <= usd / its_hours <= DEAREST_USD_PER_HOUR:
            usd_per_hour = usd if its_hours == 1 else (usd / its_hours).quantize(THOUSANDTH_OF_A_CENT, ROUND_UP)
            yield MeterQuote(primary, since, usd_per_hour, machine, name, product_of(item, where))
        else:
            left_out["no sensible price (zero, negative or absurd)"] += 1


def _offer(item: Item, where: str) -> tuple[str, int, str]:
    """Return the offer that an item prices, over how many hours, and why it is none of ours (else empty)."""
    kind, names = part(item, "type", str, where), _names(item, where)
    reason = "DevTest" if kind == "DevTestConsumption" else _other_thing(item, names, where)
    if reason:
        return "", 0, reason
    if kind == "Reservation":
        term = part(item, "reservationTerm", str, where)
        years = YEARS.get(term, 0)
        return f"reserved-{years}y", years * HOURS_PER_YEAR, "" if years else f"reservation of {term}"
    if kind != "Consumption":
        raise unlike(where, "type", kind, "Consumption, DevTestConsumption or Reservation")
    return (SPOT if "spot" in names else ON_DEMAND), 1, ""


def _other_thing(item: Item, names: str, where: str) -> str:
    """Return what else than a Linux machine an item prices, empty where it prices one."""
    apart = next((reason for word, reason in APART.items() if word in names), "")
    return apart or ("" if product_of(item, where) else "another product than a series")


def _names(item: Item, where: str) -> str:
    """Return the names of an item, each plain."""
    return " ".join(plain(part(item, key, str, where)) for key in ("productName", "skuName", "meterName"))


def plain(name: str) -> str:
    """Return a name without spaces, signs and capitals, in which the list is not consistent.

    >>> plain("Easv5 Series CloudServices"), plain("Low-Priority")
    ('easv5seriescloudservices', 'lowpriority')
    """
    return SIGNS.sub("", name.casefold())


def product_of(item: Item, where: str) -> str:
    """Return the plain name of the series whose Linux machines an item's product is of, empty where it is another product.

    >>> product_of({"productName": "Virtual Machines NCasT4 v3 Series"}, ""), product_of({"productName": "Lasv3 Series Linux"}, "")
    ('ncast4v3', 'lasv3')
    """
    match = PRODUCT.fullmatch(plain(part(item, "productName", str, where)))
    return match[1] if match else ""


def _no_price(item: Item, today: date, where: str) -> str:
    """Return why an item of ours holds no price for today's first hour, empty where it does."""
    if part(item, "unitOfMeasure", str, where) != "1 Hour":
        return "in another unit than hours"
    if number(item, "tierMinimumUnits", where) > 0:
        return "of a tier above the first"
    return "" if in_force(item, today, where) else "not in force today"


def _savings_plans(item: Item, left_out: Counter[str], where: str) -> dict[str, tuple[Decimal, int]]:
    """Return offer → (hourly price, 1) of the savings plans that an on-demand item names."""
    found: dict[str, tuple[Decimal, int]] = {}
    for entry in part(item, "savingsPlan", list, where) if "savingsPlan" in item else ():
        plan = as_object(entry, f"{where}: savingsPlan")
        term = part(plan, "term", str, where)
        if term in YEARS:
            found[f"savings-plan-{YEARS[term]}y"] = number(plan, "retailPrice", where), 1
        else:
            left_out[f"savings plan of {term}"] += 1
    return found


def series(machine: str) -> str:
    """Return a machine's name without its size, which all sizes of a series share.

    >>> series("Standard_D192s_v6"), series("Standard_E96-48s_v5")
    ('Standard_D#s_v6', 'Standard_E#s_v5')
    """
    return SIZE.sub("#", machine, count=1)
