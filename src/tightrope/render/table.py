"""A table that fits the console: no cell is wrapped, the columns that matter least are left out, and long names cropped."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tightrope.render.terminal import GAP, grid, plain_text

INDENT = 2


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column: its head and its cells, as many in every column of a table."""

    head: str
    cells: Sequence[Text]
    rank: int = 0
    """How much it matters where the console is narrow: 0 always stays, the others come in their order while there is room."""
    right: bool = False
    crop: int = 0
    """Cells of the console that its words may be cropped to where even the columns that always stay are too wide; 0: never."""

    @property
    def width(self) -> int:
        """Cells of the console that it needs."""
        return max(line.cell_len for cell in (Text(self.head), *self.cells) for line in cell.split())


def crop_names(names: Sequence[str], room: int) -> list[str]:
    """Return names that fit, the middle left out where they are too long; the beginning where two would look the same.

    >>> crop_names(["meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", "gpt-4o"], 20)
    ['meta-llama…uct-Turbo', 'gpt-4o']
    >>> crop_names(["instance-savings-plan-1y-no-upfront", "instance-savings-plan-3y-no-upfront"], 16)
    ['…n-1y-no-upfront', '…n-3y-no-upfront']
    """
    head, tail = room // 2, (room - 1) // 2
    short = {name: name if len(name) <= room else f"{name[:head]}…{name[len(name) - tail :]}" for name in names}
    alike = Counter(short.values())
    return [short[name] if alike[short[name]] == 1 else f"…{name[len(name) - room + 1 :]}" for name in names]


def _cropped(columns: list[TableColumn], width: int) -> list[TableColumn]:
    """Return columns of which those that may be are cropped until all that must stay have room."""
    over = sum(column.width + GAP for column in columns if not column.rank) - GAP - width
    made: list[TableColumn] = []
    for column in columns:
        room = max(column.crop, column.width - over)
        if over > 0 and column.crop and room < column.width:
            over -= column.width - room
            texts = crop_names([cell.plain for cell in column.cells], room)
            cells = [Text(text, cell.style, overflow="fold") for text, cell in zip(texts, column.cells, strict=True)]
            made.append(replace(column, cells=cells))
        else:
            made.append(column)
    return made


def fit_table(columns: Iterable[TableColumn], width: int) -> tuple[Table, list[str]]:
    """Return the table of the columns that a width has room for, and the heads of those left out."""
    filled = _cropped([column for column in columns if any(cell.plain.strip() for cell in column.cells)], width)
    left, chosen = width + GAP, set[int]()
    for place in sorted(range(len(filled)), key=lambda place: filled[place].rank):
        needs = filled[place].width + GAP
        if not filled[place].rank or needs <= left:
            left -= needs
            chosen.add(place)
    kept = [column for place, column in enumerate(filled) if place in chosen]
    left_out = [column.head for place, column in enumerate(filled) if place not in chosen]
    table = grid(*("right!" if column.right else "left!" for column in kept))
    table.add_row(*(Text(column.head, "dim") for column in kept))
    for row in zip(*(column.cells for column in kept), strict=True):
        table.add_row(*row)
    return table, left_out


def print_title(console: Console, title: str, about: str) -> None:
    """Print the first line of an answer."""
    console.print(plain_text(title, "bold"), plain_text(about, "dim"), sep="  ")


def print_table(console: Console, columns: Iterable[TableColumn]) -> list[str]:
    """Print a table below an empty line; return the heads of the columns that there was no room for."""
    table, left_out = fit_table(columns, console.width - INDENT)
    console.print()
    console.print(indent_table(table))
    return left_out


def indent_table(table: RenderableType) -> Padding:
    """Return a table or text as it stands below a title."""
    return Padding(table, (0, 0, 0, INDENT), expand=False)


def print_notes(console: Console, notes: Iterable[str], left_out: Iterable[str] = ()) -> None:
    """Print what is to be known of a table, and which columns it lacks."""
    lacks = list(dict.fromkeys(left_out))
    said = [*filter(None, notes), *([f"no room here for: {', '.join(lacks)} (a wider terminal, or --json)"] if lacks else [])]
    if said:
        console.print()
    for note in said:
        console.print(indent_table(plain_text(note, "dim")))
