"""Fewer hours: totals stay, groups stay apart, and what is alike falls together."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.plan.commit.clusters import cluster_hours, means


@given(seed=st.integers(0, 10_000), count=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_weights_and_totals_stay(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    value, weight = random.integers(0, 5, (3, 50)).astype(np.float64), random.uniform(0.1, 2.0, 50)
    group = random.integers(0, 3, 50)
    label = cluster_hours(value, weight, group, count)
    mean, mass = means(value, weight, label)
    np.testing.assert_allclose(mass.sum(), weight.sum())
    np.testing.assert_allclose(mean @ mass, value @ weight)
    assert len(mass) <= max(count, len(np.unique(group)))
    for cluster in range(len(mass)):
        assert len(np.unique(group[label == cluster])) == 1


def test_equal_hours_are_one() -> None:
    value = np.array([[1.0, 2.0, 1.0, 2.0], [3.0, 4.0, 3.0, 4.0]])
    label = cluster_hours(value, np.ones(4), np.zeros(4, dtype=np.int64), 10)
    assert label[0] == label[2] != label[1] == label[3]


def test_the_widest_option_is_cut_first() -> None:
    value = np.array([[0.0, 0.1, 0.0, 0.1], [0.0, 0.0, 9.0, 9.0]])
    label = cluster_hours(value, np.ones(4), np.zeros(4, dtype=np.int64), 2)
    assert label.tolist() == [0, 0, 1, 1]
