"""A pool's week as Compute Engine's autoscaler takes it: times that begin by cron and last, of which the largest that holds counts."""

from dataclasses import dataclass
from math import ceil

from tightrope.render.infra.schedule import DAYS, HOURS, WEEK, ScheduleEntry, entries, limit_entries

MOST = 128
"""Schedules of one group (Compute Engine documentation, Scale based on schedules, 2026)."""


@dataclass(frozen=True, slots=True)
class CapacityPeriod:
    """From this hour of the day on, on these days (0 is Monday), for so many hours, at least so many machines."""

    hour: int
    days: tuple[int, ...]
    hours: int
    machines: int

    def asked(self, start_s: float) -> dict[str, object]:
        """Return it as the group's schedule: it begins so early (whole minutes) that the machines are ready in time.

        >>> CapacityPeriod(8, (0, 1), 10, 2).asked(179.0)
        {'cron': '57 7 * * 1,2', 'duration_s': 36180, 'machines': 2}
        """
        cron = ScheduleEntry(self.hour, self.days, self.machines, rises=True).asked(start_s).cron
        return {"cron": cron, "duration_s": 3600 * self.hours + 60 * ceil(start_s / 60.0), "machines": self.machines}

    @property
    def name(self) -> str:
        """Return a name that no other stretch of the pool has, and that stays while it is planned.

        >>> CapacityPeriod(8, (0, 1, 6), 10, 2).name
        'least-2-from-08-for-10h-mon-tue-sun'
        """
        days = "daily" if len(self.days) == len(DAYS) else "-".join(DAYS[day][:3] for day in self.days)
        return f"least-{self.machines}-from-{self.hour:02}-for-{self.hours}h-{days}"


def split_week(week: tuple[int, ...], most: int = MOST) -> tuple[CapacityPeriod, ...]:
    """Return at most so many stretches that give the week above its least; of a restless week, no hour with fewer machines.

    >>> for period in split_week((*[1] * 8, *[3] * 2, 2, *[1] * 13) * 7):
    ...     print(period)
    CapacityPeriod(hour=8, days=(0, 1, 2, 3, 4, 5, 6), hours=2, machines=3)
    CapacityPeriod(hour=8, days=(0, 1, 2, 3, 4, 5, 6), hours=3, machines=2)
    """
    least, allowed = min(week), most
    while len(found := _stretches(week, least)) > most:
        week = limit_entries(week, allowed := min(allowed, len(entries(week)) - 1))
    return found


def _stretches(week: tuple[int, ...], least: int) -> tuple[CapacityPeriod, ...]:
    """Return the hours at which at least each number above the least is wanted, alike days in one stretch."""
    found: dict[tuple[int, int, int], list[int]] = {}
    for machines in sorted(set(week) - {least}):
        if machines == min(week):
            found[0, WEEK, machines] = [0]
        for start in range(WEEK):
            if week[start] >= machines > week[start - 1]:
                hours = next(after for after in range(1, WEEK) if week[(start + after) % WEEK] < machines)
                found.setdefault((start % HOURS, hours, machines), []).append(start // HOURS)
    return tuple(CapacityPeriod(hour, tuple(days), hours, machines) for (hour, hours, machines), days in sorted(found.items()))
