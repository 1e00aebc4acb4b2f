"""A pool's week as a calendar: few entries, each a time of day on some days, from which so many machines are wanted.

``Plan.first_day`` says which day block 0 is; where the traffic is of no calendar it is taken as a Monday, and the files say so. All times
are UTC's. A target that takes fewer entries than a week has gets more machines, never fewer: ``at_most``.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from math import ceil

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOURS = 24
WEEK = HOURS * len(DAYS)


@dataclass(frozen=True, slots=True)
class WeeklyTime:
    """A time of day on some days of the week (0 is Monday)."""

    minute: int
    hour: int
    days: tuple[int, ...]

    @property
    def cron(self) -> str:
        """Write it as cron does, which counts days from Sunday.

        >>> WeeklyTime(30, 7, (0, 6)).cron
        '30 7 * * 0,1'
        """
        days = "*" if len(self.days) == len(DAYS) else ",".join(str(day) for day in sorted((day + 1) % 7 for day in self.days))
        return f"{self.minute} {self.hour} * * {days}"


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """From this hour of the day on, on these days (0 is Monday), so many machines: more than before where it ``rises``."""

    hour: int
    days: tuple[int, ...]
    machines: int
    rises: bool

    def asked(self, start_s: float) -> WeeklyTime:
        """Return when the machines are asked for: where they are more, so early (whole minutes) that they are ready in time.

        >>> ScheduleEntry(0, (0, 4), 3, rises=True).asked(179.0)
        WeeklyTime(minute=57, hour=23, days=(3, 6))
        """
        early = ceil(start_s / 60.0) if self.rises else 0
        at = self.hour * 60 - early
        return WeeklyTime(at % 60, at // 60 % HOURS, tuple(sorted((day + at // (60 * HOURS)) % len(DAYS) for day in self.days)))


def align_to_monday(schedule: Sequence[int], first_day: str) -> tuple[int, ...]:
    """Return the week that begins on Monday at 00:00, of one that begins on ``first_day`` (empty: a Monday).

    >>> align_to_monday(range(168), "2026-10-31")[0]  # a Saturday, so that Monday comes 48 hours later
    48
    """
    shift = HOURS * ((-date.fromisoformat(first_day).weekday()) % len(DAYS)) if first_day else 0
    return (*schedule[shift:], *schedule[:shift])


def advance_rises(week: tuple[int, ...], hours: int) -> tuple[int, ...]:
    """Return the week in which every hour has what any of the ``hours`` after it wants, too: machines that take longer than one to start.

    >>> advance_rises((1, 1, 3, *[1] * 165), 1)[:4]
    (1, 3, 3, 1)
    """
    return tuple(max(week[(at + later) % WEEK] for later in range(hours + 1)) for at in range(WEEK))


def entries(week: Sequence[int]) -> tuple[ScheduleEntry, ...]:
    """Return the fewest entries of this kind that give the week from Monday on, in order of hour and machines.

    An entry stands where the number changes. A week that never changes has one entry, on Monday at 00:00.

    >>> entries([1] * 168)
    (ScheduleEntry(hour=0, days=(0,), machines=1, rises=False),)
    >>> for entry in entries(([0] * 8 + [2] * 16) * 5 + [0] * 48):
    ...     print(entry)
    ScheduleEntry(hour=0, days=(1, 2, 3, 4, 5), machines=0, rises=False)
    ScheduleEntry(hour=8, days=(0, 1, 2, 3, 4), machines=2, rises=True)
    """
    found: dict[tuple[int, int, bool], list[int]] = {}
    for at, machines in enumerate(week):
        if machines != week[at - 1]:
            found.setdefault((at % HOURS, machines, machines > week[at - 1]), []).append(at // HOURS)
    listed = tuple(ScheduleEntry(hour, tuple(days), machines, rises) for (hour, machines, rises), days in sorted(found.items()))
    return listed or (ScheduleEntry(0, (0,), week[0], rises=False),)


def expand_entries(listed: Sequence[ScheduleEntry]) -> tuple[int, ...]:
    """Return the week that entries give: each holds until the next, the last of the week until the first."""
    starts = sorted((day * HOURS + entry.hour, entry.machines) for entry in listed for day in entry.days)
    places = [hour for hour, _ in starts]
    return tuple(starts[bisect_right(places, hour) - 1][1] for hour in range(WEEK))


@cache
def limit_entries(week: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Return a week of no hour with fewer machines whose ``entries`` are at most ``most``, with few machine-hours more.

    Step by step takes the change that adds the fewest machine-hours for each entry that it spares: a stretch raised to what stands
    beside it, or a day made like another (at every hour the larger of the two, on both). One entry always does: the week's peak.
    """
    while (count := len(entries(week))) > most:
        options = [(sum(new) - sum(week), count - len(entries(new)), new) for new in {*_stretches(week), *_like_days(week)}]
        # What spares nothing yet may lead on: it counts as a tenth of an entry, and the machine-hours only ever rise.
        week = min(options, key=lambda option: (option[0] / max(option[1], 0.1), option))[2]
    return week


def _stretches(week: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Return the weeks in which one stretch of equal hours is raised to the lower of the higher neighbours."""
    starts = [at for at in range(WEEK) if week[at] != week[at - 1]]
    found = set()
    for place, start in enumerate(starts):
        end = starts[(place + 1) % len(starts)]
        beside = [value for value in (week[start - 1], week[end]) if value > week[start]]
        if beside:
            inside = {at % WEEK for at in range(start, end if end > start else end + WEEK)}
            found.add(tuple(min(beside) if at in inside else value for at, value in enumerate(week)))
    return found


def _like_days(week: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Return the weeks in which two days are alike that were not."""
    days = [week[HOURS * day : HOURS * (day + 1)] for day in range(len(DAYS))]
    found = set()
    for one in range(len(DAYS)):
        for other in range(one):
            if days[one] != days[other]:
                both = tuple(map(max, days[one], days[other]))
                found.add(tuple(value for day in range(len(DAYS)) for value in (both if day in {one, other} else days[day])))
    return found
