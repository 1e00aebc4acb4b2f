"""How commitments are applied: each seller's order by hand, and any mixture against a slow reading of the rules."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.offers.conftest import CLOUD_REGIONS, MACHINES, Rates
from tests.offers.slow_bill import slow_bill

from tightrope.base.errors import InputError, UnknownNameError
from tightrope.base.plan import BillLine, Committed, Usage
from tightrope.offers.bill import charge_fleet, used_shares

Make = Callable[..., object]

RESERVED, CONVERTIBLE = "reserved-1y-no-upfront", "convertible-1y-no-upfront"
INSTANCE, COMPUTE, COMPUTE_3Y = (
    "instance-savings-plan-1y-no-upfront",
    "compute-savings-plan-1y-no-upfront",
    "compute-savings-plan-3y-no-upfront",
)


def _by(bill: tuple[BillLine, ...]) -> dict[tuple[str, str], float]:
    """Return (pool or ``unused``, offer) → US dollars, without what is 0."""
    found: dict[tuple[str, str], float] = {}
    for line in bill:
        key = (line.pool or "unused", line.offer)
        found[key] = found.get(key, 0.0) + line.usd
    return {key: usd for key, usd in found.items() if abs(usd) > 1e-12}


def _total(bill: tuple[BillLine, ...]) -> float:
    return sum(line.usd for line in bill)


# ------------------------------------------------------------------------------------------------------------ AWS, by hand

AWS_RATES = {
    ("g5.xlarge", "on-demand"): "10",
    ("g5.xlarge", RESERVED): "6",
    ("g5.xlarge", INSTANCE): "6",
    ("g5.xlarge", COMPUTE): "8",
    ("g5.2xlarge", "on-demand"): "20",
    ("g5.2xlarge", RESERVED): "12",
    ("g5.2xlarge", INSTANCE): "12",
    ("g5.2xlarge", COMPUTE): "16",
    ("g5.xlarge", "spot"): "4",
}


def test_aws_takes_reserved_machines_then_instance_plans_then_compute_plans(make_rates: Make, make_usage: Make) -> None:
    """Four machines: one reserved, one by the family's plan, one by the plan for all, one on demand."""
    usage = make_usage([("g5.xlarge", "on-demand")], [[4.0]], [1.0])
    committed = [
        Committed("aws", COMPUTE, "", 8.0),
        Committed("aws", INSTANCE, "us-east-1/g5", 6.0),
        Committed("aws", RESERVED, "us-east-1/g5.xlarge", 6.0),
    ]
    bill = charge_fleet(usage, make_rates(AWS_RATES), committed)
    assert _by(bill) == {
        ("pool 0", RESERVED): 6.0,
        ("pool 0", INSTANCE): 6.0,
        ("pool 0", COMPUTE): 8.0,
        ("pool 0", "on-demand"): 10.0,
    }
    assert used_shares(usage, make_rates(AWS_RATES), committed) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("machines", "unused"),
    [(0.0, {RESERVED: 6.0, INSTANCE: 6.0, COMPUTE: 8.0}), (1.0, {INSTANCE: 6.0, COMPUTE: 8.0}), (2.5, {COMPUTE: 4.0})],
)
def test_what_is_applied_last_is_wasted_first(
    machines: float, unused: dict[str, float], make_rates: Make, make_usage: Make
) -> None:
    usage = make_usage([("g5.xlarge", "on-demand")], [[machines]], [1.0])
    committed = [
        Committed("aws", RESERVED, "us-east-1/g5.xlarge", 6.0),
        Committed("aws", INSTANCE, "us-east-1/g5", 6.0),
        Committed("aws", COMPUTE, "", 8.0),
    ]
    bill = charge_fleet(usage, make_rates(AWS_RATES), committed)
    assert {offer: usd for (pool, offer), usd in _by(bill).items() if pool == "unused"} == unused
    assert _total(bill) == 20.0
    wasted = [unused.get(item.offer, 0.0) / item.usd_per_hour for item in committed]
    assert used_shares(usage, make_rates(AWS_RATES), committed) == pytest.approx([1.0 - share for share in wasted])


def test_families_without_flexibility_are_covered_size_by_size(make_rates: Make, make_usage: Make) -> None:
    usage = make_usage([("g5.xlarge", "on-demand"), ("g5.2xlarge", "on-demand")], [[0.0], [1.0]], [1.0])
    bill = charge_fleet(usage, make_rates(AWS_RATES), [Committed("aws", RESERVED, "us-east-1/g5.xlarge", 12.0)])
    assert _by(bill) == {("unused", RESERVED): 12.0, ("pool 1", "on-demand"): 20.0}
    plan = charge_fleet(usage, make_rates(AWS_RATES), [Committed("aws", INSTANCE, "us-east-1/g5", 12.0)])
    assert _by(plan) == {("pool 1", INSTANCE): 12.0}


C6I = {
    (f"c6i.{size}", offer): str(rate * vcpu)
    for size, vcpu in (("large", 2), ("xlarge", 4), ("4xlarge", 16))
    for offer, rate in (("on-demand", 10), (RESERVED, 6), (CONVERTIBLE, 7))
}


@pytest.mark.parametrize("scope", ["us-east-1/c6i", "us-east-1/c6i.large", "us-east-1/c6i.4xlarge"])
def test_a_flexible_family_is_covered_from_its_smallest_size_up(scope: str, make_rates: Make, make_usage: Make) -> None:
    """Ten vCPUs reserved: the large (2), the xlarge (4), and a quarter of the 4xlarge (16)."""
    usage = make_usage([(f"c6i.{size}", "on-demand") for size in ("4xlarge", "large", "xlarge")], [[1.0], [1.0], [1.0]], [1.0])
    bill = charge_fleet(usage, make_rates(C6I), [Committed("aws", RESERVED, scope, 60.0)])
    assert _by(bill) == {
        ("pool 1", RESERVED): 12.0,
        ("pool 2", RESERVED): 24.0,
        ("pool 0", RESERVED): 24.0,
        ("pool 0", "on-demand"): pytest.approx(0.75 * 160.0),
    }


def test_standard_and_convertible_reservations_are_one_pool(make_rates: Make, make_usage: Make) -> None:
    usage = make_usage([("c6i.large", "on-demand")], [[2.0]], [1.0])
    committed = [Committed("aws", CONVERTIBLE, "us-east-1/c6i", 14.0), Committed("aws", RESERVED, "us-east-1/c6i", 12.0)]
    assert _by(charge_fleet(usage, make_rates(C6I), committed)) == {("pool 0", RESERVED): 12.0, ("pool 0", CONVERTIBLE): 14.0}


def test_plans_of_one_type_are_pooled_whatever_their_term(make_rates: Make, make_usage: Make) -> None:
    """The best pair goes first: three years on a (60 % off), then one year on b (50 %), though one year would cover a at 20 %."""
    rates = {("a", "on-demand"): "10", ("a", COMPUTE): "8", ("a", COMPUTE_3Y): "4"}
    rates |= {("b", "on-demand"): "10", ("b", COMPUTE): "5", ("b", COMPUTE_3Y): "4.5"}
    usage = make_usage([("a", "on-demand"), ("b", "on-demand")], [[1.0], [1.0]], [1.0])
    committed = [Committed("aws", COMPUTE, "", 5.0), Committed("aws", COMPUTE_3Y, "", 4.0)]
    assert _by(charge_fleet(usage, make_rates(rates), committed)) == {("pool 0", COMPUTE_3Y): 4.0, ("pool 1", COMPUTE): 5.0}


def test_one_scope_stated_twice_adds_up(make_rates: Make, make_usage: Make) -> None:
    usage = make_usage([("g5.xlarge", "on-demand")], [[3.0]], [730.0])
    once = [Committed("aws", INSTANCE, "us-east-1/g5", 12.0)]
    twice = [Committed("aws", INSTANCE, "us-east-1/g5", 5.0), Committed("aws", INSTANCE, "us-east-1/g5", 7.0)]
    assert _by(charge_fleet(usage, make_rates(AWS_RATES), twice)) == pytest.approx(
        _by(charge_fleet(usage, make_rates(AWS_RATES), once))
    )


def test_each_hour_stands_alone(make_rates: Make, make_usage: Make) -> None:
    """What one hour leaves is not there in the next; a commitment covers a part of a machine-hour."""
    usage = make_usage([("g5.xlarge", "on-demand"), ("g5.xlarge", "spot")], [[0.0, 2.0], [5.0, 5.0]], [300.0, 430.0])
    bill = charge_fleet(usage, make_rates(AWS_RATES), [Committed("aws", INSTANCE, "us-east-1/g5", 9.0)])
    assert _by(bill) == pytest.approx(
        {
            ("pool 0", INSTANCE): 430 * 9.0,
            ("unused", INSTANCE): 300 * 9.0,
            ("pool 0", "on-demand"): 430 * 5.0,
            ("pool 1", "spot"): 5 * 4 * 730.0,
        }
    )


def test_a_commitment_for_another_region_is_all_unused(make_rates: Make, make_usage: Make) -> None:
    usage = make_usage([("g5.xlarge", "on-demand")], [[3.0]], [730.0])
    bill = charge_fleet(usage, make_rates(AWS_RATES), [Committed("aws", INSTANCE, "eu-west-1/g5", 5.0)])
    assert _by(bill) == {("unused", INSTANCE): 3650.0, ("pool 0", "on-demand"): 21900.0}


def test_a_family_that_is_not_sold_so_is_not_covered(make_rates: Make, make_usage: Make) -> None:
    rates = {("p5.48xlarge", "on-demand"): "50", ("p5.48xlarge", RESERVED): "30", ("p5.48xlarge", COMPUTE): "40"}
    usage = make_usage([("p5.48xlarge", "on-demand")], [[1.0]], [1.0])
    with pytest.raises(InputError, match="aws sells no reserved-1y-no-upfront for 'us-east-1/p5'"):
        charge_fleet(usage, make_rates(rates), [Committed("aws", RESERVED, "us-east-1/p5", 30.0)])
    assert _by(charge_fleet(usage, make_rates(rates), [Committed("aws", COMPUTE, "", 40.0)])) == {("pool 0", COMPUTE): 40.0}


# ------------------------------------------------------------------------------------------------- Azure and Google Cloud


def test_azure_takes_reservations_then_the_greatest_discount(make_rates: Make, make_usage: Make) -> None:
    rates = {
        (machine, offer): str(rate)
        for machine, rate_of in {
            "Standard_D2s_v5": {"on-demand": 10, "reserved-1y": 5, "savings-plan-1y": 8, "savings-plan-3y": 6},
            "Standard_D8s_v5": {"on-demand": 40, "reserved-1y": 20, "savings-plan-1y": 32, "savings-plan-3y": 24},
            "Standard_NC4as_T4_v3": {"on-demand": 20, "savings-plan-1y": 14, "savings-plan-3y": 15},
        }.items()
        for offer, rate in rate_of.items()
    }
    lines = [("Standard_D8s_v5", "on-demand"), ("Standard_D2s_v5", "on-demand"), ("Standard_NC4as_T4_v3", "on-demand")]
    usage = make_usage(lines, [[1.0], [1.0], [1.0]], [1.0])
    committed = [
        Committed("azure", "savings-plan-1y", "", 14.0),
        Committed("azure", "savings-plan-3y", "", 12.0),
        Committed("azure", "reserved-1y", "eastus/Dsv5", 15.0),
    ]
    assert _by(charge_fleet(usage, make_rates(rates), committed)) == {
        ("pool 1", "reserved-1y"): 5.0,  # the smaller size whole, then half of the larger
        ("pool 0", "reserved-1y"): 10.0,
        ("pool 0", "savings-plan-3y"): 12.0,  # 40 % off before 30 %: the other half
        ("pool 2", "savings-plan-1y"): 14.0,
    }


GCP_RATES = {
    ("n2-standard-2", "on-demand"): "10",
    ("n2-standard-2", "resource-commitment-1y"): "6",
    ("n2-standard-2", "flexible-commitment-1y"): "7",
    ("g2-standard-4", "on-demand"): "20",
    ("g2-standard-4", "resource-commitment-1y"): "12",
    ("g2-standard-4", "flexible-commitment-1y"): "14",
}


def test_google_cloud_takes_resources_then_spend_then_sustained_use(make_rates: Make, make_usage: Make) -> None:
    """Of three n2 machines one each; the third, on demand all month, is charged at the four quarters' rates."""
    usage = make_usage([("n2-standard-2", "on-demand"), ("g2-standard-4", "on-demand")], [[3.0], [1.0]], [730.0])
    committed = [
        Committed("gcp", "flexible-commitment-1y", "", 7.0),
        Committed("gcp", "resource-commitment-1y", "us-central1/n2", 6.0),
    ]
    assert _by(charge_fleet(usage, make_rates(GCP_RATES), committed)) == pytest.approx(
        {
            ("pool 0", "resource-commitment-1y"): 6 * 730.0,
            ("pool 0", "flexible-commitment-1y"): 7 * 730.0,
            ("pool 0", "on-demand"): 10 * 730.0,
            ("pool 1", "on-demand"): 20 * 730.0,  # no flexible commitment on machines with GPUs
            ("pool 0", "sustained-use"): -10 * 730.0 * (1 - (1 + 0.8678 + 0.733 + 0.6) / 4),
        }
    )


# -------------------------------------------------------------------------------------------------------- what is no scope


@pytest.mark.parametrize(
    ("cloud", "offer", "scope", "expected"),
    [
        ("aws", RESERVED, "us-east-1/g5", "expected a region/machine where it is sold, such as us-east-1/g5.2xlarge"),
        ("aws", RESERVED, "nowhere/g5.xlarge", "expected a region/machine where it is sold"),
        ("aws", RESERVED, "", "expected a region/machine where it is sold"),
        ("aws", INSTANCE, "us-east-1", "expected a region/family where it is sold"),
        ("aws", INSTANCE, "us-central1/g2", "expected a region/family where it is sold"),
        ("aws", COMPUTE, "us-east-1", r"expected no scope \(it covers everything of aws\)"),
        ("gcp", "flexible-commitment-1y", "us-central1/n2", r"expected no scope \(it covers everything of gcp\)"),
    ],
)
def test_a_scope_that_the_offer_can_not_have_is_an_error(
    cloud: str, offer: str, scope: str, expected: str, make_rates: Make, make_usage: Make
) -> None:
    with pytest.raises(InputError, match=f"{cloud} sells no {offer} for '{scope}': {expected}"):
        charge_fleet(make_usage([], [], [730.0]), make_rates(AWS_RATES | GCP_RATES), [Committed(cloud, offer, scope, 1.0)])


def test_an_unknown_family_or_offer_is_an_error_with_near_names(make_rates: Make, make_usage: Make) -> None:
    nothing = make_usage([], [], [730.0])
    with pytest.raises(UnknownNameError, match=r"g5.xlarg[\s\S]*g5.xlarge"):
        charge_fleet(nothing, make_rates(AWS_RATES), [Committed("aws", RESERVED, "us-east-1/g5.xlarg", 1.0)])
    with pytest.raises(UnknownNameError, match="unknown commitment of azure 'compute-savings-plan-1y-no-upfront'"):
        charge_fleet(nothing, make_rates(AWS_RATES), [Committed("azure", COMPUTE, "", 1.0)])


# --------------------------------------------------------------------------------------------------------- any mixture

SCOPES = {
    RESERVED: ("us-east-1/c6i", "us-east-1/c6i.xlarge", "us-east-1/g5.xlarge", "us-east-1/g5.2xlarge"),
    CONVERTIBLE: ("us-east-1/c6i", "us-east-1/g5.xlarge"),
    INSTANCE: ("us-east-1/c6i", "us-east-1/g5", "eu-west-1/c6i", "us-east-1/p5"),
    COMPUTE: ("",),
    COMPUTE_3Y: ("",),
    "reserved-1y": ("eastus/Dsv5", "eastus/Standard_NC4as_T4_v3"),
    "savings-plan-1y": ("",),
    "savings-plan-3y": ("",),
    "resource-commitment-1y": ("us-central1/g2",),
    "flexible-commitment-1y": ("",),
}
SELLER = {
    "reserved-1y": "azure",
    "savings-plan-1y": "azure",
    "savings-plan-3y": "azure",
    "resource-commitment-1y": "gcp",
    "flexible-commitment-1y": "gcp",
}
SOLD = [machine for machine in MACHINES if MACHINES[machine][1] not in {"n1", "n2"}]
"""Without the families of sustained use, which has tests of its own."""
Case = tuple[dict[tuple[str, str], Decimal], list[tuple[str, ...]], list[list[float]], list[float], list[Committed]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return rates proportional to vCPUs, usage lines, machines per line and hour, hours per month, and commitments."""
    rates = {}
    for family in dict.fromkeys(MACHINES[machine][1] for machine in SOLD):
        on_demand = draw(st.integers(4, 12))
        cents = {offer: draw(st.integers(1, 12)) for offer in SCOPES}
        for machine in SOLD:
            if MACHINES[machine][1] == family:
                vcpu = MACHINES[machine][2]
                rates[machine, "on-demand"], rates[machine, "spot"] = Decimal(on_demand * vcpu), Decimal(vcpu)
                rates |= {(machine, offer): Decimal(rate * vcpu) for offer, rate in cents.items()}
    places = st.tuples(st.sampled_from(SOLD), st.sampled_from(["on-demand", "on-demand", "spot"]), st.booleans())
    lines = [
        (machine, offer, "eu-west-1" if abroad and MACHINES[machine][0] == "aws" else CLOUD_REGIONS[MACHINES[machine][0]])
        for machine, offer, abroad in draw(st.lists(places, min_size=1, max_size=6))
    ]
    periods = draw(st.integers(1, 4))
    hours = [draw(st.lists(st.floats(0, 6, width=16), min_size=periods, max_size=periods)) for _ in lines]
    weights = draw(st.lists(st.sampled_from([1.0, 4.345, 30.0]), min_size=periods, max_size=periods))
    offers = draw(st.lists(st.sampled_from(list(SCOPES)), max_size=6))
    committed = [
        Committed(SELLER.get(offer, "aws"), offer, draw(st.sampled_from(SCOPES[offer])), draw(st.integers(0, 300)) / 4)
        for offer in offers
    ]
    return rates, lines, hours, weights, committed


def _build(case: Case, make_rates: Make, make_usage: Make) -> tuple[Usage, Rates, list[Committed]]:
    rates, lines, hours, weights, committed = case
    return make_usage(lines, hours, weights), make_rates(rates), committed


@given(case=cases())
def test_the_bill_equals_the_slow_reading(case: Case, make_rates: Make, make_usage: Make) -> None:
    usage, prices, committed = _build(case, make_rates, make_usage)
    assert _total(charge_fleet(usage, prices, committed)) == pytest.approx(
        slow_bill(usage, prices, committed), rel=1e-9, abs=1e-9
    )


@given(case=cases())
def test_the_bill_is_what_is_committed_and_what_is_left_on_demand(case: Case, make_rates: Make, make_usage: Make) -> None:
    usage, prices, committed = _build(case, make_rates, make_usage)
    bill = charge_fleet(usage, prices, committed)
    month_h = float(usage.hours_per_month.sum())
    names = {item.offer for item in committed}
    of_commitments = sum(line.usd for line in bill if line.offer in names)
    assert of_commitments == pytest.approx(month_h * sum(item.usd_per_hour for item in committed), rel=1e-9, abs=1e-9)
    assert all(line.usd >= 0.0 for line in bill)
    for place, line in enumerate(usage.lines):
        paid_hours = sum(
            item.usd / float(prices.find(line.machine, line.region, item.offer).usd_per_hour)
            for item in bill
            if item.pool == line.pool
        )
        assert paid_hours == pytest.approx(float(usage.machine_hours[place] @ usage.hours_per_month), rel=1e-9, abs=1e-9)


@given(case=cases(), extra=st.floats(0, 50))
def test_more_commitment_costs_no_more_than_itself(case: Case, extra: float, make_rates: Make, make_usage: Make) -> None:
    usage, prices, committed = _build(case, make_rates, make_usage)
    before = _total(charge_fleet(usage, prices, committed))
    grown = [*committed, Committed("aws", COMPUTE, "", extra)]
    assert _total(charge_fleet(usage, prices, grown)) <= before + extra * float(usage.hours_per_month.sum()) + 1e-6


@given(case=cases(), place=st.integers(0, 5))
def test_more_machines_cost_no_less(case: Case, place: int, make_rates: Make, make_usage: Make) -> None:
    usage, prices, committed = _build(case, make_rates, make_usage)
    hours = usage.machine_hours.copy()
    hours[place % len(hours), 0] += 1.0
    more = Usage(usage.lines, hours, usage.hours_per_month)
    assert _total(charge_fleet(more, prices, committed)) >= _total(charge_fleet(usage, prices, committed)) - 1e-6


@given(case=cases())
def test_the_order_in_which_commitments_are_stated_does_not_matter(case: Case, make_rates: Make, make_usage: Make) -> None:
    usage, prices, committed = _build(case, make_rates, make_usage)
    turned = committed[::-1]
    assert _total(charge_fleet(usage, prices, turned)) == pytest.approx(
        _total(charge_fleet(usage, prices, committed)), rel=1e-9, abs=1e-9
    )


@given(case=cases())
def test_used_shares_are_what_the_bill_does_not_call_unused(case: Case, make_rates: Make, make_usage: Make) -> None:
    usage, prices, committed = _build(case, make_rates, make_usage)
    shares = used_shares(usage, prices, committed)
    assert all(0.0 <= share <= 1.0 for share in shares)
    month_h = float(usage.hours_per_month.sum())
    wasted = sum(item.usd_per_hour * month_h * (1.0 - share) for item, share in zip(committed, shares, strict=True))
    unused = sum(line.usd for line in charge_fleet(usage, prices, committed) if line.driver == "commitment unused")
    assert wasted == pytest.approx(unused, rel=1e-9, abs=1e-6)
