"""What was spent since the first of the month, kept up with each line: what budgets and metrics ask for, without reading the ledger.

A gateway writes its totals down with each heartbeat (``checkpoint.json``), beside how far of its files they hold: at its next start it
reads on from there. Several gateways of one folder read each other's.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from tightrope.serve.ledger.machine_hours import Stretch, extend, paid_nusd, together
from tightrope.serve.ledger.meter import SECOND
from tightrope.serve.ledger.rows import Machines, Request

CHECKPOINT = "checkpoint.json"
GOES_ON_S = 3600
"""After a stop, and where the wall clock jumps: for so long machines are taken to go on; of a longer time nothing is known."""


def month_of(at_ns: int) -> tuple[int, int]:
    """Return the first instants of a time's calendar month and of the next, in nanoseconds UTC.

    >>> [hour_ns // (86400 * SECOND) for hour_ns in month_of(45 * 86400 * SECOND)]
    [31, 59]
    """
    day = datetime.fromtimestamp(at_ns // SECOND, UTC)
    first = datetime(day.year, day.month, 1, tzinfo=UTC)
    later = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
    return int(first.timestamp()) * SECOND, int(later.timestamp()) * SECOND


class MeterTotal(Struct):
    """The machines of one meter."""

    last: Machines
    stretches: list[Stretch] = field(default_factory=list)
    charged_nusd: int = 0
    """What requests had cost this month when the last line of machines was written."""


class Totals(Struct):
    """Sums of the lines of one gateway, of the month that its last line is in."""

    seq: int = 0
    at_ns: int = 0
    hour: str = ""
    """File and byte up to which lines are in the sums."""
    offset: int = 0
    begins_ns: int = 0
    ends_ns: int = 0
    """Of the month."""
    stopped: bool = False
    """The gateway ended by itself."""
    tenants: dict[str, int] = field(default_factory=dict)
    """Nano-dollars that its requests cost; those whose price is not known are not in it."""
    compute: dict[str, int] = field(default_factory=dict)
    """By pool: what requests cost of machines."""
    beside: dict[str, int] = field(default_factory=dict)
    """By pool: of tokens and egress."""
    meters: dict[str, MeterTotal] = field(default_factory=dict)

    def see(self, seq: int, at_ns: int) -> None:
        """Begin anew where a line is of a later month."""
        self.seq, self.at_ns = seq, max(at_ns, self.at_ns)
        if at_ns >= self.ends_ns:
            self.begins_ns, self.ends_ns = month_of(at_ns)
            for metered in self.meters.values():
                metered.charged_nusd = -self.since_nusd(metered)
                metered.stretches = [stretch for stretch in metered.stretches if stretch[1] > self.begins_ns]
            for sums in (self.tenants, self.compute, self.beside):
                sums.clear()

    def add_request(self, row: Request) -> None:
        """Count a request."""
        self.see(row.seq, row.at_ns)
        self.add_spent(row.tenant, row.pool, row.compute_nusd or 0, row.tokens_nusd + row.egress_nusd)

    def add_spent(self, tenant: str, pool: str, compute: int, beside: int) -> None:
        """Count what a tenant's requests cost at a pool."""
        self.tenants[tenant] = self.tenants.get(tenant, 0) + compute + beside
        if compute:
            self.compute[pool] = self.compute.get(pool, 0) + compute
        if beside:
            self.beside[pool] = self.beside.get(pool, 0) + beside

    def add_machines(self, row: Machines) -> None:
        """Count what machines cost."""
        self.see(row.seq, row.at_ns)
        metered = self.meters.setdefault(row.meter, MeterTotal(row))
        metered.last, metered.charged_nusd = row, self._charged(row.pools)
        extend(metered.stretches, (row.from_ns, row.to_ns, row.machines_e6, row.nusd_per_hour))

    def since_nusd(self, metered: MeterTotal) -> int:
        """Return what requests cost on these machines that ended after the last line of them."""
        return self._charged(metered.last.pools) - metered.charged_nusd

    def _charged(self, pools: Sequence[str]) -> int:
        """Return what requests cost this month on the machines of some pools."""
        return sum(self.compute.get(pool, 0) for pool in pools)

    def read_on(self, folder: Path) -> None:
        """Count the lines of a gateway's folder that came after these; a torn line is passed over."""
        for path in sorted(folder.glob("*.jsonl")):
            if path.stem < self.hour:
                continue
            if path.stem > self.hour:
                self.hour, self.offset = path.stem, 0
            for line in lines_of(path, self.offset):
                self.offset += len(line)
                with contextlib.suppress(msgspec.DecodeError, KeyError):
                    self._add(msgspec.json.decode(line))

    def _add(self, row: dict[str, Any]) -> None:
        """Count a line that was read, unless it is in the sums: the clock was ahead when its file was begun."""
        kind = row["kind"]
        if row["seq"] <= self.seq:
            return
        if kind == "machines":
            self.add_machines(msgspec.convert(row, Machines))
        elif kind in {"request", "escalated", "lost"}:
            self.add_request(msgspec.convert(row, Request))
        else:
            self.see(row["seq"], row["at_ns"])
        self.stopped = kind == "stop"


def lines_of(path: Path, offset: int = 0) -> Iterator[bytes]:
    """Yield the lines of a file from a byte on."""
    with path.open("rb") as file:
        file.seek(offset)
        yield from file


def read_totals(folder: Path) -> Totals:
    """Return what a gateway wrote down last; nothing where it never did."""
    try:
        return msgspec.json.decode((folder / CHECKPOINT).read_bytes(), type=Totals)
    except (FileNotFoundError, msgspec.DecodeError):  # written whole or not at all: it is of another version
        return Totals()


def write_totals(folder: Path, text: bytes) -> None:
    """Write totals down, whole or not at all; the disk has them when this returns."""
    draft = folder / f"{CHECKPOINT}.part"
    with draft.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / CHECKPOINT)


def month_nusd(pool: str, totals: Sequence[Totals], begins_ns: int) -> int | None:
    """Return what a pool has cost since the month began, by several gateways; None where a price is not known.

    Machines that run several pools are split by what the requests of each cost.
    """
    now = [each for each in totals if each.begins_ns == begins_ns]
    nusd = sum(each.beside.get(pool, 0) for each in now)
    shared: dict[str, list[list[Stretch]]] = {}
    for each in totals:
        for name, metered in each.meters.items():
            if pool not in metered.last.pools:
                continue
            if metered.last.shared:
                shared.setdefault(name, []).append(metered.stretches)
                continue
            part = _part(pool, metered.last.pools, each, paid_nusd(together([metered.stretches]), begins_ns, each.ends_ns))
            if part is None:
                return None
            nusd += part
    for several in shared.values():
        paid = paid_nusd(together(several), begins_ns, month_of(begins_ns)[1])
        if paid is None:
            return None
        nusd += paid
    return nusd


def _part(pool: str, pools: Sequence[str], totals: Totals, paid: int | None) -> int | None:
    """Return one pool's part of what machines cost that run several."""
    if paid is None or len(pools) < 2:
        return paid
    used = {name: totals.compute.get(name, 0) for name in pools}
    every = sum(used.values())
    return paid * used[pool] // every if every else paid // len(pools)
