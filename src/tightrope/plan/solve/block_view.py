"""A block as the search sees it: which rows tie its options together, what each may carry, and what is paid at prices of those rows."""

from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.solve.constraints import BlockColumns, add_block
from tightrope.plan.solve.count_search import fill_tables
from tightrope.plan.solve.integer_capacity import carried, find_largest_share, load_of
from tightrope.plan.solve.linear_model import INFINITY, LinearModel

TYING = ("demand", "routing-share", "quality-floor", "spot-share", "quota")
"""The families whose rows speak of several options."""
ALMOST = 1e-7
UNCOVERED = 100.0
"""What runs only as far as it is covered costs so many times the most expensive rate beyond that."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block as the search sees it: R tying rows, C classes, P options, up to N machines."""

    share: FloatArray
    """float64[R, C, P]: coefficients of shares in the tying rows."""
    count: FloatArray
    """float64[R, P]: coefficients of machines."""
    lower: FloatArray
    upper: FloatArray
    """float64[R]."""
    load: FloatArray
    """float64[C, P]: machines that a whole class keeps busy."""
    limit: FloatArray
    """float64[C, P]: the largest share of a class that an option may have."""
    usd_per_share: FloatArray
    """float64[C, P]: what serving all of a class costs beside machines."""
    usd_per_hour: FloatArray
    """float64[P]."""
    carries: FloatArray
    """float64[P, N + 1]: load that n machines may carry."""
    own: FloatArray
    """float64[P]: the part of ``usd_per_hour`` that a commitment covers."""
    rates: FloatArray
    """float64[K, P]: what a covered machine-hour takes from each commitment; inf where it does not cover."""
    committed: FloatArray
    """float64[K]: US dollars an hour; what they cover costs nothing more."""
    most: FloatArray
    """float64[P]: the most machines there may be, inf where any number may."""


def scale_of(seen: Block, rate: FloatArray) -> FloatArray:
    """Return what a block's prices are in proportion to, float64[R + K]: the rate (float64[C]) of a row's class, 1 of other rows."""
    of_class = (seen.share != 0.0).any(axis=2)
    return np.append(np.where(of_class.any(axis=1), rate[of_class.argmax(axis=1)], 1.0), np.ones(len(seen.committed)))


def view_like(seen: Block, problem: Problem, block: int) -> Block:
    """Return another block of the same problem, at the same rates, as the search sees it: no option carries more than in ``seen``."""
    usd_per_share = SECONDS_PER_HOUR * problem.mean_rate[:, block, None] * problem.usd_per_request
    return replace(seen, load=load_of(problem, block), limit=find_largest_share(problem, block), usd_per_share=usd_per_share)


def view_block(problem: Problem, block: int, usd_per_hour: FloatArray, committed: FloatArray | None = None) -> Block | None:
    """Return what a search knows of a block; None where it would have to count too far."""
    model = LinearModel()
    columns = add_block(model, problem, block, 1.0, deferrable=False, covers=False, usd_per_hour=usd_per_hour)
    return view_columns(problem, block, model, columns, usd_per_hour, committed)


def view_columns(
    problem: Problem,
    block: int,
    model: LinearModel,
    columns: BlockColumns,
    usd_per_hour: FloatArray,
    committed: FloatArray | None,
) -> Block | None:
    """Return the same from the block's own columns and rows."""
    tying = [row for row, name in enumerate(model.families) if name in TYING]
    classes, options = columns.share.shape
    matrix = np.zeros((len(tying), model.columns))
    for at, row in enumerate(tying):
        matrix[at, model.row_columns[row]] = model.row_values[row]
    lower, upper = np.array(model.row_lower)[tying], np.array(model.row_upper)[tying]
    load, limit = load_of(problem, block), find_largest_share(problem, block)
    cost = np.concatenate(model.cost)
    share = matrix[:, columns.share.ravel()].reshape(-1, classes, options)
    carries = carried(problem, (limit * load).sum(axis=0))
    if carries is None:
        return None
    count = matrix[:, columns.machines]
    rates, amounts = np.zeros((0, options)), np.zeros(0)
    if committed is not None:
        rates, amounts = problem.cover_rates, committed
        usd_per_hour = np.where(problem.only_covered, UNCOVERED * float(usd_per_hour.max()), usd_per_hour)
    own, most = usd_per_hour - problem.disk_usd_per_hour, _bound_machines(problem, committed)
    return Block(share, count, lower, upper, load, limit, cost[columns.share], usd_per_hour, carries, own, rates, amounts, most)


def _bound_machines(problem: Problem, committed: FloatArray | None) -> FloatArray:
    """Return the most machines of each option, float64[P]: what quotas leave, what one owns of one's own, none where none are counted."""
    most = np.where(problem.metered, 0.0, np.inf)
    for quota in problem.quotas:
        most = np.where(quota.mask, np.minimum(most, quota.machines), most)
    if committed is None:
        return most
    rates = problem.cover_rates
    covered = np.divide(committed[:, None], rates, out=np.full(rates.shape, np.inf), where=rates > 0.0).sum(axis=0)
    return np.where(problem.only_covered, np.minimum(most, np.floor(covered + ALMOST)), most)


def build_price_tables(seen: Block, prices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what is paid at prices of the tying rows, then of commitments, float64[I, R + K]: constants [I], tables [I, P, N + 1].

    A price above 0 is paid for a row's lower side, one below for its upper; where that side is open the price is 0. A commitment is
    an upper side: what may be covered can be had in any amount at its price.
    """
    prices, covering = prices[:, : len(seen.lower)], np.maximum(-prices[:, len(seen.lower) :], 0.0)
    prices = np.where(np.isfinite(np.where(prices > 0.0, seen.lower, seen.upper)), prices, 0.0)
    sides = np.where(prices > 0.0, seen.lower, np.where(prices < 0.0, seen.upper, 0.0))
    worth = np.maximum(np.tensordot(prices, seen.share, 1) - seen.usd_per_share, 0.0)
    fits = seen.load * seen.limit
    density = np.divide(worth, seen.load, out=np.zeros_like(worth), where=fits > 0.0)
    table = np.empty((len(prices), *seen.carries.shape))
    usd_per_machine = _compute_rates(seen, covering) - prices @ seen.count
    fill_tables(fits, density, usd_per_machine, seen.carries, np.empty(len(fits)), table)
    return (prices * sides).sum(axis=1) - covering @ seen.committed, table


def _compute_rates(seen: Block, covering: FloatArray) -> FloatArray:
    """Return what a machine-hour costs where a dollar of each commitment has a price, float64[I, K]: float64[I, P]."""
    covers = np.isfinite(seen.rates)
    covered = np.where(covers, covering[:, :, None] * np.where(covers, seen.rates, 0.0), np.inf)
    return seen.usd_per_hour - seen.own + np.minimum(seen.own, covered.min(axis=1, initial=np.inf))


def assign_shares(seen: Block, machines: IntArray) -> FloatArray | None:
    """Return who a fleet (int64[P]) serves at the least cost of requests, float64[C, P]; None where it cannot serve the block."""
    room = seen.carries[np.arange(len(machines)), machines]
    some = (seen.limit > 0.0) & (room > 0.0)[None, :]
    cells = np.argwhere(some)
    model = LinearModel()
    columns = model.add_columns(seen.usd_per_share[some], seen.limit[some])
    for share, count, lower, upper in zip(seen.share, seen.count, seen.lower, seen.upper, strict=True):
        taken = float(count @ machines)
        model.add_row("tying", columns, share[some], float(lower) - taken, float(upper) - taken)
    for p in np.flatnonzero(some.any(axis=0) & np.isfinite(room)):
        mine = cells[:, 1] == p
        model.add_row("capacity", columns[mine], seen.load[cells[mine, 0], p], -INFINITY, float(room[p]))
    result = model.solve(relaxed=True)
    if result.status != "optimal":
        return None
    served = np.zeros_like(seen.load)
    served[some] = result.values[columns]
    return served
