"""The waterfall: what each lever takes off today's bill given those before it, and by itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.errors import InfeasibleError
from tightrope.base.explanation import Lever
from tightrope.base.plan import BillLine
from tightrope.base.records import ModelVariant, Workload
from tightrope.offers.commitment_application import UNUSED
from tightrope.plan.commit.future_costs import commit_on_futures
from tightrope.plan.explain.baseline import Baseline, Mask, Progress
from tightrope.plan.problem.arrays import Infeasible, Problem, drop_commitments, restrict, static
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.dominance import drop_dominated
from tightrope.plan.problem.response_cache import drop_hits
from tightrope.plan.solve.decomposition import monthly_usd, solve
from tightrope.plan.solve.deferrable_work import place_deferrable

NO_PLAN = "no plan with this lever alone"


@dataclass(frozen=True, slots=True)
class LeverStep:
    """One lever: its words, and what there is without it."""

    lever: str
    words: str
    options: Callable[[Workload, Problem], Mask] | None = None
    """Which options may be used without the lever, bool[P]."""
    workload: Callable[[Workload], Workload] | None = None
    """The workload without the lever."""
    used: Callable[[Workload, Problem], bool] = lambda *_: True
    """Whether the workload has a use for the lever at all."""


def _keep_todays_machines(workload: Workload, problem: Problem) -> Mask:
    """Return the options on today's types of machines, and those of models that run nowhere today."""
    models, types = _list_todays_models(workload), {pool.machine for pool in workload.today}
    return np.array([o.machine.name in types or o.variant.model not in models for o in problem.options], dtype=np.bool_)


def _keep_unquantised(workload: Workload, problem: Problem) -> Mask:
    """Return the options with today's variants, those pruned in a precision of today, and those of models that run nowhere today."""
    models, names = _list_todays_models(workload), {pool.variant for pool in workload.today}
    precisions = {(v.model, v.precision) for v in workload.variants if v.name in names}
    kept = [
        v.name in names or v.model not in models or (v.pruned and (v.model, v.precision) in precisions)
        for v in _list_variants(problem)
    ]
    return np.array(kept, dtype=np.bool_)


def _keep_unpruned(workload: Workload, problem: Problem) -> Mask:
    """Return the options with whole variants, those of today, and those of models that run nowhere today."""
    models, names = _list_todays_models(workload), {pool.variant for pool in workload.today}
    return np.array([not v.pruned or v.name in names or v.model not in models for v in _list_variants(problem)], dtype=np.bool_)


def _list_variants(problem: Problem) -> list[ModelVariant]:
    """Return the variant of every option."""
    return [option.variant for option in problem.options]


def _keep_todays_models(workload: Workload, problem: Problem) -> Mask:
    """Return the options with today's models."""
    models = _list_todays_models(workload)
    return np.array([option.variant.model in models for option in problem.options], dtype=np.bool_)


def _list_todays_models(workload: Workload) -> set[str]:
    """Return the models that run today."""
    used = {pool.variant for pool in workload.today}
    return {variant.model for variant in workload.variants if variant.name in used}


def _keep_todays_offers(workload: Workload, problem: Problem) -> Mask:
    """Return the options under today's offers."""
    todays = {pool.offer for pool in workload.today}
    return np.array([option.terms.offer in todays for option in problem.options], dtype=np.bool_)


def _keep_uninterruptible(workload: Workload, problem: Problem) -> Mask:
    """Return the options that are not taken away, or are paid as today's are."""
    return ~problem.interruptible | _keep_todays_offers(workload, problem)


def _keep_rented_machines(workload: Workload, problem: Problem) -> Mask:
    """Return the options that are machines by the hour, or are paid as today's are."""
    return (~problem.metered & ~problem.only_covered) | _keep_todays_offers(workload, problem)


STEPS: tuple[LeverStep, ...] = (
    LeverStep("right-size", "the cheapest fixed fleet for today's variants, sized for the week's peak", _keep_todays_machines),
    LeverStep("autoscale", "machines by the hour instead of for the peak"),
    LeverStep("batch", "batches as large as the promises allow", used=lambda w, _: any(pool.max_batch for pool in w.today)),
    LeverStep("quantise", "every variant of today's models", _keep_unquantised),
    LeverStep(
        "prune",
        "those too that have parts taken out",
        _keep_unpruned,
        used=lambda w, _: any(variant.pruned for variant in w.variants),
    ),
    LeverStep("route", "every model, each answering the share that it may", _keep_todays_models),
    LeverStep(
        "cascade",
        "a small model asked first, a large one for the rest",
        workload=lambda w: replace(w.direct, where=w.where, purchase=w.purchase) if w.direct else w,
        used=lambda w, _: w.direct is not None,
    ),
    LeverStep(
        "cache",
        "answers kept instead of made again",
        workload=drop_hits,
        used=lambda w, _: any(item.demand.cached is not None for item in w.classes),
    ),
    LeverStep("spot", "machines that may be taken away", _keep_uninterruptible),
    LeverStep("commit", "commitments for what always runs"),
    LeverStep("defer", "deferrable work, in the valleys"),
    LeverStep(
        "services",
        "functions, token APIs and machines of one's own",
        _keep_rented_machines,
        used=lambda w, p: bool((~_keep_rented_machines(w, p)).any()),
    ),
)
"""In the order of the waterfall; the last that has a use is the plan itself."""


def find_levers(ground: Baseline, today: tuple[BillLine, ...], progress: Progress) -> tuple[Lever, ...]:
    """Return the waterfall from today's bill to the plan's: its savings add up to the difference exactly.

    A stage without a plan of its own (today's models may not serve the traffic within the promises at all) saves nothing by
    itself; what it would have saved falls to the next lever. By itself, a lever takes the same share off today's machines, slack
    included, that it takes off the smallest fixed fleet of today's types that keeps the promises.
    """
    before = sum(line.usd for line in today)
    if before <= 0.0:
        return ()
    steps = [step for step in STEPS if step.used(ground.workload, ground.whole)]
    machines_usd = sum(line.usd for line in today if line.pool or line.driver == UNUSED)
    here = _restrict_to_today(ground.workload)
    needed = lever_usd(ground, here, frozenset())
    levers: list[Lever] = []
    names: frozenset[str] = frozenset()
    for step in steps:
        progress(f"explain: {step.lever}")
        names |= {step.lever}
        last = step is steps[-1]
        after = ground.usd_per_month if last else _add(lever_usd(ground, ground.workload, names), ground.constant_usd)
        alone = lever_usd(ground, here, frozenset({step.lever})) if needed and step.lever != "right-size" else None
        alone_usd = None if alone is None or not needed else machines_usd * (1.0 - alone / needed)
        saving, note = (0.0, NO_PLAN) if after is None else (before - after, step.words)
        if step.lever == "right-size" and after is not None:
            alone_usd = saving
        levers.append(Lever(step.lever, saving, note, alone_usd))
        before = before if after is None else after
    return tuple(levers)


def _add(usd: float | None, more: float) -> float | None:
    """Return the sum, None where there is none."""
    return None if usd is None else usd + more


def _restrict_to_today(workload: Workload) -> Workload:
    """Return the workload where today's fleet stands, with its types of machines allowed."""
    regions: dict[str, tuple[str, ...]] = {}
    for pool in workload.today:
        regions[pool.cloud] = tuple(dict.fromkeys((*regions.get(pool.cloud, ()), pool.region)))
    families = workload.where.families
    types = tuple(dict.fromkeys(pool.machine for pool in workload.today))
    where = replace(workload.where, regions=regions, families=(*families, *types) if families else ())
    return replace(workload, where=where)


def lever_usd(ground: Baseline, workload: Workload, levers: frozenset[str]) -> float | None:
    """Return what the machines of the cheapest plan with these levers and no others cost a month; None where there is none.

    ``workload`` is the ground's, wherever it may be served. Levers that change nothing are not planned for again.
    """
    try:
        whole, keep = _build_without(ground, workload, levers)
    except InfeasibleError:
        return None
    key = (id(whole), keep.tobytes(), *(lever in levers for lever in ("autoscale", "commit", "defer")))
    if key not in ground.solved:
        ground.solved[key] = _plan_usd(ground, workload, whole, keep, levers)
    return ground.solved[key]


def _build_without(ground: Baseline, workload: Workload, levers: frozenset[str]) -> tuple[Problem, Mask]:
    """Return the whole problem as it is with these levers, built once, and which of its options they allow, bool[P]."""
    off = [step for step in STEPS if step.lever not in levers]
    changing = tuple(step for step in off if step.workload and step.used(workload, ground.whole))
    limits = [pool.max_batch for pool in workload.today if pool.max_batch]
    max_batch = 0 if "batch" in levers else max(limits, default=0)
    key = (repr(workload.where), changing, max_batch)
    for step in changing:
        workload = step.workload(workload) if step.workload else workload
    if key not in ground.built:
        as_planned = key == (repr(ground.workload.where), (), 0)
        ground.built[key] = ground.whole if as_planned else _build(ground, workload, max_batch)
    whole = ground.built[key]
    keep = np.ones(len(whole.options), dtype=np.bool_)
    for step in off:
        keep &= step.options(workload, whole) if step.options else True
    return whole, keep


def _build(ground: Baseline, workload: Workload, max_batch: int) -> Problem:
    """Return the problem of a workload with every option there is."""
    bench = ground.bench
    return build_problem(workload, bench.book, bench.table, ground.proof.headroom, max_batch, whole=True)


def _plan_usd(ground: Baseline, workload: Workload, whole: Problem, keep: Mask, levers: frozenset[str]) -> float | None:
    """Return the cost of the cheapest plan with the options of ``keep`` (bool[P]), None where there is none."""
    if not keep.any():
        return None
    spread = "defer" not in levers
    if whole is ground.whole and keep.all() and {"autoscale", "commit"} <= levers and not (spread and whole.windows):
        return ground.proof.solution.usd_per_month
    problem = _with_levers(whole, keep, levers)
    try:
        if "autoscale" in levers:
            solution = solve(problem, spread_work=spread)
        elif not spread:
            return _price_fixed_fleet(problem)
        else:
            solution = solve(static(problem), spread_work=True)
        return (commit_on_futures(workload, solution, whole)[0] if "commit" in levers else solution).usd_per_month
    except (Infeasible, InfeasibleError):
        return None


def _with_levers(whole: Problem, keep: Mask, levers: frozenset[str]) -> Problem:
    """Return the problem with the options of ``keep`` (bool[P]) and what else only these levers give."""
    problem = drop_dominated(restrict(whole, keep))
    return problem if "commit" in levers else drop_commitments(problem)


def _price_fixed_fleet(problem: Problem) -> float:
    """Return what a fleet that never changes costs a month where deferrable work fills what its peak leaves free."""
    fixed = solve(replace(static(problem), windows=())) if len(problem.interactive) else None
    machines = np.zeros((len(problem.options), problem.blocks), dtype=np.int64)
    share = np.zeros((len(problem.interactive), *machines.shape))
    if fixed is not None:
        machines += fixed.machines
        share += fixed.share
    machines, work = place_deferrable(problem, machines, share, np.asarray(machines.any(axis=1)))
    held = np.repeat(machines.max(axis=1, keepdims=True), problem.blocks, axis=1)
    return monthly_usd(problem, held, share, work, problem.existing_usd_per_hour)
