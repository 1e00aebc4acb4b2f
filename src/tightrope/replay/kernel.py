"""The event loop: ends of engines' work, arrivals and rounds of the control loop, in time order. Compiled by numba."""

from tightrope.replay.compiled import entry
from tightrope.replay.machines import block_of, can_start, end_slot, set_state, settle, start_machine, start_slot, stop_machine
from tightrope.replay.prefix import clear
from tightrope.replay.queue_structures import build
from tightrope.replay.request_rows import end_request, take_in
from tightrope.replay.routing import ask_again, route
from tightrope.replay.scaling import control
from tightrope.replay.state import FIRST, NEVER, NONE, OFF, READY, UNANSWERED, ReplayState

LATEST_S = 86400.0
"""A replay goes on after its traffic until everything is answered, at most so long."""
DONE, NEEDS_ROWS = 0, 1


@entry
def set_up(world: ReplayState) -> None:
    """Set trees and prefix caches up, and begin with the schedule's first machines ready."""
    build(world.event_tree, world.event_s, FIRST, len(world.event_s))
    for p in range(len(world.pools)):
        pool = world.pools[p]
        build(world.load_tree, world.load, pool.first_slot, pool.end_slot - pool.first_slot)
        for index in range(pool.first_slot, pool.end_slot):
            if pool.block_tokens:
                clear(world.slots[index], world.frames[index], world.buckets[index])
        pool.wanted = world.floor[p, block_of(world.settings[0], 0.0)]
        world.recommended[p, world.recommended.shape[1] - 1] = pool.wanted
        for _ in range(pool.wanted if can_start(world, p, 0.0) else 0):
            set_state(world, start_machine(world, p, 0.0, 0.0), READY)


@entry
def run(world: ReplayState, until_s: float) -> int:
    """Replay what happens up to ``until_s``, or without end until every request has ended; called again, it goes on.

    At equal times the order is: ends of engines' work by slot, then arrivals, then requests that go on from
    others and clients that ask again, then control. Returns early where all request rows are in use (NEEDS_ROWS).
    """
    settings, event_s = world.settings[0], world.event_s
    while True:
        index = world.event_tree[1]
        end_s = event_s[index]
        arrival_s = world.time_s[settings.arrived] if settings.arrived < len(world.time_s) else NEVER
        ask_s = min(arrival_s, settings.retry_s)
        control_s = settings.sync * settings.sync_s
        if min(end_s, ask_s, control_s) > until_s:
            return DONE
        if end_s <= ask_s and end_s <= control_s:
            end_slot(world, index, end_s)
            start_slot(world, index, end_s)
            settle(world, world.slots[index].machine, end_s)
        elif arrival_s <= ask_s and arrival_s <= control_s:
            if settings.free == NONE:
                return NEEDS_ROWS
            request = take_in(world, settings.arrived)
            settings.arrived += 1
            route(world, request, arrival_s)
        elif ask_s <= control_s:
            ask_again(world, ask_s)
        else:
            late = control_s >= settings.end_s and arrival_s == NEVER
            if late and (control_s >= settings.end_s + LATEST_S or settings.live == 0):
                return DONE
            control(world, control_s)


@entry
def end_all(world: ReplayState) -> None:
    """Give every machine back at the traffic's end, as the bill has it, and end what is still somewhere."""
    for index in range(len(world.machines)):
        if world.machines[index].state != OFF:
            stop_machine(world, index, world.settings[0].end_s)
    for index in range(len(world.requests)):
        if world.requests[index].number != NONE:
            end_request(world, index, UNANSWERED, NEVER)
