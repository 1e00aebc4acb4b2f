"""How much of each commitment is cheapest over all futures: a linear programme for the start, the exact bill for the rest."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import FloatArray
from tightrope.plan.commit.breakpoints import find_best_single_usd_per_hour
from tightrope.plan.commit.clusters import cluster_hours, means
from tightrope.plan.commit.linear_programme import SizingHours, solve_programme
from tightrope.plan.commit.outlook import Outlook, judge, merge_options, outcome_of
from tightrope.plan.problem.arrays import CommitmentOption
from tightrope.plan.problem.commitment_coverage import ApplicationOrder, apply_commitments, order_applications

COLUMNS = 12_000
"""About so many columns has the linear programme: more hours are clustered to fit."""
LEAST_CLUSTERS = 60
STRIDES = (0.1, 0.03, 0.01, 0.003, 0.001)
"""Steps of the descent, as shares of what a commitment could cover on average."""
SHRINK = tuple(0.8**power for power in range(20))
"""Shares of the programme's amounts, tried until they are used enough."""
PASSES = 12
"""Most passes at one step."""
WORTH_MAKING = 1e-4
"""A commitment is made where it saves more than this share of the bill: one more to look after is worth no less."""
WORTH = 1e-9
"""A step is taken where it lowers the bill by more than this share."""
ALMOST = 1e-9
"""A utilisation may miss its least by this, which is rounding."""


@dataclass(frozen=True, slots=True)
class CommitmentSizing:
    """How much to commit to, and how good that is."""

    usd_per_hour: FloatArray
    """float64[K]: totals, what exists included."""
    expected_usd_per_month: float
    """Mean of the bill over the futures, on demand included, by the exact order of application."""
    bound_usd_per_month: float
    """What no amounts of these commitments can cost less than."""


def find_cheapest_commitments(
    outlook: Outlook, covers: Sequence[CommitmentOption], min_utilisation: float = 0.0, may_grow: NDArray[np.bool_] | None = None
) -> CommitmentSizing:
    """Return the amounts with the lowest expected bill found.

    One commitment alone is exact. Several start from a linear programme on clustered hours and descend on the exact bill of all
    hours, one commitment or one exchange of two at a time. What exists already is never undone; the rest is in whole steps. With
    ``min_utilisation`` (a share) each commitment that is added to is used at least so much, in every future. ``may_grow`` bool[K]
    names those that may be added to; all where left out.
    """
    may_grow = np.ones(len(covers), dtype=np.bool_) if may_grow is None else may_grow
    merged, rates = merge_options(outlook, covers)
    least = np.array([cover.existing_usd_per_hour for cover in covers])
    if not may_grow.any() or not len(order_applications(merged.on_demand_usd_per_hour, rates).cover):
        usd = judge(outlook, covers, least).expected_usd_per_month
        return CommitmentSizing(least, usd, usd)
    if len(covers) == 1 and min_utilisation == 0.0:
        best = find_best_single_usd_per_hour(merged.flat_hours, merged.flat_weight, merged.on_demand_usd_per_hour, rates[0])
        usd = judge(outlook, covers, np.array([best])).expected_usd_per_month
        return CommitmentSizing(np.array([best]), usd, usd)
    amounts, bound = _search(merged, rates, min_utilisation, may_grow)
    elsewhere = outlook.hours_per_month * outlook.weight[:, None]
    paid_apart = float(outlook.on_demand_usd_per_hour @ np.einsum("spt,st->p", outlook.hours, elsewhere))
    paid_apart -= float(merged.on_demand_usd_per_hour @ np.einsum("spt,st->p", merged.hours, elsewhere))
    return CommitmentSizing(amounts, judge(outlook, covers, amounts).expected_usd_per_month, bound + paid_apart)


def _search(
    outlook: Outlook, covers: Sequence[CommitmentOption], min_utilisation: float, may_grow: NDArray[np.bool_]
) -> tuple[FloatArray, float]:
    """Return the best amounts found, float64[K], and the bound."""
    existing = np.array([cover.existing_usd_per_hour for cover in covers])
    steps = np.array([cover.step_usd_per_hour for cover in covers])
    few, worth_it = _cluster_outlook(outlook, covers), find_undominated(covers, may_grow)
    start, bound = solve_programme(few, covers, worth_it, 0.0)
    starts = [start]
    if min_utilisation > 0.0:  # one that is dominated may still be the one that is used enough
        starts.append(solve_programme(few, covers, worth_it, min_utilisation)[0])
        bound = max(bound, solve_programme(few, covers, may_grow, min_utilisation)[1])
    price = _Price(outlook, covers, min_utilisation)
    active = np.flatnonzero(worth_it & (price.reach > 0.0))
    found = []
    for start in starts:
        smaller = (_round_to_steps(existing + share * (start - existing), existing, steps) for share in SHRINK)
        allowed = next((amounts for amounts in smaller if np.isfinite(price(amounts))), existing)
        found.append(_descend(price, allowed, existing, steps, active))
    return _drop_dust(price, min(found, key=price), existing), bound


def _cluster_outlook(outlook: Outlook, covers: Sequence[CommitmentOption]) -> SizingHours:
    """Return the outlook's hours, clustered so that the programme stays small."""
    order = order_applications(outlook.on_demand_usd_per_hour, covers)
    count = max(LEAST_CLUSTERS, COLUMNS // max(1, len(order.cover)), len(outlook.weight))
    hours, weight, scenario = outlook.flat_hours, outlook.flat_weight, outlook.scenario
    kept = weight > 0.0
    hours, weight, scenario = hours[:, kept], weight[kept], scenario[kept]
    label = cluster_hours(hours * outlook.on_demand_usd_per_hour[:, None], weight, scenario, count)
    mean, mass = means(hours, weight, label)
    of = np.zeros(len(mass), dtype=np.int64)
    of[label] = scenario
    return SizingHours(mean, mass, of, outlook.on_demand_usd_per_hour)


def find_undominated(covers: Sequence[CommitmentOption], may_grow: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of those that may grow can be worth it, bool[K].

    One is not where another covers all that it covers, at lower rates (or the same for no longer), in no larger steps. All are for
    as long as the outlook, so that a shorter term is worth nothing by itself.
    """
    kept = may_grow.copy()
    for k, cover in enumerate(covers):
        kept[k] &= not any(kept[j] and j != k and _dominates(other, cover) for j, other in enumerate(covers))
    return kept


def _dominates(other: CommitmentOption, cover: CommitmentOption) -> bool:
    """Return whether ``other`` can stand for ``cover`` whatever the usage."""
    if np.any(other.usd_per_hour > cover.usd_per_hour) or other.step_usd_per_hour > cover.step_usd_per_hour:
        return False
    return other.term_years <= cover.term_years or bool(np.any(other.usd_per_hour < cover.usd_per_hour))


def _round_to_steps(amounts: FloatArray, existing: FloatArray, steps: FloatArray) -> FloatArray:
    """Return the amounts with what is added to ``existing`` rounded to whole steps, all float64[K]."""
    more = np.maximum(amounts - existing, 0.0)
    whole = np.round(np.divide(more, steps, out=np.zeros_like(more), where=steps > 0.0)) * steps
    return existing + np.where(steps > 0.0, whole, more)


class _Price:
    """The exact expected bill of amounts, infinite where a commitment that is added to is used too little in some future."""

    def __init__(self, outlook: Outlook, covers: Sequence[CommitmentOption], min_utilisation: float) -> None:
        """Lay out once what every bill needs."""
        self.outlook, self.covers, self.least = outlook, covers, min_utilisation
        self.hours, self.weight = outlook.flat_hours, outlook.flat_weight
        self.order: ApplicationOrder = order_applications(outlook.on_demand_usd_per_hour, covers)
        self.existing = np.array([cover.existing_usd_per_hour for cover in covers])
        mean = self.hours @ self.weight / self.weight.sum()
        rates = np.stack([np.where(cover.covers, cover.usd_per_hour, 0.0) for cover in covers])
        self.reach = rates @ mean
        """float64[K]: US dollars an hour that each could cover on average."""

    def __call__(self, amounts: FloatArray) -> float:
        """Return US dollars a month."""
        applied = apply_commitments(self.hours, self.order, amounts)
        if self.least > 0.0:
            worst = outcome_of(self.outlook, applied, amounts).worst_utilisation
            if np.any((worst < self.least - ALMOST) & (amounts > self.existing)):
                return float("inf")
        return float(amounts.sum() * self.weight.sum() + self.outlook.on_demand_usd_per_hour @ (applied.left @ self.weight))

    def shares_options(self, one: int, other: int) -> bool:
        """Return whether two commitments can cover the same usage."""
        return bool(np.any(self.covers[one].covers & self.covers[other].covers))


def _descend(price: _Price, start: FloatArray, existing: FloatArray, steps: FloatArray, active: NDArray[np.int64]) -> FloatArray:
    """Return amounts that no step and no exchange of two commitments makes cheaper, at the finest stride."""
    best, best_usd = start, price(start)
    directions = _list_directions(price, active, np.flatnonzero(start > existing))
    for stride in STRIDES:
        for _ in range(PASSES):
            before = best_usd
            for direction in directions:
                best, best_usd = _follow(
                    price, best, best_usd, _scale_direction(direction, stride * price.reach, steps), existing
                )
            if best_usd >= before * (1.0 - WORTH):
                break
    return best


def _drop_dust(price: _Price, amounts: FloatArray, existing: FloatArray) -> FloatArray:
    """Return the amounts without what hardly saves anything, the smallest first."""
    most_usd = price(amounts) * (1.0 + WORTH_MAKING)
    for k in np.argsort(amounts - existing, kind="stable"):
        trial = np.where(np.arange(len(amounts)) == k, existing, amounts)
        if amounts[k] > existing[k] and price(trial) <= most_usd:
            amounts = trial
    return amounts


def _list_directions(price: _Price, active: NDArray[np.int64], chosen: NDArray[np.int64]) -> list[FloatArray]:
    """Return ways to change the amounts, each float64[K] of -1, 0, 1: one commitment up or down, or in exchange for a chosen one.

    Only those that can cover the same usage are worth an exchange.
    """
    unit = np.eye(len(price.covers))
    pairs = [(k, j) for k, j in itertools.product(active, chosen) if k != j and price.shares_options(k, j)]
    return [sign * unit[k] for k in active for sign in (1.0, -1.0)] + [unit[k] - unit[j] for k, j in pairs]


def _scale_direction(direction: FloatArray, stride: FloatArray, steps: FloatArray) -> FloatArray:
    """Return a direction as US dollars an hour: the smaller stride of those that move, in whole steps, one at least."""
    moving = direction != 0.0
    size = np.full(len(direction), float(stride[moving].min()))
    whole = np.maximum(1.0, np.round(np.divide(size, steps, out=np.ones_like(size), where=steps > 0.0))) * steps
    return direction * np.where(steps > 0.0, whole, size)


def _follow(
    price: Callable[[FloatArray], float], best: FloatArray, best_usd: float, step: FloatArray, existing: FloatArray
) -> tuple[FloatArray, float]:
    """Return the amounts and bill after going along ``step`` for as long as that pays."""
    for _ in range(PASSES):
        trial = np.maximum(best + step, existing)
        if np.array_equal(trial, best):
            return best, best_usd
        usd = price(trial)
        if usd >= best_usd * (1.0 - WORTH):
            return best, best_usd
        best, best_usd = trial, usd
    return best, best_usd
