"""A request engine: batches of requests, answered together. Compiled by numba."""

from tightrope.policy.batching import batch_due_s, batch_size
from tightrope.replay.compiled import jit
from tightrope.replay.length_batching import start_where_known
from tightrope.replay.queues import begin_work, first_waiting, pop_waiting, take_deferrable
from tightrope.replay.request_rows import end_request
from tightrope.replay.state import ANSWERED, BATCHING, IDLE, NEVER, NONE, WAITING, ReplayState

next_batch = jit(batch_size)
due = jit(batch_due_s)


@jit
def due_s(world: ReplayState, index: int) -> float:
    """Return when the partial batch that waits at a slot must go."""
    slot = world.slots[index]
    first = world.requests[first_waiting(world, index)]
    one_more_s = world.service_s[slot.pool, min(slot.waiting, world.pools[slot.pool].max_batch - 1)]
    answer_within_s = world.classes[first.traffic_class].answer_within_s
    return due(first.time_s, world.pools[slot.pool].max_wait_s, answer_within_s, one_more_s)


@jit
def choose(world: ReplayState, index: int, now_s: float) -> None:
    """Move the first waiting request into the batch."""
    slot, request = world.slots[index], pop_waiting(world, index)
    world.heap[index, 1, slot.sequences] = request
    world.requests[request].begin_s = now_s
    slot.sequences += 1


@jit
def start_batch(world: ReplayState, index: int, now_s: float) -> float:
    """Start the next batch, what can wait filling it up, or wait for more requests, or idle; return when that ends."""
    slot = world.slots[index]
    most = world.pools[slot.pool].max_batch
    if world.pools[slot.pool].knots:
        return start_where_known(world, index, now_s)
    if slot.waiting > 0:
        batch_due_s = due_s(world, index)
        size = next_batch(slot.waiting, most, now_s, batch_due_s)
        if size == 0:
            slot.mode = WAITING
            return batch_due_s
        for _ in range(size):
            choose(world, index, now_s)
    while slot.sequences < most and slot.waiting == 0 and take_deferrable(world, index, slot.sequences) != NONE:
        choose(world, index, now_s)
    if slot.sequences == 0:
        slot.mode = IDLE
        return NEVER
    slot.steps = 1
    return begin_work(slot, BATCHING, now_s, world.service_s[slot.pool, slot.sequences - 1])


@jit
def end_batch(world: ReplayState, index: int, now_s: float) -> None:
    """Answer every request of the batch that ends now."""
    slot = world.slots[index]
    if slot.mode == BATCHING:
        for i in range(slot.sequences):
            request = world.heap[index, 1, i]
            world.requests[request].first_s = now_s
            end_request(world, request, ANSWERED, now_s)
        slot.sequences = 0
