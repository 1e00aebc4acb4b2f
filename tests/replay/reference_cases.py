"""Small fleets and traffic of every kind, on which the two engines are compared.

Hypothesis draws what a fleet is made of; sizes, times and speeds come from a seeded generator, so that no two engines end at the
same moment by accident: one adds steps up, the other multiplies, and rounding would decide who takes the work that waits, or whose
answer is kept last. (So ``per_cached_token_s`` is 0 only where nothing can wait and no answers are kept: without it, engines step
alike.) For the same reason waits, lifetimes of answers, delays and target rates are never round numbers. Arrivals at the same moment,
and at a round of the control loop, are made on purpose: those are exact.
"""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tightrope.base.records import EngineModel, RequestEngine, ScalingLimit, ScalingPolicy, ScalingRule, TokenEngine
from tightrope.replay.records import Drill, DrillKind, Fleet, FleetClass, FleetPool, ResponseCache, Traffic

Random = np.random.Generator
MEAN_REQUEST_TOKENS = 150


@dataclass(frozen=True)
class PoolCase:
    """What one pool is made of."""

    token: bool
    group: int
    engines: int
    spot: bool
    fails: bool
    serverless: bool
    backs: int
    """The pool it stands in for, itself or a serverless one: none."""
    wakes: bool = False
    """Whether a request starts a machine where none is scheduled."""
    lengths: bool = False
    """Whether a request engine's times depend on length."""


@dataclass(frozen=True)
class ClassCase:
    """How one class is treated."""

    deferrable: bool
    priority: int
    hurried: bool
    sheds: bool
    retries: int
    follows: float | None = None
    """Share of the first class's requests that go on to this one; None or in the first class: it has requests of its own."""


@dataclass(frozen=True)
class Scaling:
    """What the autoscaler follows and what limits it."""

    metric: str
    """Empty: no autoscaler."""
    up: ScalingLimit
    down: ScalingLimit
    up_stabilised_s: float
    down_stabilised_s: float
    lag_s: float
    window_s: float
    sync_s: float
    """Between two rounds of the control loop."""
    whole: bool
    """Whether machines are to have whole numbers of requests, so that some have exactly what they should."""


@dataclass(frozen=True)
class Case:
    """What a fleet is made of; the rest follows from ``seed``."""

    seed: int
    pools: tuple[PoolCase, ...]
    classes: tuple[ClassCase, ...]
    groups: int
    zones: int
    scaling: Scaling
    drill: DrillKind | None
    cache: bool
    deadlines: bool
    block_tokens: int
    """Of the prefix caches; 0 is none."""
    starts: bool
    waits: bool
    load: float
    hours: float
    memory: float
    """KV cache, in mean requests."""

    @property
    def duration_s(self) -> float:
        """Length of the traffic."""
        return 3600.0 * self.hours

    @property
    def order_matters(self) -> bool:
        """Whether it matters which of two engines ends first."""
        return self.cache or any(row.deferrable for row in self.classes)


# ------------------------------------------------------------------------------------------------------------ what is drawn


def some_rules() -> st.SearchStrategy[ScalingLimit]:
    """Draw one or two rules of a direction."""
    period_s = st.sampled_from([15.0, 20.0, 30.0, 60.0, 100.0])
    pods = st.builds(ScalingRule, st.just("pods"), st.sampled_from([1.0, 2.0, 4.0]), period_s)
    percent = st.builds(ScalingRule, st.just("percent"), st.sampled_from([25.0, 50.0, 100.0]), period_s)
    rules = st.lists(pods | percent, min_size=1, max_size=2).map(tuple)
    return st.builds(ScalingLimit, rules, st.sampled_from(["max", "min", "disabled"]))


def some_scaling() -> st.SearchStrategy[Scaling]:
    """Draw an autoscaler, or none."""
    return st.builds(
        Scaling,
        metric=st.sampled_from(["", "rate", "concurrency"]),
        up=some_rules(),
        down=some_rules(),
        up_stabilised_s=st.sampled_from([0.0, 20.0, 30.0, 60.0]),
        down_stabilised_s=st.sampled_from([0.0, 50.0, 60.0, 120.0]),
        lag_s=st.sampled_from([0.0, 15.0, 20.0, 30.0]),
        window_s=st.sampled_from([5.0, 15.0, 50.0, 60.0, 300.0]),
        sync_s=st.sampled_from([15.0, 15.0, 20.0]),
        whole=st.booleans(),
    )


def some_classes() -> st.SearchStrategy[tuple[ClassCase, ...]]:
    """Draw one to three classes."""
    follows = st.sampled_from([None, None, 0.3, 1.0])
    kind = st.builds(ClassCase, st.booleans(), st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 3), follows)
    return st.lists(kind, min_size=1, max_size=3).map(tuple)


@st.composite
def some_pools(draw: st.DrawFn) -> tuple[PoolCase, ...]:
    """Draw one to three pools; the first of each group are in order."""
    count = draw(st.integers(1, 3))
    groups = draw(st.integers(1, count))
    return tuple(
        PoolCase(
            token=draw(st.booleans()),
            group=p if p < groups else draw(st.integers(0, groups - 1)),
            engines=draw(st.integers(1, 2)),
            spot=draw(st.booleans()),
            fails=draw(st.booleans()),
            serverless=draw(st.sampled_from([False, False, True])),
            backs=draw(st.integers(0, count - 1)),
            wakes=draw(st.booleans()),
            lengths=draw(st.booleans()),
        )
        for p in range(count)
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a whole case."""
    pools = draw(some_pools())
    return Case(
        seed=draw(st.integers(0, 2**32 - 1)),
        pools=pools,
        classes=draw(some_classes()),
        groups=1 + max(pool.group for pool in pools),
        zones=draw(st.integers(1, 3)),
        scaling=draw(some_scaling()),
        drill=draw(st.sampled_from([None, "zone-loss", "spot-zone-loss", "spot-storm", "metrics-loss"])),
        cache=draw(st.booleans()),
        deadlines=draw(st.booleans()),
        block_tokens=draw(st.sampled_from([0, 4, 8, 16, 32])),
        starts=draw(st.booleans()),
        waits=draw(st.booleans()),
        load=draw(st.sampled_from([0.2, 0.7, 1.5])),
        hours=draw(st.sampled_from([0.1, 1.2, 2.3])),
        memory=draw(st.sampled_from([1.2, 2.0, 4.0, 50.0])),
    )


# ---------------------------------------------------------------------------------------------------------------- the fleet


def an_engine(case: Case, token: bool, random: Random) -> EngineModel:
    """Return an engine of some size and pace."""
    pace, grows = random.choice([1.0, 10.0, 60.0]), case.order_matters or random.random() < 0.5
    if not token and random.random() < 0.3:
        return RequestEngine(tuple(case.scaling.sync_s * size for size in (1, 2, 3)), 0.0)  # ends at rounds of the control loop
    if not token:
        return RequestEngine(tuple(np.cumsum(pace * random.uniform(0.5, 2.0, random.integers(1, 5))).tolist()), 0.0)
    return TokenEngine(
        overhead_s=pace * random.uniform(0.001, 0.01),
        weights_s=pace * random.uniform(0.01, 0.05),
        per_token_s=pace * random.uniform(0.0005, 0.002),
        per_cached_token_s=pace * random.uniform(1e-6, 1e-4) * grows,
        kv_capacity_tokens=int(case.memory * MEAN_REQUEST_TOKENS),
        max_sequences=int(random.integers(1, 9)),
        chunk_tokens=int(random.choice([3, 6, 32, 512])),
        load_s=0.0,
    )


def an_engine_by_length(case: Case, random: Random) -> RequestEngine:
    """Return a request engine whose times depend on length: each member of a batch adds less than it takes alone, or as good as all."""
    pace, size = random.choice([0.1, 1.0, 10.0]), int(random.integers(1, 9))
    lengths = np.unique(random.integers(1, 200, random.integers(1, 5)))
    fixed_s, each_s = pace * random.uniform(0.0, 1.0), pace * random.uniform(0.002, 0.02)
    grid = fixed_s + each_s * np.outer(np.arange(1, size + 1) ** random.uniform(0.6, 1.0), lengths ** random.uniform(0.8, 1.2))
    grid = np.maximum.accumulate(np.maximum.accumulate(grid * random.uniform(0.97, 1.03, grid.shape), axis=0), axis=1)
    return RequestEngine(tuple(grid[:, -1].tolist()), 0.0, tuple(lengths.tolist()), tuple(map(tuple, grid.tolist())))


def a_pool(case: Case, p: int, random: Random) -> FleetPool:
    """Return a pool of 0 to 3 scheduled machines; some have none at all, and some of those could have had, or stand in for others."""
    mine = case.pools[p]
    backed = case.pools[mine.backs]
    backs = mine.backs != p and not (mine.serverless or backed.serverless or backed.backs != mine.backs)
    schedule = random.integers(0, 4, 168) * (random.random() < (0.5 if backs else 0.9))
    start_s = random.uniform(20.0, 200.0) if case.starts else 0.0
    return FleetPool(
        name=f"pool {p}",
        group=f"group {mine.group}",
        engine=an_engine_by_length(case, random) if mine.lengths and not mine.token else an_engine(case, mine.token, random),
        engines_per_machine=mine.engines,
        requests_per_s=random.uniform(0.01, 0.1),
        start_s=start_s,
        zones=case.zones,
        interruptions_per_hour=random.uniform(0.5, 5.0) if mine.spot else 0.0,
        schedule=schedule // 2 if mine.serverless else schedule,
        ceiling=int(schedule.max()) + int((schedule.any() or random.random() < 0.3) * random.integers(0, 3)),
        deferrable_limit=int(random.integers(1, 5)),
        max_wait_s=random.uniform(0.0, 40.0) if case.waits else 0.0,
        load_s=random.uniform(0.0, start_s),
        concurrency=float(random.choice([2, 4])) if case.scaling.whole else random.uniform(0.5, 4.0),
        failures_per_hour=random.uniform(0.3, 3.0) if mine.fails else 0.0,
        backs=f"pool {mine.backs}" if backs else "",
        keep_alive_s=random.uniform(5.0, 300.0) if mine.serverless else None,
        prefix_block_tokens=case.block_tokens if mine.token and random.random() < 0.8 else 0,
        cooldown_s=random.uniform(10.0, 600.0) if mine.wakes else None,
    )


def follower_of(case: Case) -> int:
    """Return the one class that follows the first, by its number; -1 where none does."""
    return next((number for number, kind in enumerate(case.classes) if number and kind.follows is not None), -1)


def a_class(kind: ClassCase, number: int, follower: int, random: Random) -> FleetClass:
    """Return a class with what it allows to be done to its requests."""
    return FleetClass(
        name=f"class {number}",
        deferrable=kind.deferrable,
        priority=kind.priority,
        answer_within_s=random.uniform(1.0, 60.0) if kind.hurried else np.inf,
        shed_wait_s=random.uniform(0.0, 150.0) if kind.sheds else np.inf,
        retries=kind.retries,
        retry_after_s=random.uniform(1.0, 100.0),
        follows="class 0" if number == follower else "",
        follow_share=kind.follows or 0.0,
    )


def a_scaling(drawn: Scaling, random: Random) -> ScalingPolicy:
    """Return the autoscaler's numbers."""
    return ScalingPolicy(
        enabled=drawn.metric != "",
        target_utilisation=0.5 if drawn.whole else random.uniform(0.4, 0.8),
        max_surge=2.0,
        tolerance=0.1,
        sync_s=drawn.sync_s,
        metric_lag_s=drawn.lag_s,
        downscale_stabilization_s=drawn.down_stabilised_s,
        machine_start_s=0.0,
        metric_window_s=drawn.window_s,
        metric="concurrency" if drawn.metric == "concurrency" else "rate",
        scale_up=drawn.up,
        scale_down=drawn.down,
        upscale_stabilization_s=drawn.up_stabilised_s,
    )


def a_fleet(case: Case, random: Random) -> Fleet:
    """Return the case's fleet."""
    classes = len(case.classes)
    share = random.dirichlet(np.ones(case.groups), (classes, 168)).transpose(0, 2, 1)
    share[random.random(share.shape) < 0.2] = 0.0
    cache = ResponseCache(int(random.integers(1, 6)), random.uniform(20.0, 1500.0), random.uniform(0.0, 0.5))
    return Fleet(
        pools=tuple(a_pool(case, p, random) for p in range(len(case.pools))),
        classes=tuple(a_class(kind, c, follower_of(case), random) for c, kind in enumerate(case.classes)),
        groups=tuple(f"group {g}" for g in range(case.groups)),
        share=share,
        allowed=random.random((classes, len(case.pools))) < 0.8,
        scaling=a_scaling(case.scaling, random),
        cache=cache if case.cache else None,
    )


def a_drill(case: Case, random: Random) -> Drill | None:
    """Return the drill, in the second third of the traffic, in a zone that not every pool has."""
    zone = int(random.integers(0, 3))
    return Drill(case.drill, 0.3 * case.duration_s, 0.6 * case.duration_s, zone) if case.drill else None


# -------------------------------------------------------------------------------------------------------------- the traffic


def some_traffic(case: Case, random: Random) -> Traffic:
    """Return at most 300 requests, a third of them at the same moments, some at a round of the control loop."""
    count = int(min(300, max(1, case.load * case.duration_s * 0.2)))
    time_s = random.uniform(0.0, case.duration_s, count)
    crowd, rounds = random.random(count) < 0.3, case.duration_s / case.scaling.sync_s
    time_s[crowd] = case.scaling.sync_s * random.integers(0, max(1, rounds / 40), crowd.sum()) * 40
    burst = random.random(count) < 0.4
    time_s[burst] = time_s[0] + random.uniform(0.0, 60.0, burst.sum())
    time_s = np.sort(np.minimum(time_s, case.duration_s))
    input_tokens = random.integers(0, 200, count)
    starts, blocks = some_blocks(input_tokens, case.block_tokens, random)
    return Traffic(
        time_s=time_s,
        traffic_class=random.integers(0, len(case.classes), count),
        input_tokens=input_tokens,
        output_tokens=random.integers(0, 100, count),
        key=random.integers(-1, 8, count) if case.cache else None,
        deadline_s=time_s + random.uniform(0.0, case.duration_s, count) if case.deadlines else None,
        block_start=starts if case.block_tokens else None,
        blocks=blocks if case.block_tokens else None,
    )


def some_blocks(input_tokens: np.ndarray, tokens: int, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of prompts that are paths in a small tree: every node has one likely child and a few that are rare.

    As in Mooncake's traces, a last block that is not full has a hash too. One prompt in ten names its first blocks only, and one in
    twenty repeats its first block instead of its second, which hashes of whole prefixes never do.
    """
    known: dict[tuple[int, ...], int] = {}
    starts, blocks = [0], []
    for prompt in input_tokens.tolist():
        length = -(-prompt // tokens) if tokens else 0
        length = int(length * random.random()) if random.random() < 0.1 else length
        turns = (random.random(length) < random.choice([0.02, 0.2])) * random.integers(1, 1000, length)
        turns[:1] = random.integers(0, 3)
        path = [tuple(turns[: depth + 1].tolist()) for depth in range(length)]
        if random.random() < 0.05:
            path[1:2] = path[:1] * (length > 1)
        blocks += [known.setdefault(node, len(known)) for node in path]
        starts.append(len(blocks))
    return np.array(starts, dtype=np.int64), np.array(blocks, dtype=np.int64)
