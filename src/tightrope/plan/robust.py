"""What might go wrong at the peak: more traffic, a zone lost, a spot storm, no metrics, tried on the traffic that proves the plan.

Nothing is decided here: the plan is the same whatever these replays show. They are the scenarios of ``tightrope replay``.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tightrope.base.plan import RobustnessCase, RobustnessPromise
from tightrope.base.records import Deferral, FloatArray, Slo, TrafficClass, Workload
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.demand.blocks import DAY_S
from tightrope.plan.cascade import promised_to
from tightrope.plan.fleet import Stretch, busiest, draw_traffic
from tightrope.plan.prove import Proof, spent_usd, split_heldout
from tightrope.plan.recorded import Recorded
from tightrope.plan.scenario import Scenario, place_drills, surged
from tightrope.replay.evidence import deadlines_s, due_words, has_metric, metric_s, percentiles_ms
from tightrope.replay.records import Drill, DrillKind, Outcome
from tightrope.replay.run import replay_fleet
from tightrope.replay.traffic import as_asked

SURGE = 1.5
"""Requests for each one of the peak day."""
PEAK_S = 6 * SECONDS_PER_HOUR
"""Drills are tried on so much of the peak day, or less where it holds more than ``MOST_REQUESTS``."""
MOST_REQUESTS = 750_000
THREADS = 2
Verdict = Literal["holds", "recovers", "misses"]


@dataclass(frozen=True, slots=True)
class Scene:
    """A stretch, drawn once, and what becomes of it where nothing goes wrong."""

    proof: Proof
    classes: tuple[TrafficClass, ...]
    """In the fleet's order."""
    stretch: Stretch
    recorded: Recorded
    seed: int

    def replay(self, scenario: Scenario, drill: Drill | None = None) -> Outcome:
        """Return what becomes of it."""
        duration_s = self.recorded.duration_s
        return replay_fleet(
            self.proof.fleet,
            surged(self.recorded.traffic, scenario.surge, duration_s, self.seed),
            duration_s=duration_s,
            block_offset_s=self.stretch.start_s,
            seed=self.seed,
            drill=drill,
        )


def find_robustness(workload: Workload, proof: Proof) -> tuple[RobustnessCase, ...]:
    """Return what the plan makes of a surge of half as much again, the loss of the worst zone, a spot storm and lost metrics.

    What can not happen to the fleet is left out: there is no spot storm without spot machines, no lost metric without an autoscaler.
    """
    peak = busiest(workload, split_heldout(workload)[1], _length_s(workload, DAY_S))
    day, hours = (_scene(workload, proof, busiest(workload, peak, _length_s(workload, most_s))) for most_s in (DAY_S, PEAK_S))
    tries = [(day, Scenario(), None), (day, Scenario(surge=SURGE), None), (hours, Scenario(), None)]
    tries += [(hours, Scenario(drill=kind), drill) for kind in _drills(proof) for drill in _placed(kind, hours)]

    def one(at: int) -> RobustnessCase:
        scene, scenario, drill = tries[at]
        return _case(scene, scenario, drill, scene.replay(scenario, drill))

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        usual, surge, calm, *drilled = pool.map(one, range(len(tries)))
    found = [replace(surge, usual_cost_usd=usual.cost_usd)]
    found += [replace(case, usual_cost_usd=calm.cost_usd) for case in _worst_of_each(drilled)]
    return tuple(case for case in found if case.promises)


def _length_s(workload: Workload, most_s: float) -> float:
    """Return how long a stretch is tried: what holds no more than about ``MOST_REQUESTS`` at twice the mean rate, in whole minutes."""
    mean_per_s = sum(item.demand.requests / item.demand.duration_s * (1.0 + item.growth) for item in workload.classes)
    return min(most_s, max(600.0, 60.0 * (MOST_REQUESTS / max(2.0 * mean_per_s, 1e-9) // 60.0)))


def _scene(workload: Workload, proof: Proof, stretch: Stretch) -> Scene:
    """Return a stretch with its traffic drawn."""
    classes = tuple(sorted(workload.classes, key=lambda item: item.deferral is not None))
    seed = workload.seeds[0]
    traffic = draw_traffic(workload, stretch, seed)
    recorded = Recorded(traffic, stretch.start_s, stretch.start_s, stretch.end_s - stretch.start_s, ())
    return Scene(proof, classes, stretch, recorded, seed)


def _drills(proof: Proof) -> list[DrillKind]:
    """Return the drills that can take something from the fleet."""
    pools = [pool for pool in proof.fleet.pools if pool.schedule.any() or pool.ceiling]
    possible: dict[DrillKind, bool] = {
        "zone-loss": any(pool.zones for pool in pools),
        "spot-storm": any(pool.interruptions_per_hour > 0.0 for pool in pools),
        "metrics-loss": proof.fleet.scaling.enabled,
    }
    return [kind for kind, may_happen in possible.items() if may_happen]


def _placed(kind: DrillKind, scene: Scene) -> tuple[Drill, ...]:
    """Return the drill at the stretch's busiest time, one for each zone that may be lost."""
    return place_drills(kind, scene.proof.fleet, scene.recorded)


def _case(scene: Scene, scenario: Scenario, drill: Drill | None, outcome: Outcome) -> RobustnessCase:
    """Return the figures of one replay; what it costs usually is for the caller to say."""
    promises = tuple(_promises(scene, drill, as_asked(outcome)))
    usd = spent_usd(scene.proof, [outcome])
    name = scenario.drill or f"surge ×{scenario.surge:g}"
    return RobustnessCase(
        name, _words(scene, scenario, drill), scene.stretch.words, promises, usd, usd, outcome.retries, _verdict(promises)
    )


def _words(scene: Scene, scenario: Scenario, drill: Drill | None) -> str:
    """Say what goes wrong, and when."""
    if drill is None:
        return f"{scenario.surge:g} times the requests on {scene.stretch.words}"
    taken = {
        "zone-loss": f"zone {drill.zone + 1}, the worst to lose, is gone without notice",
        "spot-zone-loss": f"the spot machines in zone {drill.zone + 1} are gone without notice",
        "spot-storm": "every spot machine gets its notice and none is to be had",
        "metrics-loss": "the autoscaler sees no metric",
    }[drill.kind]
    return f"{taken}, {scene.recorded.clock(drill.start_s, drill.end_s)}"


def _promises(scene: Scene, drill: Drill | None, outcome: Outcome) -> Iterator[RobustnessPromise]:
    """Yield what became of each promise of each class that had requests."""
    for index, item in enumerate(scene.classes):
        name, slos, deferral = promised_to(item)
        for promise in slos if deferral is None else (deferral,):
            time_s, value_s, kept = _kept(outcome, index, promise, scene.stretch.start_s)
            if not len(kept):
                continue
            during = kept[(time_s >= drill.start_s) & (time_s < drill.end_s)] if drill else kept[:0]
            p50, p95, p99 = percentiles_ms(value_s)
            yield RobustnessPromise(
                name,
                str(promise) if isinstance(promise, Slo) else due_words(promise),
                len(kept),
                promise.percentile if isinstance(promise, Slo) else 1.0,
                float(kept.mean()),
                during_attainment=float(during.mean()) if len(during) else None,
                p50_ms=p50,
                p95_ms=p95,
                p99_ms=p99,
            )


def _kept(outcome: Outcome, index: int, promise: Slo | Deferral, start_s: float) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Return when the class's requests came, what they took and whether the promise was kept: [requests] each."""
    mine = outcome.traffic.traffic_class == index
    if isinstance(promise, Slo):
        mine &= has_metric(outcome, promise.metric)
        value_s = metric_s(outcome, promise.metric)[mine]
        return outcome.traffic.time_s[mine], value_s, value_s <= promise.limit_s
    time_s = outcome.traffic.time_s[mine]
    return time_s, outcome.latency_s[mine], outcome.finish_s[mine] <= deadlines_s(time_s, start_s, promise)


def _verdict(promises: tuple[RobustnessPromise, ...]) -> Verdict:
    """Return the verdict of a case from its promises."""
    if any(item.attainment < item.target for item in promises):
        return "misses"
    held = all(item.during_attainment is None or item.during_attainment >= item.target for item in promises)
    return "holds" if held else "recovers"


def _worst_of_each(cases: list[RobustnessCase]) -> list[RobustnessCase]:
    """Return one case of each name, the one with the least margin: of zones, that whose loss is worst."""
    worst: dict[str, RobustnessCase] = {}
    for case in cases:
        if case.name not in worst or _gravity(case) > _gravity(worst[case.name]):
            worst[case.name] = case
    return list(worst.values())


def _gravity(case: RobustnessCase) -> tuple[float, float, int]:
    """Return what orders losses, the gravest last: by the worst margin over the stretch, while it lasts, then requests begun again."""
    over = max((item.target - item.attainment for item in case.promises), default=0.0)
    during = max(
        (item.target - item.during_attainment for item in case.promises if item.during_attainment is not None), default=0.0
    )
    return over, during, case.retries
