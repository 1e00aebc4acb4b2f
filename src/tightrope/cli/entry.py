"""Shared by the measuring commands: parse an input's shape, print a profile as workload YAML, print a table."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from tightrope.base.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Return name and shape from ``NAME=AxBxC``; raise ``InputError`` if the text is invalid."""
    name, _, axes = text.rpartition("=")
    if not name or re.fullmatch(r"[1-9]\d{0,6}(x[1-9]\d{0,6})*", axes) is None:
        msg = f"--input is {text!r}, expected a name and its shape without the batch, such as pixels=3x224x224"
        raise InputError(msg, resolve="correct --input")
    return name, tuple(int(axis) for axis in axes.split("x"))


def render_entry(entry: dict[str, object]) -> str:
    """Return a profile as YAML for a variant's ``profiles:``."""
    import yaml

    return yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=130)


def print_rows(console: "Console", heads: Mapping[str, int], rows: Sequence[Sequence[str]], left: Collection[str] = ()) -> None:
    """Print a table. ``heads`` rank each column's importance on a narrow console (0 always stays); ``left`` columns hold words.

    Figures are never truncated: columns without space are named below the table.
    """
    from rich.text import Text

    from tightrope.render.table import TableColumn, fit_table, print_notes

    columns = [
        TableColumn(head, [Text(cell) for cell in cells], rank, right=head not in left, crop=12 if head in left else 0)
        for (head, rank), cells in zip(heads.items(), zip(*rows, strict=True), strict=True)
    ]
    table, left_out = fit_table(columns, console.width)
    console.print(table)
    print_notes(console, (), left_out)
