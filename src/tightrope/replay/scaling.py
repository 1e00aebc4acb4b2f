"""The control loop: machines age, held work is sent again, pools are sized. Compiled by numba."""

from tightrope.policy.scaling import (
    NO_RECOMMENDATION,
    desired_for_pods,
    desired_for_total,
    limited,
    sleeps,
    stabilised,
    wakes,
)
from tightrope.replay.compiled import jit
from tightrope.replay.machine_losses import age_machine
from tightrope.replay.machines import (
    block_of,
    can_start,
    drain,
    is_lost,
    load_of,
    outstanding,
    set_state,
    start_instance,
    start_machine,
)
from tightrope.replay.queues import holds
from tightrope.replay.routing import release_held, wake_idle
from tightrope.replay.state import DRAINING, METRICS_LOSS, NONE, OFF, READY, STARTING, ReplayState, Row

for_total = jit(desired_for_total)
for_pods = jit(desired_for_pods)
stable = jit(stabilised)
limit = jit(limited)
may_wake = jit(wakes)
may_sleep = jit(sleeps)


@jit
def count_machines(world: ReplayState, p: int, state: int) -> int:
    """Return the pool's machines in ``state``."""
    total = 0
    for index in range(world.pools[p].first_machine, world.pools[p].end_machine):
        total += world.machines[index].state == state
    return total


# ------------------------------------------------------------------------------------------------------------- autoscaler


@jit
def desired_by_rate(world: ReplayState, p: int) -> int:
    """Return the machines for the request rate of the window that ended before the metric's lag."""
    pool, settings = world.pools[p], world.settings[0]
    kept, newest = world.arrivals.shape[1], settings.sync - settings.lag_syncs
    total = 0
    for i in range(max(newest - settings.window_syncs + 1, 0), newest + 1):
        total += world.arrivals[p, i % kept]
    rate_per_s = total / (settings.window_syncs * settings.sync_s)
    return for_total(pool.wanted, rate_per_s, pool.target, settings.tolerance)


@jit
def desired_by_pods(world: ReplayState, p: int, now_s: float) -> int:
    """Return the machines for the requests that were on each ready one at the round before the metric's lag."""
    pool, settings = world.pools[p], world.settings[0]
    at = settings.sync - settings.lag_syncs
    total, measured, missing, unready = 0, 0, 0, 0
    for index in range(pool.first_machine, pool.end_machine):
        machine = world.machines[index]
        if machine.state == READY:
            load = world.measured[index, at % world.measured.shape[1]] if at >= 0 else NONE
            if load == NONE:
                missing += 1
            else:
                total += load
                measured += 1
        elif machine.state == STARTING:
            loading = now_s >= machine.ready_s - pool.load_s
            missing += loading
            unready += not loading
    return for_pods(pool.wanted, float(total), measured, missing, unready, pool.target, settings.tolerance)


@jit
def recommend(world: ReplayState, p: int, now_s: float) -> int:
    """Return the metric's recommendation; NO_RECOMMENDATION where there is no metric."""
    settings = world.settings[0]
    if settings.drill == METRICS_LOSS and settings.drill_s <= now_s < settings.drill_end_s:
        return NO_RECOMMENDATION
    return desired_by_pods(world, p, now_s) if settings.follow_pods else desired_by_rate(world, p)


@jit
def follow(world: ReplayState, p: int, floor: int, most: int, now_s: float) -> int:
    """Return the machines wanted after one round of the autoscaler: recommended, stabilised, limited."""
    pool, settings = world.pools[p], world.settings[0]
    current, now = pool.wanted, settings.sync
    if current > most:
        return most
    if current < floor:
        return floor
    desired = recommend(world, p, now_s)
    if desired == NO_RECOMMENDATION:
        return current
    recommended, changed = world.recommended[p], world.changed[p]
    recommended[now % len(recommended)] = desired
    wanted = stable(current, recommended, now, settings.up_rounds, settings.down_rounds)
    if wanted > current:
        return min(limit(current, wanted, changed, now, settings.sync_s, world.up_rules, settings.up_select), most)
    if wanted < current:
        return max(limit(current, wanted, changed, now, settings.sync_s, world.down_rules, settings.down_select), floor)
    return current


@jit
def scheduled(world: ReplayState, p: int, now_s: float) -> int:
    """Return the schedule's figure, a coming hour's larger one as early as machines asked for now are ready in it."""
    settings = world.settings[0]
    coming = world.floor[p, block_of(settings, now_s + world.pools[p].start_s)]
    return max(world.floor[p, block_of(settings, now_s)], coming)


@jit
def woken(world: ReplayState, p: int, now_s: float) -> int:
    """Return 1 where a pool for which nothing is scheduled starts a machine for those who wait, else 0."""
    pool, present = world.pools[p], 0
    first = world.held[pool.group, 0]
    if first == NONE:
        return 0
    for other in range(len(world.pools)):
        if world.pools[other].group == pool.group:
            present += world.pools[other].present
    fits = holds(pool, world.requests[first].input_tokens + world.requests[first].output_tokens)
    if pool.ceiling == 0 or not fits or not can_start(world, p, now_s) or not may_wake(1, present):
        return 0
    pool.woken, pool.active_s = 1, now_s
    world.settings[0].cold_starts += 1
    return 1


@jit
def kept_awake(world: ReplayState, p: int, now_s: float) -> int:
    """Return 1 where a pool that was woken goes on, else 0."""
    pool, busy = world.pools[p], world.held[world.pools[p].group, 0] != NONE
    for index in range(pool.first_slot, pool.end_slot):
        busy = busy or load_of(world.slots[index]) > 0
    if busy:
        pool.active_s = now_s
    relieved = False
    for other in range(len(world.pools)):
        row = world.pools[other]
        scheduled_too = row.group == pool.group and row.wanted > 0 and not row.woken and not row.serverless
        relieved = relieved or (scheduled_too and count_machines(world, other, READY) > 0)
    if may_sleep(now_s - pool.active_s, pool.cooldown_s, relieved):
        pool.woken = 0
    return pool.woken


@jit
def set_wanted(world: ReplayState, p: int, now_s: float) -> None:
    """Set how many machines the pool should have: the schedule's floor, or what the autoscaler makes of it; none where it is 0."""
    pool, settings = world.pools[p], world.settings[0]
    floor = scheduled(world, p, now_s)
    if floor > 0:
        pool.woken = 0
    elif pool.cooldown_s >= 0.0 and settings.autoscale and not pool.serverless:
        floor = kept_awake(world, p, now_s) if pool.woken else woken(world, p, now_s)
    world.recommended[p, settings.sync % world.recommended.shape[1]] = NO_RECOMMENDATION
    before = pool.wanted
    if settings.autoscale and floor > 0 and not pool.serverless:
        pool.wanted = follow(world, p, floor, max(pool.ceiling, floor), now_s)
    else:
        pool.wanted = floor
    world.changed[p, settings.sync % world.changed.shape[1]] = pool.wanted - before


# ------------------------------------------------------------------------------------------------------------ pools' size


@jit
def victim(world: ReplayState, p: int) -> int:
    """Return the machine to let go: one that still starts, else the one with the fewest requests, the lowest place of equals."""
    best, least = NONE, 1 << 60
    for index in range(world.pools[p].first_machine, world.pools[p].end_machine):
        state = world.machines[index].state
        if state in (STARTING, READY):
            load = NONE if state == STARTING else outstanding(world, index)
            if load < least:
                best, least = index, load
    return best


@jit
def size_pool(world: ReplayState, p: int, now_s: float) -> None:
    """Start or drain machines until the pool has what it should, and what the pool it backs is short of."""
    pool = world.pools[p]
    want = pool.wanted
    if pool.backs != NONE:
        want += max(0, world.pools[pool.backs].wanted - count_machines(world, pool.backs, READY))
    while pool.present < want and can_start(world, p, now_s):
        start_machine(world, p, now_s, now_s + pool.start_s)
    while pool.present > want:
        drain(world, victim(world, p), now_s)


@jit
def size_serverless(world: ReplayState, p: int, now_s: float) -> None:
    """Keep the schedule's instances warm; give back those that have been idle too long."""
    pool = world.pools[p]
    while pool.present < pool.wanted and can_start(world, p, now_s):
        start_instance(world, p, now_s)
    for index in range(pool.first_machine, pool.end_machine):
        machine = world.machines[index]
        idle = machine.state == READY and now_s - machine.idle_since_s >= pool.keep_alive_s
        if pool.present > pool.wanted and idle and outstanding(world, index) == 0:
            drain(world, index, now_s)


# ------------------------------------------------------------------------------------------------------------- every round


@jit
def measure(world: ReplayState) -> None:
    """Note the requests on every ready machine, for a metric of pods."""
    at = world.settings[0].sync % world.measured.shape[1]
    for index in range(len(world.machines)):
        ready = world.machines[index].state == READY
        world.measured[index, at] = outstanding(world, index) if ready else NONE


@jit
def age_machines(world: ReplayState, now_s: float) -> None:
    """Let what is due happen to every machine; a lost zone closes first, so that none of its machines is given what others lose."""
    for index in range(len(world.machines)):
        if world.machines[index].state != OFF and is_lost(world, world.machines[index], now_s):
            set_state(world, index, DRAINING)
    for index in range(len(world.machines)):
        if world.machines[index].state != OFF:
            age_machine(world, index, now_s)


@jit
def control(world: ReplayState, now_s: float) -> None:
    """One round of the control loop: ages of machines first, then held work and deferrable work, then every pool's size."""
    settings = world.settings[0]
    if settings.follow_pods:
        measure(world)
    age_machines(world, now_s)
    for group in range(len(world.held)):
        release_held(world, group, now_s)
    for p in range(len(world.pools)):
        wake_idle(world, p, now_s)
    for p in range(len(world.pools)):
        set_wanted(world, p, now_s)
        if world.pools[p].serverless:
            size_serverless(world, p, now_s)
        else:
            size_pool(world, p, now_s)
    take_sample(world, now_s)
    settings.sync += 1
    settings.metric_at = settings.sync % world.arrivals.shape[1]
    world.arrivals[:, settings.metric_at] = 0


@jit
def take_sample(world: ReplayState, now_s: float) -> None:
    """Note what every pool looks like, every so many rounds until the traffic's end."""
    settings = world.settings[0]
    at = settings.sync // settings.sample_every
    if settings.sync % settings.sample_every or at >= len(world.samples) or now_s > settings.end_s:
        return
    held = settings.live
    for p in range(len(world.pools)):
        sample_pool(world, p, world.samples[at, p])
        held -= world.samples[at, p].queued + world.samples[at, p].running
    world.samples[at, 0].held = held


@jit
def sample_pool(world: ReplayState, p: int, sample: Row) -> None:
    """Count the pool's machines and what is on them."""
    pool = world.pools[p]
    sample.ready, sample.starting = count_machines(world, p, READY), count_machines(world, p, STARTING)
    sample.draining = count_machines(world, p, DRAINING)
    for index in range(pool.first_slot, pool.end_slot):
        sample.queued += world.slots[index].waiting
        sample.running += load_of(world.slots[index]) - world.slots[index].waiting
