"""The whole bill: commitments first, nothing left unpaid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base import registry
from tightrope.base.errors import InputError, UnknownNameError
from tightrope.base.plan import BillLine, Committed, Usage
from tightrope.offers.bill import charge_fleet

Make = Callable[..., object]
NAME = "compute-savings-plan-1y-no-upfront"
RATES = {("a", "on-demand"): "1.50", ("a", "spot"): "0.50", ("a", NAME): "1.20", ("b", "on-demand"): "2"}


def test_commitments_come_before_pay_as_you_go(make_rates: Make, make_usage: Make) -> None:
    usage = make_usage([("a", "on-demand"), ("a", "spot"), ("b", "on-demand")], [[2.0], [3.0], [1.0]], [730.0])
    bill = charge_fleet(usage, make_rates(RATES), [Committed("aws", NAME, "", 1.2)])
    assert [(line.driver, line.pool, line.offer) for line in bill] == [
        ("compute", "pool 0", NAME),
        ("commitment unused", "", NAME),
        ("compute", "pool 0", "on-demand"),
        ("compute", "pool 2", "on-demand"),
        ("compute", "pool 1", "spot"),
    ]
    assert [line.usd for line in bill] == pytest.approx([1.2 * 730, 0.0, 1.5 * 730, 2 * 730, 1.5 * 730])


@dataclass(frozen=True)
class _Recorder:
    """A commitment that pays nothing and notes what it was asked for together."""

    name: str
    asked: list[list[str]]
    kind: str = "commitment"

    def charge(self, usage: Usage, _prices: object, committed: Sequence[Committed]) -> tuple[tuple[BillLine, ...], Usage]:
        self.asked.append([f"{item.cloud} {item.offer} {item.usd_per_hour}" for item in committed])
        return tuple(BillLine("commitment unused", "", item.offer, item.usd_per_hour) for item in committed), usage


def test_commitments_of_one_seller_and_order_are_applied_together(
    make_rates: Make, make_usage: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(registry, "find_offer", lambda name: _Recorder(name, asked))
    names = ["compute-savings-plan-3y-no-upfront", "reserved-1y-no-upfront", NAME, "instance-savings-plan-1y-no-upfront"]
    committed = [Committed("aws", name, "", float(place)) for place, name in enumerate(names)]
    committed += [Committed("azure", "savings-plan-1y", "", 4.0), Committed("azure", "reserved-1y", "", 5.0)]
    charge_fleet(make_usage([], [], [730.0]), make_rates(RATES), committed)
    assert asked == [
        ["aws reserved-1y-no-upfront 1.0"],
        ["aws instance-savings-plan-1y-no-upfront 3.0"],
        ["aws compute-savings-plan-3y-no-upfront 0.0", f"aws {NAME} 2.0"],
        ["azure reserved-1y 5.0"],
        ["azure savings-plan-1y 4.0"],
    ]


def test_unpaid_hours_are_an_error(make_rates: Make, make_usage: Make) -> None:
    usage = make_usage([("b", "spot")], [[1.0]], [730.0])
    with pytest.raises(InputError, match="pool 'pool 0' cannot be billed: the catalogue has no spot price of b in us-east-1"):
        charge_fleet(usage, make_rates(RATES), ())


def test_a_line_that_never_runs_needs_no_price(make_rates: Make, make_usage: Make) -> None:
    assert charge_fleet(make_usage([("b", "spot")], [[0.0]], [730.0]), make_rates(RATES), ()) == ()


@pytest.mark.parametrize("usd_per_hour", [-1.0, float("nan"), float("inf")])
def test_an_impossible_commitment_is_an_error(make_rates: Make, make_usage: Make, usd_per_hour: float) -> None:
    with pytest.raises(InputError, match="expected a commitment offer and an amount of 0 or more"):
        charge_fleet(make_usage([], [], [730.0]), make_rates(RATES), [Committed("aws", NAME, "", usd_per_hour)])


def test_one_commits_to_commitments_only(make_rates: Make, make_usage: Make) -> None:
    with pytest.raises(InputError, match="commitment 'spot'"):
        charge_fleet(make_usage([], [], [730.0]), make_rates(RATES), [Committed("aws", "spot", "", 1.0)])
    with pytest.raises(UnknownNameError, match="unknown offer 'compute-savings-plan'"):
        charge_fleet(make_usage([], [], [730.0]), make_rates(RATES), [Committed("aws", "compute-savings-plan", "", 1.0)])


@pytest.mark.parametrize("hours", [[[float("nan")]], [[-1.0]], [[float("inf")]]])
def test_impossible_hours_are_an_error(make_rates: Make, make_usage: Make, hours: list[list[float]]) -> None:
    with pytest.raises(InputError, match="usage cannot be billed"):
        charge_fleet(make_usage([("a", "spot")], hours, [730.0]), make_rates(RATES), ())


def test_arrays_that_do_not_fit_are_an_error(make_rates: Make, make_usage: Make) -> None:
    usage = make_usage([("a", "spot")], [[1.0]], [730.0])
    with pytest.raises(InputError, match=r"machine-hours \(1, 2\), expected \(1, 1\)"):
        charge_fleet(Usage(usage.lines, np.ones((1, 2)), usage.hours_per_month), make_rates(RATES), ())


LINES = [("a", "on-demand"), ("a", "spot"), ("b", "on-demand")]
HOURS = st.lists(st.lists(st.floats(0, 50), min_size=4, max_size=4), min_size=3, max_size=3)


@given(hours=HOURS, factor=st.floats(0.1, 10), commitment=st.floats(0, 60))
def test_twice_the_fleet_is_twice_the_bill(
    hours: list[list[float]], factor: float, commitment: float, make_rates: Make, make_usage: Make
) -> None:
    def total(scale: float) -> float:
        scaled = [[scale * count for count in row] for row in hours]
        usage = make_usage(LINES, scaled, [100.0, 200.0, 300.0, 130.0])
        return sum(line.usd for line in charge_fleet(usage, make_rates(RATES), [Committed("aws", NAME, "", scale * commitment)]))

    assert total(factor) == pytest.approx(factor * total(1.0), rel=1e-9, abs=1e-6)


@given(hours=HOURS, commitment=st.floats(0, 60))
def test_a_commitment_saves_at_most_its_discount(
    hours: list[list[float]], commitment: float, make_rates: Make, make_usage: Make
) -> None:
    """The bill lies between all at plan rates and all on demand plus the whole commitment."""
    usage = make_usage(LINES, hours, [100.0, 200.0, 300.0, 130.0])

    def total(bill: tuple[BillLine, ...]) -> float:
        return sum(line.usd for line in bill)

    plain = total(charge_fleet(usage, make_rates(RATES), ()))
    committed = total(charge_fleet(usage, make_rates(RATES), [Committed("aws", NAME, "", commitment)]))
    eligible = 1.5 * float((usage.machine_hours @ usage.hours_per_month)[0])
    assert plain - 0.2 * eligible - 1e-6 <= committed <= plain + 730 * commitment + 1e-6
