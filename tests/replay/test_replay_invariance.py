"""What must not matter to a replay, and what can only help: names, the unit of time, the future, one more machine, a cache, priority."""

import hashlib
import os
import pickle
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from fleets import FIXED, TOKENS, engine, fleet, poisson, pool, replay, traffic, treated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference_cases import Case, a_drill, a_fleet, cases, some_traffic

from tightrope.base.records import FloatArray, RequestEngine, ScalingPolicy, TokenEngine
from tightrope.replay.records import ANSWERED, CACHED, SHED, Drill, Fleet, FleetPool, Outcome, ResponseCache, Timeline, Traffic
from tightrope.replay.run import replay_fleet

SOME = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
SEEDS = st.integers(0, 2**32 - 1)
Parts = tuple[Fleet, Traffic, Drill | None]


def parts(case: Case) -> Parts:
    random = np.random.default_rng(case.seed)
    return a_fleet(case, random), some_traffic(case, random), a_drill(case, random)


def replay_parts(case: Case, what: Fleet, requests: Traffic, drill: Drill | None, scale: float = 1.0) -> Outcome:
    return replay_fleet(what, requests, duration_s=case.duration_s * scale, block_offset_s=98_765.4, seed=7, drill=drill)


def digest(outcome: Outcome | Timeline | Traffic) -> str:
    """Return a hash of every byte and count of an outcome, its traffic and time-line included."""
    found = hashlib.sha256()
    for item in fields(outcome):
        value = getattr(outcome, item.name)
        if isinstance(value, np.ndarray):
            found.update(value.tobytes())
        else:
            found.update((digest(value) if is_dataclass(value) else repr(value)).encode())
    return found.hexdigest()


# -------------------------------------------------------------------------------------------------------------- what does not matter


def some_cases(count: int) -> list[Case]:
    """Return that many fleets of every kind."""
    found: list[Case] = []

    @settings(SOME, max_examples=count, database=None)
    @given(cases())
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


def digest_of_all(pickled: Path) -> str:
    """Return the hash of every case in a file, replayed one after another."""
    seen = [digest(replay_parts(case, *parts(case))) for case in pickle.loads(pickled.read_bytes())]  # noqa: S301
    return hashlib.sha256("".join(seen).encode()).hexdigest()


PROCESS = """
import sys, pathlib
sys.path.append(sys.argv[1])
import test_replay_invariance
print(test_replay_invariance.digest_of_all(pathlib.Path(sys.argv[2])))
"""


def test_the_same_bytes_in_every_process_and_whatever_hashes_begin_with(tmp_path: Path) -> None:
    """The cases are handed over: what hypothesis draws depends on which modules are loaded."""
    file, folder = tmp_path / "cases.pickle", str(Path(__file__).parent)
    file.write_bytes(pickle.dumps(some_cases(25)))
    printed = {
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", PROCESS, folder, str(file)],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            text=True,
            capture_output=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("0", "12345")
    }
    assert printed == {digest_of_all(file)}


@SOME
@given(cases())
def test_names_do_not_matter(case: Case) -> None:
    """Neither which they are nor how they sort."""
    what, requests, drill = parts(case)
    new = {name: f"{99 - i:02d} {name[::-1]}" for i, name in enumerate(pool.name for pool in what.pools)} | {"": ""}
    pools = tuple(replace(pool, name=new[pool.name], group=pool.group[::-1], backs=new[pool.backs]) for pool in what.pools)
    classes = tuple(replace(item, name=f"{9 - c}", follows="9" if item.follows else "") for c, item in enumerate(what.classes))
    renamed = replace(what, pools=pools, classes=classes, groups=tuple(group[::-1] for group in what.groups))
    assert digest(replay_parts(case, renamed, requests, drill)) == digest(replay_parts(case, what, requests, drill))


def twice_as_slow(item: FleetPool) -> FleetPool:
    """Return the pool in a world whose seconds are half as long; its schedule is the same all week."""
    model = item.engine
    if isinstance(model, RequestEngine):
        model = model.speed_up(0.5)
    else:
        names = ("overhead_s", "weights_s", "per_token_s", "per_cached_token_s")
        model = replace(model, **{name: 2.0 * getattr(model, name) for name in names})
    slower = {name: 2.0 * getattr(item, name) for name in ("start_s", "load_s", "max_wait_s")}
    rarer = {name: 0.5 * getattr(item, name) for name in ("requests_per_s", "failures_per_hour")}
    stays = {name: 2.0 * stay for name in ("keep_alive_s", "cooldown_s") if (stay := getattr(item, name)) is not None}
    return replace(item, engine=model, **slower, **rarer, **stays)


def slow_policy(scaling: ScalingPolicy) -> ScalingPolicy:
    """Return the autoscaler with every time twice as long."""
    names = ("sync_s", "metric_lag_s", "metric_window_s", "downscale_stabilization_s", "upscale_stabilization_s")
    limits = {
        name: replace(limit, rules=tuple(replace(rule, period_s=2.0 * rule.period_s) for rule in limit.rules))
        for name, limit in (("scale_up", scaling.scale_up), ("scale_down", scaling.scale_down))
    }
    return replace(scaling, **{name: 2.0 * getattr(scaling, name) for name in names}, **limits)


@SOME
@given(cases())
def test_twice_every_time_is_twice_every_latency(case: Case) -> None:
    """To the last bit, since doubling is exact.

    The week's hours, the cloud's two minutes of notice, and the 10 s over which those count arrivals whose partial batches of unlike length
    wait, do not scale: left out.
    """
    what, requests, drill = parts(case)
    steady = [replace(pool, schedule=np.full(168, pool.schedule[0]), interruptions_per_hour=0.0) for pool in what.pools]
    by_length = [isinstance(pool.engine, RequestEngine) and bool(pool.engine.lengths) for pool in steady]
    steady = [replace(pool, max_wait_s=0.0) if unlike else pool for pool, unlike in zip(steady, by_length, strict=True)]
    what = replace(what, pools=tuple(steady), share=np.repeat(what.share[:, :, :1], 168, axis=2))
    waiting = ("answer_within_s", "shed_wait_s", "retry_after_s")
    classes = tuple(replace(item, **{name: 2.0 * getattr(item, name) for name in waiting}) for item in what.classes)
    cache = replace(what.cache, ttl_s=2.0 * what.cache.ttl_s, hit_s=2.0 * what.cache.hit_s) if what.cache else None
    slow = Fleet(
        tuple(twice_as_slow(pool) for pool in what.pools),
        classes,
        what.groups,
        what.share,
        what.allowed,
        slow_policy(what.scaling),
        cache,
    )
    late = replace(
        requests, time_s=2.0 * requests.time_s, deadline_s=None if requests.deadline_s is None else 2.0 * requests.deadline_s
    )
    longer = replace(drill, start_s=2.0 * drill.start_s, end_s=2.0 * drill.end_s) if drill else None
    once, twice = replay_parts(case, what, requests, drill), replay_parts(case, slow, late, longer, 2.0)
    ended = once.finish_s < 40_000.0  # what waits to the end of the last day does not scale
    assert twice.pool[ended].tolist() == once.pool[ended].tolist()
    for name in ("begin_s", "first_s", "finish_s"):
        assert getattr(twice, name)[ended].tolist() == (2.0 * getattr(once, name)[ended]).tolist()
    np.testing.assert_allclose(twice.busy_hours, 2.0 * once.busy_hours, rtol=1e-12)
    np.testing.assert_allclose(twice.machine_hours.sum(axis=1), 2.0 * once.machine_hours.sum(axis=1), rtol=1e-12)


@SOME
@given(cases(), st.floats(0.1, 0.9))
def test_the_future_does_not_matter(case: Case, share: float) -> None:
    """Without the requests after some moment, all that ended before it ended just so."""
    what, requests, drill = parts(case)
    until_s, count = share * case.duration_s, int(np.searchsorted(requests.time_s, share * case.duration_s))
    names = ("time_s", "traffic_class", "input_tokens", "output_tokens", "key", "deadline_s")
    cut = {name: None if getattr(requests, name) is None else getattr(requests, name)[:count] for name in names}
    starts = None if requests.block_start is None else requests.block_start[: count + 1]
    before = replay_parts(case, what, replace(requests, block_start=starts, **cut), drill)
    after = replay_parts(case, what, requests, drill)
    past = after.finish_s[:count] < until_s
    for name in ("ended", "pool", "prefix_tokens", "begin_s", "first_s", "finish_s"):
        assert getattr(before, name)[:count][past].tolist() == getattr(after, name)[:count][past].tolist()


# --------------------------------------------------------------------------------------------------------------- what can only help


def attainment(outcome: Outcome, within_s: float) -> float:
    """Return the share of requests answered within a time."""
    return float(np.mean(outcome.latency_s <= within_s))


STUDENT = 3.307
"""Quantile of Student's distribution with 39 degrees of freedom that leaves 0.1 % above it."""


@pytest.mark.parametrize("load", [0.3, 0.6, 0.95, 1.3])
@pytest.mark.parametrize("kind", ["requests", "batches", "tokens"])
def test_one_more_replica_never_worsens_attainment(kind: str, load: float) -> None:
    """The same traffic with and without the machine, by 40 seeds.

    Of the differences in attainment, the mean must not be below 0 by more than chance (one in a thousand) allows, and none below
    -0.2 %: routing is greedy, so a single request may be unlucky in the larger fleet. (Batches here do not wait to be filled: with
    a wait, more machines do mean emptier batches.)
    """
    model = {"requests": engine(1.0), "batches": engine(1.0, 1.2, 1.4), "tokens": replace(TOKENS, kv_capacity_tokens=300)}[kind]
    rate_per_s = {"requests": 1.0, "batches": 2.1, "tokens": 0.75}[kind]
    differences = []
    for seed in range(40):
        random, machines = np.random.default_rng(seed), 1 + seed % 8
        sizes = [tuple(pair) for pair in random.integers(1, 80, (1500, 2)).tolist()] if kind == "tokens" else ()
        requests = traffic(poisson(load * machines * rate_per_s, 1500, seed), sizes)
        fewer, more = (replay(fleet(pool(model, count)), requests) for count in (machines, machines + 1))
        differences.append(attainment(more, 3.0) - attainment(fewer, 3.0))
    error = float(np.std(differences, ddof=1)) / len(differences) ** 0.5
    assert np.mean(differences) >= -STUDENT * error
    assert min(differences) >= -0.002


@SOME
@given(SEEDS, st.floats(0.3, 1.5), st.integers(1, 40), st.floats(1.0, 500.0), st.booleans())
def test_a_cache_that_costs_no_time_delays_nobody_on_one_engine(
    seed: int, load: float, entries: int, ttl_s: float, token: bool
) -> None:
    """First come first served, one at a time: who is answered from the cache only makes room for those behind."""
    random = np.random.default_rng(seed)
    model = replace(TOKENS, max_sequences=1) if token else engine(1.0)
    sizes = [tuple(pair) for pair in random.integers(1, 40, (300, 2)).tolist()]
    requests = replace(traffic(poisson(load, 300, seed), sizes), key=random.integers(-1, 60, 300))
    without = fleet(pool(model))
    plain, kept = replay(without, requests), replay(replace(without, cache=ResponseCache(entries, ttl_s)), requests)
    assert (kept.finish_s <= plain.finish_s + 1e-9).all()
    assert (kept.finish_s == requests.time_s)[kept.ended == CACHED].all()
    assert (kept.busy_hours <= plain.busy_hours + 1e-12).all()


@SOME
@given(SEEDS, st.floats(0.3, 1.3), st.floats(0.1, 0.9), st.booleans())
def test_nobody_of_the_highest_priority_waits_longer_than_among_equals(seed: int, load: float, share: float, token: bool) -> None:
    """One engine, one at a time: the work in it is the same, and of that only what is running and of their own is before them.

    Where all take equally long, what they gain is what the others lose.
    """
    random = np.random.default_rng(seed)
    kinds = (random.random(400) < share).astype(int)
    prompts = random.integers(1, 400, 400) if token else np.ones(400, dtype=np.int64)
    model = TokenEngine(0.0, 0.0, 0.005, 0.0, 10**6, 1, 10**6, 0.0) if token else engine(1.0)
    requests = traffic(poisson(load, 400, seed), [(int(prompt), 1) for prompt in prompts], kinds.tolist())
    equal = fleet(pool(model), deferrable=(False, False))
    plain, urgent = replay(equal, requests), replay(treated(equal, {"priority": 0}, {"priority": 1}), requests)
    assert (urgent.begin_s <= plain.begin_s + 1e-9)[kinds == 1].all()
    if not token:
        assert urgent.begin_s.sum() == pytest.approx(plain.begin_s.sum())


@SOME
@given(SEEDS, st.floats(0.8, 3.0), st.floats(0.0, 8.0), st.integers(0, 3), st.floats(0.5, 20.0))
def test_shedding_keeps_the_wait_of_those_who_are_let_in(
    seed: int, load: float, shed_wait_s: float, retries: int, retry_after_s: float
) -> None:
    """One engine at 1 s a request: who is let in waits ``shed_wait_s`` at most, after asking again as often as there is to ask."""
    treatment = {"shed_wait_s": shed_wait_s, "retries": retries, "retry_after_s": retry_after_s}
    what = treated(fleet(pool(engine(1.0), requests_per_s=1.0)), treatment)
    outcome = replay(what, traffic(poisson(load, 400, seed)))
    answered, shed = outcome.ended == ANSWERED, outcome.ended == SHED
    assert (answered | shed).all()
    waited_s = outcome.queue_s[answered]
    asked_again_s = np.arange(retries + 1)[:, None] * retry_after_s
    assert ((waited_s >= asked_again_s - 1e-9) & (waited_s <= asked_again_s + shed_wait_s + 1e-9)).any(axis=0).all()
    assert outcome.attempts_shed >= (1 + retries) * shed.sum()


@SOME
@given(SEEDS, st.floats(0.1, 5.0), st.floats(0.0, 60.0), st.floats(0.0, 100.0))
def test_nobody_waits_longer_than_a_start_where_instances_are_without_limit(
    seed: int, rate_per_s: float, start_s: float, keep_alive_s: float
) -> None:
    requests = traffic(poisson(rate_per_s, 200, seed))
    what = fleet(pool(engine(2.0), 0, ceiling=200, start_s=start_s, keep_alive_s=keep_alive_s))
    outcome = replay(what, requests)
    cold = outcome.queue_s > 1e-9
    assert (outcome.ended == ANSWERED).all()
    assert outcome.queue_s.max() <= start_s + 1e-9
    assert cold.sum() <= outcome.cold_starts <= 200
    assert start_s == 0.0 or outcome.cold_starts >= 1


def longest_s(outcome: Outcome) -> FloatArray:
    """Return finishing times in order."""
    return np.sort(outcome.finish_s)


@SOME
@given(SEEDS, st.integers(2, 6), st.floats(0.3, 1.2))
def test_one_queue_is_no_worse_than_queues_of_their_own(seed: int, machines: int, load: float) -> None:
    """Deferrable work has one queue for all engines: with equal service times, the k-th answer comes no later than by routing."""
    requests = traffic(poisson(load * machines, 500, seed))
    own, one = (
        replay(fleet(pool(engine(1.0), machines), deferrable=(waits,), scaling=replace(FIXED, sync_s=3600.0)), requests)
        for waits in (False, True)
    )
    assert (longest_s(one) <= longest_s(own) + 1e-9).all()
