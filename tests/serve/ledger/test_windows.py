"""Over any time, whatever lines and hours it cuts, all charges together are the price of the machines, to the nano-dollar."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tightrope.serve.config.settings import Upstream
from tightrope.serve.ledger.cost_report import total
from tightrope.serve.ledger.machine_hours import Stretch, paid_nusd
from tightrope.serve.ledger.meter import MACHINE, SECOND
from tightrope.serve.ledger.reader import LedgerReader

HOUR_S = 3600
SHARED = "shared"
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["serve", "resize", "kill", "stop", "jump", "pack"]), st.integers(1, 2 * HOUR_S), st.integers(0, 3)
    ),
    min_size=1,
    max_size=6,
)
CUTS = st.lists(
    st.integers(0, 8).map(lambda hour: hour * HOUR_S * SECOND) | st.integers(-SECOND, 8 * HOUR_S * SECOND),
    min_size=3,
    max_size=3,
    unique=True,
)


class Shop:
    """Two gateways: ``one`` with a machine of its own, which comes and goes, and a fleet that both count; and what they ought to cost."""

    def __init__(self, world: Any) -> None:
        self.world, self.machines = world, 1
        self.pools = [world.pool("own"), world.pool(SHARED, 1.234, upstream=Upstream("oip", ("http://a",)))]
        self.due: dict[str, list[Stretch]] = {pool.name: [] for pool in self.pools}
        self.two = world.ledger("two")
        self.seen = world.meter(self.two, self.pools[1])
        self.begin()

    def begin(self) -> None:
        """Open ``one``."""
        self.one = self.world.ledger()
        self.meters = [self.world.meter(self.one, pool, machines=float(self.machines)) for pool in self.pools]

    def at_ns(self) -> int:
        """Return the wall clock's time."""
        return int(self.world.now_s + self.world.ahead_s) * SECOND

    def owe(self, from_ns: int, *names: str) -> None:
        """Note that machines were there until now."""
        for name in names:
            price_nusd = {"own": 600_000_000, SHARED: 1_234_000_000}[name]
            self.due[name].append((from_ns, self.at_ns(), self.machines * MACHINE, price_nusd))

    def step(self, what: str, seconds: int, machines: int) -> None:
        """Let something happen, and time pass."""
        world, began_ns = self.world, self.at_ns()
        if what == "resize":
            self.machines = machines
            for ledger, meter in ((self.one, self.meters[0]), (self.one, self.meters[1]), (self.two, self.seen)):
                meter.resize(ledger._clock(), float(machines), 2.0)
        if what in {"kill", "stop"}:
            world.kill(self.one) if what == "kill" else world.close(self.one)
            world.now_s += seconds
            self.begin()
            self.owe(began_ns, SHARED, *(["own"] if what == "kill" or seconds <= HOUR_S else []))
        elif what == "jump":
            world.ahead_s += seconds + 1
            for ledger in (self.one, self.two):
                ledger.heartbeat()
            self.owe(began_ns, *(self.due if seconds < HOUR_S else ()))
        else:
            world.serve(self.one, self.meters[machines % 2], self.pools[machines % 2], float(seconds))
            self.owe(began_ns, *self.due)
        if what == "pack":
            self.one.heartbeat()
            self.one.pack()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, CUTS)
def test_any_time_costs_the_price_of_the_machines(world: Any, steps: list[tuple[str, int, int]], cuts: list[int]) -> None:
    with TemporaryDirectory() as folder:
        shop = Shop(type(world)(Path(folder)))
        for step in steps:
            shop.step(*step)
        for ledger in [*shop.world.open]:
            shop.world.close(ledger)
        first, middle, last = sorted(int(shop.world.noon_s) * SECOND + cut for cut in cuts)
        with LedgerReader(Path(folder)) as reader:
            spent = [total(reader, *window) for window in ((first, last), (first, middle), (middle, last))]
            hourly, spread = total(reader, first, last, ("hour", "pool")), total(reader, first, last, ("tenant",), spread=True)
    for one in spent:
        assert one.nusd == sum(paid_nusd(row, one.from_ns, one.to_ns) or 0 for row in shop.due.values())
    requests = [sum(charge.requests for charge in one.charges) for one in (*spent, hourly, spread)]
    assert requests == [requests[0], requests[1], requests[0] - requests[1], requests[0], requests[0]]
    assert spread.nusd == spent[0].nusd
    assert 0 <= spent[0].nusd - hourly.nusd <= len(hourly.machines)  # each hour is rounded down by itself
