"""One commitment alone: the quantile, and whatever a fine grid finds."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.plan.commit.breakpoints import find_best_single_usd_per_hour
from tightrope.plan.problem.arrays import CommitmentOption
from tightrope.plan.problem.commitment_coverage import committed_bill_usd

INF = float("inf")


def usd_of(hours: np.ndarray, weight: np.ndarray, on_demand: np.ndarray, one: CommitmentOption, amount: float) -> float:
    return committed_bill_usd(hours, weight, on_demand, [one], np.array([amount]))[0]


@pytest.mark.parametrize("discount", [0.2, 0.37, 0.57])
def test_the_discount_is_the_quantile_of_the_hourly_machines(cover: Callable[..., CommitmentOption], discount: float) -> None:
    machines = np.random.default_rng(3).permutation(np.arange(1000) % 101).astype(np.float64)
    one = cover([1.0 - discount])
    best = find_best_single_usd_per_hour(machines[None], np.ones(1000), np.ones(1), one)
    assert best / (1.0 - discount) == pytest.approx(np.quantile(machines, discount, method="inverted_cdf"))
    tried = [usd_of(machines[None], np.ones(1000), np.ones(1), one, count * (1.0 - discount)) for count in range(102)]
    assert usd_of(machines[None], np.ones(1000), np.ones(1), one, best) == pytest.approx(min(tried), rel=1e-12)


@given(
    hours=st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=1, max_size=5),
    weight=st.lists(st.integers(1, 4), min_size=5, max_size=5),
    rates=st.lists(st.sampled_from([0.2, 0.4, 0.7, 1.2, INF]), min_size=3, max_size=3),
    existing=st.sampled_from([0.0, 0.5, 3.0]),
    step=st.sampled_from([0.0, 0.7, 2.0]),
)
@settings(max_examples=80, deadline=None)
def test_no_other_amount_is_cheaper(
    cover: Callable[..., CommitmentOption],
    hours: list[list[int]],
    weight: list[int],
    rates: list[float],
    existing: float,
    step: float,
) -> None:
    usage, weighed = np.array(hours, dtype=np.float64).T, np.array(weight[: len(hours)], dtype=np.float64)
    on_demand = np.array([0.5, 1.0, 1.3])
    one = cover(rates, step=step, existing=existing)
    best = find_best_single_usd_per_hour(usage, weighed, on_demand, one)
    assert best >= existing
    if step:
        assert (best - existing) / step == pytest.approx(round((best - existing) / step), abs=1e-9)
    tried = existing + (step or 0.1) * np.arange(round(20 / (step or 0.1)))
    cheapest = min(usd_of(usage, weighed, on_demand, one, float(amount)) for amount in tried)
    assert usd_of(usage, weighed, on_demand, one, best) <= cheapest + 1e-9


def test_what_covers_nothing_is_not_bought(cover: Callable[..., CommitmentOption]) -> None:
    assert find_best_single_usd_per_hour(np.ones((1, 2)), np.ones(2), np.ones(1), cover([INF])) == 0.0
    assert find_best_single_usd_per_hour(np.ones((1, 2)), np.ones(2), np.ones(1), cover([INF], existing=2.0)) == 2.0
