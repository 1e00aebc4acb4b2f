"""How the slow replay batches requests of unlike length: who goes together, by the section on lengths of ``replay-rules.md``."""

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import reduce
from operator import add

from tightrope.base.records import RequestEngine

LOOKED_AT = 64
PAYS, NEARLY = 1.01, 0.995
MEMORY_S = 10.0


@dataclass(frozen=True)
class Waits:
    """One of those that are looked at: its length, and the time left until it is to be answered."""

    length: int
    left_s: float


def time_s(engine: RequestEngine, size: int, length: int) -> float:
    """Return the time of a batch that is padded to a length."""
    times_s, lengths = engine.service_by_length_s[size - 1], engine.lengths
    if len(lengths) == 1 or length <= lengths[0]:
        return times_s[0]
    if length >= lengths[-1]:
        return times_s[-1] * (length / lengths[-1])
    after = bisect_left(lengths, length)
    part = (length - lengths[after - 1]) / (lengths[after] - lengths[after - 1])
    return times_s[after - 1] + part * (times_s[after] - times_s[after - 1])


class Group:
    """Those that would go together."""

    def __init__(self, engine: RequestEngine, looked_at: list[Waits], members: list[int]) -> None:
        """Take some of those that are looked at, in the order in which they were added."""
        self.members, rows = members, [looked_at[member] for member in members]
        self.took_s = time_s(engine, len(rows), max(row.length for row in rows))
        alone_s = [time_s(engine, 1, row.length) for row in rows]
        in_time = [row.left_s for row, own_s in zip(rows, alone_s, strict=True) if own_s <= row.left_s]
        self.allowed = len(rows) == 1 or all(self.took_s <= left_s for left_s in in_time)
        self.gain = reduce(add, alone_s) / self.took_s  # added one by one, as ``sum`` does not everywhere


def together(engine: RequestEngine, looked_at: list[Waits], most: int) -> list[int]:
    """Return the places of those that go together, the first among them."""
    lengths = [row.length for row in looked_at]
    most = min(most, len(looked_at))
    if len(set(lengths)) == 1:
        found = [Group(engine, looked_at, list(range(size))) for size in range(1, most + 1)]
        for group in found:  # of one length: so many times the time of one, which rounds otherwise than a sum
            group.gain = len(group.members) * time_s(engine, 1, lengths[0]) / group.took_s
        return best_of([group for group in found if group.allowed])
    order = sorted(range(len(lengths)), key=lambda place: (lengths[place], place))
    left = right = order.index(0)
    found = [Group(engine, looked_at, [0])]
    while len(found) < most:
        members = found[-1].members
        near = [order[at] for at in (left - 1, right + 1) if 0 <= at < len(order)]
        larger = [Group(engine, looked_at, [*members, place]) for place in near]
        larger = [group for group in larger if group.allowed]
        if not larger:
            break
        found.append(max(larger, key=lambda group: group.gain))  # the shorter of equals: it stands first
        left, right = (left - 1, right) if found[-1].members[-1] in order[:left] else (left, right + 1)
    return best_of(found)


def best_of(found: list[Group]) -> list[int]:
    """Return the members of the group whose gain is best, of nearly as good ones the smallest, where one pays at all."""
    best, least = found[0], PAYS * NEARLY
    for group in found[1:]:
        if group.gain * NEARLY > least:
            best, least = group, group.gain
    return best.members


def fits_in(engine: RequestEngine, batch: list[Waits], other: Waits) -> bool:
    """Return whether one that can wait may fill a batch of others up."""
    longest = max(row.length for row in batch)
    now_s, larger_s = (time_s(engine, len(batch) + more, longest) for more in (0, 1))
    in_time = [row.left_s for row in batch if time_s(engine, 1, row.length) <= row.left_s]
    late = any(larger_s > left_s for left_s in in_time)
    return other.length <= longest and not late and (larger_s - now_s) * PAYS <= time_s(engine, 1, other.length)


def waits_for_more(engine: RequestEngine, lengths: list[int], arrivals_s: list[float]) -> bool:
    """Return whether waiting for one more saves time, so many having arrived when they did."""
    longest, size = max(lengths), len(lengths)
    saved_s = time_s(engine, 1, longest) + time_s(engine, size, longest) - time_s(engine, size + 1, longest)
    rate_per_s = sum(math.exp((arrived_s - arrivals_s[-1]) / MEMORY_S) for arrived_s in arrivals_s) / MEMORY_S
    return rate_per_s * saved_s > 1.0
