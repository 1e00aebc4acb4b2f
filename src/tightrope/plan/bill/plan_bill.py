"""The plan's machines on the bill: as scheduled for a month, and as they ran in replays."""

from collections.abc import Sequence

import numpy as np

from tightrope.base.plan import BillLine, Usage
from tightrope.base.records import FloatArray
from tightrope.clouds.book import PriceBook
from tightrope.plan.bill.replay_bill import ReplayUsage, metered_total, month_usd
from tightrope.plan.fleet.plan_fleet import OpenPool, Stretch
from tightrope.plan.problem.arrays import usage_of
from tightrope.plan.problem.cost_lines import build_machine_lines, total_usd, used_share
from tightrope.plan.problem.services.metered_costs import add_metered_usage
from tightrope.plan.problem.services.metered_usage import measure_ran_hours, metered_pools
from tightrope.plan.solve.constraints import work_hours
from tightrope.plan.solve.decomposition import Solution
from tightrope.replay.records import Fleet, Outcome


def plan_lines(solution: Solution, pools: tuple[OpenPool, ...], book: PriceBook) -> tuple[BillLine, ...]:
    """Return the machines' monthly bill of the plan's schedule, through ``offers``: the second road to the optimiser's cost."""
    problem = solution.problem
    hours = [work_hours(problem, w) for w in range(len(problem.windows))]
    used = used_share(problem, solution.machines, solution.share, solution.work, hours)
    usage = measure_planned_usage(solution, pools)
    shares = {pool.name: float(used[pool.index]) for pool in pools if not problem.metered[pool.index]}
    return build_machine_lines(usage, book, solution.committed, shares, _disks(solution, pools))


def _disks(solution: Solution, pools: tuple[OpenPool, ...]) -> FloatArray:
    """Return what each pool's root volumes cost, float64[pools] US dollars an hour and machine."""
    problem = solution.problem
    return np.where(problem.only_covered, 0.0, problem.disk_usd_per_hour)[[pool.index for pool in pools]]


def measure_planned_usage(solution: Solution, pools: tuple[OpenPool, ...]) -> Usage:
    """Return the schedule's machine-hours, and what metered pools use, one line a pool."""
    names = [""] * len(solution.problem.options)
    for pool in pools:
        names[pool.index] = pool.name
    usage = usage_of(solution.problem, solution.machines, names)
    return add_metered_usage(solution.problem, usage, solution.share, solution.work).take([pool.index for pool in pools])


def measure_ran(
    solution: Solution, fleet: Fleet, pools: tuple[OpenPool, ...], book: PriceBook, stretch: Stretch, outcomes: Sequence[Outcome]
) -> ReplayUsage:
    """Return what ran of the plan's fleet in replays of a stretch, and how the plan pays for it."""
    disk_usd_per_hour = _disks(solution, pools)
    lines = tuple(pool.option.to_usage_line(pool.name) for pool in pools)
    planned = plan_lines(solution, pools, book)
    metered = [item.metered for item in fleet.pools]
    hours, units = measure_ran_hours(metered_pools(lines, fleet.pools), outcomes, book)
    return ReplayUsage(
        lines=lines,
        schedule=np.stack([pool.schedule for pool in fleet.pools]),
        usd_per_hour=np.array([pool.option.terms.usd_per_hour for pool in pools]) + disk_usd_per_hour,
        machine_hours=hours,
        start_s=stretch.start_s,
        duration_s=stretch.end_s - stretch.start_s,
        committed=solution.committed,
        disk_usd_per_hour=disk_usd_per_hour,
        scheduled_usd_per_month=total_usd(planned),
        units=units,
        metered_usd_per_month=metered_total(planned, lines, metered),
    )


def replay_usd(
    solution: Solution, fleet: Fleet, pools: tuple[OpenPool, ...], book: PriceBook, stretch: Stretch, outcomes: Sequence[Outcome]
) -> float:
    """Return the replay's machine bill at the scale of a month: what the autoscaler really ran on the held-out traffic."""
    return month_usd(measure_ran(solution, fleet, pools, book, stretch, outcomes), book)
