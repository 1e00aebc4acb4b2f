"""How machines come and go by themselves: ready, notice, failed, taken with all that is on them. Compiled by numba."""

from tightrope.replay.compiled import jit
from tightrope.replay.machines import drain, drilled, is_lost, set_event, slots_of, stop_machine, warm
from tightrope.replay.queue_structures import pop, push, remove_running
from tightrope.replay.queues import pop_waiting
from tightrope.replay.routing import retry
from tightrope.replay.state import BATCHING, DECODING, FIRST, IDLE, NEVER, NONE, SPOT_STORM, STARTING, STEPPING, ReplayState


@jit
def empty_slot(world: ReplayState, index: int, now_s: float) -> None:
    """Move all that is on a slot to those that lost their machine, what runs first, and leave it as new."""
    slot, heap, requests = world.slots[index], world.heap[index], world.requests
    if slot.mode in (DECODING, STEPPING, BATCHING):
        slot.busy_s -= world.event_s[index] - now_s
    set_event(world, index, NEVER)
    if slot.mode == BATCHING:
        for i in range(slot.sequences):
            push(world.lost, requests, heap[1, i])
        slot.sequences = 0
    while slot.sequences > 0:
        push(world.lost, requests, remove_running(slot, heap, requests, FIRST))
    while slot.reading > 0:
        slot.reading -= 1
        push(world.lost, requests, pop(world.reading[index], requests))
    while slot.waiting > 0:
        push(world.lost, requests, pop_waiting(world, index))
    slot.mode, slot.cached, slot.occupied, slot.progress, slot.complete = IDLE, 0, 0, 0, 0


@jit
def take_machine(world: ReplayState, index: int, now_s: float) -> None:
    """Take a machine away; every request on it starts again elsewhere, its first arrival still counting.

    All is taken off it first: what starts again may find a new machine in the same place.
    """
    first, end = slots_of(world.pools[world.machines[index].pool], index)
    for slot in range(first, end):
        empty_slot(world, slot, now_s)
    stop_machine(world, index, now_s)
    request = pop(world.lost, world.requests)
    while request != NONE:
        retry(world, request, now_s)
        request = pop(world.lost, world.requests)


@jit
def age_machine(world: ReplayState, index: int, now_s: float) -> None:
    """Move one machine along its life: taken away, notice received, ready."""
    machine, settings = world.machines[index], world.settings[0]
    storm = settings.drill == SPOT_STORM and drilled(world, world.pools[machine.pool], now_s)
    if is_lost(world, machine, now_s) or machine.kill_s <= now_s:
        take_machine(world, index, now_s)
    elif machine.fail_s <= now_s:
        settings.failed += 1
        take_machine(world, index, now_s)
    elif (machine.interrupt_s <= now_s or storm) and machine.kill_s == NEVER:
        settings.interrupted += 1
        machine.kill_s = now_s + settings.notice_s
        drain(world, index, now_s)
    elif machine.state == STARTING and machine.ready_s <= now_s:
        warm(world, index, now_s)
