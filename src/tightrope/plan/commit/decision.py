"""What a plan commits to: its on-demand machines carried into the workload's futures, and the cheapest amounts for them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tightrope.base.catalogue import ON_DEMAND
from tightrope.base.errors import InputError
from tightrope.base.future import Future, Move, Scenario
from tightrope.base.plan import Refusal
from tightrope.base.records import FloatArray, IntArray, Workload
from tightrope.base.units import MONTHS_PER_YEAR
from tightrope.plan.commit.futures import Path, Shift, build_steady_path, project
from tightrope.plan.commit.outlook import CommitmentOutcome, Outlook, judge
from tightrope.plan.commit.sizing import find_cheapest_commitments
from tightrope.plan.problem.arrays import PoolOption, Problem
from tightrope.plan.problem.commitment_coverage import mean_break_even


@dataclass(frozen=True, slots=True)
class Decision:
    """What to commit to, and what that means in every future. K commitments as in ``Problem.covers``, S futures."""

    usd_per_hour: FloatArray
    """float64[K]: totals, what exists included."""
    outcome: CommitmentOutcome
    """With these amounts."""
    uncommitted: CommitmentOutcome
    """With what exists already and nothing more."""
    break_even: FloatArray
    """float64[K]: the utilisation from which each pays, on the machines it would cover; nan where it would cover none."""
    bound_usd_per_month: float
    """What no amounts of these commitments can cost less than, on average over the futures: the machines, disks apart."""
    futures: tuple[str, ...]
    """Name of each future."""
    refusals: tuple[Refusal, ...]
    """Commitments that are left out, and why."""

    @property
    def expected_utilisation(self) -> FloatArray:
        """Return the share of each commitment that is used, on average over the futures, float64[K]."""
        return self.outcome.weight @ self.outcome.utilisation


def choose_for_futures(
    workload: Workload, problem: Problem, machines: IntArray | FloatArray, committed: FloatArray | None = None
) -> Decision:
    """Return the commitments with the lowest expected bill over the workload's futures.

    ``machines`` is [P, B], the plan's machines in the problem's blocks, which stand for a typical week; those run on demand are
    carried over ``future.months`` under each scenario's growth and moves. A commitment for longer than that is not taken, as nothing
    is known of its end; one for less is taken as renewed. ``committed`` float64[K] is what the plan has committed to: of machines of
    one's own (``Problem.only_covered``), which run no other way, that is kept. Raises ``InputError`` where a move has no machine to
    go to.
    """
    outlook = build_outlook(workload.future, problem, machines)
    may_grow, refusals = _find_within_horizon(problem, workload.future)
    own = np.array([bool(np.any(cover.covers & problem.only_covered)) for cover in problem.covers], dtype=np.bool_)
    existing = problem.existing_usd_per_hour
    existing = existing if committed is None else np.where(own, committed, existing)
    covers = [replace(cover, existing_usd_per_hour=float(usd)) for cover, usd in zip(problem.covers, existing, strict=True)]
    sized = find_cheapest_commitments(outlook, covers, workload.purchase.min_utilisation, may_grow & ~own & problem.may_grow)
    return Decision(
        usd_per_hour=sized.usd_per_hour,
        outcome=judge(outlook, covers, sized.usd_per_hour),
        uncommitted=judge(outlook, covers, existing),
        break_even=_compute_break_even(outlook, problem),
        bound_usd_per_month=sized.bound_usd_per_month,
        futures=tuple(scenario.name for scenario in workload.future.scenarios) or ("every week like the one planned",),
        refusals=refusals,
    )


def build_outlook(future: Future, problem: Problem, machines: IntArray | FloatArray) -> Outlook:
    """Return the machine-hours on demand in every future, of all options; ``machines`` is [P, B]."""
    on_demand = np.array([option.terms.offer == ON_DEMAND for option in problem.options])
    hours = np.where(on_demand[:, None], machines, 0.0)
    rates = problem.usd_per_hour - problem.disk_usd_per_hour
    paths = tuple(_build_path(scenario, problem, hours) for scenario in future.scenarios) or build_steady_path()
    return project(hours, problem.block_hours, rates, paths, future.months)


def _build_path(scenario: Scenario, problem: Problem, hours: FloatArray) -> Path:
    """Return a scenario as shifts between options."""
    used = np.asarray(hours.any(axis=1), dtype=np.bool_)
    shifts: list[Shift] = []
    for move in scenario.moves:
        found = list(_find_shifts(scenario, move, problem, used))
        used[np.array([shift.target for shift in found], dtype=np.int64)] = True
        shifts += found
    return Path(scenario.weight, scenario.growth_per_month, tuple(shifts))


def _find_shifts(scenario: Scenario, move: Move, problem: Problem, used: NDArray[np.bool_]) -> Iterator[Shift]:
    """Yield a shift for every option in use of the family that is left: to the most alike of the other family in the same region."""
    for source in np.flatnonzero(used):
        option = problem.options[source]
        if move.source not in {option.machine.family, option.machine.name}:
            continue
        targets = [p for p, other in enumerate(problem.options) if _may_become(option, other, move.target)]
        if not targets:
            what = f"future {scenario.name!r} moves {option.machine.name} of {option.region} to {move.target}, which cannot serve there"
            raise InputError(what, resolve=f"allow {move.target} under `where`, with a profile, or take the move out")
        target = min(targets, key=lambda p, option=option: _measure_difference(option, problem.options[p]))
        yield Shift(int(source), target, float(move.by_month), move.ratio)


def _may_become(option: PoolOption, other: PoolOption, target: str) -> bool:
    """Return whether a move to ``target`` may end at ``other``."""
    place = (other.machine.cloud, other.region, other.terms.offer)
    return place == (option.machine.cloud, option.region, ON_DEMAND) and target in {other.machine.family, other.machine.name}


def _measure_difference(option: PoolOption, other: PoolOption) -> tuple[bool, int, float, str]:
    """Return how far another option is: another variant, another number of accelerators, more or fewer CPUs."""
    return (
        option.variant.name != other.variant.name,
        abs(option.machine.accelerators - other.machine.accelerators),
        abs(math.log(other.machine.vcpu / option.machine.vcpu)),
        other.label,
    )


def _find_within_horizon(problem: Problem, future: Future) -> tuple[NDArray[np.bool_], tuple[Refusal, ...]]:
    """Return which commitments end within the months that are looked at, bool[K], and why the others are left out."""
    years = np.array([cover.term_years for cover in problem.covers], dtype=np.int64)
    fits = np.asarray(years * MONTHS_PER_YEAR <= future.months, dtype=np.bool_)
    longest = {
        cover.offer: cover.term_years * MONTHS_PER_YEAR for cover, fit in zip(problem.covers, fits, strict=True) if not fit
    }
    refusals = tuple(
        Refusal(
            offer, f"it lasts {months} months, and the future is stated for {future.months}: state `future: {{months: {months}}}`"
        )
        for offer, months in longest.items()
    )
    return fits, refusals


def _compute_break_even(outlook: Outlook, problem: Problem) -> FloatArray:
    """Return each commitment's break-even utilisation, weighted by what the machines that it covers cost on demand, float64[K]."""
    spend = outlook.on_demand_usd_per_hour * np.einsum("spt,s,t->p", outlook.hours, outlook.weight, outlook.hours_per_month)
    return mean_break_even(spend, outlook.on_demand_usd_per_hour, problem.covers)
