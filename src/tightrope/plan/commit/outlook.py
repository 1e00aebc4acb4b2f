"""What usage may be: machine-hours of several futures with their weights, and what each way of paying for them costs in each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.problem.arrays import CommitmentOption
from tightrope.plan.problem.commitment_coverage import Coverage, apply_commitments, order_applications, used_share


@dataclass(frozen=True, slots=True)
class Outlook:
    """Machine-hours that may be charged on demand, in S futures, of P options, in T hours."""

    hours: FloatArray
    """float64[S, P, T]."""
    weight: FloatArray
    """float64[S]: how likely each future is; 1 in all."""
    hours_per_month: FloatArray
    """float64[T]: what each hour stands for, so that sums are US dollars a month."""
    on_demand_usd_per_hour: FloatArray
    """float64[P]."""

    @property
    def flat_hours(self) -> FloatArray:
        """Return the hours of all futures one after the other, float64[P, S·T]."""
        scenarios, options, hours = self.hours.shape
        return np.ascontiguousarray(self.hours.transpose(1, 0, 2)).reshape(options, scenarios * hours)

    @property
    def flat_weight(self) -> FloatArray:
        """Return what each of those hours weighs, float64[S·T]."""
        return np.outer(self.weight, self.hours_per_month).ravel()

    @property
    def scenario(self) -> IntArray:
        """Return which future each of those hours is of, int64[S·T]."""
        return np.repeat(np.arange(len(self.weight)), len(self.hours_per_month))


@dataclass(frozen=True, slots=True)
class CommitmentOutcome:
    """What ``amounts`` lead to, in each future."""

    usd_per_month: FloatArray
    """float64[S]."""
    utilisation: FloatArray
    """float64[S, K]: share of each commitment that is used; 1 where nothing is committed."""
    weight: FloatArray
    """float64[S]."""

    @property
    def expected_usd_per_month(self) -> float:
        """Return the mean over the futures."""
        return float(self.weight @ self.usd_per_month)

    @property
    def worst_utilisation(self) -> FloatArray:
        """Return each commitment's utilisation in its worst future, float64[K]."""
        return self.utilisation.min(axis=0)


def judge(outlook: Outlook, covers: Sequence[CommitmentOption], amounts: FloatArray) -> CommitmentOutcome:
    """Return what ``amounts`` (float64[K] US dollars an hour, what exists included) cost and how they are used, future by future."""
    order = order_applications(outlook.on_demand_usd_per_hour, covers)
    return outcome_of(outlook, apply_commitments(outlook.flat_hours, order, amounts), amounts)


def outcome_of(outlook: Outlook, applied: Coverage, amounts: FloatArray) -> CommitmentOutcome:
    """Return the sums of what was applied to an outlook's flat hours."""
    scenarios, per_month = len(outlook.weight), outlook.hours_per_month
    left = applied.left.reshape(-1, scenarios, len(per_month)) @ per_month
    used = applied.used_usd(per_month, len(amounts))
    usd = amounts.sum() * per_month.sum() + outlook.on_demand_usd_per_hour @ left
    paid = np.broadcast_to(amounts * per_month.sum(), (scenarios, len(amounts)))
    return CommitmentOutcome(usd, used_share(used.T, paid), outlook.weight)


def merge_options(outlook: Outlook, covers: Sequence[CommitmentOption]) -> tuple[Outlook, tuple[CommitmentOption, ...]]:
    """Return both with options of the same rates counted as one, and those that nothing covers or nobody uses left out.

    The bill of what is left out does not depend on any commitment; it is the caller's to add.
    """
    columns = np.stack([outlook.on_demand_usd_per_hour, *(cover.usd_per_hour for cover in covers)])
    kept = np.isfinite(columns[1:]).any(axis=0) & (outlook.hours > 0.0).any(axis=(0, 2))
    alike, group = np.unique(columns[:, kept], axis=1, return_inverse=True)
    hours = np.zeros((outlook.hours.shape[0], alike.shape[1], outlook.hours.shape[2]))
    for p, merged in zip(np.flatnonzero(kept), group.reshape(-1), strict=True):
        hours[:, merged] += outlook.hours[:, p]
    fewer = Outlook(hours, outlook.weight, outlook.hours_per_month, alike[0])
    return fewer, tuple(replace(cover, usd_per_hour=alike[1 + k]) for k, cover in enumerate(covers))
