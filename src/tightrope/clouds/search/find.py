"""Which machines are sold where, and for how much: the answer to ``tightrope prices find``."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from math import inf
from typing import Literal, TypeAlias, cast, get_args

from tightrope.base.catalogue import MachineType, PriceRow
from tightrope.base.errors import InputError, find_near_names
from tightrope.clouds.book import PriceBook
from tightrope.clouds.search.name_matching import (
    FIRST_OFFERS,
    Span,
    in_order,
    matching,
    matching_gpus,
    matching_machines,
    offer_names,
    parse_span,
    words,
)
from tightrope.clouds.search.regional_prices import regional, sold

Sort: TypeAlias = Literal["price", "per-gpu", "per-gib", "per-vcpu", "vcpu", "memory", "machine", "region", "seen"]


@dataclass(frozen=True, slots=True)
class Query:
    """What ``tightrope prices find`` was asked, word for word; see its ``--help``. What is left out is empty, or None."""

    gpus: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    clouds: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    gpu_count: str | None = None
    gpu_memory_gib: str | None = None
    vcpu: str | None = None
    memory_gib: str | None = None
    arch: str | None = None
    max_usd_per_hour: float | None = None
    sort: str = "price"


@dataclass(frozen=True, slots=True)
class Hit:
    """One machine in one region."""

    machine: MachineType
    region: str
    prices: tuple[PriceRow | None, ...]
    """Its row under each offer of ``SearchResult.offers``, None where it is not sold so."""

    @property
    def usd_per_hour(self) -> Decimal:
        """The price under the first offer that it is sold under."""
        return next(row.usd_per_hour for row in self.prices if row is not None)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What was found, in the order asked for."""

    offers: tuple[str, ...]
    hits: tuple[Hit, ...]
    near_offers: tuple[str, ...] = ()
    """Where no machine is sold under any of the offers asked for: those that it is sold under, like them if some are."""


def total_memory_gib(machine: MachineType) -> float:
    """Return the memory that a model is served from: that of all accelerators together, else that of the machine."""
    return machine.accelerators * machine.accelerator_memory_gib or machine.memory_gib


def find(book: PriceBook, query: Query) -> SearchResult:
    """Return the machines and regions that a query means, each with its price under every offer asked for.

    Raises ``UnknownNameError`` for a name that matches nothing, with near names, and ``InputError`` for a range that is none or
    a name that is blank.
    """
    sort = _sort(query.sort)
    machines = _machines(book, query)
    regions = _regions(book, query)
    offers = in_order(matching(query.offers, offer_names(book), "offer")) if query.offers else FIRST_OFFERS
    places = [(name, region) for name, region in sold(book) if region in regions and name in machines]
    every = [
        Hit(machines[name], region, tuple(regional(book, name, region, offer) for offer in offers)) for name, region in places
    ]
    most = Decimal("Infinity") if query.max_usd_per_hour is None else Decimal(str(query.max_usd_per_hour))
    hits = [hit for hit in every if any(row is not None and row.usd_per_hour <= most for row in hit.prices)]
    unsold = query.offers and not any(row for hit in every for row in hit.prices)
    offers, hits = _without_empty(offers, hits)
    found = tuple(sorted(hits, key=lambda hit: (sort(hit), _first_usd(hit), hit.machine.name, hit.region)))
    return SearchResult(offers, found, _near_offers(book, places, query.offers) if unsold else ())


def _near_offers(book: PriceBook, places: Iterable[tuple[str, str]], asked: Iterable[str]) -> tuple[str, ...]:
    """Return offers that some of the machines are sold under and whose names are like one asked for, all where none is like it."""
    clouds = {book.machine_types[name].cloud for name, _ in places}
    stated = {row.offer for row in book.every_price() if row.cloud in clouds}
    known = stated | {
        discount.offer for discount in (*book.discounts.values(), *book.own_discounts.values()) if discount.cloud in clouds
    }
    offers = {name for name in known if any(regional(book, *place, name) for place in places)}
    patterns = [pattern.casefold().rstrip("*") for pattern in words(asked)]
    near = {
        name for name in offers for pattern in patterns if name.startswith(pattern) or name in find_near_names(pattern, offers)
    }
    return in_order(near or offers)


def _machines(book: PriceBook, query: Query) -> dict[str, MachineType]:
    """Return name → machine of those that the query means."""
    every = book.machine_types.values()
    clouds = matching(query.clouds, {machine.cloud for machine in every}, "cloud")
    families = matching(query.families, {machine.family for machine in every}, "family")
    archs = matching([] if query.arch is None else [query.arch], {machine.arch for machine in every}, "architecture")
    gpus = matching_gpus(query.gpus, book)
    names = matching_machines(query.machines, book)
    spans = _spans(query)
    return {
        machine.name: machine
        for machine in every
        if machine.cloud in clouds
        and machine.family in families
        and machine.arch in archs
        and machine.name in names
        and (gpus is None or machine.accelerator in gpus)
        and all(span.holds(measure(machine)) for span, measure in spans)
    }


def _spans(query: Query) -> list[tuple[Span, Callable[[MachineType], float]]]:
    """Return the ranges that the query states, each with what it measures."""
    return [
        (parse_span(query.vcpu, "--vcpu"), lambda machine: machine.vcpu),
        (parse_span(query.memory_gib, "--memory"), lambda machine: machine.memory_gib),
        (parse_span(query.gpu_count, "--gpus"), lambda machine: machine.accelerators),
        (parse_span(query.gpu_memory_gib, "--gpu-memory"), lambda machine: machine.accelerator_memory_gib),
    ]


def _regions(book: PriceBook, query: Query) -> frozenset[str]:
    """Return the regions that the query means, of all clouds."""
    clouds = matching(query.clouds, {machine.cloud for machine in book.machine_types.values()}, "cloud")
    return matching(query.regions, {row.region for row in book.every_price() if row.cloud in clouds}, "region")


def _without_empty(offers: tuple[str, ...], hits: list[Hit]) -> tuple[tuple[str, ...], list[Hit]]:
    """Return offers and hits without the offers that nothing found is sold under."""
    kept = [place for place in range(len(offers)) if any(hit.prices[place] for hit in hits)]
    slim = [Hit(hit.machine, hit.region, tuple(hit.prices[place] for place in kept)) for hit in hits]
    return tuple(offers[place] for place in kept), slim


def _first_usd(hit: Hit) -> float:
    """Return what a hit is ordered by: the price under the first offer asked for; what is not sold so comes last."""
    return float(hit.prices[0].usd_per_hour) if hit.prices[0] else inf


SORTS: dict[Sort, Callable[[Hit], float | str]] = {
    "price": _first_usd,
    "per-gpu": lambda hit: _first_usd(hit) / hit.machine.accelerators if hit.machine.accelerators else inf,
    "per-gib": lambda hit: _first_usd(hit) / total_memory_gib(hit.machine),
    "per-vcpu": lambda hit: _first_usd(hit) / hit.machine.vcpu,
    "vcpu": lambda hit: hit.machine.vcpu,
    "memory": lambda hit: hit.machine.memory_gib,
    "machine": lambda hit: hit.machine.name,
    "region": lambda hit: hit.region,
    "seen": lambda hit: min(row.seen for row in hit.prices if row).isoformat(),
}
"""What hits may be sorted by, the smallest first."""


def _sort(name: str) -> Callable[[Hit], float | str]:
    """Return the measure of a sort; raise ``InputError`` for one that there is not."""
    if name not in SORTS:
        msg = f"--sort: got {name[:40]!r}, expected one of {', '.join(get_args(Sort))}"
        raise InputError(msg, resolve="use --sort price, the default, or another of these")
    return SORTS[cast("Sort", name)]
