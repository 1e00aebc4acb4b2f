"""A trace as a ``Demand``: single requests, or rates per bin. What cannot be trusted raises ``TraceError`` with its line.

Hour 0 of a ``Demand`` is 00:00 of its first day (``clock.py``); a note in ``Demand.source`` says how much was left out for it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from tightrope.base.errors import TraceError
from tightrope.base.records import Demand, FloatArray, IntArray
from tightrope.demand.clock import DAY_S, MAX_DAYS, NO_COLUMNS, check_order, check_span, on_the_clock
from tightrope.demand.columns import find_column, require_column, time_factor
from tightrope.demand.trace_tables import TraceTable, in_order_of_appearance, key_of, open_table, read_columns, read_picks

Gaps: TypeAlias = Literal["error", "zero", "interpolate"]
Zeros: TypeAlias = Literal["keep", "gap"]

ARRIVAL_BIN_S = 60.0
"""Width of the bins into which single requests are counted."""
MAX_BINS = 10_000_000
MAX_TOKENS = 1e8
MAX_RATE = 1e12


# ---------------------------------------------------------------------------------------------------------- single requests


def load_arrivals(path: Path, *, columns: Mapping[str, str] = NO_COLUMNS, time_unit: str = "") -> Demand:
    """Return the demand of a file with one row per request: time, input and output tokens where it has both, and a key if any.

    Sizes are ones where the file has no token columns. ``interarrival_cv`` is measured against the rate of each bin.
    """
    table = open_table(path)
    _, time = require_column(table, ["time"], columns)
    tokens = token_columns(table, columns)
    arrays = read_columns(table, [time, *tokens])
    named = find_column(table, "key", columns)
    key = None if named is None else in_order_of_appearance(read_picks(table, [key_of(named)])[0])
    arrival_s, clock = on_the_clock(table, time, arrays[0], time_unit, step_s=ARRIVAL_BIN_S, quiet_start=True)
    _check_length(table, float(arrival_s[-1] - arrival_s[0]))
    sizes = [as_tokens(table, name, values)[clock.first_row :] for name, values in zip(tokens, arrays[1:], strict=True)]
    del arrays
    first, second = sizes or [np.ones(len(arrival_s), dtype=np.int64)] * 2
    rate = np.bincount((arrival_s / ARRIVAL_BIN_S).astype(np.int64)) / ARRIVAL_BIN_S
    cv, cv_note = _measured_cv(arrival_s, rate)
    source = said(f"{path.name}: {len(arrival_s):,} requests", clock.note, cv_note)
    kept = None if key is None else key[clock.first_row :]
    return Demand(ARRIVAL_BIN_S, rate, first, second, cv, arrival_s, source, key=kept, first_day=clock.first_day)


def load_sizes(path: Path, *, columns: Mapping[str, str] = NO_COLUMNS) -> tuple[IntArray, IntArray]:
    """Return a joint sample of input and output tokens, int64[samples] each."""
    table = open_table(path)
    names = [require_column(table, [role], columns)[1] for role in ("input_tokens", "output_tokens")]
    first, second = (as_tokens(table, name, values) for name, values in zip(names, read_columns(table, names), strict=True))
    return first, second


def said(*notes: str) -> str:
    """Return the notes that say something as one line."""
    return "; ".join(note for note in notes if note)


def token_columns(table: TraceTable, columns: Mapping[str, str]) -> list[str]:
    """Return the input and output token columns, none where the file has neither; one without the other raises."""
    found = [find_column(table, role, columns) for role in ("input_tokens", "output_tokens")]
    names = [name for name in found if name is not None]
    if len(names) == 1:
        missing = "output_tokens" if found[0] else "input_tokens"
        require_column(table, [missing], columns)
    return names


def as_tokens(table: TraceTable, column: str, values: FloatArray) -> IntArray:
    """Return whole token counts of at least 1."""
    bad = (values < 1) | (values > MAX_TOKENS) | (values != np.floor(values))
    if bad.any():
        row = int(np.argmax(bad))
        what = f"column {column!r}, row {row + 1}: got {values[row]:g}, expected a whole number of tokens, at least 1"
        raise TraceError(what, resolve="correct the cell, or remove the row of a failed request", where=table.where(row))
    return values.astype(np.int64)


def _measured_cv(arrival_s: FloatArray, rate_per_s: FloatArray) -> tuple[float, str]:
    """Return the coefficient of variation of the gaps, each scaled by its bin's rate, and a note where it cannot be measured."""
    if np.array_equal(arrival_s, np.floor(arrival_s)):
        return 1.0, "times have whole seconds only, so the variation between arrivals is taken as Poisson's"
    gaps = np.diff(arrival_s)
    gaps *= rate_per_s[(arrival_s[:-1] / ARRIVAL_BIN_S).astype(np.int64)]
    return float(gaps.std() / gaps.mean()), ""


def _check_length(table: TraceTable, length_s: float) -> None:
    """Refuse a trace too short to have a rate, and one too long."""
    if length_s < ARRIVAL_BIN_S:
        what = f"the requests span {length_s:g} s: less than a minute says nothing about a rate"
        raise TraceError(what, resolve="give a longer trace, or check `time_unit`", where=table.where())
    check_span(table, length_s)


# ------------------------------------------------------------------------------------------------------------ rates per bin


def load_rates(
    path: Path,
    *,
    columns: Mapping[str, str] = NO_COLUMNS,
    time_unit: str = "",
    bin_s: float = 0.0,
    gaps: Gaps = "error",
    zeros: Zeros = "keep",
) -> Demand:
    """Return the demand of a file with one row per bin: time and rate per second (or count per bin), sizes all ones.

    ``bin_s`` is the most common step where it is 0. A missing bin is an error, zero or interpolated, as ``gaps`` says;
    ``zeros="gap"`` takes bins of zero as missing.
    """
    table = open_table(path)
    _, time = require_column(table, ["time"], columns)
    role, value = require_column(table, ["rate", "count"], columns)
    raw_time, values = read_columns(table, [time, value])
    bad = (values < 0) | (values > MAX_RATE)
    if bad.any():
        row = int(np.argmax(bad))
        what = f"column {value!r}, row {row + 1}: got {values[row]:g}, expected a rate of 0 or more (and less than {MAX_RATE:g})"
        raise TraceError(what, resolve="correct the cell", where=table.where(row))
    check_order(table, raw_time)
    step_s = bin_s or common_step(table, raw_time * time_factor(table, time, time_unit))
    time_s, clock = on_the_clock(table, time, raw_time, time_unit, step_s=step_s, quiet_start=False)
    grid = _on_the_grid(table, time_s, values[clock.first_row :] / (step_s if role == "count" else 1.0), step_s, clock.first_row)
    rate, gap_note = _without_gaps(table, np.where(grid == 0, np.nan, grid) if zeros == "gap" else grid, step_s, gaps)
    one = np.ones(1, dtype=np.int64)
    source = said(f"{path.name}: {len(rate):,} bins of {step_s:g} s", clock.note, gap_note)
    return Demand(step_s, rate, one, one, 1.0, np.empty(0), source, first_day=clock.first_day)


def common_step(table: TraceTable, time_s: FloatArray) -> float:
    """Return the most common distance of two rows."""
    if len(time_s) < 2:
        what = "one row does not say how long its bin is"
        raise TraceError(what, resolve="state it: `bin: 10 min`", where=table.where(0))
    steps, counts = np.unique(np.round(np.diff(time_s), 6), return_counts=True)
    step_s = float(steps[np.argmax(counts)])
    if step_s <= 0:
        row = int(np.argmax(np.diff(time_s) <= 0)) + 1
        what = "most rows have the time of the row before"
        raise TraceError(what, resolve="give one row per bin, or load single requests with `requests:`", where=table.where(row))
    return step_s


def _on_the_grid(table: TraceTable, time_s: FloatArray, rate_per_s: FloatArray, step_s: float, skipped: int) -> FloatArray:
    """Return float64[bins] with NaN where no row is; rows between the bins' starts and two rows in one bin raise."""
    if time_s[-1] - time_s[0] > min(MAX_DAYS * DAY_S, MAX_BINS * step_s):
        what = f"the rows span {(time_s[-1] - time_s[0]) / DAY_S:,.0f} days in bins of {step_s:g} s"
        raise TraceError(what, resolve="check `time_unit`, `bin`, and the first and the last row", where=table.where(skipped))
    position = (time_s - time_s[0]) / step_s
    index = np.round(position).astype(np.int64)
    bad = np.abs(position - index) > 0.01
    bad[1:] |= np.diff(index) < 1
    if bad.any():
        row = int(np.argmax(bad))
        step = time_s[row] - time_s[max(row - 1, 0)]
        what = f"row {skipped + row + 1} is not on the grid of {step_s:g} s: it comes {step:g} s after the row before"
        raise TraceError(what, resolve="give one row per bin, all bins of one width", where=table.where(skipped + row))
    grid = np.full(int(index[-1]) + 1, np.nan)
    grid[index] = rate_per_s
    return grid


def _without_gaps(table: TraceTable, grid: FloatArray, step_s: float, gaps: Gaps) -> tuple[FloatArray, str]:
    """Return the rates with the missing bins filled as ``gaps`` says, and a note on how many."""
    missing = np.isnan(grid)
    if not missing.any():
        return grid, ""
    first = int(np.argmax(missing))
    if gaps == "error" or missing.all():
        what = f"{missing.sum()} bins have no rate, the first at {first * step_s / 3600:.2f} h from the start"
        raise TraceError(
            what, resolve="add the rows, or say `gaps: interpolate` or `gaps: zero`", where=table.where(max(first - 1, 0))
        )
    filled = np.zeros_like(grid)
    if gaps == "interpolate":
        at = np.arange(len(grid))
        filled = np.interp(at, at[~missing], grid[~missing])
    return np.where(missing, filled, grid), f"{missing.sum()} missing bins filled ({gaps})"
