"""What commitments cover: the order by hand, a slow second road, and the bill of ``offers`` as a third."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.catalogue import ON_DEMAND
from tightrope.base.plan import Committed, Usage, UsageLine
from tightrope.clouds.book import PriceBook
from tightrope.offers.bill import charge_fleet
from tightrope.plan.problem.arrays import CommitmentOption
from tightrope.plan.problem.commitment_coverage import (
    ApplicationOrder,
    apply_commitments,
    break_even_utilisation,
    committed_bill_usd,
)

INF = float("inf")
OFFERS = (
    "reserved-1y-no-upfront",
    "convertible-1y-no-upfront",
    "instance-savings-plan-1y-no-upfront",
    "compute-savings-plan-1y-no-upfront",
)
MACHINES = ("g5.xlarge", "g5.2xlarge", "g6.xlarge", "c6i.large", "c6i.xlarge", "c7g.4xlarge")


def test_the_sellers_published_example(cover: Callable[..., CommitmentOption]) -> None:
    """The AWS page's rates: a line each of c5.9xlarge, c5.24xlarge, 10 vCPU and 5 GB; only the total of 25 is AWS's own."""
    on_demand = np.array([4.0, 10.0, 1.5, 2.0])
    plan = cover([2.0, 8.0, 1.0, 1.0])
    hours = np.array([[1.0], [1.0], [10.0], [5.0]])
    usd = [
        committed_bill_usd(hours, np.ones(1), on_demand, [plan], np.array([amount]))[0] for amount in (25.0, 20.0, 10.0, 2.0, 0.0)
    ]
    assert usd == pytest.approx([25.0, 26.25, 30.5, 37.0, 39.0])


def test_the_highest_saving_is_covered_first_and_the_lowest_rate_among_equals(
    cover: Callable[..., CommitmentOption], order_of: Callable[..., ApplicationOrder]
) -> None:
    order = order_of([1.0, 2.0, 4.0], cover([0.7, 1.2, 2.4]))
    assert order.option.tolist() == [1, 2, 0]
    assert order.usd_per_hour.tolist() == [1.2, 2.4, 0.7]


def test_a_lower_order_comes_first_though_it_saves_less(
    cover: Callable[..., CommitmentOption], order_of: Callable[..., ApplicationOrder]
) -> None:
    order = order_of([1.0, 1.0], cover([0.5, 0.5], order=3), cover([0.9, INF], order=1))
    assert order.cover.tolist() == [1, 0, 0]


def test_reserved_machines_go_to_the_smallest_size_first(
    cover: Callable[..., CommitmentOption], order_of: Callable[..., ApplicationOrder]
) -> None:
    assert order_of([2.0, 1.0], cover([1.0, 0.7], step=0.7)).option.tolist() == [1, 0]
    assert order_of([2.0, 1.0], cover([1.0, 0.7])).option.tolist() == [0, 1]


def test_what_costs_as_much_as_on_demand_is_never_covered(
    cover: Callable[..., CommitmentOption], order_of: Callable[..., ApplicationOrder]
) -> None:
    assert order_of([1.0, 1.0], cover([1.0, 1.1])).option.size == 0


def test_half_a_machine_is_covered_in_part(
    cover: Callable[..., CommitmentOption], order_of: Callable[..., ApplicationOrder]
) -> None:
    applied = apply_commitments(np.array([[2.0, 0.5]]), order_of([1.0], cover([0.5])), np.array([0.75]))
    assert applied.left.tolist() == [[0.5, 0.0]]
    assert applied.used_usd_per_hour[0].tolist() == [0.75, 0.25]


def test_utilisation_and_break_even(cover: Callable[..., CommitmentOption]) -> None:
    plan, other = cover([0.63, INF]), cover([INF, 0.5])
    hours, on_demand = np.array([[1.0, 0.5], [1.0, 1.0]]), np.array([1.0, 1.0])
    _, utilisation = committed_bill_usd(hours, np.ones(2), on_demand, [plan, other], np.array([0.63, 0.0]))
    assert utilisation == pytest.approx([0.75, 1.0])
    assert break_even_utilisation(on_demand, plan).tolist() == [0.63, INF]


@given(
    hours=st.lists(st.lists(st.floats(0, 9), min_size=3, max_size=3), min_size=1, max_size=4),
    rates=st.lists(st.lists(st.sampled_from([0.3, 0.5, 0.6, 0.8, 1.5, INF]), min_size=3, max_size=3), min_size=1, max_size=4),
    orders=st.lists(st.integers(1, 3), min_size=4, max_size=4),
    amounts=st.lists(st.floats(0, 6), min_size=4, max_size=4),
    steps=st.lists(st.booleans(), min_size=4, max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_a_plain_count_hour_by_hour_gives_the_same_bill(
    cover: Callable[..., CommitmentOption],
    slow_bill: Callable[..., float],
    hours: list[list[float]],
    rates: list[list[float]],
    orders: list[int],
    amounts: list[float],
    steps: list[bool],
) -> None:
    usage, on_demand = np.array(hours).T, np.array([0.8, 1.0, 1.7])
    covers = [cover(each, order=orders[k], step=0.1 * steps[k]) for k, each in enumerate(rates)]
    committed = np.array(amounts[: len(covers)])
    usd, utilisation = committed_bill_usd(usage, np.ones(usage.shape[1]), on_demand, covers, committed)
    assert usd == pytest.approx(slow_bill(usage, on_demand, covers, committed), rel=1e-9, abs=1e-9)
    assert np.all((utilisation >= 0.0) & (utilisation <= 1.0))
    assert usd >= committed.sum() * usage.shape[1] - 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_offers_charge_the_same(book: PriceBook, seed: int) -> None:
    random = np.random.default_rng(seed)
    hours = random.integers(0, 6, (len(MACHINES), 30)).astype(np.float64)
    weight = random.uniform(1, 30, 30)
    region = "us-east-1"
    found = [book.find(machine, region, ON_DEMAND) for machine in MACHINES]
    on_demand = np.array([float(row.usd_per_hour) for row in found if row is not None])
    covers = list(_covers(book, region))
    amounts = np.round(random.uniform(0, 3, len(covers)) * (random.uniform(size=len(covers)) < 0.6), 3)
    usage = Usage(tuple(UsageLine(m, "aws", region, m, ON_DEMAND) for m in MACHINES), hours, weight)
    made = [Committed(c.cloud, c.offer, c.scope, float(a)) for c, a in zip(covers, amounts, strict=True) if a > 0.0]
    charged = sum(line.usd for line in charge_fleet(usage, book, made))
    usd, _ = committed_bill_usd(hours, weight, on_demand, covers, amounts)
    assert usd == pytest.approx(charged, rel=1e-9)


def _covers(book: PriceBook, region: str) -> list[CommitmentOption]:
    """Return every commitment of the offers over the machines, as the rules of the price book scope them."""
    scopes: dict[tuple[str, str], dict[int, float]] = {}
    for offer in OFFERS:
        rule = book.commitment("aws", offer)
        for p, name in enumerate(MACHINES):
            machine, row = book.machine(name), book.find(name, region, offer)
            assert row is not None
            family = rule.scope == "family" or (rule.scope == "machine" and rule.covers_other_sizes(machine.family))
            scope = "" if rule.scope == "any" else f"{region}/{machine.family if family else name}"
            scopes.setdefault((offer, scope), {})[p] = float(row.usd_per_hour)
    covers = []
    for (offer, scope), rates in scopes.items():
        rule = book.commitment("aws", offer)
        array = np.array([rates.get(p, INF) for p in range(len(MACHINES))])
        step = min(rates.values()) if rule.scope == "machine" else 0.0
        covers.append(CommitmentOption("aws", offer, scope, rule.order, rule.term_years, array, step))
    return covers
