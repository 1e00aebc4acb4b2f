"""How long a year of hours takes to plan and to bound, and how much memory, on the planning family."""

import resource
import time

from benchmarks.planning_family import make_problem
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.problem.dominance import drop_dominated
from tightrope.plan.solve.block_solutions import WORKERS
from tightrope.plan.solve.bound import find_lower_bound
from tightrope.plan.solve.decomposition import solve

NAME = "plan-year"
DOC = "seconds for a plan of 8,760 hours with every kind of commitment, and its bound; targets 60 s and 2 GiB"
TARGET_S, TARGET_GIB = 60.0, 2.0
HOURS, SEED, USD_PER_YEAR = 8760, 1, 100_000


def run() -> dict:
    """Return the seconds of the year beside those of one of its weeks by the same way of all hours searched.

    The gap is certified. ``cpu_s`` is processor time over ``WORKERS`` threads, which other work on the machine lengthens less.
    """
    week_s, _, _ = _planned(make_problem(SEED, USD_PER_YEAR))
    wall_s, cpu_s, gap = _planned(make_problem(SEED, USD_PER_YEAR, HOURS))
    return {
        "name": NAME,
        "value": wall_s,
        "unit": "s",
        "peer": "one week, every hour searched",
        "peer_value": week_s,
        "ratio": wall_s / week_s,
        "detail": {
            "clock": "wall time; cpu_s is processor time of all threads",
            "target_s": TARGET_S,
            "target_gib": TARGET_GIB,
            "cpu_s": cpu_s,
            "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            "gap_fraction": gap,
            "workers": WORKERS,
        },
    }


def _planned(problem: Problem) -> tuple[float, float, float]:
    """Return the wall and the processor time of plan and bound, s, and the gap."""
    began_s, before_s = time.perf_counter(), time.process_time()
    problem = drop_dominated(problem)
    plan_usd, bound_usd = solve(problem).usd_per_month, find_lower_bound(problem)
    return time.perf_counter() - began_s, time.process_time() - before_s, 1.0 - bound_usd / plan_usd
