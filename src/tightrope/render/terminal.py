"""Pieces of a summary on the terminal: grids without lines, labels, names that cannot steer a terminal."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tightrope.base.plan import Evidence
from tightrope.render import formats

LABEL_WIDTH = 11
GAP = 2
"""Cells between two columns."""


def plain_text(text: str, style: str = "") -> Text:
    """Return a user's or our own words as they are: no markup is read in them."""
    return Text(formats.strip_controls(text), style=style, overflow="fold")


def grid(*justify: str) -> Table:
    """Return an empty table without lines, one column per justification; ``!`` marks a column that never wraps."""
    table = Table.grid(padding=(0, GAP, 0, 0))
    for side in justify:
        right = side.startswith("right")
        table.add_column(justify="right" if right else "left", no_wrap=side.endswith("!"), overflow="fold")
    return table


def labelled_grid(*justify: str) -> Table:
    """Return a grid whose first column holds a section's label, as wide in every section."""
    table = grid("left!", *justify)
    table.columns[0].min_width = LABEL_WIDTH
    return table


def pack(pieces: Iterable[str], width: int, separator: str = " · ", style: str = "") -> Text:
    r"""Return the pieces side by side in lines of at most ``width`` cells; only a piece wider than a line is broken.

    >>> pack(["8 × g6.xlarge", "spot", "us-east-1"], 20).plain
    '8 × g6.xlarge · spot\nus-east-1'
    """
    lines: list[str] = []
    for piece in map(formats.strip_controls, pieces):
        if lines and cell_len(lines[-1]) + cell_len(separator) + cell_len(piece) <= width:
            lines[-1] += separator + piece
        else:
            lines.append(piece)
    return Text("\n".join(lines), style=style, overflow="fold")


def promise_grid(evidence: Sequence[Evidence], width: int) -> Table:
    """Return one row per promise: verdict, latency, share within it with its interval.

    Where ``width`` cells hold no whole row, the traffic class stands above its promises.
    """
    rows = [
        (
            item.traffic_class,
            item.slo,
            formats.promised_percentile(item),
            formats.attainment(item),
            formats.interval(item),
        )
        for item in evidence
    ]
    verdicts = [Text("✓", "green") if item.verdict == "proven" else Text("✗", "bold red") for item in evidence]
    if sum(max(map(cell_len, column)) + GAP for column in zip(*rows, strict=True)) + 1 <= width:
        table = grid("left!", "left", "left", "right!", "right!", "left!")
        for verdict, row in zip(verdicts, rows, strict=True):
            table.add_row(verdict, *map(plain_text, row))
        return table
    table = grid("left!", "left", "right!", "right!", "left!")
    group = ""
    for verdict, (name, *row) in zip(verdicts, rows, strict=True):
        if name != group:
            table.add_row("", plain_text(name))
        group = name
        table.add_row(verdict, *map(plain_text, (f"  {row[0]}", *row[1:])))
    return table


def add_rows(table: Table, label: RenderableType, rows: Iterable[RenderableType]) -> None:
    """Add rows of which only the first is labelled."""
    for row in rows:
        table.add_row(label, row)
        label = ""
