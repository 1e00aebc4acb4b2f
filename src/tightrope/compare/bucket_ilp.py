"""Mélange's way to decide: one integer program over sizes of requests, at one mean rate (Griggs et al., arXiv:2404.14527, 2024).

Requests fall into buckets by their prompt's and answer's size. Each bucket's traffic is cut into ``slice_factor`` equal slices; every
slice goes to one type of machine, where it is a load of its rate over what one machine sustains within the promise; a type has as
many whole machines as its loads sum to, and the machines cost least. There is no time, no spot, no commitment and no spare machine.
"""

from dataclasses import dataclass

import numpy as np

from tightrope.base.errors import InfeasibleError, InputError
from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.solve.linear_model import INFINITY, MOST_NODES, LinearModel

MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class BucketInstance:
    """What the program knows: who asks how often, and what one machine of each type sustains."""

    buckets: tuple[str, ...]
    machines: tuple[str, ...]
    rate_per_s: FloatArray
    """float64[buckets]: mean requests/s."""
    max_per_s: FloatArray
    """float64[buckets, machines]: requests/s that one machine sustains within the promise; 0 where it cannot serve the bucket."""
    usd_per_hour: FloatArray
    """float64[machines]."""

    def __post_init__(self) -> None:
        """Raise ``InputError`` where the arrays do not fit, or hold what is no amount."""
        buckets, machines = len(self.buckets), len(self.machines)
        shapes = {"rate_per_s": (buckets,), "max_per_s": (buckets, machines), "usd_per_hour": (machines,)}
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values.shape != shape:
                what = f"{name} has the shape {values.shape} where buckets and machines make it {shape}"
                raise InputError(what, resolve="give one figure to each bucket and machine")
            if not np.isfinite(values).all() or (values < 0.0).any():
                worst = values[~np.isfinite(values) | (values < 0.0)][0]
                what = f"{name} holds {worst}, which is no amount"
                raise InputError(what, resolve="give finite figures of 0 or more")


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """Machines and routing: ``counts`` int64[machines], ``routing`` float64[buckets, machines] shares (rows without traffic are 0)."""

    counts: IntArray
    routing: FloatArray
    usd_per_hour: float
    bound_usd_per_hour: float
    """What no plan with this slice factor can cost less than: the cost itself, unless the search was cut short."""


def solve_bucket_ilp(instance: BucketInstance, slice_factor: int = 1, *, gap: float = 0.0, nodes: int = MOST_NODES) -> BucketPlan:
    """Return the cheapest machines for whole slices, within the relative ``gap`` or the best known after ``nodes`` branches.

    Slices of a bucket are alike, so the program counts how many go to each type instead of naming each: the same plans, without
    their permutations. Raises ``InfeasibleError`` where no machine can serve a bucket that has traffic.
    """
    if slice_factor < 1:
        what = f"a slice factor of {slice_factor} cuts nothing"
        raise InputError(what, resolve="give a whole number of 1 or more")
    busy = np.flatnonzero(instance.rate_per_s > 0.0)
    _check_served(instance, busy)
    model, types = LinearModel(), len(instance.machines)
    counts = model.add_columns(instance.usd_per_hour, integer=True)
    slices = np.zeros((len(busy), types), dtype=np.int64)
    load = np.zeros((len(busy), types))
    for row, bucket in enumerate(busy):
        max_per_s = instance.max_per_s[bucket]
        serves = max_per_s > 0.0
        slices[row] = model.add_columns(np.zeros(types), np.where(serves, float(slice_factor), 0.0), integer=True)
        model.add_row("slices", slices[row], np.ones(types), float(slice_factor), float(slice_factor))
        load[row, serves] = instance.rate_per_s[bucket] / slice_factor / max_per_s[serves]
    for machine in range(types):
        columns, values = np.append(slices[:, machine], counts[machine]), np.append(load[:, machine], -1.0)
        model.add_row("capacity", columns, values, -INFINITY, 0.0)
    result = model.solve(gap=gap, nodes=nodes)
    if not len(result.values):
        what = f"no plan for {len(busy)} buckets was found in {nodes:,} branches"
        raise InfeasibleError(what, resolve="allow more branches, or a smaller slice factor")
    whole = np.rint(result.values[counts]).astype(np.int64)
    routing = np.zeros(instance.max_per_s.shape)
    routing[busy] = np.rint(result.values[slices]) / slice_factor
    return BucketPlan(whole, routing, float(whole @ instance.usd_per_hour), result.bound)


def _check_served(instance: BucketInstance, busy: IntArray) -> None:
    """Raise ``InfeasibleError`` with the buckets of ``busy`` that no machine can serve."""
    unserved = [instance.buckets[bucket] for bucket in busy if not (instance.max_per_s[bucket] > 0.0).any()]
    if unserved:
        more = f" and {len(unserved) - MOST_NAMED} more" if len(unserved) > MOST_NAMED else ""
        what = (
            f"demand: no machine serves {', '.join(unserved[:MOST_NAMED])}{more}; tried {', '.join(instance.machines) or 'none'}"
        )
        raise InfeasibleError(what, resolve="offer a machine that keeps the promise at that size, or loosen the promise")
