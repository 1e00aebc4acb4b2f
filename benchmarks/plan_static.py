"""How fast the planner's own block solves Mélange's static problem, and that it is proven cheapest; beside CBC on the sliced program."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pulp

from benchmarks.loads import CLOCK, RUNS, children_cpu_s
from benchmarks.static_instances import KNOWN_USD_PER_HOUR, RATES_PER_S, TOY, certified_usd_per_hour, four_gpus, one_block
from tightrope.compare.bucket_ilp import BucketInstance, solve_bucket_ilp
from tightrope.plan.solve.block_solutions import solve_block

NAME = "plan-static"
DOC = "plans a second of Mélange's static problem, four GPUs at five rates and two promises; target 50 ms each, proven"
TARGET_MS = 50.0
SLICE_FACTORS = (4, 8)
MOST_PEER_S = 60
PROVEN_GAP = 1e-6


@dataclass(frozen=True, slots=True)
class Timed:
    """The least milliseconds that a plan took, of all processes it started too, and what it costs an hour."""

    ms: float
    """Processor time; none of the solvers uses a second core."""
    wall_ms: float
    usd_per_hour: float


def run() -> dict:
    """Return plans a second, each time from arrays to machines and routing; means are geometric, over instances and slice factors.

    CBC solves what Mélange's release gives it: a binary variable for each slice on each type of machine, through PuLP. ``sliced_ms``
    is the same program as this project's peer writes it, so that the solver and the slices can be told apart.
    """
    cases = [(tpot_ms, rate) for tpot_ms in KNOWN_USD_PER_HOUR for rate in RATES_PER_S]
    ours: dict[str, Timed] = {}
    gaps: dict[str, float] = {}
    sliced: dict[str, Timed] = {}
    peer: dict[str, Timed] = {}
    for tpot_ms, rate in cases:
        instance, case = four_gpus(rate, tpot_ms), f"{rate}/s at {tpot_ms} ms"
        ours[case] = timed(lambda instance=instance: planned_usd(instance))
        gaps[case] = 1.0 - certified_usd_per_hour(instance) / ours[case].usd_per_hour
        for factor in SLICE_FACTORS:
            name = f"{case}, {factor} slices"
            sliced[name] = timed(lambda instance=instance, factor=factor: solve_bucket_ilp(instance, factor).usd_per_hour)
            peer[name] = timed(lambda instance=instance, factor=factor: cbc_usd(instance, factor))
    value, peer_value = per_s(ours), per_s(peer)
    toy = solve_bucket_ilp(TOY)
    return {
        "name": NAME,
        "value": value,
        "unit": "plans/s",
        "peer": f"PuLP {pulp.__version__} and its CBC, slices as in Mélange's release, {' and '.join(map(str, SLICE_FACTORS))} a bucket",
        "peer_value": peer_value,
        "ratio": value / peer_value,
        "detail": {
            "clock": CLOCK,
            "target_ms": TARGET_MS,
            "toy_usd_per_hour": toy.usd_per_hour,
            "toy_machines": dict(zip(TOY.machines, toy.counts.tolist(), strict=True)),
            "toy_unsliced_usd_per_hour": planned_usd(TOY),
            "usd_per_hour": {case: one.usd_per_hour for case, one in ours.items()},
            "known_usd_per_hour": {
                f"{rate}/s at {ms} ms": usd for ms, by in KNOWN_USD_PER_HOUR.items() for rate, usd in by.items()
            },
            "proven": all(gap <= PROVEN_GAP for gap in gaps.values()),
            "gap": gaps,
            "solve_ms": {case: one.ms for case, one in ours.items()},
            "slowest_ms": max(one.ms for one in ours.values()),
            "slowest_wall_ms": max(one.wall_ms for one in ours.values()),
            "peer_wall_ms": {case: one.wall_ms for case, one in peer.items()},
            "peer_ms": {case: one.ms for case, one in peer.items()},
            "peer_usd_per_hour": {case: one.usd_per_hour for case, one in peer.items()},
            "sliced_ms": {case: one.ms for case, one in sliced.items()},
            "ratio_to_sliced": value / per_s(sliced),
        },
    }


def timed(solve_usd: Callable[[], float]) -> Timed:
    """Return the shortest of ``RUNS`` calls that return US dollars an hour."""
    used_s, wall_s, usd = [], [], math.nan
    for _ in range(RUNS):
        began_s, before_s = time.perf_counter(), time.process_time() + children_cpu_s()
        usd = solve_usd()
        used_s.append(time.process_time() + children_cpu_s() - before_s)
        wall_s.append(time.perf_counter() - began_s)
    return Timed(1000.0 * min(used_s), 1000.0 * min(wall_s), usd)


def per_s(timings: dict[str, Timed]) -> float:
    """Return plans a second, the geometric mean."""
    return 1000.0 / math.exp(sum(math.log(one.ms) for one in timings.values()) / len(timings))


def planned_usd(instance: BucketInstance) -> float:
    """Return the hourly cost of the machines that the planner's block takes."""
    machines = solve_block(one_block(instance), 0, np.zeros(0), gap=0.0).machines
    return float(machines @ instance.usd_per_hour)


def cbc_usd(instance: BucketInstance, slice_factor: int) -> float:
    """Return the hourly cost of CBC's plan: every slice of every bucket on one type of machine, whole machines for their loads."""
    program = pulp.LpProblem("buckets", pulp.LpMinimize)
    counts = [program.add_variable(f"y{m}", lowBound=0, cat="Integer") for m in range(len(instance.machines))]
    program += pulp.lpSum(float(usd) * count for usd, count in zip(instance.usd_per_hour, counts, strict=True))
    loads: list[list[pulp.LpAffineExpression]] = [[] for _ in counts]
    busy = np.flatnonzero(instance.rate_per_s)
    for bucket, part in product(busy.tolist(), range(slice_factor)):
        serving = np.flatnonzero(instance.max_per_s[bucket]).tolist()
        taken = {m: program.add_variable(f"x{bucket}_{part}_{m}", cat="Binary") for m in serving}
        program += pulp.lpSum(taken.values()) == 1
        for m, one in taken.items():
            loads[m].append(float(instance.rate_per_s[bucket] / slice_factor / instance.max_per_s[bucket, m]) * one)
    for count, load in zip(counts, loads, strict=True):
        program += pulp.lpSum(load) <= count
    program.solve(pulp.COIN_CMD(path=pulp.PULP_CBC_CMD.pulp_cbc_path, msg=False, timeLimit=MOST_PEER_S))
    return float(pulp.value(program.objective))
