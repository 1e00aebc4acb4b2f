"""The door to the replay: a fleet and arrivals in, what became of every request and machine out."""

import numpy as np

from tightrope.base.records import FloatArray, RequestEngine, TokenEngine
from tightrope.base.units import HOURS_PER_WEEK, SECONDS_PER_HOUR
from tightrope.replay.records import SPOT_NOTICE_S, UNANSWERED, Drill, Fleet, Outcome, Traffic
from tightrope.replay.state import IDLE, MACHINE, NEVER, NONE, POOL, QUEUE, REQUEST, SETTINGS, SLOT, WORKING, Rows, World, rows

LIFETIMES = 4096
"""Draws of spot machines' lifetimes; a replay that starts more machines goes round."""
SPARE_MACHINES = 4
"""Machine slots of a pool beyond its ceiling: replacements start while interrupted machines still drain."""


def replay_fleet(
    fleet: Fleet, traffic: Traffic, *, duration_s: float, block_offset_s: float, seed: int, drill: Drill | None = None
) -> Outcome:
    """Return what the fleet makes of the traffic; the same arguments give the same bytes.

    ``block_offset_s`` is the time of the week at which the replay starts, ``seed`` draws the spot machines' lifetimes.
    """
    from tightrope.replay.kernel import run, stop_all, warm_start  # noqa: PLC0415 - numba loads when first used

    world = _world(fleet, traffic, duration_s)
    _set(
        world.settings,
        autoscale=fleet.scaling.enabled,
        lag_syncs=round(fleet.scaling.metric_lag_s / fleet.scaling.sync_s),
        window_syncs=max(1, round(fleet.scaling.metric_window_s / fleet.scaling.sync_s)),
        groups=len(fleet.groups),
        target_utilisation=fleet.scaling.target_utilisation,
        tolerance=fleet.scaling.tolerance,
        sync_s=fleet.scaling.sync_s,
        notice_s=SPOT_NOTICE_S,
        block_offset_s=block_offset_s % (HOURS_PER_WEEK * SECONDS_PER_HOUR),
        lost_zone=drill.zone if drill else 0,
        zone_loss_s=drill.start_s if drill else NEVER,
        zone_loss_end_s=drill.end_s if drill else NEVER,
        end_s=duration_s,
    )
    world.lifetimes[:] = np.random.default_rng(seed).exponential(size=len(world.lifetimes))
    warm_start(world)
    run(world, duration_s)
    slots = world.slots
    ahead_s = np.where(np.isin(slots.mode, WORKING), world.event_s - duration_s, 0.0)
    busy_s = np.bincount(slots.pool, weights=slots.busy_s - ahead_s, minlength=len(fleet.pools))
    run(world, NEVER)
    stop_all(world)
    return Outcome(
        traffic=traffic,
        first_s=world.requests.first_s.copy(),
        finish_s=world.requests.finish_s.copy(),
        pool=world.requests.pool.copy(),
        machine_hours=world.hours,
        busy_hours=busy_s / world.pools.engines / SECONDS_PER_HOUR,
        interruptions=int(world.settings.interrupted[0]),
        retries=int(world.settings.retries[0]),
        begin_s=world.requests.first_s.copy(),
        ended=np.where(np.isfinite(world.requests.finish_s), 0, UNANSWERED).astype(np.int64),
        prefix_tokens=np.zeros(len(world.requests), dtype=np.int64),
    )


def _set(target: Rows, **columns: object) -> None:
    """Set whole columns of a structured array."""
    for name, values in columns.items():
        target[name] = values


def _world(fleet: Fleet, traffic: Traffic, duration_s: float) -> World:
    """Lay fleet and traffic out: all machines off, nothing answered."""
    scaling, count = fleet.scaling, len(fleet.pools)
    pools = _pools(fleet)
    machines, slots = _machines(pools), _slots(pools)
    width = int(max(pools.max_sequences.max(), pools.max_batch.max(), 1)) + 1
    measured = round((scaling.metric_lag_s + scaling.metric_window_s) / scaling.sync_s) + 4
    stabilised = round(scaling.downscale_stabilization_s / scaling.sync_s) + 1
    return World(
        settings=rows(SETTINGS, 1),
        pools=pools,
        slots=slots,
        machines=machines,
        requests=_requests(traffic),
        queues=_queues(fleet),
        event_s=np.full(len(slots), NEVER),
        heap=np.zeros((len(slots), 2, width), dtype=np.int64),
        service_s=_service_table(fleet),
        floor=np.stack([pool.schedule for pool in fleet.pools]).astype(np.int64),
        share=np.ascontiguousarray(fleet.share, dtype=np.float64),
        lifetimes=np.zeros(LIFETIMES),
        hours=np.zeros((count, max(1, int(np.ceil(duration_s / SECONDS_PER_HOUR))))),
        arrivals=np.zeros((count, measured), dtype=np.int64),
        recommended=np.zeros((count, stabilised), dtype=np.int64),
    )


def _pools(fleet: Fleet) -> Rows:
    """Lay the pools out, with the ranges of machines and slots that are theirs."""
    table = rows(POOL, len(fleet.pools))
    machine = slot = 0
    for row, pool, allowed in zip(table, fleet.pools, fleet.allowed.T, strict=True):
        engine, machines = pool.engine, max(pool.ceiling, int(pool.schedule.max())) + SPARE_MACHINES
        row["token_engine"] = isinstance(engine, TokenEngine)
        for name in ("overhead_s", "weights_s", "per_token_s", "per_cached_token_s", "max_sequences", "chunk_tokens"):
            row[name] = getattr(engine, name, 0)
        row["kv_capacity"] = getattr(engine, "kv_capacity_tokens", 0)
        row["max_batch"] = getattr(engine, "max_batch", 0)
        row["max_wait_s"], row["deferrable_limit"] = pool.max_wait_s, pool.deferrable_limit
        row["group"], row["engines"], row["zones"] = fleet.groups.index(pool.group), pool.engines_per_machine, pool.zones
        row["start_s"], row["ceiling"] = pool.start_s, pool.ceiling
        row["weight"], row["capacity_per_s"] = pool.requests_per_s / pool.engines_per_machine, pool.requests_per_s
        row["interruptions_per_s"] = pool.interruptions_per_hour / SECONDS_PER_HOUR
        row["classes"] = sum(1 << c for c, may in enumerate(allowed) if may and fleet.classes[c].deferrable)
        row["first_machine"], row["first_slot"] = machine, slot
        machine, slot = machine + machines, slot + machines * pool.engines_per_machine
        row["end_machine"], row["end_slot"] = machine, slot
    return table


def _service_table(fleet: Fleet) -> FloatArray:
    """Return the batch times of request engines, float64[pools, largest batch]; rows of token engines are zero."""
    times = [pool.engine.service_s if isinstance(pool.engine, RequestEngine) else (0.0,) for pool in fleet.pools]
    table = np.zeros((len(times), max(len(row) for row in times)))
    for row, values in zip(table, times, strict=True):
        row[: len(values)] = values
    return table


def _requests(traffic: Traffic) -> Rows:
    """Lay the traffic out; an empty prompt or answer counts as one token."""
    table = rows(REQUEST, len(traffic.time_s))
    _set(
        table,
        time_s=traffic.time_s,
        traffic_class=traffic.traffic_class,
        input_tokens=np.maximum(traffic.input_tokens, 1),
        output_tokens=np.maximum(traffic.output_tokens, 1),
        first_s=NEVER,
        finish_s=NEVER,
        pool=NONE,
        next=NONE,
    )
    return table


def _machines(pools: Rows) -> Rows:
    """Lay the machines out, all off."""
    table = rows(MACHINE, int(pools.end_machine[-1]))
    _set(table, pool=np.repeat(np.arange(len(pools)), pools.end_machine - pools.first_machine), kill_s=NEVER, interrupt_s=NEVER)
    return table


def _slots(pools: Rows) -> Rows:
    """Lay the engines out, all idle."""
    table = rows(SLOT, int(pools.end_slot[-1]))
    per_machine = np.repeat(pools.engines, pools.end_machine - pools.first_machine)
    _set(
        table,
        pool=np.repeat(np.arange(len(pools)), pools.end_slot - pools.first_slot),
        machine=np.repeat(np.arange(len(per_machine)), per_machine),
        mode=IDLE,
        head=NONE,
        tail=NONE,
        closed=1,
    )
    return table


def _queues(fleet: Fleet) -> Rows:
    """Lay the queues of held requests out, all empty: the groups' first, then the classes'."""
    table = rows(QUEUE, len(fleet.groups) + len(fleet.classes))
    _set(table, head=NONE, tail=NONE)
    table["deferrable"][: len(fleet.groups)] = NONE
    table["deferrable"][len(fleet.groups) :] = [item.deferrable for item in fleet.classes]
    return table
