"""What changed in the price book between two days: the answer to ``tightrope prices diff``."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal, TypeAlias, get_args

from tightrope.base.catalogue import Discount, PriceRow, UnitPrice
from tightrope.clouds.book import PriceBook
from tightrope.clouds.search.name_matching import matching

What: TypeAlias = Literal["price", "unit price", "discount"]
How: TypeAlias = Literal["changed", "withdrawn", "new"]
"""What became of a figure, what matters most first."""
Key: TypeAlias = tuple[What, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that is not what it was."""

    what: What
    how: How
    cloud: str
    region: str
    name: str
    """The machine; of a unit price the item and its unit, of a discount the machine family."""
    offer: str
    zone: str
    """The zone that a price holds in, the tier that a unit price begins at; empty for all."""
    old: Decimal | None
    """US dollars an hour, or a unit; of a discount the share taken off. None where there was none."""
    new: Decimal | None
    seen: date
    """The day on which the newer figure was seen, or the older one last."""

    @property
    def share(self) -> float | None:
        """The rise as a part of the old figure; see ``rise``."""
        return rise(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Changes:
    """All that is different between the books of two days."""

    since: date
    until: date
    changes: tuple[Difference, ...]
    """Those that changed, then those withdrawn, then the new ones; of each the largest first."""
    seen_again: int
    """Figures that were seen again as they were."""
    untouched: int
    """Figures that nobody has looked at since."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """What the two books are compared by."""

    value: Decimal
    seen: date


def rise(old: Decimal | None, new: Decimal | None) -> float | None:
    """Return how much more expensive something became, as a part of the old price; negative for a fall.

    None where there was none before (or it was free), or is none after.

    >>> rise(Decimal("0.8"), Decimal("1.0")), rise(Decimal(2), Decimal(0)), rise(Decimal(0), Decimal(2))
    (0.25, -1.0, None)
    """
    return float(new / old) - 1.0 if old and new is not None else None


def changes(before: PriceBook, after: PriceBook, clouds: Iterable[str], since: date, until: date) -> Changes:
    """Return what differs between the stated figures of two books, of the clouds that the patterns name.

    What is derived from a discount when it is asked for shows as a change of the discount, or of the on-demand price. Raises
    ``UnknownNameError`` for a cloud that neither book has.
    """
    wanted = matching(clouds, {*before.clouds, *after.clouds}, "cloud")
    old, new = _figures(before, wanted), _figures(after, wanted)
    kept = {key for key in old.keys() & new.keys() if old[key].value == new[key].value}
    found = [_difference(key, old.get(key), new.get(key)) for key in sorted({*old, *new} - kept)]
    again = sum(old[key].seen < new[key].seen for key in kept)
    return Changes(since, until, tuple(sorted(found, key=_largest_first)), again, len(kept) - again)


def _largest_first(change: Difference) -> tuple[object, ...]:
    """Return what changes are ordered by: what became of them, how much, then where."""
    place = change.what, change.cloud, change.name, change.region, change.offer, change.zone
    return get_args(How).index(change.how), -abs(change.share or 0.0), *place


def _figures(book: PriceBook, clouds: frozenset[str]) -> dict[Key, _Figure]:
    """Return every stated figure of these clouds, by what it is of."""
    rows = (*book.every_row(), *(book.discounts | book.own_discounts).values())
    return dict(_figure(row) for row in rows if row.cloud in clouds)


def _figure(row: PriceRow | UnitPrice | Discount) -> tuple[Key, _Figure]:
    """Return what a row is of, and its figure."""
    if isinstance(row, PriceRow):
        return ("price", row.cloud, row.region, row.machine, row.offer, row.zone), _Figure(row.usd_per_hour, row.seen)
    if isinstance(row, UnitPrice):
        tier = f"above {row.above:f}" if row.above else ""
        return ("unit price", row.cloud, row.region, f"{row.item} per {row.unit}", "", tier), _Figure(row.usd, row.seen)
    return ("discount", row.cloud, row.region, row.family, row.offer, ""), _Figure(row.share_off, row.seen)


def _difference(key: Key, old: _Figure | None, new: _Figure | None) -> Difference:
    """Return how one figure changed."""
    what, cloud, region, name, offer, zone = key
    how: How = "withdrawn" if new is None else "new" if old is None else "changed"
    last = new or old
    assert last is not None  # noqa: S101 - a key comes from one of the two books
    return Difference(
        what, how, cloud, region, name, offer, zone, old.value if old else None, new.value if new else None, last.seen
    )
