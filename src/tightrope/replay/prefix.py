"""The prefix cache of one engine: which blocks of prompts are in its memory, who holds them, which go first. Compiled by numba.

A block has a frame while it is kept. Frames are found through a hash table with chains; those that nobody holds stand in a list in
the order in which they became idle. Free frames are chained from ``free_frame``.
"""

from tightrope.base.records import IntArray
from tightrope.replay.compiled import jit
from tightrope.replay.state import NONE, ReplayState, Row, Rows

MIX = 2654435761
"""Knuth's multiplicative hash: the golden ratio's fraction of 2^32 (The Art of Computer Programming 3, section 6.4)."""


@jit
def bucket_of(buckets: IntArray, block: int) -> int:
    """Return a block's bucket; their number is a power of two."""
    return ((block * MIX) >> 12) & (len(buckets) - 1)


@jit
def find(frames: Rows, buckets: IntArray, block: int) -> int:
    """Return the frame that keeps a block; NONE where it is not kept."""
    frame = buckets[bucket_of(buckets, block)]
    while frame != NONE and frames[frame].block != block:
        frame = frames[frame].chain
    return frame


@jit
def clear(slot: Row, frames: Rows, buckets: IntArray) -> None:
    """Forget every block."""
    buckets[:] = NONE
    slot.idle_blocks, slot.idle_head, slot.idle_tail, slot.free_frame = 0, NONE, NONE, NONE
    for frame in range(len(frames)):
        frames[frame].chain = slot.free_frame
        slot.free_frame = frame


@jit
def hold(slot: Row, frames: Rows, frame: int) -> bool:
    """Hold a kept block; return whether it was idle."""
    row = frames[frame]
    row.holders += 1
    if row.holders > 1:
        return False
    if row.before == NONE:
        slot.idle_head = row.after
    else:
        frames[row.before].after = row.after
    if row.after == NONE:
        slot.idle_tail = row.before
    else:
        frames[row.after].before = row.before
    slot.idle_blocks -= 1
    return True


@jit
def let_go(slot: Row, frames: Rows, frame: int) -> bool:
    """Let a held block go; return whether it is idle now: then it is the last to be given up."""
    row = frames[frame]
    row.holders -= 1
    if row.holders > 0:
        return False
    row.before, row.after = slot.idle_tail, NONE
    if slot.idle_tail == NONE:
        slot.idle_head = frame
    else:
        frames[slot.idle_tail].after = frame
    slot.idle_tail = frame
    slot.idle_blocks += 1
    return True


@jit
def insert(slot: Row, frames: Rows, buckets: IntArray, block: int) -> None:
    """Keep a new block, held once."""
    frame = slot.free_frame
    slot.free_frame = frames[frame].chain
    bucket = bucket_of(buckets, block)
    row = frames[frame]
    row.block, row.holders, row.chain = block, 1, buckets[bucket]
    buckets[bucket] = frame


@jit
def give_up(slot: Row, frames: Rows, buckets: IntArray) -> None:
    """Forget the block that has been idle longest."""
    frame = slot.idle_head
    hold(slot, frames, frame)
    bucket = bucket_of(buckets, frames[frame].block)
    if buckets[bucket] == frame:
        buckets[bucket] = frames[frame].chain
    else:
        other = buckets[bucket]
        while frames[other].chain != frame:
            other = frames[other].chain
        frames[other].chain = frames[frame].chain
    frames[frame].chain = slot.free_frame
    slot.free_frame = frame


@jit
def give_up_beyond(world: ReplayState, index: int, occupied: int) -> None:
    """Give idle blocks up until they fit beside what is occupied."""
    slot = world.slots[index]
    pool = world.pools[slot.pool]
    while slot.idle_blocks > 0 and occupied + slot.idle_blocks * pool.block_tokens > pool.kv_capacity:
        give_up(slot, world.frames[index], world.buckets[index])


@jit
def leading_blocks(world: ReplayState, index: int, request: int) -> tuple[int, int]:
    """Return how many of a prompt's leading blocks are kept (never the whole prompt), and the tokens of memory that it needs.

    Kept blocks need none where they are in use; a prompt that repeats a block needs it once.
    """
    slot, row = world.slots[index], world.requests[request]
    block_tokens = world.pools[slot.pool].block_tokens
    tokens = row.input_tokens + row.written
    if block_tokens == 0 or row.listed_blocks == 0:
        return 0, tokens
    most = min(row.listed_blocks, row.input_tokens // block_tokens, (tokens - 1) // block_tokens)
    world.settings[0].looks += 1
    look = world.settings[0].looks
    kept = idle = 0
    while kept < most:
        frame = find(world.frames[index], world.buckets[index], world.blocks[row.first_block + kept])
        if frame == NONE:
            break
        place = world.frames[index, frame]
        idle += place.holders == 0 and place.seen != look
        place.seen = look
        kept += 1
    return kept, tokens - (kept - idle) * block_tokens


@jit
def hold_leading(world: ReplayState, index: int, request: int, blocks: int) -> None:
    """Hold so many leading blocks of a prompt for it."""
    row, frames = world.requests[request], world.frames[index]
    for i in range(blocks):
        hold(world.slots[index], frames, find(frames, world.buckets[index], world.blocks[row.first_block + i]))
    row.shared = blocks


@jit
def share(world: ReplayState, index: int, request: int) -> None:
    """Keep every further full block of a prompt that is complete; a copy of one kept already is freed."""
    slot, row, frames, buckets = world.slots[index], world.requests[request], world.frames[index], world.buckets[index]
    block_tokens = world.pools[slot.pool].block_tokens
    if block_tokens == 0:
        return
    for i in range(row.shared, min(row.listed_blocks, row.input_tokens // block_tokens)):
        block = world.blocks[row.first_block + i]
        frame = find(frames, buckets, block)
        if frame == NONE:
            insert(slot, frames, buckets, block)
        elif not hold(slot, frames, frame):
            slot.occupied -= block_tokens
        row.shared += 1


@jit
def free_memory(world: ReplayState, index: int, request: int, tokens: int) -> None:
    """Free the KV cache of a request that has ``tokens`` in it: what it shares stays kept, its last block idle first."""
    slot, row, frames = world.slots[index], world.requests[request], world.frames[index]
    block_tokens = world.pools[slot.pool].block_tokens
    slot.occupied -= tokens - row.shared * block_tokens
    for i in range(row.shared - 1, -1, -1):
        frame = find(frames, world.buckets[index], world.blocks[row.first_block + i])
        if let_go(slot, frames, frame):
            slot.occupied -= block_tokens
    row.shared = 0
