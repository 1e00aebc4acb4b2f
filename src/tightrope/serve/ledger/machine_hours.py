"""What machines cost over any time: stretches in which their number and price did not change, added and cut in whole numbers.

>>> hour = 3600 * 10**9
>>> two = [(0, hour, 2_000_000, 500_000_000)]  # two machines at $0.50 an hour
>>> paid_nusd(two, 0, hour // 4)
250000000
>>> paid_nusd(together([two, two]), 0, hour)  # seen by two gateways, paid once
1000000000
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from tightrope.serve.ledger.meter import MACHINE_HOUR

Rate: TypeAlias = tuple[int, int | None]
"""Millionths of machines, and nano-dollars that one costs an hour, None where that is not known."""
Stretch: TypeAlias = tuple[int, int, int, int | None]
"""From and to in nanoseconds UTC, and the rate between."""


def extend(stretches: list[Stretch], more: Stretch) -> None:
    """Add a stretch that is later than all others, as part of the last where it continues that one."""
    if stretches and stretches[-1][1] == more[0] and stretches[-1][2:] == more[2:]:
        more = (stretches.pop()[0], *more[1:])
    stretches.append(more)


def paid_nusd(stretches: Iterable[Stretch], from_ns: int, to_ns: int) -> int | None:
    """Return what was paid between two instants; None where a price is not known. No machines cost nothing, whatever their price."""
    paid = 0
    for begin, end, machines, nusd_per_hour in stretches:
        machine_time = machines * max(0, min(end, to_ns) - max(begin, from_ns))
        if machine_time and nusd_per_hour is None:
            return None
        paid += machine_time * (nusd_per_hour or 0)
    return paid // MACHINE_HOUR


def machine_hours(stretches: Iterable[Stretch], from_ns: int, to_ns: int) -> float:
    """Return the hours that machines were there between two instants."""
    return sum(row[2] * max(0, min(row[1], to_ns) - max(row[0], from_ns)) for row in stretches) / MACHINE_HOUR


def together(several: Sequence[Sequence[Stretch]]) -> list[Stretch]:
    """Return the stretches of one fleet that several watch: at each instant the most expensive that anyone sees.

    What one of them sees without knowing its price is the most expensive.
    """
    events: list[tuple[int, int, Rate]] = []
    for begin, end, machines, nusd_per_hour in (stretch for row in several for stretch in row):
        events += ((begin, 1, (machines, nusd_per_hour)), (end, -1, (machines, nusd_per_hour)))
    seen: dict[Rate, int] = {}
    merged: list[Stretch] = []
    since = 0
    for instant, begins, rate in sorted(events, key=lambda event: event[0]):
        if seen and instant > since:
            extend(merged, (since, instant, *max(seen, key=_dearness)))
        since = instant
        seen[rate] = seen.get(rate, 0) + begins
        if not seen[rate]:
            del seen[rate]
    return merged


def _dearness(rate: Rate) -> tuple[bool, int, int]:
    """Return what rates are compared by."""
    machines, nusd_per_hour = rate
    return machines > 0 and nusd_per_hour is None, machines * (nusd_per_hour or 0), machines
