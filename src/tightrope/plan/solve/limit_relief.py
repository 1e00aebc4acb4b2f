"""The smallest change of each limit that lets an hour through: what an infeasible workload is told.

Shares are found by bisection to a thousandth, counts and floors by an integer program that pays for each unit of change. Every change is
made with the other limits as they stand; where it takes several at once, one after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tightrope.plan.problem.arrays import Problem
from tightrope.plan.solve.constraints import FAMILIES, add_block
from tightrope.plan.solve.linear_model import LinearModel

STEPS = 1000
"""Shares are told in tenths of a point."""
ANY_GAP = 1e9
"""Whether there is a solution is all that is asked."""


@dataclass(frozen=True, slots=True)
class LimitChange:
    """What to change, and the problem with the change made."""

    words: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class LimitFamily:
    """A family that a workload states: how to leave it out, and the smallest change of it that lets a block through."""

    family: str
    states: Callable[[Problem], bool]
    without: Callable[[Problem], Problem]
    loosen: Callable[[Problem, int], Problem]
    """From a problem that the family alone keeps from serving the block."""
    words: Callable[[Problem, Problem], str]
    """From the problem as stated and as changed."""
    restored: Callable[[Problem, Problem], Problem]
    """The first problem with this limit as in the second."""


def fits(problem: Problem, block: int) -> bool:
    """Return whether some machines serve a block's interactive classes within every limit."""
    model = LinearModel()
    add_block(model, problem, block, 1.0, deferrable=False, covers=False)
    return bool(len(model.solve(gap=ANY_GAP).values)) if model.columns else True


def find_stuck_busy_block(problem: Problem) -> int | None:
    """Return a block whose interactive classes cannot be served, the busiest first; None where there is none."""
    seen: set[bytes] = set()
    for block in np.argsort(-problem.rate.sum(axis=0), kind="stable"):
        key = problem.rate[:, block].tobytes()
        if key not in seen and not fits(problem, int(block)):
            return int(block)
        seen.add(key)
    return None


def _format_share(share: float) -> str:
    """Return a share as people write it, such as ``62.5 %``."""
    return f"{100.0 * share:.4g} %"


def _set_share(
    family: str, get: Callable[[Problem], float], put: Callable[[Problem, float], Problem], *, up: bool
) -> LimitFamily:
    """Return the limit of a share that is one number: raised where ``up``, else lowered."""
    loosest = 1.0 if up else 0.0

    def loosen(problem: Problem, block: int) -> Problem:
        stated = get(problem) * STEPS
        bad, good = (int(np.floor(stated + 1e-9)), STEPS) if up else (int(np.ceil(stated - 1e-9)), 0)
        while abs(good - bad) > 1:
            middle = (good + bad) // 2
            bad, good = (bad, middle) if fits(put(problem, middle / STEPS), block) else (middle, good)
        return put(problem, good / STEPS)

    def words(now: Problem, then: Problem) -> str:
        verb, bound = ("raise", "at least") if up else ("lower", "at most")
        return f"{verb} {FAMILIES[family].fix} to {bound} {_format_share(get(then))} (now {_format_share(get(now))})"

    return LimitFamily(
        family,
        states=lambda problem: get(problem) != loosest,
        without=lambda problem: put(problem, loosest),
        loosen=loosen,
        words=words,
        restored=lambda changed, before: put(changed, get(before)),
    )


def _raise_quotas(problem: Problem, block: int) -> Problem:
    """Return the problem with its quotas raised by the fewest machines with which the block fits."""
    model = LinearModel()
    columns = add_block(model, replace(problem, quotas=()), block, 1e-6, deferrable=False, covers=False)
    beyond = model.add_columns(np.ones(len(problem.quotas)), integer=True)
    for quota, column in zip(problem.quotas, beyond, strict=True):
        mask = np.append(quota.mask.astype(np.float64), -1.0)
        model.add_row("quota", np.append(columns.machines, column), mask, -np.inf, float(quota.machines))
    more = np.rint(model.solve().values[beyond]).astype(int)
    raised = tuple(replace(q, machines=q.machines + int(k)) for q, k in zip(problem.quotas, more, strict=True))
    return replace(problem, quotas=raised)


def describe_quotas(now: Problem, then: Problem) -> str:
    """Say which quotas to raise; machines of one's own are had, not allowed."""
    pairs = [(q, was) for q, was in zip(then.quotas, now.quotas, strict=True) if q.machines > was.machines]
    asked = ", ".join(f"{q.name}: {q.machines}" for q, _ in pairs if " at " not in q.name)
    stated = ", ".join(f"{q.name}: {q.machines}" for q in now.quotas if " at " not in q.name)
    said = [f"raise where.quotas to at least {{{asked}}} (now {{{stated}}})"] if asked else []
    said += [f"have {q.machines} of {q.name} in owned.csv (now {was.machines})" for q, was in pairs if " at " in q.name]
    return " and ".join(said)


def _lower_floors(problem: Problem, block: int) -> Problem:
    """Return the problem with its quality floors lowered by as little as lets the block through, in all."""
    model = LinearModel()
    free = replace(problem, quality_floor=np.zeros_like(problem.quality_floor))
    columns = add_block(model, free, block, 1e-6, deferrable=False, covers=False)
    below = model.add_columns(np.ones(len(problem.interactive)), problem.quality_floor)
    quality = problem.quality[problem.variant_of]
    for c, column in enumerate(below):
        if problem.rate[c, block] > 0.0:
            indices, values = np.append(columns.share[c], column), np.append(quality, 1.0)
            model.add_row("quality-floor", indices, values, problem.quality_floor[c], np.inf)
    by = model.solve().values[below]
    floor = np.where(by > 1e-9, np.floor((problem.quality_floor - by) * STEPS + 1e-6) / STEPS, problem.quality_floor)
    return replace(problem, quality_floor=floor)


def _describe_floors(now: Problem, then: Problem) -> str:
    """Say which floors to lower."""
    changed = [
        f"traffic.{name}.quality_floor to {low:g} or less (now {was:g})"
        for name, low, was in zip(now.interactive, then.quality_floor, now.quality_floor, strict=True)
        if low < was
    ]
    return f"lower {' and '.join(changed)}, or add a better variant"


def _raise_shares(problem: Problem, block: int) -> Problem:
    """Return the problem with what variants may answer raised by as little as lets the block through, in all."""
    model = LinearModel()
    caps = problem.share_cap
    columns = add_block(model, replace(problem, share_cap=np.ones_like(caps)), block, 1e-6, deferrable=False, covers=False)
    beyond = model.add_columns(np.ones(caps.size), (1.0 - caps).ravel()).reshape(caps.shape)
    for c, v in np.argwhere(caps < 1.0):
        mask = (problem.variant_of == v).astype(np.float64)
        model.add_row("routing-share", np.append(columns.share[c], beyond[c, v]), np.append(mask, -1.0), -np.inf, caps[c, v])
    by = model.solve().values[beyond.ravel()].reshape(caps.shape)
    raised = np.where(by > 1e-9, np.ceil((caps + by) * STEPS - 1e-6) / STEPS, caps)
    return replace(problem, share_cap=np.minimum(raised, 1.0))


def _describe_shares(now: Problem, then: Problem) -> str:
    """Say which variants must be able to answer more."""
    names = {int(v): option.variant.name for v, option in zip(now.variant_of, now.options, strict=True)}
    changed = [
        f"{_get_field(names.get(int(v), ''))}.serves.{now.interactive[c]} to {_format_share(float(then.share_cap[c, v]))} "
        f"(now {_format_share(float(now.share_cap[c, v]))})"
        for c, v in np.argwhere(then.share_cap > now.share_cap)
    ]
    return f"raise {' and '.join(changed)}"


def _get_field(variant: str) -> str:
    """Return where a workload states a variant.

    >>> _get_field("faq/int8")
    'models.faq.variants.int8'
    """
    model, _, name = variant.partition("/")
    return f"models.{model}.variants.{name}"


LIMITS: tuple[LimitFamily, ...] = (
    LimitFamily(
        "quota",
        states=lambda problem: bool(problem.quotas),
        without=lambda problem: replace(problem, quotas=()),
        loosen=_raise_quotas,
        words=describe_quotas,
        restored=lambda changed, before: replace(changed, quotas=before.quotas),
    ),
    LimitFamily(
        "quality-floor",
        states=lambda problem: bool((problem.quality_floor > 0.0).any()),
        without=lambda problem: replace(problem, quality_floor=np.zeros_like(problem.quality_floor)),
        loosen=_lower_floors,
        words=_describe_floors,
        restored=lambda changed, before: replace(changed, quality_floor=before.quality_floor),
    ),
    LimitFamily(
        "routing-share",
        states=lambda problem: bool((problem.share_cap < 1.0).any()),
        without=lambda problem: replace(problem, share_cap=np.ones_like(problem.share_cap)),
        loosen=_raise_shares,
        words=_describe_shares,
        restored=lambda changed, before: replace(changed, share_cap=before.share_cap),
    ),
    _set_share("spot-share", lambda of: of.max_spot_share, lambda of, share: replace(of, max_spot_share=share), up=True),
    _set_share(
        "spot-zone-loss",
        lambda of: of.spot_zone_loss_share,
        lambda of, share: replace(of, spot_zone_loss_share=share),
        up=False,
    ),
    _set_share("zone-loss", lambda of: of.zone_loss_share, lambda of, share: replace(of, zone_loss_share=share), up=False),
    _set_share("n-plus-one", lambda of: of.n_plus_one_share, lambda of, share: replace(of, n_plus_one_share=share), up=False),
)


def smallest(limit: LimitFamily, problem: Problem, block: int) -> LimitChange:
    """Return the smallest change of one limit with which every block's interactive classes fit, from one that does not."""
    changed, at = problem, block
    while True:
        changed = limit.loosen(changed, at)
        stuck = find_stuck_busy_block(changed)
        if stuck is None or stuck == at or not fits(limit.without(changed), stuck):
            return LimitChange(limit.words(problem, changed), changed)
        at = stuck


def find_fewest_pools(problem: Problem) -> int:
    """Return the fewest pools that serve the busiest blocks and may do the work that waits, limits of their number apart."""
    model = LinearModel()
    opened = model.add_columns(np.ones(len(problem.options)), 1.0, integer=True)
    busiest = np.unique(np.append(problem.rate.argmax(axis=1), problem.rate.sum(axis=0).argmax() if len(problem.rate) else []))
    for block in busiest.astype(np.int64):
        columns = add_block(model, problem, int(block), 1e-9, deferrable=False, covers=False)
        for share in columns.share:
            for p in np.flatnonzero(problem.mu[:, :, block].any(axis=0)):
                model.add_row("pools", np.array([share[p], opened[p]]), np.array([1.0, -1.0]), -np.inf, 0.0)
    for d in {window.traffic_class for window in problem.windows}:
        able = problem.work_per_s[d] > 0.0
        if able.any():
            model.add_row("pools", opened[able], np.ones(int(able.sum())), 1.0, np.inf)
    return round(model.solve().values[opened].sum())
