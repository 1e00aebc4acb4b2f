"""Deferrable work, placed on a fleet: into the valleys first, or evenly as a fleet without that lever would do it."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.solve.constraints import work_hours

Placing: TypeAlias = Callable[[Problem, IntArray, FloatArray, NDArray[np.bool_]], tuple[IntArray, FloatArray]]

NEW_POOL_SHARE = 0.5
"""Deferrable work opens a pool of its own only where that costs at most this share of what open pools would."""
SPARE_WORK = 0.1
"""Share of machine time left free where deferrable work is placed: interruptions and restarts cost some."""


def idle_machines(problem: Problem, machines: IntArray, share: FloatArray) -> FloatArray:
    """Return the machines that interactive work leaves free, float64[P, B]."""
    load = problem.load(problem.rate)
    return np.maximum(machines - (share * load).sum(axis=0), 0.0)


def place_deferrable(
    problem: Problem, machines: IntArray, share: FloatArray, keep: NDArray[np.bool_]
) -> tuple[IntArray, FloatArray]:
    """Fill the valleys of open pools first, then add the cheapest machines for what is left; return machines and work done.

    ``work`` is float64[windows, P, B], the fraction of each window's work done where and when.
    """
    machines, work = machines.copy(), np.zeros((len(problem.windows), *machines.shape))
    free = (1.0 - SPARE_WORK) * idle_machines(problem, machines, share)
    for w, window in enumerate(problem.windows):
        hours = work_hours(problem, w)
        left = 1.0
        for block in window.blocks[:-1] if len(window.blocks) > 1 else window.blocks:
            for p in np.flatnonzero(keep & (hours > 0.0)):
                part = min(left, free[p, block] / hours[p])
                free[p, block] -= part * hours[p]
                work[w, p, block] += part
                left -= part
        while left > 1e-9:
            left -= _buy_work(problem, w, left, machines, work, keep)
    return machines, work


def _room(problem: Problem, machines: IntArray) -> IntArray:
    """Return how many more machines of each option the quotas allow, int64[P, B]."""
    room = np.full(machines.shape, np.iinfo(np.int32).max, dtype=np.int64)
    for quota in problem.quotas:
        room[quota.mask] = np.minimum(room[quota.mask], quota.machines - machines[quota.mask].sum(axis=0))
    return room


def _buy_work(problem: Problem, w: int, left: float, machines: IntArray, work: FloatArray, keep: NDArray[np.bool_]) -> float:
    """Add machines for the part ``left`` of a window's work, and return how much of it they do.

    Whole machine-hours of the cheapest option, as early as they fit; where the quotas leave no option room for all of it, as much
    as the cheapest with any room can do. The last hour of the window stays free, for restarts after interruptions. What is metered
    does the work evenly, without machines; machines of one's own that are there already cost what running them does. Changes
    ``machines`` and ``work`` in place.
    """
    window, hours = problem.windows[w], work_hours(problem, w)
    usable = window.blocks[:-1] if len(window.blocks) > 1 else window.blocks
    room = _room(problem, machines)[:, usable]
    needed_hours = left * hours / (1.0 - SPARE_WORK)
    opened = keep | machines.any(axis=1)
    full = opened.sum() >= problem.max_pools
    may = (hours > 0.0) & (opened if full else True)
    fits = may & (room.sum(axis=1) >= needed_hours)
    some = fits if fits.any() else may & room.any(axis=1)
    if not some.any():
        raise Infeasible(int(window.blocks[0]), pools=int(opened.sum()) + 1 if full and not (opened & (hours > 0.0)).any() else 0)
    rate = np.where(problem.only_covered & ~_to_buy(problem), problem.disk_usd_per_hour, problem.usd_per_hour)
    of_machines = np.ceil(needed_hours) * rate + 1e-6 * needed_hours
    of_requests = left * window.requests * problem.usd_per_work[window.traffic_class]
    cost = np.where(some, np.where(problem.metered, 0.0, of_machines) + of_requests, np.inf)
    own = np.where(opened, cost, np.inf)
    p = int(np.argmin(own if own.min() * NEW_POOL_SHARE <= cost.min() and np.isfinite(own).any() else cost))
    if problem.metered[p]:
        work[w, p, usable] += left / len(usable)
        return left
    needed = min(int(np.ceil(needed_hours[p] - 1e-9)), int(room[p].sum()))
    done = min(left, needed * (1.0 - SPARE_WORK) / hours[p])
    per_block, part = -(-needed // len(usable)), done / needed
    while np.minimum(room[p], per_block).sum() < needed:
        per_block += 1
    for block, most in zip(usable, room[p], strict=True):
        added = min(per_block, int(most), needed)
        machines[p, block] += added
        work[w, p, block] += part * added
        needed -= added
    return done


def _to_buy(problem: Problem) -> NDArray[np.bool_]:
    """Return which options more machines of may be bought for, bool[P]: a commitment that covers them can grow."""
    return np.asarray((np.isfinite(problem.cover_rates) & problem.may_grow[:, None]).any(axis=0))


def spread_deferrable(
    problem: Problem, machines: IntArray, share: FloatArray, keep: NDArray[np.bool_]
) -> tuple[IntArray, FloatArray]:
    """Do each window's work evenly over its blocks, on machines of its own: the fleet without the lever of waiting.

    The cheapest options first, each as far as the quotas leave it room.
    """
    del share, keep
    machines, work = machines.copy(), np.zeros((len(problem.windows), *machines.shape))
    for w, window in enumerate(problem.windows):
        hours = work_hours(problem, w)
        may = (hours > 0.0) & ~problem.metered & ~problem.only_covered
        each = hours / (1.0 - SPARE_WORK) / len(window.blocks)
        left = 1.0
        for p in np.argsort(np.where(may, np.ceil(each) * problem.usd_per_hour, np.inf), kind="stable"):
            room = int(_room(problem, machines)[p, window.blocks].min())
            if left <= 1e-9 or not may[p] or room <= 0:
                continue
            count = min(int(np.ceil(left * each[p] - 1e-9)), room)
            part = min(left, count / each[p])
            machines[p, window.blocks] += count
            work[w, p, window.blocks] += part / len(window.blocks)
            left -= part
        if left > 1e-9:
            raise Infeasible(int(window.blocks[0]))
    return machines, work
