"""The linear relaxation of all blocks together: what it costs at least, and what that which couples the blocks is worth."""

from dataclasses import dataclass

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.solve.commitment_choice import round_to_machines
from tightrope.plan.solve.constraints import FAMILIES, add_block, add_commitments, add_deadline
from tightrope.plan.solve.integer_capacity import add_integer_cuts
from tightrope.plan.solve.linear_model import INFINITY, LinearModel
from tightrope.plan.solve.representative_blocks import reduce_blocks


@dataclass(frozen=True, slots=True)
class Relaxation:
    """The linear relaxation: ``commitments`` float64[K] US dollars/h, ``machines`` float64[P, B], prices of what couples blocks.

    Of machines of one's own ``commitments`` are whole ones: a block cannot run a part of one.
    """

    usd_per_month: float
    commitments: FloatArray
    machines: FloatArray
    cover_price: FloatArray
    """float64[K, B]: what a dollar an hour of each commitment is worth in each block, US dollars an hour."""
    work_price: FloatArray
    """float64[windows]: US dollars that doing all of a window's work is worth."""
    family_price: dict[str, float]
    """Constraint family → the sum of its rows' duals: US dollars a month that one more on each right-hand side costs."""


def relax(problem: Problem, *, whole: bool = False) -> Relaxation:
    """Solve the linear relaxation of all blocks together; raise ``Infeasible`` where it has no solution.

    ``whole`` sharpens it by what whole machines carry: better prices, a higher bound, more time.
    """
    model, hours = LinearModel(), problem.block_hours
    more = model.add_columns(np.full(len(problem.covers), hours.sum()), np.where(problem.may_grow, INFINITY, 0.0))
    blocks = {b: add_block(model, problem, b, hours[b], deferrable=True) for b in range(problem.blocks)}
    for b, columns in blocks.items() if whole else ():
        add_integer_cuts(model, problem, b, columns)
    cover_rows = np.array([add_commitments(model, problem, columns, more) for columns in blocks.values()], dtype=np.int64)
    work_rows = [add_deadline(model, problem, w, blocks) for w in range(len(problem.windows))]
    result = model.solve(relaxed=True)
    if result.status != "optimal":
        raise Infeasible(0)
    families = np.array(model.families)
    return Relaxation(
        usd_per_month=result.objective + float(problem.existing_usd_per_hour.sum() * hours.sum()),
        commitments=round_to_machines(problem, result.values[more] + problem.existing_usd_per_hour),
        machines=np.stack([result.values[columns.machines] for columns in blocks.values()], axis=1),
        cover_price=np.maximum(-result.duals[cover_rows.T] / hours, 0.0),
        work_price=np.maximum(result.duals[work_rows], 0.0) if work_rows else np.zeros(0),
        family_price={name: float(result.duals[families == name].sum()) for name in FAMILIES},
    )


def relax_few(problem: Problem, most: int) -> tuple[Relaxation, IntArray]:
    """Return the relaxation of at most ``most`` blocks that stand for all, and which of them stands for each, int64[B].

    It is sharpened unless it then has no solution: rounded up, a mean of hours may ask for more machines than any of them, and so for
    more than a quota leaves. Where it has none at all, it is that of all blocks. Raises ``Infeasible`` where those have none.
    """
    small, label = reduce_blocks(problem, most)
    for whole in (True, False):
        try:
            return relax(small, whole=whole), label
        except Infeasible:
            continue
    return relax(problem), np.arange(problem.blocks)
