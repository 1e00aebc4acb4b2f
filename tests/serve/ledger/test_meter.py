from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.serve.ledger.meter import MACHINE, SECOND, MachineMeter

NUSD = 10**9


@dataclass
class Slow:
    """The same from its definition, in fractions: all uses share each stretch of time in which nothing changes."""

    price: Fraction
    machines: Fraction
    capacity: Fraction
    now: Fraction = Fraction(0)
    paid: Fraction = Fraction(0)
    taken: list[Fraction] = field(default_factory=list)
    weights: list[Fraction] = field(default_factory=list)
    active: set[int] = field(default_factory=set)

    def go(self, now: Fraction) -> None:
        """Count the time up to now."""
        spent = self.price * self.machines * (now - self.now) / 3600
        self.now = now
        self.paid += spent
        share = max(self.capacity, sum((self.weights[use] for use in self.active), Fraction(0)))
        for use in self.active if share else ():  # what has no weight takes nothing
            self.taken[use] += spent * self.weights[use] / share


EVENT = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, 64)),
    st.tuples(st.just("end"), st.integers(0, 10**6)),
    st.tuples(st.just("resize"), st.integers(0, 40), st.integers(0, 64)),
)
EVENTS = st.lists(st.tuples(st.integers(0, 5 * 10**9), EVENT), max_size=40)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 100 * NUSD), st.integers(0, 30), st.integers(0, 64), EVENTS)
def test_parts_are_the_price_to_the_nano_dollar(
    price_nusd: int, machines: int, capacity: int, events: list[tuple[int, Any]]
) -> None:
    """Machines and weights in quarters, times in nanoseconds: every part is within a nano-dollar, and none is lost."""
    meter = MachineMeter(price_nusd / NUSD, capacity / 4, clock=lambda: 0.0, machines=machines / 4)
    slow = Slow(Fraction(price_nusd), Fraction(machines, 4), Fraction(capacity, 4))
    uses, ended, ended_exactly, now_ns = [], 0, Fraction(0), 0
    for passed, event in events:
        now_ns += passed
        now_s = (now_ns + 0.5) / SECOND
        slow.go(Fraction(now_ns, SECOND))
        if event[0] == "begin":
            uses.append(meter.begin(now_s, event[1] / 4))
            slow.weights.append(Fraction(event[1], 4))
            slow.taken.append(Fraction(0))
            slow.active.add(len(uses) - 1)
        elif event[0] == "resize":
            meter.resize(now_s, event[1] / 4, event[2] / 4)
            slow.machines, slow.capacity = Fraction(event[1], 4), Fraction(event[2], 4)
        elif slow.active:
            use = sorted(slow.active)[event[1] % len(slow.active)]
            slow.active.remove(use)
            cost = meter.end(uses[use], now_s)
            assert cost is not None
            assert cost >= 0
            assert abs(cost - slow.taken[use]) <= 1
            assert uses[use].machine_s * price_nusd / 3600 == pytest.approx(float(slow.taken[use]), rel=1e-6, abs=1e-3)
            ended += cost
            ended_exactly += slow.taken[use]
        reading = meter.read(now_s)
        assert None not in (reading.paid_nusd, reading.used_nusd, reading.ended_nusd)
        assert reading.paid_nusd == int(slow.paid)
        assert reading.ended_nusd == ended
        assert 0 <= ended_exactly - ended <= 1 + Fraction(1, 1000)
        assert 0 <= sum(slow.taken) - (reading.used_nusd or 0) <= 1 + Fraction(1, 1000)
        assert ended <= (reading.used_nusd or 0) <= (reading.paid_nusd or 0)


def test_a_machine_for_an_hour_half_used_costs_its_price() -> None:
    meter = MachineMeter(1.2, capacity=2, clock=lambda: 0.0)
    use = meter.begin(0.0)
    assert meter.end(use, 3600.0) == 600_000_000
    assert use.machine_s == 1800
    assert (meter.paid_nusd(3600.0), meter.used_nusd(3600.0)) == (1_200_000_000, 600_000_000)


def test_more_than_the_capacity_shares_all_there_is() -> None:
    meter = MachineMeter(3.6, capacity=1, clock=lambda: 0.0)
    uses = [meter.begin(0.0, weight) for weight in (1, 1, 2)]
    assert [meter.end(use, 4.0) for use in uses] == [1_000_000, 1_000_000, 2_000_000]
    assert meter.used_nusd(4.0) == meter.paid_nusd(4.0) == 4_000_000


def test_a_price_that_is_not_known_is_never_nothing() -> None:
    meter = MachineMeter(None, capacity=1, clock=lambda: 0.0)
    use = meter.begin(0.0)
    assert meter.end(use, 2.0) is None
    reading = meter.read(4.0)
    assert (reading.paid_nusd, reading.used_nusd, reading.ended_nusd) == (None, None, None)
    assert use.machine_s == 2.0
    assert (reading.machine_time, reading.used_time) == (4 * MACHINE * SECOND, 2 * MACHINE * SECOND)


def test_a_time_before_what_was_told_counts_as_that() -> None:
    meter = MachineMeter(3600.0, capacity=1, clock=lambda: 10.0)
    use = meter.begin(12.0)
    assert meter.end(use, 11.0) == 0
    assert meter.paid_nusd(11.0) == 2 * NUSD
