"""Blocks solved apart: the cheapest fleet of each under given commitments."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.constraints import add_block, add_commitments
from tightrope.plan.model import Model
from tightrope.plan.problem import Infeasible, Problem
from tightrope.plan.search import Fleet, cheapest_fleet

Key = TypeVar("Key")
Answer = TypeVar("Answer")

WORKERS = 2
FLEET_GAP = 5e-3
"""Relative gap at which the search for a block's fleet stops."""


def solve_block(
    problem: Problem, block: int, commitments: FloatArray, known: Sequence[IntArray] = (), gap: float = FLEET_GAP
) -> Fleet:
    """Return one block's cheapest fleet (its cost without the commitments'); ``known`` are fleets to start from, int64[P] each.

    It is searched, or where that is no way left to the general solver. Raises ``Infeasible`` where it has no solution.
    """
    if len(problem.interactive):
        found = cheapest_fleet(problem, block, problem.usd_per_hour, gap, known, commitments)
        if found is not None:
            return found
    model = Model()
    columns = add_block(model, problem, block, 1.0, deferrable=False)
    add_commitments(model, problem, columns, commitments)
    result = model.solve(gap=gap, nodes=500, plain=True)
    if not len(result.values):
        raise Infeasible(block)
    machines = np.rint(result.values[columns.machines]).astype(np.int64)
    return Fleet(machines, result.values[columns.share], result.objective, result.bound)


def solve_blocks(problem: Problem, commitments: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Solve every block (equal ones once); return machines int64[P, B], shares float64[C, P, B] and costs float64[B] in US dollars/h."""
    keys = [problem.rate[:, block].tobytes() for block in range(problem.blocks)]
    solved = solve_apart({key: block for block, key in enumerate(keys)}, lambda block: solve_block(problem, block, commitments))
    found = [solved[key] for key in keys]
    return (
        np.stack([fleet.machines for fleet in found], axis=1),
        np.stack([fleet.share for fleet in found], axis=2),
        np.array([fleet.usd_per_hour for fleet in found]),
    )


def solve_apart(blocks: dict[Key, int], solve_one: Callable[[int], Answer]) -> dict[Key, Answer]:
    """Return ``solve_one`` of every block by its key, two at a time: HiGHS works outside Python's lock."""
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        return dict(zip(blocks, pool.map(solve_one, blocks.values()), strict=True))
