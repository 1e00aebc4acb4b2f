"""The linear programme of several commitments: what each covers in every hour, in whatever order is cheapest.

It leaves the sellers' order open, so it costs no more than they charge: its amounts are a start, and its cost a bound. What they
charge is always priced by ``apply.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.problem.arrays import CommitmentOption
from tightrope.plan.problem.commitment_coverage import order_applications
from tightrope.plan.solve.linear_model import INFINITY, LinearModel


@dataclass(frozen=True, slots=True)
class SizingHours:
    """Hours to size on: ``hours`` float64[P, M], ``weight`` float64[M], ``scenario`` int64[M], on-demand rates float64[P]."""

    hours: FloatArray
    weight: FloatArray
    scenario: IntArray
    on_demand: FloatArray


def solve_programme(
    few: SizingHours, covers: Sequence[CommitmentOption], may_grow: NDArray[np.bool_], min_utilisation: float
) -> tuple[FloatArray, float]:
    """Return the cheapest totals, float64[K] US dollars an hour, and what no totals can cost less than, US dollars a month.

    ``may_grow`` bool[K] says which commitments may be added to. Where ``min_utilisation`` is above 0, in every scenario each
    commitment's use is at least that share of what is added to it.
    """
    model = LinearModel()
    existing = np.array([cover.existing_usd_per_hour for cover in covers])
    hours_paid = float(few.weight.sum())
    more = model.add_columns(np.full(len(covers), hours_paid), np.where(may_grow, INFINITY, 0.0))
    order = order_applications(few.on_demand, covers)
    pairs, count = len(order.cover), len(few.weight)
    full = few.hours[order.option] * order.usd_per_hour[:, None]
    worth = (few.on_demand[order.option] / order.usd_per_hour)[:, None] * few.weight
    taken = model.add_columns(-worth.ravel(), full.ravel()).reshape(pairs, count)
    _add_budgets(model, order.cover, existing, more, taken)
    _add_usage(model, few, order.option, order.usd_per_hour, taken)
    if min_utilisation > 0.0:
        _add_utilisation(model, few, order.cover, min_utilisation, more, taken)
    result = model.solve(relaxed=True)
    on_demand_usd = float(few.on_demand @ (few.hours @ few.weight))
    return existing + result.values[more], result.objective + on_demand_usd + float(existing.sum()) * hours_paid


def _add_budgets(model: LinearModel, cover: IntArray, existing: FloatArray, more: IntArray, taken: IntArray) -> None:
    """Let no commitment cover more in an hour than is committed."""
    for k in np.unique(cover):
        mine = taken[cover == k]
        values = np.append(np.ones(len(mine)), -1.0)
        for n in range(taken.shape[1]):
            model.add_row("commitment", np.append(mine[:, n], more[k]), values, -INFINITY, float(existing[k]))


def _add_usage(model: LinearModel, few: SizingHours, option: IntArray, usd_per_hour: FloatArray, taken: IntArray) -> None:
    """Let no machine-hour be covered twice; where one commitment alone may cover an option, its column's limit says so."""
    for p in np.unique(option):
        which = np.flatnonzero(option == p)
        if len(which) > 1:
            for n in range(taken.shape[1]):
                model.add_row("usage", taken[which, n], 1.0 / usd_per_hour[which], -INFINITY, float(few.hours[p, n]))


def _add_utilisation(
    model: LinearModel, few: SizingHours, cover: IntArray, least: float, more: IntArray, taken: IntArray
) -> None:
    """Have enough of what is added used, in every scenario."""
    for k in np.unique(cover):
        for s in np.unique(few.scenario):
            inside = few.scenario == s
            mine = taken[cover == k][:, inside]
            weight = np.broadcast_to(few.weight[inside], mine.shape)
            columns = np.append(mine.ravel(), more[k])
            values = np.append(weight.ravel(), -least * float(few.weight[inside].sum()))
            model.add_row("utilisation", columns, values, 0.0, INFINITY)
