"""What a fleet's answers moved, charged: the same prices and rules for the plan's own replay and for one of its file.

Comes in: outcomes, and who asks from where. Goes out: the lines of what moved, for the stretch and at the scale of a month; volumes are
those of a month like the stretch, since sellers count an account's month.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.places import Infrastructure, WherePolicy
from tightrope.base.plan import BillLine, Plan, ServedClass
from tightrope.base.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.cost_lines import FIXED_DRIVERS
from tightrope.plan.problem.network import Around, NetworkTerms, Place, Served
from tightrope.replay.records import ANSWERED, CACHED, Outcome

KEPT_DRIVERS = frozenset({"storage", "cache"})
"""Drivers whose lines without a pool are a month's whatever comes."""


@dataclass(frozen=True, slots=True)
class PlanTransfers:
    """What a plan's file says of who asks, from where, and of what stands around the machines."""

    classes: tuple[ServedClass, ...]
    infrastructure: Infrastructure
    where: WherePolicy


def count_served(names: Sequence[str], places: Sequence[Place], outcomes: Sequence[Outcome], duration_s: float) -> Served:
    """Return how many requests of each class are answered in each pool's place in a month like the stretch, mean over the replays.

    ``names`` are those of the replays' classes, ``places`` of their pools. What the cache answers is sent as well, from where the others
    are; where it answers all, from the first pool's.
    """
    months = HOURS_PER_MONTH * SECONDS_PER_HOUR / duration_s / len(outcomes)
    served: Served = {name: {} for name in names}
    for index, name in enumerate(names):
        counts, kept = np.zeros(len(places)), 0
        for outcome in outcomes:
            mine = outcome.traffic.traffic_class == index
            counts += np.bincount(outcome.pool[mine & (outcome.ended == ANSWERED)], minlength=len(places))
            kept += int(np.count_nonzero(mine & (outcome.ended == CACHED)))
        if not counts.any():
            counts[0], kept = float(kept), 0
        whole = counts * (1.0 + kept / counts.sum()) if counts.any() else counts
        for place, count in zip(places, whole, strict=True):
            if count > 0.0:
                served[name][place] = served[name].get(place, 0.0) + months * float(count)
    return served


@dataclass(frozen=True, slots=True)
class TransferBill:
    """Who asks, who answers where, and the prices of what moves between them."""

    stated: NetworkTerms
    names: tuple[str, ...]
    """The replays' classes, in their order."""
    places: tuple[Place, ...]
    """Of each of the replays' pools."""
    machines: frozenset[Place]
    """Where machines stand."""
    book: PriceBook

    def in_stretch(self, outcomes: Sequence[Outcome], duration_s: float) -> tuple[BillLine, ...]:
        """Return what the stretch's answers cost to move, at the tiers that a month like it reaches."""
        served = count_served(self.names, self.places, outcomes, duration_s)
        part = duration_s / (HOURS_PER_MONTH * SECONDS_PER_HOUR)
        return tuple(replace(line, usd=part * line.usd) for line in self._collect_traffic(served).moved_lines(served))

    def in_month(self, outcomes: Sequence[Outcome], duration_s: float) -> tuple[BillLine, ...]:
        """Return what moves and what stands around the machines in a month like the stretch."""
        served = count_served(self.names, self.places, outcomes, duration_s)
        return self._collect_traffic(served).lines(served, self.machines)

    def _collect_traffic(self, served: Served) -> Around:
        """Return the traffic of a month in which so much is answered where."""
        return Around(self.stated, self.book, {name: sum(places.values()) for name, places in served.items()})


def find_answering(plan: Plan, book: PriceBook) -> TransferBill:
    """Return who answers whom by a plan's file."""
    places = tuple(Place(pool.cloud, pool.region) for pool in plan.pools)
    machines = frozenset(
        place for place, pool in zip(places, plan.pools, strict=True) if any(pool.schedule) and not pool.serving.metered
    )
    asked = PlanTransfers(plan.classes, plan.infrastructure, WherePolicy(dict(plan.regions), (), {}))
    return TransferBill(asked, tuple(item.name for item in plan.classes), places, machines, book)


def around_as_ran_usd(plan_lines: Sequence[BillLine], moved: Sequence[BillLine] | None) -> float:
    """Return what does not depend on the machines, US dollars a month: ``moved`` as it was answered, the rest of it as planned.

    All as planned where ``moved`` is None: a stretch of less than a day says nothing of a month.
    """
    drivers = FIXED_DRIVERS if moved is None else KEPT_DRIVERS
    kept = sum(line.usd for line in plan_lines if not line.pool and line.driver in drivers)
    return kept + sum(line.usd for line in moved or ())
