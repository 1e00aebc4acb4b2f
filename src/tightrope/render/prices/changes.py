"""``tightrope prices diff`` on the terminal."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from tightrope.clouds.search.price_changes import Changes, Difference, How
from tightrope.render import formats
from tightrope.render.prices import price_formats
from tightrope.render.table import GAP, INDENT, TableColumn, crop_names, print_notes, print_table, print_title
from tightrope.render.terminal import plain_text

LEAST_NAME = 12
"""Cells of the console that a name keeps at least."""
GROUPS: dict[How, str] = {"changed": "changed", "withdrawn": "no longer listed", "new": "new to the book"}
"""What became of figures → the heading of such figures."""


def print_changes(changes: Changes, limit: int, console: Console) -> None:
    """Print what changed, at most ``limit`` rows a group, and how much did not."""
    counts = [f"{sum(change.how == how for change in changes.changes):,} {how}" for how in GROUPS]
    print_title(console, f"{changes.since} to {changes.until}", " · ".join(counts))
    left_out: list[str] = []
    for how, heading in GROUPS.items():
        group = [change for change in changes.changes if change.how == how]
        if group:
            console.print()
            shown = f", the {limit:,} largest shown; --limit N shows more" if how == "changed" and len(group) > limit else ""
            console.print(plain_text(f"{heading}: {len(group):,}{shown}", "bold"))
            each = how == "changed" or len(group) <= limit
            left_out += print_table(console, _columns(group[:limit], how, console.width) if each else _counted(group))
    unchanged = f"{changes.seen_again:,} seen again as they were, {changes.untouched:,} not looked at since"
    print_notes(console, [unchanged], left_out)


def _counted(group: Sequence[Difference]) -> list[TableColumn]:
    """Return how many figures of each kind there are, where they are too many to name."""
    kinds = Counter((change.cloud, change.what, change.offer) for change in group)
    counts = sorted(kinds.items())
    of = {kind: [change for change in group if (change.cloud, change.what, change.offer) == kind] for kind in kinds}
    return [
        TableColumn("cloud", [plain_text(kind[0]) for kind, _ in counts]),
        TableColumn("what", [plain_text(kind[1]) for kind, _ in counts]),
        TableColumn("offer", [plain_text(kind[2]) for kind, _ in counts], crop=LEAST_NAME),
        TableColumn("figures", [price_formats.number(count) for _, count in counts], right=True),
        TableColumn(
            "regions", [price_formats.number(len({change.region for change in of[kind]})) for kind, _ in counts], 1, right=True
        ),
        TableColumn(
            "machines, families or items",
            [price_formats.number(len({c.name for c in of[kind]})) for kind, _ in counts],
            2,
            right=True,
        ),
    ]


def _columns(group: Sequence[Difference], how: How, width: int) -> list[TableColumn]:
    """Return the table of one group; on a narrow console the place and the offer stand below what the price is of."""
    figured: list[TableColumn] = []
    if how != "new":
        figured.append(TableColumn("was", [_figure(change, change.old) for change in group], right=True))
    if how != "withdrawn":
        figured.append(TableColumn("is", [_figure(change, change.new) for change in group], right=True))
    if how == "changed":
        figured.append(TableColumn("change", [price_formats.rise(change.old, change.new) for change in group], right=True))
    room = max(LEAST_NAME, width - INDENT - sum(column.width + GAP for column in figured))
    return [
        TableColumn("what", [plain_text(change.what) for change in group], 3),
        TableColumn("cloud", [plain_text(change.cloud) for change in group], 2),
        *(_places(group) if width >= price_formats.WIDE else [_stacked(group, room)]),
        TableColumn("zone or tier", [plain_text(change.zone) for change in group], 5),
        *figured,
        TableColumn("seen", [price_formats.day(change.seen) for change in group], 4),
    ]


def _places(group: Sequence[Difference]) -> list[TableColumn]:
    """Return where a price holds, what it is of, and the offer, side by side."""
    return [
        TableColumn("region", [plain_text(change.region) for change in group]),
        TableColumn("of", [plain_text(change.name) for change in group], crop=LEAST_NAME),
        TableColumn("offer", [plain_text(change.offer) for change in group], crop=LEAST_NAME),
    ]


def _stacked(group: Sequence[Difference], room: int) -> TableColumn:
    """Return what a price is of, where it holds and under which offer, in two lines of at most ``room`` cells."""
    names = crop_names([change.name for change in group], room)
    places = crop_names([f"{change.region} {change.offer}".strip() for change in group], room)
    return TableColumn("of", [Text("\n").join([plain_text(n), plain_text(p, "dim")]) for n, p in zip(names, places, strict=True)])


def _figure(change: Difference, value: Decimal | None) -> Text:
    """Return a price in US dollars, a discount as a percentage."""
    if value is None:
        return Text("")
    return Text(formats.percent(float(value)) if change.what == "discount" else price_formats.usd(value))
