"""A fleet and its traffic laid out as the arrays of a ``ReplayState``: all machines off, nothing answered."""

import math

import numpy as np

from tightrope.base.records import FloatArray, IntArray, RequestEngine, ScalingLimit, ScalingPolicy, TokenEngine
from tightrope.base.units import HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.policy.batching import ROOM, WINDOW
from tightrope.replay.records import SPOT_NOTICE_S, Drill, Fleet, FleetPool, Traffic
from tightrope.replay.state import (
    CLASS,
    CLOSED,
    FRAME,
    IDLE,
    KEPT,
    MACHINE,
    NEVER,
    NO_DRILL,
    NONE,
    POOL,
    REQUEST,
    SAMPLE,
    SETTINGS,
    SLOT,
    WINDOW_ROWS,
    WORK,
    ReplayState,
    Rows,
    rows,
)

LIFETIMES = 4096
"""Draws of machines' lifetimes; a replay that starts more machines goes round."""
SPARE_MACHINES = 4
"""Machine slots of a pool beyond its ceiling: replacements start while interrupted machines still drain."""
FEWEST_ROWS, MOST_FIRST_ROWS = 16, 4096
"""Rows for requests at the start; more are added when so many are in the fleet at once."""
SAMPLES = 2000
"""Samples of the time-line, at most."""
LOG_ENTRIES = 500_000
DRILLS = ("", "zone-loss", "spot-zone-loss", "spot-storm", "metrics-loss")
SELECTS = {"max": 0, "min": 1, "disabled": 2}
RULES = {"pods": 0.0, "percent": 1.0}


def lay_out(
    fleet: Fleet,
    traffic: Traffic,
    *,
    duration_s: float,
    block_offset_s: float,
    seed: int,
    drill: Drill | None = None,
    log_s: float = 0.0,
) -> ReplayState:
    """Return the state of a replay at time 0."""
    pools, scaling = lay_pools(fleet), fleet.scaling
    machines, slots = lay_machines(pools), lay_slots(pools)
    count, requests = len(pools), len(traffic.time_s)
    next_part = lay_next_parts(traffic)
    rounds = math.floor(duration_s / scaling.sync_s) + 1
    keys, key = number_keys(fleet, traffic)
    settings = lay_settings(fleet, duration_s, block_offset_s, drill, log_s)
    settings.sample_every = math.ceil(rounds / SAMPLES)
    windows = max(int(settings.up_rounds[0]), int(settings.down_rounds[0]))
    frames = max(int((row.kv_capacity // row.block_tokens) if row.block_tokens else 0) for row in pools)
    looked_at = max(WINDOW, int(pools.max_batch.max())) if pools.knots.any() else 0
    return ReplayState(
        settings=settings,
        pools=pools,
        slots=slots,
        machines=machines,
        classes=lay_classes(fleet),
        requests=lay_requests(min(max(requests, FEWEST_ROWS), MOST_FIRST_ROWS)),
        begin_s=np.empty(requests),
        first_s=np.empty(requests),
        finish_s=np.empty(requests),
        pool=np.empty(requests, dtype=np.int32),
        ended=np.empty(requests, dtype=np.int8),
        spared=np.empty(requests, dtype=np.int32),
        time_s=as_array(traffic.time_s[: requests - int((next_part != NONE).sum())], np.float64),
        traffic_class=as_array(traffic.traffic_class, np.int64),
        input_tokens=as_array(traffic.input_tokens, np.int64),
        output_tokens=as_array(traffic.output_tokens, np.int64),
        key=key,
        deadline_s=as_array(traffic.deadline_s, np.float64),
        block_start=as_array(traffic.block_start, np.int64),
        blocks=as_array(traffic.blocks, np.int64),
        event_s=np.full(len(slots), NEVER),
        event_tree=np.zeros(2 * len(slots), dtype=np.int64),
        load=np.full(len(slots), CLOSED),
        load_tree=np.zeros(2 * len(slots), dtype=np.int64),
        heap=np.zeros((len(slots), 2, int(max(pools.max_sequences.max(), pools.max_batch.max(), 1)) + 1), dtype=np.int64),
        lines=np.full((len(slots), int(settings.levels[0]), 2), NONE),
        reading=np.full((len(slots), 2), NONE),
        held=np.full((len(fleet.groups), 2), NONE),
        lost=np.full(2, NONE),
        queues=np.full((len(fleet.classes), 2), NONE),
        going_on=np.full((2, 2), NONE),
        next_part=next_part,
        service_s=lay_services(fleet),
        by_length_s=lay_services_by_length(fleet, pools),
        lengths=lay_lengths(fleet, pools),
        window=np.zeros((WINDOW_ROWS, looked_at), dtype=np.int64),
        slack_s=np.zeros(looked_at),
        cursor=np.full(len(fleet.classes), NONE),
        floor=np.stack([pool.schedule for pool in fleet.pools]).astype(np.int64),
        share=np.ascontiguousarray(fleet.share, dtype=np.float64),
        lifetimes=np.random.default_rng(seed).exponential(size=(2, LIFETIMES)),
        hours=np.zeros((count, max(1, math.ceil(duration_s / SECONDS_PER_HOUR)))),
        arrivals=np.zeros((count, int(settings.lag_syncs[0] + settings.window_syncs[0]) + 1), dtype=np.int64),
        recommended=np.full((count, windows + 1), NONE),
        changed=np.zeros((count, _longest_period(scaling) + 1), dtype=np.int64),
        measured=np.full((len(machines), int(settings.lag_syncs[0]) + 1), NONE),
        up_rules=lay_rules(scaling.scale_up),
        down_rules=lay_rules(scaling.scale_down),
        frames=rows(FRAME, len(slots), frames),
        buckets=np.full((len(slots), 1 << max(frames - 1, 0).bit_length()), NONE),
        kept=lay_kept(keys),
        samples=rows(SAMPLE, (rounds - 1) // int(settings.sample_every[0]) + 1, count),
        work=rows(WORK, LOG_ENTRIES if log_s > 0.0 else 0),
    )


def as_array(values: FloatArray | IntArray | None, dtype: type) -> np.ndarray:
    """Return the values as a plain array that compiled code knows: contiguous, writable; empty where there are none."""
    return np.require(np.zeros(0) if values is None else values, dtype, ["C", "W"])


def fill(target: Rows, **columns: object) -> None:
    """Set whole columns of a structured array."""
    for name, values in columns.items():
        target[name] = values


# ---------------------------------------------------------------------------------------------------------------- settings


def lay_settings(fleet: Fleet, duration_s: float, block_offset_s: float, drill: Drill | None, log_s: float) -> Rows:
    """Lay the settings out, times of the autoscaler in rounds."""
    settings, scaling, cache = rows(SETTINGS, 1), fleet.scaling, fleet.cache
    fill(
        settings,
        autoscale=scaling.enabled,
        follow_pods=scaling.enabled and scaling.metric == "concurrency",
        lag_syncs=round(scaling.metric_lag_s / scaling.sync_s),
        window_syncs=max(1, round(scaling.metric_window_s / scaling.sync_s)),
        up_rounds=_window(scaling.upscale_stabilization_s, scaling.sync_s),
        down_rounds=_window(scaling.downscale_stabilization_s, scaling.sync_s),
        up_select=SELECTS[scaling.scale_up.select],
        down_select=SELECTS[scaling.scale_down.select],
        levels=len({item.priority for item in fleet.classes}),
        tolerance=scaling.tolerance,
        sync_s=scaling.sync_s,
        notice_s=SPOT_NOTICE_S,
        block_offset_s=block_offset_s % (HOURS_PER_WEEK * SECONDS_PER_HOUR),
        end_s=duration_s,
        retry_s=NEVER,
        log_s=log_s,
        drill=DRILLS.index(drill.kind) if drill else NO_DRILL,
        lost_zone=drill.zone if drill else NONE,
        drill_s=drill.start_s if drill else NEVER,
        drill_end_s=drill.end_s if drill else NEVER,
        kept_most=cache.entries if cache else 0,
        kept_head=NONE,
        kept_tail=NONE,
        ttl_s=cache.ttl_s if cache else 0.0,
        hit_s=cache.hit_s if cache else 0.0,
    )
    return settings


def _window(window_s: float, sync_s: float) -> int:
    """Return the rounds less than ``window_s`` ago, this one included.

    >>> _window(0.0, 15.0), _window(15.0, 15.0), _window(60.0, 15.0), _window(61.0, 15.0)
    (1, 1, 4, 5)
    """
    return max(1, math.ceil(window_s / sync_s))


def _longest_period(scaling: ScalingPolicy) -> int:
    """Return the rounds that the longest rule of change looks back."""
    periods = [rule.period_s for limit in (scaling.scale_up, scaling.scale_down) for rule in limit.rules]
    return math.ceil(max(periods, default=0.0) / scaling.sync_s)


def lay_rules(limit: ScalingLimit) -> FloatArray:
    """Lay the rules of one direction out, float64[rules, 3]."""
    return np.array([[RULES[rule.kind], rule.value, rule.period_s] for rule in limit.rules]).reshape(-1, 3)


# ------------------------------------------------------------------------------------------------------------------- fleet


def lay_pools(fleet: Fleet) -> Rows:
    """Lay the pools out, with the ranges of machines and slots that are theirs."""
    table, names = rows(POOL, len(fleet.pools)), [pool.name for pool in fleet.pools]
    machine = slot = 0
    for row, pool, allowed in zip(table, fleet.pools, fleet.allowed.T, strict=True):
        lay_engine(row, pool)
        machines = _places(pool) + SPARE_MACHINES
        if pool.backs:
            row["backs"] = names.index(pool.backs)
            machines += _places(fleet.pools[names.index(pool.backs)])
        else:
            row["backs"] = NONE
        serverless = pool.keep_alive_s is not None
        row["group"], row["engines"], row["zones"] = fleet.groups.index(pool.group), pool.engines_per_machine, pool.zones
        row["serverless"], row["keep_alive_s"] = serverless, pool.keep_alive_s or 0.0
        row["start_s"], row["load_s"], row["ceiling"] = pool.start_s, pool.load_s, pool.ceiling
        row["weight"] = pool.requests_per_s / pool.engines_per_machine
        follows = pool.requests_per_s if fleet.scaling.metric == "rate" else pool.concurrency
        row["target"] = fleet.scaling.target_utilisation * follows
        row["interruptions_per_s"] = pool.interruptions_per_hour / SECONDS_PER_HOUR
        row["cooldown_s"] = -1.0 if pool.cooldown_s is None else pool.cooldown_s
        row["failures_per_s"] = pool.failures_per_hour / SECONDS_PER_HOUR
        waiting = [may and item.deferrable and not serverless for may, item in zip(allowed, fleet.classes, strict=True)]
        row["classes"] = sum(1 << c for c, may in enumerate(waiting) if may)
        row["room_s"] = ROOM * _shortest_promise_s(fleet, pool, allowed)
        row["first_machine"], row["first_slot"] = machine, slot
        machine, slot = machine + machines, slot + machines * pool.engines_per_machine
        row["end_machine"], row["end_slot"] = machine, slot
    return table


def _places(pool: FleetPool) -> int:
    """Return the machines that a pool itself may want."""
    return max(pool.ceiling, int(pool.schedule.max()))


def _shortest_promise_s(fleet: Fleet, pool: FleetPool, allowed: np.ndarray) -> float:
    """Return the least time in which one of the classes that a pool answers is to be answered; ``allowed`` is bool[classes]."""
    answers = fleet.share[:, fleet.groups.index(pool.group)].any(axis=1) | allowed
    return min((item.answer_within_s for item, mine in zip(fleet.classes, answers, strict=True) if mine), default=math.inf)


def lay_engine(row: Rows, pool: FleetPool) -> None:
    """Lay the engine of a pool out."""
    engine = pool.engine
    if isinstance(engine, TokenEngine):
        row["token_engine"], row["kv_capacity"], row["block_tokens"] = 1, engine.kv_capacity_tokens, pool.prefix_block_tokens
        for name in ("overhead_s", "weights_s", "per_token_s", "per_cached_token_s", "max_sequences", "chunk_tokens"):
            row[name] = getattr(engine, name)
    else:
        row["max_batch"], row["knots"] = engine.max_batch, len(engine.lengths)
        row["counts"] = bool(engine.lengths) and pool.max_wait_s > 0.0
    row["max_wait_s"], row["deferrable_limit"] = pool.max_wait_s, pool.deferrable_limit


def lay_classes(fleet: Fleet) -> Rows:
    """Lay the classes out; level 0 is the highest priority."""
    table = rows(CLASS, len(fleet.classes))
    priorities = sorted({item.priority for item in fleet.classes}, reverse=True)
    for row, item in zip(table, fleet.classes, strict=True):
        row["deferrable"], row["level"], row["retries"] = item.deferrable, priorities.index(item.priority), item.retries
        row["answer_within_s"], row["shed_wait_s"] = item.answer_within_s, item.shed_wait_s
        row["retry_after_s"] = item.retry_after_s
    return table


def lay_services(fleet: Fleet) -> FloatArray:
    """Return the batch times of request engines, float64[pools, largest batch]; rows of token engines are zero."""
    times = [pool.engine.service_s if isinstance(pool.engine, RequestEngine) else (0.0,) for pool in fleet.pools]
    table = np.zeros((len(times), max(len(row) for row in times)))
    for row, values in zip(table, times, strict=True):
        row[: len(values)] = values
    return table


def lay_services_by_length(fleet: Fleet, pools: Rows) -> FloatArray:
    """Return the batch times of request engines by length, float64[pools, largest batch, most lengths]: zero where they are not known.

    Float64[0] where they are known of no engine: then what asks for them is not compiled.
    """
    if not pools.knots.any():
        return np.zeros(0)
    table = np.zeros((len(pools), int(pools.max_batch.max()), int(pools.knots.max())))
    for row, pool in zip(table, fleet.pools, strict=True):
        if isinstance(pool.engine, RequestEngine) and pool.engine.lengths:
            row[: pool.engine.max_batch, : len(pool.engine.lengths)] = pool.engine.service_by_length_s
    return table


def lay_lengths(fleet: Fleet, pools: Rows) -> IntArray:
    """Return the lengths at which batch times are known, int64[pools, most lengths]."""
    table = np.zeros((len(pools), int(pools.knots.max())), dtype=np.int64)
    for row, pool in zip(table, fleet.pools, strict=True):
        if isinstance(pool.engine, RequestEngine):
            row[: len(pool.engine.lengths)] = pool.engine.lengths
    return table


def lay_machines(pools: Rows) -> Rows:
    """Lay the machines out, all off."""
    table = rows(MACHINE, int(pools.end_machine[-1]))
    pool = np.repeat(np.arange(len(pools)), pools.end_machine - pools.first_machine)
    fill(table, pool=pool, kill_s=NEVER, interrupt_s=NEVER, fail_s=NEVER)
    return table


def lay_slots(pools: Rows) -> Rows:
    """Lay the engines out, all idle."""
    table = rows(SLOT, int(pools.end_slot[-1]))
    per_machine = np.repeat(pools.engines, pools.end_machine - pools.first_machine)
    fill(
        table,
        pool=np.repeat(np.arange(len(pools)), pools.end_slot - pools.first_slot),
        machine=np.repeat(np.arange(len(per_machine)), per_machine),
        mode=IDLE,
        closed=1,
    )
    return table


# ---------------------------------------------------------------------------------------------------------------- requests


def lay_requests(size: int) -> Rows:
    """Lay unused request rows out, each linked to the next."""
    table = rows(REQUEST, size)
    fill(table, number=NONE, next=np.append(np.arange(1, size), NONE))
    return table


def grow(world: ReplayState) -> ReplayState:
    """Return the world with twice as many request rows; all were in use."""
    old = world.requests
    table = lay_requests(2 * len(old))
    table[: len(old)] = old
    world.settings.free = len(old)
    return world._replace(requests=table)


def lay_next_parts(traffic: Traffic) -> IntArray:
    """Return the request that goes on from each, int64[requests], NONE where none does; empty where nobody goes on."""
    if traffic.after is None:
        return np.zeros(0, dtype=np.int64)
    follower = np.flatnonzero(traffic.after >= 0)
    found = np.full(len(traffic.after), NONE)
    found[traffic.after[follower]] = follower
    return found


def number_keys(fleet: Fleet, traffic: Traffic) -> tuple[int, IntArray]:
    """Return how many keys there are, and each request's, int64[requests] from 0; empty where nothing is cached."""
    if fleet.cache is None or traffic.key is None:
        return 0, np.zeros(0, dtype=np.int64)
    has, key = traffic.key >= 0, np.full(len(traffic.key), NONE)
    distinct, key[has] = np.unique(traffic.key[has], return_inverse=True)
    return len(distinct), key


def lay_kept(keys: int) -> Rows:
    """Lay the response cache out, empty."""
    table = rows(KEPT, keys)
    table["made_s"] = -NEVER
    return table
