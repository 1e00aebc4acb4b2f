"""What one replica sustains within its promises, found by replaying small fleets of it: the ``mu`` of the optimisation.

Queues make one replica alone sustain less than its share of a large fleet. Two fleets are replayed, one of a single engine and one
of about the size the class needs; between them the square-root staffing law holds: a fleet of ``n`` sustains ``n * limit - reserve
* sqrt(n)`` (Halfin and Whitt, Operations Research 29(3), 1981).
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from tightrope.base.records import EngineModel, FloatArray, RequestEngine, ScalingPolicy, Slo, TrafficClass
from tightrope.base.units import HOURS_PER_WEEK
from tightrope.demand.renewal_process import law_of
from tightrope.replay.evidence import metric_s
from tightrope.replay.records import Fleet, FleetClass, FleetPool, Outcome, Traffic
from tightrope.replay.run import replay_fleet

SAMPLE_REQUESTS = 2500
"""Requests of one capacity replay; the first ``WARM_UP`` of them are not counted."""
WARM_UP = 0.15
MAX_UTILISATION = 0.92
"""No replica is planned above this share of its raw throughput, even where the SLO would allow it: queues there never settle."""
SEARCH_STEPS = 7
LARGEST_FLEET = 16
"""Engines in the larger of the two fleets, at most."""
SEED = 20231116


@dataclass(frozen=True, slots=True)
class Capacity:
    """Requests per second that engines sustain for one class; 0 where the SLO cannot be met at any rate."""

    single_per_s: float
    """One engine alone."""
    limit_per_s: float
    """Per engine, in a fleet without end."""
    raw_per_s: float
    """Per engine with no promise to keep: what deferrable work runs at."""
    concurrency: int
    """Requests that an engine holds on average at its sustained rate."""
    best_s: dict[str, float]
    """SLO → what its percentile comes to on an idle engine, in seconds."""

    def per_engine(self, engines: FloatArray) -> FloatArray:
        """Return requests/s per engine in fleets of ``engines`` (float64[...], at least 1)."""
        reserve = self.limit_per_s - self.single_per_s
        return self.limit_per_s - reserve / np.sqrt(np.maximum(engines, 1.0))

    def at(self, rate_per_s: FloatArray) -> FloatArray:
        """Return requests/s per engine in the smallest fleet that sustains each of ``rate_per_s`` (float64[...]).

        That fleet of ``n`` engines is the root of ``n * limit - reserve * sqrt(n) = rate``, and one engine at least.

        >>> found = Capacity(single_per_s=6.0, limit_per_s=10.0, raw_per_s=12.0, concurrency=1, best_s={})
        >>> found.at(np.array([3.0, 6.0, 32.0])).tolist()
        [6.0, 6.0, 8.0]
        """
        if self.limit_per_s <= 0.0:
            return np.zeros_like(rate_per_s)
        reserve = self.limit_per_s - self.single_per_s
        root = (reserve + np.sqrt(reserve**2 + 4.0 * self.limit_per_s * rate_per_s)) / (2.0 * self.limit_per_s)
        return self.per_engine(root**2)


@dataclass(frozen=True, slots=True)
class _Draws:
    """The same draws for every rate, so that a higher rate is the same traffic, compressed."""

    gaps: FloatArray
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    answer_within_s: float
    """In which the first of a batch is to be answered: who goes together depends on it where lengths do."""


def _draw(traffic_class: TrafficClass) -> _Draws:
    """Draw unit-rate arrivals and a joint sample of sizes."""
    random = np.random.default_rng(SEED)
    demand = traffic_class.demand
    pick = random.integers(0, len(demand.input_tokens), SAMPLE_REQUESTS)
    gaps = law_of(demand.interarrival_law, max(demand.interarrival_cv, 0.05)).gaps(random, SAMPLE_REQUESTS)
    within_s = min((slo.limit_s for slo in traffic_class.slos if slo.metric != "tpot"), default=np.inf)
    return _Draws(gaps, demand.input_tokens[pick], demand.output_tokens[pick], within_s)


FIXED = ScalingPolicy(
    enabled=False,
    target_utilisation=1.0,
    max_surge=1.0,
    tolerance=0.1,
    sync_s=60.0,
    metric_lag_s=0.0,
    downscale_stabilization_s=0.0,
    machine_start_s=0.0,
)


def _replay(engine: EngineModel, engines: int, draws: _Draws, rate_per_s: float) -> Outcome:
    """Replay ``engines`` engines at ``rate_per_s`` in all; an infinite rate puts every request at time 0."""
    pool = FleetPool(
        name="",
        group="",
        engine=engine,
        engines_per_machine=1,
        requests_per_s=1.0,
        start_s=0.0,
        zones=1,
        interruptions_per_hour=0.0,
        schedule=np.full(HOURS_PER_WEEK, engines),
        ceiling=engines,
        deferrable_limit=0,
    )
    classes = (FleetClass("", answer_within_s=draws.answer_within_s),)
    fleet = Fleet((pool,), classes, ("",), np.ones((1, 1, HOURS_PER_WEEK)), np.ones((1, 1), dtype=bool), FIXED)
    times = np.cumsum(draws.gaps) / rate_per_s if np.isfinite(rate_per_s) else np.zeros_like(draws.gaps)
    traffic = Traffic(times, np.zeros(len(times), dtype=np.int64), draws.input_tokens, draws.output_tokens)
    return replay_fleet(fleet, traffic, duration_s=max(float(times[-1]), 1.0), block_offset_s=0.0, seed=0)


def _drop_warm_up(values: FloatArray) -> FloatArray:
    """Drop the warm-up."""
    return values[int(WARM_UP * len(values)) :]


def _meets_promises(outcome: Outcome, slos: tuple[Slo, ...]) -> bool:
    """Return whether every promise is kept at its percentile."""
    return all(np.mean(_drop_warm_up(metric_s(outcome, slo.metric)) <= slo.limit_s) >= slo.percentile for slo in slos)


def _search(engine: EngineModel, engines: int, draws: _Draws, slos: tuple[Slo, ...], highest_per_s: float) -> float:
    """Return the highest rate per engine, up to ``highest_per_s``, at which the promises hold: a bisection."""
    low, high = 0.0, highest_per_s
    if _meets_promises(_replay(engine, engines, draws, engines * high), slos):
        return high
    for _ in range(SEARCH_STEPS):
        middle = 0.5 * (low + high)
        kept = _meets_promises(_replay(engine, engines, draws, engines * middle), slos)
        low, high = (middle, high) if kept else (low, middle)
    return low


def _measure_backlog_per_s(engine: EngineModel, draws: _Draws) -> float:
    """Return the throughput of one engine with a backlog: the time at which four fifths of it are done, so no tail counts."""
    if isinstance(engine, RequestEngine) and not engine.lengths:
        return max((batch + 1) / time_s for batch, time_s in enumerate(engine.service_s))
    done = np.sort(_replay(engine, 1, draws, np.inf).finish_s)
    index = int(0.8 * len(done))
    return float(index / done[index]) if np.isfinite(done[index]) else 0.0


def _percentiles_s(outcome: Outcome, slos: tuple[Slo, ...]) -> dict[str, float]:
    """Return what each promise's percentile comes to."""
    return {str(slo): float(np.quantile(_drop_warm_up(metric_s(outcome, slo.metric)), slo.percentile)) for slo in slos}


def size_larger_fleet(traffic_class: TrafficClass, single_per_s: float) -> int:
    """Return the engines of the larger fleet that is measured: as many as the trace's peak needs, within reason."""
    return int(np.clip(np.ceil(traffic_class.demand.rate_per_s.max() / single_per_s), 2, LARGEST_FLEET))


def measure_capacity(engine: EngineModel, traffic_class: TrafficClass) -> Capacity:
    """Return what the engine sustains for the class; the larger of the two fleets is about as large as the trace's peak needs.

    The figure needs no guess of utilisation: fleets are replayed at rising rates until a promise breaks.
    """
    draws, slos = _draw(traffic_class), traffic_class.slos
    raw = _measure_backlog_per_s(engine, draws)
    if raw <= 0.0 or traffic_class.deferral is not None:
        return Capacity(0.0, 0.0, raw, 1, {})
    best_s = _percentiles_s(_replay(engine, 1, draws, 0.01 * raw), slos)
    single = _search(engine, 1, draws, slos, MAX_UTILISATION * raw)
    if single <= 0.0:
        return Capacity(0.0, 0.0, raw, 1, best_s)
    size = size_larger_fleet(traffic_class, single)
    many = max(single, _search(engine, size, draws, slos, MAX_UTILISATION * raw))
    limit = (size * many - np.sqrt(size) * single) / (size - np.sqrt(size))
    latency_s = _drop_warm_up(_replay(engine, size, draws, size * many).latency_s)
    concurrency = max(1, int(np.ceil(many * float(np.mean(latency_s)))))
    return Capacity(single, float(min(limit, MAX_UTILISATION * raw)), raw, concurrency, best_s)


class CapacityTable:
    """Remembers measurements: machines that run the same engine share them, whatever they cost and wherever they stand."""

    def __init__(self) -> None:
        """Start empty."""
        self._measure, self._ask = cache(self._measured), cache(self._replay_once)
        self._classes: dict[tuple[str, tuple[Slo, ...]], TrafficClass] = {}

    def find(self, engine: EngineModel, traffic_class: TrafficClass) -> Capacity:
        """Return the capacity of one engine for the class and its promises, with the demand that they were first asked for with."""
        key = traffic_class.name, traffic_class.slos
        self._classes.setdefault(key, traffic_class)
        return self._measure(_drop_load_time(engine), key)

    def keeps(self, engine: EngineModel, engines: int, traffic_class: TrafficClass, rate_per_s: float) -> bool:
        """Return whether a fleet of ``engines`` keeps the class's promises at ``rate_per_s`` in all: one replay."""
        key = traffic_class.name, traffic_class.slos
        self._classes.setdefault(key, traffic_class)
        return self._ask(_drop_load_time(engine), engines, key, rate_per_s)

    def _measured(self, engine: EngineModel, key: tuple[str, tuple[Slo, ...]]) -> Capacity:
        """Measure once."""
        return measure_capacity(engine, self._classes[key])

    def _replay_once(self, engine: EngineModel, engines: int, key: tuple[str, tuple[Slo, ...]], rate_per_s: float) -> bool:
        """Replay once."""
        asked = self._classes[key]
        return _meets_promises(_replay(engine, engines, _draw(asked), rate_per_s), asked.slos)


def _drop_load_time(engine: EngineModel) -> EngineModel:
    """Return the engine with its load time left out, which a steady replay does not see."""
    return replace(engine, load_s=0.0)
