"""A week carried over the months, by hand."""

import numpy as np
import pytest

from tightrope.plan.commit.futures import Path, Shift, build_steady_path, project


def test_growth_is_compounded_and_the_middle_of_each_part_stands_for_it() -> None:
    week = np.array([[1.0, 3.0]])
    view = project(week, np.array([300.0, 430.0]), np.ones(1), [Path(1.0, 0.1)], months=12, weeks=2)
    assert view.hours[0, 0] == pytest.approx([1.1**3, 3 * 1.1**3, 1.1**9, 3 * 1.1**9])
    assert view.hours_per_month.tolist() == [150.0, 215.0, 150.0, 215.0]
    assert view.hours_per_month.sum() == 730.0


def test_a_move_is_even_and_ends() -> None:
    view = project(
        np.array([[8.0], [1.0]]), np.array([730.0]), np.ones(2), [Path(1.0, 0.0, (Shift(0, 1, 8.0, 1.5),))], months=12, weeks=3
    )
    assert view.hours[0].tolist() == [[6.0, 2.0, 0.0], [4.0, 10.0, 13.0]]


def test_moves_follow_one_another() -> None:
    path = Path(1.0, 0.0, (Shift(0, 1, 1.0, 1.0), Shift(1, 2, 1.0, 0.5)))
    view = project(np.array([[4.0], [2.0], [0.0]]), np.array([730.0]), np.ones(3), [path], months=2, weeks=1)
    assert view.hours[0, :, 0].tolist() == [0.0, 0.0, 3.0]


def test_nothing_stated_is_every_week_like_the_one_planned() -> None:
    week = np.array([[1.0, 2.0]])
    view = project(week, np.array([365.0, 365.0]), np.ones(1), build_steady_path(), months=12)
    assert np.array_equal(view.hours[0], np.tile(week, 6))
    assert view.weight.tolist() == [1.0]
    assert view.hours_per_month.sum() == pytest.approx(730.0)
