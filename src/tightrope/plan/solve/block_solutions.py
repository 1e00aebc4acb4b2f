"""Blocks solved apart: the cheapest fleet of each under given commitments."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.solve.block_search import BlockFleet, find_cheapest_fleet
from tightrope.plan.solve.constraints import add_block, add_commitments
from tightrope.plan.solve.linear_model import LinearModel
from tightrope.plan.solve.representative_blocks import alike

Answer = TypeVar("Answer")

WORKERS = 2
MOST_KINDS = 16
"""Kinds of blocks: those of one kind start from one another."""
FLEET_GAP = 5e-3
"""Relative gap at which the search for a block's fleet stops."""


def solve_block(
    problem: Problem, block: int, commitments: FloatArray, like: Sequence[BlockFleet] = (), gap: float = FLEET_GAP
) -> BlockFleet:
    """Return one block's cheapest fleet (its cost without the commitments'); ``like`` are fleets to start from.

    It is searched, or where that is no way left to the general solver. Raises ``Infeasible`` where it has no solution.
    """
    if len(problem.interactive):
        found = find_cheapest_fleet(problem, block, problem.usd_per_hour, gap, like, commitments)
        if found is not None:
            return found
    model = LinearModel()
    columns = add_block(model, problem, block, 1.0, deferrable=False)
    add_commitments(model, problem, columns, commitments)
    result = model.solve(gap=gap, nodes=500, plain=True)
    if not len(result.values):
        raise Infeasible(block)
    machines = np.rint(result.values[columns.machines]).astype(np.int64)
    return BlockFleet(machines, result.values[columns.share], result.objective, result.bound)


def solve_blocks(problem: Problem, commitments: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Solve every block (equal ones once); return machines int64[P, B], shares float64[C, P, B] and costs float64[B] in US dollars/h."""
    keys = build_block_keys(problem)
    first = {key: block for block, key in reversed(list(enumerate(keys)))}
    solved = solve_apart(problem, list(first.values()), lambda block, like: solve_block(problem, block, commitments, like))
    found = [solved[first[key]] for key in keys]
    return (
        np.stack([fleet.machines for fleet in found], axis=1),
        np.stack([fleet.share for fleet in found], axis=2),
        np.array([fleet.usd_per_hour for fleet in found]),
    )


def build_block_keys(problem: Problem) -> list[bytes]:
    """Return what tells each block from others: planned demand, and the expected one where something is paid by the request."""
    asked = [problem.rate, problem.mean_rate] if problem.usd_per_request.any() else [problem.rate]
    return [column.tobytes() for column in np.concatenate(asked).T]


def solve_apart(
    problem: Problem, blocks: Sequence[int], solve_one: Callable[[int, tuple[BlockFleet, ...]], Answer]
) -> dict[int, Answer]:
    """Return ``solve_one`` of each block and of the fleet of one like it.

    Like blocks follow one another, two at a time of what is unlike: searches and HiGHS work outside Python's lock.
    """
    chains: dict[int, list[int]] = {}
    for block, kind in zip(blocks, alike(problem, MOST_KINDS)[list(blocks)].tolist(), strict=True):
        chains.setdefault(kind, []).append(block)

    def solve_chain(chain: list[int]) -> list[tuple[int, Answer]]:
        solved: list[tuple[int, Answer]] = []
        for block in chain:
            before = solved[-1][1] if solved else None
            solved.append((block, solve_one(block, (before,) if isinstance(before, BlockFleet) else ())))
        return solved

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        return dict(one for chain in pool.map(solve_chain, chains.values()) for one in chain)
