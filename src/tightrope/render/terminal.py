"""Pieces of a summary on the terminal: grids without lines, labels, names that can not steer a terminal."""

from collections.abc import Iterable

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tightrope.base.plan import Evidence
from tightrope.render import formats

LABEL_WIDTH = 11


def plain_text(text: str, style: str = "") -> Text:
    """Return a user's or our own words as they are: no markup is read in them."""
    return Text(formats.strip_controls(text), style=style, overflow="fold")


def grid(*justify: str) -> Table:
    """Return an empty table without lines, one column per justification; ``!`` marks a column that never wraps."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for side in justify:
        right = side.startswith("right")
        table.add_column(justify="right" if right else "left", no_wrap=side.endswith("!"), overflow="fold")
    return table


def labelled_grid(*justify: str) -> Table:
    """Return a grid whose first column holds a section's label, as wide in every section."""
    table = grid("left!", *justify)
    table.columns[0].min_width = LABEL_WIDTH
    return table


def promise_grid(evidence: Iterable[Evidence]) -> Table:
    """Return one row per promise: the verdict, what was seen, the share within it with its interval."""
    table = grid("left!", "left", "left", "right!", "right!", "left!")
    for item in evidence:
        verdict = Text("✓", "green") if item.verdict == "proven" else Text("✗", "bold red")
        cells = (
            item.traffic_class,
            item.slo,
            formats.promised_percentile(item),
            formats.attainment(item),
            formats.interval(item),
        )
        table.add_row(verdict, *map(plain_text, cells))
    return table


def add_rows(table: Table, label: RenderableType, rows: Iterable[RenderableType]) -> None:
    """Add rows of which only the first is labelled."""
    for row in rows:
        table.add_row(label, row)
        label = ""
