"""The door to the replay: a fleet and arrivals in, what became of every request and machine out."""

from collections.abc import Callable

import numpy as np

from tightrope.base.records import FloatArray
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.replay.array_layout import grow, lay_out
from tightrope.replay.input_checks import check_fleet, check_traffic
from tightrope.replay.records import ANSWERED, Drill, EngineWork, Fleet, Outcome, Timeline, Traffic
from tightrope.replay.state import NEVER, WORKING, ReplayState
from tightrope.replay.traffic import came_s, with_followers

SLICES = 100
"""How often progress is told."""


def replay_fleet(
    fleet: Fleet,
    traffic: Traffic,
    *,
    duration_s: float,
    block_offset_s: float,
    seed: int,
    drill: Drill | None = None,
    log_s: float = 0.0,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Return what the fleet makes of the traffic; the same arguments give the same bytes.

    ``block_offset_s`` is the time of the week at which the replay starts, ``seed`` draws the machines' lifetimes. The work of engines
    until ``log_s`` is logged; ``progress`` is told how many requests have arrived. Raises ``ValueError`` for a fleet or traffic that
    does not fit together.
    """
    from tightrope.replay import kernel

    check_fleet(fleet)
    check_traffic(fleet, traffic)
    traffic = with_followers(fleet.classes, traffic)
    world = lay_out(fleet, traffic, duration_s=duration_s, block_offset_s=block_offset_s, seed=seed, drill=drill, log_s=log_s)
    kernel.set_up(world)
    for until_s in np.linspace(0.0, duration_s, SLICES + 1)[1:-1] if progress else ():
        world = _advance(world, float(until_s))
        progress(int(world.settings.arrived[0])) if progress else None
    world = _advance(world, duration_s)
    busy_hours = _busy_hours(world, duration_s)
    world = _advance(world, NEVER)
    kernel.end_all(world)
    settings = world.settings[0]
    away_s = _away_s(fleet, traffic, world)
    came = _set_answers(fleet, traffic, world)
    return Outcome(
        traffic=traffic,
        first_s=world.first_s + away_s,
        finish_s=world.finish_s + away_s,
        pool=world.pool,
        machine_hours=world.hours,
        busy_hours=busy_hours,
        interruptions=int(settings.interrupted),
        retries=int(settings.retries),
        begin_s=world.begin_s,
        ended=world.ended,
        prefix_tokens=world.spared,
        preemptions=int(settings.preempted),
        failures=int(settings.failed),
        cold_starts=int(settings.cold_starts),
        attempts_shed=int(settings.shed),
        timeline=_timeline(world),
        work=_work(world) if log_s > 0.0 else None,
        came_s=came,
    )


def _away_s(fleet: Fleet, traffic: Traffic, world: ReplayState) -> FloatArray:
    """Return the time that each answer spends on the way there and back, float64[requests]; none where no pool answered."""
    answered = (world.ended == ANSWERED) & (world.pool >= 0)
    if fleet.away_s is None:
        return np.zeros(len(world.pool))
    return np.where(answered, fleet.away_s[traffic.traffic_class, np.maximum(world.pool, 0)], 0.0)


def _set_answers(fleet: Fleet, traffic: Traffic, world: ReplayState) -> FloatArray | None:
    """Set the times of what services without a queue answered, and return when requests came to the fleet where some went on.

    What goes on from such an answer comes as much later as the service took longer than the engine that stood for it.
    """
    own = np.ones(len(traffic.time_s), dtype=bool) if traffic.after is None else traffic.after < 0
    replayed = came_s(traffic, world.ended, world.finish_s)
    _set_services(fleet, traffic, world, own, traffic.time_s)
    came = came_s(traffic, world.ended, world.finish_s)
    if replayed is None or came is None:
        return None
    went = ~own & np.isfinite(came)
    for times_s in (world.begin_s, world.first_s, world.finish_s):
        times_s[went] += came[went] - replayed[went]
    _set_services(fleet, traffic, world, ~own, came)
    return came


def _set_services(fleet: Fleet, traffic: Traffic, world: ReplayState, rows: np.ndarray, arrived_s: FloatArray) -> None:
    """Set the times of the rows (bool[requests]) that services without a queue answered: from arrival, or when what could wait began."""
    may_wait = np.array([item.deferrable for item in fleet.classes], dtype=bool)
    for p, pool in enumerate(fleet.pools):
        if pool.answer_s is None:
            continue
        mine = rows & (world.ended == ANSWERED) & (world.pool == p)
        first_s, each_s = pool.answer_s
        begin_s = np.where(may_wait[traffic.traffic_class[mine]], world.begin_s[mine], arrived_s[mine])
        world.begin_s[mine] = begin_s
        world.first_s[mine] = begin_s + first_s
        world.finish_s[mine] = begin_s + first_s + each_s * np.maximum(traffic.output_tokens[mine] - 1, 0)


def _advance(world: ReplayState, until_s: float) -> ReplayState:
    """Replay up to a moment, with as many request rows as it takes; return the world."""
    from tightrope.replay import kernel

    while kernel.run(world, until_s) == kernel.NEEDS_ROWS:
        world = grow(world)
    return world


def _busy_hours(world: ReplayState, duration_s: float) -> FloatArray:
    """Return machine-hours of work until now, float64[pools]; work under way counts as far as it is done."""
    slots = world.slots
    ahead_s = np.where(np.isin(slots.mode, WORKING), world.event_s - duration_s, 0.0)
    busy_s = np.bincount(slots.pool, weights=slots.busy_s - ahead_s, minlength=len(world.pools))
    return busy_s / world.pools.engines / SECONDS_PER_HOUR


def _timeline(world: ReplayState) -> Timeline:
    """Return the samples taken."""
    samples, settings = world.samples, world.settings[0]
    taken = min(len(samples), -(-int(settings.sync) // int(settings.sample_every)))
    time_s: FloatArray = np.arange(taken, dtype=np.float64) * float(settings.sync_s) * int(settings.sample_every)
    kept = samples[:taken]
    names = ("ready", "starting", "draining", "queued", "running")
    return Timeline(time_s, *(np.ascontiguousarray(kept[name]) for name in names), held=kept["held"][:, 0].copy())


def _work(world: ReplayState) -> EngineWork:
    """Return the engines' work that was logged."""
    log, pools = world.work[: int(world.settings.logged[0])], world.pools
    slot = log["slot"]
    pool = world.slots.pool[slot]
    machine = world.slots.machine[slot] - pools.first_machine[pool]
    engine = (slot - pools.first_slot[pool]) % pools.engines[pool]
    columns = (log[name].copy() for name in ("begin_s", "end_s", "steps", "prompt_tokens", "sequences"))
    return EngineWork(pool, machine, engine, *columns, complete=len(log) < len(world.work))
