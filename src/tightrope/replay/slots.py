"""One engine at a time: end what it did, start what it does next. Compiled by numba; rows are those of ``state``."""

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.policy.admit import may_admit, may_start_deferrable
from tightrope.policy.batch import batch_size
from tightrope.replay.compiled import jit
from tightrope.replay.state import BATCHING, DECODING, IDLE, NEVER, NONE, STEPPING, WAITING, Row, Rows

admit = jit(may_admit)
start_deferrable = jit(may_start_deferrable)
next_batch = jit(batch_size)


@jit
def push(queue: Row, requests: Rows, request: int) -> None:
    """Append a request to the queue that a row (of a slot, a group or a class) heads."""
    requests[request].next = NONE
    if queue.head == NONE:
        queue.head = request
    else:
        requests[queue.tail].next = request
    queue.tail = request


@jit
def pop(queue: Row, requests: Rows) -> int:
    """Take the first request off such a queue; NONE where it is empty."""
    request = queue.head
    if request != NONE:
        queue.head = requests[request].next
    return request


@jit
def pop_waiting(slot: Row, requests: Rows) -> int:
    """Take the first waiting request of a slot that has one."""
    slot.waiting -= 1
    return pop(slot, requests)


@jit
def push_waiting(slot: Row, requests: Rows, request: int) -> None:
    """Append a request to a slot's queue."""
    push(slot, requests, request)
    slot.waiting += 1


@jit
def before(heap: IntArray, left: int, right: int) -> bool:
    """Return whether entry ``left`` of the heap ends before ``right`` (equal ends: the earlier request)."""
    return heap[0, left] < heap[0, right] or (heap[0, left] == heap[0, right] and heap[1, left] < heap[1, right])


@jit
def swap(heap: IntArray, left: int, right: int) -> None:
    """Exchange two entries of the heap."""
    for row in range(2):
        heap[row, left], heap[row, right] = heap[row, right], heap[row, left]


@jit
def push_running(slot: Row, heap: IntArray, end_step: int, request: int) -> None:
    """Add a decoding sequence that ends after decode step ``end_step``; ``heap`` is int64[2, sequences]."""
    at = slot.sequences
    slot.sequences += 1
    heap[0, at], heap[1, at] = end_step, request
    while at > 0 and before(heap, at, (at - 1) // 2):
        swap(heap, at, (at - 1) // 2)
        at = (at - 1) // 2


@jit
def pop_running(slot: Row, heap: IntArray) -> int:
    """Take out the decoding sequence that ends first."""
    request = heap[1, 0]
    slot.sequences -= 1
    size, at = slot.sequences, 0
    heap[0, 0], heap[1, 0] = heap[0, size], heap[1, size]
    while True:
        child = 2 * at + 1
        if child >= size:
            return request
        if child + 1 < size and before(heap, child + 1, child):
            child += 1
        if not before(heap, child, at):
            return request
        swap(heap, at, child)
        at = child


@jit
def take_deferrable(pool: Row, slot: Row, requests: Rows, queues: Rows, pool_index: int, running: int) -> int:
    """Move one deferrable request to the slot's empty queue if it may start; return it, or NONE."""
    if slot.closed or pool.classes == 0 or not start_deferrable(running, pool.deferrable_limit):
        return NONE
    first = len(queues) - 1
    while first >= 0 and queues[first].deferrable >= 0:
        first -= 1
    for c in range(len(queues) - first - 1):
        queue = queues[first + 1 + c]
        request = queue.head
        if request == NONE or not queue.deferrable or not (pool.classes >> c) & 1:
            continue
        tokens = requests[request].input_tokens + requests[request].output_tokens
        if not pool.token_engine or admit(tokens, slot.reserved, pool.kv_capacity, running, pool.max_sequences):
            pop(queue, requests)
            requests[request].pool = pool_index
            push_waiting(slot, requests, request)
            return request
    return NONE


@jit
def fill_step(pool: Row, slot: Row, requests: Rows, queues: Rows, pool_index: int) -> int:
    """Choose the prompts (whole or a chunk) of the next step, first come first served; return their tokens.

    Sets ``prefilled`` to the prompts that will be complete, and ``progress`` to what the next one will have.
    """
    running = slot.sequences
    budget = pool.chunk_tokens - running
    request, progress, tokens = slot.head, slot.progress, 0
    slot.prefilled = 0
    while budget > 0:
        if request == NONE:
            request = take_deferrable(pool, slot, requests, queues, pool_index, running)
            if request == NONE:
                break
        prompt = requests[request].input_tokens
        if progress == 0:
            need = prompt + requests[request].output_tokens
            if not admit(need, slot.reserved, pool.kv_capacity, running, pool.max_sequences):
                break
            slot.reserved += need
        running += 1
        part = min(budget, prompt - progress)
        tokens += part
        budget -= part
        progress += part
        if progress < prompt:
            break
        slot.prefilled += 1
        progress = 0
        request = requests[request].next
    slot.progress = progress
    return tokens


@jit
def begin(slot: Row, mode: int, now_s: float, duration_s: float) -> float:
    """Set the slot to work for ``duration_s``; return when that ends."""
    slot.mode = mode
    slot.begin_s = now_s
    slot.busy_s += duration_s
    return now_s + duration_s


@jit
def run_s(slot: Row, steps: int) -> float:
    """Return the time of ``steps`` decode steps, each longer than the one before by ``growth_s``."""
    return steps * slot.base_s + slot.growth_s * (steps * (steps - 1) / 2)


@jit
def start_tokens(pool: Row, slot: Row, heap: IntArray, requests: Rows, queues: Rows, pool_index: int, now_s: float) -> float:
    """Start the next step of a token engine, return its end; steps that only decode run together to the next sequence's end."""
    cached = slot.cached + slot.progress
    tokens = fill_step(pool, slot, requests, queues, pool_index)
    decoding = slot.sequences
    dense_s = max(pool.weights_s, (tokens + decoding) * pool.per_token_s)
    step_s = pool.overhead_s + dense_s + pool.per_cached_token_s * cached
    if tokens > 0:
        return begin(slot, STEPPING, now_s, step_s)
    if decoding > 0:
        slot.steps = heap[0, 0] - slot.step
        slot.base_s = step_s
        slot.growth_s = pool.per_cached_token_s * decoding
        return begin(slot, DECODING, now_s, run_s(slot, slot.steps))
    slot.mode = IDLE
    return NEVER


@jit
def cut_decoding(pool: Row, slot: Row, requests: Rows, now_s: float, event_s: float) -> float:
    """End a decode run at the first step boundary after ``now_s`` if the queue's head can join there; return the run's end."""
    need = requests[slot.head].input_tokens + requests[slot.head].output_tokens
    if not admit(need, slot.reserved, pool.kv_capacity, slot.sequences, pool.max_sequences):
        return event_s
    elapsed_s, growth_s = now_s - slot.begin_s, slot.growth_s
    half_s = slot.base_s - 0.5 * growth_s
    root = 2.0 * elapsed_s / (half_s + np.sqrt(half_s * half_s + 2.0 * growth_s * elapsed_s))
    steps = min(max(1, int(np.ceil(root))), slot.steps)
    while steps > 1 and run_s(slot, steps - 1) > elapsed_s:
        steps -= 1
    while steps < slot.steps and run_s(slot, steps) <= elapsed_s:
        steps += 1
    slot.busy_s -= event_s - slot.begin_s
    slot.steps = steps
    return begin(slot, DECODING, slot.begin_s, run_s(slot, steps))


@jit
def finish_decoded(slot: Row, heap: IntArray, requests: Rows, now_s: float) -> None:
    """Answer every sequence whose last decode step is done, and free its KV cache."""
    while slot.sequences > 0 and heap[0, 0] <= slot.step:
        request = pop_running(slot, heap)
        length = requests[request].input_tokens + requests[request].output_tokens
        slot.cached -= length - 1
        slot.reserved -= length
        requests[request].finish_s = now_s


@jit
def end_tokens(slot: Row, heap: IntArray, requests: Rows, now_s: float) -> None:
    """Take in the step (or decode run) that ends now: finished sequences leave, finished prompts start to decode."""
    steps = slot.steps if slot.mode == DECODING else 1
    slot.step += steps
    slot.cached += steps * slot.sequences
    finish_decoded(slot, heap, requests, now_s)
    if slot.mode == DECODING:
        return
    for _ in range(slot.prefilled):
        request = pop_waiting(slot, requests)
        requests[request].first_s = now_s
        prompt, answer = requests[request].input_tokens, requests[request].output_tokens
        if answer <= 1:
            requests[request].finish_s = now_s
            slot.reserved -= prompt + answer
        else:
            slot.cached += prompt
            push_running(slot, heap, slot.step + answer - 1, request)
    slot.prefilled = 0


@jit
def start_batch(
    pool: Row, slot: Row, heap: IntArray, requests: Rows, queues: Rows, pool_index: int, service_s: FloatArray, now_s: float
) -> float:
    """Start the next batch of a request engine, or wait for more requests, or idle; return when that ends."""
    while slot.waiting < pool.max_batch:
        if take_deferrable(pool, slot, requests, queues, pool_index, slot.waiting) == NONE:
            break
    if slot.waiting == 0:
        slot.mode = IDLE
        return NEVER
    due_s = requests[slot.head].time_s + pool.max_wait_s
    size = next_batch(slot.waiting, pool.max_batch, now_s, due_s)
    if size == 0:
        slot.mode = WAITING
        return due_s
    slot.sequences = size
    for i in range(size):
        heap[1, i] = pop_waiting(slot, requests)
    return begin(slot, BATCHING, now_s, service_s[size - 1])


@jit
def end_batch(slot: Row, heap: IntArray, requests: Rows, now_s: float) -> None:
    """Answer every request of the batch that ends now."""
    if slot.mode == BATCHING:
        for i in range(slot.sequences):
            requests[heap[1, i]].first_s = now_s
            requests[heap[1, i]].finish_s = now_s
        slot.sequences = 0
