"""On-demand machines of one type for the peak, around the clock: what runs where nobody scales.

"Provisioning for peak" is what the AWS Well-Architected Framework warns of (Cost Optimization Pillar, "Manage demand and supply
resources", 2024). Here it has the cheapest type and knows what a machine sustains within the promises.
"""

from dataclasses import replace

import numpy as np

from tightrope.base.records import IntArray
from tightrope.compare.peer_draft import Draft, MachineLoads, Setting, cheapest, draft_of, find_lone_solutions, on_demand, whole
from tightrope.plan.solve.decomposition import Solution


def draft_peak(setting: Setting) -> Draft:
    """Return the cheapest type at the largest peak that sizing saw; deferrable work fills its valleys."""
    solution = flat(cheapest(find_lone_solutions(setting.problem, on_demand(setting.problem), _find_peaks)).solution)
    return draft_of(setting, solution, solution.machines, replace(setting.workload.scaling, enabled=False))


def _find_peaks(loads: MachineLoads) -> IntArray:
    """Return every option's largest load in all blocks, int64[P, B]."""
    return np.repeat(whole(loads.peak).max(axis=1, keepdims=True), loads.peak.shape[1], axis=1)


def flat(solution: Solution) -> Solution:
    """Return the solution with each option's most machines in all blocks."""
    blocks = solution.machines.shape[1]
    return replace(solution, machines=np.repeat(solution.machines.max(axis=1, keepdims=True), blocks, axis=1))
