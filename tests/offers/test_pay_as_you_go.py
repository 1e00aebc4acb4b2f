"""On-demand and spot charge hours × rate, and nothing else."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.plan import OfferTerms, Refusal
from tightrope.base.registry import find_offer
from tightrope.offers.pay_as_you_go import interruptions_per_hour

Make = Callable[..., object]
ON_DEMAND, SPOT = find_offer("on-demand"), find_offer("spot")
RATES = {("a", "on-demand"): "1.50", ("a", "spot"): "0.50", ("b", "on-demand"): "2"}


def test_charges_hours_times_rate(make_rates: Make, make_usage: Make) -> None:
    usage = make_usage([("a", "on-demand"), ("a", "spot")], [[2.0, 0.5], [1.0, 1.0]], [100.0, 630.0])
    bill, rest = ON_DEMAND.charge(usage, make_rates(RATES), ())
    assert [(line.driver, line.pool, line.offer) for line in bill] == [("compute", "pool 0", "on-demand")]
    assert bill[0].usd == pytest.approx((2 * 100 + 0.5 * 630) * 1.5)
    assert rest.lines == usage.lines[1:]
    assert rest.machine_hours.tolist() == [[1.0, 1.0]]


def test_a_line_without_a_price_stays_unpaid(make_rates: Make, make_usage: Make) -> None:
    usage = make_usage([("b", "spot"), ("a", "spot")], [[1.0], [3.0]], [730.0])
    bill, rest = SPOT.charge(usage, make_rates(RATES), ())
    assert [line.pool for line in bill] == ["pool 1"]
    assert [line.machine for line in rest.lines] == ["b"]


def test_on_demand_terms(make_rates: Make) -> None:
    terms = ON_DEMAND.terms("a", "r", make_rates(RATES))
    assert isinstance(terms, OfferTerms)
    assert (terms.usd_per_hour, terms.interruptions_per_hour, terms.zones) == (1.5, 0.0, 3)


def test_spot_terms_carry_the_hourly_risk(make_rates: Make) -> None:
    terms = SPOT.terms("a", "r", make_rates(RATES))
    assert isinstance(terms, OfferTerms)
    assert terms.interruptions_per_hour == pytest.approx(-math.log(0.8) / 730, rel=1e-12)


def test_what_is_not_sold_is_refused(make_rates: Make) -> None:
    assert SPOT.terms("b", "r", make_rates(RATES)) == Refusal("b r spot", "the catalogue has no such price")


def test_an_unknown_risk_is_not_zero(make_rates: Make) -> None:
    refusal = SPOT.terms("a", "r", make_rates(RATES, None))
    assert refusal == Refusal("a r spot", "the catalogue does not say how often it is interrupted")


@given(st.floats(0, 0.999))
def test_the_hourly_rate_gives_the_monthly_share_back(share: float) -> None:
    assert 1 - math.exp(-interruptions_per_hour(share) * 730) == pytest.approx(share, abs=1e-12)
