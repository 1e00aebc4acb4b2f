"""The certified bound: what no plan of a problem can cost less than (docs/explanation/what-the-bound-means.md)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.problem.arrays import Problem, restrict, take_blocks
from tightrope.plan.problem.dominance import count_copies_needed, find_needless
from tightrope.plan.solve.block_search import CERTAIN, BlockFleet, find_cheapest_fleet, may_search
from tightrope.plan.solve.block_solutions import WORKERS, build_block_keys, solve_apart
from tightrope.plan.solve.block_view import Block, build_price_tables, scale_of, view_block, view_like
from tightrope.plan.solve.constraints import add_block
from tightrope.plan.solve.linear_model import LinearModel
from tightrope.plan.solve.relaxation import relax, relax_few
from tightrope.plan.solve.year_blocks import MANY_BLOCKS, choose_representatives

BLOCK_NODES = 500
"""Branches spent on one block of the bound at most: what is known then is a bound too."""
BLOCK_GAP = 5e-3
"""Relative gap at which a block's search stops: what is proven then is what counts."""
MANY_PRICED = 48
"""Blocks that stand for others where there are many."""
MANY_PRICES = 16
"""Prices of each of their searches that are tried on the others: the best for the mean and for the most."""
PRICED_BLOCKS = 16
"""Blocks that commitments are priced on, where nothing else couples the blocks."""


def find_lower_bound(problem: Problem) -> float:
    """Return US dollars a month that no plan of this problem can cost less than (Lagrangian relaxation).

    Pricing the commitment in each block, and doing each window's work, takes the blocks apart; each is bounded by its own search. Any
    prices give a valid bound as long as a dollar of commitment is not worth more than it costs over the month, which ``_cap_prices``
    ensures; limits on the number of pools are left out, which only lowers the bound. Prices are those of the linear relaxation,
    sharpened by what whole machines carry. Of ``MANY_BLOCKS`` or more, only some are searched, and deferrable work is left out.
    Raises ``Infeasible`` where the relaxation has no solution.
    """
    if problem.blocks >= MANY_BLOCKS:
        return _bound_many(problem)
    if problem.windows:
        relaxation = relax(problem, whole=True)
        return price_apart(problem, _cap_prices(problem, relaxation.cover_price), relaxation.work_price).usd_per_month
    price = np.zeros((0, problem.blocks))
    if problem.covers:
        relaxation, label = relax_few(problem, PRICED_BLOCKS)
        price = relaxation.cover_price[:, label]
    return price_apart(problem, _cap_prices(problem, price), np.zeros(0)).usd_per_month


def _bound_many(problem: Problem) -> float:
    """Return the same by what the searches of blocks that stand for others teach: the best of their prices, for every block."""
    standing, hours = choose_representatives(problem, MANY_PRICED), problem.block_hours
    price = np.zeros((0, standing.mean.blocks))
    if problem.covers:
        price = _cap_prices(standing.mean, relax_few(standing.mean, standing.mean.blocks)[0].cover_price)
    copies, least = count_copies_needed(problem), np.zeros(problem.blocks)

    def bound(kind: int) -> None:
        """Bound every block of a kind."""
        asked = _RatedBlock(standing.most, kind, price[:, kind], np.zeros(0), copies)
        template = view_block(asked.small, kind, asked.usd_per_hour)
        prices = _RatedBlock(standing.mean, kind, price[:, kind], np.zeros(0), copies).bound(BLOCK_GAP).prices
        if template is None or not len(prices):
            return
        ends = [restrict(part, asked.kept) for part in (standing.mean, standing.most)]
        worth = np.stack([_least_usd(view_like(template, part, kind), prices, part.rate[:, kind]) for part in ends])
        prices = prices[np.unique(np.argsort(worth, axis=1, kind="stable")[:, -MANY_PRICES:])]
        mine = np.flatnonzero(standing.label == kind)
        small = restrict(take_blocks(problem, mine), asked.kept)
        for at, block in enumerate(mine):
            least_usd = _least_usd(view_like(template, small, at), prices, small.rate[:, at])
            least[block] = max(float(least_usd.max()), 0.0) * CERTAIN

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        list(pool.map(bound, range(standing.mean.blocks)))
    existing = float(problem.existing_usd_per_hour @ (hours.sum() - price @ standing.mean.block_hours))
    return float(least @ hours) + existing


def _least_usd(seen: Block, prices: FloatArray, rate: FloatArray) -> FloatArray:
    """Return what a block costs at least at each of the prices (float64[I, R], per request/s of a class), float64[I]."""
    constant, table = build_price_tables(seen, prices * scale_of(seen, rate))
    return constant + np.asarray(table.min(axis=2).sum(axis=1))


def _cap_prices(problem: Problem, price: FloatArray) -> FloatArray:
    """Return prices of 0 or more, float64[K, B], whose month's sum is no more than a committed dollar an hour costs.

    What no more can be made of may be worth any price.
    """
    price = np.maximum(price, 0.0)
    fixed, hours = ~problem.may_grow, problem.block_hours
    for _ in range(100):
        over = np.where(fixed, 0.0, np.maximum(price @ hours / hours.sum() - 1.0, 0.0))
        if (over <= 1e-12).all():
            return price
        price = np.maximum(price - over[:, None], 0.0)
    return price / np.where(fixed, 1.0, np.maximum(price @ hours / hours.sum(), 1.0))[:, None]


@dataclass(frozen=True, slots=True)
class PricedBlocks:
    """Every block at its best where what couples blocks has a price: a bound, and machines int64[P, B] and shares float64[C, P, B]."""

    usd_per_month: float
    """No plan costs less."""
    spend: FloatArray
    """float64[K, B]: what each block would commit, US dollars an hour."""
    machines: IntArray
    share: FloatArray


def price_apart(problem: Problem, price: FloatArray, work_price: FloatArray, gap: float = BLOCK_GAP) -> PricedBlocks:
    """Return every block solved apart at prices of what couples blocks.

    ``price`` is float64[K, B], US dollars an hour per dollar committed, ``work_price`` float64[windows] US dollars for doing all of a
    window's work. Blocks are searched; those that cannot be searched go to the general solver.
    """
    hours = problem.block_hours
    copies = count_copies_needed(problem)
    opened = [[w for w, window in enumerate(problem.windows) if block in window.blocks] for block in range(problem.blocks)]
    rewards = [work_price[windows] / hours[block] for block, windows in enumerate(opened)]
    works = [tuple((problem.windows[w].traffic_class, problem.windows[w].requests) for w in windows) for windows in opened]
    keys = [(asked, price[:, b].tobytes(), rewards[b].tobytes(), works[b]) for b, asked in enumerate(build_block_keys(problem))]
    first = {key: block for block, key in reversed(list(enumerate(keys)))}
    asked = {key: _RatedBlock(problem, block, price[:, block], rewards[block], copies) for key, block in first.items()}
    searched = solve_apart(problem, list(first.values()), lambda block, like: asked[keys[block]].bound(gap, like))
    found = [searched[first[key]] for key in keys]
    # what exists already is paid for anyway, and sold to the blocks at these prices
    existing = float(problem.existing_usd_per_hour @ (hours.sum() - price @ hours))
    return PricedBlocks(
        usd_per_month=float(work_price.sum() + np.array([each.bound_usd_per_hour for each in found]) @ hours) + existing,
        spend=np.stack([asked[key].spend(fleet) for key, fleet in zip(keys, found, strict=True)], axis=1),
        machines=np.stack([fleet.machines for fleet in found], axis=1),
        share=np.stack([fleet.share for fleet in found], axis=2),
    )


class _RatedBlock:
    """One block at prices of commitments: each can be had in any amount, so that each option has one rate.

    That is its own, or that of its cheapest cover. What another option does for no more is left out.
    """

    def __init__(self, problem: Problem, block: int, price: FloatArray, rewards: FloatArray, copies: FloatArray) -> None:
        """Rate the options."""
        self.problem, self.block, self.rewards = problem, block, rewards
        rates = problem.cover_rates
        # inf × 0 is not a rate: what does not cover stays inf
        self.covered = np.where(np.isfinite(rates), price[:, None] * np.where(np.isfinite(rates), rates, 0.0), np.inf)
        self.own = np.where(problem.only_covered, np.inf, problem.usd_per_hour - problem.disk_usd_per_hour)
        usd_per_hour = np.minimum(self.own, self.covered.min(axis=0, initial=np.inf)) + problem.disk_usd_per_hour
        self.kept = (find_needless(problem, usd_per_hour, copies) < 0) & np.isfinite(usd_per_hour)
        self.small, self.usd_per_hour = restrict(problem, self.kept), usd_per_hour[self.kept]

    def bound(self, gap: float, like: tuple[BlockFleet, ...] = ()) -> BlockFleet:
        """Return the cheapest fleet by search, or by the general solver where the block is not of that kind."""
        found = None
        if may_search(self.small, self.block):
            near = tuple(replace(fleet, machines=fleet.machines[self.kept], share=fleet.share[:, self.kept]) for fleet in like)
            found = find_cheapest_fleet(self.small, self.block, self.usd_per_hour, gap, near)
        if found is None:
            return self._solve(gap)
        return self._expand_fleet(found)

    def _solve(self, gap: float) -> BlockFleet:
        """Return the same by the general solver, deferrable work included; a fleet of none where it has no solution."""
        model = LinearModel()
        columns = add_block(model, self.small, self.block, 1.0, deferrable=True, covers=False, usd_per_hour=self.usd_per_hour)
        for reward, row in zip(self.rewards, columns.work, strict=True):
            _add_cost(model, row, -float(reward))
            model.add_row("deadline", row, np.ones(len(row)), -np.inf, 1.0)
        result = model.solve(gap=gap, nodes=BLOCK_NODES, plain=True)
        if not len(result.values):
            none = np.zeros(len(self.usd_per_hour), dtype=np.int64)
            return self._expand_fleet(BlockFleet(none, np.zeros(columns.share.shape), result.objective, result.bound))
        machines = np.rint(result.values[columns.machines]).astype(np.int64)
        return self._expand_fleet(BlockFleet(machines, result.values[columns.share], result.objective, result.bound))

    def _expand_fleet(self, fleet: BlockFleet) -> BlockFleet:
        """Return a fleet of the options that are left as one of all."""
        every = np.zeros(len(self.kept), dtype=np.int64)
        served = np.zeros((len(fleet.share), len(self.kept)))
        every[self.kept], served[:, self.kept] = fleet.machines, fleet.share
        return replace(fleet, machines=every, share=served)

    def spend(self, fleet: BlockFleet) -> FloatArray:
        """Return what the fleet would commit to, float64[K] US dollars an hour."""
        spend = np.zeros(len(self.covered))
        bought = np.flatnonzero((self.covered.min(axis=0, initial=np.inf) < self.own) & (fleet.machines > 0))
        which = self.covered[:, bought].argmin(axis=0) if len(bought) else bought
        np.add.at(spend, which, fleet.machines[bought] * self.problem.cover_rates[which, bought])
        return spend


def _add_cost(model: LinearModel, columns: IntArray, cost: float) -> None:
    """Set the cost of existing columns."""
    flat = np.concatenate(model.cost)
    flat[columns] += cost
    model.cost[:] = [flat]
