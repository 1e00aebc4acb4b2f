"""What binds: the stated limits that cost money, and what one step of each is worth a month."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.explanation import BindingLimit
from tightrope.plan.explain.baseline import Baseline, Progress, plan_again
from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.solve.relaxation import Relaxation, relax

LEAST_USD = 0.01
"""A step that saves less than this a month is not told."""


@dataclass(frozen=True, slots=True)
class Loosening:
    """A stated limit, one step of it in words, and the problem with the limit one step looser; None where it does not hold."""

    name: str
    step: str
    loosen: Callable[[Problem], Problem | None]
    by_dual: float = 0.0
    """The step on the right-hand sides of the family's rows; 0 where the limit is no right-hand side."""


def _loosen_spot_zone_loss(problem: Problem) -> Problem | None:
    """Return the problem where less of a spot pool's load must survive the loss of its largest zone."""
    asked = problem.spot_zone_loss_share
    return replace(problem, spot_zone_loss_share=max(0.0, asked - 0.1)) if asked > 0.0 else None


def _loosen_zone_loss(problem: Problem) -> Problem | None:
    """Return the problem where less of every pool's load must."""
    asked = problem.zone_loss_share
    return replace(problem, zone_loss_share=max(0.0, asked - 0.1)) if asked > 0.0 else None


def _loosen_spare(problem: Problem) -> Problem | None:
    """Return the problem where less of every pool's load must survive the loss of a machine."""
    asked = problem.n_plus_one_share
    return replace(problem, n_plus_one_share=max(0.0, asked - 0.1)) if asked > 0.0 else None


def _loosen_spot_share(problem: Problem) -> Problem | None:
    """Return the problem with one point more of spot."""
    if problem.max_spot_share >= 1.0 or not problem.interruptible.any():
        return None
    return replace(problem, max_spot_share=min(1.0, problem.max_spot_share + 0.01))


def _loosen_routing_share(problem: Problem) -> Problem:
    """Return the problem with every variant's share one point larger, where it may answer at all and not everything."""
    partial = (problem.share_cap > 0.0) & (problem.share_cap < 1.0)
    return replace(problem, share_cap=np.where(partial, np.minimum(problem.share_cap + 0.01, 1.0), problem.share_cap))


def _loosen_quota(problem: Problem) -> Problem:
    """Return the problem with one machine more under every quota."""
    return replace(problem, quotas=tuple(replace(quota, machines=quota.machines + 1) for quota in problem.quotas))


LOOSENED: tuple[Loosening, ...] = (
    Loosening("routing-share", "one point more", _loosen_routing_share, 0.01),
    Loosening("spot-share", "one point more", _loosen_spot_share, 0.01),
    Loosening("quota", "one machine more", _loosen_quota, 1.0),
    Loosening(
        "quality-floor", "one point less", lambda p: replace(p, quality_floor=np.maximum(p.quality_floor - 0.01, 0)), -0.01
    ),
    Loosening("spot-zone-loss", "ten points less", _loosen_spot_zone_loss),
    Loosening("zone-loss", "ten points less", _loosen_zone_loss),
)
"""Stated limits that the relaxation prices."""
IN_PLANS: tuple[Loosening, ...] = (
    Loosening("n-plus-one", "ten points less", _loosen_spare),
    Loosening("max_pools", "one pool more", lambda p: replace(p, max_pools=p.max_pools + 1)),
)
"""Those that only whole machines and pools feel: planned again."""


def find_binding(problem: Problem, relaxation: Relaxation) -> tuple[BindingLimit, ...]:
    """Return which stated limits cost money: what loosening each by a step saves a month in the relaxation.

    Where the limit is a right-hand side its duals say so; else the relaxation is solved again with the limit looser.
    """
    found = []
    for item in LOOSENED:
        usd = _measure_saving(problem, relaxation, item)
        if usd > LEAST_USD:
            found.append(BindingLimit(item.name, item.step, usd, "duals" if item.by_dual else "relaxations"))
    return tuple(found)


def _measure_saving(problem: Problem, relaxation: Relaxation, item: Loosening) -> float:
    """Return what one step saves a month."""
    if item.by_dual:
        return -item.by_dual * relaxation.family_price[item.name]
    looser = item.loosen(problem)
    try:
        return relaxation.usd_per_month - relax(looser).usd_per_month if looser is not None else 0.0
    except Infeasible:
        return 0.0


def find_limits(ground: Baseline, progress: Progress) -> tuple[BindingLimit, ...]:
    """Return what the limits that the relaxation does not feel cost, each planned again one step looser."""
    found = []
    for item in IN_PLANS:
        looser = item.loosen(ground.whole)
        if looser is None or (item.name == "max_pools" and int(ground.opened.sum()) < ground.whole.max_pools):
            continue
        progress(f"explain: {item.name}, {item.step}")
        solution = plan_again(ground, looser)
        usd = 0.0 if solution is None else ground.proof.solution.usd_per_month - solution.usd_per_month
        if usd > LEAST_USD:
            found.append(BindingLimit(item.name, item.step, usd, "plans"))
    return tuple(found)
