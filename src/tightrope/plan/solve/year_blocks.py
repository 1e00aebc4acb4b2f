"""Thousands of blocks, a year of hours, served and bounded by what a few hundred that were searched teach.

A fleet serves every hour whose load fits on it; prices that show what one hour costs at least show it for others too, for any prices are
valid. So only blocks that stand for others are searched: at the mean of what they stand for, and at most of it, whose fleet every
one of them fits. An hour then takes the cheapest of all fleets that it fits, whose shares, where they are not those of its block, one
small linear program finds.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.plan.problem.arrays import Infeasible, Problem
from tightrope.plan.problem.commitment_coverage import apply_commitments, order_applications
from tightrope.plan.solve.block_search import BlockFleet
from tightrope.plan.solve.block_solutions import WORKERS, solve_apart, solve_block
from tightrope.plan.solve.block_view import Block, assign_shares, build_price_tables, scale_of, view_block, view_like
from tightrope.plan.solve.count_search import next_fleet
from tightrope.plan.solve.representative_blocks import reduce_blocks

MANY_BLOCKS = 1000
"""From so many on, blocks are not searched one by one."""
MOST_KINDS = 100
"""Blocks that stand for others."""
MOST_TRIED = 3
"""Fleets whose shares are looked for, of one block."""
LEAST_MACHINES = 1e-6
"""Less than this is left by rounding alone."""
WORTH_TRYING = 5e-3
"""A fleet is looked at where it saves at least this share of the best at hand."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Blocks that stand for many: ``mean`` and ``most`` of what each stands for, and which one stands for each block, int64[B]."""

    mean: Problem
    most: Problem
    label: IntArray


def choose_representatives(problem: Problem, kinds: int) -> Standing:
    """Return blocks that stand for all."""
    mean, label = reduce_blocks(problem, kinds)
    load = problem.load(problem.rate)
    parts = [label == kind for kind in range(mean.blocks)]
    rate = np.stack([problem.rate[:, part].max(axis=1) for part in parts], axis=1)
    most_load = np.stack([load[:, :, part].max(axis=2) for part in parts], axis=2)
    mu = np.divide(rate[:, None, :], most_load, out=mean.mu.copy(), where=most_load > 0.0)
    mean_rate = np.stack([problem.mean_rate[:, part].max(axis=1) for part in parts], axis=1)
    return Standing(mean, replace(mean, rate=rate, mean_rate=mean_rate, mu=mu), label)


def serve_many(problem: Problem, commitments: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return machines int64[P, B], shares float64[C, P, B] and costs float64[B] in US dollars/h: every block by the cheapest that fits.

    Raises ``Infeasible`` where some block has no solution.
    """
    standing = choose_representatives(problem, MOST_KINDS)
    of_mean, of_most = (_search_all(part, commitments) for part in (standing.mean, standing.most))
    fleets = [fleet for fleet in (*of_mean, *of_most) if fleet is not None]
    best, shares = _fit_fleets(problem, standing, of_most, commitments, fleets)
    machines = np.stack([fleet.machines for fleet in fleets], axis=1)
    usd = _machines_usd(problem, machines, commitments)

    def improve(kind: int) -> None:
        """Give every block of a kind the cheapest fleet that it fits."""
        template = view_block(standing.most, kind, problem.usd_per_hour, commitments)
        taught = [fleet.prices for fleet in (of_mean[kind], of_most[kind]) if fleet is not None and len(fleet.prices)]
        if template is None or not taught:
            return
        for block in np.flatnonzero(standing.label == kind):
            seen = view_like(template, problem, int(block))
            prices = np.concatenate(taught) * scale_of(seen, problem.rate[:, block])
            for fleet in _find_candidates(seen, prices, machines, usd, float(usd[best[block]])):
                served = assign_shares(seen, machines[:, fleet])
                if served is not None:
                    best[block], shares[:, :, block] = fleet, served
                    break

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        list(pool.map(improve, range(standing.mean.blocks)))
    requests = SECONDS_PER_HOUR * problem.mean_rate
    return machines[:, best], shares, usd[best] + np.einsum("cpb,cp,cb->b", shares, problem.usd_per_request, requests)


def _fit_fleets(
    problem: Problem, standing: Standing, of_most: list[BlockFleet | None], commitments: FloatArray, fleets: list[BlockFleet]
) -> tuple[IntArray, FloatArray]:
    """Return a fleet for every block, int64[B], and its shares, float64[C, P, B]: that of the most of its kind.

    Where no fleet serves that, for no block asks for so much of everything, or not on what may serve the block, blocks are searched one
    by one; ``fleets`` grow by those.
    """
    place = {id(fleet): at for at, fleet in enumerate(fleets)}
    taken: list[BlockFleet] = []
    for block, kind in enumerate(standing.label.tolist()):
        fleet = of_most[kind]
        elsewhere = (problem.mu[:, :, block] <= 0.0) & (problem.rate[:, block] > 0.0)[:, None]
        if fleet is None or (fleet.share[elsewhere] > 0.0).any():
            fleet = solve_block(problem, block, commitments)
            place[id(fleet)] = len(fleets)
            fleets.append(fleet)
        taken.append(fleet)
    best = np.array([place[id(fleet)] for fleet in taken], dtype=np.int64)
    return best, np.stack([fleet.share for fleet in taken], axis=2)


def _find_candidates(seen: Block, prices: FloatArray, machines: IntArray, usd: FloatArray, at_hand_usd: float) -> list[int]:
    """Return the cheapest fleets below what is at hand that no price shows to be impossible, by their cost, ``MOST_TRIED`` at most."""
    within = (machines < seen.carries.shape[1]).all(axis=0)
    cheaper = np.flatnonzero(within & (usd < at_hand_usd * (1.0 - WORTH_TRYING)))
    order = cheaper[np.argsort(usd[cheaper], kind="stable")]
    constant, table = build_price_tables(seen, prices)
    fleets, found, start = np.ascontiguousarray(machines.T), list[int](), 0
    while len(found) < MOST_TRIED:
        at = next_fleet(constant, table, fleets, usd, order, start)
        if at == len(order):
            break
        found.append(int(order[at]))
        start = at + 1
    return found


def _search_all(problem: Problem, commitments: FloatArray) -> list[BlockFleet | None]:
    """Return every block's cheapest fleet, in order; None where it has none."""

    def search(block: int, like: tuple[BlockFleet, ...]) -> BlockFleet | None:
        try:
            return solve_block(problem, block, commitments, like)
        except Infeasible:
            return None

    solved = solve_apart(problem, range(problem.blocks), search)
    return [solved[block] for block in range(problem.blocks)]


def _machines_usd(problem: Problem, machines: IntArray, commitments: FloatArray) -> FloatArray:
    """Return what each fleet's machines cost beyond what is committed, float64[F] US dollars/h."""
    own = problem.usd_per_hour - problem.disk_usd_per_hour
    order = order_applications(np.where(problem.only_covered, np.inf, own), problem.covers)
    left = apply_commitments(machines.astype(np.float64), order, commitments).left
    if (left[problem.only_covered] > LEAST_MACHINES).any():
        raise Infeasible(0)
    return own @ left + problem.disk_usd_per_hour @ machines
