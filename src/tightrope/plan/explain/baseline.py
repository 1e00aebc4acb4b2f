"""A plan's decision with every option there is, to be changed and planned again: what the explanation stands on."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import FloatArray, Workload
from tightrope.plan.commit.future_costs import build_option_key, commit_on_futures
from tightrope.plan.problem.arrays import Infeasible, PoolOption, Problem, restrict
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.dominance import drop_dominated
from tightrope.plan.prove.proof import Bench, Proof, restrict_to_regions
from tightrope.plan.solve.decomposition import Solution, solve

Progress = Callable[[str], None]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What stays the same while a plan is explained."""

    bench: Bench
    proof: Proof
    workload: Workload
    """With the plan's region alone."""
    whole: Problem
    """Every option of that region, also those that are never needed at today's prices."""
    constant_usd: float
    """What the plan's month costs beside what the problem decides."""
    built: dict[Hashable, Problem] = field(default_factory=dict, init=False, repr=False)
    """Whole problems, by what the workload and its engines were limited to."""
    solved: dict[Hashable, float | None] = field(default_factory=dict, init=False, repr=False)
    """What plans cost a month, by their problem and what was done with it."""

    @property
    def opened(self) -> Mask:
        """Return which options of ``whole`` the plan uses, bool[P]."""
        used = {build_option_key(option) for option in find_open_options(self.proof.solution)}
        return np.array([build_option_key(option) in used for option in self.whole.options], dtype=np.bool_)

    @property
    def usd_per_month(self) -> float:
        """Return what the plan costs a month."""
        return self.proof.solution.usd_per_month + self.constant_usd


def build_baseline(bench: Bench, proof: Proof, whole: Problem, constant_usd: float) -> Baseline:
    """Return the ground of a plan; ``whole`` is its ``build_whole_problem``, ``constant_usd`` what its month costs beside its machines."""
    return Baseline(bench, proof, restrict_to_regions(bench.workload, proof.problem), whole, constant_usd)


def build_whole_problem(bench: Bench, proof: Proof) -> Problem:
    """Return the decision in the plan's regions with every option that there is."""
    return build_problem(restrict_to_regions(bench.workload, proof.problem), bench.book, bench.table, proof.headroom, whole=True)


def find_open_options(solution: Solution) -> list[PoolOption]:
    """Return the options that a solution uses."""
    used = solution.machines.any(axis=1) | solution.share.any(axis=(0, 2)) | (solution.work > 0.0).any(axis=(0, 2))
    return [solution.problem.options[p] for p in np.flatnonzero(used)]


def plan_again(ground: Baseline, whole: Problem, keep: Mask | None = None) -> Solution | None:
    """Return the cheapest plan of a changed problem with the options of ``keep`` (bool[P]); None where there is none."""
    if keep is not None and not keep.any():
        return None
    problem = drop_dominated(whole if keep is None else restrict(whole, keep))
    try:
        return commit_on_futures(ground.workload, solve(problem), whole)[0]
    except Infeasible:
        return None


def reprice_pools(ground: Baseline, whole: Problem, keep: Mask) -> float | None:
    """Return what a changed problem costs a month with the pools of ``keep`` (bool[P]) and no others; None where they do not do."""
    small = restrict(whole, keep)
    try:
        solution = solve(small, pools=np.ones(len(small.options), dtype=np.bool_))
    except Infeasible:
        return None
    return commit_on_futures(ground.workload, solution, whole)[0].usd_per_month


def scale_prices(problem: Problem, option_factor: FloatArray, cover_factor: FloatArray) -> Problem:
    """Return the problem with what its options and commitments cost multiplied, float64[P] and float64[K]; disks and traffic stay."""
    own = problem.usd_per_hour - problem.disk_usd_per_hour
    metered = np.where(problem.metered, option_factor, 1.0)
    return replace(
        problem,
        usd_per_hour=own * option_factor + problem.disk_usd_per_hour,
        usd_per_request=problem.usd_per_request * metered,
        usd_per_work=problem.usd_per_work * metered,
        covers=tuple(
            replace(cover, usd_per_hour=cover.usd_per_hour * factor, step_usd_per_hour=cover.step_usd_per_hour * factor)
            for cover, factor in zip(problem.covers, cover_factor, strict=True)
        ),
    )


def scale_traffic(ground: Baseline, factor: float) -> Problem:
    """Return the whole problem with all traffic multiplied."""
    classes = tuple(replace(item, growth=(1.0 + item.growth) * factor - 1.0) for item in ground.workload.classes)
    workload = replace(ground.workload, classes=classes)
    return build_problem(workload, ground.bench.book, ground.bench.table, ground.proof.headroom, whole=True)


def scale_speed(problem: Problem, factor: FloatArray) -> Problem:
    """Return the problem with every machine's throughput multiplied, float64[P]."""
    return replace(problem, mu=problem.mu * factor[None, :, None], work_per_s=problem.work_per_s * factor)
