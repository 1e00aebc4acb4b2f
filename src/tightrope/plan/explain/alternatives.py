"""The next-best plans: the cheapest that does without each of the plan's pools, and the cheapest elsewhere."""

import numpy as np

from tightrope.base.explanation import Alternative
from tightrope.plan.commit.future_costs import build_option_key
from tightrope.plan.explain.baseline import Baseline, Progress, find_open_options, plan_again
from tightrope.plan.problem.arrays import Infeasible, PoolOption
from tightrope.plan.solve.decomposition import Solution, solve


def find_alternatives(ground: Baseline, progress: Progress) -> tuple[Alternative, ...]:
    """Return the plans found that differ in their pools, the cheapest first.

    A plan with other pools either does without one of these, or adds one to all of them, which the limit on pools is about. Those of
    other regions leave out what does not depend on machines, such as egress, at that region's prices: the plan's own is added.
    """
    found: list[Alternative] = []
    for option in find_open_options(ground.proof.solution):
        progress(f"explain: without {option.label}")
        solution = plan_without(ground, {build_option_key(option)})
        if solution is not None:
            found.append(_record_plan(ground, f"without {option.label}", solution))
    for problem in ground.proof.others:
        place = _get_place(problem.options[0])
        progress(f"explain: in {place}")
        try:
            found.append(_record_plan(ground, f"in {place}", solve(problem)))
        except Infeasible:
            continue
    return tuple(sorted(found, key=lambda item: item.monthly_cost_usd))


def plan_without(ground: Baseline, keys: set[tuple[object, ...]]) -> Solution | None:
    """Return the cheapest plan without some options, by their keys; None where there is none."""
    keep = np.array([build_option_key(option) not in keys for option in ground.whole.options], dtype=np.bool_)
    return plan_again(ground, ground.whole, keep)


def _record_plan(ground: Baseline, what: str, solution: Solution) -> Alternative:
    """Return the record of a plan."""
    usd = solution.usd_per_month + ground.constant_usd
    return Alternative(what, tuple(option.label for option in find_open_options(solution)), usd, usd - ground.usd_per_month)


def _get_place(option: PoolOption) -> str:
    """Return where an option stands."""
    return f"{option.machine.cloud} {option.region}".strip()
