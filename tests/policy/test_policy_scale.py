"""The HPA's rule, on the figures of the Kubernetes documentation and at its edges."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.policy.scale import desired_replicas, stabilised


@pytest.mark.parametrize(
    ("current", "value", "target", "expected"),
    [
        (4, 0.200, 0.100, 8),  # "if the current value is 200m, and the desired value is 100m, the number is doubled"
        (4, 0.050, 0.100, 2),  # "if the current value is instead 50m, you'll halve the number"
        (4, 0.109, 0.100, 4),  # within the tolerance of 0.1
        (4, 0.091, 0.100, 4),
        (4, 0.111, 0.100, 5),  # just beyond it, rounded up
        (4, 0.089, 0.100, 4),  # beyond it, but ceil(3.56) is 4
        (10, 0.089, 0.100, 9),
        (1, 0.700, 0.100, 7),
        (7, 0.000, 0.100, 0),
    ],
)
def test_figures_worked_by_hand(current: int, value: float, target: float, expected: int) -> None:
    assert desired_replicas(current, value, target, 0.1) == expected


def test_a_whole_number_is_not_rounded_up_by_the_last_bit() -> None:
    for current in range(1, 200):
        for factor in range(2, 9):
            assert desired_replicas(current, 0.1 * factor, 0.1, 0.1) == current * factor


@given(st.integers(1, 500), st.floats(0.0, 20.0), st.floats(0.05, 1.0))
def test_the_load_fits_afterwards_within_the_tolerance(current: int, utilisation: float, target: float) -> None:
    wanted = desired_replicas(current, utilisation, target, 0.1)
    load = current * utilisation
    assert load <= wanted * target * 1.1 + 1e-6
    assert wanted == current or wanted <= math.ceil(load / target)


def test_a_window_keeps_its_highest() -> None:
    assert stabilised(np.array([2, 7, 3], dtype=np.int64)) == 7
    assert stabilised(np.array([0], dtype=np.int64)) == 0
