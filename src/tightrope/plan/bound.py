"""The certified bound: what no plan of a problem can cost less than (docs/explanation/what-the-bound-means.md)."""

from dataclasses import dataclass

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.constraints import add_block
from tightrope.plan.dominance import copies_needed, needless
from tightrope.plan.model import Model
from tightrope.plan.problem import Problem, restrict
from tightrope.plan.solve import Relaxation, solve_apart

BLOCK_NODES = 500
"""Branches spent on one block of the bound at most: what is known then is a bound too."""
BLOCK_GAP = 3e-3
"""Relative gap at which a block's search stops: what is proven then is what counts."""
ASCENTS = 1
"""Steps that sharpen the lower bound: each costs as much as the first bound."""


def lower_bound(
    problem: Problem,
    relaxation: Relaxation,
    known_usd: float = np.inf,
    *,
    enough_usd: float = np.inf,
) -> float:
    """Return US dollars a month that no plan of this problem can cost less than (Lagrangian relaxation).

    Pricing the commitment in each block, and each window's work at ``work_price``, takes the blocks apart; each is bounded by its
    own integer program. Any prices give a valid bound as long as a dollar of commitment is not worth more than it costs over the
    month, which ``_affordable`` ensures; limits on the number of pools are left out, which only lowers the bound. The relaxation's
    prices are the start; where a plan of ``known_usd`` is at hand, ``ASCENTS`` subgradient steps towards it raise the bound (Polyak,
    USSR Computational Mathematics and Mathematical Physics 9(3), 1969): blocks that would commit more than the mean pay more. It
    stops at ``enough_usd``.
    """
    price = _affordable(problem, relaxation.cover_price)
    best, steps = -np.inf, ASCENTS if np.isfinite(known_usd) and price.any() else 0
    for step in range(1 + steps):
        priced = price_apart(problem, relaxation, price)
        value, spend = priced.usd_per_month, priced.spend
        best = max(best, value)
        uneven = spend - np.average(spend, axis=1, weights=problem.block_hours)[:, None] if len(spend) else spend
        length = float((uneven**2 @ problem.block_hours).sum())
        if best >= min(known_usd, enough_usd) or length <= 1e-9 or step == steps:
            break
        price = _affordable(problem, price + (known_usd - value) / length * uneven)
    return best


def _affordable(problem: Problem, price: FloatArray) -> FloatArray:
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
class Priced:
    """Every block at its best where what couples blocks has a price: a bound, and machines int64[P, B] and shares float64[C, P, B]."""

    usd_per_month: float
    """No plan costs less."""
    spend: FloatArray
    """float64[K, B]: what each block would commit, US dollars an hour."""
    machines: IntArray
    share: FloatArray


def price_apart(problem: Problem, relaxation: Relaxation, price: FloatArray, gap: float = BLOCK_GAP) -> Priced:
    """Return every block solved apart at these prices of commitments, float64[K, B] US dollars an hour per dollar committed."""
    hours = problem.block_hours
    copies = copies_needed(problem)
    opened = [[w for w, window in enumerate(problem.windows) if block in window.blocks] for block in range(problem.blocks)]
    rewards = [relaxation.work_price[windows] / hours[block] for block, windows in enumerate(opened)]
    works = [tuple((problem.windows[w].traffic_class, problem.windows[w].requests) for w in windows) for windows in opened]
    keys = [
        (problem.rate[:, b].tobytes(), problem.mean_rate[:, b].tobytes(), price[:, b].tobytes(), rewards[b].tobytes(), works[b])
        for b in range(problem.blocks)
    ]
    solved = solve_apart(
        {key: block for block, key in enumerate(keys)},
        lambda block: _priced_block(problem, block, price[:, block], rewards[block], copies, gap),
    )
    bounds, spend, machines, share = zip(*(solved[key] for key in keys), strict=True)
    # what exists already is paid for anyway, and sold to the blocks at these prices
    existing = float(problem.existing_usd_per_hour @ (hours.sum() - price @ hours))
    return Priced(
        usd_per_month=float(relaxation.work_price.sum() + np.array(bounds) @ hours) + existing,
        spend=np.stack(spend, axis=1),
        machines=np.stack(machines, axis=1),
        share=np.stack(share, axis=2),
    )


def _priced_block(
    problem: Problem, block: int, price: FloatArray, rewards: FloatArray, copies: FloatArray, gap: float
) -> tuple[float, FloatArray, IntArray, FloatArray]:
    """Return what one block costs at least at these prices, what it commits (both US dollars/h), its machines and its shares.

    A commitment can be had in any amount at its price here, so that each option has one rate: its own, or that of its cheapest
    cover; and what another option does for no more can be left out.
    """
    rates = problem.cover_rates
    # inf × 0 is not a rate: what does not cover stays inf
    covered = np.where(np.isfinite(rates), price[:, None] * np.where(np.isfinite(rates), rates, 0.0), np.inf)
    cover = covered.min(axis=0, initial=np.inf)
    own = np.where(problem.only_covered, np.inf, problem.usd_per_hour - problem.disk_usd_per_hour)
    usd_per_hour = np.minimum(own, cover) + problem.disk_usd_per_hour
    kept = np.flatnonzero(needless(problem, usd_per_hour, copies) < 0)
    small = restrict(problem, np.isin(np.arange(len(problem.options)), kept))
    model = Model()
    columns = add_block(model, small, block, 1.0, deferrable=True, covers=False, usd_per_hour=usd_per_hour[kept])
    for reward, row in zip(rewards, columns.work, strict=True):
        _add_cost(model, row, -float(reward))
        model.add_row("deadline", row, np.ones(len(row)), -np.inf, 1.0)
    result = model.solve(gap=gap, nodes=BLOCK_NODES, plain=True)
    machines, spend = np.zeros(len(problem.options), dtype=np.int64), np.zeros(len(rates))
    share = np.zeros((len(problem.interactive), len(problem.options)))
    if len(result.values):
        machines[kept] = np.rint(result.values[columns.machines]).astype(np.int64)
        share[:, kept] = result.values[columns.share]
        bought = np.flatnonzero((cover < own) & (machines > 0))
        which = covered[:, bought].argmin(axis=0) if len(bought) else bought
        np.add.at(spend, which, machines[bought] * rates[which, bought])
    return result.bound, spend, machines, share


def _add_cost(model: Model, columns: IntArray, cost: float) -> None:
    """Set the cost of existing columns."""
    flat = np.concatenate(model.cost)
    flat[columns] += cost
    model.cost[:] = [flat]
