"""Commitments before the hours: blocks that stand for others, and amounts in whole machines as cheap as trying all."""

from itertools import product
from types import ModuleType

import numpy as np
import pytest

from tightrope.plan.problem.arrays import Infeasible
from tightrope.plan.solve.block_solutions import solve_blocks
from tightrope.plan.solve.commitment_sizes import choose_amounts
from tightrope.plan.solve.representative_blocks import reduce_blocks


def test_blocks_of_like_demand_are_one_with_their_hours_and_their_mean(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.30", (1.0, 2.0)),)
    hours = (1.0, 2.0, 3.0, 4.0)
    problem = brute.Case(sold, ((1.0, 9.0, 1.3, 9.3), (2.0, 2.0, 2.0, 2.0)), block_hours=hours).problem
    small, label = reduce_blocks(problem, 2)
    assert label.tolist() == [0, 1, 0, 1]
    assert small.block_hours == pytest.approx([4.0, 6.0])
    assert small.rate[0] == pytest.approx([(1.0 + 3 * 1.3) / 4, (2 * 9.0 + 4 * 9.3) / 6])
    assert small.load(small.rate)[:, 0, :] == pytest.approx(problem.load(problem.rate)[:, 0, :] @ weights(label, hours))


def weights(label: np.ndarray, hours: tuple[float, ...]) -> np.ndarray:
    """Return each block's share of the one that stands for it, float64[B, blocks]."""
    parts = np.array(hours)[:, None] * (label[:, None] == np.arange(label.max() + 1))
    return parts / parts.sum(axis=0)


def test_few_blocks_stand_for_themselves(brute: ModuleType) -> None:
    problem = brute.Case((brute.Sold("m0.0", "0.30", (1.0,)),), ((1.0, 2.0, 4.0),)).problem
    small, label = reduce_blocks(problem, 3)
    assert label.tolist() == [0, 1, 2]
    assert small.rate.tolist() == problem.rate.tolist()
    assert small.mu.tolist() == problem.mu.tolist()


@pytest.mark.parametrize("demand", [(3.4, 3.1, 0.2), (1.2, 1.1, 1.3), (5.3, 0.4, 2.2)])
def test_amounts_are_as_cheap_as_the_best_of_all(brute: ModuleType, demand: tuple[float, ...]) -> None:
    sold = (
        brute.Sold("m0.0", "0.30", (1.0,), reserved="0.19"),
        brute.Sold("m1.0", "0.80", (3.0,), reserved="0.50"),
    )
    problem = brute.Case(sold, (demand,)).problem
    steps = [cover.step_usd_per_hour for cover in problem.covers]

    def usd(amounts: np.ndarray) -> float:
        return float((solve_blocks(problem, amounts)[2] + amounts.sum()) @ problem.block_hours)

    every = [usd(np.array(counts) * steps) for counts in product(range(5), repeat=len(steps))]
    assert usd(choose_amounts(problem)) == pytest.approx(min(every), rel=6e-3)


def test_no_fleet_is_an_error_that_names_the_block(brute: ModuleType) -> None:
    sold = (brute.Sold("m0.0", "0.30", (1.0,), reserved="0.19"),)
    with pytest.raises(Infeasible):
        choose_amounts(brute.Case(sold, ((1.0, 7.0),), quotas={"m0": 4}).problem)


def test_a_start_with_too_few_own_machines_is_not_the_end(brute: ModuleType) -> None:
    # 1.6 of one's own machines by the relaxation: one is too few, and nothing else may serve
    sold = (brute.Sold("own", "0.30", (1.0,), reserved="0.30", only_covered=True),)
    assert choose_amounts(brute.Case(sold, ((1.6, 1.2),)).problem) == pytest.approx([0.60])
