"""Commitments as the planner sees them: what machines cost under given amounts, and which amounts the machines deserve.

The sellers' order of application (``commit/apply.py``) is on arrays, apart from ``offers``: the optimiser's cost and the bill are two
roads to one number.
"""

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.problem.commitment_coverage import apply_commitments, order_applications
from tightrope.plan.problem.sustained_use import sustained_usd
from tightrope.plan.solve.constraints import cover_pairs
from tightrope.plan.solve.linear_model import INFINITY, LinearModel


def machines_usd(problem: Problem, machines: IntArray, commitments: FloatArray) -> float:
    """Return what machines cost in a month under these commitments, US dollars; ``commitments`` is float64[K] US dollars an hour."""
    own = problem.usd_per_hour - problem.disk_usd_per_hour
    # what runs only as far as it is covered is covered whatever that saves
    order = order_applications(np.where(problem.only_covered, np.inf, own), problem.covers)
    left = apply_commitments(machines.astype(np.float64), order, commitments).left
    paid = float((own @ left + problem.disk_usd_per_hour @ machines) @ problem.block_hours)
    return paid + float(commitments.sum() * problem.block_hours.sum()) - sustained_usd(problem, left)


def choose_commitments(problem: Problem, machines: IntArray) -> FloatArray:
    """Return the cheapest amounts for these machines, float64[K] US dollars an hour, no less than exist already.

    The linear program assigns machine-hours to commitments as it likes; its amounts are rounded to whole steps, and what the
    sellers' own order of application makes useless is given up again.
    """
    if not problem.covers:
        return np.zeros(0)
    of, options = cover_pairs(problem)
    open_pairs = (machines[options] > 0).any(axis=1)
    of, options = of[open_pairs], options[open_pairs]
    model, hours, rates = LinearModel(), problem.block_hours, problem.cover_rates
    on_demand = (problem.usd_per_hour - problem.disk_usd_per_hour)[options]
    amounts = model.add_columns(np.full(len(problem.covers), hours.sum()), np.where(problem.may_grow, INFINITY, 0.0))
    patterns, which = np.unique(machines, axis=1, return_inverse=True)
    weights = np.bincount(which.ravel(), weights=hours)
    for pattern, weight in zip(patterns.T, weights, strict=True):
        columns = model.add_columns(-weight * on_demand, pattern[options].astype(np.float64))
        for p in np.unique(options):
            mine = columns[options == p]
            if len(mine) > 1:
                model.add_row("commitment", mine, np.ones(len(mine)), -np.inf, float(pattern[p]))
        for k in np.unique(of):
            mine = of == k
            model.add_row(
                "commitment",
                np.append(columns[mine], amounts[k]),
                np.append(rates[k, options[mine]], -1.0),
                -np.inf,
                problem.covers[k].existing_usd_per_hour,
            )
    found = model.solve(relaxed=True).values[amounts] + problem.existing_usd_per_hour
    return _raise_to_owned(problem, machines, _settle_steps(problem, machines, found))


def round_to_machines(problem: Problem, amounts: FloatArray) -> FloatArray:
    """Return the amounts with those of machines of one's own, which nothing else runs, rounded up to whole ones."""
    own = np.array([bool((cover.covers & problem.only_covered).any()) for cover in problem.covers], dtype=bool)
    steps = np.array([cover.step_usd_per_hour for cover in problem.covers])
    whole = np.ceil(np.divide(amounts, steps, out=np.zeros_like(amounts), where=steps > 0.0) - 1e-6) * steps
    return np.where(own & (steps > 0.0), whole, amounts)


def _raise_to_owned(problem: Problem, machines: IntArray, amounts: FloatArray) -> FloatArray:
    """Return the amounts with those of machines of one's own as large as the most of them that run at one time."""
    amounts = amounts.copy()
    for k, cover in enumerate(problem.covers):
        own = cover.covers & problem.only_covered
        if own.any():
            most = float((cover.usd_per_hour[own] @ machines[own]).max(initial=0.0))
            amounts[k] = max(cover.existing_usd_per_hour, most)
    return amounts


def _settle_steps(problem: Problem, machines: IntArray, amounts: FloatArray) -> FloatArray:
    """Return the amounts in whole steps, each moved once to the best of its neighbours by the exact bill."""
    best, steps = amounts.copy(), np.array([cover.step_usd_per_hour for cover in problem.covers])
    stepped = steps > 0.0
    more = best - problem.existing_usd_per_hour
    more[stepped] = np.round(more[stepped] / steps[stepped]) * steps[stepped]
    best = np.where(more < 1e-6, 0.0, more) + problem.existing_usd_per_hour
    usd = machines_usd(problem, machines, best)
    for k in map(int, np.flatnonzero((best + amounts > 1e-6) & problem.may_grow)):
        for other in _list_neighbours(problem, k, float(best[k])):
            trial = best.copy()
            trial[k] = other
            cost = machines_usd(problem, machines, trial)
            if cost < usd - 1e-9:
                best, usd = trial, cost
    return best


def _list_neighbours(problem: Problem, k: int, amount: float) -> FloatArray:
    """Return the amounts worth a try in the place of one: the next steps, or nothing and a little more or less."""
    cover = problem.covers[k]
    step = cover.step_usd_per_hour
    tried = np.array([amount - step, amount + step, 0.0]) if step > 0.0 else amount * np.array([0.0, 0.9, 1.1])
    return np.unique(np.maximum(tried, cover.existing_usd_per_hour))
