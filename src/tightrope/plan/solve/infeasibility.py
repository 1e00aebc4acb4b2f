"""Which promise or limit cannot be kept, and the smallest change that would do."""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from itertools import combinations

import numpy as np

from tightrope.base.errors import InfeasibleError
from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.solve.block_solutions import solve_blocks
from tightrope.plan.solve.constraints import FAMILIES
from tightrope.plan.solve.deferrable_work import place_deferrable
from tightrope.plan.solve.limit_relief import (
    LIMITS,
    LimitFamily,
    describe_quotas,
    find_fewest_pools,
    find_stuck_busy_block,
    fits,
    smallest,
)

DAYS = ("day 1", "day 2", "day 3", "day 4", "day 5", "day 6", "day 7")
MOST_TOGETHER = 2
"""Limits that are tried in every combination; where more are in the way at once, those that can stay are found one by one."""


def explain_infeasible(problem: Problem, stuck: Infeasible) -> InfeasibleError:
    """Return the error that names the family in the way and the smallest change that would do."""
    if stuck.pools:
        needed = max(find_fewest_pools(problem), problem.max_pools + 1)
        msg = f"pools: no plan with {problem.max_pools} found, the promises and the work that waits need {needed}"
        return InfeasibleError(msg, resolve=f"raise purchase.max_pools to {needed}, or let one variant serve more classes")
    block = find_stuck_busy_block(problem) if len(problem.interactive) else None
    if block is None:
        return _explain_work(problem, stuck.block)
    changes = _find_changes(problem, block)
    if not changes:
        msg = f"demand: no plan serves block {_get_hour(block)}, and no limit of the workload is in the way"
        return InfeasibleError(msg, resolve="allow more in where.families and purchase.offers, or loosen traffic.<class>.slo")
    together = " and ".join(limit.family for limit in changes[0][0])
    said = "; ".join(FAMILIES[limit.family].meaning for limit in changes[0][0])
    msg = f"{together}: no plan keeps {'it' if len(changes[0][0]) == 1 else 'them'} in block {_get_hour(block)} ({said})"
    return InfeasibleError(msg, resolve="; or ".join(words for _, words in changes))


def _get_hour(block: int) -> str:
    """Return the hour of the week that a block is."""
    return f"{DAYS[block // 24 % 7]} {block % 24:02d}:00"


def _find_changes(problem: Problem, block: int) -> list[tuple[tuple[LimitFamily, ...], str]]:
    """Return the fewest limits to change for the block, with the smallest change in words; every choice of equally few."""
    stated = [limit for limit in LIMITS if limit.states(problem)]
    if not fits(_drop_limits(problem, tuple(stated)), block):
        return []
    for size in range(1, MOST_TOGETHER + 1):
        enough = [chosen for chosen in combinations(stated, size) if fits(_drop_limits(problem, chosen), block)]
        if enough:
            return [(chosen, _describe_changes(problem, chosen, block)) for chosen in enough]
    chosen = tuple(_find_irreducible(problem, stated, block))
    return [(chosen, _describe_changes(problem, chosen, block))]


def _drop_limits(problem: Problem, limits: tuple[LimitFamily, ...]) -> Problem:
    """Return the problem without some limits."""
    return reduce(lambda left, limit: limit.without(left), limits, problem)


def _find_irreducible(problem: Problem, stated: list[LimitFamily], block: int) -> Iterator[LimitFamily]:
    """Yield limits that must go together: with any one of them kept, the block does not fit."""
    gone = list(stated)
    for limit in stated:
        rest = tuple(other for other in gone if other is not limit)
        if fits(_drop_limits(problem, rest), block):
            gone.remove(limit)
    yield from gone


def _describe_changes(problem: Problem, limits: tuple[LimitFamily, ...], block: int) -> str:
    """Return the smallest change of each limit, one after the other: the first with those after it out of the way."""
    changed = problem
    said: list[str] = []
    for place, limit in enumerate(limits):
        later = limits[place + 1 :]
        change = smallest(limit, _drop_limits(changed, later), block)
        said.append(change.words)
        before = changed
        changed = reduce(lambda left, other: other.restored(left, before), later, change.problem)
    return " and ".join(said)


# ------------------------------------------------------------------------------------------------------------ work that waits


def _explain_work(problem: Problem, block: int) -> InfeasibleError:
    """Return the error for deferrable work that does not fit its window: the quotas are in the way, or nothing can do it."""
    place = _get_hour(block)
    if problem.quotas and find_stuck_block(replace(problem, quotas=())) is None:
        msg = f"quota: the deferrable work of the window around {place} does not fit ({FAMILIES['quota'].meaning})"
        more = _find_more_hours(problem)
        later = f"; or let traffic.{more[0]}.nightly.deadline be {more[1]} hours later" if more else ""
        return InfeasibleError(msg, resolve=describe_quotas(problem, _find_enough_quotas(problem)) + later)
    msg = f"deadline: no allowed machine can do the deferrable work of the window around {place}"
    return InfeasibleError(msg, resolve="allow larger machines in where.families, or another variant to serve it")


def _find_more_hours(problem: Problem) -> tuple[str, int] | None:
    """Return the first class of which a later deadline alone would do, and the fewest hours that it takes; None where none does."""
    for d, name in enumerate(problem.deferrable):
        spans = [len(window.blocks) for window in problem.windows if window.traffic_class == d]
        bad, good = 0, 24 - max(spans, default=24)
        if good <= 0 or find_stuck_block(_postpone_deadlines(problem, d, good)) is not None:
            continue
        while good - bad > 1:
            middle = (good + bad) // 2
            bad, good = (bad, middle) if find_stuck_block(_postpone_deadlines(problem, d, middle)) is None else (middle, good)
        return name, good
    return None


def _postpone_deadlines(problem: Problem, deferrable: int, hours: int) -> Problem:
    """Return the problem with the deadlines of one class so many hours later."""
    windows = tuple(
        replace(window, blocks=np.append(window.blocks, (window.blocks[-1] + 1 + np.arange(hours)) % problem.blocks))
        if window.traffic_class == deferrable
        else window
        for window in problem.windows
    )
    return replace(problem, windows=windows)


def find_stuck_block(problem: Problem) -> int | None:
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


def _find_enough_quotas(problem: Problem) -> Problem:
    """Return the problem with its quotas raised until the work that waits fits, then each as far down again as it goes."""
    more, raised = 1, _raise_all_quotas(problem, 1)
    while find_stuck_block(raised) is not None:
        more *= 2
        raised = _raise_all_quotas(problem, more)
    for place, stated in enumerate(problem.quotas):
        bad, good = stated.machines - 1, raised.quotas[place].machines
        while good - bad > 1:
            middle = (good + bad) // 2
            bad, good = (bad, middle) if find_stuck_block(_set_quota(raised, place, middle)) is None else (middle, good)
        raised = _set_quota(raised, place, good)
    return raised


def _raise_all_quotas(problem: Problem, more: int) -> Problem:
    """Return the problem with so many machines more under every quota."""
    return replace(problem, quotas=tuple(replace(quota, machines=quota.machines + more) for quota in problem.quotas))


def _set_quota(problem: Problem, place: int, machines: int) -> Problem:
    """Return the problem with one quota set."""
    quotas = (replace(quota, machines=machines) if at == place else quota for at, quota in enumerate(problem.quotas))
    return replace(problem, quotas=tuple(quotas))
