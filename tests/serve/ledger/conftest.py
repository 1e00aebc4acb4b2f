"""A ledger whose clock the test turns."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tightrope.serve.config.settings import ServedPool
from tightrope.serve.ledger.cost_report import Total, total
from tightrope.serve.ledger.ledger import Ledger
from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.ledger.reader import LedgerReader
from tightrope.serve.records import Call, Caller, Reply

NOON_S = 1_792_584_000.0
"""2026-10-21T12:00 UTC."""


class World:
    """The wall clock, gateways in it, and what they are asked."""

    def __init__(self, folder: Path) -> None:
        """Begin at noon."""
        self.folder, self.noon_s, self.now_s = folder, NOON_S, NOON_S
        self.ahead_s = 0.0  # of the time, the wall clock
        self.open: list[Ledger] = []

    def ledger(self, gateway: str = "one") -> Ledger:
        """Return the ledger as a gateway opens it now."""
        began = self.now_s
        ledger = Ledger(
            self.folder,
            "shop",
            gateway=gateway,
            clock=lambda: self.now_s - began,
            utc_ns=lambda: int((self.now_s + self.ahead_s) * 1e9),
        )
        self.open.append(ledger)
        return ledger

    def meter(self, ledger: Ledger, pool: ServedPool, capacity: float = 2.0, machines: float = 1.0) -> MachineMeter:
        """Return a meter that the ledger writes down."""
        meter = MachineMeter(pool.usd_per_hour, capacity, ledger._clock, machines)
        ledger.add_machines(pool.name, meter, [pool], shared=pool.upstream is not None)
        return meter

    def serve(self, ledger: Ledger, meter: MachineMeter, pool: ServedPool, busy_s: float, call: Call | None = None) -> Reply:
        """Answer a request that takes this long, and write it down."""
        use = meter.begin(ledger._clock())
        call = call or self.asked(ledger)
        self.now_s += busy_s
        nusd = meter.end(use, ledger._clock())
        reply = Reply(pool.name, pool.variant, "r1", input_tokens=7, compute_nusd=nusd, machine_s=use.machine_s)
        ledger.request(call, reply, 200, ledger._clock())
        return reply

    def asked(self, ledger: Ledger, tenant: str = "acme", **beside: Any) -> Call:
        """Return a request that comes now."""
        told = {"traffic_class": "chat", "tag": "team-a", **beside}
        return Call("req-1", Caller(tenant, "key-1"), "embed", "minilm", ("hello",), ledger._clock(), **told)

    def pool(self, name: str = "small", usd_per_hour: float | None = 0.6, **beside: Any) -> ServedPool:
        """Return a pool whose machine costs a cent a minute."""
        place = {"machine": "c7i.large", "cloud": "aws", "region": "us-east-1"}
        return ServedPool(name, "minilm", f"minilm-{name}", usd_per_hour=usd_per_hour, **place, **beside)

    def lines(self, gateway: str = "one") -> list[dict[str, Any]]:
        """Return all lines that are not packed."""
        paths = sorted((self.folder / gateway).glob("*.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    def total(
        self, by: Sequence[str] = (), since_s: float = NOON_S, until_s: float | None = None, *, spread: bool = False
    ) -> Total:
        """Return what was spent since noon, or another time."""
        with LedgerReader(self.folder) as reader:
            return total(reader, int(since_s * 1e9), int((until_s or self.now_s) * 1e9), by, spread=spread)

    def close(self, ledger: Ledger) -> None:
        """End a gateway."""
        self.open.remove(ledger)
        ledger.close()

    def kill(self, ledger: Ledger) -> None:
        """Leave a ledger as a kill leaves it: nothing is written any more, and the kernel lets go of its lock."""
        self.open.remove(ledger)
        os.close(ledger._journal._claim)
        os.close(ledger._journal._fd)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "ledger")
    yield made
    for ledger in made.open:
        ledger.close()
