"""Where a request goes when it arrives, comes again, or loses its machine. Compiled by numba."""

from tightrope.policy.admission import may_enter
from tightrope.policy.routing import expected_wait, pick_by_share
from tightrope.replay.compiled import jit
from tightrope.replay.length_batching import count_arrival
from tightrope.replay.machines import block_of, can_start, set_event, set_load, start_instance, start_slot
from tightrope.replay.queue_structures import pop, push
from tightrope.replay.queues import first_waiting, holds, push_waiting
from tightrope.replay.request_rows import answer_from_cache, end_request, forget
from tightrope.replay.state import (
    CLOSED,
    DECODING,
    FIRST,
    IDLE,
    NEVER,
    NO_POOL,
    NONE,
    ONE,
    SHED,
    TOO_LARGE,
    WAITING,
    ReplayState,
    Row,
)
from tightrope.replay.tokens import cut_decoding

pick_group = jit(pick_by_share)
wait_of = jit(expected_wait)
may_join = jit(may_enter)


@jit
def least_loaded(world: ReplayState, pool: Row) -> int:
    """Return the pool's slot with the fewest requests."""
    return world.load_tree[2 * pool.first_slot + 1]


@jit
def may_grow(world: ReplayState, p: int, now_s: float) -> bool:
    """Return whether a serverless pool may start one more instance."""
    pool = world.pools[p]
    return pool.serverless and pool.present < pool.ceiling and can_start(world, p, now_s)


@jit
def offered_load(world: ReplayState, p: int, now_s: float) -> int:
    """Return the requests on the slot that a pool offers; CLOSED where none is ready."""
    load = world.load[least_loaded(world, world.pools[p])]
    return FIRST if load > 0 and may_grow(world, p, now_s) else load


@jit
def best_pool(world: ReplayState, group: int, tokens: int, now_s: float, counted: int) -> int:
    """Return the group's pool with the shortest wait whose KV cache could hold the request; NONE where none is ready.

    ``counted`` says whether the request itself counts (ONE), as where engines of unlike speed are compared, or not (FIRST).
    """
    best, best_wait = NONE, NEVER
    for p in range(len(world.pools)):
        pool = world.pools[p]
        if pool.group != group or not holds(pool, tokens):
            continue
        load = offered_load(world, p, now_s)
        if load < CLOSED:
            wait = wait_of(load + counted - 1, pool.weight)
            if wait < best_wait:
                best, best_wait = p, wait
    return best


@jit
def best_slot(world: ReplayState, p: int, now_s: float) -> int:
    """Return the pool's slot that a request goes to; a serverless pool with none idle starts an instance if it may."""
    index = least_loaded(world, world.pools[p])
    if world.load[index] > 0 and may_grow(world, p, now_s):
        return start_instance(world, p, now_s)
    return index


@jit
def reason(world: ReplayState, group: int, traffic_class: int, tokens: int) -> int:
    """Return why no pool of a group (or, where that is NONE, for a deferrable class) takes a request: NONE where one could if ready."""
    found = NO_POOL
    for p in range(len(world.pools)):
        pool = world.pools[p]
        mine = pool.group == group if group != NONE else (pool.classes >> traffic_class) & 1 == 1
        if mine and pool.ceiling > 0:
            if holds(pool, tokens):
                return NONE
            found = TOO_LARGE
    return found


@jit
def join(world: ReplayState, index: int, request: int, now_s: float) -> None:
    """Queue a request on a slot, and let the slot look at it."""
    slot = world.slots[index]
    world.requests[request].pool = slot.pool
    push_waiting(world, index, request)
    if world.pools[slot.pool].counts:
        count_arrival(world, index, now_s)
    if slot.mode in (IDLE, WAITING):
        start_slot(world, index, now_s)
        return
    if slot.mode == DECODING and first_waiting(world, index) == request:
        set_event(world, index, cut_decoding(world, index, now_s))
    set_load(world, index)


@jit
def send(world: ReplayState, request: int, group: int, now_s: float) -> None:
    """Send a request to a replica of the group that is not asked whether it may; hold it where none is ready."""
    row = world.requests[request]
    tokens = row.input_tokens + row.output_tokens
    p = best_pool(world, group, tokens, now_s, ONE)
    if p == NONE:
        hold_or_end(world, request, group, tokens)
    else:
        join(world, best_slot(world, p, now_s), request, now_s)


@jit
def hold_or_end(world: ReplayState, request: int, group: int, tokens: int) -> None:
    """Hold a request until a machine of the group is ready, or end it where none that could hold it will ever be."""
    why = reason(world, group, NONE, tokens)
    if why == NONE:
        push(world.held[group], world.requests, request)
    else:
        end_request(world, request, why, NEVER)


@jit
def route(world: ReplayState, request: int, now_s: float) -> None:
    """Route a request as it arrives, goes on from another, or as its client asks again."""
    row = world.requests[request]
    if answer_from_cache(world, request, now_s):
        return
    tokens = row.input_tokens + row.output_tokens
    kind = world.classes[row.traffic_class]
    if kind.deferrable:
        why = reason(world, NONE, row.traffic_class, tokens)
        if why == NONE:
            put_off(world, request, now_s)
        else:
            end_request(world, request, why, NEVER)
        return
    group = FIRST
    if len(world.held) > 1:
        group = pick_group(kind.routed, world.share[row.traffic_class, :, block_of(world.settings[0], now_s)])
    kind.routed += 1
    p = best_pool(world, group, tokens, now_s, ONE)
    if p == NONE:
        hold_or_end(world, request, group, tokens)
        return
    in_time = kind.shed_wait_s == NEVER or may_join(offered_load(world, p, now_s), world.pools[p].weight, kind.shed_wait_s)
    if not in_time:
        p = best_pool(world, group, tokens, now_s, FIRST)
        in_time = may_join(offered_load(world, p, now_s), world.pools[p].weight, kind.shed_wait_s)
    world.arrivals[p, world.settings[0].metric_at] += 1
    if in_time:
        join(world, best_slot(world, p, now_s), request, now_s)
    else:
        turn_away(world, request, now_s)


@jit
def put_off(world: ReplayState, request: int, now_s: float) -> None:
    """Let a request wait for idle capacity, and idle engines look at once."""
    push(world.queues[world.requests[request].traffic_class], world.requests, request)
    for p in range(len(world.pools)):
        wake_idle(world, p, now_s)


@jit
def wake_idle(world: ReplayState, p: int, now_s: float) -> None:
    """Let a pool's idle engines look for deferrable work, until one finds none: they are all alike."""
    pool = world.pools[p]
    if pool.classes == 0:
        return
    while True:
        index = least_loaded(world, pool)
        if world.load[index] != 0:
            return
        start_slot(world, index, now_s)
        if world.load[index] == 0:
            return


@jit
def turn_away(world: ReplayState, request: int, now_s: float) -> None:
    """Turn a request away; its client asks again later, or gives up."""
    settings, row = world.settings[0], world.requests[request]
    kind = world.classes[row.traffic_class]
    settings.shed += 1
    if row.attempts == kind.retries:
        end_request(world, request, SHED, NEVER)
        return
    row.attempts += 1
    row.due_s = now_s + kind.retry_after_s
    push(world.queues[row.traffic_class], world.requests, request)
    settings.retry_s = min(settings.retry_s, row.due_s)


@jit
def ask_again(world: ReplayState, now_s: float) -> None:
    """Route the first request that goes on from another now, or whose client asks again, and note when the next one does."""
    settings = world.settings[0]
    for kind in range(len(world.going_on)):
        request = world.going_on[kind, 0]
        if request != NONE and world.requests[request].due_s <= now_s:
            pop(world.going_on[kind], world.requests)
            settings.retry_s = next_retry_s(world)
            route(world, request, now_s)
            return
    for c in range(len(world.classes)):
        request = world.queues[c, 0]
        if not world.classes[c].deferrable and request != NONE and world.requests[request].due_s <= now_s:
            pop(world.queues[c], world.requests)
            settings.retry_s = next_retry_s(world)
            route(world, request, now_s)
            return


@jit
def next_retry_s(world: ReplayState) -> float:
    """Return when the next request goes on, or the next client asks again."""
    soonest_s = NEVER
    for kind in range(len(world.going_on)):
        if world.going_on[kind, 0] != NONE:
            soonest_s = min(soonest_s, world.requests[world.going_on[kind, 0]].due_s)
    for c in range(len(world.classes)):
        if not world.classes[c].deferrable and world.queues[c, 0] != NONE:
            soonest_s = min(soonest_s, world.requests[world.queues[c, 0]].due_s)
    return soonest_s


@jit
def retry(world: ReplayState, request: int, now_s: float) -> None:
    """Begin a request that lost its machine again, within its group or its class's queue."""
    row = world.requests[request]
    world.settings[0].retries += 1
    group = world.pools[row.pool].group
    forget(row)
    if world.classes[row.traffic_class].deferrable:
        put_off(world, request, now_s)
    else:
        send(world, request, group, now_s)


@jit
def release_held(world: ReplayState, group: int, now_s: float) -> None:
    """Send every request that waits for a replica of the group once more."""
    queue = world.held[group]
    last = queue[1]
    while queue[0] != NONE:
        request = pop(queue, world.requests)
        send(world, request, group, now_s)
        if request == last:
            break
