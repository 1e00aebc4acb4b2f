"""The certified bound: what no plan of a problem can cost less than (docs/explanation/what-the-bound-means.md)."""

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.plan.constraints import add_block
from tightrope.plan.model import Model
from tightrope.plan.problem import Problem
from tightrope.plan.solve import Relaxation, solve_apart

BLOCK_NODES = 500
"""Branches spent on one block of the bound at most: what is known then is a bound too."""
ASCENTS = 1
"""Steps that sharpen the lower bound: each costs as much as the first bound."""


def lower_bound(
    problem: Problem,
    relaxation: Relaxation,
    known_usd: float = np.inf,
    *,
    enough_usd: float = np.inf,
) -> float:
    """Return US dollars a month that no plan of this problem can cost less than (Lagrangian relaxation).

    Pricing the commitment in each block, and each window's work at ``work_price``, takes the blocks apart; each is bounded by its
    own integer program. Any prices give a valid bound as long as a dollar of commitment is not worth more than it costs over the
    month, which ``_affordable`` ensures; limits on the number of pools are left out, which only lowers the bound. The relaxation's
    prices are the start; where a plan of ``known_usd`` is at hand, ``ASCENTS`` subgradient steps towards it raise the bound (Polyak,
    USSR Computational Mathematics and Mathematical Physics 9(3), 1969): blocks that would commit more than the mean pay more. It
    stops at ``enough_usd``.
    """
    price = _affordable(problem, relaxation.cover_price)
    best, steps = -np.inf, ASCENTS if np.isfinite(known_usd) and price.any() else 0
    for step in range(1 + steps):
        value, spend = _priced_apart(problem, relaxation, price)
        best = max(best, value)
        uneven = spend - np.average(spend, weights=problem.block_hours)
        length = float(uneven**2 @ problem.block_hours)
        if best >= min(known_usd, enough_usd) or length <= 1e-9 or step == steps:
            break
        price = _affordable(problem, price + (known_usd - value) / length * uneven)
    return best


def _affordable(problem: Problem, price: FloatArray) -> FloatArray:
    """Return prices of 0 or more whose month's sum is no more than a committed dollar an hour costs, shifted down where needed."""
    price = np.maximum(price, 0.0)
    for _ in range(100):
        over = float(price @ problem.block_hours) / HOURS_PER_MONTH - 1.0
        if over <= 1e-12:
            return price
        price = np.maximum(price - over, 0.0)
    return price / (float(price @ problem.block_hours) / HOURS_PER_MONTH)


def _priced_apart(problem: Problem, relaxation: Relaxation, price: FloatArray) -> tuple[float, FloatArray]:
    """Return the bound that these prices give, and what each block would commit at them, float64[B] US dollars an hour."""
    hours = problem.block_hours
    opened = [[w for w, window in enumerate(problem.windows) if block in window.blocks] for block in range(problem.blocks)]
    rewards = [relaxation.work_price[windows] / hours[block] for block, windows in enumerate(opened)]
    works = [tuple((problem.windows[w].traffic_class, problem.windows[w].requests) for w in windows) for windows in opened]
    keys = [(problem.rate[:, b].tobytes(), float(price[b]), rewards[b].tobytes(), works[b]) for b in range(problem.blocks)]
    solved = solve_apart(
        {key: block for block, key in enumerate(keys)},
        lambda block: _block_bound(problem, block, float(price[block]), rewards[block]),
    )
    bounds, spend = (np.array(column) for column in zip(*(solved[key] for key in keys), strict=True))
    return float(relaxation.work_price.sum() + bounds @ hours), spend


def _block_bound(problem: Problem, block: int, price: float, rewards: FloatArray) -> tuple[float, float]:
    """Return what one block costs at least with covered hours and work at their prices, and what it commits; US dollars/h."""
    model = Model()
    covered = np.where(np.isfinite(problem.covered_usd_per_hour), problem.covered_usd_per_hour, 0.0)
    columns = add_block(model, problem, block, 1.0, price * covered + problem.disk_usd_per_hour, deferrable=True)
    for reward, row in zip(rewards, columns.work, strict=True):
        _add_cost(model, row, -float(reward))
        model.add_row("deadline", row, np.ones(len(row)), -np.inf, 1.0)
    result = model.solve(gap=1e-3, nodes=BLOCK_NODES)
    return result.bound, float(covered @ result.values[columns.covered]) if len(result.values) else 0.0


def _add_cost(model: Model, columns: IntArray, cost: float) -> None:
    """Set the cost of existing columns."""
    flat = np.concatenate(model.cost)
    flat[columns] += cost
    model.cost[:] = [flat]
