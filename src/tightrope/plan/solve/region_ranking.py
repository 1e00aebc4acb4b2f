"""In which regions to plan: what plans of each cost with whole machines, judged on a few hours.

The linear relaxation prices parts of machines, which says little of small fleets: a large machine looks as cheap as the small part of it
that is used.
"""

from dataclasses import replace

import numpy as np

from tightrope.plan.problem.arrays import Infeasible, Problem, take_blocks
from tightrope.plan.problem.placement import split_by_machines
from tightrope.plan.solve.block_solutions import solve_blocks
from tightrope.plan.solve.commitment_choice import choose_commitments
from tightrope.plan.solve.decomposition import middle_blocks, monthly_usd
from tightrope.plan.solve.relaxation import relax

MOST_JUDGED = 6
"""Regions, or sets of them, that are looked at: those with the cheapest relaxations."""
MARGIN = 0.01
"""Another than the cheapest by its relaxation is planned for where it is judged cheaper by more than this: so much a few hours may err."""


def estimate_usd(problem: Problem) -> float:
    """Return about what the cheapest plan of a problem costs a month with all besides, US dollars; infinite where there is none."""
    found = [float("inf")]
    for part, besides_usd in split_by_machines(problem):
        try:
            found.append(_estimate_whole_usd(part) + besides_usd)
        except Infeasible:
            continue
    return min(found)


def _estimate_whole_usd(problem: Problem) -> float:
    """Return the same of what the problem decides: blocks that stand for all in whole machines, work that waits as it is relaxed."""
    relaxation = relax(problem)
    if not len(problem.interactive):
        return relaxation.usd_per_month
    small = replace(take_blocks(problem, middle_blocks(problem)), standing_usd_per_month=0.0)
    machines, share, _ = solve_blocks(small, relaxation.commitments)
    nothing = np.zeros((0, *machines.shape))
    usd = monthly_usd(small, machines, share, nothing, choose_commitments(small, machines))
    months = float(problem.block_hours.sum() / small.block_hours.sum())
    waiting_usd = relaxation.usd_per_month - relax(replace(problem, windows=())).usd_per_month if problem.windows else 0.0
    return max(relaxation.usd_per_month, usd * months + waiting_usd)


def rank_problems(problems: list[Problem]) -> list[Problem]:
    """Return the problems, in the order of their relaxations, with the one to plan for before the others."""
    if len(problems) < 2:
        return problems
    usd = [estimate_usd(problem) for problem in problems[:MOST_JUDGED]]
    least = min(range(len(usd)), key=usd.__getitem__)
    best = least if usd[least] < (1.0 - MARGIN) * usd[0] else 0
    return [problems[best], *problems[:best], *problems[best + 1 :]]
