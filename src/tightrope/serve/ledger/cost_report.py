"""What everything cost over any time.

It adds up to the price of the machines to the nano-dollar: what requests were charged, what uses took that are in progress or came to no
answer (``other``), idle time, and time that nobody counted.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import accumulate, pairwise

from tightrope.serve.ledger.journal import HOUR, hour_name
from tightrope.serve.ledger.machine_hours import Stretch, machine_hours, paid_nusd, together
from tightrope.serve.ledger.reader import LedgerReader

COLUMNS = ("tenant", "model", "variant", "class", "pool", "tag")
"""By what requests can be summed beside the ``hour``."""
SUMS = """
  count(*) FILTER (kind = 'request'), count(*) FILTER (kind = 'request' AND status >= 400), count(*) FILTER (compute_nusd IS NULL),
  sum(tokens_in), sum(tokens_out),
  coalesce(sum(compute_nusd), 0), sum(tokens_nusd), sum(egress_nusd), coalesce(sum(saved_nusd), 0)
"""
ISLANDS = """
WITH marked AS (
  SELECT *, coalesce(from_ns <> lag(to_ns) OVER w OR machines_e6 <> lag(machines_e6) OVER w OR unmetered <> lag(unmetered) OVER w
    OR nusd_per_hour IS DISTINCT FROM lag(nusd_per_hour) OVER w, true)::INTEGER AS fresh
  FROM lines WHERE kind = 'machines' AND to_ns > from_ns WINDOW w AS (PARTITION BY gateway, meter ORDER BY from_ns, seq)
), numbered AS (SELECT *, sum(fresh) OVER (PARTITION BY gateway, meter ORDER BY from_ns, seq) AS island FROM marked)
SELECT meter, gateway, shared, unmetered, min(from_ns), max(to_ns), any_value(machines_e6), any_value(nusd_per_hour)
FROM numbered GROUP BY meter, gateway, island, shared, unmetered ORDER BY 5
"""
"""Lines of machines that follow one another and say the same, as one."""
USED = """
SELECT meter, number, sum(part) FILTER (NOT unmetered), sum(part) FILTER (unmetered) FROM (
  SELECT meter, unmetered, number,
    used_nusd::HUGEINT * (least(to_ns, window_to) - greatest(from_ns, window_from)) // (to_ns - from_ns) AS part
  FROM lines, windows WHERE kind = 'machines' AND from_ns < least(to_ns, window_to) AND to_ns > window_from)
GROUP BY meter, number
"""


@dataclass(frozen=True, slots=True)
class Charge:
    """What requests cost that have the same ``key``, in nano-dollars."""

    key: tuple[str, ...]
    requests: int
    unanswered: int
    """Of them, those that were refused or failed."""
    unpriced: int
    """Of them, those whose price is not known: their cost is in no sum."""
    tokens_in: int
    tokens_out: int
    compute_nusd: int
    tokens_nusd: int
    egress_nusd: int
    saved_nusd: int
    idle_nusd: int = 0
    """Its share of what machines cost beside requests, where that was asked to be spread."""

    @property
    def nusd(self) -> int:
        """Return its part of the total."""
        return self.compute_nusd + self.tokens_nusd + self.egress_nusd + self.idle_nusd


@dataclass(frozen=True, slots=True)
class MachineCharge:
    """What the machines of a meter cost; amounts are None where their price is not known."""

    meter: str
    from_ns: int
    to_ns: int
    """All of the time, or an hour of it."""
    machine_hours: float
    paid_nusd: int | None
    requests_nusd: int
    """What requests were charged of it."""
    other_nusd: int | None
    """Uses in progress at the ends of the time, and those that came to no answer."""
    idle_nusd: int | None
    unmetered_nusd: int | None

    @property
    def beside_nusd(self) -> int:
        """Return what no request was charged."""
        return 0 if self.paid_nusd is None else self.paid_nusd - self.requests_nusd


@dataclass(frozen=True, slots=True)
class Total:
    """All that was spent between two instants in nanoseconds UTC."""

    from_ns: int
    to_ns: int
    by: tuple[str, ...]
    charges: tuple[Charge, ...]
    machines: tuple[MachineCharge, ...]
    """Beside what requests were charged; their sum with it is the price of the machines."""
    spread: bool = False
    """What machines cost beside requests is in the charges where it could be."""

    @property
    def nusd(self) -> int:
        """Return the whole sum, as far as prices are known."""
        return sum(charge.nusd for charge in self.charges) + sum(
            row.beside_nusd for row in self.machines if not (self.spread and row.requests_nusd)
        )

    @property
    def complete(self) -> bool:
        """Whether every price is known."""
        return not any(charge.unpriced for charge in self.charges) and all(row.paid_nusd is not None for row in self.machines)


@dataclass(slots=True)
class _Meter:
    """What is known of a meter's machines; those that several gateways count are there once."""

    pools: frozenset[str]
    paid: list[list[Stretch]]
    counted: list[list[Stretch]]
    """Of that what a gateway counted."""


def total(reader: LedgerReader, from_ns: int, to_ns: int, by: Sequence[str] = (), *, spread: bool = False) -> Total:
    """Return what was spent between two instants, summed ``by`` some of ``COLUMNS`` and ``hour``.

    With ``spread`` what machines cost beside requests is added to the requests that ran on them, by what these cost; where none did,
    it stays apart.
    """
    windows = _windows(from_ns, to_ns, "hour" in by)
    reader.sql.execute("CREATE OR REPLACE TEMP TABLE windows (number INTEGER, window_from BIGINT, window_to BIGINT)")
    reader.sql.executemany("INSERT INTO windows VALUES (?, ?, ?)", [[n, *window] for n, window in enumerate(windows)])
    meters = _meters(reader)
    home = {pool: name for name, meter in meters.items() for pool in meter.pools}
    groups = _groups(reader, from_ns, to_ns, by, windows)
    charged: defaultdict[tuple[str, int], int] = defaultdict(int)
    for pool, number, charge in groups:
        charged[home.get(pool, ""), number] += charge.compute_nusd
    machines = _machine_charges(reader, meters, windows, charged)
    if spread:
        groups = _spread(groups, home, {(row.meter, number): row.beside_nusd for row, number in machines})
    rows = tuple(row for row, _ in machines)
    return Total(from_ns, to_ns, tuple(by), _summed(groups), rows, spread)


def _windows(from_ns: int, to_ns: int, hourly: bool) -> list[tuple[int, int]]:
    """Return the whole time, or its hours."""
    if not hourly:
        return [(from_ns, to_ns)]
    starts = range(from_ns // HOUR * HOUR, to_ns, HOUR)
    return [(max(from_ns, start), min(to_ns, start + HOUR)) for start in starts]


def _meters(reader: LedgerReader) -> dict[str, _Meter]:
    """Return meter → its machines."""
    query = (
        "SELECT meter, list(DISTINCT pool) FROM (SELECT meter, unnest(pools) AS pool FROM lines) GROUP BY meter ORDER BY meter"
    )
    pools = dict(reader.rows(query))
    seen: dict[str, dict[tuple[bool, str], tuple[list[Stretch], list[Stretch]]]] = {}
    for meter, gateway, shared, unmetered, *stretch in reader.rows(ISLANDS):
        paid, counted = seen.setdefault(meter, {}).setdefault((shared, gateway), ([], []))
        begin, end, machines_e6, nusd_per_hour = stretch
        paid.append((begin, end, machines_e6, nusd_per_hour))
        if not unmetered:
            counted.append(paid[-1])
    found = {}
    for name, rows in sorted(seen.items()):
        # Of one gateway too an instant is paid once: where its clock was ahead for a while, it wrote of some that then came.
        own = [(together([paid]), together([counted])) for (shared, _), (paid, counted) in rows.items() if not shared]
        fleet = [both for (shared, _), both in rows.items() if shared]
        if fleet:
            own.append((together([paid for paid, _ in fleet]), together([counted for _, counted in fleet])))
        found[name] = _Meter(frozenset(pools[name]), [paid for paid, _ in own], [counted for _, counted in own])
    return found


def _groups(
    reader: LedgerReader, from_ns: int, to_ns: int, by: Sequence[str], windows: Sequence[tuple[int, int]]
) -> list[tuple[str, int, Charge]]:
    """Return pool, number of the window and sums of the requests that are alike in all that was asked."""
    reader.only_hours(from_ns, to_ns)
    hourly = "hour" in by
    number = f"((at_ns - 1) // {HOUR} - {windows[0][0] // HOUR})::INTEGER" if hourly else "0"
    columns = [f'"{name}"' for name in by if name != "hour"]
    found = reader.rows(f"SELECT {', '.join(['pool', f'{number} AS number', *columns])}, {SUMS} FROM requests GROUP BY ALL")
    groups = []
    for pool, window, *rest in found:
        names = iter(rest[: len(columns)])
        key = tuple(hour_name(windows[window][0]) if name == "hour" else str(next(names)) for name in by)
        groups.append((pool, window, Charge(key, *map(int, rest[len(columns) :]))))
    return sorted(groups, key=lambda group: (group[2].key, group[0], group[1]))


def _machine_charges(
    reader: LedgerReader,
    meters: dict[str, _Meter],
    windows: Sequence[tuple[int, int]],
    charged: dict[tuple[str, int], int],
) -> list[tuple[MachineCharge, int]]:
    """Return what the machines of each meter cost in each window, with the window's number."""
    used = {(meter, number): (int(metered or 0), int(unmetered or 0)) for meter, number, metered, unmetered in reader.rows(USED)}
    found = []
    for name, meter in meters.items():
        for number, window in enumerate(windows):
            paid, counted = _paid(meter.paid, window), _paid(meter.counted, window)
            taken, unseen = used.get((name, number), (0, 0))
            requests = charged.get((name, number), 0)
            hours = sum(machine_hours(row, *window) for row in meter.paid)
            other = idle = unmetered = None
            if paid is not None and counted is not None:
                other, unmetered = taken + unseen - requests, max(0, paid - counted - unseen)
                idle = paid - requests - other - unmetered
            if hours or requests:
                found.append((MachineCharge(name, *window, hours, paid, requests, other, idle, unmetered), number))
    return found


def _paid(rows: Sequence[Sequence[Stretch]], window: tuple[int, int]) -> int | None:
    """Return what several rows of stretches cost in a window; None where a price is not known."""
    parts = [paid_nusd(row, *window) for row in rows]
    return None if None in parts else sum(part for part in parts if part is not None)


def _spread(
    groups: Sequence[tuple[str, int, Charge]], home: dict[str, str], beside: dict[tuple[str, int], int]
) -> list[tuple[str, int, Charge]]:
    """Return the groups with what their machines cost beside, to the nano-dollar."""
    alike: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for index, (pool, number, _) in enumerate(groups):
        alike[home.get(pool, ""), number].append(index)
    spread = list(groups)
    for place, indices in alike.items():
        weights = [groups[index][2].compute_nusd for index in indices]
        if any(weights):
            for index, part in zip(indices, _split(beside.get(place, 0), weights), strict=True):
                pool, number, charge = groups[index]
                spread[index] = (pool, number, replace(charge, idle_nusd=part))
    return spread


def _split(nusd: int, weights: Sequence[int]) -> list[int]:
    """Return an amount split by weight, to the nano-dollar.

    >>> _split(100, [1, 1, 1]), _split(-7, [0, 2, 1])
    ([33, 33, 34], [0, -5, -2])
    """
    total = sum(weights)
    upto = [nusd * so_far // total for so_far in accumulate(weights)]
    return [later - before for before, later in pairwise([0, *upto])]


def _summed(groups: Sequence[tuple[str, int, Charge]]) -> tuple[Charge, ...]:
    """Return the groups of one key as one, in the order of their keys."""
    sums: dict[tuple[str, ...], list[int]] = {}
    for _, _, charge in groups:
        _, *amounts = astuple(charge)
        before = sums.setdefault(charge.key, [0] * len(amounts))
        before[:] = [one + other for one, other in zip(before, amounts, strict=True)]
    return tuple(Charge(key, *amounts) for key, amounts in sums.items())
