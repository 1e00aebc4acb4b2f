"""``tightrope prices diff`` on the terminal."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from tightrope.clouds.search.changes import Changes, Difference, How
from tightrope.render import words
from tightrope.render.prices import figures
from tightrope.render.table import GAP, INDENT, Column, cropped, print_notes, print_table, print_title
from tightrope.render.terminal import say

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
            console.print(say(f"{heading}: {len(group):,}{shown}", "bold"))
            each = how == "changed" or len(group) <= limit
            left_out += print_table(console, _columns(group[:limit], how, console.width) if each else _counted(group))
    unchanged = f"{changes.seen_again:,} seen again as they were, {changes.untouched:,} not looked at since"
    print_notes(console, [unchanged], left_out)


def _counted(group: Sequence[Difference]) -> list[Column]:
    """Return how many figures of each kind there are, where they are too many to name."""
    kinds = Counter((change.cloud, change.what, change.offer) for change in group)
    counts = sorted(kinds.items())
    of = {kind: [change for change in group if (change.cloud, change.what, change.offer) == kind] for kind in kinds}
    return [
        Column("cloud", [say(kind[0]) for kind, _ in counts]),
        Column("what", [say(kind[1]) for kind, _ in counts]),
        Column("offer", [say(kind[2]) for kind, _ in counts], crop=LEAST_NAME),
        Column("figures", [figures.number(count) for _, count in counts], right=True),
        Column("regions", [figures.number(len({change.region for change in of[kind]})) for kind, _ in counts], 1, right=True),
        Column(
            "machines, families or items", [figures.number(len({c.name for c in of[kind]})) for kind, _ in counts], 2, right=True
        ),
    ]


def _columns(group: Sequence[Difference], how: How, width: int) -> list[Column]:
    """Return the table of one group; on a narrow console the place and the offer stand below what the price is of."""
    figured: list[Column] = []
    if how != "new":
        figured.append(Column("was", [_figure(change, change.old) for change in group], right=True))
    if how != "withdrawn":
        figured.append(Column("is", [_figure(change, change.new) for change in group], right=True))
    if how == "changed":
        figured.append(Column("change", [figures.rise(change.old, change.new) for change in group], right=True))
    room = max(LEAST_NAME, width - INDENT - sum(column.width + GAP for column in figured))
    return [
        Column("what", [say(change.what) for change in group], 3),
        Column("cloud", [say(change.cloud) for change in group], 2),
        *(_places(group) if width >= figures.WIDE else [_stacked(group, room)]),
        Column("zone or tier", [say(change.zone) for change in group], 5),
        *figured,
        Column("seen", [figures.day(change.seen) for change in group], 4),
    ]


def _places(group: Sequence[Difference]) -> list[Column]:
    """Return where a price holds, what it is of, and the offer, side by side."""
    return [
        Column("region", [say(change.region) for change in group]),
        Column("of", [say(change.name) for change in group], crop=LEAST_NAME),
        Column("offer", [say(change.offer) for change in group], crop=LEAST_NAME),
    ]


def _stacked(group: Sequence[Difference], room: int) -> Column:
    """Return what a price is of, where it holds and under which offer, in two lines of at most ``room`` cells."""
    names = cropped([change.name for change in group], room)
    places = cropped([f"{change.region} {change.offer}".strip() for change in group], room)
    return Column("of", [Text("\n").join([say(n), say(p, "dim")]) for n, p in zip(names, places, strict=True)])


def _figure(change: Difference, value: Decimal | None) -> Text:
    """Return a price in US dollars, a discount as a percentage."""
    if value is None:
        return Text("")
    return Text(words.percent(float(value)) if change.what == "discount" else figures.usd(value))
