"""How an engine is set: batches, tokens a step, sequences, chips. A setting is measured only where it might carry more.

A cut changes nothing on an idle engine, and can only protect a promise that a full step or batch may break; no setting sustains
more than its raw throughput, which is bounded on paper; and one replay at a little more than the engine sustains as it is tells
whether a setting carries that. Only what passes all three is measured.
"""

from collections.abc import Iterator

import numpy as np

from tightrope.base.records import Demand, EngineModel, IntArray, Profile, RequestEngine, Slo
from tightrope.perf.profile_search import smaller_settings
from tightrope.plan.problem.capacity import MAX_UTILISATION, Capacity, CapacityTable, size_larger_fleet
from tightrope.plan.problem.demand_week import ClassDemand

LEAST_GAIN = 0.02
"""Share by which another setting must carry more of some class before it is kept: less is the noise of the measurement."""

SMALL_FLEET = 2.0
"""Below so many engines, a setting is asked what it carries alone; else in the larger of the two fleets that sizing measures."""


def bound_throughput(engine: EngineModel, demand: Demand) -> float:
    """Return what no engine exceeds, in requests/s of the demand's sizes, whatever its promises.

    A request of ``i`` tokens in and ``o`` out needs its share of at least ``max(o / sequences, (i + o) / chunk)`` steps, and its
    cached tokens are read in each of its own ``o``: ``o (i + o / 2)`` in all.
    """
    if isinstance(engine, RequestEngine):
        return _batches_per_s(engine, demand.input_tokens)
    inputs, outputs = demand.input_tokens.astype(np.float64), demand.output_tokens.astype(np.float64)
    tokens = float((inputs + outputs).mean())
    steps = max(float(outputs.mean()) / engine.max_sequences, tokens / engine.chunk_tokens)
    dense_s = max(steps * engine.weights_s, tokens * engine.per_token_s)
    return 1.0 / (
        steps * engine.overhead_s + dense_s + float((outputs * (inputs + outputs / 2.0)).mean()) * engine.per_cached_token_s
    )


def _batches_per_s(engine: RequestEngine, lengths: IntArray) -> float:
    """Return requests/s where each takes its share of the best batch there is; by length, of one of its own."""
    if not engine.lengths:
        return max((batch + 1) / time_s for batch, time_s in enumerate(engine.service_s))
    beyond = np.maximum(lengths / engine.lengths[-1], 1.0) if len(engine.lengths) > 1 else 1.0
    times = [np.interp(lengths, engine.lengths, row) / (batch + 1) for batch, row in enumerate(engine.service_by_length_s)]
    return 1.0 / float((np.min(times, axis=0) * beyond).mean())


def compute_speed(capacity: Capacity, item: ClassDemand) -> float:
    """Return requests/s of one engine for the class, mean over the blocks with demand; flat out where the work can wait."""
    if item.traffic_class.deferral is not None:
        return capacity.raw_per_s
    planned = item.planned[item.planned > 0.0]
    return float(capacity.at(planned).mean()) if len(planned) else capacity.limit_per_s


def _may_break(engine: EngineModel, slos: tuple[Slo, ...]) -> bool:
    """Return whether a promise could break by a full step, or by a batch after the one that runs."""
    if isinstance(engine, RequestEngine):
        return any(slo.limit_s < 2.0 * engine.service_s[-1] for slo in slos)
    step_s = (
        engine.overhead_s
        + max(engine.weights_s, engine.chunk_tokens * engine.per_token_s)
        + engine.kv_capacity_tokens * engine.per_cached_token_s
    )
    return any(slo.metric == "tpot" and slo.limit_s < step_s for slo in slos)


def find_faster_settings(profile: Profile, served: list[ClassDemand], table: CapacityTable) -> Iterator[Profile]:
    """Yield the settings that carry more of some class than the profile as it is, by ``LEAST_GAIN``, as one replay of each shows."""
    waiting = [item for item in served if item.traffic_class.deferral is None]
    now = {item.traffic_class.name: table.find(profile.engine, item.traffic_class) for item in waiting}
    cut = [item for item in waiting if now[item.traffic_class.name].limit_per_s > 0.0]
    cut = [item for item in cut if _may_break(profile.engine, item.traffic_class.slos)]
    for items, others in ((cut, smaller_settings(profile) if cut else ()), (waiting, profile.wider)):
        for other in others:
            engines = other.replicas_per_machine / profile.replicas_per_machine
            if any(_carries_more(other.engine, engines, item, table, now[item.traffic_class.name]) for item in items):
                yield other


def _carries_more(engine: EngineModel, engines: float, item: ClassDemand, table: CapacityTable, now: Capacity) -> bool:
    """Return whether ``engines`` of these carry more of a class than one that sustains ``now``, in a fleet of the class's size."""
    wanted = (1.0 + LEAST_GAIN) * compute_speed(now, item)
    if wanted > engines * MAX_UTILISATION * bound_throughput(engine, item.traffic_class.demand):
        return False
    if wanted <= 0.0:
        return True
    size = 1.0 if item.planned.mean() < SMALL_FLEET * wanted else float(size_larger_fleet(item.traffic_class, now.single_per_s))
    count = max(1, round(size * engines))
    rate_per_s = (1.0 + LEAST_GAIN) * float(now.per_engine(np.array(size))) * count / engines
    return table.keeps(engine, count, item.traffic_class, rate_per_s)


def keep_best(measured: list[tuple[Profile, dict[str, Capacity]]], served: list[ClassDemand]) -> list[int]:
    """Return the places of the settings to keep: for every class one within ``LEAST_GAIN`` of its fastest, as few as may be.

    The class that keeps most machines busy chooses first, and the profile as it is stands first in ``measured``.
    """
    speeds = {
        item.traffic_class.name: [
            profile.replicas_per_machine * compute_speed(capacity[name], item)
            if (name := item.traffic_class.name) in capacity
            else 0.0
            for profile, capacity in measured
        ]
        for item in served
    }
    load = {
        item.traffic_class.name: float(item.work.sum()) / best
        for item in served
        if (best := max(speeds[item.traffic_class.name])) > 0.0
    }
    kept: list[int] = []
    for name in sorted(load, key=lambda name: (-load[name], name)):
        enough = max(speeds[name]) / (1.0 + LEAST_GAIN)
        if not any(speeds[name][place] >= enough for place in kept):
            as_it_is = 0 if speeds[name][0] >= enough else int(np.argmax(speeds[name]))
            kept.append(as_it_is)
    return kept
