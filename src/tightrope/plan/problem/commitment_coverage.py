"""What a commitment pays for, hour by hour, on arrays: the sellers' order of application, the same as ``offers.bill`` charges.

In every hour the commitments of the lowest order come first. Within one order, pairs of a commitment and an option are taken by
their saving over on-demand, the highest first, the lowest rate first among equals, in fractions of a machine-hour, until either is
used up; commitments to whole machines go to the smallest sizes first (AWS Savings Plans user guide, "Understanding how Savings Plans
apply to your usage", and Amazon EC2 user guide, "How Reserved Instances are applied", 2026).

Letters of shapes: K commitments, P options, N hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.problem.arrays import CommitmentOption

TIE_DIGITS = 12
"""Savings that agree to so many digits of a share are equal."""


@dataclass(frozen=True, slots=True)
class ApplicationOrder:
    """Which commitment meets which option when: ``cover`` and ``option`` int64[pairs], ``usd_per_hour`` float64[pairs]."""

    cover: IntArray
    option: IntArray
    usd_per_hour: FloatArray


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is covered, and what is not."""

    used_usd_per_hour: dict[int, FloatArray]
    """Commitment made → what of it is used in every hour, float64[N], at its own rates."""
    left: FloatArray
    """float64[P, N]: machine-hours paid on demand."""

    def used_usd(self, weight: FloatArray, count: int) -> FloatArray:
        """Return what is used of each of ``count`` commitments, float64[K, S]; ``weight`` float64[N // S] weighs the hours of each S."""
        used = np.zeros((count, self.left.shape[1] // len(weight)))
        for k, usd_per_hour in self.used_usd_per_hour.items():
            used[k] = usd_per_hour.reshape(-1, len(weight)) @ weight
        return used


def order_applications(on_demand: FloatArray, covers: Sequence[CommitmentOption]) -> ApplicationOrder:
    """Return the pairs in the order in which they apply; ``on_demand`` float64[P] US dollars an hour.

    A pair that would cost as much as on demand, or more, is none: no seller charges more for having committed. The size of a machine
    is known by its on-demand rate, which grows with it within a family.
    """
    found = sorted(
        (_rank_pair(cover, float(on_demand[p]), float(cover.usd_per_hour[p])), int(p), k)
        for k, cover in enumerate(covers)
        for p in np.flatnonzero(cover.usd_per_hour < on_demand)
    )
    return ApplicationOrder(
        np.array([k for _, _, k in found], dtype=np.int64),
        np.array([p for _, p, _ in found], dtype=np.int64),
        np.array([covers[k].usd_per_hour[p] for _, p, k in found], dtype=np.float64),
    )


def _rank_pair(cover: CommitmentOption, on_demand: float, usd_per_hour: float) -> tuple[float, ...]:
    """Return what a pair is ordered by: order, size where whole machines are committed to, part of the on-demand rate paid, rate."""
    size = on_demand if cover.step_usd_per_hour > 0.0 else 0.0
    return (float(cover.order), size, round(usd_per_hour / on_demand, TIE_DIGITS), usd_per_hour)


def apply_commitments(hours: FloatArray, order: ApplicationOrder, amounts: FloatArray) -> Coverage:
    """Return what ``amounts`` (float64[K] US dollars an hour) cover of ``hours`` (float64[P, N] on-demand machine-hours)."""
    left = hours.copy()
    made = amounts > 0.0
    unspent = {int(k): np.full(hours.shape[1], amounts[k]) for k in np.flatnonzero(made)}
    used = np.zeros(hours.shape[1])
    for k, p, rate in zip(order.cover, order.option, order.usd_per_hour, strict=True):
        if made[k]:
            np.multiply(left[p], rate, out=used)
            np.minimum(unspent[k], used, out=used)
            unspent[k] -= used
            used /= rate
            left[p] -= used
            np.maximum(left[p], 0.0, out=left[p])
    return Coverage({k: amounts[k] - rest for k, rest in unspent.items()}, left)


def committed_bill_usd(
    hours: FloatArray, weight: FloatArray, on_demand: FloatArray, covers: Sequence[CommitmentOption], amounts: FloatArray
) -> tuple[float, FloatArray]:
    """Return the bill in US dollars, and the share of each commitment that is used, float64[K] (1 where nothing is committed).

    ``hours`` is float64[P, N], ``weight`` float64[N] weighs each hour, ``on_demand`` float64[P], ``amounts`` float64[K] US dollars
    an hour. What is committed is paid in every hour, used or not.
    """
    applied = apply_commitments(hours, order_applications(on_demand, covers), amounts)
    usd = float(amounts.sum() * weight.sum() + on_demand @ (applied.left @ weight))
    return usd, used_share(applied.used_usd(weight, len(covers))[:, 0], amounts * weight.sum())


def used_share(used_usd: FloatArray, paid_usd: FloatArray) -> FloatArray:
    """Return used over paid, 1 where nothing was paid, as nothing was wasted; of any one shape."""
    return np.minimum(1.0, np.divide(used_usd, paid_usd, out=np.ones_like(used_usd), where=paid_usd > 0.0))


def break_even_utilisation(on_demand: FloatArray, cover: CommitmentOption) -> FloatArray:
    """Return the share of its hours that a machine must run for the commitment to pay, float64[P]; inf where it is not covered.

    It is the commitment's rate over the on-demand rate: at a discount of 37 %, 63 % of the hours.
    """
    return cover.usd_per_hour / on_demand


def mean_break_even(spend_usd: FloatArray, on_demand: FloatArray, covers: Sequence[CommitmentOption]) -> FloatArray:
    """Return each commitment's break-even utilisation on what it covers, float64[K], weighted by what that costs on demand.

    ``spend_usd`` is float64[P]. Not a number where it covers nothing that costs anything.
    """
    found = np.full(len(covers), np.nan)
    for k, cover in enumerate(covers):
        usd = spend_usd[cover.covers]
        if usd.sum() > 0.0:
            found[k] = break_even_utilisation(on_demand, cover)[cover.covers] @ usd / usd.sum()
    return found
