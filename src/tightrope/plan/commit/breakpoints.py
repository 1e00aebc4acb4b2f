"""The best size of one commitment alone, exactly and without a solver.

In one hour a dollar more committed costs 1 and saves what it newly covers at the on-demand rate: the on-demand rate over the
commitment's own. So the bill is piecewise linear in the commitment, its kinks at the running sums of each hour's spend, and the best
amount is a kink, or the whole step before or after one. For one machine type at a discount d it covers the d-quantile of the hourly
machines (the newsvendor's rule: Arrow, Harris and Marschak, Econometrica, 1951).
"""

import numpy as np

from tightrope.base.records import FloatArray
from tightrope.plan.problem.arrays import CommitmentOption
from tightrope.plan.problem.commitment_coverage import order_applications

EQUAL = 1e-12
"""Bills that differ by no more than this share are equal."""


def find_best_single_usd_per_hour(hours: FloatArray, weight: FloatArray, on_demand: FloatArray, cover: CommitmentOption) -> float:
    """Return the cheapest total of one commitment, US dollars an hour, the smallest of equals.

    ``hours`` is float64[P, N], ``weight`` float64[N], ``on_demand`` float64[P]. What exists already is its least; beyond that it
    grows in the cover's steps.
    """
    least, step = cover.existing_usd_per_hour, cover.step_usd_per_hour
    at, usd = _compute_bill_at_kinks(hours, weight, on_demand, cover)
    amounts = np.append(np.maximum(at, least), least)
    if step > 0.0:
        whole = np.floor((amounts - least) / step)
        amounts = least + np.concatenate([whole, whole + 1.0]) * step
    amounts = np.unique(amounts)
    beyond = np.maximum(amounts - at[-1], 0.0) * float(weight.sum())
    found = np.interp(amounts, at, usd) + beyond
    return float(amounts[int(np.argmax(found <= found.min() + EQUAL * abs(float(usd[0]))))])


def _compute_bill_at_kinks(
    hours: FloatArray, weight: FloatArray, on_demand: FloatArray, cover: CommitmentOption
) -> tuple[FloatArray, FloatArray]:
    """Return the amounts at which the bill bends, from 0 on, and the bill there in US dollars, both float64[kinks]."""
    order = order_applications(on_demand, [cover])
    spend = hours[order.option] * order.usd_per_hour[:, None]
    worth = on_demand[order.option] / order.usd_per_hour
    ends = np.cumsum(spend, axis=0)
    bends = (worth - np.append(worth[1:], 0.0))[:, None] * weight
    ranked = np.argsort(ends, axis=None, kind="stable")
    at = np.append(0.0, ends.ravel()[ranked])
    first = (1.0 - worth[0] if len(worth) else 1.0) * float(weight.sum())
    slopes = first + np.append(0.0, np.cumsum(bends.ravel()[ranked]))
    nothing_usd = float(on_demand @ (hours @ weight))
    return at, nothing_usd + np.append(0.0, np.cumsum(slopes[:-1] * np.diff(at)))
