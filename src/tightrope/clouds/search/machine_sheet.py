"""All that is known of one machine: the answer to ``tightrope prices show``."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from tightrope.base.catalogue import ON_DEMAND, MachineType, PriceRow, Withdrawal
from tightrope.clouds.book import PriceBook
from tightrope.clouds.book_parts import BookPart
from tightrope.clouds.search.name_matching import matching, named_machine, offer_names, rank, unknown_machine
from tightrope.clouds.search.regional_prices import sold, ways_to_pay


@dataclass(frozen=True, slots=True)
class OfferQuote:
    """One way to pay for the machine in one region."""

    row: PriceRow
    share_off: float | None
    """Part of the region's on-demand price that is saved; None where that is not known, and of on-demand itself."""
    zones: tuple[PriceRow, ...]
    """The rows that hold in single zones, by zone."""


@dataclass(frozen=True, slots=True)
class PriceStep:
    """What a price was on a day; ``usd_per_hour`` is None where it had been withdrawn by then."""

    seen: date
    usd_per_hour: Decimal | None
    last_seen: date
    """The last day on which it was still seen so."""
    own: bool = False
    """Whether it is the user's own, which stands before all others whatever its day."""


@dataclass(frozen=True, slots=True)
class History:
    """How one price went, the oldest step first."""

    region: str
    offer: str
    zone: str
    """Empty for the region as a whole."""
    steps: tuple[PriceStep, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One machine, its prices in force, and how those that ever changed went."""

    machine: MachineType
    quotes: tuple[OfferQuote, ...]
    histories: tuple[History, ...]
    terms: dict[str, int]
    """Offer → years that it commits to."""


def share_off(row: PriceRow | None, on_demand: PriceRow | None) -> float | None:
    """Return which part of the on-demand price a row saves, negative where it costs more; None where either is not known."""
    if row is None or on_demand is None or row.offer == on_demand.offer:
        return None
    return 1.0 - float(row.usd_per_hour / on_demand.usd_per_hour)


def sheet(
    book: PriceBook,
    name: str,
    regions: Iterable[str] = (),
    offers: Iterable[str] = (),
    parts: Iterable[BookPart] = (),
) -> Sheet:
    """Return what is known of a machine in the regions and under the offers that the patterns name (all where there is none).

    ``parts`` hold the rows of all dates, for the histories. Raises ``UnknownNameError`` for a name that matches nothing.
    """
    machine = named_machine(book, name)
    if machine is None:
        raise unknown_machine(name, book)
    here = {region for name, region in sold(book) if name == machine.name}
    every = _histories(book, machine.name, parts)
    places = sorted(matching(regions, here | {item.region for item in every}, f"{machine.name} region"))
    named = matching(offers, offer_names(book), "offer")
    quotes = [quote for region in places for quote in _quotes(book, machine.name, region) if quote.row.offer in named]
    terms = {offer: rule.term_years for (cloud, offer), rule in book.commitments.items() if cloud == machine.cloud}
    histories = [item for item in every if item.region in places and item.offer in named]
    return Sheet(machine, tuple(quotes), tuple(histories), terms)


def _quotes(book: PriceBook, machine: str, region: str) -> list[OfferQuote]:
    """Return every way to pay in one region: on-demand, spot, then the cheapest first.

    What is priced in single zones only stands there with its most expensive zone.
    """
    on_demand = book.find(machine, region, ON_DEMAND)
    found = [
        OfferQuote(row, share_off(row, on_demand), book.zone_prices(machine, region, row.offer))
        for row in ways_to_pay(book, machine, region)
    ]
    return sorted(found, key=lambda quote: rank(quote.row.offer))


@dataclass(frozen=True, slots=True)
class _DatedPrice:
    """A row of any day, and whether it is the user's own."""

    row: PriceRow | Withdrawal
    own: bool


def _histories(book: PriceBook, machine: str, parts: Iterable[BookPart]) -> list[History]:
    """Return how each price of a machine went that was not always the same, by region and offer."""
    dated: defaultdict[tuple[str, str, str], list[_DatedPrice]] = defaultdict(list)
    for part in parts:
        for row in (row for item in part.catalogues for row in (*item.prices, *item.withdrawn)):
            if row.machine == machine and (book.as_of is None or row.seen <= book.as_of):
                dated[row.region, row.offer, row.zone].append(_DatedPrice(row, part.kind == "own"))
    for region, offer, zone in [place for place in dated if place[2]]:
        whole = dated.get((region, offer, ""), ())
        dated[region, offer, zone] += [item for item in whole if isinstance(item.row, Withdrawal)]
    found = [History(*place, steps=_up_to_now(book, machine, place, _steps(rows))) for place, rows in sorted(dated.items())]
    return [item for item in found if len(item.steps) > 1]


def _steps(rows: list[_DatedPrice]) -> list[PriceStep]:
    """Return the course of one price, the user's own last; sightings of the same price in a row are one step.

    A seller that lists a price on the day on which another list lacks it still sells it so.
    """
    listed = {item.row.seen for item in rows if isinstance(item.row, PriceRow)}
    kept = [item for item in rows if isinstance(item.row, PriceRow) or item.row.seen not in listed]
    steps: list[PriceStep] = []
    for item in sorted(kept, key=lambda item: (item.own, item.row.seen)):
        usd = item.row.usd_per_hour if isinstance(item.row, PriceRow) else None
        if steps and steps[-1].usd_per_hour == usd:
            steps[-1] = replace(steps[-1], last_seen=max(steps[-1].last_seen, item.row.seen))
        else:
            steps.append(PriceStep(item.row.seen, usd, item.row.seen, item.own))
    return steps


def _up_to_now(book: PriceBook, machine: str, place: tuple[str, str, str], steps: list[PriceStep]) -> tuple[PriceStep, ...]:
    """Return the steps, the last of them the price in force; none of a zone whose region has a price of the user's instead.

    What a discount of the user's makes of a listed price has no row of its own: it is the last step then.
    """
    region, offer, zone = place
    zones = {row.zone: row for row in book.zone_prices(machine, region, offer)}
    now = zones.get(zone) if zone else book.find(machine, region, offer)
    last = steps[-1]
    if now is None:
        return tuple(steps) if last.usd_per_hour is None else ()
    if last.usd_per_hour == now.usd_per_hour:
        return tuple(steps)
    return (*steps, PriceStep(now.seen, now.usd_per_hour, now.seen, own=book.rows.get((machine, region, offer)) != now))
