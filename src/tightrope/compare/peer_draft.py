"""What a peer's rule decides on and comes to, and what several rules share: one type of machine for everything, or one for each class."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tightrope.base.catalogue import ON_DEMAND
from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import BillLine, Committed, Usage, UsageLine
from tightrope.base.records import FloatArray, IntArray, ScalingPolicy, Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.fleet.plan_fleet import build_fleet, open_pools
from tightrope.plan.problem.arrays import Infeasible, PoolOption, Problem, restrict
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.cost_lines import build_machine_lines, total_usd
from tightrope.plan.problem.placement import plan_around
from tightrope.plan.problem.response_cache import build_cache_lines
from tightrope.plan.solve.commitment_choice import machines_usd
from tightrope.plan.solve.decomposition import Solution
from tightrope.plan.solve.deferrable_work import place_deferrable, spread_deferrable
from tightrope.replay.records import Fleet

HPA_TARGET = 0.7
"""Target utilisation of those who scale by load alone, where none is stated."""
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Setting:
    """What every rule may look at: one region's options, and the part of the traffic that sizing may see."""

    workload: Workload
    book: PriceBook
    table: CapacityTable
    problem: Problem
    """On-demand stands beside the offers that the workload allows."""
    headroom: dict[str, float]
    """Class → the factor by which ``problem.rate`` is raised, as our own plan's is where a promise was missed."""
    hpa_target: float = HPA_TARGET

    @property
    def most_headroom(self) -> float:
        """The largest of the factors, for what scales all classes alike."""
        return max(self.headroom.values(), default=1.0)


@dataclass(frozen=True, slots=True)
class Draft:
    """A peer's plan: what may be replayed, and what its own rule takes it to run."""

    options: tuple[PoolOption, ...]
    """What each of the fleet's pools is made of."""
    fleet: Fleet
    machines: FloatArray
    """float64[pools, B]: machines that the rule expects to run in each hour of the week."""
    disk_usd_per_hour: FloatArray
    """float64[pools]."""
    committed: tuple[Committed, ...]
    around: tuple[BillLine, ...]
    """What does not depend on the machines: traffic, what stands around them, storage of the models, the cache."""
    note: str = ""
    breaks: str = ""
    """What the workload states that the rule does not keep to, in words; empty where it keeps to all."""

    @property
    def lines(self) -> tuple[UsageLine, ...]:
        """Return whose machine-hours each pool's are."""
        return tuple(option.to_usage_line(pool.name) for pool, option in zip(self.fleet.pools, self.options, strict=True))


@dataclass(frozen=True, slots=True)
class MachineLoads:
    """Machines' worth of interactive work on every option that is used, float64[P, B]: at the planned peaks, and on the mean."""

    peak: FloatArray
    mean: FloatArray


Count: TypeAlias = Callable[[MachineLoads], IntArray]
"""How many machines of every option a rule runs for interactive work, int64[P, B]."""


def scheduled_usd(draft: Draft, book: PriceBook, hours_per_month: FloatArray) -> float:
    """Return what the machines that the rule expects cost a month, US dollars; ``hours_per_month`` is float64[B]."""
    usage = Usage(draft.lines, draft.machines, hours_per_month)
    return total_usd(build_machine_lines(usage, book, draft.committed, {}, draft.disk_usd_per_hour))


def draft_of(
    setting: Setting, solution: Solution, expected: IntArray, scaling: ScalingPolicy, most: IntArray | None = None
) -> Draft:
    """Return the draft of a solution whose machines are the schedule; ``expected`` int64[P, B] is what the rule takes to run.

    ``most`` int64[P] is how far the autoscaler may go, where the rule has its own limit.
    """
    pools = open_pools(solution)
    rows = [pool.index for pool in pools]
    fleet = build_fleet(replace(setting.workload, scaling=scaling), solution, setting.table)
    around, _ = plan_around(setting.workload, setting.book, solution.problem, solution.machines, solution.share, solution.work)
    if most is not None:
        ceilings = [max(pool.ceiling, int(most[row])) for pool, row in zip(fleet.pools, rows, strict=True)]
        fleet = replace(
            fleet, pools=tuple(replace(pool, ceiling=ceiling) for pool, ceiling in zip(fleet.pools, ceilings, strict=True))
        )
    return Draft(
        options=tuple(pool.option for pool in pools),
        fleet=fleet,
        machines=expected[rows].astype(np.float64),
        disk_usd_per_hour=solution.problem.disk_usd_per_hour[rows],
        committed=solution.problem.committed(solution.problem.existing_usd_per_hour),
        around=around + build_cache_lines(setting.workload, setting.book, solution.problem),
    )


# ------------------------------------------------------------------------------------------------------ one type of machine


def on_demand(problem: Problem) -> NDArray[np.bool_]:
    """Return the options that are machines paid on demand, bool[P]."""
    plain = np.array([option.terms.offer == ON_DEMAND for option in problem.options])
    return plain & ~problem.metered & ~problem.only_covered


def serves_alone(problem: Problem) -> NDArray[np.bool_]:
    """Return which option may do all of a class, interactive classes first, bool[C + deferrable classes, P]."""
    sustains = ((problem.mu > 0.0) | (problem.rate[:, None, :] <= 0.0)).all(axis=2)
    whole = problem.share_cap[:, problem.variant_of] >= 1.0
    good = problem.quality[problem.variant_of][None, :] >= problem.quality_floor[:, None] - ROUNDING
    return np.vstack([sustains & whole & good, problem.work_per_s > 0.0])


def list_assignments(problem: Problem, allowed: NDArray[np.bool_]) -> list[IntArray]:
    """Return the ways to give every class one option, int64[C + deferrable classes] each: the same one for all classes.

    Where none serves all of them, the only way is each class's own, the cheapest for a request. Raises ``InfeasibleError`` where a
    class has none.
    """
    alone = serves_alone(problem) & allowed
    if alone.all(axis=0).any():
        return [np.full(len(alone), p, dtype=np.int64) for p in np.flatnonzero(alone.all(axis=0))]
    names = (*problem.interactive, *problem.deferrable)
    if unserved := [name for name, row in zip(names, alone, strict=True) if not row.any()]:
        what = f"no single type of machine may do all of {', '.join(unserved)}"
        raise InfeasibleError(what, resolve="allow a variant that serves all of the class, and a machine that keeps its promises")
    sustained = np.vstack([problem.mu.max(axis=2), problem.work_per_s])
    usd = np.where(alone, problem.usd_per_hour / np.maximum(sustained, 1e-12), np.inf)
    return [np.argmin(usd, axis=1).astype(np.int64)]


@dataclass(frozen=True, slots=True)
class SingleTypeFleet:
    """A solution with one type of machine, or one for each class; ``interactive`` is what it needs beside its deferrable work."""

    solution: Solution
    interactive: IntArray
    """int64[P, B]."""
    loads: MachineLoads

    @property
    def jobs(self) -> IntArray:
        """Return the machines for deferrable work alone, int64[P, B]."""
        return self.solution.machines - self.interactive


def find_lone_solutions(
    problem: Problem, allowed: NDArray[np.bool_], count: Count, *, spread_work: bool = False
) -> Iterator[SingleTypeFleet]:
    """Yield the solution of every assignment that keeps the quotas; deferrable work fills idle machines before new ones.

    With ``spread_work`` it runs evenly over its window, on machines of its own.
    """
    place = spread_deferrable if spread_work else place_deferrable
    for chosen in list_assignments(problem, allowed):
        used = np.unique(chosen)
        small = restrict(problem, np.isin(np.arange(len(problem.options)), used))
        share = np.zeros((len(problem.interactive), len(used), problem.blocks))
        share[np.arange(len(share)), np.searchsorted(used, chosen[: len(share)])] = 1.0
        loads = compute_loads(small, share)
        interactive = count(loads)
        try:
            machines, work = place(small, interactive, share, np.ones(len(used), dtype=bool))
        except Infeasible:
            continue
        if within_quotas(small, machines):
            amounts = small.existing_usd_per_hour
            solution = Solution(small, machines, share, work, amounts, machines_usd(small, machines, amounts))
            yield SingleTypeFleet(solution, interactive, loads)


def compute_loads(problem: Problem, share: FloatArray) -> MachineLoads:
    """Return the load of ``share`` (float64[C, P, B]) on every option, in machines."""
    return MachineLoads(*((share * problem.load(rate)).sum(axis=0) for rate in (problem.rate, problem.mean_rate)))


def cheapest(found_ones: Iterator[SingleTypeFleet]) -> SingleTypeFleet:
    """Return the cheapest; raise ``InfeasibleError`` where there is none."""
    found = min(found_ones, key=lambda lone: lone.solution.usd_per_month, default=None)
    if found is None:
        what = "quota: no single type of machine is allowed in such numbers"
        raise InfeasibleError(what, resolve="raise where.quotas, or allow more families")
    return found


def within_quotas(problem: Problem, machines: IntArray) -> bool:
    """Return whether no quota is exceeded by ``machines`` (int64[P, B])."""
    return all(machines[quota.mask].sum(axis=0).max(initial=0) <= quota.machines for quota in problem.quotas)


def whole(machines: FloatArray) -> IntArray:
    """Return machines rounded up, of any shape."""
    return np.ceil(machines - ROUNDING).astype(np.int64)
