"""Options that no cheapest plan needs: others do as much for no more. Leaving them out changes no optimum, and saves the solver most.

``copies[i, j]`` of option j do whatever one of option i may be asked for. Option j takes the place of i where so many copies cost no
more; of two that cost the same, the first stays. Costs times copies form an order, so what is left out never leans on itself.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tightrope.base.plan import Refusal
from tightrope.base.records import FloatArray, IntArray
from tightrope.plan.problem.arrays import CommitmentOption, Problem, restrict
from tightrope.plan.problem.sustained_use import alike, least_usd_per_hour

EQUAL_USD = 1e-9


def count_copies_needed(problem: Problem) -> FloatArray:
    """Return how many machines of option j (columns) do all that one of i (rows) does, float64[P, P]; inf where none do."""
    count = len(problem.options)
    needed = np.where(_may_replace(problem), 1.0, np.inf)
    for mine in (*problem.mu, *problem.work_per_s):
        rate = mine.reshape(count, -1)
        ratio = np.zeros((count, count))
        for column in np.unique(rate, axis=1).T:
            found = np.divide(column[:, None], column[None, :], out=np.full((count, count), np.inf), where=column[None, :] > 0.0)
            ratio = np.maximum(ratio, np.where(column[:, None] > 0.0, found, 0.0))
        needed = np.maximum(needed, np.ceil(ratio - 1e-9))
    enough = _is_enough_alone(problem)
    return np.where(np.isfinite(needed) & enough[None, :], 1.0, needed)


def _is_enough_alone(problem: Problem) -> NDArray[np.bool_]:
    """Return which options carry all that they may ever be asked for with one machine, bool[P]: a larger one is of no more use."""
    load = problem.load(problem.rate)
    whole = (load * problem.share_cap[:, problem.variant_of, None]).sum(axis=0).max(axis=1, initial=0.0)
    works = (problem.work_per_s > 0.0).any(axis=0) if len(problem.windows) else np.zeros(len(problem.options), dtype=bool)
    return (whole <= 1.0) & ~works & ~problem.interruptible


def _may_replace(problem: Problem) -> NDArray[np.bool_]:
    """Return whether option j may answer in the place of i, beside its own share, bool[P, P]."""
    of, spot = problem.variant_of, problem.interruptible
    caps, quality = problem.share_cap[:, of], problem.quality[of]
    serves: NDArray[np.bool_] = np.any(problem.mu > 0.0, axis=2)
    floor_binds = problem.quality_floor > quality.min(initial=np.inf)
    free = np.ones((len(of), len(of)), dtype=bool)
    for c in range(len(serves)):
        fine = (caps[c] >= 1.0)[None, :] & ((quality[None, :] >= quality[:, None]) | (not floor_binds[c]))
        free &= ~serves[c][:, None] | fine
    zones_fit = (problem.zones[None, :] >= problem.zones[:, None]) | (problem.zone_share == 0.0)[None, :]
    spot_fits = (~spot[None, :] | spot[:, None]) & zones_fit
    limits = [quota.mask for quota in problem.quotas]
    within = np.ones_like(free)
    for mask in limits:
        within &= ~mask[None, :] | mask[:, None]
    plain = ~problem.metered & ~problem.only_covered
    return (free | (of[:, None] == of[None, :])) & spot_fits & within & plain[:, None] & plain[None, :]


def _costs_more_per_request(problem: Problem) -> NDArray[np.bool_]:
    """Return whether option j costs more than i for any request, machines apart, bool[P, P]."""
    dearer = np.zeros((len(problem.options),) * 2, dtype=bool)
    for usd in (*problem.usd_per_request, *problem.usd_per_work):
        dearer |= usd[None, :] > usd[:, None]
    return dearer


def find_needless(problem: Problem, usd_per_hour: FloatArray, copies: FloatArray) -> IntArray:
    """Return for each option a place of one that takes its place at these rates (float64[P], nothing covered), -1 where none does.

    ``copies`` is float64[P, P], of ``count_copies_needed``.
    """
    count = len(usd_per_hour)
    limited = np.any([quota.mask for quota in problem.quotas], axis=0) if problem.quotas else np.zeros(count, dtype=bool)
    copies = np.where(limited[None, :] & (copies > 1.0), np.inf, copies)
    price = np.where(np.isfinite(copies), np.where(np.isfinite(copies), copies, 0.0) * usd_per_hour[None, :], np.inf)
    first = np.arange(count)[None, :] < np.arange(count)[:, None]
    cheaper = price < usd_per_hour[:, None] - EQUAL_USD
    equal = (price <= usd_per_hour[:, None] + EQUAL_USD) & first & (copies == 1.0)
    better = np.isfinite(copies) & (cheaper | equal) & ~_costs_more_per_request(problem) & ~np.eye(count, dtype=bool)
    return np.where(better.any(axis=1), better.argmax(axis=1), -1)


def drop_dominated(problem: Problem) -> Problem:
    """Return the problem without what is never needed whatever is committed to; what was dropped joins the refusals."""
    copies = count_copies_needed(problem)
    copies = np.where(_is_covered_alike(problem, copies) & _is_cheaper_under_any_discount(problem, copies), copies, np.inf)
    by = find_needless(problem, problem.usd_per_hour, copies)
    if (by < 0).all():
        return problem
    labels = [option.label for option in problem.options]
    said = tuple(Refusal(labels[i], f"{labels[j]} serves as much for no more") for i, j in enumerate(by) if j >= 0)
    return replace(restrict(problem, by < 0), refusals=problem.refusals + said)


def _is_cheaper_under_any_discount(problem: Problem, copies: FloatArray) -> NDArray[np.bool_]:
    """Return whether the copies of j cost no more than i even where all that may comes off i, or where both count together."""
    group, known = alike(problem), np.where(np.isfinite(copies), copies, 0.0)
    together = group[:, None] == group[None, :]
    return together | (known * problem.usd_per_hour[None, :] <= least_usd_per_hour(problem)[:, None] + EQUAL_USD)


def _is_covered_alike(problem: Problem, copies: FloatArray) -> NDArray[np.bool_]:
    """Return whether what is committed for option i may go to j, at no more for the copies it takes, bool[P, P].

    Either the commitment covers both; or it is of a kind that j's machines have as well, and everything that it covers is cheaper on
    those: then the whole of it goes over, since hours that share a commitment cannot be parted.
    """
    known = np.where(np.isfinite(copies), copies, 0.0)
    no_dearer = np.isfinite(copies) & (known * problem.usd_per_hour[None, :] < problem.usd_per_hour[:, None] - EQUAL_USD)
    alike = np.ones_like(no_dearer)
    own: list[CommitmentOption] = []
    for cover in problem.covers:
        if cover.covers.any():
            fine = _is_covered_as_cheaply(cover, cover, known)
            alone = (
                len({problem.options[p].machine.name for p in np.flatnonzero(cover.covers)}) == 1
                and not cover.existing_usd_per_hour
            )
            own += [cover] if alone else []
            alike &= fine | (alone & cover.covers[:, None])
    for mine in own:
        good = ~mine.covers[:, None] | _is_covered_as_cheaply(mine, mine, known)
        for other in own:
            if other is not mine and other.offer == mine.offer:
                pairs = _is_covered_as_cheaply(mine, other, known) & no_dearer & alike & other.covers[None, :]
                if np.any(pairs[mine.covers], axis=1).all():
                    good |= pairs
        alike &= good
    return alike


def _is_covered_as_cheaply(mine: CommitmentOption, other: CommitmentOption, copies: FloatArray) -> NDArray[np.bool_]:
    """Return whether the copies of j covered by ``other`` take no more than one i covered by ``mine``; true where i is not covered."""
    rate, rival = (np.where(cover.covers, cover.usd_per_hour, 0.0) for cover in (mine, other))
    return ~mine.covers[:, None] | (other.covers[None, :] & (copies * rival[None, :] <= rate[:, None] + EQUAL_USD))
