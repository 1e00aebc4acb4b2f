"""The commitments that a plan may make, seen from its options: which cover what, at which rate, in which steps."""

from dataclasses import dataclass, field

import numpy as np

from tightrope.base.catalogue import ON_DEMAND
from tightrope.base.plan import OfferTerms, Refusal
from tightrope.base.records import FloatArray, Workload
from tightrope.base.registry import find_offer
from tightrope.base.units import MONTHS_PER_YEAR
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.arrays import CommitmentOption, PoolOption
from tightrope.plan.problem.demand_week import may_commit


@dataclass(slots=True)
class _Candidate:
    """One commitment while it is gathered: the terms of the options it covers."""

    first: OfferTerms
    rate: FloatArray
    may_grow: bool
    steps: list[float] = field(default_factory=list)


def find_covers(
    workload: Workload, book: PriceBook, options: tuple[PoolOption, ...]
) -> tuple[tuple[CommitmentOption, ...], tuple[Refusal, ...]]:
    """Return every commitment that the workload allows and its options may use, and those that exist; and what is left out, and why."""
    existing: dict[tuple[str, str, str], float] = {}
    for item in workload.purchase.existing:
        made = (item.cloud, item.offer, item.scope)
        existing[made] = existing.get(made, 0.0) + item.usd_per_hour
    allowed = _find_allowed(workload)
    refusals: dict[str, Refusal] = {}
    found: dict[tuple[str, str, str], _Candidate] = {}
    for name in dict.fromkeys([*allowed, *(offer for _, offer, _ in existing)]):
        for p, option in enumerate(options):
            terms = find_offer(name).terms(option.machine.name, option.region, book) if option.terms.offer == ON_DEMAND else None
            if not isinstance(terms, OfferTerms) or terms.usd_per_hour >= option.terms.usd_per_hour:
                continue
            key = (option.machine.cloud, name, terms.scope)
            too_long = MONTHS_PER_YEAR * terms.term_years > workload.future.months
            if name in allowed and too_long:
                refusals[name] = Refusal(
                    name, f"it binds for {terms.term_years} years, future.months looks {workload.future.months} ahead"
                )
            may_grow = name in allowed and not too_long
            if may_grow or key in existing:
                entry = found.setdefault(key, _Candidate(terms, np.full(len(options), np.inf), may_grow))
                entry.rate[p] = terms.usd_per_hour
                entry.steps.append(terms.step_usd_per_hour)
    covers = [
        CommitmentOption(
            *key, entry.first.order, entry.first.term_years, entry.rate, min(entry.steps), existing.get(key, 0.0), entry.may_grow
        )
        for key, entry in found.items()
    ]
    nothing = np.full(len(options), np.inf)
    covers += [
        CommitmentOption(*key, 0, 0, nothing, 0.0, usd, may_grow=False) for key, usd in existing.items() if key not in found
    ]
    beaten = [
        any(_is_better(covers[j], covers[i], first=j < i) for j in range(len(covers)) if j != i) for i in range(len(covers))
    ]
    kept = (cover for cover, behind in zip(covers, beaten, strict=True) if cover.existing_usd_per_hour or not behind)
    return tuple(kept), tuple(refusals.values())


def _find_allowed(workload: Workload) -> list[str]:
    """Return the commitments allowed: none on less than a week of traffic."""
    return [name for name in workload.purchase.offers if may_commit(workload) and find_offer(name).kind == "commitment"]


def _is_better(other: CommitmentOption, cover: CommitmentOption, *, first: bool) -> bool:
    """Return whether more of another commitment covers as much for no more and binds no longer; the first of equals stays."""
    same = (other.cloud, other.scope, other.order) == (cover.cloud, cover.scope, cover.order)
    if (
        not same
        or not other.may_grow
        or other.term_years > cover.term_years
        or not (other.usd_per_hour <= cover.usd_per_hour).all()
    ):
        return False
    return first or other.term_years < cover.term_years or not np.array_equal(other.usd_per_hour, cover.usd_per_hour)
