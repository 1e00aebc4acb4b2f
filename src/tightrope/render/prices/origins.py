"""``tightrope prices sources`` on the terminal."""

from collections.abc import Iterator
from datetime import date

from rich.console import Console
from rich.text import Text

from tightrope.base.catalogue import OLD_DAYS
from tightrope.clouds.book_parts import BookPart
from tightrope.clouds.search.origins import Age, Origin, Origins
from tightrope.render import formats
from tightrope.render.prices import price_formats
from tightrope.render.table import TableColumn, indent_table, print_notes, print_table, print_title
from tightrope.render.terminal import plain_text


def print_origins(origins: Origins, console: Console, today: date) -> None:
    """Print how old each cloud's prices are, then every source: what rests on it, its age, and its licence."""
    rows, old = (sum(age.rows for age in origins.ages), sum(age.old_rows for age in origins.ages))
    print_title(
        console, "sources of the prices", f"{formats.count(origins.origins, 'source')}, {formats.count(rows, 'price')} in force"
    )
    left_out = print_table(console, _ages(origins.ages, today))
    added = [part for part in origins.parts if part.kind != "shipped"]
    left_out += print_table(console, _catalogues(added)) if added else []
    for cloud in dict.fromkeys(origin.clouds for origin in origins.origins):
        _print_cloud(", ".join(cloud), [item for item in origins.origins if item.clouds == cloud], console, today)
    said = f"{old:,} of {formats.count(rows, 'price')} were last seen more than {OLD_DAYS} days ago"
    print_notes(console, [said, *_remedies(origins.ages)], left_out)


def _remedies(ages: tuple[Age, ...]) -> Iterator[str]:
    """Yield what renews old prices: a command for each seller whose lists can be fetched, and what to do about the others."""
    old = [age for age in ages if age.old_rows]
    commands = [f"`tightrope prices refresh {age.cloud}`" for age in old if age.refreshable]
    if commands:
        yield ", ".join(commands) + (" fetches the vendor's own lists" if len(commands) == 1 else " fetch the vendors' own lists")
    by_hand = [age.cloud for age in old if not age.refreshable]
    if by_hand:
        yield f"{', '.join(by_hand)}: transcribed by hand: see docs/how-to/correct-a-price.md"


def _ages(ages: tuple[Age, ...], today: date) -> list[TableColumn]:
    """Return how old the prices of each cloud are."""
    old = [Text(f"{age.old_rows:,}", price_formats.OLD_STYLE if age.old_rows else "") for age in ages]
    return [
        TableColumn("cloud", [plain_text(age.cloud) for age in ages]),
        TableColumn("prices", [price_formats.number(age.rows) for age in ages], right=True),
        TableColumn("oldest seen", [price_formats.day(age.oldest, today, OLD_DAYS) for age in ages]),
        TableColumn("newest seen", [price_formats.day(age.newest, today, OLD_DAYS) for age in ages]),
        TableColumn(f"older than {OLD_DAYS} days", old, right=True),
    ]


def _catalogues(parts: list[BookPart]) -> list[TableColumn]:
    """Return what stands beside the tables that ship."""
    return [
        TableColumn("catalogue", [plain_text(part.kind) for part in parts]),
        TableColumn("of", [plain_text(part.name) for part in parts]),
        TableColumn("rows", [price_formats.number(part.rows) for part in parts], right=True),
        TableColumn("written", [Text(part.written.strftime("%Y-%m-%d %H:%M UTC") if part.written else "") for part in parts]),
        TableColumn("where", [plain_text(str(part.path) if part.path else "") for part in parts], 1),
    ]


def _print_cloud(name: str, origins: list[Origin], console: Console, today: date) -> None:
    """Print the sources of one cloud: a line of figures each, and its words below."""
    console.print()
    console.print(plain_text(name, "bold"))
    for origin in origins:
        age_days = origin.age_days(today)
        priced = any(kind != "machine" for kind in origin.rows)
        seen = f"{origin.oldest}" + (f" to {origin.newest}" if origin.newest != origin.oldest else "")
        line = plain_text(" · ".join([_covers(origin), *origin.bases, f"seen {seen}"]))
        line.append(
            f"  {formats.count(age_days, 'day')} old", price_formats.OLD_STYLE if priced and age_days > OLD_DAYS else "dim"
        )
        console.print()
        console.print(indent_table(line))
        licence = f" [{origin.licence}]" if origin.licence else ""
        console.print(indent_table(plain_text(f"{origin.source}{licence}", "dim")))


def _covers(origin: Origin) -> str:
    """Return how many facts of each kind rest on a source.

    >>> _covers(Origin("list", "", ("aws",), {"price": 1, "machine": 81}, (), date(2026, 1, 1), date(2026, 1, 1)))
    '1 price, 81 machines'
    """
    return ", ".join(formats.count(rows, kind) for kind, rows in origin.rows.items())
