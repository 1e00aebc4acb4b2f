"""The proof: replay the fleet on traffic that sizing never saw, and size again until every promise holds."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import Evidence
from tightrope.base.records import FloatArray, Workload
from tightrope.clouds.book import PriceBook
from tightrope.demand.blocks import DAY_S
from tightrope.plan.build import build_problem
from tightrope.plan.capacity import CapacityTable
from tightrope.plan.fleet import Stretch, busiest, draw_traffic, heldout_stretch, plan_fleet
from tightrope.plan.infeasible import explain_infeasible
from tightrope.plan.problem import Problem
from tightrope.plan.solve import Infeasible, Solution, relax, solve
from tightrope.replay.evidence import judge_all
from tightrope.replay.records import Drill, Fleet, Outcome, Traffic
from tightrope.replay.run import replay_fleet

Draw: TypeAlias = Callable[[Workload, Stretch, int], Traffic]
"""Returns the traffic of a stretch for a seed."""
MAX_ROUNDS = 5
RAISE = 1.12
"""A class that misses a promise is planned for this much more, and again, until it holds."""
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
        """Return the decision in each allowed region, the one with the cheapest relaxation first.

        A plan stays in one region: what users and data between regions cost is not known here, and unknown is not zero. Raises
        ``InfeasibleError`` where no region can serve.
        """
        found: list[tuple[float, Problem]] = []
        refused: list[InfeasibleError] = []
        for workload in one_region_each(self.workload):
            try:
                problem = build_problem(workload, self.book, self.table, headroom)
                found.append((relaxed_usd(problem), problem))
            except InfeasibleError as error:
                refused.append(error)
        if not found:
            raise refused[0]
        return [problem for _, problem in sorted(found, key=lambda pair: pair[0])]

    def solve(self, problem: Problem) -> Solution:
        """Return the cheapest plan found; raise ``InfeasibleError`` that names what stands in the way."""
        try:
            return solve(problem)
        except Infeasible as stuck:
            raise explain_infeasible(problem, stuck) from None


def one_region_each(workload: Workload) -> Iterator[Workload]:
    """Yield the workload once for each of its regions, in the order stated."""
    for cloud, regions in workload.where.regions.items():
        for region in regions:
            yield replace(workload, where=replace(workload.where, regions={cloud: (region,)}))


def relaxed_usd(problem: Problem) -> float:
    """Return what the problem's linear relaxation costs a month; infinite where it has no solution."""
    try:
        return relax(problem).usd_per_month
    except Infeasible:
        return float("inf")


def proof_stretch(workload: Workload) -> Stretch:
    """Return what the proof replays: the held-out part, or its busiest stretch where that is all that can be replayed in reason."""
    whole = heldout_stretch(workload)
    expected = sum(item.demand.requests / item.demand.duration_s for item in workload.classes) * (whole.end_s - whole.start_s)
    if expected <= MAX_REPLAYED_REQUESTS:
        return whole
    length_s = max(600.0, (whole.end_s - whole.start_s) * MAX_REPLAYED_REQUESTS / expected / 2.0)
    return busiest(workload, whole, length_s)


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
    promised = [(item.name, classes[item.name].slos, classes[item.name].deferral) for item in fleet.classes]
    return judge_all(outcomes, promised, start_s=stretch.start_s, window=stretch.words, seeds=workload.seeds)


def prove(bench: Bench, progress: Callable[[str], None] = lambda _: None) -> Proof:
    """Return the first proven plan, or the best of ``MAX_ROUNDS``: a class that misses a promise is planned for more each round."""
    stretch, headroom = proof_stretch(bench.workload), dict.fromkeys((item.name for item in bench.workload.classes), 1.0)
    best: Proof | None = None
    for number in range(1, MAX_ROUNDS + 1):
        progress(f"round {number}: solve")
        try:
            proof = _attempt(bench, headroom, stretch, number, progress)
        except InfeasibleError:
            if best is None:
                raise
            break
        if best is None or proof.proven or sum(_shortfall(proof)) < sum(_shortfall(best)):
            best = proof
        if proof.proven:
            break
        headroom = {name: value * (RAISE if _missed(name, proof) else 1.0) for name, value in headroom.items()}
    assert best is not None  # noqa: S101 - the loop runs at least once
    return best


def _attempt(bench: Bench, headroom: dict[str, float], stretch: Stretch, number: int, progress: Callable[[str], None]) -> Proof:
    """Solve at one headroom and replay the result."""
    problem, *others = bench.regions(headroom)
    solution = bench.solve(problem)
    fleet = plan_fleet(bench.workload, solution, bench.table)
    progress(f"round {number}: replay {stretch.words}")
    outcomes = replay_seeds(fleet, bench.workload, stretch)
    evidence = gather_evidence(bench.workload, fleet, outcomes, stretch) + surge_evidence(bench.workload, fleet, stretch)
    return Proof(problem, tuple(others), solution, fleet, stretch, outcomes, evidence, dict(headroom), number)


def surge_evidence(workload: Workload, fleet: Fleet, stretch: Stretch) -> tuple[Evidence, ...]:
    """Judge the promises of interactive classes on the stretch's busiest day with every class's surge on top; none without one."""
    if not any(item.surge for item in workload.classes):
        return ()
    surged = replace(
        workload, classes=tuple(replace(item, growth=(1.0 + item.growth) * (1.0 + item.surge) - 1.0) for item in workload.classes)
    )
    peak = busiest(workload, stretch, min(DAY_S, stretch.end_s - stretch.start_s))
    found = gather_evidence(surged, fleet, replay_seeds(fleet, surged, peak), peak)
    return tuple(replace(item, window=f"{item.window}, surge on top") for item in found if item.target < 1.0)


def _shortfall(proof: Proof) -> Iterator[float]:
    """Yield by how much each promise is missed."""
    return (max(0.0, item.target - item.attainment_low) for item in proof.evidence if item.verdict != "proven")


def _missed(name: str, proof: Proof) -> bool:
    """Return whether the class misses a promise."""
    return any(item.traffic_class == name and item.verdict != "proven" for item in proof.evidence)
