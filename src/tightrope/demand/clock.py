"""Where hour 0 of a trace lies: 00:00 of its first day.

A calendar trace that begins later in the day and lasts is cut to its first midnight, and the note says how much was left out. One
without a whole day is counted from its start, or keeps its hour of the day, as asked. Days are UTC's days, so a change to or from
summer time leaves no gap and no hour twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import numpy as np

from tightrope.base.errors import TraceError
from tightrope.base.records import FloatArray
from tightrope.demand.columns import time_factor
from tightrope.demand.trace_tables import TraceTable

DAY_S = 86_400.0
MAX_DAYS = 800.0
UNIX_S = 1e8
"""A time beyond this many seconds (1973-03-03) is a calendar time, and not one since the trace's start."""
NO_COLUMNS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Clock:
    """Where a trace's hour 0 lies: ``shift_s`` is subtracted, rows before ``first_row`` are left out, ``note`` says why."""

    shift_s: float
    first_row: int
    note: str
    calendar: bool = False
    """Whether the times are of a calendar, so that they can be compared with those of another file that are."""

    @property
    def first_day(self) -> date | None:
        """The day of UTC that begins at time 0; None where the times are not of a calendar, or begin no day.

        >>> Clock(86_400.0 * 20_000, 0, "", calendar=True).first_day
        datetime.date(2024, 10, 4)
        """
        begins = self.calendar and self.shift_s % DAY_S == 0.0
        return datetime.fromtimestamp(self.shift_s, tz=UTC).date() if begins else None


def on_the_clock(
    table: TraceTable,
    column: str,
    values: FloatArray,
    time_unit: str,
    *,
    step_s: float,
    quiet_start: bool,
    keep_hour: bool = False,
) -> tuple[FloatArray, Clock]:
    """Return times in seconds from 00:00 of the first day kept (in place), ascending, and how they came about.

    With ``keep_hour`` a calendar trace without a whole day is counted from the midnight before it, and not from its start.
    """
    values *= time_factor(table, column, time_unit)
    check_order(table, values)
    if values[0] < 0:
        what = f"column {column!r} begins at {values[0]:g} s, before its own zero"
        raise TraceError(what, resolve="give times from 0 on, or calendar times", where=table.where(0))
    calendar = bool(values[0] >= UNIX_S) or table.is_time(column)
    clock = _clock(values, step_s, known_start=quiet_start and not calendar, keep_hour=keep_hour)
    clock = replace(clock, calendar=calendar)
    values -= clock.shift_s
    return values[clock.first_row :], clock


def _clock(time_s: FloatArray, step_s: float, *, known_start: bool, keep_hour: bool) -> Clock:
    """Return where hour 0 lies; with ``known_start`` the time before the first row was quiet, else it is unknown."""
    midnight = float(np.floor(time_s[0] / DAY_S) * DAY_S)
    if known_start or time_s[0] - midnight <= step_s:
        return Clock(midnight, 0, "")
    if time_s[-1] + step_s >= midnight + 2 * DAY_S:
        row = int(np.searchsorted(time_s, midnight + DAY_S))
        lost_h = (time_s[row] - time_s[0]) / 3600
        return Clock(midnight + DAY_S, row, f"the {row:,} rows of the {lost_h:.1f} h before the first midnight are left out")
    if keep_hour:
        return Clock(midnight, 0, "")
    return Clock(float(time_s[0]), 0, "holds no whole day from midnight, so hours are counted from its start")


def check_order(table: TraceTable, time: FloatArray) -> None:
    """Refuse a time that goes backwards, by its line."""
    back = time[1:] < time[:-1]
    if back.any():
        row = int(np.argmax(back)) + 1
        what = f"time goes backwards in row {row + 1}: {time[row]:.15g} comes after {time[row - 1]:.15g}"
        raise TraceError(what, resolve="sort the rows by time", where=table.where(row))


def check_span(table: TraceTable, length_s: float) -> None:
    """Refuse a trace so long that its times cannot be right."""
    if length_s > MAX_DAYS * DAY_S:
        what = f"the requests span {length_s / DAY_S:,.0f} days, more than {MAX_DAYS:g}"
        raise TraceError(what, resolve="check `time_unit`, and the first and the last row", where=table.where())
