"""Which promise or limit can not be kept, and the smallest change that would do: one constraint family is loosened at a time."""

from dataclasses import replace

import numpy as np

from tightrope.base.errors import InfeasibleError
from tightrope.plan.constraints import FAMILIES, add_block, add_commitment
from tightrope.plan.model import Model
from tightrope.plan.problem import Problem

DAYS = ("day 1", "day 2", "day 3", "day 4", "day 5", "day 6", "day 7")


def _cost(problem: Problem, block: int) -> tuple[float, np.ndarray]:
    """Return the cheapest cost of one block and its machines; infinite and empty where there is none."""
    model = Model()
    disk = np.full(len(problem.options), problem.disk_usd_per_hour)
    columns = add_block(model, problem, block, 1.0, disk, deferrable=False)
    add_commitment(model, problem, columns, 0.0)
    result = model.solve()
    return (result.objective, result.values[columns.machines]) if len(result.values) else (np.inf, np.zeros(0))


def _loosened(problem: Problem) -> dict[str, Problem]:
    """Return the problem without each family that a workload states."""
    return {
        "quota": replace(problem, quotas=()),
        "quality-floor": replace(problem, quality_floor=np.zeros_like(problem.quality_floor)),
        "routing-share": replace(problem, share_cap=np.ones_like(problem.share_cap)),
        "spot-share": replace(problem, max_spot_share=1.0),
        "spot-zone-loss": replace(problem, spot_zone_loss_share=0.0),
    }


def _worst_block(problem: Problem, block: int) -> int:
    """Return the busiest block that has no solution, else the one given."""
    for candidate in np.argsort(-problem.rate.sum(axis=0), kind="stable")[:3]:
        if not np.isfinite(_cost(problem, int(candidate))[0]):
            return int(candidate)
    return block


def explain_infeasible(problem: Problem, block: int) -> InfeasibleError:
    """Return the error that names the family in the way of the block and what to change."""
    block = _worst_block(problem, block)
    place = f"{DAYS[block // 24 % 7]} {block % 24:02d}:00"
    if len(problem.interactive) == 0 or np.isfinite(_cost(problem, block)[0]):
        msg = f"deadline: no allowed machine can do the deferrable work of the window around {place}"
        return InfeasibleError(
            msg, resolve="allow larger machines in where.families, or a longer window in traffic.<class>.nightly"
        )
    for name, loose in _loosened(problem).items():
        cost, machines = _cost(loose, block)
        if np.isfinite(cost):
            return InfeasibleError(
                f"{name}: no plan keeps it in block {place} ({FAMILIES[name].meaning})", resolve=_fix(problem, name, machines)
            )
    msg = f"demand: no plan serves block {place}, and no single limit of the workload is in the way"
    return InfeasibleError(
        msg, resolve="loosen several of where.quotas, purchase.offers, quality floors and shares served, or the promises"
    )


def _fix(problem: Problem, name: str, machines: np.ndarray) -> str:
    """Return the smallest change of the family's field that lets the block through."""
    if name == "quota":
        needs = {q.name: round(float(machines[q.mask].sum())) for q in problem.quotas}
        short = [f"{q.name}: {needs[q.name]}" for q in problem.quotas if needs[q.name] > q.machines]
        now = [f"{q.name}: {q.machines}" for q in problem.quotas]
        return f"raise where.quotas to at least {{{', '.join(short)}}} (now {{{', '.join(now)}}})"
    if name == "quality-floor":
        best = [
            float(problem.quality[problem.variant_of[problem.mu[c].any(axis=1)]].max(initial=0.0))
            for c in range(len(problem.interactive))
        ]
        stated = ", ".join(f"traffic.{c}.quality_floor to {q:g}" for c, q in zip(problem.interactive, best, strict=True))
        return f"lower {stated} or less, or add a better variant"
    return f"loosen {FAMILIES[name].fix}"
