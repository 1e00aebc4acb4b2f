"""Two roads to what a day cost: the bill of a replay's machine-hours, and the ledger of a gateway to which the same day happened.

Recorded arrivals are replayed on two pools whose machines come and go by the hour. The bill is what ``offers`` charge for the replay's
machine-hours. For the ledger each request is metered from when the replay began it to when it ended it, the gateway is killed in the
midst of the day and comes back later, and what it wrote is read as ``tightrope ledger`` reads it.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tightrope.base.plan import OfferTerms, Usage, UsageLine
from tightrope.base.records import RequestEngine, ScalingPolicy
from tightrope.base.registry import find_offer
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.offers.bill import charge_fleet
from tightrope.replay.records import ANSWERED, Fleet, FleetClass, FleetPool, Outcome, Traffic
from tightrope.replay.run import replay_fleet
from tightrope.serve.config.settings import ServedPool
from tightrope.serve.ledger.check import check
from tightrope.serve.ledger.cost_report import Total, total
from tightrope.serve.ledger.ledger import Ledger
from tightrope.serve.ledger.meter import MachineMeter, MachineUse
from tightrope.serve.ledger.reader import LedgerReader
from tightrope.serve.records import Call, Caller, Reply

ROOT = Path(__file__).parents[2]
HOURS, BIN_S, THINNED, BEAT_S = 6, 1800, 20, 120.0
DAY_S = 1_792_540_800.0
"""2026-10-21, UTC."""
KILLED_S, BACK_S = 2.4 * 3600, 2.9 * 3600
SPOT, ON_DEMAND = ("g4dn.xlarge", "spot"), ("c6i.large", "on-demand")
MACHINES = ((2, 3, 1, 4, 2, 2), (1, 2, 1, 1, 3, 1))
CENT = 0.005
"""Half of one: what is nearer is the same to the cent."""


def recorded() -> Traffic:
    """Return every twentieth of the vision example's recorded requests, in their half hours."""
    with (ROOT / "examples" / "vision" / "traffic" / "image_counts.csv").open() as file:
        counts = [int(row["count"]) // THINNED for row in csv.DictReader(file)][: HOURS * 2]
    random = np.random.default_rng(5)
    times = np.sort(np.concatenate([BIN_S * (number + random.random(count)) for number, count in enumerate(counts)]))
    ones = np.ones(len(times), dtype=np.int64)
    return Traffic(times, 0 * ones, 0 * ones, ones)


def replayed() -> Outcome:
    """Return the recorded hours on two pools, each with two engines a machine and batches of up to four."""
    engine = RequestEngine((0.9, 1.1, 1.3, 1.6), 0.0)
    week = [np.array([*hours, *[1] * (168 - HOURS)], dtype=np.int64) for hours in MACHINES]
    pools = tuple(
        FleetPool(name, name, engine, 2, 4.0, 0.0, 1, 0.0, schedule, 10, 0)
        for name, schedule in zip(("spot", "steady"), week, strict=True)
    )
    share = np.broadcast_to(np.array([[[0.7], [0.3]]]), (1, 2, 168)).copy()
    scaling = ScalingPolicy(False, 1.0, 1.0, 0.1, 3600.0, 0.0, 0.0, 0.0)
    fleet = Fleet(pools, (FleetClass("images"),), ("spot", "steady"), share, np.ones((1, 2), dtype=bool), scaling)
    return replay_fleet(fleet, recorded(), duration_s=HOURS * 3600.0, block_offset_s=0.0, seed=1)


def prices(book: PriceBook) -> tuple[float, float]:
    """Return what one machine of each pool costs an hour."""
    found = [find_offer(offer).terms(machine, "us-east-1", book) for machine, offer in (SPOT, ON_DEMAND)]
    assert all(isinstance(terms, OfferTerms) for terms in found)
    return tuple(terms.usd_per_hour for terms in found)  # type: ignore[union-attr, return-value]


@dataclass
class Day:
    """A gateway to which a replayed day happens."""

    folder: Path
    outcome: Outcome
    usd_per_hour: tuple[float, float]
    killed: bool
    now_s: float = 0.0
    began_s: float = 0.0
    ledger: Ledger = field(init=False)
    meters: list[MachineMeter] = field(init=False)
    pools: list[ServedPool] = field(init=False)

    def __post_init__(self) -> None:
        """Name the pools as the plan does."""
        self.pools = [
            ServedPool(name, "m", "v", usd_per_hour=usd, machine=machine, offer=offer, cloud="aws", region="us-east-1")
            for name, usd, (machine, offer) in zip(("spot", "steady"), self.usd_per_hour, (SPOT, ON_DEMAND), strict=True)
        ]

    def start(self) -> None:
        """Start the gateway."""
        self.began_s = self.now_s
        self.ledger = Ledger(
            self.folder, "shop", gateway="one", clock=self.clock, utc_ns=lambda: round((DAY_S + self.now_s) * 1e9)
        )
        hour = min(int(self.now_s // 3600), HOURS - 1)
        self.meters = []
        for pool, machines in zip(self.pools, MACHINES, strict=True):
            self.meters.append(MachineMeter(pool.usd_per_hour, 2.0 * machines[hour], self.clock, machines[hour]))
            self.ledger.add_machines(pool.name, self.meters[-1], [pool])

    def clock(self) -> float:
        """Return seconds since the gateway started."""
        return self.now_s - self.began_s

    def kill(self) -> None:
        """End it as a kill does."""
        os.close(self.ledger._journal._claim)
        os.close(self.ledger._journal._fd)

    def events(self) -> Iterator[tuple[float, int, str, int]]:
        """Yield what happens, in order: time, rank among what is at that time, what, and to which request or hour."""
        answered = np.flatnonzero(self.outcome.ended == ANSWERED).tolist()
        every = [(float(self.outcome.begin_s[i]), 3, "begin", i) for i in answered]
        every += [(float(self.outcome.finish_s[i]), 2, "end", i) for i in answered]
        every += [(3600.0 * hour, 1, "hour", hour) for hour in range(1, HOURS)]
        every += [(BEAT_S * beat, 4, "beat", 0) for beat in range(1, int(HOURS * 3600 / BEAT_S))]
        every += [(KILLED_S, 0, "kill", 0), (BACK_S, 0, "back", 0)] if self.killed else []
        every += [(HOURS * 3600.0, 9, "over", 0)]
        yield from sorted(every)

    def live(self) -> None:
        """Let the day happen."""
        self.start()
        together = Counter(self.batch(i) for i in np.flatnonzero(self.outcome.ended == ANSWERED).tolist())
        uses: dict[int, MachineUse] = {}
        there = True
        for time_s, _, what, which in self.events():
            self.now_s = time_s
            if what == "kill":
                self.kill()
                there = False
                uses.clear()
            elif what == "back":
                self.start()
                there = True
            elif what == "over":
                self.ledger.close()
                return
            elif there and what == "beat":
                self.ledger.heartbeat()
            elif there and what == "hour":
                for meter, machines in zip(self.meters, MACHINES, strict=True):
                    meter.resize(self.clock(), machines[which], 2.0 * machines[which])
            elif there and what == "begin":
                uses[which] = self.meters[self.outcome.pool[which]].begin(self.clock(), 1.0 / together[self.batch(which)])
            elif there and which in uses:
                self.answer(which, uses.pop(which))

    def batch(self, which: int) -> tuple[int, float, float]:
        """Return what requests of one batch have in common."""
        return int(self.outcome.pool[which]), float(self.outcome.begin_s[which]), float(self.outcome.finish_s[which])

    def answer(self, which: int, use: MachineUse) -> None:
        """Write a request that ended."""
        pool = int(self.outcome.pool[which])
        call = Call(str(which), Caller("acme"), "infer", "m", {}, self.clock(), "images")
        nusd = self.meters[pool].end(use, self.clock())
        self.ledger.request(call, Reply(self.pools[pool].name, "v", compute_nusd=nusd), 200, self.clock())


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return replayed()


@pytest.fixture(scope="module")
def day(outcome: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Return a day in which the gateway is killed."""
    lived = Day(tmp_path_factory.mktemp("day"), outcome, prices(load_price_book()), killed=True)
    lived.live()
    return lived


@pytest.fixture(scope="module")
def calm(outcome: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Return the same day without that."""
    lived = Day(tmp_path_factory.mktemp("calm"), outcome, prices(load_price_book()), killed=False)
    lived.live()
    return lived


def billed(day: Day, first: int, last: int) -> float:
    """Return what the sellers charge for the machine-hours of some hours of the replay, in US dollars."""
    lines = tuple(
        UsageLine(pool.name, "aws", "us-east-1", machine, offer)
        for pool, (machine, offer) in zip(day.pools, (SPOT, ON_DEMAND), strict=True)
    )
    usage = Usage(lines, day.outcome.machine_hours[:, first:last], np.ones(last - first))
    return sum(line.usd for line in charge_fleet(usage, load_price_book(), ()))


def spent(day: Day, from_s: float, to_s: float) -> Total:
    with LedgerReader(day.folder) as reader:
        return total(reader, round((DAY_S + from_s) * 1e9), round((DAY_S + to_s) * 1e9))


@pytest.mark.parametrize(("first", "last"), [(0, HOURS), (0, 1), (1, 4), (2, 3), (3, 6)])
def test_the_replays_bill_is_the_ledgers_total(day: Day, calm: Day, first: int, last: int) -> None:
    assert day.outcome.machine_hours[:, :HOURS].tolist() == [list(map(float, hours)) for hours in MACHINES]
    bill = billed(day, first, last)
    assert bill > 0.25
    for lived in (day, calm):
        assert abs(spent(lived, 3600.0 * first, 3600.0 * last).nusd / 1e9 - bill) < CENT / 1000


def test_what_requests_were_charged_is_the_replays_busy_time(calm: Day) -> None:
    found = {row.meter: row for row in spent(calm, 0.0, HOURS * 3600.0).machines}
    for pool, busy_hours in zip(calm.pools, calm.outcome.busy_hours.tolist(), strict=True):
        assert busy_hours > 0.05
        assert found[pool.name].requests_nusd / 1e9 == pytest.approx(busy_hours * (pool.usd_per_hour or 0), rel=1e-6)
        assert found[pool.name].other_nusd == pytest.approx(0, abs=1000)


def test_the_killed_gateways_ledger_has_no_fault(day: Day) -> None:
    with LedgerReader(day.folder) as reader:
        assert check(reader) == []
        unmetered = reader.rows("SELECT sum(to_ns - from_ns) / 1e9, count(*) FROM lines WHERE unmetered AND to_ns > from_ns")
    assert unmetered == [(pytest.approx(2 * (BACK_S - KILLED_S + BEAT_S)), 2)]
