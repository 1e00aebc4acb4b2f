"""How much to commit to, before the hours are solved: whole machines, judged on a few blocks that stand for all.

A linear relaxation commits to parts of machines, and what one hour would like does not suit the next. So a few blocks are solved in whole
machines under the amounts at hand; among all fleets found so far, other amounts are tried by small steps, which takes no solving at
all; the best of them are solved for in turn, until they give nothing new.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import FloatArray, IntArray
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.problem.commitment_coverage import apply_commitments, order_applications
from tightrope.plan.solve.block_search import BlockFleet
from tightrope.plan.solve.block_solutions import solve_apart, solve_block
from tightrope.plan.solve.relaxation import relax
from tightrope.plan.solve.representative_blocks import reduce_blocks

MOST_BLOCKS = 16
"""Blocks that stand for all."""
MOST_ROUNDS = 6
"""Amounts that are solved for at most."""
LEAST_USD = 1e-6


@dataclass(slots=True)
class _Known:
    """Fleets found so far of a problem's blocks, and which blocks each can serve."""

    problem: Problem
    machines: IntArray
    """int64[P, F]."""
    serves: NDArray[np.bool_]
    """bool[B, F]."""
    besides_usd: FloatArray
    """float64[B, F]: what the requests cost beside machines, US dollars/h."""
    fleets: list[BlockFleet] = field(default_factory=list)

    def add(self, block: int, fleet: BlockFleet) -> None:
        """Take a fleet of one block: it serves any other where every class keeps no more machines busy, on the same options."""
        problem = self.problem
        self.fleets.append(fleet)
        load = problem.load(problem.rate)
        may = (problem.mu > 0.0) | (problem.rate == 0.0)[:, None, :] | (fleet.share <= 0.0)[:, :, None]
        serves = np.all(may & (load <= load[:, :, block, None] + 1e-12), axis=(0, 1))[:, None]
        requests = SECONDS_PER_HOUR * problem.mean_rate
        besides = np.einsum("cp,cb,cp->b", fleet.share, requests, problem.usd_per_request)
        self.machines = np.append(self.machines, fleet.machines[:, None], axis=1)
        self.serves = np.append(self.serves, serves, axis=1)
        self.besides_usd = np.append(self.besides_usd, besides[:, None], axis=1)

    def usd(self, amounts: FloatArray) -> tuple[float, IntArray]:
        """Return what all blocks cost a month at best under these amounts, float64[K], and the best fleet of each, int64[B]."""
        problem = self.problem
        own = problem.usd_per_hour - problem.disk_usd_per_hour
        order = order_applications(np.where(problem.only_covered, np.inf, own), problem.covers)
        left = apply_commitments(self.machines.astype(np.float64), order, amounts).left
        usd = np.where(problem.only_covered, 0.0, own) @ left + problem.disk_usd_per_hour @ self.machines
        usd = np.where((left[problem.only_covered] > LEAST_USD).any(axis=0), np.inf, usd)
        every = np.where(self.serves, usd[None, :] + self.besides_usd, np.inf)
        return float((every.min(axis=1) + amounts.sum()) @ problem.block_hours), every.argmin(axis=1)


def choose_amounts(problem: Problem) -> FloatArray:
    """Return the amounts to commit to, float64[K] US dollars an hour, what exists included.

    Raises ``Infeasible`` where some block has no solution.
    """
    if not len(problem.interactive) or not problem.may_grow.any():
        return problem.existing_usd_per_hour
    small, _ = reduce_blocks(problem, MOST_BLOCKS)
    relaxed = relax(small, whole=True).commitments
    starts = [_whole_steps(problem, relaxed, part) for part in (0.5, 1.0, 0.0)]
    nothing = np.zeros((small.blocks, 0))
    known = _Known(small, np.zeros((len(small.options), 0), dtype=np.int64), nothing > 0.0, nothing)
    solved: dict[bytes, FloatArray] = {}
    best, failed = starts[0], Infeasible(0)
    amounts: FloatArray | None = best
    while amounts is not None and len(solved) < MOST_ROUNDS:
        solved[amounts.tobytes()] = amounts
        try:
            _solve(known, amounts)
        except Infeasible as error:  # too few machines of one's own
            failed = error
        if known.fleets:
            best = min(solved.values(), key=lambda one: known.usd(one)[0])
        amounts = _choose_next(known, best, starts, solved)
    if not known.fleets:
        raise failed
    return best


def _choose_next(known: _Known, best: FloatArray, starts: list[FloatArray], solved: dict[bytes, FloatArray]) -> FloatArray | None:
    """Return what to solve for next: another start, where small steps lead, or the best step that was not taken; None where all were."""
    for amounts in (*starts, *([_improved(known, best)] if known.fleets else [])):
        if amounts.tobytes() not in solved:
            return amounts
    if not known.fleets:
        return None
    steps = [amounts for amounts in _moves(known, best) if amounts.tobytes() not in solved]
    return min(steps, key=lambda amounts: known.usd(amounts)[0], default=None)


def _solve(known: _Known, amounts: FloatArray) -> None:
    """Find every block's cheapest fleet under these amounts, from the best that is known."""
    small = known.problem
    best = known.usd(amounts)[1] if known.fleets else None

    def solve_one(block: int, like: tuple[BlockFleet, ...]) -> BlockFleet:
        start = like if best is None else (known.fleets[best[block]], *like)
        return solve_block(small, block, amounts, start)

    for block, fleet in solve_apart(small, range(small.blocks), solve_one).items():
        known.add(block, fleet)


def _find_steps(problem: Problem) -> FloatArray:
    """Return by what each amount changes, float64[K] US dollars an hour: its own step, or the least machine that it covers."""
    rates = problem.cover_rates.min(axis=1, initial=np.inf)
    steps = np.array([cover.step_usd_per_hour for cover in problem.covers])
    steps = np.where(steps > 0.0, steps, rates)
    return np.where(problem.may_grow & np.isfinite(steps), steps, 0.0)


def _whole_steps(problem: Problem, amounts: FloatArray, part: float) -> FloatArray:
    """Return the amounts in whole steps beyond what exists, one more of each from this part of a step on."""
    steps, existing = _find_steps(problem), problem.existing_usd_per_hour
    more = np.maximum(amounts - existing, 0.0)
    count = np.divide(more, steps, out=np.zeros_like(more), where=steps > 0.0)
    whole = np.floor(count + 1.0 - part - LEAST_USD if part < 1.0 else count + LEAST_USD) * steps
    return np.round(existing + whole, 9)


def _improved(known: _Known, amounts: FloatArray) -> FloatArray:
    """Return the amounts from where no step of one, or from one to another, lowers the cost with the fleets that are known."""
    usd, _ = known.usd(amounts)
    while True:
        tried = [(known.usd(moved)[0], at, moved) for at, moved in enumerate(_moves(known, amounts))]
        least, _, moved = min(tried, default=(np.inf, 0, amounts))
        if least >= usd - LEAST_USD:
            return amounts
        amounts, usd = moved, least


def _moves(known: _Known, amounts: FloatArray) -> list[FloatArray]:
    """Return the amounts with a step more of one, with a step or all of one given up, and with the first in the place of the second."""
    steps, existing = _find_steps(known.problem), known.problem.existing_usd_per_hour
    more = [np.zeros_like(steps), *(steps * (np.arange(len(steps)) == k) for k in np.flatnonzero(steps > 0.0))]
    less = [np.zeros_like(steps)]
    for k in np.flatnonzero((steps > 0.0) & (amounts > existing + LEAST_USD)):
        here = np.arange(len(steps)) == k
        less += [steps * here] + [(amounts - existing) * here] * bool(amounts[k] > existing[k] + 1.5 * steps[k])
    moved = [np.round(np.maximum(amounts + up - down, existing), 9) for up in more for down in less]
    return [one for one in moved if (one != amounts).any()]
