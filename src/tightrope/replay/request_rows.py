"""How requests come in and end: rows taken and given back, results written, answers kept. Compiled by numba."""

import math

import numpy as np

from tightrope.policy.caching import is_fresh
from tightrope.replay.compiled import jit
from tightrope.replay.queue_structures import push
from tightrope.replay.state import (
    ANSWERED,
    CACHED,
    FIRST,
    LATENCY_S,
    METRICS,
    NEVER,
    NONE,
    ONE,
    QUEUE_S,
    TPOT_S,
    TTFT_S,
    ReplayState,
    Row,
)

fresh = jit(is_fresh)

BINS_PER_OCTAVE = 128
FIRST_OCTAVE, OCTAVES = -13, 31
"""A histogram's first bins are for times from 2^-14 s (61 µs) on, its last for those up to 2^17 s (36 hours)."""
BINS = OCTAVES * BINS_PER_OCTAVE + 1
"""The last bin holds what was never."""


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
    if len(world.finish_s):
        number = row.number
        world.pool[number], world.ended[number], world.spared[number] = row.pool, ended, row.spared
        world.begin_s[number], world.first_s[number], world.finish_s[number] = row.begin_s, row.first_s, finish_s
    else:
        count_times(world, row, ended, finish_s)


@jit
def count_times(world: ReplayState, row: Row, ended: int, finish_s: float) -> None:
    """Count a request's times into its class's histograms; time per token only where tokens came one by one."""
    c = row.traffic_class
    world.counted[c, len(METRICS) + ended] += 1
    if ended != CACHED:
        count_time(world, c, QUEUE_S, row.begin_s - row.time_s)
    count_time(world, c, TTFT_S, row.first_s - row.time_s)
    count_time(world, c, LATENCY_S, finish_s - row.time_s)
    if finish_s == NEVER:
        count_time(world, c, TPOT_S, NEVER)
    elif row.output_tokens > 1 and finish_s > row.first_s:
        count_time(world, c, TPOT_S, (finish_s - row.first_s) / (row.output_tokens - 1))


@jit
def count_time(world: ReplayState, traffic_class: int, metric: int, time_s: float) -> None:
    """Count one time."""
    world.histogram[traffic_class, metric, time_bin(time_s)] += 1
    if time_s <= world.within[traffic_class, metric]:
        world.counted[traffic_class, metric] += 1


@jit
def time_bin(time_s: float) -> int:
    """Return the bin of a time: octaves cut evenly, each bin at most 0.8 % wide."""
    if not time_s < NEVER:
        return BINS - 1
    mantissa, octave = math.frexp(time_s)
    place = (octave - FIRST_OCTAVE) * BINS_PER_OCTAVE + int((mantissa - 0.5) * (2 * BINS_PER_OCTAVE))
    return min(max(place, 0), BINS - 2)


def bin_edges_s() -> np.ndarray:
    """Return the upper edges of all bins but the last, float64[BINS - 1]."""
    place = np.arange(BINS - 1)
    octave, part = place // BINS_PER_OCTAVE + FIRST_OCTAVE, place % BINS_PER_OCTAVE + 1
    return np.ldexp(0.5 + part / (2 * BINS_PER_OCTAVE), octave)


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
