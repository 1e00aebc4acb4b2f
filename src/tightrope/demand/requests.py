"""A recorded trace as single requests, with what a replay can use of it: class, cache key, blocks of the prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tightrope.base.errors import TraceError, UnknownNameError, build_unknown_name_error, find_near_names
from tightrope.base.records import FloatArray, IntArray
from tightrope.demand.clock import NO_COLUMNS, check_span, on_the_clock
from tightrope.demand.columns import REQUEST_ROLES, find_column, require_column
from tightrope.demand.trace import ARRIVAL_BIN_S, as_tokens, said, token_columns
from tightrope.demand.trace_tables import (
    ColumnPick,
    TraceTable,
    checked,
    in_order_of_appearance,
    key_of,
    number_of,
    open_table,
    read_picks,
)

ALL_ITEMS = 2**62
"""More items than the lists of a file can have together."""


@dataclass(frozen=True, slots=True)
class TraceRequests:
    """The requests of a trace, ascending in time; all arrays are [requests] unless said otherwise.

    ``time_s`` is float64, from 00:00 of the trace's first day; unlike a plan's demand, calendar times without a whole day keep their
    hour of the day. Token counts are int64 and ones where the file has none. What the file does not hold is None. ``source`` names
    the file, with what is to be known about it.
    """

    time_s: FloatArray
    class_index: IntArray | None
    """Index into the classes asked for."""
    input_tokens: IntArray
    output_tokens: IntArray
    key: IntArray | None
    """Equal where the trace's keys are equal, numbered from 0 in the order of first appearance; -1 where a request has none."""
    block_start: IntArray | None
    """int64[requests + 1]: request ``i`` begins with ``blocks[block_start[i] : block_start[i + 1]]``."""
    blocks: IntArray | None
    """int64[blocks]: hashes of the prompts' blocks; equal hashes are equal prefixes (Mooncake's ``hash_ids``, 512 tokens each)."""
    source: str
    zero_s: float = 0.0
    """What was subtracted from the file's own times: hour 0 on the calendar (seconds since 1970 UTC) or on the file's own clock."""
    calendar: bool = False
    """Whether the file's times are of the calendar."""
    sized: bool = False
    """Whether the file has columns of tokens."""


class _RequestColumns(NamedTuple):
    """Which column holds what; None where no column does."""

    time: str
    tokens: list[str]
    traffic_class: str | None
    key: str | None
    blocks: str | None
    unread: str | None = None
    """The class column where no classes were asked for."""


def load_requests(
    path: Path, *, columns: Mapping[str, str] = NO_COLUMNS, time_unit: str = "", classes: Sequence[str] = ()
) -> TraceRequests:
    """Return the requests of a file with one row each: CSV, JSON lines (both also ``.gz``) or Parquet.

    ``columns`` maps a role (time, input_tokens, output_tokens, class, key, blocks) to its column where the name does not say it,
    or to an empty name where no column is to play it. The class column (with several classes, the model column if there is none)
    is read where ``classes`` are given, and holds their names; where none are, ``source`` says that it is not read. A file without
    rows gives no requests. Raises ``TraceError`` with the line for times that are negative, not ascending or no numbers and for
    token counts below 1, ``UnknownNameError`` for a class that is not one of ``classes`` and for a role that there is not.
    """
    if unknown := next((role for role in columns if role not in REQUEST_ROLES), None):
        raise build_unknown_name_error(unknown, kind="column role", known=REQUEST_ROLES)
    table = open_table(path, may_be_empty=True)
    if not table.columns:
        return _no_requests(path, _RequestColumns("", [], None, None, None))
    layout = _layout(table, columns, classes)
    return _no_requests(path, layout) if table.empty else _read(table, layout, time_unit, classes)


def _layout(table: TraceTable, columns: Mapping[str, str], classes: Sequence[str]) -> _RequestColumns:
    """Return which column plays which role; the class is looked for where there are classes to tell apart."""
    traffic_class = find_column(table, "class", columns)
    if traffic_class is None and "class" not in columns and len(classes) > 1:
        traffic_class = find_column(table, "model", {})
    return _RequestColumns(
        time=require_column(table, ["time"], columns)[1],
        tokens=token_columns(table, columns),
        traffic_class=traffic_class if classes else None,
        key=find_column(table, "key", columns),
        blocks=find_column(table, "blocks", columns),
        unread=None if classes else traffic_class,
    )


def _no_requests(path: Path, layout: _RequestColumns) -> TraceRequests:
    """Return a trace of nothing, with the columns that the file has."""
    none = np.empty(0, dtype=np.int64)
    return TraceRequests(
        time_s=np.empty(0),
        class_index=none if layout.traffic_class else None,
        input_tokens=none,
        output_tokens=none,
        key=none if layout.key else None,
        block_start=np.zeros(1, dtype=np.int64) if layout.blocks else None,
        blocks=none if layout.blocks else None,
        source=f"{path.name}: {_count(0)}",
    )


def _count(requests: int) -> str:
    """Return a count of requests in words.

    >>> _count(1), _count(1200)
    ('1 request', '1,200 requests')
    """
    return "1 request" if requests == 1 else f"{requests:,} requests"


def _read(table: TraceTable, layout: _RequestColumns, time_unit: str, classes: Sequence[str]) -> TraceRequests:
    """Return the requests of a file that has some."""
    numbers = [layout.time, *layout.tokens]
    texts = [_class_pick(layout.traffic_class, classes)] if layout.traffic_class else []
    texts += [key_of(layout.key)] if layout.key else []
    found = read_picks(table, [*(number_of(table, column) for column in numbers), *texts])
    values = [checked(table, column, found.pop(0)) for column in numbers]
    index = _class_index(table, layout.traffic_class, found.pop(0), classes) if layout.traffic_class else None
    key = in_order_of_appearance(found.pop(0)) if layout.key else None
    sizes = [as_tokens(table, column, tokens) for column, tokens in zip(layout.tokens, values[1:], strict=True)]
    time_s, clock = on_the_clock(table, layout.time, values[0], time_unit, step_s=ARRIVAL_BIN_S, quiet_start=True, keep_hour=True)
    check_span(table, float(time_s[-1] - time_s[0]))
    first, second = sizes or [np.ones(len(values[0]), dtype=np.int64)] * 2
    block_start, blocks = _from_row(*read_lists(table, layout.blocks), clock.first_row) if layout.blocks else (None, None)
    kept = slice(clock.first_row, None)
    return TraceRequests(
        time_s=time_s,
        class_index=None if index is None else index[kept],
        input_tokens=first[kept],
        output_tokens=second[kept],
        key=None if key is None else key[kept],
        block_start=block_start,
        blocks=blocks,
        source=said(
            f"{table.path.name}: {_count(len(time_s))}",
            clock.note,
            f"column {layout.unread!r} is not read" if layout.unread else "",
        ),
        zero_s=clock.shift_s,
        calendar=clock.calendar,
        sized=bool(sizes),
    )


# ------------------------------------------------------------------------------------------------------------------ classes


def _class_pick(column: str, classes: Sequence[str]) -> ColumnPick:
    """Return the pick of a class's index, -1 where the text is none of ``classes``."""
    known = ", ".join("'" + name.replace("'", "''").replace("{", "{{").replace("}", "}}") + "'" for name in classes)
    return ColumnPick(column, "VARCHAR", f"coalesce(list_position([{known}], trim(CAST({{}} AS VARCHAR))), 0)::BIGINT - 1")


def _class_index(table: TraceTable, column: str, index: IntArray, classes: Sequence[str]) -> IntArray:
    """Return the classes' indices, or the error for the first row whose class is not one of them."""
    if (index >= 0).all():
        return index
    row = int(np.argmax(index < 0))
    got = read_picks(table, [ColumnPick(column, "VARCHAR", "CAST({} AS VARCHAR)")], offset=row, limit=1)[0]
    if np.ma.is_masked(got):
        what = f"column {column!r}, row {row + 1}: got an empty cell, expected a traffic class"
        raise TraceError(what, resolve="fill the cell or remove the row", where=table.where(row))
    near = find_near_names(str(got[0]), classes) or list(classes[:12])
    what = f"column {column!r}, row {row + 1}: unknown traffic class {str(got[0])!r}"
    resolve = f"use {' or '.join(near)}, or say that the column holds no class: --column class="
    raise UnknownNameError(what, resolve=resolve, where=table.where(row))


# ---------------------------------------------------------------------------------------------------------- keys and blocks


def read_lists(table: TraceTable, column: str) -> tuple[IntArray, IntArray]:
    """Return a column of lists as int64[rows + 1] and int64[items]: row ``i`` is ``items[start[i] : start[i + 1]]``.

    Whole numbers stay what they are; other items become numbers that are equal where the items are. A row without a list has an
    empty one.
    """
    hashed = "list_transform({}, lambda item: CASE WHEN item IS NULL THEN NULL ELSE hash(item) END)"
    try:
        is_text = "'" in table.first_row[column]
        sizes, items = _lists(table, column, "VARCHAR[]", hashed) if is_text else _lists(table, column, "BIGINT[]", "{}")
    except TraceError:
        sizes, items = _lists(table, column, "VARCHAR[]", hashed)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if np.ma.is_masked(items):
        row = int(np.searchsorted(start, int(np.argmax(np.ma.getmaskarray(items))), side="right")) - 1
        what = f"column {column!r}, row {row + 1}: the list has an empty item"
        raise TraceError(what, resolve="fill or remove the item", where=table.where(row))
    whole = np.asarray(items)
    return start, whole if whole.dtype == np.int64 else in_order_of_appearance(whole)


def _lists(table: TraceTable, column: str, kind: str, item: str) -> tuple[Any, Any]:
    """Return the lengths of a column's lists, and all items one after another."""
    value = f"CAST({{}} AS {kind})"
    sizes = read_picks(table, [ColumnPick(column, kind, f"coalesce(len({value}), 0)")])[0]
    return sizes, read_picks(table, [ColumnPick(column, kind, f"unnest({item.format(value)})")], limit=ALL_ITEMS)[0]


def _from_row(start: IntArray, items: IntArray, row: int) -> tuple[IntArray, IntArray]:
    """Return the lists from ``row`` on."""
    return start[row:] - start[row], items[start[row] :]
