"""What Google Cloud takes off by itself: by hand, and against machines counted one by one."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.offers.bill import charge_fleet
from tightrope.offers.sustained_use import QUARTER_RATES, discount_share, sustained_use

Make = Callable[..., object]
RATES = {
    ("n1-standard-4", "on-demand"): "1",
    ("n2-standard-2", "on-demand"): "1",
    ("n2-standard-8", "on-demand"): "4",
    ("n2-standard-2", "spot"): "0.5",
    ("g2-standard-4", "on-demand"): "1",
    ("c6i.large", "on-demand"): "1",
}


@pytest.mark.parametrize(("family", "most"), [("n1", 0.3), ("n2", 0.2), ("n2d", 0.2), ("c2", 0.2), ("m1", 0.3), ("m2", 0.3)])
def test_a_whole_month_has_the_published_greatest_discount(family: str, most: float) -> None:
    """Google states 30 % and 20 %; its quarters' rates for the latter come to 19.98 %."""
    assert float(discount_share(family, np.array(1.0))) == pytest.approx(most, abs=3e-4)


@pytest.mark.parametrize(("share", "off"), [(0.0, 0.0), (0.25, 0.0), (0.5, 0.1), (0.75, 0.2), (1.0, 0.3)])
def test_the_published_example_of_n1(share: float, off: float) -> None:
    """Google's page: half a month has an effective discount of 10 %, three quarters 20 %, a whole one 30 %."""
    assert float(discount_share("n1", np.array(share))) == pytest.approx(off * share)


def test_two_half_months_are_one_machine_all_month(make_rates: Make, make_usage: Make) -> None:
    """A region's machines of a family count together: 30 % off though neither pool runs for more than half the month."""
    usage = make_usage([("n1-standard-4", "on-demand")] * 2, [[1.0, 0.0], [0.0, 1.0]], [365.0, 365.0])
    assert [(line.driver, line.pool, line.offer) for line in sustained_use(usage, make_rates(RATES))] == [
        ("discount", "pool 0", "sustained-use"),
        ("discount", "pool 1", "sustained-use"),
    ]
    assert [line.usd for line in sustained_use(usage, make_rates(RATES))] == pytest.approx([-0.3 * 365] * 2)
    abroad = make_usage(
        [("n1-standard-4", "on-demand"), ("n1-standard-4", "on-demand", "europe-west4")], [[1.0, 0.0], [0.0, 1.0]], [365.0, 365.0]
    )
    assert [line.usd for line in sustained_use(abroad, make_rates(RATES))] == pytest.approx([-0.1 * 365] * 2)


def test_sizes_of_a_family_count_as_layers(make_rates: Make, make_usage: Make) -> None:
    """A large machine for half the month, a small one for the other: one quarter of the large runs all month, the rest half of it."""
    usage = make_usage([("n2-standard-8", "on-demand"), ("n2-standard-2", "on-demand")], [[1.0, 0.0], [0.0, 1.0]], [365.0, 365.0])
    whole, half = 0.25 * (0.1322 + 0.267 + 0.4), 0.25 * 0.1322
    total = sum(line.usd for line in charge_fleet(usage, make_rates(RATES), ()))
    assert total == pytest.approx(365 * 5.0 - 730 * (1.0 * whole + 3.0 * half))


def test_spot_other_families_and_other_clouds_have_none(make_rates: Make, make_usage: Make) -> None:
    lines = [("n2-standard-2", "spot"), ("g2-standard-4", "on-demand"), ("c6i.large", "on-demand")]
    assert sustained_use(make_usage(lines, [[1.0]] * 3, [730.0]), make_rates(RATES)) == ()
    assert sustained_use(make_usage([("n1-standard-4", "on-demand")], [[0.0]], [730.0]), make_rates(RATES)) == ()


@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=8),
    family=st.sampled_from(["n1", "n2"]),
)
def test_it_equals_machines_counted_one_by_one(counts: list[int], family: str, make_rates: Make, make_usage: Make) -> None:
    """The n-th machine runs while at least n do; each of its quarters of a month has its rate."""
    machine = f"{family}-standard-{4 if family == 'n1' else 2}"
    hours = 730.0 / len(counts)
    usage = make_usage([(machine, "on-demand")], [[float(count) for count in counts]], [hours] * len(counts))
    expected = 0.0
    for n in range(1, max(counts) + 1):
        share = sum(count >= n for count in counts) / len(counts)
        for quarter, rate in enumerate(QUARTER_RATES[family]):
            expected += 730.0 * max(0.0, min(share - quarter / 4, 0.25)) * rate
    assert sum(line.usd for line in charge_fleet(usage, make_rates(RATES), ())) == pytest.approx(expected, rel=1e-9, abs=1e-9)
