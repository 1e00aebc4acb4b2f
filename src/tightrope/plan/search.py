"""One block's cheapest fleet, searched to a proof: prices take the options apart, a walk over their numbers of machines does the rest.

Only a few rows tie a block's options together: every class is answered, variants and spot have their share, quotas hold. At prices of
those rows each option is on its own: what ``n`` machines cost, less what the work that fits on them is worth, is a table (``_table``;
the best use of an option is a fractional knapsack, filled by worth per machine, Dantzig, 1957). The sum of the tables' minima is a
Lagrangian bound (Geoffrion, 1974), and so is the sum over any fixed numbers and the minima of the rest: a depth-first walk leaves
every branch whose bound under some prices is no cheaper than what is known. Where it arrives at a whole fleet, a linear program says
how the classes are shared, or gives the prices at which this fleet and its like are too dear (Benders, 1962).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.constraints import BlockColumns, add_block
from tightrope.plan.model import INFINITY, Model
from tightrope.plan.problem import Problem
from tightrope.replay.compiled import entry, jit

TYING = ("demand", "routing-share", "quality-floor", "spot-share", "quota")
"""The families whose rows speak of several options."""
MOST_MACHINES = 4096
"""Blocks that may need more of one option are left to the general solver: there, whole machines hardly matter."""
MOST_STEPS = 400_000
"""Steps of one walk."""
MOST_PRICES = 160
LEAST_CLAIM = 1e-3
"""The first claim is so much above the relaxation, as a share."""
CLAIMS_GROW = 1.5
"""Each claim is so many times further above the relaxation than the one before it."""
DEAR = 1e3
"""What leaving all of a class unanswered costs in the linear program of a fleet: so many times the whole fleet."""
CERTAIN = 1.0 - 1e-9
"""A bound is stated so much lower than it was reckoned, for rounding."""
ALMOST = 1e-7
LIKELY = 3.0
"""Options are walked in the order of how many numbers are likely: one that costs all that is left counts for exp(-3)."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The best fleet found, int64[P], who it serves, float64[C, P], its cost, and what no fleet costs less than (US dollars/h)."""

    machines: IntArray
    share: FloatArray
    usd_per_hour: float
    bound_usd_per_hour: float


@dataclass(frozen=True, slots=True)
class _Block:
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


def may_search(problem: Problem, block: int) -> bool:
    """Return whether the block is of the kind that is searched: nothing in it waits for another hour."""
    return len(problem.interactive) > 0 and not any(block in window.blocks for window in problem.windows)


def cheapest_fleet(
    problem: Problem, block: int, usd_per_hour: FloatArray, gap: float, known: IntArray | None = None
) -> Fleet | None:
    """Return one block's cheapest fleet at these rates (float64[P]), to within the relative ``gap`` where the walk is not too long.

    ``known`` (int64[P]) is a fleet to start from. None where the block is too large for a search, or has no solution near its
    relaxation's. The time of a walk is at most ``MOST_STEPS`` × prices in use.
    """
    model = Model()
    columns = add_block(model, problem, block, 1.0, deferrable=False, covers=False, usd_per_hour=usd_per_hour)
    seen = _block(problem, block, model, columns, usd_per_hour) if len(problem.options) else None
    if seen is None:
        return None
    rows = len(model.families)
    _add_whole(model, columns, seen)
    result = model.solve(relaxed=True)
    if result.status != "optimal":
        return None
    tying = np.array([name in TYING for name in model.families[:rows]], dtype=bool)
    prices = result.duals[:rows][tying]
    start = _rounded(seen, (result.values[columns.share] * seen.load).sum(axis=0))
    walk = _Walk(seen, prices, gap)
    for fleet in (start, known):
        if fleet is not None and (fleet < seen.carries.shape[1]).all():
            walk.try_fleet(fleet)
    return walk.run() if walk.best is not None else None


def _block(problem: Problem, block: int, model: Model, columns: BlockColumns, usd_per_hour: FloatArray) -> _Block | None:
    """Return what the search needs to know of a block; None where it would have to count too far."""
    tying = [row for row, name in enumerate(model.families) if name in TYING]
    classes, options = columns.share.shape
    matrix = np.zeros((len(tying), model.columns))
    for at, row in enumerate(tying):
        matrix[at, model.row_columns[row]] = model.row_values[row]
    lower, upper = np.array(model.row_lower)[tying], np.array(model.row_upper)[tying]
    mu = problem.mu[:, :, block]
    load = np.divide(problem.rate[:, block][:, None], mu, out=np.zeros_like(mu), where=mu > 0.0)
    cost = np.concatenate(model.cost)
    share = matrix[:, columns.share.ravel()].reshape(-1, classes, options)
    limit = np.where((mu > 0.0) & (problem.rate[:, block] > 0.0)[:, None], 1.0, 0.0)
    for row in np.flatnonzero(np.isfinite(upper) & (share >= 0.0).all(axis=(1, 2))):
        limit = np.minimum(limit, np.divide(upper[row], share[row], out=np.ones_like(limit), where=share[row] > 0.0))
    carries = _carries(problem, (limit * load).sum(axis=0))
    if carries is None:
        return None
    count = matrix[:, columns.machines]
    return _Block(share, count, lower, upper, load, limit, cost[columns.share], usd_per_hour, carries)


def _carries(problem: Problem, most: FloatArray) -> FloatArray | None:
    """Return the load that n machines of each option may carry, float64[P, N + 1], up to ``most`` (float64[P]).

    Machines stand evenly in their zones; without the largest zone, or without one machine, the others carry the share that is asked.
    """
    zones, zoned = np.maximum(problem.zones, 1)[:, None], problem.zone_share[:, None]
    size = 8
    while size <= MOST_MACHINES:
        n = np.arange(size + 1, dtype=np.float64)[None, :]
        carries = np.where(problem.metered[:, None], np.inf, np.broadcast_to(n, (len(most), size + 1)))
        left = n - np.ceil(n / zones)
        carries = np.minimum(carries, np.divide(left, zoned, out=np.full(carries.shape, np.inf), where=zoned > 0.0))
        if problem.n_plus_one_share > 0.0:
            spare = np.where(problem.metered[:, None], np.inf, np.maximum(n - 1.0, 0.0) / problem.n_plus_one_share)
            carries = np.minimum(carries, spare)
        alone = (carries[:, -1] >= most) | np.isinf(carries[:, 0]) | (problem.zone_share > 0.0) & (zones[:, 0] == 1)
        if alone.all():
            return np.minimum(carries, most[:, None])
        size *= 2
    return None


def _add_whole(model: Model, columns: BlockColumns, seen: _Block) -> None:
    """Sharpen the relaxation: no line of load over machines lies above what whole machines carry (Magnanti and Mirchandani, 1993).

    One row for every class alone, one for all: n machines never carry more than the line through the first number that carries all
    of it and the best number below.
    """
    classes, options = seen.load.shape
    sets = [np.array([c]) for c in range(classes)] + ([np.arange(classes)] if classes > 1 else [])
    for p in range(options):
        for c in sets:
            most = float((seen.load[c, p] * seen.limit[c, p]).sum())
            enough = int(np.searchsorted(seen.carries[p], most - 1e-9))
            if 0 < enough < seen.carries.shape[1] and most > 0.0:
                fewer = np.arange(enough)
                slope = float(((most - seen.carries[p, :enough]) / (enough - fewer)).min())
                indices = np.append(columns.share[c, p], columns.machines[p])
                model.add_row("whole", indices, np.append(seen.load[c, p], -slope), -INFINITY, most - slope * enough)


def _rounded(seen: _Block, load: FloatArray) -> IntArray | None:
    """Return the fewest machines that carry a load of each option, int64[P]; None where some can not."""
    fits = seen.carries >= load[:, None] - 1e-9
    return fits.argmax(axis=1) if fits.any(axis=1).all() else None


def _table(seen: _Block, prices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what is paid at prices of the tying rows, float64[I, R]: constants float64[I] and tables float64[I, P, N + 1].

    A price above 0 is paid for a row's lower side, one below for its upper; where that side is open the price is 0.
    """
    up, down = np.maximum(prices, 0.0), np.minimum(prices, 0.0)
    lower, upper = np.where(np.isfinite(seen.lower), seen.lower, 0.0), np.where(np.isfinite(seen.upper), seen.upper, 0.0)
    prices = np.where(np.isfinite(seen.lower), up, 0.0) + np.where(np.isfinite(seen.upper), down, 0.0)
    constant = np.maximum(prices, 0.0) @ lower + np.minimum(prices, 0.0) @ upper
    worth = np.maximum(np.einsum("ir,rcp->icp", prices, seen.share) - seen.usd_per_share, 0.0) * (seen.limit > 0.0)
    density = np.divide(worth, seen.load, out=np.zeros_like(worth), where=seen.load > 0.0)
    order = np.argsort(-density, axis=1)
    density = np.take_along_axis(density, order, axis=1)
    fits = np.take_along_axis(np.broadcast_to(seen.load * seen.limit, density.shape), order, axis=1)
    before = np.cumsum(fits, axis=1) - fits
    taken = np.clip(seen.carries[None, None] - before[..., None], 0.0, fits[..., None])
    machines = np.arange(seen.carries.shape[1])
    paid = (seen.usd_per_hour - prices @ seen.count)[:, :, None] * machines
    return constant, paid - np.einsum("icp,icpn->ipn", density, taken)


class _Walk:
    """The search of one block: what is known, the prices in use, and the best fleet so far."""

    def __init__(self, seen: _Block, prices: FloatArray, gap: float) -> None:
        """Start from the relaxation's prices (float64[R]), from none at all, and from dear ones for every limit on machines."""
        self.seen, self.gap = seen, gap
        self.usd, self.share = np.inf, np.zeros_like(seen.load)
        self.best: IntArray | None = None
        # dear enough to tell: any fleet that serves costs less than one of everything that may be needed
        self.dear = DEAR * float(np.max(seen.usd_per_hour, initial=0.0)) * (1.0 + float(np.abs(prices).sum()))
        limits = np.flatnonzero((seen.count != 0.0).any(axis=1))
        some = np.zeros((2 + len(limits), len(prices)))
        some[0] = prices
        some[np.arange(2, len(some)), limits] = -self.dear
        self.constant, self.table = _table(seen, some)

    def try_fleet(self, machines: IntArray) -> FloatArray:
        """Take the fleet where it is the best so far; return the prices at which it can not be had for less, float64[R]."""
        usd, share, prices = _served(self.seen, machines, self.dear)
        if usd < self.usd:
            self.usd, self.best, self.share = usd, machines.copy(), share
        return prices

    def run(self) -> Fleet:
        """Claim more and more until the gap is proven, or less where that takes too long."""
        root = float((self.constant + self.table.min(axis=2).sum(axis=1)).max())
        proven, step = max(root, 0.0), max(self.gap, LEAST_CLAIM)
        self._trim()
        while proven < self.usd * (1.0 - self.gap):
            claim = root * (1.0 + step)
            if not self._prove(claim):
                break
            proven, step = min(claim, self.usd * (1.0 - self.gap)), CLAIMS_GROW * step
        assert self.best is not None  # noqa: S101 - the caller made sure
        return Fleet(self.best, self.share, self.usd, min(proven, self.usd) * CERTAIN)

    def _trim(self) -> None:
        """Forget numbers of machines that no better fleet has."""
        _, alive = self._alive(self.usd)
        if alive is not None:
            most = max(int(np.flatnonzero(alive.any(axis=0)).max()) + 1, 2)
            self.seen = replace(self.seen, carries=self.seen.carries[:, :most])
            self.table = np.ascontiguousarray(self.table[:, :, :most])

    def _prove(self, claim: float) -> bool:
        """Return whether every fleet is shown to cost no less than ``claim``, or than the best known less the gap."""
        options, alive = self._alive(self._least(claim))
        if alive is None:
            return True
        machines = alive.argmax(axis=1)
        if not len(options):  # one fleet is left: it serves at its cost, or no fleet that is cheaper does
            self.try_fleet(machines)
            return True
        fixed = np.ones(len(alive), dtype=bool)
        fixed[options] = False
        values = np.zeros((len(options), alive.shape[1]), dtype=np.int64)
        counts = alive[options].sum(axis=1)
        for at, p in enumerate(options):
            mine = np.flatnonzero(alive[p])
            values[at, : len(mine)] = mine[np.argsort(self.table[0, p, mine], kind="stable")]
        position, level, steps = np.full(len(options), -1, dtype=np.int64), np.zeros(1, dtype=np.int64), MOST_STEPS
        while True:
            constant = self.constant + self.table[:, np.flatnonzero(fixed), machines[fixed]].sum(axis=1)
            tables = np.ascontiguousarray(self.table[:, options])
            work = np.zeros((2, len(options) + 1, len(constant)))
            status, taken = walk(constant, tables, values, counts, self._least(claim), steps, position, level, work[0], work[1])
            steps -= taken
            if status != ARRIVED or len(self.constant) >= MOST_PRICES:
                return bool(status == DONE)
            machines[options] = values[np.arange(len(options)), position]
            more, table = _table(self.seen, self.try_fleet(machines)[None])
            self.constant, self.table = np.append(self.constant, more), np.concatenate([self.table, table])

    def _least(self, claim: float) -> float:
        """Return the cost from which nothing is looked at."""
        return min(claim, self.usd * (1.0 - self.gap))

    def _alive(self, least: float) -> tuple[IntArray, NDArray[np.bool_] | None]:
        """Return the options whose number is open, in the order to walk, and bool[P, N + 1], which numbers are; None where none are."""
        alive = np.ones(self.table.shape[1:], dtype=bool)
        bound, before = self.constant, -1
        while alive.sum() != before:
            before = alive.sum()
            lowest = np.where(alive, self.table, np.inf).min(axis=2)
            bound = self.constant + lowest.sum(axis=1)
            alive &= ((bound[:, None] - lowest)[:, :, None] + self.table < least).all(axis=0)
            if not alive.any(axis=1).all():
                return np.zeros(0, dtype=np.int64), None
        found = np.flatnonzero(alive.sum(axis=1) > 1)
        beyond = np.where(alive, self.table[0] - np.where(alive, self.table[0], np.inf).min(axis=1)[:, None], np.inf)
        likely = np.exp(-LIKELY * beyond / max(least - float(bound[0]), ALMOST)).sum(axis=1)
        return found[np.argsort(likely[found], kind="stable")], alive


def _served(seen: _Block, machines: IntArray, dear: float) -> tuple[float, FloatArray, FloatArray]:
    """Return what a fleet costs (inf where it does not serve), who it serves float64[C, P], and the prices of the tying rows."""
    room = seen.carries[np.arange(len(machines)), machines]
    some = (seen.limit > 0.0) & (room > 0.0)[None, :]
    cells = np.argwhere(some)
    model = Model()
    columns = model.add_columns(seen.usd_per_share[some], seen.limit[some])
    missing = model.add_columns(np.full(len(seen.lower), dear), np.where(np.isfinite(seen.lower), INFINITY, 0.0))
    for row, (lower, upper) in enumerate(zip(seen.lower, seen.upper, strict=True)):
        taken = float(seen.count[row] @ machines)
        values = np.append(seen.share[row][some], 1.0)
        model.add_row("tying", np.append(columns, missing[row]), values, float(lower) - taken, max(float(upper) - taken, 0.0))
    for p in np.flatnonzero(some.any(axis=0) & np.isfinite(room)):
        mine = cells[:, 1] == p
        model.add_row("capacity", columns[mine], seen.load[cells[mine, 0], p], -INFINITY, float(room[p]))
    result = model.solve(relaxed=True)
    share = np.zeros_like(seen.load)
    share[some] = result.values[columns]
    fits = bool((seen.count @ machines <= seen.upper + ALMOST).all()) and float(result.values[missing].sum()) <= ALMOST
    usd = float(seen.usd_per_hour @ machines + (seen.usd_per_share * share).sum())
    return (usd if fits else np.inf), share, result.duals[: len(seen.lower)]


DONE, ARRIVED, TOO_LONG = 1, 0, -1


@jit
def _lay_out(
    constant: FloatArray, table: FloatArray, values: IntArray, counts: IntArray, rest: FloatArray, reached: FloatArray
) -> None:
    """Fill ``rest`` with what the options from each level on cost at least, and the start of ``reached``."""
    levels = table.shape[1]
    for i in range(table.shape[0]):
        rest[levels, i] = 0.0
        reached[0, i] = constant[i]
        for at in range(levels - 1, -1, -1):
            lowest = table[i, at, values[at, 0]]
            for j in range(1, counts[at]):
                lowest = min(lowest, table[i, at, values[at, j]])
            rest[at, i] = rest[at + 1, i] + lowest


@jit
def _step(table: FloatArray, at: int, number: int, reached: FloatArray) -> None:
    """Fix one option's number."""
    for i in range(table.shape[0]):
        reached[at + 1, i] = reached[at, i] + table[i, at, number]


@jit
def _find_dear(table: FloatArray, at: int, number: int, least: float, rest: FloatArray, reached: FloatArray, first: int) -> int:
    """Return which prices show that a branch costs ``least`` or more, those that did so last being asked first; -1 where none do."""
    prices = table.shape[0]
    for k in range(prices):
        i = first + k if first + k < prices else first + k - prices
        if reached[at, i] + table[i, at, number] + rest[at + 1, i] >= least:
            return i
    return -1


@entry
def walk(
    constant: FloatArray,
    table: FloatArray,
    values: IntArray,
    counts: IntArray,
    least: float,
    most_steps: int,
    position: IntArray,
    level: IntArray,
    rest: FloatArray,
    reached: FloatArray,
) -> tuple[int, int]:
    """Walk on over all numbers of machines, L options deep, to the next fleet that no price shows to cost ``least`` or more.

    ``constant`` float64[I], ``table`` float64[I, L, N + 1], ``values`` int64[L, N + 1] with ``counts`` int64[L] in use. ``position``
    int64[L] and ``level`` int64[1] hold where it stands, also for the next call. ``rest`` and ``reached`` float64[L + 1, I] are room to
    work in. Returns the status and the steps taken.
    """
    levels = table.shape[1]
    _lay_out(constant, table, values, counts, rest, reached)
    here = level[0]
    for at in range(here):
        _step(table, at, values[at, position[at]], reached)
    steps, first = 0, 0
    while here >= 0:
        position[here] += 1
        if position[here] >= counts[here]:
            here -= 1
            continue
        steps += 1
        if steps > most_steps:
            return TOO_LONG, steps
        number = values[here, position[here]]
        dear = _find_dear(table, here, number, least, rest, reached, first)
        if dear >= 0:
            first = dear
        elif here == levels - 1:
            level[0] = here
            return ARRIVED, steps
        else:
            _step(table, here, number, reached)
            here += 1
            position[here] = -1
    return DONE, steps
