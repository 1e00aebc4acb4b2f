"""The Compute Savings Plan, against AWS's published example and against a slow reading of its rule, hour by hour."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.contracts import Prices
from tightrope.base.plan import Committed, OfferTerms, Refusal, Usage
from tightrope.base.registry import find_offer
from tightrope.offers.bill import charge_fleet, used_shares

Make = Callable[..., object]

NAME = "compute-savings-plan-1y-no-upfront"
OFFER = find_offer(NAME)
EXAMPLE_RATES = {"c5.9xlarge": (4, 2), "c5.24xlarge": (10, 8), "fargate-vcpu": ("1.5", 1), "fargate-gb": (2, 1)}
"""On-demand and plan rate of each line of the example in AWS's Savings Plans user guide (illustrative rates)."""
EXAMPLE_HOURS = {"c5.9xlarge": 1.0, "c5.24xlarge": 1.0, "fargate-vcpu": 10.0, "fargate-gb": 5.0}


def _both(rates: dict[str, tuple[object, object]]) -> dict[tuple[str, str], Decimal]:
    """Return the rate table of on-demand and plan rates."""
    on_demand = {(machine, "on-demand"): Decimal(str(rate)) for machine, (rate, _) in rates.items()}
    return on_demand | {(machine, NAME): Decimal(str(rate)) for machine, (_, rate) in rates.items()}


def _committed(usd_per_hour: float) -> list[Committed]:
    return [Committed("aws", NAME, "", usd_per_hour)]


def _utilisation(usage: Usage, prices: Prices, commitment: float) -> float:
    (share,) = used_shares(usage, prices, _committed(commitment))
    return share


def _total(usage: Usage, prices: Prices, commitment: float) -> float:
    return sum(line.usd for line in charge_fleet(usage, prices, _committed(commitment)))


@pytest.fixture
def example(make_rates: Make, make_usage: Make) -> tuple[Usage, Prices]:
    """Return the hour of AWS's example."""
    lines = [(machine, "on-demand") for machine in EXAMPLE_HOURS]
    return make_usage(lines, [[hours] for hours in EXAMPLE_HOURS.values()], [1.0]), make_rates(_both(EXAMPLE_RATES))


@pytest.mark.parametrize(("commitment", "usd"), [(0, 39.0), (2, 37.0), (10, 30.5), (20, 26.25), (25, 25.0), (30, 30.0)])
def test_the_published_example(example: tuple[Usage, Prices], commitment: float, usd: float) -> None:
    assert _total(*example, commitment) == pytest.approx(usd, abs=1e-12)


@pytest.mark.parametrize(
    ("commitment", "covered"),
    [
        (2, ["fargate-gb"]),
        (6, ["fargate-gb", "c5.9xlarge"]),
        (10, ["fargate-gb", "c5.9xlarge", "fargate-vcpu"]),
        (20, ["fargate-gb", "c5.9xlarge", "fargate-vcpu", "c5.24xlarge"]),
    ],
)
def test_highest_saving_first_then_lowest_rate(example: tuple[Usage, Prices], commitment: float, covered: list[str]) -> None:
    usage, prices = example
    bill, _ = OFFER.charge(usage, prices, _committed(commitment))
    machine = {line.pool: line.machine for line in usage.lines}
    assert [machine[line.pool] for line in bill if line.driver == "compute"] == covered


def test_the_unused_part_is_a_line_of_its_own(example: tuple[Usage, Prices]) -> None:
    bill, rest = OFFER.charge(*example, _committed(30.0))
    assert {line.driver: line.usd for line in bill if line.driver != "compute"} == {"commitment unused": 5.0}
    assert not rest.machine_hours.any()
    assert _utilisation(*example, 30.0) == pytest.approx(25 / 30)


def test_spot_and_unpriced_lines_are_never_covered(make_rates: Make, make_usage: Make) -> None:
    rates = _both({"a": (2, 1)}) | {("a", "spot"): Decimal("1.5"), ("b", "on-demand"): Decimal(2)}
    usage = make_usage([("a", "spot"), ("b", "on-demand")], [[4.0], [4.0]], [730.0])
    bill, rest = OFFER.charge(usage, make_rates(rates), _committed(3.0))
    assert [(line.driver, line.usd) for line in bill] == [("commitment unused", 3.0 * 730)]
    assert rest.machine_hours.tolist() == usage.machine_hours.tolist()


def test_a_plan_rate_that_saves_nothing_covers_nothing(make_rates: Make, make_usage: Make) -> None:
    usage = make_usage([("a", "on-demand")], [[4.0]], [730.0])
    assert _utilisation(usage, make_rates(_both({"a": (2, 2)})), 1.0) == 0.0


def test_terms(make_rates: Make) -> None:
    terms = OFFER.terms("a", "r", make_rates(_both({"a": (2, "1.25")})))
    assert isinstance(terms, OfferTerms)
    assert (terms.usd_per_hour, terms.interruptions_per_hour) == (1.25, 0.0)
    assert isinstance(OFFER.terms("b", "r", make_rates({})), Refusal)


def test_no_commitment_wastes_nothing(example: tuple[Usage, Prices]) -> None:
    assert _utilisation(*example, 0.0) == 1.0
    assert OFFER.charge(*example, ())[0] == ()


# ------------------------------------------------------------------------------------------------------ the slow reading


def _slow_hour(lines: list[tuple[float, float, float]], commitment: float) -> float:
    """Return one hour's bill of (hours, on-demand rate, plan rate): cover line by line, then pay the rest on demand."""
    left, usd = commitment, commitment
    for hours, on_demand, plan in sorted(lines, key=lambda line: (line[2] / line[1], line[2])):
        covered = min(hours * plan, left)
        left -= covered
        usd += (hours - covered / plan) * on_demand
    return usd


def _slow_total(usage: Usage, rates: list[tuple[int, int]], commitment: float) -> float:
    hours = [[float(count) for count in row] for row in usage.machine_hours]
    per_hour = [
        _slow_hour([(row[p], *both) for row, both in zip(hours, rates, strict=True)], commitment)
        for p in range(len(usage.hours_per_month))
    ]
    return sum(w * usd for w, usd in zip(usage.hours_per_month.tolist(), per_hour, strict=True))


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[list[int]], list[float]]:
    """Return (on-demand, plan) rates per line, machines per line and hour, and hours per month."""
    lines, periods = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    plans = draw(st.lists(st.integers(1, 8), min_size=lines, max_size=lines))
    rates = [(plan + draw(st.integers(1, 12)), plan) for plan in plans]
    hours = [draw(st.lists(st.integers(0, 5), min_size=periods, max_size=periods)) for _ in range(lines)]
    weights = st.sampled_from([1.0, 4.345, 30.0])
    return rates, hours, draw(st.lists(weights, min_size=periods, max_size=periods))


Fleet = tuple[list[tuple[int, int]], list[list[int]], list[float]]


def _build(fleet: Fleet, make_rates: Make, make_usage: Make) -> tuple[Usage, Prices]:
    rates, hours, weights = fleet
    prices = make_rates(_both({f"m{i}": both for i, both in enumerate(rates)}))
    return make_usage([(f"m{i}", "on-demand") for i in range(len(rates))], hours, weights), prices


@given(fleet=fleets(), commitment=st.floats(0, 200))
def test_bill_equals_the_slow_reading(fleet: Fleet, commitment: float, make_rates: Make, make_usage: Make) -> None:
    usage, prices = _build(fleet, make_rates, make_usage)
    assert _total(usage, prices, commitment) == pytest.approx(_slow_total(usage, fleet[0], commitment), rel=1e-9, abs=1e-9)


@given(fleet=fleets(), commitment=st.floats(0.01, 200))
def test_used_and_unused_add_up_to_the_commitment(fleet: Fleet, commitment: float, make_rates: Make, make_usage: Make) -> None:
    usage, prices = _build(fleet, make_rates, make_usage)
    bill, rest = OFFER.charge(usage, prices, _committed(commitment))
    paid = commitment * float(usage.hours_per_month.sum())
    assert sum(line.usd for line in bill) == pytest.approx(paid, rel=1e-9)
    used = sum(line.usd for line in bill if line.driver == "compute")
    assert _utilisation(usage, prices, commitment) == pytest.approx(used / paid, abs=1e-9)
    covered = (usage.machine_hours - rest.machine_hours) @ usage.hours_per_month
    assert sum(covered * [plan for _, plan in fleet[0]]) == pytest.approx(used, abs=1e-6)
