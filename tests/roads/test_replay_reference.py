"""Two roads to every event: the fast replay and the slow one agree on small fleets of every kind.

Hypothesis draws what a fleet is made of; sizes, times and speeds come from a seeded generator, so that no two engines end at the
same moment by accident: one adds steps up, the other multiplies, and rounding would decide who takes the work that waits. (So
``per_cached_token_s`` is 0 only where nothing can wait: without it, engines step alike.) Arrivals at the same moment, and at a
round of the control loop, are made on purpose: those are exact.
"""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tightrope.base.records import EngineModel, RequestEngine, ScalingPolicy, TokenEngine
from tightrope.replay.records import Drill, Fleet, FleetClass, FleetPool, Outcome, Traffic
from tightrope.replay.run import replay_fleet

sys.path.append(str(Path(__file__).parents[1] / "replay"))
REFERENCE = importlib.import_module("reference")
Random = np.random.Generator


@dataclass(frozen=True)
class Case:
    """What a fleet is made of; the rest follows from ``seed``."""

    seed: int
    token: tuple[bool, ...]
    """One a pool."""
    group: tuple[int, ...]
    engines: tuple[int, ...]
    spot: tuple[bool, ...]
    deferrable: tuple[bool, ...]
    """One a class."""
    groups: int
    zones: int
    hpa: bool
    drill: bool
    starts: bool
    waits: bool
    load: float
    hours: float
    memory: float
    """KV cache, in mean requests."""


@st.composite
def cases(draw: st.DrawFn) -> Case:
    pools = draw(st.integers(1, 3))
    groups = draw(st.integers(1, pools))
    each = lambda kind: tuple(draw(kind) for _ in range(pools))  # noqa: E731
    return Case(
        seed=draw(st.integers(0, 2**32 - 1)),
        token=each(st.booleans()),
        group=tuple(range(groups)) + tuple(draw(st.integers(0, groups - 1)) for _ in range(pools - groups)),
        engines=each(st.integers(1, 2)),
        spot=each(st.booleans()),
        deferrable=tuple(draw(st.lists(st.booleans(), min_size=1, max_size=3))),
        groups=groups,
        zones=draw(st.integers(1, 3)),
        hpa=draw(st.booleans()),
        drill=draw(st.booleans()),
        starts=draw(st.booleans()),
        waits=draw(st.booleans()),
        load=draw(st.sampled_from([0.2, 0.7, 1.5])),
        hours=draw(st.sampled_from([0.1, 1.2, 2.3])),
        memory=draw(st.sampled_from([1.2, 4.0, 50.0])),
    )


def an_engine(case: Case, token: bool, random: Random) -> EngineModel:
    pace, grows = random.choice([1.0, 10.0, 60.0]), any(case.deferrable) or random.random() < 0.5
    if not token and random.random() < 0.3:
        return RequestEngine((15.0, 30.0, 45.0), 0.0)  # ends at the rounds of the control loop
    if not token:
        return RequestEngine(tuple(np.cumsum(pace * random.uniform(0.5, 2.0, random.integers(1, 5))).tolist()), 0.0)
    return TokenEngine(
        overhead_s=pace * random.uniform(0.001, 0.01),
        weights_s=pace * random.uniform(0.01, 0.05),
        per_token_s=pace * random.uniform(0.0005, 0.002),
        per_cached_token_s=pace * random.uniform(1e-6, 1e-4) * grows,
        kv_capacity_tokens=int(case.memory * 150),
        max_sequences=int(random.integers(1, 9)),
        chunk_tokens=int(random.choice([6, 32, 512])),
        load_s=0.0,
    )


def a_pool(case: Case, p: int, random: Random) -> FleetPool:
    schedule = random.integers(0, 4, 168) * (random.random() < 0.9)
    return FleetPool(
        name=f"pool {p}",
        group=f"group {case.group[p]}",
        engine=an_engine(case, case.token[p], random),
        engines_per_machine=case.engines[p],
        requests_per_s=random.uniform(0.01, 0.1),
        start_s=random.uniform(20.0, 200.0) if case.starts else 0.0,
        zones=case.zones,
        interruptions_per_hour=random.uniform(0.5, 5.0) if case.spot[p] else 0.0,
        schedule=schedule,
        ceiling=int(schedule.max()) + int(schedule.any() * random.integers(0, 3)),
        deferrable_limit=int(random.integers(1, 5)),
        max_wait_s=random.uniform(0.0, 4.0) if case.waits else 0.0,
    )


def a_fleet(case: Case, random: Random) -> Fleet:
    classes = len(case.deferrable)
    share = random.dirichlet(np.ones(case.groups), (classes, 168)).transpose(0, 2, 1)
    share[random.random(share.shape) < 0.2] = 0.0
    return Fleet(
        pools=tuple(a_pool(case, p, random) for p in range(len(case.token))),
        classes=tuple(FleetClass(f"class {c}", waits) for c, waits in enumerate(case.deferrable)),
        groups=tuple(f"group {g}" for g in range(case.groups)),
        share=share,
        allowed=random.random((classes, len(case.token))) < 0.8,
        scaling=ScalingPolicy(
            enabled=case.hpa,
            target_utilisation=random.uniform(0.4, 0.8),
            max_surge=2.0,
            tolerance=0.1,
            sync_s=15.0,
            metric_lag_s=float(random.choice([0, 30])),
            downscale_stabilization_s=120.0,
            machine_start_s=0.0,
            metric_window_s=float(random.choice([60, 300])),
        ),
    )


def some_traffic(case: Case, random: Random) -> Traffic:
    """Return at most 250 requests, a third of them at the same moments, some at a round of the control loop."""
    duration_s = case.hours * 3600.0
    count = int(min(300, max(1, case.load * duration_s * 0.2)))
    time_s = random.uniform(0.0, duration_s, count)
    crowd = random.random(count) < 0.3
    time_s[crowd] = 15.0 * random.integers(0, max(1, duration_s / 15.0 / 40), crowd.sum()) * 40
    burst = random.random(count) < 0.4
    time_s[burst] = time_s[0] + random.uniform(0.0, 60.0, burst.sum())
    return Traffic(
        time_s=np.sort(np.minimum(time_s, duration_s)),
        traffic_class=random.integers(0, len(case.deferrable), count),
        input_tokens=random.integers(0, 200, count),
        output_tokens=random.integers(0, 100, count),
    )


def replays(case: Case) -> tuple[Outcome, Outcome]:
    random = np.random.default_rng(case.seed)
    fleet, traffic = a_fleet(case, random), some_traffic(case, random)
    duration_s = case.hours * 3600.0
    drill = Drill("spot-zone-loss", 0.3 * duration_s, 0.6 * duration_s, int(random.integers(0, 3))) if case.drill else None
    arguments = {"duration_s": duration_s, "block_offset_s": random.uniform(0.0, 604800.0), "seed": 7, "drill": drill}
    return replay_fleet(fleet, traffic, **arguments), REFERENCE.replay_slowly(fleet, traffic, **arguments)


def check_alike(fast: Outcome, slow: Outcome) -> None:
    assert fast.pool.tolist() == slow.pool.tolist()
    assert (fast.interruptions, fast.retries) == (slow.interruptions, slow.retries)
    for ours, theirs in ((fast.first_s, slow.first_s), (fast.finish_s, slow.finish_s)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fast.machine_hours, slow.machine_hours, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fast.busy_hours, slow.busy_hours, rtol=1e-6, atol=1e-9)
    assert (fast.busy_hours <= fast.machine_hours.sum(axis=1) + 1e-9).all()


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(cases())
def test_both_engines_tell_the_same_story(case: Case) -> None:
    check_alike(*replays(case))
