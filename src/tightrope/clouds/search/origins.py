"""Where the price book's figures come from and how old they are: the answer to ``tightrope prices sources``."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from tightrope.base import registry
from tightrope.base.catalogue import OLD_DAYS, CommitmentRule, Discount, MachineType, PriceRow, UnitPrice
from tightrope.clouds.book import PriceBook
from tightrope.clouds.book_parts import BookPart
from tightrope.clouds.search.name_matching import matching

Fact: TypeAlias = MachineType | PriceRow | UnitPrice | Discount | CommitmentRule
KINDS: dict[type, str] = {
    MachineType: "machine",
    PriceRow: "price",
    UnitPrice: "unit price",
    Discount: "discount",
    CommitmentRule: "commitment rule",
}
PARTS = re.compile(r"(?<=\]); ")
"""What joins the sources of one figure: each ends with its licence in brackets."""
LESS = re.compile(r"on-demand(?: less [\d.]+ %)?: ")
"""What stands before a source of a price that was derived when it was asked for (see ``PriceBook.find``)."""
LICENCE = re.compile(r"(?P<text>.*) \[(?P<licence>[^\[\]]*)\]", re.DOTALL)


def sources_of(text: str) -> tuple[str, ...]:
    """Return the sources of one figure, each as its own row has it.

    >>> sources_of("on-demand less 19 %: smallest seen [own]; on-demand: price list [facts]")
    ('smallest seen [own]', 'price list [facts]')
    """
    return tuple(dict.fromkeys(LESS.sub("", part, count=1) if LESS.match(part) else part for part in PARTS.split(text)))


@dataclass(frozen=True, slots=True)
class Origin:
    """One public source, and what the book has from it."""

    source: str
    licence: str
    """Empty where the source states none."""
    clouds: tuple[str, ...]
    rows: dict[str, int]
    """Kind of fact (``price``, ``machine``, …) → rows in force that rest on it, alone or with others."""
    bases: tuple[str, ...]
    """Whether its prices stand in a list, were derived, or both; none where it is of no prices."""
    oldest: date
    newest: date

    def age_days(self, today: date) -> int:
        """Return the age of its oldest row, days."""
        return (today - self.oldest).days


@dataclass(frozen=True, slots=True)
class Age:
    """How old the prices of one cloud are."""

    cloud: str
    rows: int
    """Prices, unit prices and discounts in force."""
    old_rows: int
    """Those of them that were seen more than ``OLD_DAYS`` before the day asked for."""
    oldest: date
    newest: date
    refreshable: bool = False
    """Whether its seller's own lists can be fetched."""


@dataclass(frozen=True, slots=True)
class Origins:
    """Everything that the book rests on."""

    origins: tuple[Origin, ...]
    parts: tuple[BookPart, ...]
    ages: tuple[Age, ...]
    """Of each cloud, by name."""


def facts(book: PriceBook) -> Iterator[Fact]:
    """Yield every fact that is in force."""
    yield from book.machine_types.values()
    yield from book.every_row()
    yield from (book.discounts | book.own_discounts).values()
    yield from book.commitments.values()


def origins(book: PriceBook, parts: tuple[BookPart, ...], today: date, clouds: Iterable[str] = ()) -> Origins:
    """Return the sources of all facts in force of the clouds that the patterns name, by cloud, the oldest first.

    Raises ``UnknownNameError`` for a cloud that is not there.
    """
    known = tuple(facts(book))
    wanted = matching(clouds, {fact.cloud for fact in known}, "cloud")
    every = [fact for fact in known if fact.seen <= today]
    of: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in every:
        for source in sources_of(fact.source) if fact.cloud in wanted else ():
            of[source].append(fact)
    found = [_origin(source, rows) for source, rows in of.items()]
    priced = [fact for fact in every if isinstance(fact, (PriceRow, UnitPrice, Discount))]
    ages = [_age(cloud, [fact for fact in priced if fact.cloud == cloud], today) for cloud in sorted(wanted)]
    kept = tuple(part for part in parts if part.kind == "own" or part.name in wanted)
    return Origins(
        tuple(sorted(found, key=lambda item: (item.clouds, item.oldest, item.source))), kept, tuple(age for age in ages if age)
    )


def _age(cloud: str, rows: list[PriceRow | UnitPrice | Discount], today: date) -> Age | None:
    """Return how old a cloud's prices are; None where it has none."""
    seen = [row.seen for row in rows]
    if not seen:
        return None
    seller = registry.load_clouds().get(cloud)
    old = sum((today - day).days > OLD_DAYS for day in seen)
    return Age(cloud, len(seen), old, min(seen), max(seen), bool(seller and seller.importer))


def _origin(source: str, rows: list[Fact]) -> Origin:
    """Return one source with what rests on it."""
    named = LICENCE.fullmatch(source)
    return Origin(
        source=named["text"] if named else source,
        licence=named["licence"] if named else "",
        clouds=tuple(sorted({row.cloud for row in rows})),
        rows=dict(Counter(KINDS[type(row)] for row in rows)),
        bases=tuple(sorted({row.basis for row in rows if isinstance(row, (PriceRow, UnitPrice))})),
        oldest=min(row.seen for row in rows),
        newest=max(row.seen for row in rows),
    )
