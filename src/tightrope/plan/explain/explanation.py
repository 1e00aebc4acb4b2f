"""Why this plan: what each lever saves, what binds, what comes next, and what would change the answer.

What is cheap to find out is found always; what takes planning many times over, where it is asked for.
"""

from dataclasses import dataclass

from tightrope.base.explanation import Alternative, BindingLimit, BreakEven, CostRange, Lever, WhatIf
from tightrope.base.plan import BillLine
from tightrope.plan.explain.alternatives import find_alternatives
from tightrope.plan.explain.baseline import Baseline, Progress, reprice_pools
from tightrope.plan.explain.binding_limits import find_binding, find_limits
from tightrope.plan.explain.break_even import find_break_evens
from tightrope.plan.explain.levers import find_levers
from tightrope.plan.explain.sensitivity import find_range, find_sensitivities
from tightrope.plan.solve.relaxation import relax


@dataclass(frozen=True, slots=True)
class Explanation:
    """The parts of a plan that explain it; see the fields of ``Plan``."""

    levers: tuple[Lever, ...]
    binding: tuple[BindingLimit, ...]
    sensitivities: tuple[WhatIf, ...]
    cost_range: CostRange | None
    alternatives: tuple[Alternative, ...]
    break_evens: tuple[BreakEven, ...]


def explain(ground: Baseline, today: tuple[BillLine, ...], progress: Progress, *, full: bool) -> Explanation:
    """Return the explanation of a plan.

    ``full`` finds the next-best plans, the break-evens and the limits that need a whole plan each, and looks at more worlds.
    """
    problem = ground.proof.problem
    base_usd = reprice_pools(ground, ground.whole, ground.opened)
    return Explanation(
        levers=find_levers(ground, today, progress),
        binding=find_binding(problem, relax(problem)) + (find_limits(ground, progress) if full else ()),
        sensitivities=find_sensitivities(ground, base_usd, progress, full=full),
        cost_range=find_range(ground, base_usd, progress),
        alternatives=find_alternatives(ground, progress) if full else (),
        break_evens=find_break_evens(ground, progress) if full else (),
    )
