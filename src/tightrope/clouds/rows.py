"""Reads a folder of catalogue tables (CSV) into records, and refuses whatever it can not trust.

A folder may hold ``machines.csv``, ``prices.csv``, ``unit_prices.csv`` and ``sources.csv``. The columns of the first three are
the fields of ``MachineType``, ``PriceRow`` and ``UnitPrice``, in any order. ``source`` is either plain text or keys of
``sources.csv``, each with an ``@`` in front (``@karpenter-list @zones-counted``), which are replaced by what they stand for.
``seen`` of a derived figure is the date of the oldest figure in it, so that its age is not flattered.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TypeVar

from tightrope.base.contracts import Face
from tightrope.base.errors import InputError, Where, near_names
from tightrope.base.records import MachineType, PriceRow, UnitPrice

MAX_FILE_BYTES = 32 * 1024**2
"""A larger table is refused unread: a whole cloud's catalogue is a few megabytes."""

Record = TypeVar("Record", MachineType, PriceRow, UnitPrice)
Number = TypeVar("Number", int, float, Decimal)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What one folder holds, in the order of its rows."""

    machines: tuple[MachineType, ...]
    prices: tuple[PriceRow, ...]
    unit_prices: tuple[UnitPrice, ...]


# --------------------------------------------------------------------------------------------------------- single cells


@dataclass(frozen=True, slots=True)
class Column:
    """How a cell is read, and what to ask for where that fails (by any ``ValueError``, ``ArithmeticError`` or ``KeyError``)."""

    parse: Callable[[str], object]
    expected: str


def _numeric(convert: Callable[[str], Number], *, zero: bool, below: int = 1_000_000) -> Callable[[str], Number]:
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


def _basis(cell: str) -> str:
    """Return ``list`` or ``derived``."""
    if cell not in {"list", "derived"}:
        raise ValueError
    return cell


def _monthly_share(cell: str) -> float | None:
    """Return a share, None for an empty cell."""
    return _numeric(float, zero=True, below=1)(cell) if cell else None


COUNT = Column(_numeric(int, zero=True), "a whole number of 0 or more")
PRICE = Column(_numeric(Decimal, zero=False), "a price in US dollars, more than 0 (what is not sold has no row)")
TEXT = Column(_text, "some text")
COLUMNS = {
    "vcpu": Column(_numeric(int, zero=False), "a whole number of 1 or more"),
    "memory_gib": Column(_numeric(float, zero=False), "GiB, more than 0"),
    "accelerator": Column(lambda cell: cell.strip().lower(), "a model, or nothing where there is none"),
    "accelerators": COUNT,
    "accelerator_memory_gib": Column(_numeric(float, zero=True), "GiB, 0 where there is no accelerator"),
    "usd_per_hour": PRICE,
    "usd": PRICE,
    "zones": COUNT,
    "interruptions_per_month": Column(_monthly_share, "a share from 0 to less than 1, or nothing where it does not apply"),
    "basis": Column(_basis, "list or derived"),
    "seen": Column(cache(date.fromisoformat), "a date such as 2026-07-20"),
}
"""Every column that is not plain text."""


# -------------------------------------------------------------------------------------------------------------- tables


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row that is not blank; raise ``InputError`` for what is not a UTF-8 table."""
    line = None
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            msg = f"the table is no regular file of at most {MAX_FILE_BYTES} bytes"
            raise InputError(msg, where=Where(path), resolve="keep the rows of the machines you use, in a CSV file")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                line = reader.line_num
                if row:
                    yield line, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        after = f" after line {line}" if line else ""
        msg = f"the table can not be read{after}: {error}"
        raise InputError(msg, where=Where(path), resolve="give a CSV file in UTF-8") from error


def _check_header(header: list[str], expected: list[str], where: Where) -> None:
    """Raise ``InputError`` unless the header names every expected column once, and none besides."""
    for name in header:
        if name not in expected:
            near = near_names(name, expected, 1)
            resolve = f"rename it {near[0]}" if near else f"use the columns {', '.join(expected)}"
            msg = f"unknown column {name[:80]!r}"
            raise InputError(msg, where=where, resolve=resolve)
    wrong = [name for name in expected if header.count(name) != 1]
    if wrong:
        msg = f"column {wrong[0]!r} is there {header.count(wrong[0])} times, expected once"
        raise InputError(msg, where=where, resolve=f"use the columns {', '.join(expected)}")


def _parse_cell(name: str, cell: str, column: Column, where: Where) -> object:
    """Return a cell's value; raise ``InputError`` with what was got and expected."""
    try:
        return column.parse(cell)
    except (ValueError, ArithmeticError, KeyError) as error:
        msg = f"column {name!r}: got {cell[:80]!r}, expected {column.expected}"
        raise InputError(msg, where=where, resolve=f"correct {name} in this row") from error


def _read_rows(path: Path, columns: dict[str, Column]) -> Iterator[tuple[Where, dict[str, object]]]:
    """Yield place and values of each row of a table with exactly these columns; a file without a header is an error."""
    lines = _lines(path)
    line, header = next(lines, (1, list[str]()))
    _check_header(header, list(columns), Where(path, line))
    for line, cells in lines:
        where = Where(path, line)
        if len(cells) != len(header):
            msg = f"the row has {len(cells)} cells, expected {len(header)}"
            raise InputError(msg, where=where, resolve=f"give one cell each for {', '.join(header)}")
        yield where, {name: _parse_cell(name, cell, columns[name], where) for name, cell in zip(header, cells, strict=True)}


def _read_records(path: Path, record: type[Record], key: tuple[str, ...], special: dict[str, Column]) -> tuple[Record, ...]:
    """Return the rows of a table as records; two rows with the same ``key`` are an error; no file, no rows."""
    if not path.exists():
        return ()
    names = [column.name for column in fields(record)]
    columns = {name: special.get(name) or COLUMNS.get(name, TEXT) for name in names}
    first: dict[tuple[object, ...], Where] = {}
    records: list[Record] = []
    for where, values in _read_rows(path, columns):
        identity = tuple(values[name] for name in key)
        if identity in first:
            msg = f"the row repeats {', '.join(map(str, identity))}, which line {first[identity].line} has already"
            raise InputError(msg, where=where, resolve="remove one, or give the newer its own date in the column seen")
        first[identity] = where
        records.append(record(**values))
    return tuple(records)


# -------------------------------------------------------------------------------------------------------------- folders


def _source_column(path: Path) -> Column:
    """Return the reader of ``source`` cells, which knows the keys of one ``sources.csv``."""
    rows = _read_rows(path, dict.fromkeys(("key", "description", "licence"), TEXT)) if path.exists() else ()
    known = {f"@{row['key']}": f"{row['description']} [{row['licence']}]" for _, row in rows}

    @cache
    def parse(cell: str) -> str:
        text = _text(cell)
        if text.startswith("@"):
            return "; ".join(known[key] for key in text.split())
        return text

    return Column(parse, f"plain text, or keys of {path.name} ({', '.join(sorted(known)) or 'there are none'})")


def _machine_column(known: Mapping[str, MachineType]) -> Column:
    """Return the reader of ``machine`` cells, which must be described."""

    def parse(cell: str) -> str:
        return known[cell].name

    return Column(parse, "a machine that machines.csv describes")


def load_catalogue(directory: Path, machines_elsewhere: Mapping[str, MachineType] | None = None) -> Catalogue:
    """Return the tables of one folder; prices may also name ``machines_elsewhere`` (name → machine).

    Raises
    ------
    InputError
        With file, line and remedy: a folder without tables, an unknown, missing or repeated column, a cell that is not what
        its column holds, a repeated row, a price of a machine nobody describes or that another cloud sells.

    """
    if not any((directory / name).is_file() for name in ("machines.csv", "prices.csv", "unit_prices.csv")):
        msg = "the folder has no catalogue, expected machines.csv, prices.csv or unit_prices.csv"
        raise InputError(msg, where=Where(directory), resolve="name the folder that holds the tables")
    source = {"source": _source_column(directory / "sources.csv")}
    machines = _read_records(directory / "machines.csv", MachineType, ("name",), source)
    known = {**(machines_elsewhere or {}), **{machine.name: machine for machine in machines}}
    machine = {"machine": _machine_column(known)}
    prices = _read_records(directory / "prices.csv", PriceRow, ("region", "machine", "offer", "seen"), source | machine)
    for row in prices:
        if known[row.machine].cloud != row.cloud:
            msg = f"{row.machine} in {row.region} has a price of cloud {row.cloud!r}, but {known[row.machine].cloud!r} sells it"
            raise InputError(msg, where=Where(directory / "prices.csv"), resolve="correct the column cloud of that row")
    unit_prices = _read_records(directory / "unit_prices.csv", UnitPrice, ("cloud", "region", "item", "seen"), source)
    return Catalogue(machines, prices, unit_prices)


@dataclass(frozen=True)
class CsvCloud:
    """A ``Cloud`` whose facts are the tables of one folder, read when first asked for."""

    name: str
    directory: Path
    faces: frozenset[Face]

    def machines(self) -> tuple[MachineType, ...]:
        """Return every machine type of ``machines.csv``."""
        return _load_once(self.directory).machines

    def prices(self) -> tuple[PriceRow, ...]:
        """Return every row of ``prices.csv``, all dates."""
        return _load_once(self.directory).prices

    def unit_prices(self) -> tuple[UnitPrice, ...]:
        """Return every row of ``unit_prices.csv``."""
        return _load_once(self.directory).unit_prices


@cache
def _load_once(directory: Path) -> Catalogue:
    """Return a folder's tables, read once per process (they ship with the package)."""
    return load_catalogue(directory)
