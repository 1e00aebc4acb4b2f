"""What machines cost over any time: stretches in which their number and price did not change, added and cut in whole numbers.

>>> hour = 3600 * 10**9
>>> two = [(0, hour, 2_000_000 * 500_000_000)]  # two machines at $0.50 an hour
>>> paid_nusd(two, 0, hour // 4)
250000000
>>> paid_nusd(together([two, two]), 0, hour)  # seen by two gateways, paid once
1000000000
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

from tightrope.serve.ledger.meter import MACHINE_HOUR

Stretch: TypeAlias = tuple[int, int, int | None]
"""From and to in nanoseconds UTC, and nano-dollars an hour times millionths of machines, None where the price is not known."""


def rate_of(machines_e6: int, nusd_per_hour: int | None) -> int | None:
    """Return the third part of a stretch; no machines cost nothing, whatever their price."""
    return 0 if machines_e6 == 0 else None if nusd_per_hour is None else machines_e6 * nusd_per_hour


def extend(stretches: list[Stretch], more: Stretch) -> None:
    """Add a stretch that is later than all others, as part of the last where it continues that one."""
    if stretches and stretches[-1][1] == more[0] and stretches[-1][2] == more[2]:
        more = (stretches.pop()[0], more[1], more[2])
    stretches.append(more)


def paid_nusd(stretches: Iterable[Stretch], from_ns: int, to_ns: int) -> int | None:
    """Return what was paid between two instants; None where a price is not known."""
    paid = 0
    for begin, end, rate in stretches:
        passed = min(end, to_ns) - max(begin, from_ns)
        if passed > 0 and rate is None:
            return None
        paid += max(0, passed) * (rate or 0)
    return paid // MACHINE_HOUR


def together(several: Sequence[Sequence[Stretch]]) -> list[Stretch]:
    """Return the stretches of one fleet that several watch: at each instant the most that anyone sees.

    Where one of them does not know the price, it is not known.
    """
    if len(several) == 1:
        return list(several[0])
    events: list[tuple[int, int, int | None]] = []
    for begin, end, rate in (stretch for row in several for stretch in row):
        events += ((begin, 1, rate), (end, -1, rate))
    events.sort(key=lambda event: event[0])
    seen: dict[int | None, int] = {}
    merged: list[Stretch] = []
    since = 0
    for instant, begins, rate in events:
        if seen and instant > since:
            extend(merged, (since, instant, None if None in seen else max(each for each in seen if each is not None)))
        since = instant
        seen[rate] = seen.get(rate, 0) + begins
        if not seen[rate]:
            del seen[rate]
    return merged


def gaps(stretches: Sequence[Stretch]) -> list[tuple[int, int]]:
    """Return the times between the first and the last instant of which nothing is known."""
    return [(one[1], two[0]) for one, two in pairwise(stretches) if one[1] < two[0]]
