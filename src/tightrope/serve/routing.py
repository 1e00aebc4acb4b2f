"""Which pool answers a call: as the plan shares a class out, or, where there is no plan, the cheapest that answers in time.

The decisions are those of ``policy/routing.py``, which the replay simulated. What stands behind a pool, its engines or replicas, is the
``Backend``'s own to choose from.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from tightrope.base.plan import ServedClass
from tightrope.base.records import FloatArray
from tightrope.policy.routing import cheapest, expected_wait, pick_by_share
from tightrope.serve.config.settings import ServedModel, Settings
from tightrope.serve.interfaces import Backend
from tightrope.serve.records import NUSD_PER_USD, Reply

HOUR_S = 3600
DAY_S = 86_400
MONDAY_S = 4 * DAY_S
"""The first Monday of Unix time, 1970-01-05."""
NEWEST = 0.05
"""Weight of the newest answer in what a pool's answers are known to cost: some tens of answers are remembered."""


@dataclass(slots=True, eq=False)
class _Shared:
    """How a class is shared out: in each hour of the week, to groups of pools."""

    groups: tuple[tuple[Backend, ...], ...]
    shares: tuple[FloatArray, ...]
    """By block of the week, float64[groups]; a block in which nothing is planned has the week's."""
    first_s: float
    routed: int = 0

    def group(self, now_s: float) -> tuple[Backend, ...]:
        """Return the group of the next request."""
        if len(self.groups) == 1:
            return self.groups[0]
        block = int((now_s - self.first_s) // HOUR_S) % len(self.shares)
        self.routed += 1
        return self.groups[pick_by_share(self.routed - 1, self.shares[block])]


class Router:
    """Chooses among the pools of a model."""

    def __init__(self, settings: Settings, backends: Mapping[str, Backend], wall_clock: Callable[[], float] = time.time) -> None:
        """Take the plan's shares; ``wall_clock`` is Unix time."""
        self._backends, self._wall_clock = backends, wall_clock
        self._pools = {model.name: tuple(backends[name] for name in model.pools) for model in settings.models}
        self._shared = {
            (model.name, item.name): shared
            for model in settings.models
            for item in settings.classes
            if (shared := _shared(settings, model, item, backends))
        }
        self._nusd: dict[str, float] = {}
        """Pool → what an item is known to cost."""

    def order(self, model: ServedModel, promised: ServedClass) -> Sequence[Backend]:
        """Return the pools that may answer, the one to ask first; others only stand in where it cannot answer at all.

        Of a cascade's second part too: ``promised`` is the part, whose pools the plan says.
        """
        shared = self._shared.get((model.name, promised.name))
        if shared is None:
            pools = self._pools[model.name]
            return pools if len(pools) == 1 else self._by_cost(pools, model, promised)
        group = shared.group(self._wall_clock())
        first = _shortest(group)
        others = [pool for pool in group if pool is not first]
        return (first, *others, *(pool for other in shared.groups if other is not group for pool in other))

    def learn(self, reply: Reply, rows: int) -> None:
        """Take note of what an answer cost."""
        nusd = reply.compute_nusd
        if nusd is None or reply.cached:
            return
        each = (nusd + reply.tokens_nusd) / rows
        known = self._nusd.get(reply.pool)
        self._nusd[reply.pool] = each if known is None else known + NEWEST * (each - known)

    def _by_cost(self, pools: tuple[Backend, ...], model: ServedModel, promised: ServedClass) -> Sequence[Backend]:
        """Return the pools by what they cost, those that would answer in time first."""
        priced = any(pool.pool.usd_per_hour is not None for pool in pools)
        costs = np.array([self._expected_nusd(pool, priced=priced) for pool in pools])
        quality = np.array([pool.pool.quality for pool in pools])
        waits = np.array([_wait_s(pool) for pool in pools])
        first = cheapest(costs, quality, waits, model.quality_floor, promised.answer_within_s or np.inf)
        others = (pool for place, pool in enumerate(pools) if place != first and quality[place] >= model.quality_floor)
        return (pools[first], *others)

    def _expected_nusd(self, pool: Backend, *, priced: bool) -> float:
        """Return what an item costs at a pool, as it has been or by what a replica sustains; not a number where that is not known.

        Where no pool is ``priced`` they are compared by their time.
        """
        known = self._nusd.get(pool.pool.name)
        each_per_s = pool.load().requests_per_s or pool.pool.requests_per_s
        price = pool.pool.usd_per_hour if priced else 1.0
        if known is not None or price is None or not each_per_s:
            return float("nan") if known is None else known
        return NUSD_PER_USD * price / HOUR_S / pool.pool.replicas_per_machine / each_per_s


def _shortest(group: tuple[Backend, ...]) -> Backend:
    """Return the pool of a group with the shortest wait, one that has something ready before one that has not."""
    return group[0] if len(group) == 1 else min(group, key=_wait_s)


def _wait_s(backend: Backend) -> float:
    """Return the wait that is compared: requests on a replica over what it sustains; infinite where none is ready."""
    load = backend.load()
    if load.replicas_ready == 0:
        return float("inf")
    weight = load.requests_per_s or backend.pool.requests_per_s or 1.0
    return expected_wait(load.in_flight // load.replicas_ready, weight)


def _shared(settings: Settings, model: ServedModel, item: ServedClass, backends: Mapping[str, Backend]) -> _Shared | None:
    """Return how the plan shares a class out over the pools that a model names; None where it does not say."""
    mine = backends.keys() if item.follows else model.pools  # the second part of a cascade has pools of its own
    rules = [rule for rule in settings.routing if rule.traffic_class == item.name and rule.pool in mine]
    if not rules:
        return None
    names: dict[str, list[int]] = {}
    for index, rule in enumerate(rules):
        pool = backends[rule.pool].pool
        names.setdefault(pool.group or f"{pool.model}/{pool.variant}", []).append(index)
    hours = np.array([rule.share_by_block for rule in rules]).T
    whole = np.array([rule.share for rule in rules])
    by_block = [block if block.sum() > 0 else whole for block in hours]
    shares = tuple(_fractions(np.array([block[places].sum() for places in names.values()])) for block in by_block)
    groups = tuple(tuple(backends[rules[index].pool] for index in places) for places in names.values())
    return _Shared(groups, shares, _first_s(settings.first_day))


def _fractions(values: FloatArray) -> FloatArray:
    """Return values that sum to 1, alike where all are 0.

    >>> _fractions(np.array([0.0, 0.0])).tolist(), _fractions(np.array([1.0, 3.0])).tolist()
    ([0.5, 0.5], [0.25, 0.75])
    """
    return values / values.sum() if values.any() else np.full(len(values), 1.0 / len(values))


def _first_s(first_day: str) -> float:
    """Return the Unix time at which block 0 begins, of whatever week.

    >>> _first_s("1970-01-05") == _first_s("") == 345600.0
    True
    """
    if not first_day:
        return float(MONDAY_S)
    day = date.fromisoformat(first_day)
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
