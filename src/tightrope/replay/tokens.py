"""A token engine: steps of continuous batching with chunked prompts, a bounded KV cache, preemption. Compiled by numba."""

import math

from tightrope.replay.compiled import jit
from tightrope.replay.prefix import free_memory, give_up_beyond, hold_leading, leading_blocks, share
from tightrope.replay.queue_structures import pop, push, push_front, push_running, remove_running
from tightrope.replay.queues import begin_work, first_waiting, has_room, pop_waiting, take_deferrable
from tightrope.replay.request_rows import end_request
from tightrope.replay.state import ANSWERED, DECODING, FIRST, IDLE, NEVER, NONE, STEPPING, ReplayState, Row


@jit
def last_taken_up(world: ReplayState, index: int) -> int:
    """Return the place in the heap of the sequence to preempt: lowest priority, then taken up last; NONE for the prompt in progress."""
    slot, heap, requests = world.slots[index], world.heap[index], world.requests
    place, level, order = NONE, NONE, NONE
    if slot.reading:
        reading = requests[world.reading[index, 0]]
        level, order = reading.level, reading.order
    for at in range(slot.sequences):
        row = requests[heap[1, at]]
        if row.level > level or (row.level == level and row.order > order):
            place, level, order = at, row.level, row.order
    return place


@jit
def preempt(world: ReplayState, index: int) -> None:
    """Put one request back to the front of the queue; what it had in memory is read again when it begins again."""
    slot, heap, requests = world.slots[index], world.heap[index], world.requests
    place = last_taken_up(world, index)
    if place == NONE:
        request = pop(world.reading[index], requests)
        tokens = requests[request].input_tokens + requests[request].written
        slot.reading, slot.progress = 0, 0
    else:
        left = heap[0, place] - slot.step
        request = remove_running(slot, heap, requests, place)
        requests[request].written = requests[request].output_tokens - left
        tokens = requests[request].input_tokens + requests[request].written - 1
        slot.cached -= tokens
    free_memory(world, index, request, tokens)
    push_front(world.lines[index, requests[request].level], requests, request)
    slot.waiting += 1
    world.settings[0].preempted += 1


@jit
def make_room(world: ReplayState, index: int) -> bool:
    """Preempt until every decoding sequence has memory for one more token; return whether any was."""
    slot = world.slots[index]
    capacity = world.pools[slot.pool].kv_capacity
    found = False
    while slot.occupied + slot.sequences > capacity:
        preempt(world, index)
        found = True
    give_up_beyond(world, index, slot.occupied + slot.sequences)
    return found


@jit
def begin_prompt(world: ReplayState, index: int, request: int, now_s: float) -> bool:
    """Take a prompt from the queue to those being read, if there is room; its progress is what the prefix cache spares it."""
    slot, row = world.slots[index], world.requests[request]
    pool = world.pools[slot.pool]
    kept, need = leading_blocks(world, index, request)
    if not has_room(world, index, need, slot.sequences + slot.reading):
        return False
    spared = kept * pool.block_tokens
    if kept:
        hold_leading(world, index, request, kept)
    slot.occupied += need
    give_up_beyond(world, index, slot.occupied + slot.sequences)
    row.spared = spared
    row.order = world.settings[0].orders
    world.settings[0].orders += 1
    if row.begin_s == NEVER:
        row.begin_s = now_s
    push(world.reading[index], world.requests, pop_waiting(world, index))
    slot.reading += 1
    slot.progress = spared
    slot.spared += spared
    return True


@jit
def read_part(world: ReplayState, index: int, budget: int) -> int:
    """Give a step's tokens to the last of those being read, return what is left; ``complete`` counts prompts that end with the step."""
    slot, row = world.slots[index], world.requests[world.reading[index, 1]]
    part = min(budget, row.input_tokens + row.written - slot.progress)
    slot.prompt_tokens += part
    slot.progress += part
    if slot.progress == row.input_tokens + row.written:
        slot.complete += 1
        slot.progress = 0
    return budget - part


@jit
def fill_step(world: ReplayState, index: int, may_start: bool, now_s: float) -> None:
    """Choose the prompts of the next step: the one in progress, then the queue in order, then deferrable work."""
    slot = world.slots[index]
    budget = world.pools[slot.pool].chunk_tokens - slot.sequences
    slot.prompt_tokens = slot.spared = slot.complete = 0
    if slot.reading and budget > 0:
        budget = read_part(world, index, budget)
    while may_start and budget > 0:
        request = first_waiting(world, index)
        if request == NONE:
            request = take_deferrable(world, index, slot.sequences + slot.reading)
        if request == NONE or not begin_prompt(world, index, request, now_s):
            return
        budget = read_part(world, index, budget)


@jit
def run_s(slot: Row, steps: int) -> float:
    """Return the time of ``steps`` decode steps, each longer than the one before by ``growth_s``."""
    return steps * slot.base_s + slot.growth_s * (steps * (steps - 1) / 2)


@jit
def start_tokens(world: ReplayState, index: int, now_s: float) -> float:
    """Start the next step, return its end; steps that only decode run together until one ends, or memory does."""
    slot = world.slots[index]
    pool = world.pools[slot.pool]
    preempted = make_room(world, index)
    cached = slot.cached + slot.progress
    fill_step(world, index, not preempted, now_s)
    decoding = slot.sequences
    dense_s = max(pool.weights_s, (slot.prompt_tokens + decoding) * pool.per_token_s)
    step_s = pool.overhead_s + dense_s + pool.per_cached_token_s * (cached + slot.spared)
    if slot.prompt_tokens > 0:
        slot.steps = 1
        return begin_work(slot, STEPPING, now_s, step_s)
    if decoding > 0:
        slot.steps = min(world.heap[index, 0, 0] - slot.step, (pool.kv_capacity - slot.occupied) // decoding)
        slot.base_s = step_s
        slot.growth_s = pool.per_cached_token_s * decoding
        return begin_work(slot, DECODING, now_s, run_s(slot, slot.steps))
    slot.mode = IDLE
    return NEVER


@jit
def cut_decoding(world: ReplayState, index: int, now_s: float) -> float:
    """End a decode run at the first step boundary after ``now_s``; return that."""
    slot, event_s = world.slots[index], world.event_s[index]
    elapsed_s, growth_s = now_s - slot.begin_s, slot.growth_s
    half_s = slot.base_s - 0.5 * growth_s
    root = 2.0 * elapsed_s / (half_s + math.sqrt(half_s * half_s + 2.0 * growth_s * elapsed_s))
    steps = min(max(1, math.ceil(root)), slot.steps)
    while steps > 1 and run_s(slot, steps - 1) > elapsed_s:
        steps -= 1
    while steps < slot.steps and run_s(slot, steps) <= elapsed_s:
        steps += 1
    slot.busy_s -= event_s - slot.begin_s
    slot.steps = steps
    return begin_work(slot, DECODING, slot.begin_s, run_s(slot, steps))


@jit
def finish_decoded(world: ReplayState, index: int, now_s: float) -> None:
    """Answer every sequence whose last decode step is done, and free its KV cache."""
    slot, heap = world.slots[index], world.heap[index]
    while slot.sequences > 0 and heap[0, 0] <= slot.step:
        request = remove_running(slot, heap, world.requests, FIRST)
        row = world.requests[request]
        tokens = row.input_tokens + row.output_tokens - 1
        slot.cached -= tokens
        free_memory(world, index, request, tokens)
        end_request(world, request, ANSWERED, now_s)


@jit
def finish_prompt(world: ReplayState, index: int, now_s: float) -> None:
    """Give the next token of the first prompt read to its end; it decodes from now on, or is answered."""
    slot = world.slots[index]
    request = pop(world.reading[index], world.requests)
    row = world.requests[request]
    slot.reading -= 1
    if row.first_s == NEVER:
        row.first_s = now_s
    tokens, left = row.input_tokens + row.written, row.output_tokens - row.written - 1
    share(world, index, request)
    if left > 0:
        slot.cached += tokens
        push_running(slot, world.heap[index], world.requests, slot.step + left, request)
    else:
        free_memory(world, index, request, tokens)
        end_request(world, request, ANSWERED, now_s)


@jit
def end_tokens(world: ReplayState, index: int, now_s: float) -> None:
    """Take in the step (or decode run) that ends now: finished sequences leave, finished prompts start to decode."""
    slot = world.slots[index]
    written = slot.steps * slot.sequences
    slot.step += slot.steps
    slot.cached += written
    slot.occupied += written
    give_up_beyond(world, index, slot.occupied)
    finish_decoded(world, index, now_s)
    if slot.mode == STEPPING:
        for _ in range(slot.complete):
            finish_prompt(world, index, now_s)
    slot.complete = 0
