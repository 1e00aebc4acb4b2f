"""Reads a catalogue's tables (CSV, in a folder or a zip file) into records, and refuses whatever it cannot trust.

A catalogue may hold ``machines.csv``, ``prices.csv``, ``unit_prices.csv``, ``discounts.csv``, ``commitments.csv``,
``withdrawn.csv`` and ``sources.csv``. The columns of each are the fields of its record in ``base/catalogue.py``, in any order;
a field with a default may be left out. ``source`` is either plain text or keys of ``sources.csv``, each with an ``@`` in front
(``@karpenter-list @zones-counted``), which are replaced by what they stand for. ``seen`` of a derived figure is the date of the
oldest figure in it, so that its age is not flattered.

A table is read column by column, each different cell parsed once: tens of thousands of rows load in a tenth of a second.
"""

import csv
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from datetime import date
from decimal import Decimal
from functools import cache
from io import StringIO
from itertools import repeat
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

from tightrope.base.catalogue import UNITS, Catalogue, CommitmentRule, Discount, MachineType, PriceRow, UnitPrice, Withdrawal
from tightrope.base.contracts import Face
from tightrope.base.errors import InputError, Where, find_near_names

MAX_FILE_BYTES = 32 * 1024**2
"""A larger table is refused unread: a whole cloud's catalogue is a few megabytes."""

Folder: TypeAlias = Path | zipfile.Path
Record = TypeVar("Record", MachineType, PriceRow, UnitPrice, Discount, CommitmentRule, Withdrawal)
Number = TypeVar("Number", int, float, Decimal)

# --------------------------------------------------------------------------------------------------------- single cells


@dataclass(frozen=True, slots=True)
class Column:
    """How a cell is read, and what to ask for where that fails (by any ``ValueError``, ``ArithmeticError`` or ``KeyError``)."""

    parse: Callable[[str], object]
    expected: str


class _ParsedColumn(dict[str, object]):
    """Cell → value, each different cell parsed once."""

    def __init__(self, column: Column) -> None:
        """Start with nothing parsed."""
        super().__init__()
        self.column = column

    def __missing__(self, cell: str) -> object:
        value = self[cell] = self.column.parse(cell)
        return value


def numeric(convert: Callable[[str], Number], *, zero: bool, below: int = 1_000_000_000) -> Callable[[str], Number]:
    """Return a parser of numbers in 0 ≤ x < ``below`` (0 < x unless ``zero``, as a float too); NaN is in no such range."""

    def parse(cell: str) -> Number:
        value = convert(cell)
        if not (0 <= value < below and (zero or float(value) > 0)):
            raise ValueError
        return value

    return parse


def _text(cell: str) -> str:
    """Return a cell that says something."""
    if not cell.strip():
        raise ValueError
    return cell.strip()


def _one_of(*words: str) -> Column:
    """Return the reader of a cell that holds one of a few words."""

    def parse(cell: str) -> str:
        if cell not in words:
            raise ValueError
        return cell

    return Column(parse, f"{', '.join(words[:-1])} or {words[-1]}")


def _or_unknown(parse: Callable[[str], float]) -> Callable[[str], float | None]:
    """Return a parser to which an empty cell is None."""
    return lambda cell: parse(cell) if cell else None


def _share(cell: str) -> Decimal:
    """Return a share from 0 to 1."""
    value = numeric(Decimal, zero=True, below=2)(cell)
    if value > 1:
        raise ValueError
    return value


COUNT = Column(numeric(int, zero=True), "a whole number of 0 or more")
PRICE = Column(numeric(Decimal, zero=False, below=1_000_000), "a price in US dollars, more than 0 (what is not sold has no row)")
TEXT = Column(_text, "some text")
OPTIONAL_TEXT = Column(str.strip, "some text, or nothing")
COLUMNS = {
    "vcpu": Column(numeric(int, zero=False), "a whole number of 1 or more"),
    "memory_gib": Column(numeric(float, zero=False), "GiB, more than 0"),
    "accelerator": Column(lambda cell: cell.strip().lower(), "a model, or nothing where there is none"),
    "accelerators": COUNT,
    "accelerator_memory_gib": Column(numeric(float, zero=True), "GiB, 0 where there is no accelerator"),
    "network_gbps": Column(_or_unknown(numeric(float, zero=False)), "gigabits a second, or nothing where unknown"),
    "usd_per_hour": PRICE,
    "usd": Column(
        numeric(Decimal, zero=True, below=1_000_000), "a price in US dollars, 0 only where the seller says that it is free"
    ),
    "upfront_usd": Column(numeric(Decimal, zero=True), "US dollars, 0 where nothing is paid at the start"),
    "above": Column(numeric(Decimal, zero=True, below=10**15), "units a month, 0 for the first tier"),
    "zones": COUNT,
    "zone": OPTIONAL_TEXT,
    "interruptions_per_month": Column(
        _or_unknown(numeric(float, zero=True, below=1)), "a share from 0 to less than 1, or nothing where it does not apply"
    ),
    "basis": _one_of("list", "derived"),
    "share_off": Column(numeric(Decimal, zero=False, below=1), "a share of more than 0 and less than 1"),
    "scope": _one_of("machine", "family", "region", "any"),
    "term_years": Column(numeric(int, zero=False, below=11), "years, from 1 to 10"),
    "upfront_share": Column(_share, "a share from 0 to 1"),
    "order": COUNT,
    "inflexible_families": OPTIONAL_TEXT,
    "excluded_families": OPTIONAL_TEXT,
    "rate": _one_of("fixed", "floating"),
    "seen": Column(cache(date.fromisoformat), "a date such as 2026-07-20"),
}
"""Every column that is not plain text."""


# -------------------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True, slots=True)
class CatalogueTable:
    """A file's cells, by column name, each a tuple as long as ``lines``, which holds each row's line number."""

    path: Folder
    lines: list[int]
    columns: dict[str, Sequence[str]]

    def where(self, row: int) -> Where:
        """Return the place of a row."""
        return Where(str(self.path), self.lines[row])


def _content(path: Folder) -> str:
    """Return a table's text; raise ``InputError`` for what is no regular UTF-8 file of a sensible size."""
    try:
        size = path.stat().st_size if isinstance(path, Path) and path.is_file() else 0
        if not path.is_file() or size > MAX_FILE_BYTES:
            msg = f"the table is no regular file of at most {MAX_FILE_BYTES} bytes"
            raise InputError(msg, where=Where(str(path)), resolve="keep the rows of the machines you use, in a CSV file")
        with path.open(mode="r", encoding="utf-8-sig", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, None, error) from error


def _unreadable(path: Folder, line: int | None, error: Exception) -> InputError:
    """Return the error for what is not a table."""
    after = f" after line {line}" if line else ""
    msg = f"the table cannot be read{after}: {error}"
    return InputError(msg, where=Where(str(path)), resolve="give a CSV file in UTF-8")


def _rows(path: Folder) -> tuple[list[int], list[list[str]]]:
    """Return the line number and the cells of each row that is not blank."""
    reader = csv.reader(StringIO(_content(path), newline=""), strict=True)
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                lines.append(reader.line_num)
                rows.append(row)
    except csv.Error as error:
        raise _unreadable(path, lines[-1] if lines else None, error) from error
    return lines, rows


def _check_header(header: list[str], required: list[str], optional: list[str], where: Where) -> None:
    """Raise ``InputError`` unless the header names every required column once, none twice, and no unknown one."""
    expected = required + optional
    for name in header:
        if name not in expected:
            near = find_near_names(name, expected, 1)
            resolve = f"rename it {near[0]}" if near else f"use the columns {', '.join(expected)}"
            msg = f"unknown column {name[:80]!r}"
            raise InputError(msg, where=where, resolve=resolve)
    wrong = [name for name in expected if header.count(name) > 1 or (name in required and name not in header)]
    if wrong:
        msg = f"column {wrong[0]!r} is there {header.count(wrong[0])} times, expected once"
        raise InputError(msg, where=where, resolve=f"use the columns {', '.join(expected)}")


def read_table(path: Folder, required: list[str], optional: list[str]) -> CatalogueTable:
    """Return a table with these columns; a file without a header, or with rows of another length, is an error."""
    lines, rows = _rows(path)
    header = rows[0] if rows else []
    _check_header(header, required, optional, Where(str(path), lines[0] if lines else 1))
    table = CatalogueTable(path, lines[1:], dict(zip(header, zip(*rows[1:], strict=False), strict=False)))
    if {len(row) for row in rows[1:]} - {len(header)}:
        bad = next(index for index, row in enumerate(rows[1:]) if len(row) != len(header))
        msg = f"the row has {len(rows[bad + 1])} cells, expected {len(header)}"
        raise InputError(msg, where=table.where(bad), resolve=f"give one cell each for {', '.join(header)}")
    return table


def parse_column(table: CatalogueTable, name: str, column: Column) -> list[object]:
    """Return a column's values; raise ``InputError`` with line, what was got and expected."""
    cells, parsed = table.columns.get(name, ()), _ParsedColumn(column)
    values: list[object] = []
    try:
        values.extend(map(parsed.__getitem__, cells))
    except (ValueError, ArithmeticError, KeyError) as error:
        bad = len(values)
        msg = f"column {name!r}: got {cells[bad][:80]!r}, expected {column.expected}"
        raise InputError(msg, where=table.where(bad), resolve=f"correct {name} in this row") from error
    return values


def check_repeats(table: CatalogueTable, keys: list[tuple[object, ...]]) -> None:
    """Raise ``InputError`` where two rows have one key."""
    if len(set(keys)) == len(keys):
        return
    first: dict[tuple[object, ...], int] = {}
    for index, key in enumerate(keys):
        if key in first:
            said = ", ".join(str(part) for part in key if part not in {"", Decimal(0)})
            msg = f"the row repeats {said}, which line {table.lines[first[key]]} has already"
            raise InputError(
                msg, where=table.where(index), resolve="remove one, or give the newer its own date in the column seen"
            )
        first[key] = index


def _read_records(path: Folder, record: type[Record], key: tuple[str, ...], special: dict[str, Column]) -> tuple[Record, ...]:
    """Return the rows of a table as records; two rows with the same ``key`` are an error; no file, no rows."""
    if not path.exists():
        return ()
    defaults = {field.name: field.default for field in fields(record)}
    required = [name for name, default in defaults.items() if default is MISSING]
    table = read_table(path, required, [name for name in defaults if name not in required])
    values = {
        name: parse_column(table, name, special.get(name) or COLUMNS.get(name, TEXT))
        if name in table.columns or name in required
        else list(repeat(default, len(table.lines)))
        for name, default in defaults.items()
    }
    check_repeats(table, list(zip(*(values[name] for name in key), strict=True)))
    return tuple(map(cast("Callable[..., Record]", record), *values.values()))


# -------------------------------------------------------------------------------------------------------------- folders


def _source_column(path: Folder) -> Column:
    """Return the reader of ``source`` cells, which knows the keys of one ``sources.csv``."""
    known: dict[str, str] = {}
    if path.exists():
        table = read_table(path, ["key", "description", "licence"], [])
        keys, descriptions, licences = (parse_column(table, name, TEXT) for name in ("key", "description", "licence"))
        known = {f"@{key}": f"{text} [{licence}]" for key, text, licence in zip(keys, descriptions, licences, strict=True)}

    def parse(cell: str) -> str:
        text = _text(cell)
        if text.startswith("@"):
            return "; ".join(known[key] for key in text.split())
        return text

    return Column(parse, f"plain text, or keys of sources.csv ({', '.join(sorted(known)) or 'there are none'})")


def _machine_column(known: Mapping[str, MachineType]) -> Column:
    """Return the reader of ``machine`` cells, which must be described."""
    return Column(lambda cell: known[cell].name, "a machine that machines.csv describes")


TABLES = ("machines", "prices", "unit_prices", "discounts", "commitments", "withdrawn")
"""The tables that hold facts, by the name of their field in ``Catalogue``."""


def _check_units(unit_prices: Sequence[UnitPrice], where: Where) -> None:
    """Raise ``InputError`` for an item that nothing asks for, and for units that it is not asked for in, or that change within it."""
    for item, unit in sorted({(row.item, row.unit) for row in unit_prices}):
        if item not in UNITS:
            msg = f"unknown item {item[:80]!r}"
            raise InputError(msg, where=where, resolve=f"use {' or '.join(find_near_names(item, UNITS)) or ', '.join(UNITS)}")
        if unit not in UNITS[item]:
            msg = f"{item} per {unit[:80]!r}: expected a price per {' or '.join(UNITS[item])}"
            raise InputError(msg, where=where, resolve="reckon the price in one of these units")
    units: dict[tuple[str, str, str, date], str] = {}
    for row in unit_prices:
        first = units.setdefault((row.cloud, row.region, row.item, row.seen), row.unit)
        if row.unit != first:
            msg = f"{row.cloud} {row.region} {row.item} has tiers per {first} and per {row.unit}, seen {row.seen}"
            raise InputError(msg, where=where, resolve="reckon all tiers of an item in one unit")


def holds_tables(folder: Folder) -> bool:
    """Return whether a folder has any table of facts."""
    return any((folder / f"{name}.csv").is_file() for name in TABLES)


def load_catalogue(folder: Folder, machines_elsewhere: Mapping[str, MachineType] | None = None) -> Catalogue:
    """Return the tables of one folder or zip file; prices may also name ``machines_elsewhere`` (name → machine).

    Raises
    ------
    InputError
        With file, line and remedy: a folder without tables, an unknown, missing or repeated column, a cell that is not what
        its column holds, a repeated row, a price of a machine nobody describes or that another cloud sells.

    """
    if not holds_tables(folder):
        msg = "the folder has no catalogue, expected machines.csv, prices.csv or unit_prices.csv"
        raise InputError(msg, where=Where(str(folder)), resolve="name the folder that holds the tables")
    source = {"source": _source_column(folder / "sources.csv")}
    machines = _read_records(folder / "machines.csv", MachineType, ("name",), source)
    known = {**(machines_elsewhere or {}), **{machine.name: machine for machine in machines}}
    priced = source | {"machine": _machine_column(known)}
    prices = _read_records(folder / "prices.csv", PriceRow, ("region", "machine", "offer", "zone", "seen"), priced)
    for row in prices:
        if known[row.machine].cloud != row.cloud:
            msg = f"{row.machine} in {row.region} has a price of cloud {row.cloud!r}, but {known[row.machine].cloud!r} sells it"
            raise InputError(msg, where=Where(str(folder / "prices.csv")), resolve="correct the column cloud of that row")
    unit_prices = _read_records(folder / "unit_prices.csv", UnitPrice, ("cloud", "region", "item", "above", "seen"), source)
    _check_units(unit_prices, Where(str(folder / "unit_prices.csv")))
    return Catalogue(
        machines,
        prices,
        unit_prices,
        _read_records(folder / "discounts.csv", Discount, ("cloud", "region", "family", "offer", "seen"), source),
        _read_records(folder / "commitments.csv", CommitmentRule, ("cloud", "offer"), source),
        _read_records(folder / "withdrawn.csv", Withdrawal, ("region", "machine", "offer", "zone", "seen"), source),
    )


@dataclass(frozen=True)
class CsvCloud:
    """A ``Cloud`` whose facts are the tables of one folder, read when first asked for."""

    name: str
    directory: Path
    faces: frozenset[Face]
    importer: str = ""

    def catalogue(self) -> Catalogue:
        """Return every row of the folder's tables, all dates."""
        return _load_once(self.directory)


@cache
def _load_once(directory: Path) -> Catalogue:
    """Return a folder's tables, read once per process (they ship with the package)."""
    return load_catalogue(directory)
