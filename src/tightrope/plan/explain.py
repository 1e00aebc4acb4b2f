"""Why this plan: what each lever saves, what binds, and what would change the answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import Lever
from tightrope.base.records import Workload
from tightrope.base.registry import find_offer
from tightrope.plan.build import build_problem
from tightrope.plan.problem import Problem, static, without_commitment
from tightrope.plan.prove import Bench, Proof
from tightrope.plan.solve import Infeasible, Relaxation, solve


@dataclass(frozen=True, slots=True)
class Stage:
    """One step from today's fleet to the plan: what is allowed so far."""

    lever: str
    words: str
    models: str
    """``variant`` (today's variants), ``model`` (every variant of today's models) or ``all``."""
    batches: bool
    scales: bool
    spot: bool
    commits: bool
    defers: bool


STAGES = (
    Stage(
        "right-size",
        "the cheapest fixed fleet for today's variants, sized for the week's peak",
        "variant",
        batches=False,
        scales=False,
        spot=False,
        commits=False,
        defers=False,
    ),
    Stage(
        "autoscale",
        "machines by the hour instead of for the peak",
        "variant",
        batches=False,
        scales=True,
        spot=False,
        commits=False,
        defers=False,
    ),
    Stage(
        "batch",
        "batches as large as the promises allow",
        "variant",
        batches=True,
        scales=True,
        spot=False,
        commits=False,
        defers=False,
    ),
    Stage(
        "quantise", "every variant of today's models", "model", batches=True, scales=True, spot=False, commits=False, defers=False
    ),
    Stage(
        "route",
        "every model, each answering the share that it may",
        "all",
        batches=True,
        scales=True,
        spot=False,
        commits=False,
        defers=False,
    ),
    Stage("spot", "machines that may be taken away", "all", batches=True, scales=True, spot=True, commits=False, defers=False),
    Stage(
        "commit", "a savings plan for what always runs", "all", batches=True, scales=True, spot=True, commits=True, defers=False
    ),
)
"""In the order of the waterfall; the last lever, ``defer``, is the plan itself."""


def _stage_workload(workload: Workload, stage: Stage) -> Workload:
    """Return the workload with only the variants and offers that the stage allows."""
    used = {pool.variant for pool in workload.today}
    models = {variant.model for variant in workload.variants if variant.name in used}
    allowed = {
        "variant": [variant for variant in workload.variants if variant.name in used],
        "model": [variant for variant in workload.variants if variant.model in models],
        "all": list(workload.variants),
    }[stage.models]
    pay = [name for name in workload.purchase.offers if find_offer(name).kind == "pay-as-you-go"]
    plans = [name for name in workload.purchase.offers if name not in pay]
    todays = {pool.offer for pool in workload.today}
    offers = [name for name in pay if stage.spot or name in todays] + (plans if stage.commits else [])
    return replace(workload, variants=tuple(allowed), purchase=replace(workload.purchase, offers=tuple(offers)))


def _region(proof: Proof) -> dict[str, tuple[str, ...]]:
    """Return the region of the plan, as a workload states it."""
    option = proof.problem.options[0]
    return {option.machine.cloud: (option.region,)}


def stage_usd(bench: Bench, stage: Stage, proof: Proof) -> float:
    """Return what the machines of the cheapest plan of a stage cost a month; infinite where the stage has no plan."""
    where = replace(bench.workload.where, regions=_region(proof))
    workload = replace(_stage_workload(bench.workload, stage), where=where)
    limits = [pool.max_batch for pool in workload.today if pool.max_batch]
    max_batch = 0 if stage.batches else max(limits, default=0)
    try:
        problem = build_problem(workload, bench.book, bench.table, proof.headroom, max_batch)
        problem = problem if stage.scales else static(problem)
        problem = problem if stage.commits else without_commitment(problem)
        return solve(problem, spread_work=not stage.defers).usd_per_month
    except (Infeasible, InfeasibleError):
        return float("inf")


def find_levers(
    bench: Bench, proof: Proof, today_usd: float, constant_usd: float, progress: Callable[[str], None]
) -> tuple[Lever, ...]:
    """Return the waterfall from today's bill to the plan's: its savings add up to the difference exactly.

    A stage without a plan of its own (today's models may not serve the traffic within the promises at all) saves nothing by
    itself; what it would have saved falls to the next lever.
    """
    if today_usd <= 0.0:
        return ()
    levers: list[Lever] = []
    before = today_usd
    batched = any(pool.max_batch for pool in bench.workload.today)
    for stage in STAGES:
        if stage.lever == "batch" and not batched:
            continue
        progress(f"explain: {stage.lever}")
        after = stage_usd(bench, stage, proof) + constant_usd
        if np.isfinite(after):
            levers.append(Lever(stage.lever, before - after, stage.words))
            before = after
        else:
            levers.append(Lever(stage.lever, 0.0, "no plan with this lever alone"))
    levers.append(Lever("defer", before - (proof.solution.usd_per_month + constant_usd), "work that can wait, in the valleys"))
    return tuple(levers)


LOOSENED = {
    "routing-share": (0.01, "one point more"),
    "spot-share": (0.01, "one point more"),
    "quota": (1.0, "one machine more"),
    "quality-floor": (-0.01, "one point less"),
}
"""Stated limits: the step by which each is loosened, and its words."""


def find_binding(relaxation: Relaxation) -> tuple[str, ...]:
    """Return which stated limits cost money, and what loosening each by a step saves a month: the relaxation's duals."""
    saved = {name: -step * relaxation.family_price[name] for name, (step, _) in LOOSENED.items()}
    return tuple(f"{name}: {LOOSENED[name][1]} saves about ${usd:,.2f} a month" for name, usd in saved.items() if usd > 0.01)


def find_sensitivities(proof: Proof, progress: Callable[[str], None]) -> tuple[str, ...]:
    """Return what the machines would cost a month, planned again with the same pools, if the world were different."""
    pools = np.asarray(proof.solution.share.any(axis=(0, 2)))
    base = proof.solution.usd_per_month
    found: list[str] = []
    for words, problem in _worlds(proof.problem):
        progress(f"explain: {words}")
        try:
            change = solve(problem, pools=pools).usd_per_month - base
        except Infeasible:
            found.append(f"{words}: no plan keeps the promises")
            continue
        found.append(
            f"{words}: {'+' if change >= 0 else '−'}${abs(change):,.0f} a month ({change / base:+.0%})".replace("-", "−")
        )
    return tuple(found)


def _worlds(problem: Problem) -> list[tuple[str, Problem]]:
    """Return the worlds to plan for."""
    slow = np.array([1.0 / (1.0 + option.profile.provenance.error_band) for option in problem.options])
    spot_dearer = np.where(problem.interruptible, 1.5, 1.0)
    own = problem.usd_per_hour - problem.disk_usd_per_hour
    more_work = tuple(replace(window, requests=window.requests * 1.25) for window in problem.windows)
    return [
        ("traffic +25 %", replace(problem, rate=problem.rate * 1.25, windows=more_work)),
        (
            "every profile slower by its error band",
            replace(problem, mu=problem.mu * slow[None, :, None], work_per_s=problem.work_per_s * slow),
        ),
        ("spot prices +50 %", replace(problem, usd_per_hour=own * spot_dearer + problem.disk_usd_per_hour)),
    ]
