"""What is decided on the tuning days: how much traffic to plan for, and the load that the autoscaler steers to.

The peaks that sizing saw are no measure of what a promise needs: one at 95 % may let the worst minutes of an hour go, and traffic that
grows needs more than was seen. So the plan is replayed on days that sizing did not see and that prove nothing, planned for more or for
less, until what it costs as run is least with every promise kept and room to spare.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.errors import InfeasibleError
from tightrope.base.records import FloatArray, Workload
from tightrope.base.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from tightrope.demand.blocks import DAY_S
from tightrope.plan.bill.replay_bill import count_scheduled_hours
from tightrope.plan.commit.future_costs import build_option_key
from tightrope.plan.fleet.plan_fleet import Stretch, build_fleet, draw_traffic, open_pools
from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.cascade import asked_as
from tightrope.plan.prove.proof import (
    Bench,
    Proof,
    choose_tuning_stretch,
    gather_evidence,
    gather_surge_evidence,
    replay_seeds,
    restrict_to_regions,
)
from tightrope.plan.solve.decomposition import Solution, solve
from tightrope.plan.solve.region_ranking import rank_problems
from tightrope.replay.records import Fleet, Traffic

MAX_ROUNDS = 5
RAISE = 1.12
"""A class that misses a promise on the tuning days is planned for this much more, and again, until it holds."""
MORE, LESS = (1.25, 1.12), (0.8, 0.9)
"""Steps by which what is planned for is then raised and lowered, again and again while that costs less as run."""
MOST_TRIALS = 4
TARGETS = (1.05, 1.1, 1.2, 1.3)
"""Loads, as shares of what a machine sustains, that the autoscaler may be set to steer to instead of the workload's."""
ROOM = 0.1
"""What costs less is taken only where no promise uses more than the rest of the misses that it allows."""
IDLE_SCALER = 1.02
"""Where no more than this was run, as a multiple of the schedule, the autoscaler adds nothing."""
WORTH = 0.005
"""Part of the cost that another headroom has to save."""


@dataclass(slots=True)
class _Tuning:
    """What stays the same while tuning: one seed is drawn, once, since what is decided is coarse."""

    bench: Bench
    stretch: Stretch
    progress: Callable[[str], None]
    traffic: Traffic
    trials: int = 0

    @property
    def workload(self) -> Workload:
        """Return the workload, of one seed."""
        return self.bench.workload

    def replayed(self, proof: Proof, fleet: Fleet) -> Proof:
        """Return the proof with another fleet, replayed."""
        outcomes = replay_seeds(fleet, self.workload, self.stretch, draw=lambda *_: self.traffic)
        evidence = gather_evidence(self.workload, fleet, outcomes, self.stretch)
        return replace(
            proof, fleet=fleet, outcomes=outcomes, evidence=evidence + gather_surge_evidence(self.workload, fleet, self.stretch)
        )


def tune(bench: Bench, progress: Callable[[str], None] = lambda _: None) -> Proof:
    """Return the plan that is cheapest as run on the tuning days of those tried that keep every promise there, with room to spare.

    Where none keeps all, the one that comes nearest. A headroom or a target that the workload states stays. Where the autoscaler adds
    machines, more is tried, since what is planned for costs less than what is added; else less is. A part of a day is no ground for that.
    """
    workload = replace(bench.workload, seeds=bench.workload.seeds[:1])
    stretch = choose_tuning_stretch(workload)
    tuning = _Tuning(replace(bench, workload=workload), stretch, progress, draw_traffic(workload, stretch, workload.seeds[0]))
    first = _set_target(tuning, _find_first(tuning))
    best = first
    if first.proven and workload.headroom is None and stretch.end_s - stretch.start_s > DAY_S - 1.0:
        best = _walk(tuning, first, MORE if _adds_machines(first) else LESS)
    if best is not first:
        chosen = _list_places(best.problem)
        others = [problem for problem in bench.regions(best.headroom) if _list_places(problem) != chosen]
        best = replace(best, others=tuple(others))
    return replace(best, tuned=tuple(_describe_tuning(tuning, first, best)))


def _find_first(tuning: _Tuning) -> Proof:
    """Return the first plan that keeps every promise on the tuning days, or the best of ``MAX_ROUNDS``.

    A class that misses a promise there is planned for more each round.
    """
    stated = tuning.workload.headroom
    headroom = {item.name: stated or 1.0 for item in tuning.workload.classes}
    best: Proof | None = None
    for number in range(1, MAX_ROUNDS + 1):
        tuning.progress(f"round {number}: solve")
        try:
            proof = _solve_at(tuning, headroom, number)
        except InfeasibleError:
            if best is None:
                raise
            break
        if best is None or proof.proven or sum(_measure_shortfall(proof)) < sum(_measure_shortfall(best)):
            best = proof
        if proof.proven or stated is not None:
            break
        missed = {item.name for item in tuning.workload.classes if _misses_promise(asked_as(item), proof)}
        headroom = {name: value * (RAISE if name in missed else 1.0) for name, value in headroom.items()}
    assert best is not None  # noqa: S101 - the loop runs at least once
    return best


def _solve_at(tuning: _Tuning, headroom: dict[str, float], number: int) -> Proof:
    """Solve at one headroom, in whichever regions are cheapest, and replay the result."""
    problem, *others = rank_problems(tuning.bench.regions(headroom))
    solution = tuning.bench.solve(problem)
    tuning.progress(f"round {number}: replay {tuning.stretch.words}")
    fleet = build_fleet(tuning.workload, solution, tuning.bench.table)
    proof = Proof(problem, tuple(others), solution, fleet, tuning.stretch, [], (), dict(headroom), number)
    return tuning.replayed(proof, fleet)


# -------------------------------------------------------------------------------------------------------------------- headroom


def _walk(tuning: _Tuning, first: Proof, steps: tuple[float, float]) -> Proof:
    """Return the cheapest plan found by changing the headroom by the first step while that saves, then by the smaller one.

    Where less headroom breaks the promises of some classes only, the others are lowered without them. What breaks none and saves nothing
    ends it: a smaller step then saves nothing either.
    """
    best = first
    for factor in steps:
        moved = {item.name for item in tuning.workload.classes if item.deferral is None}
        while moved and tuning.trials < MOST_TRIALS:
            headroom = {name: value * (factor if name in moved else 1.0) for name, value in best.headroom.items()}
            trial = _try_headroom(tuning, best, headroom)
            if trial is None or (_has_room(trial) and as_run_usd(trial) >= (1.0 - WORTH) * as_run_usd(best)):
                return best
            if _has_room(trial):
                best = trial
                continue
            keeping = {item.name for item in tuning.workload.classes if item.name in moved and _has_room(trial, asked_as(item))}
            moved = keeping if keeping != moved else set()
    return best


def _try_headroom(tuning: _Tuning, best: Proof, headroom: dict[str, float]) -> Proof | None:
    """Return the plan of the same pools at another headroom, its autoscaler set; None where it has none, or cannot be cheaper."""
    tuning.trials += 1
    tuning.progress(f"tune: plan for {_name_factors(headroom)} times the peaks seen")
    bench = tuning.bench
    try:
        problem = build_problem(restrict_to_regions(bench.workload, best.problem), bench.book, bench.table, headroom)
        solution = solve(problem, pools=_match_pools(best.solution, problem))
    except (Infeasible, InfeasibleError):
        return None
    if solution.usd_per_month + problem.constant_usd_per_month >= as_run_usd(best):
        return None
    fleet = replace(build_fleet(tuning.workload, solution, bench.table), scaling=best.fleet.scaling)
    return _set_target(tuning, tuning.replayed(replace(best, problem=problem, solution=solution, headroom=headroom), fleet))


def _match_pools(solution: Solution, problem: Problem) -> np.ndarray:
    """Return the options of a problem that a solution of another uses, bool[P]."""
    used = {build_option_key(pool.option) for pool in open_pools(solution)}
    return np.array([build_option_key(option) in used for option in problem.options], dtype=bool)


def as_run_usd(proof: Proof) -> float:
    """Return the plan's monthly cost with what its autoscaler adds, at the scale of the stretch and the offers' own rates: US dollars.

    An hour more of a machine of one's own costs its power alone.
    """
    problem, index = proof.solution.problem, [pool.index for pool in open_pools(proof.solution)]
    usd_per_hour = np.where(problem.only_covered, problem.disk_usd_per_hour, problem.usd_per_hour)
    usd_per_hour = np.where(problem.metered, 0.0, usd_per_hour)[index]
    added = proof.machine_hours.sum(axis=1) - _count_scheduled_hours(proof).sum(axis=1)
    months = (proof.stretch.end_s - proof.stretch.start_s) / SECONDS_PER_HOUR / HOURS_PER_MONTH
    return proof.solution.usd_per_month + problem.constant_usd_per_month + float(usd_per_hour @ added) / months


def _count_scheduled_hours(proof: Proof) -> FloatArray:
    """Return the machine-hours that the schedule alone makes of the stretch, float64[pools, hours]."""
    schedule = np.stack([pool.schedule for pool in proof.fleet.pools])
    return count_scheduled_hours(schedule, proof.stretch.start_s, proof.stretch.end_s - proof.stretch.start_s)


# ----------------------------------------------------------------------------------------------------------------- autoscaler


def _set_target(tuning: _Tuning, proof: Proof) -> Proof:
    """Return the proof with the highest of ``TARGETS`` that keeps every promise with room to spare and runs for less, by bisection.

    The workload's own target stays where it states one, where a promise has no room, and where the autoscaler adds nothing.
    """
    scaling = proof.fleet.scaling
    higher = [target for target in TARGETS if target > scaling.target_utilisation]
    if not tuning.workload.tunes_target or not _has_room(proof) or not _adds_machines(proof):
        return proof
    best, low, high = proof, 0, len(higher)
    while low < high:
        middle = (low + high - 1) // 2
        tuning.progress(f"tune: the autoscaler steers to {higher[middle]:.0%}")
        tried = tuning.replayed(proof, replace(proof.fleet, scaling=replace(scaling, target_utilisation=higher[middle])))
        if _has_room(tried) and as_run_usd(tried) < as_run_usd(best):
            best, low = tried, middle + 1
        else:
            high = middle
    return best


def _adds_machines(proof: Proof) -> bool:
    """Return whether the autoscaler ran more than the schedule."""
    return proof.fleet.scaling.enabled and bool(proof.machine_hours.sum() > IDLE_SCALER * _count_scheduled_hours(proof).sum())


def _has_room(proof: Proof, name: str = "") -> bool:
    """Return whether every promise, or those of the class ``name``, holds and uses no more than its part of the misses that it allows.

    What allows no miss has none to use up.
    """
    judged = [item for item in proof.evidence if not name or item.traffic_class == name]
    return all(
        item.verdict == "proven" and (item.target >= 1.0 or item.attainment_low >= item.target + ROOM * (1.0 - item.target))
        for item in judged
    )


def _measure_shortfall(proof: Proof) -> Iterator[float]:
    """Yield by how much each promise is missed."""
    return (max(0.0, item.target - item.attainment_low) for item in proof.evidence if item.verdict != "proven")


def _misses_promise(name: str, proof: Proof) -> bool:
    """Return whether the class misses a promise."""
    return any(item.traffic_class == name and item.verdict != "proven" for item in proof.evidence)


# --------------------------------------------------------------------------------------------------------------------- in words


def _describe_tuning(tuning: _Tuning, first: Proof, best: Proof) -> Iterator[str]:
    """Yield what was decided."""
    days = tuning.stretch.words
    if tuning.workload.headroom is None:
        for name, value in first.headroom.items():
            if value > 1.0:
                yield f"{name} is planned for {value:.2f} times the peaks seen: on {days} less missed a promise"
    if best is not first:
        changed = {name: value for name, value in best.headroom.items() if value != first.headroom[name]}
        saved = 1.0 - as_run_usd(best) / as_run_usd(first)
        yield f"{_name_factors(changed)} times the peaks seen is planned for: on {days} that keeps every promise and costs {saved:.1%} less"
    target = best.fleet.scaling.target_utilisation
    if target != tuning.workload.scaling.target_utilisation:
        yield f"the autoscaler steers to {target:.0%} of what a machine sustains, not to {tuning.workload.scaling.target_utilisation:.0%}"


def _name_factors(headroom: dict[str, float]) -> str:
    """Say each class's factor, or the one that all have."""
    said = {name: f"{value:.2f}" for name, value in headroom.items()}
    return (
        next(iter(said.values()))
        if len(set(said.values())) == 1
        else ", ".join(f"{value} ({name})" for name, value in said.items())
    )


def _list_places(problem: Problem) -> frozenset[tuple[str, str]]:
    """Return where the problem's machines may stand."""
    return frozenset((option.machine.cloud, option.region) for option in problem.options)
