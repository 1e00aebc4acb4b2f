"""A pool's week as spans: from a moment to another, on some days, at least so many machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from tightrope.render.infra.schedule import DAYS, HOURS, WEEK, WeeklyTime

HOUR_MINUTES = 60
DAY_MINUTES = HOURS * HOUR_MINUTES
WEEK_MINUTES = WEEK * HOUR_MINUTES


@dataclass(frozen=True, slots=True)
class ScheduleSpan:
    """At least so many machines, from each ``start`` to the next ``end``."""

    start: WeeklyTime
    end: WeeklyTime
    machines: int


def spans(week: Sequence[int], start_s: float) -> tuple[ScheduleSpan, ...]:
    """Return the spans that give the week where the most of those that hold counts, and the week's least holds always.

    A span begins so early (whole minutes) that machines asked for then are ready in time.

    >>> for span in spans(([0] * 8 + [2] * 12 + [0] * 4) * 5 + [0] * 48, 179.0):
    ...     print(span.start.cron, "to", span.end.cron, span.machines)
    57 7 * * 1,2,3,4,5 to 0 20 * * 1,2,3,4,5 2
    """
    early = ceil(start_s / 60.0)
    found: list[ScheduleSpan] = []
    for machines in sorted({*week} - {min(week)}):
        by_day: dict[tuple[int, int], list[int]] = {}
        for start, length in _runs([count >= machines for count in week], early):
            by_day.setdefault((start % DAY_MINUTES, length), []).append(start // DAY_MINUTES)
        found += [
            ScheduleSpan(_moment(minute, days), _moment(minute + length, days), machines)
            for (minute, length), days in sorted(by_day.items())
        ]
    return tuple(found)


def constant_machines(week: Sequence[int], start_s: float) -> int:
    """Return the machines that are always there: more than the week's least where spans that begin early leave no gap.

    >>> constant_machines(([2] + [1] * 23) * 7, 179.0), constant_machines(([2, 2, 1] * 56), 3600.0)
    (1, 2)
    """
    early = ceil(start_s / 60.0)
    always = [level for level in {*week} if not any(True for _ in _runs([count >= level for count in week], early))]
    return max(always)


def _runs(wanted: Sequence[bool], early: int) -> list[tuple[int, int]]:
    """Return start and length, minutes of the week, of the runs of wanted hours, each begun early; none where all of it is wanted."""
    on = [False] * WEEK_MINUTES
    for hour in (hour for hour, is_on in enumerate(wanted) if is_on):
        for minute in range(hour * HOUR_MINUTES - early, (hour + 1) * HOUR_MINUTES):
            on[minute % WEEK_MINUTES] = True
    starts = [minute for minute in range(WEEK_MINUTES) if on[minute] and not on[minute - 1]]
    ends = [minute for minute in range(WEEK_MINUTES) if not on[minute] and on[minute - 1]]
    return [(start, min((end - start) % WEEK_MINUTES for end in ends)) for start in starts]


def _moment(minute: int, days: Sequence[int]) -> WeeklyTime:
    """Return a minute counted from the midnight that begins each of some days."""
    later, of_day = divmod(minute, DAY_MINUTES)
    return WeeklyTime(of_day % HOUR_MINUTES, of_day // HOUR_MINUTES, tuple(sorted((day + later) % len(DAYS) for day in days)))
