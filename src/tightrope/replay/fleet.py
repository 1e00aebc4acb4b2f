"""The fleet around the engines: routing, start and stop of machines, autoscaling, interruptions. Compiled by numba."""

from tightrope.base.records import FloatArray
from tightrope.policy.route import expected_wait, pick_by_share
from tightrope.policy.scale import desired_replicas, stabilised
from tightrope.replay.compiled import jit
from tightrope.replay.slots import (
    cut_decoding,
    end_batch,
    end_tokens,
    pop,
    pop_running,
    pop_waiting,
    push,
    push_waiting,
    start_batch,
    start_tokens,
)
from tightrope.replay.state import (
    BATCHING,
    DECODING,
    DRAINING,
    IDLE,
    NEVER,
    NONE,
    OFF,
    READY,
    STARTING,
    STEPPING,
    WAITING,
    Row,
    Rows,
    World,
)

WEEK_BLOCKS = 168
BLOCK_S = 3600.0

pick_group = jit(pick_by_share)
wait_of = jit(expected_wait)
hpa = jit(desired_replicas)
stable = jit(stabilised)


@jit
def block_of(settings: Row, now_s: float) -> int:
    """Return the block of the week at ``now_s``."""
    return int((now_s + settings.block_offset_s) // BLOCK_S) % WEEK_BLOCKS


@jit
def start_slot(world: World, index: int, now_s: float) -> None:
    """Start whatever the slot does next."""
    slot = world.slots[index]
    pool = world.pools[slot.pool]
    requests, queues, heap = world.requests, world.queues, world.heap[index]
    if pool.token_engine:
        world.event_s[index] = start_tokens(pool, slot, heap, requests, queues, slot.pool, now_s)
    else:
        world.event_s[index] = start_batch(pool, slot, heap, requests, queues, slot.pool, world.service_s[slot.pool], now_s)


@jit
def end_slot(world: World, index: int, now_s: float) -> None:
    """End what the slot did until now."""
    slot = world.slots[index]
    if world.pools[slot.pool].token_engine:
        end_tokens(slot, world.heap[index], world.requests, now_s)
    else:
        end_batch(slot, world.heap[index], world.requests, now_s)


@jit
def best_slot(pools: Rows, machines: Rows, slots: Rows, group: int, tokens: int) -> int:
    """Return the group's ready slot with the shortest expected wait whose KV cache holds the request; NONE without one."""
    best, best_wait = NONE, NEVER
    for p in range(len(pools)):
        pool = pools[p]
        if pool.group != group or (pool.token_engine and pool.kv_capacity < tokens):
            continue
        for index in range(pool.first_slot, pool.end_slot):
            slot = slots[index]
            if machines[slot.machine].state == READY:
                wait = wait_of(slot.waiting + slot.sequences, pool.weight)
                if wait < best_wait:
                    best, best_wait = index, wait
    return best


@jit
def group_can_hold(pools: Rows, group: int, tokens: int) -> bool:
    """Return whether any pool of the group, ready or not, may run and has a KV cache for the request."""
    for p in range(len(pools)):
        pool = pools[p]
        if pool.group == group and pool.ceiling > 0 and (not pool.token_engine or pool.kv_capacity >= tokens):
            return True
    return False


@jit
def class_can_run(pools: Rows, traffic_class: int, tokens: int) -> bool:
    """Return whether any pool that does this deferrable class, ready or not, may run and has a KV cache for the request."""
    for p in range(len(pools)):
        pool = pools[p]
        if (pool.classes >> traffic_class) & 1 and pool.ceiling > 0 and (not pool.token_engine or pool.kv_capacity >= tokens):
            return True
    return False


@jit
def route_to(world: World, request: int, group: int, now_s: float) -> None:
    """Give a request to a replica of the group, hold it until one is ready, or leave it failed where none ever could."""
    row = world.requests[request]
    tokens = row.input_tokens + row.output_tokens
    index = best_slot(world.pools, world.machines, world.slots, group, tokens)
    if index == NONE:
        if group_can_hold(world.pools, group, tokens):
            push(world.queues[group], world.requests, request)
        return
    slot = world.slots[index]
    row.pool = slot.pool
    push_waiting(slot, world.requests, request)
    if slot.mode in (IDLE, WAITING):
        start_slot(world, index, now_s)
    elif slot.mode == DECODING and slot.waiting == 1:
        world.event_s[index] = cut_decoding(world.pools[slot.pool], slot, world.requests, now_s, world.event_s[index])


@jit
def route(world: World, request: int, now_s: float) -> None:
    """Route one request by its class's shares; deferrable work that some pool can do joins its class's queue and wakes replicas."""
    settings, row = world.settings[0], world.requests[request]
    queue = world.queues[settings.groups + row.traffic_class]
    if queue.deferrable:
        if class_can_run(world.pools, row.traffic_class, row.input_tokens + row.output_tokens):
            push(queue, world.requests, request)
            wake_idle(world, now_s)
        return
    group = pick_group(queue.count, world.share[row.traffic_class, :, block_of(settings, now_s)])
    queue.count += 1
    route_to(world, request, group, now_s)
    if row.pool != NONE:
        world.arrivals[row.pool, settings.sync % world.arrivals.shape[1]] += 1


@jit
def wake_idle(world: World, now_s: float) -> None:
    """Let every idle ready slot look for work."""
    for index in range(len(world.slots)):
        slot = world.slots[index]
        if slot.mode == IDLE and world.machines[slot.machine].state == READY:
            start_slot(world, index, now_s)


@jit
def release_held(world: World, group: int, now_s: float) -> None:
    """Route every request that waited for a replica of the group."""
    queue = world.queues[group]
    last = queue.tail
    while queue.head != NONE:
        request = pop(queue, world.requests)
        route_to(world, request, group, now_s)
        if request == last:
            break


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
def slots_of(pool: Row, machine: int) -> tuple[int, int]:
    """Return the first slot of a machine and the one after its last."""
    first = pool.first_slot + (machine - pool.first_machine) * pool.engines
    return first, first + pool.engines


@jit
def close_slots(world: World, machine: int, closed: int) -> None:
    """Open (0) or close (1) the machine's slots for work that can wait."""
    first, end = slots_of(world.pools[world.machines[machine].pool], machine)
    for index in range(first, end):
        world.slots[index].closed = closed


@jit
def is_lost(world: World, machine: Row, now_s: float) -> bool:
    """Return whether a machine stands in a zone that the drill has taken."""
    return machine.zone == world.settings[0].lost_zone and zone_is_lost(world.pools[machine.pool], world.settings[0], now_s)


@jit
def zone_is_lost(pool: Row, settings: Row, now_s: float) -> bool:
    """Return whether the drill has taken a zone of the pool: it takes machines that may be interrupted."""
    drilled = settings.lost_zone < max(pool.zones, 1) and settings.zone_loss_s <= now_s < settings.zone_loss_end_s
    return pool.interruptions_per_s > 0.0 and drilled


@jit
def start_machine(world: World, p: int, now_s: float, ready_s: float) -> bool:
    """Ask for one more machine, in the next zone that is up; return whether there was such a zone and a machine slot free."""
    pool, settings = world.pools[p], world.settings[0]
    zones = max(pool.zones, 1)
    lost = zone_is_lost(pool, settings, now_s)
    if lost and zones == 1:
        return False
    for index in range(pool.first_machine, pool.end_machine):
        machine = world.machines[index]
        if machine.state == OFF:
            machine.zone = settings.started % zones
            if lost and machine.zone == settings.lost_zone:
                machine.zone = (machine.zone + 1) % zones
            draw = world.lifetimes[settings.started % len(world.lifetimes)]
            settings.started += 1
            machine.state = STARTING
            machine.ready_s = ready_s
            machine.on_since_s = now_s
            machine.kill_s = NEVER
            machine.interrupt_s = now_s + draw / pool.interruptions_per_s if pool.interruptions_per_s > 0.0 else NEVER
            close_slots(world, index, 0)
            return True
    return False


@jit
def stop_machine(world: World, index: int, now_s: float) -> None:
    """Give a machine back: its bill ends now."""
    machine = world.machines[index]
    machine.state = OFF
    close_slots(world, index, 1)
    add_hours(world.hours[machine.pool], machine.on_since_s, min(now_s, world.settings[0].end_s))


@jit
def outstanding(world: World, machine: int) -> int:
    """Return the requests on a machine."""
    first, end = slots_of(world.pools[world.machines[machine].pool], machine)
    total = 0
    for index in range(first, end):
        total += world.slots[index].waiting + world.slots[index].sequences
    return total


@jit
def stop_if_drained(world: World, machine: int, now_s: float) -> None:
    """Give a draining machine back once nothing is left on it."""
    if world.machines[machine].state == DRAINING and outstanding(world, machine) == 0:
        stop_machine(world, machine, now_s)


@jit
def drain(world: World, machine: int, now_s: float) -> None:
    """Let a machine finish what it has, then give it back."""
    world.machines[machine].state = DRAINING
    close_slots(world, machine, 1)
    stop_if_drained(world, machine, now_s)


@jit
def kill_machine(world: World, index: int, now_s: float) -> None:
    """Take a machine away with all that is on it; every request starts again elsewhere, its first arrival still counting."""
    stop_machine(world, index, now_s)
    first, end = slots_of(world.pools[world.machines[index].pool], index)
    for s in range(first, end):
        slot, heap = world.slots[s], world.heap[s]
        if slot.mode in (DECODING, STEPPING, BATCHING):
            slot.busy_s -= world.event_s[s] - now_s
        batch = slot.sequences if slot.mode == BATCHING else 0
        for i in range(batch):
            retry(world, heap[1, i], now_s)
        while batch == 0 and slot.sequences > 0:
            retry(world, pop_running(slot, heap), now_s)
        while slot.waiting > 0:
            retry(world, pop_waiting(slot, world.requests), now_s)
        world.event_s[s] = NEVER
        slot.mode, slot.sequences, slot.cached, slot.reserved, slot.progress, slot.prefilled = IDLE, 0, 0, 0, 0, 0


@jit
def retry(world: World, request: int, now_s: float) -> None:
    """Send a request that lost its replica to another one."""
    settings, row = world.settings[0], world.requests[request]
    settings.retries += 1
    group = world.pools[row.pool].group
    row.first_s, row.pool = NEVER, NONE
    queue = world.queues[settings.groups + row.traffic_class]
    if queue.deferrable:
        push(queue, world.requests, request)
        wake_idle(world, now_s)
    else:
        route_to(world, request, group, now_s)


@jit
def count_machines(pool: Row, machines: Rows, state: int) -> int:
    """Return the pool's machines in ``state``."""
    total = 0
    for index in range(pool.first_machine, pool.end_machine):
        total += machines[index].state == state
    return total


@jit
def wanted_machines(world: World, p: int, now_s: float) -> int:
    """Return the machines the pool should have: the schedule's floor, raised by the autoscaler up to the ceiling; none where it is 0.

    The metric is the request rate of the last ``window_syncs`` periods that ended before the metric lag, per machine the pool has,
    ready or not; a scale-down follows the highest recommendation of the stabilisation window.
    """
    pool, settings = world.pools[p], world.settings[0]
    floor = world.floor[p, block_of(settings, now_s)]
    if not settings.autoscale or floor == 0:
        return floor
    kept, newest = world.arrivals.shape[1], settings.sync - settings.lag_syncs
    total = 0
    for i in range(max(newest - settings.window_syncs + 1, 0), newest + 1):
        total += world.arrivals[p, i % kept]
    current = count_machines(pool, world.machines, READY) + count_machines(pool, world.machines, STARTING)
    capacity = current * pool.capacity_per_s * settings.window_syncs * settings.sync_s
    desired = current if capacity <= 0.0 else hpa(current, total / capacity, settings.target_utilisation, settings.tolerance)
    recommended = world.recommended[p]
    recommended[settings.sync % len(recommended)] = min(max(desired, floor), max(pool.ceiling, floor))
    return max(floor, stable(recommended))


@jit
def scale_pool(world: World, p: int, now_s: float) -> None:
    """Start or drain machines until the pool has what it should."""
    pool, machines = world.pools[p], world.machines
    want = wanted_machines(world, p, now_s)
    have = count_machines(pool, machines, READY) + count_machines(pool, machines, STARTING)
    while have < want and start_machine(world, p, now_s, now_s + pool.start_s):
        have += 1
    while have > want:
        victim, least = NONE, 1 << 60
        for index in range(pool.first_machine, pool.end_machine):
            if machines[index].state in (STARTING, READY):
                load = NONE if machines[index].state == STARTING else outstanding(world, index)
                if load < least:
                    victim, least = index, load
        drain(world, victim, now_s)
        have -= 1


@jit
def age_machine(world: World, index: int, now_s: float) -> bool:
    """Move one machine along its life: zone lost, taken away, notice received, ready; return whether it became ready."""
    machine, settings = world.machines[index], world.settings[0]
    if is_lost(world, machine, now_s) or machine.kill_s <= now_s:
        kill_machine(world, index, now_s)
    elif machine.interrupt_s <= now_s and machine.kill_s == NEVER:
        settings.interrupted += 1
        machine.kill_s = now_s + settings.notice_s
        drain(world, index, now_s)
    elif machine.state == STARTING and machine.ready_s <= now_s:
        machine.state = READY
        return True
    return False


@jit
def control(world: World, now_s: float) -> None:
    """One round of the control loop: ages of machines first, then work for those that became ready, then every pool's size.

    A zone is lost all at once: none of its machines is given what the others lose. Machines become ready all at once too. Idle
    engines look again every round: what did not fit them may have left the head of its queue.
    """
    settings = world.settings[0]
    for index in range(len(world.machines)):
        if world.machines[index].state == READY and is_lost(world, world.machines[index], now_s):
            world.machines[index].state = DRAINING
    ready = False
    for index in range(len(world.machines)):
        if world.machines[index].state != OFF and age_machine(world, index, now_s):
            ready = True
    if ready:
        for group in range(settings.groups):
            release_held(world, group, now_s)
    wake_idle(world, now_s)
    for p in range(len(world.pools)):
        scale_pool(world, p, now_s)
    settings.sync += 1
    for p in range(len(world.pools)):
        world.arrivals[p, settings.sync % world.arrivals.shape[1]] = 0
        world.recommended[p, settings.sync % world.recommended.shape[1]] = 0
