"""What waits for an engine: its own queue, by priority; deferrable work. Compiled by numba."""

from tightrope.policy.admission import may_begin, may_start_deferrable
from tightrope.replay.compiled import jit
from tightrope.replay.prefix import leading_blocks
from tightrope.replay.queue_structures import pop, push
from tightrope.replay.state import NEVER, NONE, ReplayState, Row

fits = jit(may_begin)
start_deferrable = jit(may_start_deferrable)


@jit
def first_waiting(world: ReplayState, index: int) -> int:
    """Return the first request in an engine's queue; NONE where it is empty."""
    for level in range(world.lines.shape[1]):
        if world.lines[index, level, 0] != NONE:
            return world.lines[index, level, 0]
    return NONE


@jit
def pop_waiting(world: ReplayState, index: int) -> int:
    """Take the first request off an engine's queue, which has one."""
    world.slots[index].waiting -= 1
    request = first_waiting(world, index)
    return pop(world.lines[index, world.requests[request].level], world.requests)


@jit
def push_waiting(world: ReplayState, index: int, request: int) -> None:
    """Append a request to its priority in an engine's queue."""
    push(world.lines[index, world.requests[request].level], world.requests, request)
    world.slots[index].waiting += 1


@jit
def take_deferrable(world: ReplayState, index: int, running: int) -> int:
    """Move one request that can wait to the engine's empty queue, if it may begin; return it, or NONE.

    Of the classes whose first request fits, the one whose first request is due first.
    """
    slot = world.slots[index]
    pool = world.pools[slot.pool]
    if slot.closed or pool.classes == 0 or not start_deferrable(running, pool.deferrable_limit):
        return NONE
    best, due_s = NONE, NEVER
    for c in range(len(world.classes)):
        request = world.queues[c, 0]
        if not (pool.classes >> c) & 1 or request == NONE or not world.classes[c].deferrable:
            continue
        sooner = best == NONE or world.requests[request].deadline_s < due_s
        if sooner and may_take(world, index, request, running):
            best, due_s = c, world.requests[request].deadline_s
    if best == NONE:
        return NONE
    request = pop(world.queues[best], world.requests)
    world.requests[request].pool = slot.pool
    push_waiting(world, index, request)
    return request


@jit
def holds(pool: Row, tokens: int) -> bool:
    """Return whether the pool's KV cache, if it has one, could hold a request of so many tokens."""
    return not pool.token_engine or pool.kv_capacity >= tokens


@jit
def has_room(world: ReplayState, index: int, need: int, running: int) -> bool:
    """Return whether a prompt that needs so much memory may begin on a token engine now, beside ``running`` others."""
    slot = world.slots[index]
    pool = world.pools[slot.pool]
    return fits(need, slot.occupied + slot.sequences, pool.kv_capacity, running, pool.max_sequences)


@jit
def may_take(world: ReplayState, index: int, request: int, running: int) -> bool:
    """Return whether an engine could hold a request that can wait, and a token engine could begin it now."""
    pool, row = world.pools[world.slots[index].pool], world.requests[request]
    if not pool.token_engine:
        return True
    return holds(pool, row.input_tokens + row.output_tokens) and has_room(
        world, index, leading_blocks(world, index, request)[1], running
    )


@jit
def begin_work(slot: Row, mode: int, now_s: float, duration_s: float) -> float:
    """Set the slot to work for ``duration_s``; return when that ends."""
    slot.mode = mode
    slot.begin_s = now_s
    slot.busy_s += duration_s
    return now_s + duration_s
