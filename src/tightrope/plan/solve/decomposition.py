"""The decision: relax, choose pools, solve blocks apart, place the work that waits, size the commitment.

Blocks are coupled only by the commitment, the pools that are open and deferrable work. The linear relaxation of the whole week
prices those; integer programs of single blocks do the rest (docs/explanation/why-decompose.md).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tightrope.base.plan import Committed
from tightrope.base.records import FloatArray, IntArray
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.plan.problem.arrays import Infeasible, Problem, restrict, take_blocks
from tightrope.plan.solve.block_solutions import solve_blocks
from tightrope.plan.solve.commitment_choice import choose_commitments, machines_usd
from tightrope.plan.solve.commitment_sizes import MOST_BLOCKS, choose_amounts
from tightrope.plan.solve.constraints import add_block
from tightrope.plan.solve.deferrable_work import Placing, place_deferrable, spread_deferrable
from tightrope.plan.solve.linear_model import LinearModel
from tightrope.plan.solve.relaxation import relax, relax_few
from tightrope.plan.solve.year_blocks import MANY_BLOCKS, serve_many

SAMPLED_BLOCKS = 12
"""Blocks on which sets of pools are compared; they stand for the week in order of load."""
JUDGES = 8
"""Blocks that judge commitments to whole machines, and regions."""
COMMITMENT_ROUNDS = 3
FEW_POOLS_GAP = 0.02
"""Relative gap at which the search for a set of few pools stops."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Machines and who serves what: ``machines`` int64[P, B], ``share`` float64[C, P, B], ``work`` float64[windows, P, B]."""

    problem: Problem
    machines: IntArray
    share: FloatArray
    work: FloatArray
    commitments: FloatArray
    """float64[K]: US dollars an hour, what exists already included."""
    usd_per_month: float

    @property
    def committed(self) -> tuple[Committed, ...]:
        """Return what is committed, what exists already included."""
        return self.problem.committed(self.commitments)


def choose_pools(problem: Problem, commitments: FloatArray) -> NDArray[np.bool_]:
    """Return bool[P], the options to open: what integer solutions of sampled blocks use, less those that are missed least.

    Pools are dropped one by one while there are more than ``max_pools``, or while one saves less than ``POOL_WORTH`` of the cost.
    Where that leads nowhere, other options may still do with fewer. Raises ``Infeasible`` where none do.
    """
    small = take_blocks(problem, _sample_blocks(problem))
    machines, share, costs = solve_blocks(small, commitments)
    keep, cost = machines.any(axis=1) | (share > 0.0).any(axis=(0, 2)) & problem.metered, float(costs @ small.block_hours)
    while keep.sum() > 1 and not _any_pools(problem):
        trial = _without_least(small, keep, machines, commitments)
        if trial is None or (keep.sum() <= problem.max_pools and trial[0] > (1.0 + problem.pool_worth) * cost):
            break
        cost, keep, machines = trial
    return keep if keep.sum() <= problem.max_pools else _few_pools(small, int(keep.sum()))


def _any_pools(problem: Problem) -> bool:
    """Return whether every option may be a pool, however little it saves."""
    return problem.max_pools >= len(problem.options) and problem.pool_worth <= 0.0


def _few_pools(small: Problem, would_do: int) -> NDArray[np.bool_]:
    """Return bool[P], at most ``max_pools`` options that serve all blocks, by one integer program over them."""
    model = LinearModel()
    opened = model.add_columns(np.zeros(len(small.options)), 1.0, integer=True)
    model.add_row("pools", opened, np.ones(len(opened)), -np.inf, float(small.max_pools))
    for block in range(small.blocks):
        columns = add_block(model, small, block, 1.0, deferrable=False, covers=False)
        for share in columns.share:
            for p, column in enumerate(share):
                model.add_row("pools", np.array([column, opened[p]]), np.array([1.0, -1.0]), -np.inf, 0.0)
    result = model.solve(gap=FEW_POOLS_GAP)
    if not len(result.values):
        raise Infeasible(0, pools=would_do)
    return np.asarray(result.values[opened] > 0.5)


def _without_least(
    small: Problem, keep: NDArray[np.bool_], machines: IntArray, commitments: FloatArray
) -> tuple[float, NDArray[np.bool_], IntArray] | None:
    """Return the cheapest outcome of closing one of the three pools least spent on: cost, pools and machines; None where none may."""
    spend = small.usd_per_hour * machines.sum(axis=1)
    best: tuple[float, NDArray[np.bool_], IntArray] | None = None
    for p in sorted(np.flatnonzero(keep), key=lambda p: float(spend[p]))[:3]:
        trial = keep & (np.arange(len(keep)) != p)
        try:
            some, _, costs = solve_blocks(restrict(small, trial), commitments)
        except Infeasible:
            continue
        usd = float(costs @ small.block_hours)
        if best is None or usd < best[0]:
            found = np.zeros_like(machines)
            found[trial] = some
            best = (usd, trial, found)
    return best


def _sample_blocks(problem: Problem) -> IntArray:
    """Return blocks spread evenly over the order of load, the busiest included, and the busiest of every class."""
    order = np.argsort(problem.rate.sum(axis=0), kind="stable")
    picks = np.unique(np.linspace(0, problem.blocks - 1, min(SAMPLED_BLOCKS, problem.blocks)).round().astype(np.int64))
    return np.unique(np.concatenate([order[picks], problem.rate.argmax(axis=1)]))


def solve(problem: Problem, *, spread_work: bool = False, pools: NDArray[np.bool_] | None = None) -> Solution:
    """Return the cheapest plan found; raise ``Infeasible`` where some block has none.

    ``spread_work`` does deferrable work evenly over its window on machines of its own, as a fleet without that lever would.
    ``pools`` (bool[P]) opens these and no others for interactive work, instead of choosing.
    """
    start = (relax(problem) if problem.windows else relax_few(problem, MOST_BLOCKS)[0]).commitments
    place = spread_deferrable if spread_work else place_deferrable
    sets = [pools] if pools is not None else _pool_sets(problem, start)
    found = [_settle(problem, keep, _amounts(problem, keep, start), place) for keep in sets]
    if pools is None and problem.standing_usd_per_month > 0.0:
        found += _of_services(problem, spread_work=spread_work)
    return min(found, key=lambda solution: solution.usd_per_month)


def _of_services(problem: Problem, *, spread_work: bool) -> list[Solution]:
    """Return the cheapest plan of services alone, which saves what stands beside machines; none where there is no such plan."""
    try:
        found = solve(replace(restrict(problem, problem.metered), standing_usd_per_month=0.0), spread_work=spread_work)
    except Infeasible:
        return []
    machines = np.zeros((len(problem.options), problem.blocks), dtype=np.int64)
    share, work = (np.zeros((len(part), *machines.shape)) for part in (found.share, found.work))
    share[:, problem.metered], work[:, problem.metered] = found.share, found.work
    usd = monthly_usd(problem, machines, share, work, found.commitments)
    return [Solution(problem, machines, share, work, found.commitments, usd)]


def _amounts(problem: Problem, keep: NDArray[np.bool_], start: FloatArray) -> FloatArray:
    """Return what to commit to with these pools, float64[K]; ``start`` where that finds no way."""
    try:
        return choose_amounts(restrict(problem, keep)) if keep.any() else start
    except Infeasible:  # too few machines of one's own
        return start


def _pool_sets(problem: Problem, start: FloatArray) -> list[NDArray[np.bool_]]:
    """Return the sets of pools worth solving in full, bool[P] each: chosen from all options, and from those never taken away.

    Dropping pools one by one may paint itself into a corner; what may not be chosen by itself can still be the better start.
    """
    if not len(problem.interactive):
        return [np.zeros(len(problem.options), dtype=bool)]
    if _any_pools(problem):
        return [np.ones(len(problem.options), dtype=bool)]
    sets = [choose_pools(problem, start)]
    firm = ~problem.interruptible
    if firm.any() and (sets[0] & problem.interruptible).any():
        try:
            kept = restrict(problem, firm)
            alone = np.zeros(len(firm), dtype=bool)
            alone[firm] = choose_pools(kept, relax(kept).commitments)
            sets.append(alone)
        except Infeasible:
            pass
    return sets


def middle_blocks(problem: Problem) -> IntArray:
    """Return the blocks in the middle of equal parts of the order of load, which stand for all."""
    count = min(JUDGES, problem.blocks)
    middles = (np.arange(count) + 0.5) * problem.blocks / count
    return np.argsort(problem.rate.sum(axis=0), kind="stable")[middles.astype(np.int64)]


def _settle(problem: Problem, pools: NDArray[np.bool_], commitments: FloatArray, place: Placing) -> Solution:
    """Solve with these pools, committing to what the machines found deserve, until that no longer lowers the bill."""
    best: Solution | None = None
    for _ in range(COMMITMENT_ROUNDS if problem.blocks < MANY_BLOCKS else 1):
        solution = _with_commitments(problem, pools, commitments, place)
        if best is not None and solution.usd_per_month >= best.usd_per_month - 1e-9:
            break
        same = np.allclose(solution.commitments, commitments, rtol=0.0, atol=1e-9)
        best, commitments = solution, solution.commitments
        if same:
            break
    assert best is not None  # noqa: S101 - the loop runs at least once
    return best


def _with_commitments(problem: Problem, keep: NDArray[np.bool_], commitments: FloatArray, place: Placing) -> Solution:
    """Solve the blocks as if these commitments were made, place the work, then commit to what the machines found really deserve."""
    machines = np.zeros((len(problem.options), problem.blocks), dtype=np.int64)
    share = np.zeros((len(problem.interactive), *machines.shape))
    if keep.any():
        serve = serve_many if problem.blocks >= MANY_BLOCKS else solve_blocks
        machines[keep], share[:, keep], _ = serve(restrict(problem, keep), commitments)
    machines, work = place(problem, machines, share, keep)
    best = choose_commitments(problem, machines)
    return Solution(problem, machines, share, work, best, monthly_usd(problem, machines, share, work, best))


def monthly_usd(problem: Problem, machines: IntArray, share: FloatArray, work: FloatArray, commitments: FloatArray) -> float:
    """Return what a plan costs in a month, US dollars: the optimiser's own arithmetic, independent of ``offers``."""
    requests = SECONDS_PER_HOUR * problem.mean_rate * problem.block_hours
    metered = float(np.einsum("cpb,cb,cp->", share, requests, problem.usd_per_request))
    for window, done in zip(problem.windows, work, strict=True):
        metered += window.requests * float(problem.usd_per_work[window.traffic_class] @ done @ problem.block_hours)
    standing = problem.standing_usd_per_month if machines.any() else 0.0
    return machines_usd(problem, machines, commitments) + metered + standing
