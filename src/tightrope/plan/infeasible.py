"""Which promise or limit can not be kept, and the smallest change that would do: one constraint family is loosened at a time."""

from dataclasses import replace

import numpy as np

from tightrope.base.errors import InfeasibleError
from tightrope.plan.constraints import FAMILIES, add_block
from tightrope.plan.model import Model
from tightrope.plan.problem import Problem
from tightrope.plan.solve import Infeasible, place_deferrable, solve_block, solve_blocks

DAYS = ("day 1", "day 2", "day 3", "day 4", "day 5", "day 6", "day 7")


def _cost(problem: Problem, block: int) -> float:
    """Return the cheapest cost of one block; infinite where there is none."""
    try:
        return solve_block(problem, block, problem.existing_usd_per_hour)[2]
    except Infeasible:
        return np.inf


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
    busiest = np.argsort(-problem.rate.sum(axis=0), kind="stable")[:3]
    for candidate in [*busiest, *problem.rate.argmax(axis=1)]:
        if not np.isfinite(_cost(problem, int(candidate))):
            return int(candidate)
    return block


def explain_infeasible(problem: Problem, stuck: Infeasible) -> InfeasibleError:
    """Return the error that names the family in the way of the block and what to change."""
    if stuck.pools:
        msg = f"pools: no plan with {problem.max_pools} found, the promises and the work that waits need {stuck.pools}"
        return InfeasibleError(msg, resolve=f"raise purchase.max_pools to {stuck.pools}, or let one variant serve more classes")
    block = _worst_block(problem, stuck.block)
    place = f"{DAYS[block // 24 % 7]} {block % 24:02d}:00"
    if len(problem.interactive) == 0 or np.isfinite(_cost(problem, block)):
        return _explain_work(problem, block, place)
    for name, loose in _loosened(problem).items():
        if np.isfinite(_cost(loose, block)):
            msg = f"{name}: no plan keeps it in block {place} ({FAMILIES[name].meaning})"
            return InfeasibleError(msg, resolve=_fix(problem, name, block))
    msg = f"demand: no plan serves block {place}, and no single limit of the workload is in the way"
    return InfeasibleError(
        msg, resolve="loosen several of where.quotas, purchase.offers, quality floors and shares served, or the promises"
    )


def _explain_work(problem: Problem, block: int, place: str) -> InfeasibleError:
    """Return the error for deferrable work that does not fit its window: the quotas are in the way, or nothing can do it."""
    loose = replace(problem, quotas=())
    if problem.quotas and first_stuck(loose) is None:
        msg = f"quota: the deferrable work of the window around {place} does not fit ({FAMILIES['quota'].meaning})"
        return InfeasibleError(msg, resolve=_fix(problem, "quota", block))
    msg = f"deadline: no allowed machine can do the deferrable work of the window around {place}"
    return InfeasibleError(msg, resolve="allow larger machines in where.families, or a longer window in traffic.<class>.nightly")


def first_stuck(problem: Problem) -> int | None:
    """Return a block in which no plan fits, None where all options together serve every block and do the work that waits."""
    keep = np.ones(len(problem.options), dtype=bool)
    machines = np.zeros((len(problem.options), problem.blocks), dtype=np.int64)
    share = np.zeros((len(problem.interactive), *machines.shape))
    try:
        if len(problem.interactive):
            machines, share, _ = solve_blocks(problem, problem.existing_usd_per_hour)
        place_deferrable(problem, machines, share, keep)
    except Infeasible as stuck:
        return stuck.block
    return None


def _enough_quotas(problem: Problem, block: int | None) -> Problem:
    """Return the problem with its quotas raised by as few machines as it takes, from the block that is stuck on."""
    while block is not None:
        raised = _raised(problem, block)
        if [quota.machines for quota in raised.quotas] == [quota.machines for quota in problem.quotas]:
            raised = replace(problem, quotas=tuple(replace(quota, machines=quota.machines + 1) for quota in problem.quotas))
        problem, block = raised, first_stuck(raised)
    return problem


def _raised(problem: Problem, block: int) -> Problem:
    """Return the problem with its quotas raised by the fewest machines with which the block's interactive work fits."""
    model = Model()
    columns = add_block(model, replace(problem, quotas=()), block, 1e-6, deferrable=False, covers=False)
    beyond = model.add_columns(np.ones(len(problem.quotas)), integer=True)
    for quota, column in zip(problem.quotas, beyond, strict=True):
        model.add_row(
            "quota",
            np.append(columns.machines, column),
            np.append(quota.mask.astype(np.float64), -1.0),
            -np.inf,
            float(quota.machines),
        )
    more = np.rint(model.solve().values[beyond]).astype(int)
    return replace(
        problem, quotas=tuple(replace(q, machines=q.machines + int(k)) for q, k in zip(problem.quotas, more, strict=True))
    )


def _fix(problem: Problem, name: str, block: int) -> str:
    """Return the smallest change of the family's field that lets the block through."""
    if name == "quota":
        needs = _enough_quotas(problem, block)
        short = [
            f"{q.name}: {q.machines}" for q, now in zip(needs.quotas, problem.quotas, strict=True) if q.machines > now.machines
        ]
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
