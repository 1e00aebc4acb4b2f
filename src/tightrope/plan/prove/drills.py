"""What might go wrong at the peak: more traffic, a zone lost, a spot storm, no metrics, tried on the traffic that proves the plan.

Nothing is decided here: the plan is the same whatever these replays show. They are the scenarios of ``tightrope replay``.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from tightrope.base.plan import RobustnessCase, RobustnessPromise
from tightrope.base.records import Deferral, FloatArray, Slo, TrafficClass, Workload
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.demand.blocks import DAY_S
from tightrope.plan.bill.plan_bill import measure_ran
from tightrope.plan.bill.replay_bill import build_stretch_lines
from tightrope.plan.fleet.plan_fleet import OpenPool, Stretch, busiest, draw_traffic
from tightrope.plan.fleet.recorded_traffic import RecordedTraffic
from tightrope.plan.fleet.scenarios import AS_RECORDED, ReplayScenario, place_drills, surged
from tightrope.plan.problem.cascade import get_promises
from tightrope.plan.problem.cost_lines import total_usd
from tightrope.plan.prove.proof import Proof, split_heldout
from tightrope.replay.evidence import (
    attained,
    deadlines_s,
    distinct,
    due_words,
    group_s,
    has_metric,
    metric_s,
    percentiles_ms,
)
from tightrope.replay.records import Drill, DrillKind, Outcome
from tightrope.replay.run import replay_fleet
from tightrope.replay.traffic import as_asked

SURGE = 1.5
"""Requests for each one of the peak day."""
PEAK_S = 6 * SECONDS_PER_HOUR
"""Drills are tried on so much of the peak day, or less where it holds more than ``MOST_REQUESTS``."""
MOST_REQUESTS = 750_000
SEEDS = 3
THREADS = 2
Tried = TypeVar("Tried")
Verdict = Literal["holds", "recovers", "misses"]


@dataclass(frozen=True, slots=True)
class DrillScene:
    """A stretch, drawn once a seed, and what becomes of it where nothing goes wrong."""

    proof: Proof
    classes: tuple[TrafficClass, ...]
    """In the fleet's order."""
    stretch: Stretch
    recorded: dict[int, RecordedTraffic]
    """Seed → what was drawn."""
    pools: tuple[OpenPool, ...]
    book: PriceBook

    def replay(self, seed: int, scenario: ReplayScenario, drill: Drill | None = None) -> Outcome:
        """Return what becomes of one draw."""
        recorded = self.recorded[seed]
        return replay_fleet(
            self.proof.fleet,
            surged(recorded.traffic, scenario.surge, recorded.duration_s, seed),
            duration_s=recorded.duration_s,
            block_offset_s=self.stretch.start_s,
            seed=seed,
            drill=drill,
        )

    def cost_usd(self, outcomes: list[Outcome]) -> float:
        """Return the machines' bill of the stretch under the plan's commitments, mean over the draws."""
        ran = measure_ran(self.proof.solution, self.proof.fleet, self.pools, self.book, self.stretch, outcomes)
        return total_usd(build_stretch_lines(ran, self.book))


@dataclass(frozen=True, slots=True)
class DrillTrial:
    """Something that goes wrong in a scene, with some of its draws."""

    scene: DrillScene
    seeds: tuple[int, ...]
    scenario: ReplayScenario = AS_RECORDED
    drill: Drill | None = None


def find_robustness(workload: Workload, proof: Proof, pools: tuple[OpenPool, ...], book: PriceBook) -> tuple[RobustnessCase, ...]:
    """Return what the plan makes of a surge of half as much again, the loss of the worst zone, a spot storm and lost metrics.

    What cannot happen to the fleet is left out: there is no spot storm without spot machines, no lost metric without an autoscaler.
    Which zone is the worst is found with the first seed; every case is then told with all of them.
    """
    seeds = _choose_seeds(workload)
    proving = split_heldout(workload)[1]
    day, hours = (
        _draw_scene(workload, proof, pools, book, busiest(workload, proving, _choose_length_s(workload, most_s)), seeds)
        for most_s in (DAY_S, PEAK_S)
    )
    zones = [DrillTrial(hours, seeds[:1], ReplayScenario(drill=kind), drill) for kind, drill in _list_drills(hours)]
    worst = {case.name: one for case, one in _find_worst_of_each(list(zip(_replay_trials(zones), zones, strict=True)))}
    tries = [DrillTrial(day, seeds), DrillTrial(day, seeds, ReplayScenario(surge=SURGE)), DrillTrial(hours, seeds)]
    usual, surge, calm, *drilled = _replay_trials([*tries, *(replace(one, seeds=seeds) for one in worst.values())])
    found = [replace(surge, usual_cost_usd=usual.cost_usd)]
    found += [replace(case, usual_cost_usd=calm.cost_usd) for case in drilled]
    return tuple(case for case in found if case.promises)


def _choose_seeds(workload: Workload) -> tuple[int, ...]:
    """Return the seeds of the proof, the first of them, and further numbers where they are fewer than ``SEEDS``.

    >>> from types import SimpleNamespace as Of
    >>> [_choose_seeds(Of(seeds=seeds)) for seeds in ((7,), (2, 1, 5, 9))]
    [(7, 8, 9), (2, 1, 5)]
    """
    more = range(max(workload.seeds) + 1, max(workload.seeds) + 1 + SEEDS)
    return (*workload.seeds, *more)[:SEEDS]


def _replay_trials(tries: list[DrillTrial]) -> list[RobustnessCase]:
    """Return what comes of each, replays side by side."""
    jobs = [(one, seed) for one in tries for seed in one.seeds]

    def replayed(job: tuple[DrillTrial, int]) -> Outcome:
        one, seed = job
        return one.scene.replay(seed, one.scenario, one.drill)

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        outcomes = iter(list(pool.map(replayed, jobs)))
    return [_summarise_trial(one, [next(outcomes) for _ in one.seeds]) for one in tries]


def _choose_length_s(workload: Workload, most_s: float) -> float:
    """Return how long a stretch is tried: what holds no more than about ``MOST_REQUESTS`` at twice the mean rate, in whole minutes."""
    mean_per_s = sum(item.demand.requests / item.demand.duration_s * (1.0 + item.growth) for item in workload.classes)
    return min(most_s, max(600.0, 60.0 * (MOST_REQUESTS / max(2.0 * mean_per_s, 1e-9) // 60.0)))


def _draw_scene(
    workload: Workload, proof: Proof, pools: tuple[OpenPool, ...], book: PriceBook, stretch: Stretch, seeds: tuple[int, ...]
) -> DrillScene:
    """Return a stretch with its traffic drawn, once a seed."""
    classes = tuple(sorted(workload.classes, key=lambda item: item.deferral is not None))
    length_s = stretch.end_s - stretch.start_s
    drawn = {
        seed: RecordedTraffic(draw_traffic(workload, stretch, seed), stretch.start_s, stretch.start_s, length_s, ())
        for seed in seeds
    }
    return DrillScene(proof, classes, stretch, drawn, pools, book)


def _list_drills(scene: DrillScene) -> Iterator[tuple[DrillKind, Drill]]:
    """Yield the drills that can take something from the fleet, at the stretch's busiest time, one for each zone that may be lost."""
    fleet = scene.proof.fleet
    pools = [pool for pool in fleet.pools if pool.schedule.any() or pool.ceiling]
    possible: dict[DrillKind, bool] = {
        "zone-loss": any(pool.zones for pool in pools),
        "spot-storm": any(pool.interruptions_per_hour > 0.0 for pool in pools),
        "metrics-loss": fleet.scaling.enabled and any(not pool.metered for pool in pools),
    }
    first = next(iter(scene.recorded.values()))
    return ((kind, drill) for kind, may in possible.items() if may for drill in place_drills(kind, fleet, first))


def _summarise_trial(one: DrillTrial, outcomes: list[Outcome]) -> RobustnessCase:
    """Return the figures of one try; what it costs usually is for the caller to say."""
    scene, scenario = one.scene, one.scenario
    promises = tuple(_evaluate_promises(scene, one.drill, distinct([as_asked(outcome) for outcome in outcomes])))
    usd = scene.cost_usd(outcomes)
    return RobustnessCase(
        name=scenario.drill or f"surge ×{scenario.surge:g}",
        what=_describe_trial(scene, scenario, one.drill),
        window=scene.stretch.words,
        promises=promises,
        cost_usd=usd,
        usual_cost_usd=usd,
        retries=round(float(np.mean([outcome.retries for outcome in outcomes]))),
        verdict=_judge_promises(promises),
        seeds=one.seeds,
    )


def _describe_trial(scene: DrillScene, scenario: ReplayScenario, drill: Drill | None) -> str:
    """Say what goes wrong, and when."""
    if drill is None:
        return f"{scenario.surge:g} times the requests on {scene.stretch.words}"
    taken = {
        "zone-loss": f"zone {drill.zone + 1}, the worst to lose, is gone without notice",
        "spot-zone-loss": f"the spot machines in zone {drill.zone + 1} are gone without notice",
        "spot-storm": "every spot machine gets its notice and none is to be had",
        "metrics-loss": "the autoscaler sees no metric",
    }[drill.kind]
    return f"{taken}, {next(iter(scene.recorded.values())).clock(drill.start_s, drill.end_s)}"


def _evaluate_promises(scene: DrillScene, drill: Drill | None, outcomes: list[Outcome]) -> Iterator[RobustnessPromise]:
    """Yield what became of each promise of each class that had requests, all draws together."""
    for index, item in enumerate(scene.classes):
        name, slos, deferral = get_promises(item)
        for promise in slos if deferral is None else (deferral,):
            of_each = [_evaluate_requests(outcome, index, promise, scene.stretch.start_s) for outcome in outcomes]
            time_s, value_s, kept = (np.concatenate(column) for column in zip(*of_each, strict=True))
            if not len(kept):
                continue
            seed = np.repeat(np.arange(len(of_each)), [len(times) for times, _, _ in of_each])
            group = (time_s // group_s(float(time_s.max()))).astype(np.int64)
            interval = attained(kept, group, seed)
            while_it = (time_s >= drill.start_s) & (time_s < drill.end_s) if drill else np.zeros(len(kept), dtype=bool)
            during = attained(kept[while_it], group[while_it], seed[while_it]) if while_it.any() else None
            p50, p95, p99 = percentiles_ms(value_s)
            yield RobustnessPromise(
                name,
                str(promise) if isinstance(promise, Slo) else due_words(promise),
                len(kept),
                promise.percentile if isinstance(promise, Slo) else 1.0,
                interval.share,
                attainment_low=interval.low,
                attainment_high=interval.high,
                during_attainment=during.share if during else None,
                during_low=during.low if during else None,
                during_high=during.high if during else None,
                p50_ms=p50,
                p95_ms=p95,
                p99_ms=p99,
            )


def _evaluate_requests(
    outcome: Outcome, index: int, promise: Slo | Deferral, start_s: float
) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Return when the class's requests came, what they took and whether the promise was kept: [requests] each."""
    mine = outcome.traffic.traffic_class == index
    if isinstance(promise, Slo):
        mine &= has_metric(outcome, promise.metric)
        value_s = metric_s(outcome, promise.metric)[mine]
        return outcome.traffic.time_s[mine], value_s, value_s <= promise.limit_s
    time_s = outcome.traffic.time_s[mine]
    return time_s, outcome.latency_s[mine], outcome.finish_s[mine] <= deadlines_s(time_s, start_s, promise)


def _judge_promises(promises: tuple[RobustnessPromise, ...]) -> Verdict:
    """Return the verdict of a case from its promises."""
    if any(item.attainment < item.target for item in promises):
        return "misses"
    held = all(item.during_attainment is None or item.during_attainment >= item.target for item in promises)
    return "holds" if held else "recovers"


def _find_worst_of_each(cases: list[tuple[RobustnessCase, Tried]]) -> list[tuple[RobustnessCase, Tried]]:
    """Return one case of each name, the one with the least margin, and what it is of: of zones, that whose loss is worst."""
    worst: dict[str, tuple[RobustnessCase, Tried]] = {}
    for case, tried in cases:
        if case.name not in worst or _rank_severity(case) > _rank_severity(worst[case.name][0]):
            worst[case.name] = case, tried
    return list(worst.values())


def _rank_severity(case: RobustnessCase) -> tuple[float, float, int]:
    """Return what orders losses, the gravest last: by the worst margin over the stretch, while it lasts, then requests begun again."""
    over = max((item.target - item.attainment for item in case.promises), default=0.0)
    during = max(
        (item.target - item.during_attainment for item in case.promises if item.during_attainment is not None), default=0.0
    )
    return over, during, case.retries
