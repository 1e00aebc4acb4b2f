"""One block's cheapest fleet, searched to a proof: prices take the options apart, a walk over their numbers of machines does the rest.

Only a few rows tie a block's options together: every class is answered, variants and spot have their share, quotas hold. At prices of
those rows each option is on its own: what ``n`` machines cost, less what the work that fits on them is worth, is a table
(``build_price_tables``;
the best use of an option is a fractional knapsack, filled by worth per machine, Dantzig, 1957). The sum of the tables' minima is a
Lagrangian bound (Geoffrion, 1974), and so is the sum over any fixed numbers and the minima of the rest: a depth-first walk leaves
every branch whose bound under some prices is no cheaper than what is known. Where it arrives at a whole fleet, a linear program says
how the classes are shared, or gives the prices at which this fleet and its like are too dear (Benders, 1962).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.solve.block_view import ALMOST, TYING, Block, build_price_tables, scale_of, view_columns
from tightrope.plan.solve.constraints import BlockColumns, add_block, add_commitments
from tightrope.plan.solve.count_search import ARRIVED, DONE, walk
from tightrope.plan.solve.integer_capacity import add_integer_cuts
from tightrope.plan.solve.linear_model import INFINITY, LinearModel

MOST_STEPS = 4_000_000
"""Steps of one walk."""
BURST = 40_000
"""Steps after which a branch is looked at by itself."""
MOST_PRICES = 224
MOST_TABLE_BYTES = 1 << 28
"""Of the tables of all prices in use: of very large blocks, fewer prices are."""
LEAST_CLAIM = 1e-3
"""The first claim is so much above the relaxation, as a share."""
CLAIMS_GROW = 2.5
"""Each claim is so many times further above the relaxation than the one before it."""
MOST_HANDED_ON = 64
"""Prices that a block like it starts with."""
DEAR = 1e3
"""What leaving all of a class unanswered costs in the linear program of a fleet: about so many times what serving everything does."""
CERTAIN = 1.0 - 1e-9
"""A bound is stated so much lower than it was reckoned, for rounding."""
LIKELY = 3.0
"""Options are walked in the order of how many numbers are likely: one that costs all that is left counts for exp(-3)."""


@dataclass(frozen=True, slots=True)
class BlockFleet:
    """The best fleet found, int64[P], who it serves, float64[C, P], its cost, and what no fleet costs less than (US dollars/h)."""

    machines: IntArray
    share: FloatArray
    usd_per_hour: float
    bound_usd_per_hour: float
    prices: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    """float64[I, R + K]: the prices that showed it, per request/s where they are of a class."""


def may_search(problem: Problem, block: int) -> bool:
    """Return whether the block is of the kind that is searched: nothing in it waits for another hour."""
    return len(problem.interactive) > 0 and not any(block in window.blocks for window in problem.windows)


def find_cheapest_fleet(
    problem: Problem,
    block: int,
    usd_per_hour: FloatArray,
    gap: float,
    like: Sequence[BlockFleet] = (),
    committed: FloatArray | None = None,
) -> BlockFleet | None:
    """Return one block's cheapest fleet at these rates (float64[P]), to within the relative ``gap`` where the walk is not too long.

    ``like`` are fleets of blocks like it, to start from. ``committed`` (float64[K] US dollars an hour) is paid for elsewhere: what it
    covers costs its disk, and the gap is one of both together. None where the block is too large for a search, or has no solution
    near its relaxation's. The time of a walk is at most ``MOST_STEPS`` × prices in use.
    """
    model = LinearModel()
    columns = add_block(model, problem, block, 1.0, deferrable=False, covers=committed is not None, usd_per_hour=usd_per_hour)
    seen = view_columns(problem, block, model, columns, usd_per_hour, committed) if len(problem.options) else None
    if seen is None:
        return None
    tying = np.flatnonzero([name in TYING for name in model.families])
    capped = [] if committed is None else add_commitments(model, problem, columns, committed)
    add_integer_cuts(model, problem, block, columns)
    search = _Walk(seen, _Relaxation(model, columns, np.append(tying, capped).astype(np.int64), seen), gap)
    scale = scale_of(seen, problem.rate[:, block])
    for fleet in like:
        for prices in fleet.prices if fleet.prices.shape[1] == len(scale) else ():
            search.add_prices(prices * scale)
        if (fleet.machines < seen.carries.shape[1]).all() and search.least_usd(fleet.machines) < search.usd:
            search.try_fleet(fleet.machines)
    found = search.run() if search.best is not None else None
    return found and replace(found, prices=np.array(search.given[-MOST_HANDED_ON:]) / np.where(scale > 0.0, scale, 1.0))


def _round_up_load(seen: Block, load: FloatArray) -> IntArray | None:
    """Return the fewest machines that carry a load of each option, int64[P]; None where some cannot."""
    fits = seen.carries >= load[:, None] - 1e-9
    return fits.argmax(axis=1) if fits.any(axis=1).all() else None


def _estimate_whole_usd(seen: Block) -> float:
    """Return about what serving all of every class costs, US dollars/h: by machine where cheapest, else by request at the highest price."""
    serves = seen.limit > 0.0
    machines = np.where(serves, seen.load * seen.usd_per_hour, np.inf).min(axis=1, initial=np.inf)
    requests = np.where(serves, seen.usd_per_share, 0.0).max(axis=1, initial=0.0)
    return float(np.max(seen.usd_per_hour, initial=0.0) + machines[np.isfinite(machines)].sum() + requests.sum())


@dataclass(frozen=True, slots=True)
class _RelaxedFleet:
    """A relaxation's answer: its cost in US dollars/h, who is served, float64[C, P], and the prices of its rows, float64[R + K]."""

    usd: float
    share: FloatArray
    prices: FloatArray
    missing: float
    """What is not served as it should be."""


class _Relaxation:
    """A block's linear relaxation, in which numbers of machines are fixed: what is left unserved is dear, not impossible."""

    def __init__(self, model: LinearModel, columns: BlockColumns, priced: IntArray, seen: Block) -> None:
        """``priced`` are the rows that have prices: the tying ones, then the commitments."""
        self.columns, self.priced, self.seen = columns, priced, seen
        self.dear = DEAR * _estimate_whole_usd(seen)
        self.missing = model.add_columns(np.full(int(np.isfinite(seen.lower).sum()), self.dear))
        for row, column in zip(priced[: len(seen.lower)][np.isfinite(seen.lower)], self.missing, strict=True):
            model.row_columns[row] = np.append(model.row_columns[row], column)
            model.row_values[row] = np.append(model.row_values[row], 1.0)
        loads = zip(columns.share.T, seen.load.T, strict=True)
        self.rooms = np.array([model.add_row("room", share, load, -INFINITY, INFINITY) for share, load in loads], dtype=np.int64)
        self.most = np.concatenate(model.upper)[columns.machines]
        # whole fleets and branches each follow on from their like
        self.fleets, self.branches = model.relaxed(), model.relaxed()

    def solve(self, options: IntArray, numbers: IntArray) -> _RelaxedFleet | None:
        """Return the cheapest answer where these options have these numbers; None where none is possible."""
        lower, upper, room = np.zeros(len(self.most)), self.most.copy(), np.full(len(self.most), INFINITY)
        lower[options] = upper[options] = numbers
        room[options] = np.minimum(self.seen.carries[options, numbers], INFINITY)
        program = self.fleets if len(options) == len(self.most) else self.branches
        result = program.solve(self.columns.machines, lower, upper, self.rooms, room)
        if result.status == "infeasible":
            return None
        if result.status == "limit":  # given up: nothing is known
            return _RelaxedFleet(-INFINITY, np.zeros_like(self.seen.load), np.zeros(len(self.priced)), INFINITY)
        share = result.values[self.columns.share]
        return _RelaxedFleet(result.objective, share, result.duals[self.priced], float(result.values[self.missing].sum()))


class _Walk:
    """The search of one block: what is known, the prices in use, and the best fleet so far."""

    def __init__(self, seen: Block, relaxation: _Relaxation, gap: float) -> None:
        """Start from the relaxation's prices, from none at all, and from dear ones for every limit on machines."""
        self.seen, self.gap, self.relaxation = seen, gap, relaxation
        self.paid = float(seen.committed.sum())
        self.usd, self.share = np.inf, np.zeros_like(seen.load)
        self.best: IntArray | None = None
        self.prices, self.given = 0, list[FloatArray]()
        self.constant, self.table = np.empty(4), np.empty((4, *seen.carries.shape))
        none = np.zeros(0, dtype=np.int64)
        answer = relaxation.solve(none, none)
        if answer is None:
            return
        self.add_prices(answer.prices)
        self.add_prices(np.zeros(len(answer.prices)))
        for row in np.flatnonzero((seen.count != 0.0).any(axis=1)):
            self.add_prices(np.where(np.arange(len(answer.prices)) == row, -relaxation.dear, 0.0))
        self.try_load(answer.share)

    def add_prices(self, prices: FloatArray) -> None:
        """Use these prices too, float64[R + K]."""
        if self.prices == len(self.constant):
            self.constant = np.concatenate([self.constant, np.empty_like(self.constant)])
            self.table = np.concatenate([self.table, np.empty_like(self.table)])
        constant, table = build_price_tables(self.seen, prices[None])
        self.constant[self.prices], self.table[self.prices] = constant[0], table[0]
        self.given.append(prices)
        self.prices += 1

    def try_load(self, share: FloatArray) -> None:
        """Take the fewest machines that serve these shares, float64[C, P], where that is the best so far."""
        fleet = _round_up_load(self.seen, (share * self.seen.load).sum(axis=0))
        if fleet is not None and self.least_usd(fleet) < self.usd:
            self.try_fleet(fleet)

    def least_usd(self, machines: IntArray) -> float:
        """Return what a fleet costs at least, at any prices in use."""
        tables = self.table[: self.prices, np.arange(len(machines)), machines]
        return float((self.constant[: self.prices] + tables.sum(axis=1)).max())

    def try_fleet(self, machines: IntArray) -> _RelaxedFleet | None:
        """Take the fleet where it is the best so far; return its answer, with prices at which it cannot be had for less."""
        answer = self.relaxation.solve(np.arange(len(machines)), machines)
        if answer is not None and answer.missing <= ALMOST and answer.usd < self.usd:
            self.usd, self.best, self.share = answer.usd, machines.copy(), answer.share
        return answer

    def run(self) -> BlockFleet:
        """Claim more and more until the gap is proven, or less where that takes too long."""
        root = float((self.constant[: self.prices] + self.table[: self.prices].min(axis=2).sum(axis=1)).max())
        proven, step = max(root, 0.0), max(self.gap, LEAST_CLAIM)
        self._trim()
        while proven < self._get_target_usd():
            claim = root + step * (root + self.paid)
            if not self._prove(claim):
                break
            proven, step = min(claim, self._get_target_usd()), CLAIMS_GROW * step
        assert self.best is not None  # noqa: S101 - the caller made sure
        return BlockFleet(self.best, self.share, self.usd, min(proven, self.usd) * CERTAIN)

    def _trim(self) -> None:
        """Forget numbers of machines that no better fleet has."""
        _, alive = self._find_open_options(self.usd)
        if alive is not None:
            most = max(int(np.flatnonzero(alive.any(axis=0)).max()) + 1, 2)
            self.seen = replace(self.seen, carries=np.ascontiguousarray(self.seen.carries[:, :most]))
            self.table = np.ascontiguousarray(self.table[:, :, :most])

    def _prove(self, claim: float) -> bool:
        """Return whether every fleet is shown to cost no less than ``claim``, or than the best known less the gap."""
        options, alive = self._find_open_options(self._get_floor_usd(claim))
        if alive is None:
            return True
        machines = alive.argmax(axis=1)
        if not len(options):  # one fleet is left: it serves at its cost, or no fleet that is cheaper does
            return not self._is_undecided(self.try_fleet(machines), claim)
        fixed = np.ones(len(alive), dtype=bool)
        fixed[options] = False
        values = np.zeros((len(options), alive.shape[1]), dtype=np.int64)
        counts = alive[options].sum(axis=1)
        for at, p in enumerate(options):
            mine = np.flatnonzero(alive[p])
            values[at, : len(mine)] = mine[np.argsort(self.table[0, p, mine], kind="stable")]
        position, level = np.full(len(options), -1, dtype=np.int64), np.zeros(2, dtype=np.int64)
        steps, before = MOST_STEPS, 0
        while True:
            used = self.prices
            constant = self.constant[:used] + self.table[:used, np.flatnonzero(fixed), machines[fixed]].sum(axis=1)
            room = np.zeros((2, len(options) + 1, used))
            status, taken = walk(
                constant,
                self.table[:used],
                options,
                values,
                counts,
                self._get_floor_usd(claim),
                BURST,
                position,
                level,
                room[0],
                room[1],
            )
            steps -= taken
            if status == DONE:
                return True
            if steps <= 0 or used + 1 > min(MOST_PRICES, MOST_TABLE_BYTES // max(self.table[0].nbytes, 1)):
                return False
            here = level[0] + 1
            machines[options[:here]] = values[np.arange(here), position[:here]]
            if status == ARRIVED:
                answer = self.try_fleet(machines)
                if self._is_undecided(answer, claim):
                    return False
            else:  # a long way below one branch: prices of its own
                depth = level[1] + 1 if level[0] > level[1] else level[1]
                before = depth = before + 1 if depth <= before < level[0] else depth
                branch = np.append(np.flatnonzero(fixed), options[:depth])
                answer = self._look_below(branch, machines[branch])
            if answer is None:  # no prices to learn: it must not go on for ever
                steps -= BURST
            else:
                self.add_prices(answer.prices)

    def _look_below(self, options: IntArray, numbers: IntArray) -> _RelaxedFleet | None:
        """Return the relaxation's answer below a branch; a fleet that serves the same may be the best so far."""
        answer = self.relaxation.solve(options, numbers)
        if answer is not None:
            self.try_load(answer.share)
        return answer

    def _is_undecided(self, answer: _RelaxedFleet | None, claim: float) -> bool:
        """Return whether a fleet may yet cost less than is claimed: it was cheaper to leave something unserved than to serve it."""
        return answer is not None and answer.missing > ALMOST and answer.usd < self._get_floor_usd(claim)

    def _get_target_usd(self) -> float:
        """Return the cost that no fleet need be shown to be above: the best known less the gap, of what is paid for elsewhere too."""
        return self.usd - self.gap * (self.usd + self.paid)

    def _get_floor_usd(self, claim: float) -> float:
        """Return the cost from which nothing is looked at."""
        return min(claim, self._get_target_usd())

    def _find_open_options(self, least: float) -> tuple[IntArray, NDArray[np.bool_] | None]:
        """Return the options whose number is open, in the order to walk, and bool[P, N + 1], which numbers are; None where none are."""
        alive = np.arange(self.table.shape[2]) <= self.seen.most[:, None]
        table, constant = self.table[: self.prices], self.constant[: self.prices]
        bound, before = constant, -1
        while alive.sum() != before:
            before = alive.sum()
            lowest = np.where(alive, table, np.inf).min(axis=2)
            bound = constant + lowest.sum(axis=1)
            alive &= ((bound[:, None] - lowest)[:, :, None] + table < least).all(axis=0)
            if not alive.any(axis=1).all():
                return np.zeros(0, dtype=np.int64), None
        found = np.flatnonzero(alive.sum(axis=1) > 1)
        beyond = np.where(alive, table[0] - np.where(alive, table[0], np.inf).min(axis=1)[:, None], np.inf)
        likely = np.exp(-LIKELY * beyond / max(least - float(bound[0]), ALMOST)).sum(axis=1)
        return found[np.argsort(likely[found], kind="stable")], alive
