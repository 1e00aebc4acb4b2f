"""An autoscaler on one type of machine, on demand: at least one, as many as the load asks for at a target utilisation.

The HorizontalPodAutoscaler's own rule (Kubernetes documentation, "Horizontal Pod Autoscaling", Algorithm details, read 2026-11),
nothing known beforehand. Where no target is stated it is 70 %. What a machine sustains within the promises is taken as known, which
its users have to find out. Nightly work is a job on machines of its own.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import IntArray
from tightrope.compare.peer_draft import (
    Draft,
    MachineLoads,
    Setting,
    SingleTypeFleet,
    cheapest,
    draft_of,
    find_lone_solutions,
    on_demand,
    whole,
)
from tightrope.plan.problem.arrays import Problem

ROOM = 2.0
"""The most replicas allowed, as a multiple of what the largest peak that sizing saw asks for."""


def draft_hpa(setting: Setting) -> Draft:
    """Return the type that the rule runs most cheaply."""
    problem, target = setting.problem, setting.hpa_target / setting.most_headroom
    lone = cheapest(find_lone_solutions(problem, on_demand(problem), lambda loads: followed(loads, target), spread_work=True))
    return make_reactive(setting, lone, target, least=1)


def followed(loads: MachineLoads, target: float, least: int = 1) -> IntArray:
    """Return the machines that an autoscaler comes to run on the mean, int64[P, B]; none where there is never any load."""
    return np.where(_find_busy(loads), np.maximum(whole(loads.mean / target), least), 0).astype(np.int64)


def make_reactive(setting: Setting, lone: SingleTypeFleet, target: float, least: int) -> Draft:
    """Return the draft in which nothing but ``least`` machines, and what nightly jobs need, is there without being asked for."""
    floor = np.where(_find_busy(lone.loads), least, 0) + lone.jobs
    scaling = replace(setting.workload.scaling, enabled=True, target_utilisation=target)
    most = whole(ROOM * lone.loads.peak.max(axis=1) / target) + lone.jobs.max(axis=1)
    allowed = np.minimum(most, _find_quotas(lone.solution.problem))
    return draft_of(setting, replace(lone.solution, machines=floor), lone.solution.machines, scaling, allowed)


def _find_busy(loads: MachineLoads) -> NDArray[np.bool_]:
    """Return which options have any interactive work, bool[P, 1]."""
    return np.asarray(loads.peak.any(axis=1, keepdims=True), dtype=np.bool_)


def _find_quotas(problem: Problem) -> IntArray:
    """Return the smallest quota that each option counts towards, int64[P]."""
    most = np.full(len(problem.options), np.iinfo(np.int32).max, dtype=np.int64)
    for quota in problem.quotas:
        most[quota.mask] = np.minimum(most[quota.mask], quota.machines)
    return most
