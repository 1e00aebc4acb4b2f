"""The constraint families: one function each, under one name that documentation, duals and infeasibility reports share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import FloatArray, IntArray
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.solve.linear_model import INFINITY, LinearModel


@dataclass(frozen=True, slots=True)
class ConstraintFamily:
    """What a family says, in a formula and in words, and which field of the workload loosens it."""

    name: str
    formula: str
    meaning: str
    fix: str


FAMILIES: dict[str, ConstraintFamily] = {
    family.name: family
    for family in (
        ConstraintFamily(
            "demand",
            "sum_p f[c,p,t] = 1",
            "every request of every class is answered by some pool",
            "traffic.<class>.slo or models",
        ),
        ConstraintFamily(
            "capacity",
            "sum_c f[c,p,t] * rate[c,t] / mu[c,p,t] + sum_w g[w,p,t] * work[w] / (3600 * work_per_s[p]) <= n[p,t]",
            "no machine carries more than it sustains within the promises",
            "where.families",
        ),
        ConstraintFamily(
            "routing-share",
            "sum_{p of v} f[c,p,t] <= share_cap[c,v]",
            "a variant answers at most the share of a class that it is able to",
            "models.<model>.variants.<variant>.serves",
        ),
        ConstraintFamily(
            "quality-floor",
            "sum_p f[c,p,t] * quality[p] >= quality_floor[c]",
            "the mean quality of a class's answers stays above its floor",
            "traffic.<class>.quality_floor",
        ),
        ConstraintFamily(
            "spot-share",
            "sum_{p spot} f[c,p,t] <= max_spot_share",
            "at most this share of an interactive class rests on machines that may be taken away",
            "purchase.max_spot_share",
        ),
        ConstraintFamily(
            "spot-zone-loss",
            "spot_zone_loss_share * sum_c f[c,p,t] * rate[c,t] / mu[c,p,t] <= n[p,t] - lost[p,t], lost >= n / zones",
            "a spot pool that loses its largest zone still carries this share of its interactive load",
            "purchase.spot_zone_loss_share",
        ),
        ConstraintFamily(
            "zone-loss",
            "zone_loss_share * sum_c f[c,p,t] * rate[c,t] / mu[c,p,t] <= n[p,t] - lost[p,t], lost >= n / zones",
            "a pool that loses its largest zone still carries this share of its interactive load",
            "purchase.zone_loss_share",
        ),
        ConstraintFamily(
            "n-plus-one",
            "n_plus_one_share * sum_c f[c,p,t] * rate[c,t] / mu[c,p,t] <= n[p,t] - runs[p,t], f[c,p,t] <= runs[p,t]",
            "a pool that loses one machine still carries this share of its interactive load",
            "purchase.n_plus_one_share",
        ),
        ConstraintFamily(
            "quota", "sum_{p in q} n[p,t] <= machines[q]", "no more machines than the account may run", "where.quotas"
        ),
        ConstraintFamily(
            "commitment",
            "sum_p cover_rate[k,p] * covered[k,p,t] <= commitment[k], sum_k covered[k,p,t] <= n[p,t]",
            "a commitment covers fractions of on-demand machine-hours of its scope, up to what is committed each hour",
            "purchase.offers",
        ),
        ConstraintFamily(
            "deadline",
            "sum_{t in window, p} g[w,p,t] = 1",
            "deferrable work is done between its release and its deadline",
            "traffic.<class>.nightly",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class BlockColumns:
    """The columns of one block: machines int64[P], lost machines int64[zoned options], shares int64[C, P], work int64[D, P].

    ``zoned`` are the options that ``lost`` belongs to, int64[zoned options]; ``runs`` int64[P] is 1 where a pool carries anything,
    empty where no machine need be spare; ``covered`` int64[pairs] follows ``cover_pairs``; ``work`` rows exist for the windows that
    are open in the block, ``open_windows`` are their indices.
    """

    machines: IntArray
    zoned: IntArray
    lost: IntArray
    runs: IntArray
    covered: IntArray
    share: IntArray
    work: IntArray
    open_windows: tuple[int, ...]


def cover_pairs(problem: Problem) -> tuple[IntArray, IntArray]:
    """Return which commitment may cover which option, as pairs of indices: int64[pairs] of commitments and of options."""
    k, p = np.nonzero(np.isfinite(problem.cover_rates))
    return k, p


def add_block(
    model: LinearModel,
    problem: Problem,
    block: int,
    hours: float,
    *,
    deferrable: bool,
    covers: bool = True,
    usd_per_hour: FloatArray | None = None,
) -> BlockColumns:
    """Add the columns and every family's rows of one block, its costs times ``hours``.

    What a commitment covers costs nothing but its disk here; ``covers`` False leaves commitments out. ``usd_per_hour`` (float64[P])
    stands in for the problem's own. Deferrable work joins where ``deferrable``.
    """
    count = len(problem.options)
    rate, pairs = problem.usd_per_hour if usd_per_hour is None else usd_per_hour, cover_pairs(problem)[1]
    zoned = np.flatnonzero(problem.zone_share > 0.0)
    spare = count if problem.n_plus_one_share > 0.0 else 0
    per_request = hours * SECONDS_PER_HOUR * problem.mean_rate[:, block, None] * problem.usd_per_request
    openings = tuple(w for w, window in enumerate(problem.windows) if block in window.blocks) if deferrable else ()
    columns = BlockColumns(
        machines=model.add_columns(hours * rate, np.where(problem.metered, 0.0, INFINITY), integer=True),
        zoned=zoned,
        lost=model.add_columns(np.zeros(len(zoned)), integer=True),
        runs=model.add_columns(np.zeros(spare), 1.0, integer=True),
        covered=model.add_columns(hours * (problem.disk_usd_per_hour - rate)[pairs] if covers else np.zeros(0)),
        share=_add_rows_of_columns(model, per_request, problem.mu[:, :, block] > 0.0),
        work=_add_rows_of_columns(
            model,
            np.array([hours * _work_usd(problem, w) for w in openings]).reshape(-1, count),
            np.array([_may_work(problem, w) for w in openings], dtype=bool).reshape(-1, count),
        ),
        open_windows=openings,
    )
    for add_family in BLOCK_FAMILIES:
        add_family(model, problem, block, columns)
    return columns


def _add_rows_of_columns(model: LinearModel, cost: FloatArray, allowed: NDArray[np.bool_]) -> IntArray:
    """Add columns from 0 to 1, to 0 where not ``allowed``; both and the indices returned are [rows, P]."""
    return model.add_columns(cost.ravel(), allowed.astype(np.float64).ravel()).reshape(cost.shape)


def _may_work(problem: Problem, window: int) -> NDArray[np.bool_]:
    """Return whether the option can do the window's work, bool[P]."""
    return problem.work_per_s[problem.windows[window].traffic_class] > 0.0


def _work_usd(problem: Problem, window: int) -> FloatArray:
    """Return what all of a window's work costs beside machine-hours, float64[P] US dollars."""
    opened = problem.windows[window]
    return opened.requests * problem.usd_per_work[opened.traffic_class]


def _load(problem: Problem, block: int) -> FloatArray:
    """Return the machines a whole class would keep busy on each option, float64[C, P]; 0 where it may not be served there."""
    mu = problem.mu[:, :, block]
    return np.divide(problem.rate[:, block][:, None], mu, out=np.zeros_like(mu), where=mu > 0.0)


def work_hours(problem: Problem, window: int) -> FloatArray:
    """Return the machine-hours that all of a window's work takes on each option, float64[P]; 0 where it cannot."""
    opened = problem.windows[window]
    per_hour = SECONDS_PER_HOUR * problem.work_per_s[opened.traffic_class]
    return np.divide(opened.requests, per_hour, out=np.zeros_like(per_hour), where=per_hour > 0.0)


def demand(model: LinearModel, problem: Problem, block: int, columns: BlockColumns) -> None:
    """Every request of every class with any demand is answered."""
    for c in range(len(problem.interactive)):
        if problem.rate[c, block] > 0.0:
            model.add_row("demand", columns.share[c], np.ones(len(problem.options)), 1.0, 1.0)


def capacity(model: LinearModel, problem: Problem, block: int, columns: BlockColumns) -> None:
    """No machine carries more than it sustains."""
    load = _load(problem, block)
    work = [work_hours(problem, w) for w in columns.open_windows]
    for p in np.flatnonzero(~problem.metered):
        indices = np.concatenate([columns.share[:, p], columns.work[:, p], columns.machines[p : p + 1]])
        values = np.concatenate([load[:, p], [hours[p] for hours in work], [-1.0]])
        model.add_row("capacity", indices, values, -INFINITY, 0.0)


def routing_share(model: LinearModel, problem: Problem, block: int, columns: BlockColumns) -> None:
    """Cap what a variant answers at the share of a class that it is able to."""
    for c in range(len(problem.interactive)):
        for v in np.flatnonzero(problem.share_cap[c] < 1.0):
            mask = (problem.variant_of == v).astype(np.float64)
            if mask.any():
                model.add_row("routing-share", columns.share[c], mask, -INFINITY, problem.share_cap[c, v])


def quality_floor(model: LinearModel, problem: Problem, block: int, columns: BlockColumns) -> None:
    """Keep the mean quality of a class's answers above its floor."""
    quality = problem.quality[problem.variant_of]
    for c in range(len(problem.interactive)):
        if problem.rate[c, block] > 0.0 and quality.min(initial=np.inf) < problem.quality_floor[c]:
            model.add_row("quality-floor", columns.share[c], quality, problem.quality_floor[c], INFINITY)


def spot_share(model: LinearModel, problem: Problem, block: int, columns: BlockColumns) -> None:
    """At most this share of an interactive class rests on machines that may be taken away."""
    if problem.interruptible.any() and problem.max_spot_share < 1.0:
        for c in range(len(problem.interactive)):
            model.add_row("spot-share", columns.share[c], problem.interruptible.astype(float), -INFINITY, problem.max_spot_share)


def spot_zone_loss(model: LinearModel, problem: Problem, block: int, columns: BlockColumns) -> None:
    """Make a spot pool that loses its largest zone carry its share of the interactive load still."""
    if problem.spot_zone_loss_share > problem.zone_loss_share:
        _without_zone(model, problem, block, columns, "spot-zone-loss", problem.interruptible)


def zone_loss(model: LinearModel, problem: Problem, block: int, columns: BlockColumns) -> None:
    """Make every other pool, and spot where no more is asked of it, carry its share without its largest zone."""
    more = problem.interruptible & (problem.spot_zone_loss_share > problem.zone_loss_share)
    _without_zone(model, problem, block, columns, "zone-loss", ~more)


def _without_zone(
    model: LinearModel, problem: Problem, block: int, columns: BlockColumns, family: str, mine: NDArray[np.bool_]
) -> None:
    """Add the rows of the options in ``mine`` (bool[P]): machines stand evenly, so the largest zone has a part of them rounded up."""
    if not len(problem.interactive):
        return
    load = problem.zone_share * _load(problem, block)
    for p, lost in zip(columns.zoned, columns.lost, strict=True):
        if not mine[p]:
            continue
        pair = np.array([columns.machines[p], lost])
        model.add_row(family, pair, np.array([-1.0 / max(problem.zones[p], 1), 1.0]), 0.0, INFINITY)
        indices = np.concatenate([columns.share[:, p], pair])
        model.add_row(family, indices, np.concatenate([load[:, p], [-1.0, 1.0]]), -INFINITY, 0.0)


def n_plus_one(model: LinearModel, problem: Problem, block: int, columns: BlockColumns) -> None:
    """Make a pool that loses one machine carry its share of the interactive load still."""
    if not len(columns.runs):
        return
    load = problem.n_plus_one_share * _load(problem, block)
    for p in np.flatnonzero(~problem.metered & (load > 0.0).any(axis=0)):
        runs, machines = columns.runs[p], columns.machines[p]
        for c in np.flatnonzero(load[:, p] > 0.0):
            model.add_row("n-plus-one", np.array([columns.share[c, p], runs]), np.array([1.0, -1.0]), -INFINITY, 0.0)
        indices = np.concatenate([columns.share[:, p], [machines, runs]])
        model.add_row("n-plus-one", indices, np.concatenate([load[:, p], [-1.0, 1.0]]), -INFINITY, 0.0)


def quota(model: LinearModel, problem: Problem, block: int, columns: BlockColumns) -> None:
    """No more machines than the account may run."""
    for limit in problem.quotas:
        if limit.mask.any():
            model.add_row("quota", columns.machines, limit.mask.astype(np.float64), -INFINITY, float(limit.machines))


def covered(model: LinearModel, problem: Problem, block: int, columns: BlockColumns) -> None:
    """Let commitments cover no more machine-hours than there are (``add_commitments`` caps the spend)."""
    options = cover_pairs(problem)[1][: len(columns.covered)]
    for p in np.unique(options):
        mine = columns.covered[options == p]
        least = 0.0 if problem.only_covered[p] else -INFINITY
        model.add_row("commitment", np.append(mine, columns.machines[p]), np.append(np.ones(len(mine)), -1.0), least, 0.0)


def add_commitments(model: LinearModel, problem: Problem, columns: BlockColumns, committed: IntArray | FloatArray) -> list[int]:
    """Cap what a block covers by each commitment in US dollars an hour; return the rows' indices.

    ``committed`` is float64[K], fixed amounts, or int64[K], columns shared by all blocks that are made beside what exists.
    """
    of, options = cover_pairs(problem)
    rates = problem.cover_rates
    rows: list[int] = []
    for k, amount in enumerate(committed):
        indices, values = columns.covered[of == k], rates[k, options[of == k]]
        most = float(amount)
        if isinstance(amount, np.integer):
            indices, values = np.append(indices, amount), np.append(values, -1.0)
            most = problem.covers[k].existing_usd_per_hour
        rows.append(model.add_row("commitment", indices, values, -INFINITY, most))
    return rows


def add_deadline(model: LinearModel, problem: Problem, window: int, blocks: dict[int, BlockColumns]) -> int:
    """All of a window's work is done in its blocks."""
    parts = [
        blocks[b].work[blocks[b].open_windows.index(window)] for b in np.unique(problem.windows[window].blocks) if b in blocks
    ]
    indices = np.concatenate(parts)
    return model.add_row("deadline", indices, np.ones(len(indices)), 1.0, 1.0)


BLOCK_FAMILIES: tuple[Callable[[LinearModel, Problem, int, BlockColumns], None], ...] = (
    demand,
    capacity,
    routing_share,
    quality_floor,
    spot_share,
    spot_zone_loss,
    zone_loss,
    n_plus_one,
    quota,
    covered,
)
