"""The event loop: ends of engine steps, arrivals and rounds of the control loop, in time order. Compiled by numba."""

from tightrope.base.records import FloatArray
from tightrope.replay.compiled import jit
from tightrope.replay.fleet import block_of, control, end_slot, route, start_machine, start_slot, stop_if_drained, stop_machine
from tightrope.replay.state import NEVER, NONE, OFF, READY, World

LATEST_S = 86400.0
"""A replay goes on after its traffic until everything is answered, at most so long."""


@jit
def next_slot(event_s: FloatArray) -> int:
    """Return the slot whose work ends first (the lowest of equals)."""
    best, best_s = 0, NEVER
    for index in range(len(event_s)):
        if event_s[index] < best_s:
            best, best_s = index, event_s[index]
    return best


@jit
def unfinished(world: World) -> bool:
    """Return whether any request is still somewhere."""
    left = 0
    for index in range(len(world.queues)):
        left += world.queues[index].head != NONE
    for index in range(len(world.slots)):
        left += world.slots[index].waiting + world.slots[index].sequences
    return left > 0


@jit
def warm_start(world: World) -> None:
    """Begin with the schedule's first machines ready."""
    block = block_of(world.settings[0], 0.0)
    for p in range(len(world.pools)):
        for _ in range(world.floor[p, block]):
            start_machine(world, p, 0.0, 0.0)
    for index in range(len(world.machines)):
        if world.machines[index].state != OFF:
            world.machines[index].state = READY


@jit
def run(world: World, until_s: float) -> None:
    """Replay what happens up to ``until_s``, or without end until every request is answered; called again, it goes on.

    At equal times the order is: ends of engine steps by slot, then arrivals, then control.
    """
    settings, requests, event_s = world.settings[0], world.requests, world.event_s
    request = settings.arrived
    while True:
        index = next_slot(event_s)
        end_s = event_s[index]
        arrival_s = requests[request].time_s if request < len(requests) else NEVER
        control_s = settings.sync * settings.sync_s
        if control_s > until_s and end_s > until_s and arrival_s > until_s:
            break
        if end_s <= arrival_s and end_s <= control_s:
            end_slot(world, index, end_s)
            start_slot(world, index, end_s)
            stop_if_drained(world, world.slots[index].machine, end_s)
        elif arrival_s <= control_s:
            route(world, request, arrival_s)
            request += 1
        else:
            late = control_s >= settings.end_s and arrival_s == NEVER
            if late and (control_s >= settings.end_s + LATEST_S or not unfinished(world)):
                break
            control(world, control_s)
    settings.arrived = request


@jit
def stop_all(world: World) -> None:
    """Give every machine back at the traffic's end, as the bill has it."""
    for index in range(len(world.machines)):
        if world.machines[index].state != OFF:
            stop_machine(world, index, world.settings[0].end_s)
