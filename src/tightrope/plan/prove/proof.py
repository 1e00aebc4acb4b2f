"""The proof: replay the plan, sized and tuned on other days, once on days that nothing was decided on.

Three parts of the trace, in its order: sizing sees the first, tuning (``tune.py``) the second, and the evidence is of the third alone.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TypeAlias

import numpy as np

from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import Evidence
from tightrope.base.records import FloatArray, Workload
from tightrope.clouds.book import PriceBook
from tightrope.demand.blocks import DAY_S
from tightrope.plan.fleet.plan_fleet import Stretch, busiest, draw_traffic, find_heldout_stretch
from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.cascade import get_promises
from tightrope.plan.problem.placement import split_by_machines
from tightrope.plan.solve.decomposition import Solution, solve
from tightrope.plan.solve.infeasibility import explain_infeasible
from tightrope.plan.solve.relaxation import relax
from tightrope.replay.evidence import judge_all
from tightrope.replay.records import Drill, Fleet, Outcome, Traffic
from tightrope.replay.run import replay_fleet
from tightrope.replay.traffic import as_asked

Draw: TypeAlias = Callable[[Workload, Stretch, int], Traffic]
"""Returns the traffic of a stretch for a seed."""
ENOUGH = 4
"""A promise that so many times the machines, always on, miss as well is infeasible: what is lacking is not machines."""
MAX_TUNING_REQUESTS = 2_500_000
"""Where a draw of the tuning days holds more, their busiest stretch of about so many requests stands for them."""
MAX_REPLAYED_REQUESTS = 4_000_000
"""Where the held-out part holds more, its busiest stretch of about so many requests is replayed; the evidence names it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A solution and what the replay of it showed."""

    problem: Problem
    others: tuple[Problem, ...]
    """The decision in the regions not chosen."""
    solution: Solution
    fleet: Fleet
    stretch: Stretch
    outcomes: list[Outcome]
    evidence: tuple[Evidence, ...]
    headroom: dict[str, float]
    rounds: int = 1
    tuned: tuple[str, ...] = ()
    """What was decided on the tuning days, in words."""

    @property
    def proven(self) -> bool:
        """Whether every promise held."""
        return all(item.verdict == "proven" for item in self.evidence)

    @property
    def machine_hours(self) -> FloatArray:
        """Machine-hours a billing hour, mean over the replays, float64[pools, hours]."""
        return np.mean([outcome.machine_hours for outcome in self.outcomes], axis=0)


@dataclass(slots=True)
class Bench:
    """What stays the same from round to round: the workload, prices, measured capacities, the traffic already drawn."""

    workload: Workload
    book: PriceBook
    table: CapacityTable = field(default_factory=CapacityTable)

    def regions(self, headroom: dict[str, float]) -> list[Problem]:
        """Return the decision in each allowed region, or set of them, the one with the cheapest relaxation first.

        Raises ``InfeasibleError`` where none can serve.
        """
        found: list[tuple[float, Problem]] = []
        refused: list[InfeasibleError] = []
        for workload in list_region_sets(self.workload):
            try:
                problem = build_problem(workload, self.book, self.table, headroom)
                found.append((estimate_relaxed_usd(problem), problem))
            except InfeasibleError as error:
                refused.append(error)
        if not found:
            raise refused[-1 if self.workload.where.together else 0]
        return [problem for _, problem in sorted(found, key=lambda pair: pair[0])]

    def solve(self, problem: Problem) -> Solution:
        """Return the cheapest plan found; raise ``InfeasibleError`` that names what stands in the way."""
        try:
            return solve(problem)
        except Infeasible as stuck:
            raise explain_infeasible(problem, stuck) from None


def split_by_region(workload: Workload) -> Iterator[Workload]:
    """Yield the workload once for each of its regions, in the order stated."""
    for cloud, regions in workload.where.regions.items():
        for region in regions:
            yield replace(workload, where=replace(workload.where, regions={cloud: (region,)}))


def list_region_sets(workload: Workload) -> Iterator[Workload]:
    """Yield the workload once for each set of regions that a plan may use: single ones, and larger sets where it says ``together``.

    Every set is a decision of its own, since opening a region costs what stands in it.
    """
    yield from split_by_region(workload)
    if not workload.where.together:
        return
    every = [(cloud, region) for cloud, regions in workload.where.regions.items() for region in regions]
    for size in range(2, len(every) + 1):
        for chosen in combinations(every, size):
            regions = {cloud: tuple(region for at, region in chosen if at == cloud) for cloud, _ in chosen}
            yield replace(workload, where=replace(workload.where, regions=regions))


def estimate_relaxed_usd(problem: Problem) -> float:
    """Return what the problem's linear relaxation costs a month with all besides; infinite where it has no solution."""
    found = [float("inf")]
    for part, besides_usd in split_by_machines(problem):
        try:
            found.append(relax(part).usd_per_month + besides_usd)
        except Infeasible:
            continue
    return min(found)


def restrict_to_regions(workload: Workload, problem: Problem) -> Workload:
    """Return the workload with the regions of a decision alone."""
    regions: dict[str, tuple[str, ...]] = {}
    for option in problem.options:
        if option.region in workload.where.regions.get(option.machine.cloud, ()):
            found = regions.get(option.machine.cloud, ())
            regions[option.machine.cloud] = found if option.region in found else (*found, option.region)
    return replace(workload, where=replace(workload.where, regions=regions or workload.where.regions))


def split_heldout(workload: Workload) -> tuple[Stretch, Stretch]:
    """Return what the fleet is tuned on and what proves it, which never meet.

    Of two held-out days or more the first half, in whole days, is for tuning. Less is all for the proof, and the fleet is tuned on as
    much before it, which sizing has seen: such days tell of queues and starts, not of traffic that nobody expected.
    """
    whole = find_heldout_stretch(workload)
    length_s = whole.end_s - whole.start_s
    days = int((length_s + 1.0) // DAY_S)
    if days < 2:
        return Stretch(max(0.0, whole.start_s - length_s), whole.start_s), whole
    cut_s = whole.start_s + DAY_S * (days // 2)
    return Stretch(whole.start_s, cut_s), Stretch(cut_s, whole.end_s)


def choose_proof_stretch(workload: Workload) -> Stretch:
    """Return what the proof replays: the days that nothing was decided on, or their busiest stretch where that is all there is time for."""
    return _limit_stretch(workload, split_heldout(workload)[1], MAX_REPLAYED_REQUESTS)


def choose_tuning_stretch(workload: Workload) -> Stretch:
    """Return what the fleet is tuned on: headroom for the classes that miss a promise, the autoscaler's target."""
    return _limit_stretch(workload, split_heldout(workload)[0], MAX_TUNING_REQUESTS)


def _limit_stretch(workload: Workload, whole: Stretch, most_requests: int) -> Stretch:
    """Return the stretch, or the busiest part of it that holds about as many requests as may be replayed."""
    expected = sum(item.demand.requests / item.demand.duration_s for item in workload.classes) * (whole.end_s - whole.start_s)
    if expected <= most_requests:
        return whole
    return busiest(workload, whole, max(600.0, (whole.end_s - whole.start_s) * most_requests / expected / 2.0))


def replay_seeds(
    fleet: Fleet, workload: Workload, stretch: Stretch, drill: Drill | None = None, draw: Draw = draw_traffic
) -> list[Outcome]:
    """Replay the fleet on one draw of the stretch per seed; compiled code runs outside Python's lock, so seeds run side by side."""

    def one(seed: int) -> Outcome:
        traffic = draw(workload, stretch, seed)
        return replay_fleet(
            fleet,
            traffic,
            duration_s=stretch.end_s - stretch.start_s,
            block_offset_s=stretch.start_s,
            seed=seed,
            drill=drill,
        )

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(one, workload.seeds))


def gather_evidence(workload: Workload, fleet: Fleet, outcomes: list[Outcome], stretch: Stretch) -> tuple[Evidence, ...]:
    """Judge every promise of every class."""
    classes = {item.name: item for item in workload.classes}
    promised = [get_promises(classes[item.name]) for item in fleet.classes]
    return judge_all(
        [as_asked(outcome) for outcome in outcomes], promised, start_s=stretch.start_s, window=stretch.words, seeds=workload.seeds
    )


def prove(bench: Bench, tuned: Proof, progress: Callable[[str], None] = lambda _: None) -> Proof:
    """Return what the tuned plan makes of the days kept for the proof, which are replayed once."""
    workload, stretch = bench.workload, choose_proof_stretch(bench.workload)
    progress(f"prove: replay {stretch.words}")
    outcomes = replay_seeds(tuned.fleet, workload, stretch)
    evidence = gather_evidence(workload, tuned.fleet, outcomes, stretch) + gather_surge_evidence(workload, tuned.fleet, stretch)
    return replace(tuned, stretch=stretch, outcomes=outcomes, evidence=mark_infeasible(workload, tuned.fleet, stretch, evidence))


def mark_infeasible(workload: Workload, fleet: Fleet, stretch: Stretch, evidence: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    """Return the evidence with the promises that no number of machines keeps called infeasible, and not merely not proven."""
    if all(item.verdict == "proven" for item in evidence):
        return evidence
    pools = tuple(
        replace(pool, schedule=np.full_like(pool.schedule, most), ceiling=most, interruptions_per_hour=0.0)
        for pool in fleet.pools
        for most in [ENOUGH * max(1, pool.ceiling, int(pool.schedule.max()))]
    )
    calm = replace(workload, seeds=workload.seeds[:1], failures_per_hour=0.0)
    plenty = replace(fleet, pools=pools, scaling=replace(fleet.scaling, enabled=False))
    shown = gather_evidence(calm, plenty, replay_seeds(plenty, calm, stretch), stretch)
    hopeless = {(item.traffic_class, item.slo) for item in shown if item.attainment < item.target}
    return tuple(
        replace(item, verdict="infeasible") if item.verdict != "proven" and (item.traffic_class, item.slo) in hopeless else item
        for item in evidence
    )


def gather_surge_evidence(workload: Workload, fleet: Fleet, stretch: Stretch) -> tuple[Evidence, ...]:
    """Judge the promises of interactive classes on the stretch's busiest day with every class's surge on top; none without one."""
    if not any(item.surge for item in workload.classes):
        return ()
    surged = replace(
        workload, classes=tuple(replace(item, growth=(1.0 + item.growth) * (1.0 + item.surge) - 1.0) for item in workload.classes)
    )
    peak = busiest(workload, stretch, min(DAY_S, stretch.end_s - stretch.start_s))
    found = gather_evidence(surged, fleet, replay_seeds(fleet, surged, peak), peak)
    return tuple(replace(item, window=f"{item.window}, surge on top") for item in found if item.target < 1.0)
