"""How requests come in and end: rows taken and given back, results written, answers kept. Compiled by numba."""

from tightrope.policy.caching import is_fresh
from tightrope.replay.compiled import jit
from tightrope.replay.queue_structures import push
from tightrope.replay.state import (
    ANSWERED,
    CACHED,
    FIRST,
    NEVER,
    NONE,
    ONE,
    ReplayState,
    Row,
)

fresh = jit(is_fresh)


@jit
def forget(row: Row) -> None:
    """Let a request begin from nothing."""
    row.pool, row.written, row.shared, row.spared = NONE, 0, 0, 0
    row.begin_s, row.first_s = NEVER, NEVER


@jit
def take_in(world: ReplayState, arrival: int) -> int:
    """Give an arrival a free row, and return it."""
    settings = world.settings[0]
    index = settings.free
    row = world.requests[index]
    settings.free = row.next
    row.time_s = world.time_s[arrival]
    describe(world, index, arrival)
    row.number = settings.asked
    settings.asked += 1
    settings.live += 1
    return index


@jit
def describe(world: ReplayState, index: int, arrival: int) -> None:
    """Let a row be a request of the traffic that nobody has answered yet; it came when the row's ``time_s`` says."""
    row = world.requests[index]
    row.traffic_class = world.traffic_class[arrival]
    row.level = world.classes[row.traffic_class].level
    row.input_tokens, row.output_tokens = max(world.input_tokens[arrival], 1), max(world.output_tokens[arrival], 1)
    row.attempts = 0
    row.key = world.key[arrival] if len(world.key) else NONE
    row.deadline_s = world.deadline_s[arrival] if len(world.deadline_s) else NEVER
    row.listed_blocks = 0
    if len(world.block_start):
        row.first_block = world.block_start[arrival]
        row.listed_blocks = world.block_start[arrival + 1] - row.first_block
    forget(row)


@jit
def end_request(world: ReplayState, index: int, ended: int, finish_s: float) -> None:
    """Write down how a request ended; let the one that goes on from it have its row, or free it."""
    settings, row = world.settings[0], world.requests[index]
    note_end(world, row, ended, finish_s)
    if ended == ANSWERED and row.key >= 0:
        keep(world, row.key, finish_s)
    if len(world.next_part) and world.next_part[row.number] != NONE:
        go_on(world, index, ended, finish_s)
        if ended in (ANSWERED, CACHED):
            return
    row.number, row.next = NONE, settings.free
    settings.free = index
    settings.live -= 1


@jit
def go_on(world: ReplayState, index: int, ended: int, finish_s: float) -> None:
    """Turn a request's row into the one that goes on from it: at ``finish_s``, or not at all where the first had no answer."""
    settings, row = world.settings[0], world.requests[index]
    number = world.next_part[row.number]
    describe(world, index, number)
    row.number = number
    if ended not in (ANSWERED, CACHED):
        note_end(world, row, ended, NEVER)
        return
    row.due_s = finish_s
    push(world.going_on[FIRST if ended == ANSWERED else ONE], world.requests, index)
    settings.retry_s = min(settings.retry_s, finish_s)


@jit
def note_end(world: ReplayState, row: Row, ended: int, finish_s: float) -> None:
    """Write down how a request ended."""
    number = row.number
    world.pool[number], world.ended[number], world.spared[number] = row.pool, ended, row.spared
    world.begin_s[number], world.first_s[number], world.finish_s[number] = row.begin_s, row.first_s, finish_s


# ---------------------------------------------------------------------------------------------------------- response cache


@jit
def unlink(world: ReplayState, key: int) -> None:
    """Take a kept answer out of the order of use."""
    settings, kept = world.settings[0], world.kept
    before, after = kept[key].before, kept[key].after
    if before == NONE:
        settings.kept_head = after
    else:
        kept[before].after = after
    if after == NONE:
        settings.kept_tail = before
    else:
        kept[after].before = before


@jit
def put_first(world: ReplayState, key: int) -> None:
    """Make a kept answer the most recently used."""
    settings, kept = world.settings[0], world.kept
    kept[key].before, kept[key].after = NONE, settings.kept_head
    if settings.kept_head == NONE:
        settings.kept_tail = key
    else:
        kept[settings.kept_head].before = key
    settings.kept_head = key


@jit
def drop(world: ReplayState, key: int) -> None:
    """Drop a kept answer."""
    unlink(world, key)
    world.kept[key].made_s = -NEVER
    world.settings[0].kept_count -= 1


@jit
def keep(world: ReplayState, key: int, now_s: float) -> None:
    """Keep an answer made now, the least recently used going where there is no room."""
    settings = world.settings[0]
    if world.kept[key].made_s > -NEVER:
        unlink(world, key)
    else:
        if settings.kept_count == settings.kept_most:
            drop(world, settings.kept_tail)
        settings.kept_count += 1
    put_first(world, key)
    world.kept[key].made_s = now_s


@jit
def answer_from_cache(world: ReplayState, index: int, now_s: float) -> bool:
    """End a request with a kept answer where there is a fresh one; drop one that is not."""
    settings, row = world.settings[0], world.requests[index]
    if row.key < 0 or world.kept[row.key].made_s == -NEVER:
        return False
    if not fresh(world.kept[row.key].made_s, settings.ttl_s, now_s):
        drop(world, row.key)
        return False
    unlink(world, row.key)
    put_first(world, row.key)
    row.first_s = now_s + settings.hit_s
    end_request(world, index, CACHED, now_s + settings.hit_s)
    return True
