"""One type of machine, the best one, with everything else that we do: schedules, our autoscaler, spot beside on-demand.

What is lost by not mixing types and variants, as the single-type baselines of Mélange (Griggs et al., arXiv:2404.14527, 2024).
"""

import numpy as np
from numpy.typing import NDArray

from tightrope.base.errors import InfeasibleError
from tightrope.compare.peer_draft import Draft, Setting, draft_of, list_assignments, on_demand
from tightrope.plan.problem.arrays import Infeasible, Problem, drop_commitments, restrict
from tightrope.plan.solve.decomposition import Solution, solve
from tightrope.plan.solve.relaxation import Relaxation, relax

MOST_SOLVED = 3
"""Types that are solved in full, those whose linear relaxation is cheapest."""


def draft_single_type(setting: Setting) -> Draft:
    """Return the cheapest schedule of one variant on one type of machine, under every pay-as-you-go offer allowed."""
    problem = drop_commitments(setting.problem)
    relaxed = sorted(_relax_types(problem), key=lambda pair: pair[0].usd_per_month)
    best: Solution | None = None
    for relaxation, one in relaxed[:MOST_SOLVED]:
        if best is not None and relaxation.usd_per_month >= best.usd_per_month:
            break
        try:
            solution = solve(one)
        except Infeasible:
            continue
        if best is None or solution.usd_per_month < best.usd_per_month:
            best = solution
    if best is None:
        what = "no single type of machine has a schedule within the quotas and the share of spot allowed"
        raise InfeasibleError(what, resolve="raise where.quotas or purchase.max_spot_share, or allow more families")
    return draft_of(setting, best, best.machines, setting.workload.scaling)


def _relax_types(problem: Problem) -> list[tuple[Relaxation, Problem]]:
    """Return the problem of every type that has a solution, with its linear relaxation."""
    found: list[tuple[Relaxation, Problem]] = []
    for chosen in list_assignments(problem, on_demand(problem)):
        one = restrict(problem, _match_type(problem, np.unique(chosen)))
        try:
            found.append((relax(one), one))
        except Infeasible:
            continue
    return found


def _match_type(problem: Problem, of: np.ndarray) -> NDArray[np.bool_]:
    """Return the options that are a machine and variant of those of ``of`` (int64[n]) under any offer, bool[P]."""
    kinds = {(problem.options[p].machine.name, problem.options[p].variant.name) for p in of}
    return np.array([(option.machine.name, option.variant.name) in kinds for option in problem.options]) & ~problem.metered
