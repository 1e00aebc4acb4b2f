"""The structures the engines stand on: queues, winner trees, a heap of running sequences. Compiled by numba.

A queue is its first and last request, int64[2], linked by the requests' ``next``. A winner tree over ``keys[first : first + count]``
holds in ``tree[2 * first + 1]`` the index of the least key, the lowest of equals: one look, and a logarithm to renew it.
"""

from tightrope.base.records import FloatArray, IntArray
from tightrope.replay.compiled import jit
from tightrope.replay.state import NONE, Row, Rows


@jit
def push(queue: IntArray, requests: Rows, request: int) -> None:
    """Append a request to a queue."""
    requests[request].next = NONE
    if queue[0] == NONE:
        queue[0] = request
    else:
        requests[queue[1]].next = request
    queue[1] = request


@jit
def push_front(queue: IntArray, requests: Rows, request: int) -> None:
    """Put a request before all others of a queue."""
    requests[request].next = queue[0]
    if queue[0] == NONE:
        queue[1] = request
    queue[0] = request


@jit
def pop(queue: IntArray, requests: Rows) -> int:
    """Take the first request off a queue; NONE where it is empty."""
    request = queue[0]
    if request != NONE:
        queue[0] = requests[request].next
    return request


@jit
def play(tree: IntArray, keys: FloatArray | IntArray, node: int) -> int:
    """Return the winner of the neighbours ``tree[node]`` and ``tree[node + 1]``."""
    left, right = tree[node], tree[node + 1]
    left_key, right_key = keys[left], keys[right]
    return left if left_key < right_key or (left_key == right_key and left < right) else right


@jit
def renew(tree: IntArray, keys: FloatArray | IntArray, first: int, count: int, index: int) -> None:
    """Let the tree know that ``keys[index]`` changed; what stands above a winner that stays is left alone."""
    base = 2 * first
    at = (count + index - first) >> 1
    while at >= 1:
        winner = play(tree, keys, base + 2 * at)
        if tree[base + at] == winner and winner != index:
            return
        tree[base + at] = winner
        at >>= 1


@jit
def build(tree: IntArray, keys: FloatArray | IntArray, first: int, count: int) -> None:
    """Set a tree up."""
    for index in range(first, first + count):
        tree[first + count + index] = index
    for at in range(count - 1, 0, -1):
        tree[2 * first + at] = play(tree, keys, 2 * first + 2 * at)


@jit
def before(heap: IntArray, requests: Rows, left: int, right: int) -> bool:
    """Return whether entry ``left`` of the heap ends before ``right`` (equal ends: the earlier request)."""
    if heap[0, left] != heap[0, right]:
        return heap[0, left] < heap[0, right]
    return requests[heap[1, left]].number < requests[heap[1, right]].number


@jit
def swap(heap: IntArray, left: int, right: int) -> None:
    """Exchange two entries of the heap."""
    for row in range(2):
        heap[row, left], heap[row, right] = heap[row, right], heap[row, left]


@jit
def rise(heap: IntArray, requests: Rows, at: int) -> None:
    """Move an entry up to its place."""
    while at > 0 and before(heap, requests, at, (at - 1) // 2):
        swap(heap, at, (at - 1) // 2)
        at = (at - 1) // 2


@jit
def sink(heap: IntArray, requests: Rows, size: int, at: int) -> None:
    """Move an entry down to its place."""
    while True:
        child = 2 * at + 1
        if child >= size:
            return
        if child + 1 < size and before(heap, requests, child + 1, child):
            child += 1
        if not before(heap, requests, child, at):
            return
        swap(heap, at, child)
        at = child


@jit
def push_running(slot: Row, heap: IntArray, requests: Rows, end_step: int, request: int) -> None:
    """Add a decoding sequence that ends after decode step ``end_step``; ``heap`` is int64[2, sequences]."""
    at = slot.sequences
    slot.sequences += 1
    heap[0, at], heap[1, at] = end_step, request
    rise(heap, requests, at)


@jit
def remove_running(slot: Row, heap: IntArray, requests: Rows, at: int) -> int:
    """Take out the decoding sequence at a place of the heap; at 0 it is the one that ends first."""
    request = heap[1, at]
    slot.sequences -= 1
    size = slot.sequences
    heap[0, at], heap[1, at] = heap[0, size], heap[1, size]
    if at < size:
        sink(heap, requests, size, at)
        rise(heap, requests, at)
    return request
