"""The ledger as the gateway writes it: each request before its answer goes, what machines cost every ten seconds, and what was spent.

The machines' lines of a meter follow one another without a gap, so that their sum is the price of the machines over any time. After a
kill the time since the last of them is written as one ``unmetered`` line. After a stop the machines are taken to go on where the gateway
is back within an hour; of a longer time nothing is known, and ``tightrope ledger check`` says so.
"""

import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Literal, TypeAlias

import msgspec

from tightrope.serve.config.settings import ServedPool
from tightrope.serve.ledger.compaction import compact_closed, pack_gone, recovered
from tightrope.serve.ledger.journal import Journal, is_first, safe_name, utc
from tightrope.serve.ledger.machine_hours import paid_nusd
from tightrope.serve.ledger.meter import MACHINE, SECOND, MachineMeter, MeterReading, nobody
from tightrope.serve.ledger.month_to_date import GOES_ON_S, Totals, month_nusd, month_of, write_totals
from tightrope.serve.ledger.other_gateways import OtherGateways
from tightrope.serve.ledger.rows import LONGEST, Event, Machines, Request
from tightrope.serve.records import NUSD_PER_USD, Call, Reply
from tightrope.serve.refusals import Unavailable

Place: TypeAlias = tuple[str, str, str, str]
"""Machine, offer, cloud, region."""
HEARTBEAT_S = 10.0
SYNC_S = 1.0
KEPT_DAYS = 400
PATIENCE_S = 5.0
JUMP_NS = 2 * SECOND
"""What the wall clock may be ahead of the time counted here before the difference is written as ``unmetered``."""
MINUTE = 60 * SECOND
LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Fleet:
    """Machines of one meter, and up to when their lines reach."""

    name: str
    meter: MachineMeter
    pools: list[str]
    place: Place
    shared: bool
    last: MeterReading
    upto_ns: int


class Ledger:
    """What one gateway writes. All but ``close`` may be called on the event loop; times are those of ``clock``, in seconds."""

    def __init__(
        self,
        folder: Path,
        workload: str,
        *,
        gateway: str = "",
        clock: Callable[[], float] = time.monotonic,
        utc_ns: Callable[[], int] = time.time_ns,
        kept_days: int = KEPT_DAYS,
    ) -> None:
        """Open the ledger under this gateway's name, the machine's where none is given, and read what was spent this month.

        Raises ``InputError`` where another process writes under this name, or the folder cannot be written.
        """
        self._clock, self._utc_ns, self._kept_days = clock, utc_ns, kept_days
        self._root, self._workload = folder, workload
        self._folder = folder / safe_name(gateway or socket.gethostname())
        self._journal = Journal(self._folder)
        self._totals = recovered(self._folder, utc_ns())
        self._before, self._stopped = dict(self._totals.meters), self._totals.stopped
        self._noted_hour = ""  # of the checkpoint that the disk has
        self._journal.seq = self._totals.seq
        # Not before the last line where the wall clock was set back a little; where it was far ahead once, that is past.
        self._zero_ns = max(utc_ns(), self._totals.at_ns) - int(clock() * SECOND)
        self._others = OtherGateways(folder, self._folder)
        self._month = (0, 0)  # the first instants of this month and the next
        self._cost: dict[str, int | None] = {}  # of each pool this month
        self._places: dict[str, Place] = {}
        self._fleets: list[_Fleet] = []
        self._minutes: dict[str, list[list[int]]] = {}  # class → of each minute: minute, nusd, requests, of them of unknown price
        self._used_up: dict[str, str] = {}  # tenant → month
        self._ending = Flag()
        self._threads: list[Thread] = []
        self._write_event(Event("start", 0, self._at_ns(clock()), what=workload))

    # ------------------------------------------------------------------------------------------------------------ what is written

    def add_machines(self, name: str, meter: MachineMeter, pools: Sequence[ServedPool], *, shared: bool = False) -> None:
        """From now on write what the machines of a meter cost; ``shared`` where other gateways count the same ones.

        ``name`` is the pool's, or that of all machines where several pools run on the same.
        """
        first = pools[0]
        reading = meter.read(self._clock())
        place = (first.machine, first.offer, first.cloud, first.region)
        fleet = _Fleet(name, meter, [pool.name for pool in pools], place, shared, reading, self._zero_ns + reading.at_ns)
        before = self._before.pop(name, None)
        if before is not None and (not self._stopped or fleet.upto_ns - before.last.to_ns <= GOES_ON_S * SECOND):
            self._write_unmetered(before.last, fleet.upto_ns, self._totals.since_nusd(before))
        self._write_machines(fleet, reading)  # so that after a kill it is known what there was
        meter.on_resize = lambda reading: self._write_machines(fleet, reading)
        self._fleets.append(fleet)
        self.add_pools(pools)

    def add_pools(self, pools: Sequence[ServedPool]) -> None:
        """Make known what pools run on, whose machines nobody counts here, such as a provider's."""
        for pool in pools:
            self._places[pool.name] = (pool.machine, pool.offer, pool.cloud, pool.region)

    def request(self, call: Call, reply: Reply | None, status: int, now_s: float) -> None:
        """Write a request that ended with this HTTP status; call it before the answer goes. None is where nothing answered.

        Raises ``Unavailable`` where the disk has not taken lines for long: the answer must not go then. Refusals are not written then.
        """
        if reply is None and not call.lost and self._journal.is_full:
            return
        at_ns = self._zero_ns + int(now_s * SECOND)
        total_ms = round(1e3 * (now_s - call.arrived_s), 3)
        rows = [self._row("request", call, reply, status, at_ns, total_ms)]
        before = reply.escalated_from if reply else None
        while before is not None:
            rows.append(self._row("escalated", call, before, status, at_ns, total_ms))
            before = before.escalated_from
        rows += [self._row("lost", call, lost, status, at_ns, total_ms) for lost in call.lost]
        self._append(at_ns, rows)
        if reply is not None:
            self._count(call.traffic_class, reply.nusd, at_ns // MINUTE)
            self.check_room()

    def late(self, call: Call, lost: Reply, status: int, now_s: float) -> None:
        """Write what a request cost after it was written: what ran for it when it was given up, and has ended now."""
        at_ns = self._zero_ns + int(now_s * SECOND)
        self._append(at_ns, (self._row("lost", call, lost, status, at_ns, round(1e3 * (now_s - call.arrived_s), 3)),))

    def check_room(self) -> None:
        """Raise ``Unavailable`` where the disk has not taken lines for long: what more requests cost would be lost."""
        if self._journal.is_full:
            msg = "what requests cost cannot be written down"
            raise Unavailable(msg, retry_after_s=10.0, reason="ledger")

    def notice(self, pool: str, replica: str, identity: str) -> bool:
        """Write that a spot machine is to be taken; False where a gateway has written the notice of this identity before."""
        if not is_first(self._root / "notices", identity):
            return False
        self._write_event(Event("notice", 0, self._at_ns(self._clock()), identity[:LONGEST], pool, replica))
        return True

    def used_up(self, tenant: str) -> None:
        """Write once for a tenant and month, whichever gateway sees it first, that its budget is used up, and what was spent by then."""
        month = utc(self._month_ns())[:7]
        if self._used_up.get(tenant) != month:
            self._used_up[tenant] = month
            if is_first(self._root / "budgets", f"{month} {tenant}"):
                spent = self.spent_this_month(tenant)
                LOG.warning("the budget of tenant %r for %s is used up: %.2f USD were spent", tenant, month, spent / NUSD_PER_USD)
                self._write_event(Event("budget", 0, self._at_ns(self._clock()), tenant=tenant, what="used up", nusd=spent))

    # ---------------------------------------------------------------------------------------------------------- what is asked of it

    def spent_this_month(self, tenant: str) -> int:
        """Return nano-dollars that a tenant's requests cost since the first of the month (UTC), by all gateways of the folder.

        What others spent is up to a heartbeat old. Requests whose price is not known are not in it.
        """
        month = self._month_ns()
        own = self._totals.tenants.get(tenant, 0) if self._totals.begins_ns == month else 0
        return own + self._others.spent(tenant, month)

    def month_to_date(self, pool: str) -> int | None:
        """Return nano-dollars that a pool has cost since the first of the month (UTC), idle time too; None where a price is not known.

        It is of the last heartbeat, None before the first.
        """
        return self._cost.get(pool)

    def usd_per_1000_requests(self, traffic_class: str) -> float | None:
        """Return what a thousand answers of a class cost over the last hour, without idle time; None where nothing is known."""
        since = self._at_ns(self._clock()) // MINUTE - 60
        rows = [row for row in self._minutes.get(traffic_class, []) if row[0] > since]
        nusd, priced = sum(row[1] for row in rows), sum(row[2] - row[3] for row in rows)
        return 1000.0 * nusd / NUSD_PER_USD / priced if priced else None

    # ------------------------------------------------------------------------------------------------------------------ its clock

    def start(self) -> None:
        """Begin to write heartbeats, and to pack hours that have ended, each in a thread."""
        self._threads = [
            Thread(target=self._beat, name="ledger", daemon=True),
            Thread(target=self._pack, name="pack", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def heartbeat(self) -> None:
        """Write what machines cost since the last heartbeat, read what other gateways spent, and note how far all of it is."""
        self._follow_the_wall_clock()
        for fleet in self._fleets:
            self._write_machines(fleet)
        month = self._month_ns()
        self._others.read(self._utc_ns(), month)
        every = (self._write_checkpoint(), *self._others.totals)
        self._cost = {pool: month_nusd(pool, every, month) for pool in list(self._places)}

    def pack(self) -> None:
        """Pack the hours that have ended, and remove those that are older than is kept; also of gateways that are gone."""
        compact_closed(self._folder, self._noted_hour, self._kept_days, self._utc_ns())
        for folder in self._others.folders():
            try:
                pack_gone(folder, self._kept_days, self._utc_ns())
            except Exception:
                LOG.exception("%s could not be packed; it stays as it is, and is tried again with the next hour", folder)

    def close(self) -> None:
        """Write all that is left and let go of the folder; it waits for the disk, and not long for an hour that is being packed."""
        self._ending.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self.heartbeat()
        for fleet in self._fleets:
            fleet.meter.on_resize = nobody
        self._write_event(Event("stop", 0, self._at_ns(self._clock())))
        self._write_checkpoint()
        self._journal.close()

    # ---------------------------------------------------------------------------------------------------------------------- inside

    def _at_ns(self, now_s: float) -> int:
        """Return an instant of the clock in nanoseconds UTC."""
        return self._zero_ns + int(now_s * SECOND)

    def _month_ns(self) -> int:
        """Return the first instant of this month, UTC."""
        at_ns, month = self._at_ns(self._clock()), self._month
        if not month[0] <= at_ns < month[1]:
            month = self._month = month_of(at_ns)
        return month[0]

    def _row(
        self,
        kind: Literal["request", "escalated", "lost"],
        call: Call,
        reply: Reply | None,
        status: int,
        at_ns: int,
        total_ms: float,
    ) -> Request:
        """Return the line of a request; of one that nothing answered not even the model, which could be any text."""
        caller = call.caller
        if reply is None:
            return Request(
                "request", 0, at_ns, call.identity[:LONGEST], 0, 0, status, caller.tenant, caller.key, call.traffic_class,
                call.tag[:LONGEST], total_ms=total_ms,
            )  # fmt: skip
        machine, offer, cloud, region = self._places.get(reply.pool, ("", "", "", ""))
        return Request(
            kind, 0, at_ns, call.identity[:LONGEST], reply.compute_nusd, reply.saved_nusd, status, caller.tenant, caller.key,
            call.traffic_class, call.tag[:LONGEST], call.model, reply.pool, reply.variant, reply.replica, machine, offer, cloud, region,
            reply.input_tokens, reply.output_tokens, round(1e3 * reply.machine_s, 6), reply.tokens_nusd, reply.egress_nusd,
            reply.cached, round(1e3 * reply.wait_s, 3), round(1e3 * reply.service_s, 3), total_ms,
        )  # fmt: skip

    def _append(self, at_ns: int, rows: Sequence[Request]) -> None:
        """Write lines of requests, and add them to the totals."""
        with self._journal.lock:
            self._journal.append(at_ns, rows)
            for row in rows:
                self._totals.add_request(row)

    def _count(self, traffic_class: str, nusd: int | None, minute: int) -> None:
        """Count an answer among those of its minute."""
        rows = self._minutes.setdefault(traffic_class, [])
        if not rows or rows[-1][0] != minute:
            rows.append([minute, 0, 0, 0])
            del rows[:-61]
        row = rows[-1]
        row[2] += 1
        if nusd is None:
            row[3] += 1
        else:
            row[1] += nusd

    def _write_event(self, event: Event) -> None:
        """Write what happened."""
        with self._journal.lock:
            self._journal.append(event.at_ns, (event,))
            self._totals.see(event.seq, event.at_ns)
            self._totals.stopped = event.kind == "stop"

    def _write_machines(self, fleet: _Fleet, reading: MeterReading | None = None) -> None:
        """Write what a meter counted since its last line, up to a reading or now."""
        with self._journal.lock:
            # Read with the lock held: what requests before this line cost is then in the reading.
            reading = reading or fleet.meter.read(self._clock())
            last, to_ns = fleet.last, self._zero_ns + reading.at_ns
            if to_ns < fleet.upto_ns:
                return
            paid, used, ended = (
                None if now is None or then is None else now - then
                for now, then in (
                    (reading.paid_nusd, last.paid_nusd),
                    (reading.used_nusd, last.used_nusd),
                    (reading.ended_nusd, last.ended_nusd),
                )
            )
            idle = None if paid is None or used is None else paid - used
            self._append_machines(
                Machines(
                    0, to_ns, fleet.name, fleet.pools, fleet.upto_ns, to_ns, reading.machines, fleet.meter.price_nusd,
                    paid, used, idle, ended, (reading.used_time - last.used_time) / (MACHINE * SECOND), fleet.shared, False, *fleet.place,
                )
            )  # fmt: skip
            fleet.last, fleet.upto_ns = reading, to_ns

    def _write_unmetered(self, last: Machines, to_ns: int, used_nusd: int) -> None:
        """Write the time in which nobody counted as the machines were before; requests may have ended in it, just before a kill."""
        if to_ns <= last.to_ns:
            return
        paid = paid_nusd([(last.to_ns, to_ns, last.machines_e6, last.nusd_per_hour)], last.to_ns, to_ns)
        used = None if paid is None else min(paid, used_nusd)
        idle = None if paid is None or used is None else paid - used
        row = msgspec.structs.replace(
            last, at_ns=to_ns, from_ns=last.to_ns, to_ns=to_ns, paid_nusd=paid, used_nusd=used, idle_nusd=idle, ended_nusd=used,
            used_s=0.0, unmetered=True,
        )  # fmt: skip
        with self._journal.lock:
            self._append_machines(row)

    def _append_machines(self, row: Machines) -> None:
        """Write a line of machines; the caller holds the journal's lock."""
        self._journal.append(row.at_ns, (row,))
        self._totals.add_machines(row)

    def _follow_the_wall_clock(self) -> None:
        """Where the wall clock went ahead, as when the machine was asleep, write the time between as unmetered; follow it far back too."""
        ahead = self._utc_ns() - self._at_ns(self._clock())
        if ahead >= JUMP_NS or ahead < -GOES_ON_S * SECOND:
            with self._journal.lock:  # no line is to be written between, half by the old time and half by the new
                self._jump(ahead)

    def _jump(self, ahead: int) -> None:
        """Go on so many nanoseconds later."""
        for fleet in self._fleets:
            self._write_machines(fleet)
        long = abs(ahead) > GOES_ON_S * SECOND
        if long:
            self._write_event(Event("stop", 0, self._at_ns(self._clock()), what="the clock jumped"))
        self._zero_ns += ahead
        if ahead < 0:
            self._totals = recovered(self._folder, self._utc_ns())
        for fleet in self._fleets:
            fleet.upto_ns += ahead
            before = self._totals.meters.get(fleet.name)
            if before is not None and fleet.upto_ns - before.last.to_ns <= GOES_ON_S * SECOND:
                self._write_unmetered(before.last, fleet.upto_ns, 0)
        if long:
            self._write_event(Event("start", 0, self._at_ns(self._clock()), what=self._workload))

    def _write_checkpoint(self) -> Totals:
        """Write the totals down, whole or not at all, once the disk has the lines that are in them; return a copy."""
        with self._journal.lock:
            self._totals.hour, self._totals.offset = self._journal.hour, self._journal.offset + self._journal.held
            text, hour = msgspec.json.encode(self._totals), self._totals.hour
        self._journal.sync()
        write_totals(self._folder, text)
        self._noted_hour = hour
        return msgspec.json.decode(text, type=Totals)

    def _beat(self) -> None:
        """Bring lines to the disk every second and write heartbeats, until the end."""
        due = time.monotonic()
        while not self._ending.wait(SYNC_S):
            try:
                if time.monotonic() >= due:
                    due = time.monotonic() + HEARTBEAT_S
                    self.heartbeat()
                else:
                    self._journal.sync()
            except Exception:
                LOG.exception("the ledger's heartbeat failed; it goes on with the next")

    def _pack(self) -> None:
        """Pack hours that ended, a minute after they did."""
        packed = ""
        while not self._ending.wait(SYNC_S * 60):
            hour = self._noted_hour
            if packed == hour:
                continue
            try:
                self.pack()
                packed = hour
            except Exception:
                LOG.exception("an hour of the ledger could not be packed; it stays as it is, and is tried again")
