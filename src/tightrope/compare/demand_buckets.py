"""Mélange's plan of a workload: every class cut into sizes of requests, one mean rate, a fixed fleet of several types.

The program is ``bucket_ilp.py``; here its figures are found from the workload. Sizes are cut at powers of four tokens, prompts and
answers, as the release cuts them at powers of two up to 32,000 (Griggs et al., arXiv:2404.14527, 2024); what a machine sustains of a
size within the promises is measured by replay, as everything here. Every variant that may answer a whole class is a type of its own.
Requests go to the machines in proportion to what they sustain: the release does not export its routing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tightrope.base.errors import InfeasibleError
from tightrope.base.records import FloatArray, IntArray, TrafficClass
from tightrope.compare.bucket_ilp import BucketInstance, solve_bucket_ilp
from tightrope.compare.peak import flat
from tightrope.compare.peer_draft import Draft, Setting, draft_of, on_demand, serves_alone, within_quotas
from tightrope.plan.problem.arrays import Infeasible, Problem, restrict
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.demand_week import lead_seconds, size_classes
from tightrope.plan.solve.commitment_choice import machines_usd
from tightrope.plan.solve.decomposition import Solution
from tightrope.plan.solve.deferrable_work import place_deferrable

SLICE_FACTOR = 4
"""Parts of a bucket; the release's example has 1, the paper's evaluation 8."""
EDGES = 4.0 ** np.arange(3, 7)
"""Sizes are cut at 64, 256, 1,024 and 4,096 tokens."""
LEAST_SHARE = 0.02
"""A bucket of fewer requests goes with the largest bucket of its class."""
GAP = 1e-3


@dataclass(frozen=True, slots=True)
class Bucket:
    """Requests of one class of about one size; ``share`` is their part of the class."""

    index: int
    """Of the class among the interactive ones."""
    share: float
    traffic_class: TrafficClass


def draft_buckets_mean(setting: Setting) -> Draft:
    """Return the fixed fleet for the mean rate, as published."""
    return _draft(setting, setting.problem.mean_rate.mean(axis=1))


def draft_buckets_peak(setting: Setting) -> Draft:
    """Return the fixed fleet for the largest peak that sizing saw."""
    return _draft(setting, setting.problem.rate.max(axis=1))


def _draft(setting: Setting, rate_per_s: FloatArray) -> Draft:
    """Return the draft at these rates, float64[C]."""
    problem = setting.problem
    small = restrict(problem, on_demand(problem) & serves_alone(problem).any(axis=0))
    able = serves_alone(small)
    buckets = [bucket for c, item in enumerate(_find_seen_classes(setting)) for bucket in split_into_buckets(c, item)]
    instance = BucketInstance(
        buckets=tuple(bucket.traffic_class.name for bucket in buckets),
        machines=tuple(option.label for option in small.options),
        rate_per_s=np.array([bucket.share * rate_per_s[bucket.index] for bucket in buckets]),
        max_per_s=_measure_sustained(setting.table, buckets, small, able),
        usd_per_hour=small.usd_per_hour,
    )
    counts = solve_bucket_ilp(instance, SLICE_FACTOR, gap=GAP).counts
    solution = flat(_add_work(small, counts, able))
    return draft_of(setting, solution, solution.machines, replace(setting.workload.scaling, enabled=False))


def _add_work(problem: Problem, counts: IntArray, able: NDArray[np.bool_]) -> Solution:
    """Return the fixed fleet of ``counts`` (int64[P]), every class shared out by what the machines sustain; jobs in its valleys.

    ``able`` is bool[C + deferrable classes, P].
    """
    machines = np.repeat(counts[:, None], problem.blocks, axis=1)
    part = np.where(able[: len(problem.interactive), :, None], problem.mu, 0.0) * machines
    whole = part.sum(axis=1, keepdims=True)
    if (whole <= 0.0).any():
        what = "the machines chosen for the sizes of requests cannot serve a class as a whole"
        raise InfeasibleError(what, resolve="allow a machine that keeps the promises of every class")
    share = part / whole
    try:
        machines, work = place_deferrable(problem, machines, share, np.ones(len(counts), dtype=bool))
    except Infeasible:
        what = "quota: the deferrable work fits no machine beside the interactive fleet"
        raise InfeasibleError(what, resolve="raise where.quotas, or give the work more time") from None
    if not within_quotas(problem, machines):
        what = "quota: the fleet for the sizes of requests is larger than allowed"
        raise InfeasibleError(what, resolve="raise where.quotas, or allow more families")
    amounts = problem.existing_usd_per_hour
    return Solution(problem, machines, share, work, amounts, machines_usd(problem, machines, amounts))


def _find_seen_classes(setting: Setting) -> list[TrafficClass]:
    """Return the interactive classes with the traffic that sizing may see."""
    sized = size_classes(setting.workload, setting.headroom, lead_seconds(setting.workload))
    return [item.traffic_class for item in sized if item.traffic_class.deferral is None]


def split_into_buckets(index: int, traffic_class: TrafficClass) -> Iterator[Bucket]:
    """Yield a class's buckets, its requests cut by prompt and answer; those without tokens are one bucket."""
    demand = traffic_class.demand
    cell = (len(EDGES) + 1) * np.searchsorted(EDGES, demand.input_tokens) + np.searchsorted(EDGES, demand.output_tokens)
    cells, counts = np.unique(cell, return_counts=True)
    small = counts < LEAST_SHARE * len(cell)
    cell[np.isin(cell, cells[small])] = cells[np.argmax(counts)]
    for number in np.unique(cell):
        mine = cell == number
        name = f"{traffic_class.name}/{number}" if len(cells) > 1 else traffic_class.name
        sizes = replace(
            demand, input_tokens=demand.input_tokens[mine], output_tokens=demand.output_tokens[mine], arrival_s=np.zeros(0)
        )
        yield Bucket(index, float(mine.mean()), replace(traffic_class, name=name, demand=sizes))


def _measure_sustained(table: CapacityTable, buckets: list[Bucket], problem: Problem, able: NDArray[np.bool_]) -> FloatArray:
    """Return requests/s of each bucket alone that one machine sustains within the promises, float64[buckets, P].

    It is 0 where the promises cannot be kept at any rate, and where the class as a whole (``able``, bool[C, P]) is not served:
    the router that follows does not look at sizes.
    """
    found = np.zeros((len(buckets), len(problem.options)))
    for row, bucket in enumerate(buckets):
        rate = np.array(bucket.traffic_class.demand.rate_per_s.mean())
        for p in np.flatnonzero(able[bucket.index]):
            profile = problem.options[p].profile
            found[row, p] = float(table.find(profile.engine, bucket.traffic_class).at(rate)) * profile.replicas_per_machine
    return found
