"""What is let in is answered in time, whatever comes; nobody is kept out by others; who is turned away is told when to come back."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.plan import ServedClass
from tightrope.base.records import Deferral, Slo
from tightrope.serve.access import admission
from tightrope.serve.access.admission import AdmissionControl
from tightrope.serve.config.settings import Limits, ServedPool, TenantLimits
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.records import NUSD_PER_USD, Call, Caller, Reply
from tightrope.serve.refusals import TooMany

PROMISED_S = 0.5
CLASSES = (
    ServedClass("chat", (Slo("latency", 0.95, PROMISED_S),), 0.0, retry_after_s=0.01),
    ServedClass("planned", (Slo("latency", 0.95, PROMISED_S),), 0.0, shed_wait_s=0.2, retry_after_s=0.01),
    ServedClass("first token", (Slo("ttft", 0.95, PROMISED_S), Slo("latency", 0.95, 9.0)), 0.0),
    ServedClass("nightly", (), 0.0, deferral=Deferral(22, 6)),
)
POOL = ServedPool("pool", "m", "m/int8")


@dataclass
class Heard:
    """Stands for the metrics."""

    turned_away: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_usd: dict[str, float] = field(default_factory=dict)

    def shed(self, cls: str, reason: str) -> None:
        """Note it."""
        self.turned_away[cls, reason] += 1

    def budget_left(self, tenant: str, usd: float) -> None:
        """Note it."""
        self.left_usd[tenant] = usd


@dataclass
class Desk:
    """An admission on a clock of its own."""

    now_s: float = 100.0
    wall_s: float = datetime(2026, 11, 30, 23, 0, tzinfo=UTC).timestamp()
    spent_usd: Counter[str] = field(default_factory=Counter)
    heard: Heard = field(default_factory=Heard)
    used_up: list[str] = field(default_factory=list)

    def admission(self, waiting: int = 1000, **tenants: TenantLimits) -> AdmissionControl:
        """Return the doors, with these tenants' limits."""

        def spent(tenant: str) -> int:
            return round(self.spent_usd[tenant] * NUSD_PER_USD)

        return AdmissionControl(
            Limits(waiting=waiting),
            tenants,
            spent,
            self.heard,
            lambda: self.now_s,
            classes=CLASSES,
            wall=lambda: self.wall_s,
            used_up=self.used_up.append,
        )

    def call(self, tenant: str = "a", kind: str = "chat", deadline_s: float | None = None) -> Call:
        """Return a call that comes now."""
        return Call("1", Caller(tenant), "classify", "m", ("x",), self.now_s, kind, deadline_s=deadline_s)


def refused(action: Callable[..., None], *args: object) -> TooMany:
    with pytest.raises(TooMany) as caught:
        action(*args)
    return caught.value


# ------------------------------------------------------------------------------------------------------------------- overload


def simulate(
    shares: dict[str, float],
    *,
    kind: str = "chat",
    load: float = 2.0,
    stated_per_s: float = 20.0,
    requests: int = 6000,
    seed: int = 1,
) -> tuple[dict[str, list[float]], Counter[str], float]:
    """Send ``load`` times what 3 replicas of 20/s can answer; return by tenant latencies and requests, and the share of time they worked.

    Service times are drawn from a gamma distribution (mean 50 ms, coefficient of variation 0.5); each replica answers one at a time.
    """
    rng, desk = np.random.default_rng(seed), Desk()
    doors = desk.admission(**{"*": TenantLimits()})
    queues: list[list[Call]] = [[], [], []]
    began_s = [0.0] * 3
    ends: list[tuple[float, int, float]] = []
    took: dict[str, list[float]] = {name: [] for name in shares}
    asked: Counter[str] = Counter()
    worked_s, start_s, arrives_s = 0.0, desk.now_s, desk.now_s

    def begin(replica: int) -> None:
        service_s = float(rng.gamma(4.0, 0.05 / 4.0))
        began_s[replica] = desk.now_s
        heapq.heappush(ends, (desk.now_s + service_s, replica, service_s))

    while sum(asked.values()) < requests or ends:
        if sum(asked.values()) < requests and (not ends or arrives_s < ends[0][0]):
            desk.now_s = arrives_s
            arrives_s += float(rng.exponential(1.0 / (load * 60.0)))
            call = desk.call(str(rng.choice(list(shares), p=list(shares.values()))), kind)
            asked[call.caller.tenant] += 1
            doors.enter(call)
            try:
                doors.join(call, POOL, PoolLoad(3, in_flight=sum(map(len, queues)), requests_per_s=stated_per_s))
            except TooMany:
                doors.leave(call, None)
                continue
            shortest = min(range(3), key=lambda index: len(queues[index]))
            queues[shortest].append(call)
            if len(queues[shortest]) == 1:
                begin(shortest)
        else:
            desk.now_s, replica, service_s = heapq.heappop(ends)
            call = queues[replica].pop(0)
            worked_s += service_s
            latency_s = desk.now_s - call.arrived_s
            took[call.caller.tenant].append(latency_s)
            doors.part(call, POOL)
            doors.leave(call, 0, Reply("pool", "m/int8", wait_s=latency_s - service_s, service_s=service_s))
            if queues[replica]:
                begin(replica)
    return took, asked, worked_s / (3 * (desk.now_s - start_s))


def p95(times_s: list[float]) -> float:
    return sorted(times_s)[int(0.95 * len(times_s))]


@pytest.mark.parametrize("kind", ["chat", "planned"])
@pytest.mark.parametrize("load", [0.8, 2.0, 10.0])
def test_what_is_let_in_keeps_the_promise_and_engines_stay_busy(kind: str, load: float) -> None:
    took, asked, busy = simulate({"a": 1.0}, kind=kind, load=load)
    assert p95(took["a"]) <= PROMISED_S
    assert busy > min(0.75, 0.98 * load) if load < 1 else busy > 0.98
    assert len(took["a"]) > (0.98 if load < 1 else 0.95 / load) * asked["a"]


@pytest.mark.parametrize("stated_per_s", [40.0, 100.0])
def test_patience_mends_a_rate_that_is_stated_too_high(stated_per_s: float) -> None:
    """Stated twice and five times what a replica does, waits would be that much longer: late answers shorten the queue."""
    took, _, busy = simulate({"a": 1.0}, stated_per_s=stated_per_s, requests=20_000)
    assert p95(took["a"][1000:]) <= PROMISED_S
    assert busy > 0.98
    careless, _, _ = simulate({"a": 1.0}, kind="planned", stated_per_s=stated_per_s, requests=3000)
    assert p95(careless["a"]) > (PROMISED_S if stated_per_s > 50 else 0.8 * PROMISED_S)


def test_a_tenant_that_floods_does_not_starve_one_that_asks_little() -> None:
    """One asks ten times what can be answered, the other a sixth: the other has nearly all of its answers, in time."""
    took, asked, _ = simulate({"flood": 0.983, "little": 0.017}, load=10.0, requests=30_000)
    assert len(took["little"]) > 0.97 * asked["little"]
    assert p95(took["little"]) <= PROMISED_S
    assert len(took["flood"]) < 0.2 * asked["flood"]


def test_tenants_that_all_flood_get_the_same() -> None:
    took, _, _ = simulate({"a": 0.6, "b": 0.3, "c": 0.1}, load=20.0, requests=30_000)
    counts = [len(times_s) for times_s in took.values()]
    assert max(counts) < 1.6 * min(counts)


# -------------------------------------------------------------------------------------------------------------------- tenants


def test_a_rate_lets_its_burst_in_and_then_so_many_a_second() -> None:
    desk = Desk()
    doors = desk.admission(a=TenantLimits(requests_per_s=2.0, burst=2.5))
    for _ in range(5):
        doors.enter(desk.call())
    error = refused(doors.enter, desk.call())
    assert (error.reason, error.status, error.retry_after_s) == ("rate", 429, 0.5)
    desk.now_s += 0.25
    assert refused(doors.enter, desk.call()).retry_after_s == 0.25  # what was refused took nothing
    desk.now_s += 0.25
    doors.enter(desk.call())
    doors.enter(desk.call("somebody else"))
    desk.now_s += 1e6
    for _ in range(5):
        doors.enter(desk.call())
    refused(doors.enter, desk.call())
    assert desk.heard.turned_away == {("chat", "rate"): 3}


@given(per_s=st.floats(0.1, 100.0), burst=st.floats(0.0, 10.0), gaps_s=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60))
def test_never_more_than_the_burst_and_the_rate_over_any_stretch(per_s: float, burst: float, gaps_s: list[float]) -> None:
    """Whatever the moments, a tenant that comes again when it was told to comes in."""
    desk = Desk()
    doors = desk.admission(a=TenantLimits(requests_per_s=per_s, burst=burst))
    start_s = desk.now_s
    for let_in, gap_s in enumerate(gaps_s, 1):
        desk.now_s += gap_s
        try:
            doors.enter(desk.call())
        except TooMany as error:
            desk.now_s += (error.retry_after_s or 0.0) + 1e-9
            doors.enter(desk.call())
        assert let_in <= max(1.0, per_s * burst) + per_s * (desk.now_s - start_s) + 1e-6


def test_as_many_at_a_time_as_a_tenant_may() -> None:
    desk = Desk()
    doors = desk.admission(a=TenantLimits(concurrency=2))
    calls = [desk.call(), desk.call()]
    for call in calls:
        doors.enter(call)
    assert refused(doors.enter, desk.call()).reason == "concurrency"
    doors.enter(desk.call("b"))
    desk.now_s += 8.0
    doors.leave(calls[0], 0, Reply("pool", "m/int8"))
    doors.enter(desk.call())
    assert refused(doors.enter, desk.call()).retry_after_s == 4.0  # answers take 8 s, and two are under way


def test_a_budget_counts_what_is_under_way_and_begins_anew_with_the_month() -> None:
    desk = Desk()
    doors = desk.admission(a=TenantLimits(budget_usd_per_month=1.0))
    first = desk.call()
    doors.enter(first)
    desk.spent_usd["a"] = 0.4
    doors.leave(first, round(0.4 * NUSD_PER_USD), Reply("pool", "m/int8"))
    assert desk.heard.left_usd == pytest.approx({"a": 0.6})
    doors.enter(desk.call())
    error = refused(doors.enter, desk.call())  # 0.4 spent, 0.4 under way, another 0.4 is too much
    assert (error.reason, error.retry_after_s) == ("budget", 3600.0)
    assert desk.used_up == []
    desk.spent_usd["a"] = 0.7
    refused(doors.enter, desk.call())
    assert desk.used_up == ["a"]
    assert desk.heard.left_usd == pytest.approx({"a": 0.3})  # also where nobody has been let in since the start
    doors.enter(desk.call("b"))
    desk.spent_usd["a"], desk.wall_s = 0.0, desk.wall_s + 3600.0
    doors.enter(desk.call())


@pytest.mark.parametrize("budget_usd", [0.0, 0.5], ids=["none", "spent"])
def test_a_budget_that_is_spent_lets_nothing_in_before_a_cost_is_known_either(budget_usd: float) -> None:
    desk = Desk()
    doors = desk.admission(a=TenantLimits(budget_usd_per_month=budget_usd))
    desk.spent_usd["a"] = budget_usd
    assert refused(doors.enter, desk.call()).reason == "budget"
    assert desk.used_up == ["a"]


def test_a_cost_that_is_not_known_is_not_zero() -> None:
    desk = Desk()
    doors = desk.admission(a=TenantLimits(budget_usd_per_month=1.0))
    calls = [desk.call(), desk.call()]
    for call in calls:
        doors.enter(call)
    doors.leave(calls[0], round(0.5 * NUSD_PER_USD), Reply("pool", "m/int8"))
    doors.leave(calls[1], None, Reply("pool", "m/int8"))
    desk.spent_usd["a"] = 0.6
    assert refused(doors.enter, desk.call()).reason == "budget"


def test_those_not_named_have_the_limits_of_the_star() -> None:
    desk = Desk()
    doors = desk.admission(**{"*": TenantLimits(concurrency=1), "a": TenantLimits()})
    for _ in range(3):
        doors.enter(desk.call("a"))
    doors.enter(desk.call("b"))
    refused(doors.enter, desk.call("b"))


def test_a_full_gateway_keeps_places_for_those_that_have_few() -> None:
    desk = Desk()
    doors = desk.admission(waiting=100)
    for _ in range(80):
        doors.enter(desk.call("flood"))
    error = refused(doors.enter, desk.call("flood"))
    assert (error.reason, error.retry_after_s) == ("full", 1.0)
    for _ in range(20):
        doors.enter(desk.call("late comer"))
    for tenant in ("flood", "late comer", "third"):
        refused(doors.enter, desk.call(tenant))


def test_work_that_can_wait_is_turned_away_first() -> None:
    desk = Desk()
    doors = desk.admission(waiting=100)
    for _ in range(40):
        doors.enter(desk.call(kind="nightly", deadline_s=1e9))
    assert refused(doors.enter, desk.call(kind="nightly", deadline_s=1e9)).reason == "full"
    for _ in range(40):
        doors.enter(desk.call())


@pytest.mark.parametrize(
    ("load", "let_in"),
    [
        (PoolLoad(2, in_flight=0, requests_per_s=10.0), True),
        (PoolLoad(2, in_flight=2, requests_per_s=10.0), True),  # 0.1 s: half of the shortest wait that is shed, 0.2 s
        (PoolLoad(2, in_flight=4, requests_per_s=10.0), False),
        (PoolLoad(2, in_flight=2, waiting={"chat": 1}, requests_per_s=10.0), False),
        (PoolLoad(2, in_flight=2, waiting={"nightly": 1}, requests_per_s=10.0), True),
        (PoolLoad(0, held=3, in_flight=3), True),
    ],
)
def test_work_that_can_wait_joins_where_no_other_waits(load: PoolLoad, let_in: bool) -> None:
    desk = Desk()
    doors, call = desk.admission(), desk.call(kind="nightly", deadline_s=1e9)
    if let_in:
        doors.join(call, POOL, load)
    else:
        assert refused(doors.join, call, POOL, load).reason == "deferrable"


def test_work_that_can_wait_is_not_what_others_wait_for() -> None:
    desk = Desk()
    doors, load = desk.admission(), PoolLoad(1, in_flight=1000, waiting={"nightly": 999}, requests_per_s=10.0)
    doors.join(desk.call(), POOL, load)
    assert refused(doors.join, desk.call(), POOL, PoolLoad(1, in_flight=1000, requests_per_s=10.0)).retry_after_s == 99.75


def test_nothing_is_said_of_a_wait_that_is_not_known() -> None:
    desk = Desk()
    doors = desk.admission()
    doors.join(desk.call(), POOL, PoolLoad(1, in_flight=1000))
    doors.join(desk.call(kind="of no plan"), POOL, PoolLoad(1, in_flight=1000, requests_per_s=1.0))


def test_who_left_a_pool_is_not_counted_there() -> None:
    desk = Desk()
    doors, full = desk.admission(), PoolLoad(1, in_flight=6, requests_per_s=20.0)
    calls = [desk.call("a") for _ in range(6)]
    for call in calls:
        doors.join(call, POOL, PoolLoad(1, requests_per_s=20.0))
    refused(doors.join, desk.call("a"), POOL, full)
    for call in calls[1:]:
        doors.part(call, POOL)
    doors.join(desk.call("b"), POOL, full)
    doors.join(desk.call("a"), POOL, full)  # of the two it has one of six


def patience_after(desk: Desk, call: Call, reply: Reply, load: PoolLoad) -> float:
    """Return the patience of a class after one answer, 0.7 s after its call came."""
    doors = desk.admission()
    doors.enter(call)
    doors.join(call, POOL, load)
    desk.now_s += 0.7
    doors.part(call, POOL)
    doors.leave(call, 0, reply)
    assert doors._held == set()
    return doors._kinds[call.traffic_class].patience


@pytest.mark.parametrize(
    ("kind", "fields", "load", "lowered"),
    [
        ("chat", {"wait_s": 0.6}, PoolLoad(1, requests_per_s=9.0), True),
        ("chat", {"wait_s": 0.1}, PoolLoad(1, requests_per_s=9.0), False),  # the engine itself took longer than was promised
        ("chat", {"wait_s": 0.6}, PoolLoad(0), False),  # a machine had to start
        ("chat", {"wait_s": 0.6, "cached": "shared"}, PoolLoad(1), False),
        ("planned", {"wait_s": 0.6}, PoolLoad(1), False),
        ("first token", {"wait_s": 0.6, "first_token_s": 100.6}, PoolLoad(1), True),
        ("first token", {"wait_s": 0.4, "first_token_s": 100.4}, PoolLoad(1), False),
    ],
)
def test_only_answers_late_by_the_queue_lower_the_patience(
    kind: str, fields: dict[str, Any], load: PoolLoad, lowered: bool
) -> None:
    desk = Desk()
    assert (patience_after(desk, desk.call(kind=kind), Reply("pool", "v", **fields), load) < 1.0) == lowered


def test_work_that_can_wait_lowers_no_patience_and_lengthens_no_retry() -> None:
    desk = Desk()
    late = desk.call(deadline_s=1e9)
    assert patience_after(desk, late, Reply("pool", "v", wait_s=0.6), PoolLoad(1)) == 1.0
    doors = desk.admission(a=TenantLimits(concurrency=1))
    late = desk.call(deadline_s=1e9)
    doors.enter(late)
    desk.now_s += 1e6
    doors.leave(late, 5, Reply("pool", "v"))
    doors.enter(desk.call())
    assert refused(doors.enter, desk.call()).retry_after_s == 1.0


# --------------------------------------------------------------------------------------------------------------------- bounds


def test_memory_is_bounded_whatever_tenants_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MOST_TENANTS", 50)
    desk = Desk()
    doors = desk.admission(waiting=100_000)
    stays = [desk.call(f"stays {n}") for n in range(20)]
    for call in stays:
        doors.enter(call)
        doors.join(call, POOL, PoolLoad(1))
    for n in range(2000):
        call = desk.call(f"comes and goes {n}")
        doors.enter(call)
        doors.join(call, POOL, PoolLoad(1))
        doors.part(call, POOL)
        doors.leave(call, 0)
    assert len(doors._tenants) <= 55
    assert len(doors._at[POOL.name]) == 20
    for call in stays:
        doors.part(call, POOL)
        doors.leave(call, 0)
    assert (doors._present, doors._asking, doors._at[POOL.name]) == (0, 0, {})


def test_a_bucket_of_one_who_is_here_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MOST_TENANTS", 2)
    desk = Desk()
    doors = desk.admission(a=TenantLimits(requests_per_s=1.0))
    doors.enter(desk.call())
    for n in range(100):
        call = desk.call(f"other {n}")
        doors.enter(call)
        doors.leave(call, 0)
    assert refused(doors.enter, desk.call()).reason == "rate"


def test_a_message_says_what_and_when() -> None:
    desk = Desk()
    doors = desk.admission(a=TenantLimits(requests_per_s=0.5))
    doors.enter(desk.call())
    assert refused(doors.enter, desk.call()).message == "more than 0.5 requests a second; ask again in 2 s"
