"""What the verbs that measure share: an input's shape as an option says it, a profile as a workload takes it, and a table of figures."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from tightrope.base.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Return the name and the shape of ``NAME=AxBxC``; raise ``InputError`` where it is none."""
    name, _, axes = text.rpartition("=")
    if not name or re.fullmatch(r"[1-9]\d{0,6}(x[1-9]\d{0,6})*", axes) is None:
        msg = f"--input is {text!r}, expected a name and its shape but for the batch, such as pixels=3x224x224"
        raise InputError(msg, resolve="correct --input")
    return name, tuple(int(axis) for axis in axes.split("x"))


def entry_yaml(entry: dict[str, object]) -> str:
    """Return a profile's entry as it stands under a variant's ``profiles:``."""
    import yaml

    return yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=130)


def print_rows(console: "Console", heads: Mapping[str, int], rows: Sequence[Sequence[str]], left: Collection[str] = ()) -> None:
    """Print a table; ``heads`` say how much each column matters on a narrow console (0 stays), the ``left`` ones are words.

    No figure is ever cut short: what there is no room for is named below the table.
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
