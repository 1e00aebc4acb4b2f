"""What whole machines carry, and what that says to a linear program of a block: no line of load over machines lies above it."""

import numpy as np

from tightrope.base.records import FloatArray
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.solve.constraints import BlockColumns
from tightrope.plan.solve.linear_model import INFINITY, LinearModel

MOST_MACHINES = 4096
"""Blocks that may need more of one option are not counted: there, whole machines hardly matter."""


def find_largest_share(problem: Problem, block: int) -> FloatArray:
    """Return the largest share of a class that an option may have, float64[C, P]; 0 where it may not serve it, or nobody asks."""
    cap = np.minimum(problem.share_cap[:, problem.variant_of], np.where(problem.interruptible, problem.max_spot_share, 1.0))
    serves = (problem.mu[:, :, block] > 0.0) & (problem.rate[:, block] > 0.0)[:, None]
    return np.where(serves, np.minimum(cap, 1.0), 0.0)


def load_of(problem: Problem, block: int) -> FloatArray:
    """Return the machines that a whole class would keep busy, float64[C, P]; 0 where it may not be served there."""
    mu = problem.mu[:, :, block]
    return np.divide(problem.rate[:, block][:, None], mu, out=np.zeros_like(mu), where=mu > 0.0)


def carried(problem: Problem, most: FloatArray) -> FloatArray | None:
    """Return the load that n machines of each option may carry, float64[P, N + 1], up to ``most`` (float64[P]).

    Machines stand evenly in their zones; without the largest zone, or without one machine, the others carry the share that is asked.
    """
    zones, zoned = np.maximum(problem.zones, 1)[:, None], problem.zone_share[:, None]
    size = 8
    while size <= MOST_MACHINES:
        n = np.arange(size + 1, dtype=np.float64)[None, :]
        carries = np.where(problem.metered[:, None], np.inf, np.broadcast_to(n, (len(most), size + 1)))
        left = n - np.ceil(n / zones)
        carries = np.minimum(carries, np.divide(left, zoned, out=np.full(carries.shape, np.inf), where=zoned > 0.0))
        if problem.n_plus_one_share > 0.0:
            spare = np.where(problem.metered[:, None], np.inf, np.maximum(n - 1.0, 0.0) / problem.n_plus_one_share)
            carries = np.minimum(carries, spare)
        alone = (carries[:, -1] >= most) | np.isinf(carries[:, 0]) | (problem.zone_share > 0.0) & (zones[:, 0] == 1)
        if alone.all():
            return np.minimum(carries, most[:, None])
        size *= 2
    return None


def add_integer_cuts(model: LinearModel, problem: Problem, block: int, columns: BlockColumns) -> None:
    """Sharpen a block's linear program by what whole machines carry (Magnanti and Mirchandani, Networks 23, 1993).

    One row for every class alone, one for all: n machines never carry more than the line through the first number that carries all
    of it and the best number below. Nothing is added where there is too much to count.
    """
    fits = load_of(problem, block) * find_largest_share(problem, block)
    carries = carried(problem, fits.sum(axis=0))
    if carries is None:
        return
    classes, options = fits.shape
    sets = [np.array([c]) for c in range(classes)] + ([np.arange(classes)] if classes > 1 else [])
    load = load_of(problem, block)
    for p in range(options):
        for c in sets:
            most = float(fits[c, p].sum())
            enough = int(np.searchsorted(carries[p], most - 1e-9))
            if 0 < enough < carries.shape[1] and most > 0.0:
                fewer = np.arange(enough)
                slope = float(((most - carries[p, :enough]) / (enough - fewer)).min())
                indices = np.append(columns.share[c, p], columns.machines[p])
                model.add_row("whole", indices, np.append(load[c, p], -slope), -INFINITY, most - slope * enough)
