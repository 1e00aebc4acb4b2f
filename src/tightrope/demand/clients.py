"""The clients of a service, window by window: who sends how much, and in what bursts. The format is that of ServeGen's traces.

One row per client and window: its rate, the law of the gaps between its requests (Gamma or Weibull), and the law's shape or the
cv of the gaps. In ServeGen's files (github.com/alibaba/ServeGen, "ServeGen: Workload Characterization and Generation of Large
Language Model Serving in Production", 2025) the columns are ``rate``, ``cv``, the law, and two parameters. What those are was found
by comparing all 42,189 busy windows of two models with their rate and cv:

- Gamma: ``p1`` is the shape and ``p2`` the scale in seconds; both follow from the gaps' mean and cv (p1 = 1 / cv² to seven digits;
  p1 · p2 is 1 / rate within 0.1 % in four of five windows of 1,000 requests or more).
- Weibull: ``p1`` is the shape and ``p2`` the scale in seconds, fitted to the gaps and not to their moments: the mean, p2 · Γ(1 + 1 /
  p1), is 1.2 / rate in the median, and the cv that the shape implies is 0.8 of the measured one: the fit follows the body of the gaps.

So the shape is taken from ``p1`` and the scale from the rate, which is a count and holds exactly; ``p2`` is not read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tightrope.base.errors import TraceError, find_near_names
from tightrope.base.records import ClientMix, Demand, FloatArray, IntArray
from tightrope.demand.clock import DAY_S, MAX_DAYS, NO_COLUMNS, on_the_clock
from tightrope.demand.columns import find_column, require_column, time_factor
from tightrope.demand.renewal_process import LARGEST_SHAPE, SMALLEST_SHAPE, weibull_cv, weibull_shape
from tightrope.demand.trace import MAX_RATE, common_step, said
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

Variation: TypeAlias = Literal["fit", "cv"]
MAX_CELLS = 50_000_000
"""Most clients times windows."""
LAWS = ("poisson", "gamma", "weibull")
MAX_CV = 1000.0


@dataclass(frozen=True, slots=True)
class _Rows:
    """The file's rows that count, as arrays [rows]; ``line`` is the row's number in the file, from 0."""

    line: IntArray
    client: IntArray
    time: FloatArray
    rate_per_s: FloatArray
    shape: FloatArray
    weibull: NDArray[np.bool_]


class _ClientLayout(NamedTuple):
    """Which column holds what; an empty name where none does."""

    client: str
    time: str
    rate: str
    law: str
    shape: str
    cv: str


def load_clients(
    path: Path,
    *,
    columns: Mapping[str, str] = NO_COLUMNS,
    time_unit: str = "",
    only: Mapping[str, str] = NO_COLUMNS,
    variation: Variation = "fit",
) -> Demand:
    """Return the demand of a file with one row per client and window; a client without a row is silent in that window.

    ``only`` keeps the rows in which a column holds a text. ``variation="fit"`` takes the shapes that were fitted (the cv where
    the file has no shapes), ``"cv"`` those whose gaps have the measured cv. ``interarrival_cv`` is that of the clients' requests
    merged, in the long run: the root of the mean of their squared cv, weighed by rate (Whitt, The Queueing Network Analyzer,
    1983, the asymptotic method); over short times many clients look more like Poisson. Raises ``TraceError`` with the line.
    """
    table = open_table(path)
    layout = _layout(table, columns, variation)
    every = _rows(table, layout, only)
    starts, step_s, note = _windows(table, layout.time, every, time_unit)
    rows = _taken(every, every.time >= starts[0])
    window = np.searchsorted(starts, rows.time)
    mix_shape = (int(rows.client.max()) + 1, len(starts))
    if mix_shape[0] * mix_shape[1] > MAX_CELLS:
        what = f"{mix_shape[0]:,} clients in {mix_shape[1]:,} windows are more than {MAX_CELLS:,} cells"
        raise TraceError(what, resolve="sum up small clients, or give wider windows", where=table.where())
    _check_once(table, rows, rows.client * mix_shape[1] + window)
    rate, shape, weibull = np.zeros(mix_shape), np.ones(mix_shape), np.zeros(mix_shape, dtype=bool)
    for cells, values in ((rate, rows.rate_per_s), (shape, rows.shape), (weibull, rows.weibull)):
        cells[rows.client, window] = values
    demand = _demand(rate, shape, weibull, step_s)
    return replace(demand, source=said(f"{path.name}: {mix_shape[0]} clients, {len(starts):,} windows of {step_s:g} s", note))


def _layout(table: TraceTable, columns: Mapping[str, str], variation: Variation) -> _ClientLayout:
    """Return which column plays which role: of the shape and the cv, the one that is used."""
    client, time, rate, law = (require_column(table, [role], columns)[1] for role in ("client", "time", "rate", "law"))
    shape = (find_column(table, "shape", columns) or "") if variation == "fit" else ""
    return _ClientLayout(client, time, rate, law, shape, "" if shape else require_column(table, ["cv"], columns)[1])


def _rows(table: TraceTable, layout: _ClientLayout, only: Mapping[str, str]) -> _Rows:
    """Return the rows that count, all checked but for their times."""
    law = "list_position(['poisson', 'gamma', 'weibull'], replace(lower(trim(CAST({} AS VARCHAR))), 'exponential', 'poisson'))"
    measure = ColumnPick(layout.shape or layout.cv, "DOUBLE", "coalesce(CAST({} AS DOUBLE), 0)")
    numbers = [number_of(table, layout.time), number_of(table, layout.rate), measure]
    texts = [key_of(layout.client), ColumnPick(layout.law, "VARCHAR", f"coalesce({law}, 0)::BIGINT")]
    found = read_picks(table, [*numbers, *texts, *_filters(table, only)])
    time, rate_per_s, measured = (checked(table, pick.column, found.pop(0)) for pick in numbers)
    client, laws = in_order_of_appearance(found.pop(0)), found.pop(0)
    line = np.flatnonzero(np.logical_and.reduce(found)) if found else np.arange(len(time))
    if not len(line):
        what = f"no row has {' and '.join(f'{name} = {text!r}' for name, text in only.items())}"
        raise TraceError(what, resolve="correct `only`", where=table.where())
    kept = _taken(_Rows(np.arange(len(time)), client, time, rate_per_s, measured, laws == 3), line)
    _check_rows(table, layout, kept, laws[line])
    shape = np.where(laws[line] == 1, 1.0, kept.shape if layout.shape else _shapes(kept.shape, kept.weibull))
    return replace(kept, client=in_order_of_appearance(kept.client), shape=np.where(kept.rate_per_s > 0, shape, 1.0))


def _taken(rows: _Rows, chosen: IntArray | NDArray[np.bool_]) -> _Rows:
    """Return some of the rows."""
    return _Rows(
        rows.line[chosen],
        rows.client[chosen],
        rows.time[chosen],
        rows.rate_per_s[chosen],
        rows.shape[chosen],
        rows.weibull[chosen],
    )


def _filters(table: TraceTable, only: Mapping[str, str]) -> list[ColumnPick]:
    """Return a pick of true and false for each column that must hold a text."""
    for column in only:
        if column not in table.columns:
            near = find_near_names(column, table.columns) or list(table.columns[:12])
            what = f"the column {column!r} of `only` is not in the file"
            raise TraceError(what, resolve=f"use {' or '.join(map(repr, near))}", where=table.where())
    texts = [text.replace("'", "''").replace("{", "{{").replace("}", "}}") for text in only.values()]
    return [
        ColumnPick(column, "VARCHAR", f"coalesce(CAST({{}} AS VARCHAR) = '{text}', false)")
        for column, text in zip(only, texts, strict=True)
    ]


def _check_rows(table: TraceTable, layout: _ClientLayout, rows: _Rows, law: IntArray) -> None:
    """Refuse the first row without a client, with a rate, a law or a shape that cannot be."""
    busy = rows.rate_per_s > 0
    if layout.shape:
        low, high = np.where(rows.weibull, SMALLEST_SHAPE, MAX_CV**-2), LARGEST_SHAPE
        wanted = f"a shape of {MAX_CV**-2:g} ({SMALLEST_SHAPE} for Weibull) to {LARGEST_SHAPE:g}"
    else:
        low, high, wanted = np.zeros(len(busy)), MAX_CV, f"a cv of 0 to {MAX_CV:g}"
    for bad, column, values, expected in (
        (rows.client < 0, layout.client, np.full(len(busy), "an empty cell"), "a client"),
        ((rows.rate_per_s < 0) | (rows.rate_per_s > MAX_RATE), layout.rate, rows.rate_per_s, "a rate of 0 or more"),
        (busy & (law == 0), layout.law, np.full(len(busy), "another law"), f"one of {', '.join(LAWS)}"),
        (busy & (law > 1) & ((rows.shape < low) | (rows.shape > high)), layout.shape or layout.cv, rows.shape, wanted),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            got = values[row] if values.dtype.kind == "U" else f"{values[row]:g}"
            what = f"column {column!r}, row {rows.line[row] + 1}: got {got}, expected {expected}"
            raise TraceError(what, resolve="correct the cell, or remove the row", where=table.where(int(rows.line[row])))


def _shapes(cv: FloatArray, weibull: NDArray[np.bool_]) -> FloatArray:
    """Return the shapes whose gaps have these cv, float64[rows]; a cv of 0 is an infinite shape."""
    with np.errstate(divide="ignore"):
        shape = 1 / cv**2
    unique, inverse = np.unique(cv[weibull & (cv > 0)], return_inverse=True)
    shape[weibull & (cv > 0)] = np.array([weibull_shape(float(value)) for value in unique])[inverse]
    return shape


def _windows(table: TraceTable, column: str, rows: _Rows, time_unit: str) -> tuple[FloatArray, float, str]:
    """Return the windows' starts as the file writes them, float64[windows], their width in seconds, and a note; rows too early go."""
    starts = np.unique(rows.time)
    if starts[0] < 0:
        row = int(rows.line[np.argmin(rows.time)])
        what = f"column {column!r}, row {row + 1}: got {starts[0]:g}, a time before its own zero"
        raise TraceError(what, resolve="give times from 0 on, or calendar times", where=table.where(row))
    factor = time_factor(table, column, time_unit)
    step_s = common_step(table, starts * factor)
    if (starts[-1] - starts[0]) * factor > MAX_DAYS * DAY_S:
        what = f"the windows span {(starts[-1] - starts[0]) * factor / DAY_S:,.0f} days, more than {MAX_DAYS:g}"
        raise TraceError(what, resolve="check `time_unit`, and the first and the last time", where=table.where())
    uneven = np.abs(np.diff(starts) * factor / step_s - 1) > 0.01
    if uneven.any():
        late = starts[int(np.argmax(uneven)) + 1]
        row = int(rows.line[np.argmax(rows.time == late)])
        what = f"row {row + 1} is not in the window after the one before: windows are {step_s:g} s wide"
        raise TraceError(what, resolve="give every window a row (a rate of 0 will do), all of one width", where=table.where(row))
    _, clock = on_the_clock(table, column, starts.copy(), time_unit, step_s=step_s, quiet_start=False)
    return starts[clock.first_row :], step_s, clock.note


def _check_once(table: TraceTable, rows: _Rows, cell: IntArray) -> None:
    """Refuse a client's second row in one window."""
    order = np.argsort(cell, kind="stable")
    twice = np.flatnonzero(np.diff(cell[order]) == 0)
    if len(twice):
        row = int(rows.line[order[twice[0] + 1]])
        what = f"row {row + 1} is the second of its client in its window"
        resolve = "give one row per client and window; `only: {model: …}` takes one of several models"
        raise TraceError(what, resolve=resolve, where=table.where(row))


def _demand(rate_per_s: FloatArray, shape: FloatArray, weibull: NDArray[np.bool_], bin_s: float) -> Demand:
    """Return the demand of clients with these rates, float64[clients, windows]."""
    total = rate_per_s.sum(axis=0)
    share = np.divide(rate_per_s, total, out=np.zeros_like(rate_per_s), where=total > 0)
    squared = 1 / shape
    squared[weibull] = [weibull_cv(float(value)) ** 2 for value in shape[weibull]]
    cv = float(np.sqrt((squared * rate_per_s).sum() / max(total.sum(), 1e-300)))
    one = np.ones(1, dtype=np.int64)
    return Demand(bin_s, total, one, one, cv, np.empty(0), "", clients=ClientMix(share, shape, weibull))
