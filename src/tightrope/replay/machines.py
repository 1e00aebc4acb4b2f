"""Engines at work, machines asked for and given back: what routing and the control loop both do. Compiled by numba."""

from tightrope.base.records import FloatArray
from tightrope.replay.batches import end_batch, start_batch
from tightrope.replay.compiled import jit
from tightrope.replay.prefix import clear
from tightrope.replay.queue_structures import renew
from tightrope.replay.state import (
    CLOSED,
    COLD,
    DRAINING,
    FIRST,
    IDLE,
    NEVER,
    NONE,
    OFF,
    READY,
    SPOT_STORM,
    SPOT_ZONE_LOSS,
    STARTING,
    WAITING,
    ZONE_LOSS,
    ReplayState,
    Row,
)
from tightrope.replay.tokens import end_tokens, start_tokens

WEEK_BLOCKS = 168
BLOCK_S = 3600.0


@jit
def block_of(settings: Row, now_s: float) -> int:
    """Return the block of the week at ``now_s``."""
    return int((now_s + settings.block_offset_s) // BLOCK_S) % WEEK_BLOCKS


# ---------------------------------------------------------------------------------------------------------------- engines


@jit
def set_event(world: ReplayState, index: int, event_s: float) -> None:
    """Set when the slot's work ends."""
    if event_s == world.event_s[index]:
        return
    world.event_s[index] = event_s
    renew(world.event_tree, world.event_s, FIRST, len(world.event_s), index)


@jit
def load_of(slot: Row) -> int:
    """Return the requests on a slot."""
    return slot.waiting + slot.reading + slot.sequences


@jit
def set_load(world: ReplayState, index: int) -> None:
    """Let routing know how much is on a slot; one that takes no requests is closed to it."""
    slot = world.slots[index]
    pool, state = world.pools[slot.pool], world.machines[slot.machine].state
    takes = state == READY or (state == STARTING and pool.serverless)
    load = load_of(slot) if takes else CLOSED
    if load == world.load[index]:
        return
    world.load[index] = load
    renew(world.load_tree, world.load, pool.first_slot, pool.end_slot - pool.first_slot, index)


@jit
def start_slot(world: ReplayState, index: int, now_s: float) -> None:
    """Start whatever the slot does next."""
    token_engine = world.pools[world.slots[index].pool].token_engine
    set_event(world, index, start_tokens(world, index, now_s) if token_engine else start_batch(world, index, now_s))
    set_load(world, index)


@jit
def end_slot(world: ReplayState, index: int, now_s: float) -> None:
    """End what the slot did until now."""
    slot = world.slots[index]
    note_work(world, index, now_s)
    if slot.mode == COLD:
        warm(world, slot.machine, now_s)
        slot.mode = IDLE
    elif world.pools[slot.pool].token_engine:
        end_tokens(world, index, now_s)
    else:
        end_batch(world, index, now_s)


@jit
def note_work(world: ReplayState, index: int, now_s: float) -> None:
    """Log the work that ends now, while the log has room and its time is not over."""
    settings, slot = world.settings[0], world.slots[index]
    if settings.logged < len(world.work) and slot.begin_s < settings.log_s and slot.mode not in (COLD, WAITING):
        row = world.work[settings.logged]
        row.slot, row.steps, row.begin_s, row.end_s = index, slot.steps, slot.begin_s, now_s
        row.prompt_tokens, row.sequences = slot.prompt_tokens, slot.sequences
        settings.logged += 1


# --------------------------------------------------------------------------------------------------------------- machines


@jit
def slots_of(pool: Row, machine: int) -> tuple[int, int]:
    """Return the first slot of a machine and the one after its last."""
    first = pool.first_slot + (machine - pool.first_machine) * pool.engines
    return first, first + pool.engines


@jit
def outstanding(world: ReplayState, machine: int) -> int:
    """Return the requests on a machine."""
    first, end = slots_of(world.pools[world.machines[machine].pool], machine)
    total = 0
    for index in range(first, end):
        total += load_of(world.slots[index])
    return total


@jit
def set_state(world: ReplayState, machine: int, state: int) -> None:
    """Move a machine to another state; its slots take requests, or deferrable work, accordingly."""
    row = world.machines[machine]
    pool = world.pools[row.pool]
    pool.present += (state in (STARTING, READY)) - (row.state in (STARTING, READY))
    pool.used += (state != OFF) - (row.state != OFF)
    row.state = state
    first, end = slots_of(pool, machine)
    for index in range(first, end):
        world.slots[index].closed = state in (OFF, DRAINING)
        set_load(world, index)


@jit
def warm(world: ReplayState, machine: int, now_s: float) -> None:
    """Let a machine be ready."""
    if world.machines[machine].state == STARTING:
        world.machines[machine].idle_since_s = now_s
        set_state(world, machine, READY)


@jit
def drilled(world: ReplayState, pool: Row, now_s: float) -> bool:
    """Return whether a drill is on that touches the pool's machines."""
    settings = world.settings[0]
    if not settings.drill_s <= now_s < settings.drill_end_s:
        return False
    spot = pool.interruptions_per_s > 0.0
    return settings.drill == ZONE_LOSS or (spot and settings.drill in (SPOT_ZONE_LOSS, SPOT_STORM))


@jit
def zone_is_lost(world: ReplayState, pool: Row, now_s: float) -> bool:
    """Return whether a drill has taken a zone of the pool."""
    settings = world.settings[0]
    return settings.drill != SPOT_STORM and settings.lost_zone < max(pool.zones, 1) and drilled(world, pool, now_s)


@jit
def is_lost(world: ReplayState, machine: Row, now_s: float) -> bool:
    """Return whether a machine stands in a zone that a drill has taken."""
    return machine.zone == world.settings[0].lost_zone and zone_is_lost(world, world.pools[machine.pool], now_s)


@jit
def can_start(world: ReplayState, p: int, now_s: float) -> bool:
    """Return whether one more machine of the pool is to be had: a place is free, and a zone that is up."""
    pool, settings = world.pools[p], world.settings[0]
    if pool.used == pool.end_machine - pool.first_machine:
        return False
    if settings.drill == SPOT_STORM:
        return not drilled(world, pool, now_s)
    return pool.zones > 1 or not zone_is_lost(world, pool, now_s)


@jit
def start_machine(world: ReplayState, p: int, now_s: float, ready_s: float) -> int:
    """Ask for one more machine, which can be had, in the lowest free place and the next zone that is up; return it."""
    pool, settings = world.pools[p], world.settings[0]
    index = pool.first_machine
    while world.machines[index].state != OFF:
        index += 1
    machine = world.machines[index]
    zones = max(pool.zones, 1)
    machine.zone = settings.started % zones
    if machine.zone == settings.lost_zone and zone_is_lost(world, pool, now_s):
        machine.zone = (machine.zone + 1) % zones
    draw = settings.started % world.lifetimes.shape[1]
    settings.started += 1
    machine.ready_s, machine.on_since_s, machine.idle_since_s, machine.kill_s = ready_s, now_s, now_s, NEVER
    machine.interrupt_s = machine.fail_s = NEVER
    world.measured[index, :] = NONE
    if pool.interruptions_per_s > 0.0:
        machine.interrupt_s = now_s + world.lifetimes[0, draw] / pool.interruptions_per_s
    if pool.failures_per_s > 0.0:
        machine.fail_s = now_s + world.lifetimes[1, draw] / pool.failures_per_s
    set_state(world, index, STARTING)
    return index


@jit
def start_instance(world: ReplayState, p: int, now_s: float) -> int:
    """Start a serverless instance, which begins what it has as soon as it is ready; return its first slot."""
    pool = world.pools[p]
    ready_s = now_s + pool.start_s
    first, end = slots_of(pool, start_machine(world, p, now_s, ready_s))
    world.settings[0].cold_starts += 1
    for index in range(first, end):
        world.slots[index].mode = COLD
        set_event(world, index, ready_s)
    return first


@jit
def add_hours(hours: FloatArray, from_s: float, to_s: float) -> None:
    """Spread a machine's life over the billing hours it touches, float64[hours]."""
    last = len(hours) - 1
    while from_s < to_s:
        hour = min(int(from_s // BLOCK_S), last)
        until_s = to_s if hour == last else min(to_s, (hour + 1) * BLOCK_S)
        hours[hour] += (until_s - from_s) / BLOCK_S
        from_s = until_s


@jit
def stop_machine(world: ReplayState, index: int, now_s: float) -> None:
    """Give a machine back: its bill ends now, and what its prefix caches hold is gone."""
    machine = world.machines[index]
    set_state(world, index, OFF)
    add_hours(world.hours[machine.pool], machine.on_since_s, min(now_s, world.settings[0].end_s))
    first, end = slots_of(world.pools[machine.pool], index)
    if world.pools[machine.pool].block_tokens:
        for slot in range(first, end):
            world.slots[slot].occupied = 0
            clear(world.slots[slot], world.frames[slot], world.buckets[slot])
    if world.pools[world.machines[index].pool].counts:
        for slot in range(first, end):
            world.slots[slot].rate_per_s = 0.0


@jit
def settle(world: ReplayState, index: int, now_s: float) -> None:
    """After work on a machine ended: give a draining one back once nothing is left on it; note since when a serverless one idles."""
    state = world.machines[index].state
    serverless = world.pools[world.machines[index].pool].serverless
    if (state == DRAINING or serverless) and outstanding(world, index) == 0:
        world.machines[index].idle_since_s = now_s
        if state == DRAINING:
            stop_machine(world, index, now_s)


@jit
def drain(world: ReplayState, index: int, now_s: float) -> None:
    """Let a machine finish what it has, then give it back."""
    set_state(world, index, DRAINING)
    settle(world, index, now_s)
