"""Columns of a user's file as numpy arrays, read by DuckDB: CSV, JSON lines (both also ``.gz``) and Parquet.

A file is judged by its first 64 KiB (its first two lines, if they are longer) before anything else is read, so a gigabyte of
garbage costs nothing. Every failure is an ``InputError`` that names the line where the format has lines.
"""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from tightrope.base.errors import InputError, TraceError, Where
from tightrope.base.records import FloatArray, IntArray

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]

HEAD_BYTES = 65_536
LINE_BYTES = 4_194_304
"""Longest first line: that of a prompt of a million tokens in blocks of 16, each with a hash of twenty digits, has 1.4 MB."""
MAX_ROWS = 50_000_000
"""Most rows one file may have: about 1.2 GB of arrays. Beyond it, rates per bin carry the same information."""
FORMATS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
}  # fmt: skip
_LINE = re.compile(r"\bline:? (\d+)", re.IGNORECASE)
_PLACE = re.compile(r'^[A-Z][A-Za-z ]* Error: | in file ".*?", (at byte \d+ )?in line \d+')
_TOLD = ("Error when", "Expected Number", "Malformed", "Value with", "Invalid unicode")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|[+-]?(nan|inf(inity)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TraceTable:
    """A file whose head was read: its format, its columns, and the first row as text."""

    path: Path
    format: Format
    columns: tuple[str, ...]
    first_row: dict[str, str]
    delimiter: str = ","

    @property
    def empty(self) -> bool:
        """Whether the file has no rows; only ``open_table(…, may_be_empty=True)`` lets one through."""
        return not self.first_row

    def where(self, row: int | None = None) -> Where:
        """Return the place of data row ``row`` (from 0): its line, or the file alone for Parquet."""
        return Where(self.path, None if row is None or self.format == "parquet" else _line_of_row(self, row))

    def is_time(self, column: str) -> bool:
        """Return whether the column holds calendar times and not numbers."""
        return not is_number(self.first_row[column])


def is_number(text: str) -> bool:
    """Return whether ``text`` is a number as the loaders read it (``nan`` included: it is refused later, by its line)."""
    return _NUMBER.fullmatch(text) is not None


# ---------------------------------------------------------------------------------------------------------------- the head


def open_table(path: Path, *, may_be_empty: bool = False) -> TraceTable:
    """Return the file's format, columns and first row, judged by its head; raise ``InputError`` for what is no table.

    ``may_be_empty`` lets a file without rows through; JSON lines have no columns then.
    """
    if not path.is_file():
        what = "the path is a folder, not a file" if path.is_dir() else "the file does not exist"
        what = "the path is no plain file" if path.exists() and not path.is_dir() else what
        raise InputError(what, resolve="correct the path", where=Where(path))
    table = _opened(path, _format_of(path), _head(path))
    if table.empty and not may_be_empty:
        what, line = "the file has no rows", {"csv": 2, "jsonl": 1, "parquet": None}[table.format]
        raise TraceError(what, resolve="give a file with at least one row", where=Where(path, line))
    return table


def _opened(path: Path, form: Format, head: bytes) -> TraceTable:
    """Return the table of a file with this head."""
    if not head and form != "jsonl":
        what = "the file is empty"
        raise TraceError(what, resolve="give a file with a header and rows", where=Where(path))
    if form == "parquet" or head.startswith(b"PAR1"):
        return _open_parquet(path, form, head)
    text = _text(path, head)
    return _open_csv(path, text) if form == "csv" else _open_jsonl(path, text)


def _format_of(path: Path) -> Format:
    """Return the format that the file's name states."""
    suffix = Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if suffix not in FORMATS or (suffix == ".parquet" and path.suffix.lower() == ".gz"):
        what = f"got a file of type {suffix or 'without extension'!r}, expected one of {', '.join(FORMATS)} (text also .gz)"
        raise InputError(what, resolve="rename the file by its content", where=Where(path))
    return FORMATS[suffix]


def _head(path: Path) -> bytes:
    """Return the first 64 KiB, or more where they do not hold two lines; unpacked where the file is gzip: its name must say so."""
    try:
        with path.open("rb") as file:
            raw = file.read(HEAD_BYTES)
        packed = raw.startswith(b"\x1f\x8b")
        if packed != (path.suffix.lower() == ".gz") and raw:
            what = "the content is gzip, the name is not" if packed else "the name says gzip, the content is not"
            raise TraceError(what, resolve="rename the file by its content", where=Where(path))
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            whole = head.startswith(b"PAR1") or head.strip().count(b"\n") >= 2
            return head if whole or len(head) < HEAD_BYTES else head + file.read(LINE_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        what = f"the file cannot be read: {error}"
        raise InputError(what, resolve="check the file", where=Where(path)) from error


def _text(path: Path, head: bytes) -> str:
    """Return the head as text; refuse binary content, other encodings and a first line without an end."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(head) < HEAD_BYTES or error.start < len(head) - 4:
            line = head[: error.start].count(b"\n") + 1
            what = f"byte {error.start} is not UTF-8 text"
            raise TraceError(what, resolve="save the file as UTF-8", where=Where(path, line)) from error
        text = head[: error.start].decode("utf-8-sig")
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        what = f"the content is binary (control character {found[0]!r})"
        raise TraceError(what, resolve="give a text file, or Parquet named .parquet", where=Where(path, line))
    if len(head) > LINE_BYTES and "\n" not in text.strip() and "\r" not in text.strip():
        what = f"the first line is longer than {LINE_BYTES:,} bytes"
        raise TraceError(what, resolve="give one record per line", where=Where(path, 1))
    return text


def _open_csv(path: Path, text: str) -> TraceTable:
    """Return a CSV's columns; the delimiter is the one that the header holds most of."""
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    if not lines:
        what = "the file is blank"
        raise TraceError(what, resolve="give a file with a header and rows", where=Where(path, 1))
    delimiter = max(",;\t|", key=lambda mark: (lines[0].count(mark), mark == ","))
    rows = _csv_rows(path, lines, delimiter)
    header = tuple(cell.strip() for cell in rows[0])
    _check_header(path, header)
    if len(rows) == 1:
        return TraceTable(path, "csv", header, {}, delimiter)
    return TraceTable(path, "csv", header, dict.fromkeys(header, "") | dict(zip(header, rows[1], strict=False)), delimiter)


def _csv_rows(path: Path, lines: list[str], delimiter: str) -> list[list[str]]:
    """Return the header's and the first row's cells."""
    try:
        return list(islice(csv.reader(lines, delimiter=delimiter, strict=True), 2))
    except csv.Error as error:
        what = f"not a CSV: {error}"
        raise TraceError(what, resolve="check the quotes", where=Where(path, 1)) from error


def _check_header(path: Path, header: tuple[str, ...]) -> None:
    """Refuse a first line of numbers, an empty name and a name twice."""
    if all(is_number(cell) or re.match(r"\d{4}-\d\d", cell) for cell in header):
        what = f"the first line holds values, not column names: {','.join(header)[:80]!r}"
        raise TraceError(what, resolve="add a header line such as 'time_s,input_tokens,output_tokens'", where=Where(path, 1))
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice or "" in header:
        what = f"column {twice[0]!r} appears twice in the header" if twice and twice[0] else "a column has no name"
        raise TraceError(what, resolve="give each column one name of its own", where=Where(path, 1))


def _open_jsonl(path: Path, text: str) -> TraceTable:
    """Return the keys of the first record of a JSON-lines file."""
    first = next(((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()), None)
    if first is None:
        return TraceTable(path, "jsonl", (), {})
    try:
        record = json.loads(first[1])
    except (ValueError, RecursionError) as error:
        what = f"got {first[1][:60]!r}, expected a JSON object"
        raise TraceError(what, resolve="give one JSON object per line", where=Where(path, first[0])) from error
    if not isinstance(record, dict) or not record:
        what = f"got {first[1][:60]!r}, expected a JSON object with keys"
        raise TraceError(what, resolve="give one JSON object per line", where=Where(path, first[0]))
    return TraceTable(path, "jsonl", tuple(record), {key: str(value) for key, value in record.items()})


def _open_parquet(path: Path, form: Format, head: bytes) -> TraceTable:
    """Return a Parquet file's columns; its first row stands for their types."""
    if form != "parquet" or not head.startswith(b"PAR1"):
        what = "the content is Parquet, the name is not" if form != "parquet" else "the name says Parquet, the content is not"
        raise TraceError(what, resolve="rename the file by its content", where=Where(path))
    first = _query(f"SELECT * FROM read_parquet({_quoted(path)}) LIMIT 1", TraceTable(path, "parquet", (), {}))  # noqa: S608 - quoted
    return TraceTable(path, "parquet", tuple(first), {name: str(values[0]) for name, values in first.items() if len(values)})


# ---------------------------------------------------------------------------------------------------------------- the rows


def read_columns(table: TraceTable, columns: list[str]) -> list[FloatArray]:
    """Return the columns as float64[rows], calendar times as seconds since 1970; an empty cell, NaN or text is an error."""
    found = read_picks(table, [number_of(table, column) for column in columns])
    return [checked(table, column, found.pop(0)) for column in columns]


@dataclass(frozen=True, slots=True)
class ColumnPick:
    """One value of each row: the column, the SQL type it is read as, and the SQL of the value, ``{}`` standing for the column."""

    column: str
    kind: str
    value: str


def number_of(table: TraceTable, column: str) -> ColumnPick:
    """Return the pick of a column's numbers, calendar times as seconds since 1970."""
    if table.is_time(column):
        return ColumnPick(column, "TIMESTAMPTZ", "epoch_us(CAST({} AS TIMESTAMPTZ)) / 1e6")
    return ColumnPick(column, "DOUBLE", "CAST({} AS DOUBLE)")


def read_picks(table: TraceTable, picks: list[ColumnPick], offset: int = 0, limit: int | None = None) -> list[Any]:
    """Return one array [rows] per pick, masked where SQL gives NULL; all rows, or ``limit`` of them from row ``offset`` on."""
    chosen = ", ".join(f"{pick.value.format(_name(pick.column))} AS c{number}" for number, pick in enumerate(picks))
    kinds: dict[str, str] = {}
    for pick in picks:
        kinds[pick.column] = pick.kind if kinds.get(pick.column, pick.kind) == pick.kind else "VARCHAR"
    most = MAX_ROWS + 1 if limit is None else limit
    sql = f"SELECT {chosen} FROM {_source(table, kinds)} LIMIT {most} OFFSET {offset}"  # noqa: S608 - every name is quoted
    found = _query(sql, table)
    if limit is None:
        _check_count(table, len(found["c0"]))
    return [found[f"c{number}"] for number in range(len(picks))]


def key_of(column: str) -> ColumnPick:
    """Return the pick of a key's 64-bit hash, NULL where a request has none; two of a million keys are taken for one by 3e-8."""
    return ColumnPick(column, "VARCHAR", "CASE WHEN {0} IS NULL THEN NULL ELSE hash(CAST({0} AS VARCHAR)) END")


def in_order_of_appearance(values: Any) -> IntArray:  # noqa: ANN401 - numpy's masked or plain array
    """Return int64[values]: the distinct values numbered from 0 as they first appear, -1 for masked ones.

    >>> in_order_of_appearance(np.array([7, 3, 7, 9])).tolist()
    [0, 1, 0, 2]
    """
    absent = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else np.zeros(len(values), dtype=bool)
    _, first, inverse = np.unique(np.ma.getdata(values)[~absent], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    numbers = np.full(len(values), -1, dtype=np.int64)
    numbers[~absent] = rank[inverse]
    return numbers


def _check_count(table: TraceTable, rows: int) -> None:
    """Refuse a file without rows and one with too many."""
    if rows > MAX_ROWS:
        what = f"the file has more than {MAX_ROWS:,} rows"
        raise TraceError(what, resolve="give rates per bin (`rates:`) instead of single requests", where=table.where())
    if rows == 0:
        what = "the file has no rows"
        raise TraceError(what, resolve="give a file with at least one row", where=table.where())


def checked(table: TraceTable, column: str, values: Any) -> FloatArray:  # noqa: ANN401 - numpy's masked or plain array
    """Return the column without a mask, or the error for its first empty or infinite cell."""
    bad = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else ~np.isfinite(values)
    if not bad.any() and np.ma.isMaskedArray(values):
        bad = ~np.isfinite(values.data)
    if bad.any():
        row = int(np.argmax(bad))
        got = "an empty cell" if np.ma.is_masked(values[row]) else str(float(values[row]))
        what = f"column {column!r}, row {row + 1}: got {got}, expected a number"
        raise TraceError(what, resolve="fill the cell or remove the row", where=table.where(row))
    return np.asarray(values, dtype=np.float64)


def _source(table: TraceTable, wanted: Mapping[str, str]) -> str:
    """Return the SQL table function that reads the file; the types of the ``wanted`` columns are stated, nothing is guessed."""
    path = _quoted(table.path)
    if table.format == "parquet":
        return f"read_parquet({path})"
    names = table.columns if table.format == "csv" else [name for name in table.columns if name in wanted]
    typed = "{" + ", ".join(f"{_text_literal(name)}: '{wanted.get(name, 'VARCHAR')}'" for name in names) + "}"
    if table.format == "jsonl":
        return f"read_json({path}, format='newline_delimited', columns={typed})"
    delimiter = _text_literal(table.delimiter)
    return f"""read_csv({path}, auto_detect=false, header=true, delim={delimiter}, quote='"', escape='"', columns={typed})"""


def _query(sql: str, table: TraceTable) -> dict[str, Any]:
    """Return the answer's columns; a failure is a ``TraceError`` with the line that DuckDB names."""
    import duckdb  # heavy, and only needed once a file is really read

    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 2,
        "memory_limit": "1GB",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        with duckdb.connect(config=settings) as connection:
            connection.execute("SET TimeZone = 'UTC'")  # a time without a zone is UTC's, wherever this runs
            return dict(connection.execute(sql).fetchnumpy())
    except (duckdb.Error, ValueError, RuntimeError) as error:
        raise _explained(str(error), table) from error


def _explained(message: str, table: TraceTable) -> TraceError:
    """Return DuckDB's message in one line, with its line as a place.

    For JSON lines DuckDB counts records and not lines, and one too many for what is no JSON at all.
    """
    number = _LINE.search(message)
    lines = [line.strip() for line in message.splitlines()]
    told = next((line for line in lines if line.startswith(_TOLD)), lines[0])
    line = int(number[1]) if number else None
    if line is not None and table.format == "jsonl":
        line = _line_of_row(table, line - (2 if "Malformed" in message else 1))
    what = f"a row cannot be read: {_PLACE.sub('', told)[:200]}"
    return TraceError(what, resolve="correct or remove the row", where=Where(table.path, line))


def _line_of_row(table: TraceTable, row: int) -> int:
    """Return the line (from 1) of data row ``row`` (from 0): blank lines hold no row, a CSV's header holds none."""
    with ExitStack() as stack:
        file = stack.enter_context(gzip.open(table.path) if table.path.suffix.lower() == ".gz" else table.path.open("rb"))  # noqa: SIM115 - the stack closes it
        filled = (number for number, line in enumerate(file, 1) if line.strip())
        return next(islice(filled, row + (table.format == "csv"), None), row + 2)


def _quoted(path: Path) -> str:
    """Return a path as SQL text that DuckDB does not take for a pattern."""
    return _text_literal(re.sub(r"([\[*?])", r"[\1]", str(path)))


def _text_literal(text: str) -> str:
    """Return SQL text."""
    return "'" + text.replace("'", "''") + "'"


def _name(column: str) -> str:
    """Return a quoted SQL name."""
    return '"' + column.replace('"', '""') + '"'
