"""``tightrope prices diff`` on the terminal."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from tightrope.clouds.search.changes import Change, Changes, How
from tightrope.render import words
from tightrope.render.prices import figures
from tightrope.render.prices.table import Column, print_notes, print_table, print_title
from tightrope.render.terminal import say

GROUPS: dict[How, str] = {"changed": "changed", "withdrawn": "no longer listed", "new": "new to the book"}
"""How a figure changed → the heading of such figures, those that matter most first."""


def print_changes(changes: Changes, limit: int, console: Console) -> None:
    """Print what changed, at most ``limit`` rows a group, and how much did not."""
    counts = [f"{sum(change.how == how for change in changes.changes):,} {how}" for how in GROUPS]
    print_title(console, f"{changes.since} to {changes.until}", " · ".join(counts))
    left_out: list[str] = []
    for how, heading in GROUPS.items():
        group = sorted((change for change in changes.changes if change.how == how), key=_largest_first)
        if group:
            console.print()
            shown = f", the {limit:,} largest shown; --limit N shows more" if how == "changed" and len(group) > limit else ""
            console.print(say(f"{heading}: {len(group):,}{shown}", "bold"))
            each = how == "changed" or len(group) <= limit
            left_out += print_table(console, _columns(group[:limit], how) if each else _counted(group))
    unchanged = f"{changes.seen_again:,} seen again as they were, {changes.untouched:,} not looked at since"
    print_notes(console, [unchanged], left_out)


def _largest_first(change: Change) -> tuple[object, ...]:
    """Return what changes are ordered by: how much, then where."""
    return -abs(change.share or 0.0), change.what, change.cloud, change.name, change.region, change.offer, change.zone


def _counted(group: Sequence[Change]) -> list[Column]:
    """Return how many figures of each kind there are, where they are too many to name."""
    kinds = Counter((change.cloud, change.what, change.offer) for change in group)
    counts = sorted(kinds.items())
    of = {kind: [change for change in group if (change.cloud, change.what, change.offer) == kind] for kind in kinds}
    return [
        Column("cloud", [say(kind[0]) for kind, _ in counts]),
        Column("what", [say(kind[1]) for kind, _ in counts]),
        Column("offer", [say(kind[2]) for kind, _ in counts]),
        Column("figures", [figures.number(count) for _, count in counts], right=True),
        Column("regions", [figures.number(len({change.region for change in of[kind]})) for kind, _ in counts], 1, right=True),
        Column(
            "machines, families or items", [figures.number(len({c.name for c in of[kind]})) for kind, _ in counts], 2, right=True
        ),
    ]


def _columns(group: Sequence[Change], how: How) -> list[Column]:
    """Return the table of one group."""
    columns = [
        Column("what", [say(change.what) for change in group], 3),
        Column("cloud", [say(change.cloud) for change in group], 2),
        Column("region", [say(change.region) for change in group]),
        Column("of", [say(change.name) for change in group]),
        Column("offer", [say(change.offer) for change in group], 1),
        Column("zone or tier", [say(change.zone) for change in group], 5),
    ]
    if how != "new":
        columns.append(Column("was", [_figure(change, change.old) for change in group], right=True))
    if how != "withdrawn":
        columns.append(Column("is", [_figure(change, change.new) for change in group], right=True))
    if how == "changed":
        columns.append(Column("change", [figures.rise(change.share) for change in group], right=True))
    return [*columns, Column("seen", [figures.day(change.seen) for change in group], 4)]


def _figure(change: Change, value: Decimal | None) -> Text:
    """Return a price in US dollars, a discount as a percentage."""
    if value is None:
        return Text("")
    return Text(words.percent(float(value)) if change.what == "discount" else figures.usd(value))
