"""Commitments on the futures that a workload states, in the place of those that the planned week alone deserves."""

from dataclasses import replace

import numpy as np

from tightrope.base.explanation import FutureCost
from tightrope.base.records import FloatArray, Workload
from tightrope.plan.commit.decision import Decision, choose_for_futures
from tightrope.plan.problem.arrays import PoolOption, Problem
from tightrope.plan.problem.commitment_coverage import mean_break_even
from tightrope.plan.solve.decomposition import Solution, monthly_usd

LEAST_USD_PER_HOUR = 0.001
"""No seller takes less: AWS Savings Plans are made in steps of $0.001 an hour (user guide, 2026)."""


def commit_on_futures(workload: Workload, solution: Solution, whole: Problem) -> tuple[Solution, Decision | None]:
    """Return the solution with the commitments that its machines deserve over the stated futures, and what they mean in each.

    ``whole`` holds every option, since machines may move to one that the planned week has no use for; a fleet of one block is the same
    in all of its blocks. The cost is still that of the week planned, with those commitments. Where neither a future nor a least
    utilisation is stated, the solution stays as it is.
    """
    problem = solution.problem
    if not (workload.future.scenarios or workload.purchase.min_utilisation) or not problem.covers:
        return solution, None
    places = {build_option_key(option): p for p, option in enumerate(whole.options)}
    machines = np.zeros((len(places), whole.blocks), dtype=np.int64)
    machines[[places[build_option_key(option)] for option in problem.options]] = solution.machines
    decision = choose_for_futures(workload, whole, machines, solution.commitments)
    existing = problem.existing_usd_per_hour
    amounts = np.where(decision.usd_per_hour - existing < LEAST_USD_PER_HOUR, existing, decision.usd_per_hour)
    usd = monthly_usd(problem, solution.machines, solution.share, solution.work, amounts)
    return replace(solution, commitments=amounts, usd_per_month=usd), decision


def build_option_key(option: PoolOption) -> tuple[object, ...]:
    """Return what tells an option from every other one."""
    engine = option.profile.engine
    return (option.machine.cloud, option.machine.name, option.region, option.terms.offer, option.variant.name, engine)


def list_future_costs(workload: Workload, decision: Decision | None) -> tuple[FutureCost, ...]:
    """Return the record of every future; the utilisations follow the commitments that are made."""
    if decision is None:
        return ()
    made = np.flatnonzero(decision.usd_per_hour >= LEAST_USD_PER_HOUR)
    return tuple(
        FutureCost(
            name=scenario.name,
            weight=scenario.weight,
            monthly_cost_usd=float(decision.outcome.usd_per_month[s]),
            uncommitted_monthly_cost_usd=float(decision.uncommitted.usd_per_month[s]),
            utilisation=tuple(float(decision.outcome.utilisation[s, k]) for k in made),
        )
        for s, scenario in enumerate(workload.future.scenarios)
    )


def break_evens(solution: Solution) -> FloatArray:
    """Return the utilisation from which each commitment pays, float64[K]: on the machines that it covers, weighted by what they cost.

    Not a number where it covers none that run, or only such as run no other way: machines of one's own.
    """
    problem = solution.problem
    own = problem.usd_per_hour - problem.disk_usd_per_hour
    hours = np.where(problem.only_covered, 0.0, solution.machines @ problem.block_hours)
    return mean_break_even(own * hours, own, problem.covers)
