"""Price rows from AWS's lists; implausible prices are left out and counted.

An invalid number, another currency or another unit means that the list has another shape: ``SourceError``. An implausible price
(zero, negative, absurd), an incomplete term, a price not yet in force, a commitment more expensive than on demand: each is left out
and counted, because one bad price does not discredit the rest.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_UP, Decimal

from tightrope.base.catalogue import ON_DEMAND, PriceRow
from tightrope.base.units import HOURS_PER_YEAR, THOUSANDTH_OF_A_CENT
from tightrope.clouds.aws.offers import Listing, ListPrice
from tightrope.clouds.downloads import Fetcher, reshaped

LEAST_USD_PER_HOUR, MOST_USD_PER_HOUR = Decimal("0.0005"), Decimal(10_000)
"""Plausible prices of a machine (the lowest that AWS lists on demand is 0.0042); any other is an error in the list."""
LEASES = {"1yr": 1, "3yr": 3}
PAYMENTS = {"No Upfront": "no-upfront", "Partial Upfront": "partial-upfront", "All Upfront": "all-upfront"}
CLASSES = {"standard": "reserved", "convertible": "convertible"}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,4})?", re.ASCII)


class SkippedRates:
    """Counts the prices of a list that were left out: reason → machines."""

    def __init__(self) -> None:
        """Start with nothing left out."""
        self.machines: dict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, machine: str) -> None:
        """Count one price."""
        self.machines[reason].append(machine)

    def note(self, fetcher: Fetcher, region: str) -> None:
        """Tell the user, one note a reason."""
        for reason, machines in sorted(self.machines.items()):
            names = sorted(set(machines))
            some = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
            fetcher.note(f"aws {region}: left out {len(machines)} × {reason} ({some})")


@dataclass(frozen=True, slots=True)
class MachineRate:
    """The price of one machine under one offer from one day on."""

    machine: str
    offer: str
    usd_per_hour: Decimal
    """The whole price, with the upfront payment spread over the term."""
    upfront_usd: Decimal
    effective: str


def usd_of(text: object, where: str) -> Decimal:
    """Return a list's amount as a number; raise ``SourceError`` if it is not one.

    >>> usd_of("0.5260000000", "a list")
    Decimal('0.5260000000')
    """
    written = str(text)
    if not NUMBER.fullmatch(written):
        raise reshaped(where, written, "a price in US dollars")
    return Decimal(written)


def plausible(usd_per_hour: Decimal) -> bool:
    """Return whether the price is plausible for a machine."""
    return LEAST_USD_PER_HOUR <= usd_per_hour <= MOST_USD_PER_HOUR


def rounded_up(usd_per_hour: Decimal) -> Decimal:
    """Return a price rounded up to a thousandth of a cent.

    >>> rounded_up(Decimal("0.123450001"))
    Decimal('0.12346')
    """
    return trimmed(usd_per_hour.quantize(THOUSANDTH_OF_A_CENT, ROUND_UP))


def trimmed(amount: Decimal) -> Decimal:
    """Return an amount without trailing zeros.

    >>> trimmed(Decimal("0.5260000000")), trimmed(Decimal("2750"))
    (Decimal('0.526'), Decimal('2750'))
    """
    short = amount.normalize()
    return short.quantize(Decimal(1)) if short == short.to_integral_value() else short


def in_force(effective: str, today: date, where: str) -> bool:
    """Return whether a price is in force today; raise ``SourceError`` for an invalid date."""
    try:
        return date.fromisoformat(effective[:10]) <= today
    except ValueError as error:
        raise reshaped(where, effective, "an effective date such as 2026-11-01") from error


def check_currency(currency: str, where: str) -> None:
    """Raise ``SourceError`` unless a price is in US dollars."""
    if currency != "USD":
        raise reshaped(where, currency, "prices in USD")


def check_unit(unit: str, units: Collection[str], where: str) -> None:
    """Raise ``SourceError`` unless a price is in one of ``units``."""
    if unit not in units:
        raise reshaped(where, unit, f"prices per {' or '.join(units)}")


def on_demand_rows(listing: Listing, today: date, skipped: SkippedRates) -> dict[str, PriceRow]:
    """Return machine → its on-demand row; raise ``SourceError`` if there is none, or for an unknown shape."""
    rates = _find_rates("OnDemand", listing, today, skipped)
    rows = rows_of(rates, listing.region, listing.source, today, skipped)
    if not rows:
        expected = "on-demand prices of Linux machines whose families are known"
        raise reshaped(listing.where, f"{len(listing.products)} such machines, none with a price", expected)
    return {row.machine: row for row in rows}


def reserved_rows(listing: Listing, on_demand: Mapping[str, PriceRow], today: date, skipped: SkippedRates) -> list[PriceRow]:
    """Return the rows of Reserved Instances, standard and convertible; raise ``SourceError`` for an unknown shape."""
    rates = _find_rates("Reserved", listing, today, skipped)
    return rows_of(cheaper(rates, on_demand, skipped), listing.region, listing.source, today, skipped)


def cheaper(rates: Iterable[MachineRate], on_demand: Mapping[str, PriceRow], skipped: SkippedRates) -> Iterator[MachineRate]:
    """Yield the commitments that cost at most as much as on demand: any other is an error in the list, or useless."""
    for rate in rates:
        row = on_demand.get(rate.machine)
        if row is None or rate.usd_per_hour > row.usd_per_hour:
            skipped.add("commitment that is not cheaper than on demand", rate.machine)
        else:
            yield rate


def rows_of(rates: Iterable[MachineRate], region: str, source: str, today: date, skipped: SkippedRates) -> list[PriceRow]:
    """Return a row for the newest rate of each machine and offer; none where the list has two prices at once."""
    by_key: dict[tuple[str, str], list[MachineRate]] = defaultdict(list)
    for rate in rates:
        by_key[rate.machine, rate.offer].append(rate)
    rows: list[PriceRow] = []
    for (machine, offer), found in sorted(by_key.items()):
        newest = max(rate.effective[:10] for rate in found)
        listed = {(rate.usd_per_hour, rate.upfront_usd) for rate in found if rate.effective[:10] == newest}
        if len(listed) > 1:
            skipped.add(f"{offer} with two prices at once", machine)
            continue
        usd_per_hour, upfront_usd = listed.pop()
        row = PriceRow("aws", region, machine, offer, usd_per_hour, 0, None, "list", source, today, upfront_usd=upfront_usd)
        rows.append(row)
    return rows


def _find_rates(kind: str, listing: Listing, today: date, skipped: SkippedRates) -> Iterator[MachineRate]:
    """Yield the machines' rates of one kind of term in force."""
    terms: dict[tuple[str, str, str], list[ListPrice]] = defaultdict(list)
    for price in listing.prices:
        if price.kind != kind or price.sku not in listing.products:
            continue
        check_currency(price.currency, listing.where)
        check_unit(price.unit, ("Hrs", "Quantity"), listing.where)
        terms[price.sku, price.term, price.effective].append(price)
    for (sku, _, effective), parts in terms.items():
        machine = listing.products[sku].machine
        started = in_force(effective, today, listing.where)
        rate = _parse_rate(machine, parts, listing.where) if started else "price not yet in force"
        if isinstance(rate, MachineRate):
            yield rate
        else:
            skipped.add(rate, machine)


def _parse_rate(machine: str, parts: list[ListPrice], where: str) -> MachineRate | str:
    """Return the rate of one term, or the reason why it is invalid."""
    terms = parts[0]
    years, kind, payment = LEASES.get(terms.lease), CLASSES.get(terms.offering), PAYMENTS.get(terms.payment)
    hourly, upfront = ([usd_of(part.price, where) for part in parts if part.unit == unit] for unit in ("Hrs", "Quantity"))
    if len(hourly) > 1 or len(upfront) > 1:
        return "term with several hourly or upfront prices"
    hourly_usd, upfront_usd = sum(hourly, Decimal(0)), sum(upfront, Decimal(0))
    if terms.kind == "OnDemand":
        return _include_upfront(MachineRate(machine, ON_DEMAND, hourly_usd, upfront_usd, terms.effective), "no-upfront", 1)
    if years is None or kind is None or payment is None:
        return f"unknown term {terms.lease!r}, {terms.payment!r}, {terms.offering!r}"
    return _include_upfront(
        MachineRate(machine, f"{kind}-{years}y-{payment}", hourly_usd, upfront_usd, terms.effective), payment, years
    )


def _include_upfront(parts: MachineRate, payment: str, years: int) -> MachineRate | str:
    """Return a rate with its upfront payment in the hourly price, or the reason why it is invalid: a missing part is not zero."""
    hourly, upfront = parts.usd_per_hour, parts.upfront_usd
    fits = {
        "no-upfront": hourly > 0 and upfront == 0,
        "partial-upfront": hourly > 0 and upfront > 0,
        "all-upfront": hourly == 0 and upfront > 0,
    }
    all_in = hourly + upfront / (HOURS_PER_YEAR * years)
    if not fits[payment] or not plausible(all_in):
        return "implausible price of a machine"
    return MachineRate(
        parts.machine, parts.offer, rounded_up(all_in) if upfront else trimmed(all_in), trimmed(upfront), parts.effective
    )
