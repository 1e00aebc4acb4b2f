"""A request engine whose batches take as long as their longest: it chooses as a gateway's engine does. Compiled by numba.

What is looked at while a batch is chosen, the first of a queue, stands in ``ReplayState.window`` meanwhile; nothing is allocated.
"""

from collections.abc import Callable
from typing import Any

from numba.core.types import Type
from numba.extending import overload, register_jitable

from tightrope.base.records import IntArray
from tightrope.policy.admission import may_start_deferrable
from tightrope.policy.batching import (
    WINDOW,
    batch_due_s,
    batch_size,
    batch_time_s,
    choose_batch,
    first_together,
    gain_with,
    may_fill,
    rate_after,
    worth_waiting,
)
from tightrope.replay.by_reference import WorldType
from tightrope.replay.compiled import jit
from tightrope.replay.state import (
    BATCHING,
    CHOSEN,
    IDLE,
    LENGTH,
    LINE,
    NEVER,
    NONE,
    ORDER,
    REQUESTS,
    TAKEN,
    WAITING,
    ReplayState,
    Rows,
)

AS_COMPILED: Any = {"error_model": "numpy", "_nrt": False}
"""As ``jit`` compiles."""
for helper in (batch_time_s, first_together, gain_with):
    register_jitable(helper)
choose_together = jit(choose_batch)
next_batch = jit(batch_size)
due = jit(batch_due_s)
pays_to_wait = jit(worth_waiting)
next_rate = jit(rate_after)
fills = jit(may_fill)
start_deferrable = jit(may_start_deferrable)


@jit
def seconds(world: ReplayState, p: int, size: int, length: int) -> float:
    """Return the time of a batch that is padded to a length."""
    return batch_time_s(size, length, world.by_length_s[p], world.lengths[p, : world.pools[p].knots])


@jit
def count_arrival(world: ReplayState, index: int, now_s: float) -> None:
    """Take one more arrival into an engine's rate."""
    slot = world.slots[index]
    slot.rate_per_s = next_rate(slot.rate_per_s, now_s - slot.counted_s, 1)
    slot.counted_s = now_s


@jit
def start_by_length(world: ReplayState, index: int, now_s: float) -> float:
    """Start the next batch, what can wait filling it up, or wait for more requests, or idle; return when that ends."""
    slot = world.slots[index]
    pool = world.pools[slot.pool]
    longest = 0
    if slot.waiting > 0:
        if pool.max_wait_s > 0.0 and slot.waiting < pool.max_batch:
            batch_due_s = due_by_length(world, index)
            if next_batch(slot.waiting, pool.max_batch, now_s, batch_due_s) == 0:
                slot.mode = WAITING
                return batch_due_s
        longest = take_waiting(world, index, now_s)
    if slot.waiting == 0 and pool.classes and pool.deferrable_limit and not slot.closed:
        longest = fill_up(world, index, longest, now_s) if slot.sequences else take_what_can_wait(world, index, now_s)
    if slot.sequences == 0:
        slot.mode = IDLE
        return NEVER
    duration_s = seconds(world, slot.pool, slot.sequences, longest)
    slot.mode, slot.steps, slot.begin_s = BATCHING, 1, now_s
    slot.busy_s += duration_s
    return now_s + duration_s


@jit
def due_by_length(world: ReplayState, index: int) -> float:
    """Return when the partial batch that waits at a slot must go: at once where it is not worth waiting for one more."""
    slot = world.slots[index]
    pool = world.pools[slot.pool]
    size, longest = line_up(world, index, pool.max_batch), 0
    for place in range(size):
        longest = max(longest, world.window[LENGTH, place])
    first = world.requests[world.window[REQUESTS, 0]]
    one_more_s = seconds(world, slot.pool, size + 1, longest)
    saved_s = seconds(world, slot.pool, 1, longest) + seconds(world, slot.pool, size, longest) - one_more_s
    wait_s = pool.max_wait_s if pays_to_wait(slot.rate_per_s, saved_s) else 0.0
    return due(first.time_s, wait_s, world.classes[first.traffic_class].answer_within_s, one_more_s)


def start_where_known(world: ReplayState, index: int, now_s: float) -> float:
    """Do as ``start_by_length``; call it only for a pool whose times are known by length.

    Fleets that have none leave all of it out when they are compiled: it takes two fifths of the time that the rest does.
    """
    return start_by_length(world, index, now_s)


@overload(start_where_known, jit_options=AS_COMPILED, strict=False)
def choose_start(world: WorldType, index: Type, now_s: Type) -> Callable[[ReplayState, int, float], float]:  # noqa: ARG001 - as numba calls it
    """Return what is compiled, by the shape of ``by_length_s``."""
    if world.dtype[ReplayState._fields.index("by_length_s")].ndim == 1:
        return lambda world, index, now_s: NEVER  # noqa: ARG005 - as above
    return lambda world, index, now_s: start_by_length(world, index, now_s)  # noqa: PLW0108 - numba wants it so


# --------------------------------------------------------------------------------------------------------------- the window


@jit
def line_up(world: ReplayState, index: int, most: int) -> int:
    """Write the first requests of an engine's queue to the window, in the order they go; return how many."""
    count = 0
    for level in range(world.lines.shape[1]):
        request = world.lines[index, level, 0]
        while request != NONE and count < most:
            note(world, count, request, level)
            count += 1
            request = world.requests[request].next
    return count


@jit
def line_up_deferrable(world: ReplayState, p: int, most: int) -> int:
    """Write the first requests that can wait to the window, of the classes' next ones that which is due first; return how many."""
    for c in range(len(world.classes)):
        mine = (world.pools[p].classes >> c) & 1 and world.classes[c].deferrable
        world.cursor[c] = world.queues[c, 0] if mine else NONE
    for count in range(most):
        best, due_s = NONE, NEVER
        for c in range(len(world.classes)):
            request = world.cursor[c]
            if request != NONE and (best == NONE or world.requests[request].deadline_s < due_s):
                best, due_s = c, world.requests[request].deadline_s
        if best == NONE:
            return count
        note(world, count, world.cursor[best], best)
        world.cursor[best] = world.requests[world.cursor[best]].next
    return most


@jit
def note(world: ReplayState, place: int, request: int, line: int) -> None:
    """Write a request to a place of the window."""
    window = world.window
    window[REQUESTS, place], window[LINE, place], window[TAKEN, place] = request, line, 0
    window[LENGTH, place] = world.requests[request].input_tokens


@jit
def sort_by_length(window: IntArray, count: int) -> None:
    """Write the places by length, equals in the order of the queue: few enough to be put in one by one."""
    for place in range(count):
        length, at = window[LENGTH, place], place
        while at > 0 and window[LENGTH, window[ORDER, at - 1]] > length:
            window[ORDER, at] = window[ORDER, at - 1]
            at -= 1
        window[ORDER, at] = place


@jit
def choose(world: ReplayState, index: int, count: int, most: int, now_s: float) -> int:
    """Move those of the window that go together into the batch, which is empty; return the longest. ``slack_s`` is set."""
    slot, window = world.slots[index], world.window
    sort_by_length(window, count)
    curve, knots = world.by_length_s[slot.pool], world.lengths[slot.pool, : world.pools[slot.pool].knots]
    lengths, order = window[LENGTH, :count], window[ORDER, :count]
    size = choose_together(lengths, world.slack_s[:count], order, most, False, curve, knots, window[CHOSEN])
    longest = 0
    for i in range(size):
        take(world, index, window[CHOSEN, i], now_s)
        longest = max(longest, lengths[window[CHOSEN, i]])
    return longest


@jit
def take(world: ReplayState, index: int, place: int, now_s: float) -> None:
    """Move a place of the window into the batch; it stays linked in its queue until ``unlink_taken``."""
    slot, request = world.slots[index], world.window[REQUESTS, place]
    world.window[TAKEN, place] = 1
    world.heap[index, 1, slot.sequences] = request
    world.requests[request].begin_s, world.requests[request].pool = now_s, slot.pool
    slot.sequences += 1


@jit
def unlink_taken(queue: IntArray, requests: Rows, window: IntArray, count: int, line: int) -> None:
    """Take those taken off one of the queues from whose front the window was made."""
    before, request = NONE, queue[0]
    for place in range(count):
        if window[LINE, place] != line:
            continue
        after = requests[request].next
        if not window[TAKEN, place]:
            before = request
        elif before == NONE:
            queue[0] = after
        else:
            requests[before].next = after
            if after == NONE:
                queue[1] = before
        request = after


# ------------------------------------------------------------------------------------------------------------- what is taken


@jit
def take_waiting(world: ReplayState, index: int, now_s: float) -> int:
    """Move those of an engine's queue that go together into the batch; return the longest."""
    slot = world.slots[index]
    most = min(world.pools[slot.pool].max_batch, slot.waiting)
    count = line_up(world, index, max(most, WINDOW))
    first = 1
    while first < count and world.window[LINE, first] == world.window[LINE, 0]:
        first += 1
    count = first if first >= most else count
    for place in range(count):
        row = world.requests[world.window[REQUESTS, place]]
        world.slack_s[place] = row.time_s + world.classes[row.traffic_class].answer_within_s - now_s
    longest = choose(world, index, count, most, now_s)
    slot.waiting -= slot.sequences
    for level in range(world.lines.shape[1]):
        unlink_taken(world.lines[index, level], world.requests, world.window, count, level)
    return longest


@jit
def take_what_can_wait(world: ReplayState, index: int, now_s: float) -> int:
    """Move deferrable work, and goes together in the pool's room for it, into the batch; return the longest, 0 where there is none."""
    slot = world.slots[index]
    pool = world.pools[slot.pool]
    count = line_up_deferrable(world, slot.pool, WINDOW)
    if count == 0:
        return 0
    most = min(pool.max_batch, pool.deferrable_limit)
    if seconds(world, slot.pool, 1, world.window[LENGTH, 0]) > pool.room_s:
        most = 1
    for place in range(count):
        world.slack_s[place] = min(world.requests[world.window[REQUESTS, place]].deadline_s - now_s, pool.room_s)
    longest = choose(world, index, count, most, now_s)
    for c in range(len(world.classes)):
        unlink_taken(world.queues[c], world.requests, world.window, count, c)
    return longest


@jit
def fill_up(world: ReplayState, index: int, longest: int, now_s: float) -> int:
    """Fill a batch of requests that cannot wait up with such as can and do not lengthen it; return its longest, as given."""
    slot = world.slots[index]
    pool = world.pools[slot.pool]
    limit_s = NEVER
    for i in range(slot.sequences):
        row = world.requests[world.heap[index, 1, i]]
        slack_s = row.time_s + world.classes[row.traffic_class].answer_within_s - now_s
        if slack_s >= seconds(world, slot.pool, 1, row.input_tokens):
            limit_s = min(limit_s, slack_s)
    count = line_up_deferrable(world, slot.pool, WINDOW)
    curve, knots = world.by_length_s[slot.pool], world.lengths[slot.pool, : pool.knots]
    for place in range(count):
        if slot.sequences >= pool.max_batch or not start_deferrable(slot.sequences, pool.deferrable_limit):
            break
        if fills(slot.sequences, longest, limit_s, world.window[LENGTH, place], False, curve, knots):
            take(world, index, place, now_s)
    for c in range(len(world.classes)):
        unlink_taken(world.queues[c], world.requests, world.window, count, c)
    return longest
