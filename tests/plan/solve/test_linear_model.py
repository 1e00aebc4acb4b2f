"""The thin layer over HiGHS, on models reckoned by hand."""

import numpy as np
import pytest

from tightrope.plan.solve.linear_model import LinearModel


def knapsack(most: float = np.inf) -> LinearModel:
    model = LinearModel()
    columns = model.add_columns(np.array([3.0, 2.0]), integer=True)
    model.add_row("need", columns, np.array([2.0, 1.0]), 3.0, np.inf)
    model.add_row("most", columns, np.array([1.0, 1.0]), -np.inf, most)
    return model


def test_whole_numbers_and_the_relaxation_below_them() -> None:
    whole, relaxed = knapsack().solve(), knapsack().solve(relaxed=True)
    assert (whole.status, whole.values.tolist()) == ("optimal", [1.0, 1.0])
    assert whole.objective == pytest.approx(5.0)
    assert relaxed.objective == pytest.approx(4.5)
    assert relaxed.bound <= whole.bound <= whole.objective + 1e-9
    assert relaxed.duals.tolist() == pytest.approx([1.5, 0.0])


def test_no_solution_is_infeasible() -> None:
    found = knapsack(most=1.0).solve()
    assert (found.status, len(found.values)) == ("infeasible", 0)
    assert found.objective == np.inf


def test_zero_coefficients_and_empty_rows_are_left_out() -> None:
    model = LinearModel()
    columns = model.add_columns(np.array([1.0, 1.0]), np.array([4.0, 5.0]))
    assert model.add_row("a", columns, np.array([0.0, 1.0]), 2.0, np.inf) == 0
    assert model.row_columns[0].tolist() == [1]
    assert model.solve().values.tolist() == [0.0, 2.0]


def test_one_upper_bound_may_stand_for_all() -> None:
    model = LinearModel()
    model.add_columns(np.array([-1.0, -1.0]), 3.0)
    model.add_row("free", np.array([0, 1]), np.ones(2), -np.inf, np.inf)
    assert model.solve().values.tolist() == [3.0, 3.0]
