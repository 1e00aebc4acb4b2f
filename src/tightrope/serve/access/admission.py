"""What is turned away, so that what is let in is answered in time: rates, budgets, fair shares, and queues no longer than promised.

A call goes in twice: ``enter`` the gateway, which asks what its tenant may take, and ``join`` a pool, once it is known that one must
answer, which asks how long it would wait there. All of it is on the event loop's thread, at the same cost however many tenants there are.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil, inf
from typing import NoReturn, Protocol

from tightrope.base.plan import ServedClass
from tightrope.policy.admission import (
    FAIR_EXCESS,
    bucket_level,
    bucket_wait_s,
    default_shed_wait_s,
    is_owed_a_place,
    may_enter,
    next_patience,
    queue_room,
)
from tightrope.serve.config.settings import Limits, ServedPool, TenantLimits
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.ledger.meter import SECOND
from tightrope.serve.ledger.month_to_date import month_of
from tightrope.serve.records import NUSD_PER_USD, Call, Reply
from tightrope.serve.refusals import TooMany

MOST_TENANTS = 10_000
"""Of whom something is remembered while they ask nothing: what their answers took, and how full their bucket is."""
LOOKED_AT = 8
"""Tenants that are looked at to find those to forget, when one more comes."""
WEIGHT = 0.1
"""Of the newest answer in the running means."""
LATE_MARGIN = 0.5
"""Of the answers that a promise lets be late, the share that is aimed at."""
DEFERRABLE_SHARE = 0.5
"""Of the room for all, and of the wait that interactive requests may have, what deferrable work may fill."""


class AdmissionEvents(Protocol):
    """What is told of it: ``watch.metrics.Metrics``."""

    def shed(self, cls: str, reason: str) -> None:
        """Count a request turned away."""
        ...

    def budget_left(self, tenant: str, usd: float) -> None:
        """Say what is left of a tenant's budget."""
        ...


@dataclass(slots=True, eq=False)
class TenantState:
    """What one tenant may take, and takes."""

    name: str
    limits: TenantLimits
    rate_per_s: float
    """0 is without limit."""
    level: float
    """Requests that may come at once, as of ``at_s``."""
    at_s: float
    present: int = 0
    answer_s: float = 0.0
    """Running mean of what its answers took."""
    nusd: float = 0.0
    """Running mean of what they cost."""

    @property
    def capacity(self) -> float:
        """What its bucket holds: at least one request."""
        return max(1.0, self.rate_per_s * self.limits.burst)


@dataclass(slots=True, eq=False)
class AdmissionClass:
    """One traffic class, and how much waiting it has patience for."""

    name: str
    shed_wait_s: float | None
    """As it was planned, and then kept to exactly; None follows what is promised."""
    promised_s: float
    """The shortest time promised for an answer, or its first token; infinite where none is."""
    to_first_token: bool
    late_share: float
    """Of the answers, the share that may be late, with a margin."""
    retry_after_s: float
    patience: float = 1.0

    def wait_s(self) -> float:
        """Return the longest wait with which a request is still let in."""
        return default_shed_wait_s(self.promised_s, self.patience) if self.shed_wait_s is None else self.shed_wait_s

    def learn(self, call: Call, reply: Reply, now_s: float) -> None:
        """Take an answer of an engine into account: whether it was late, and whether waiting made it so."""
        if self.shed_wait_s is not None or self.promised_s == inf:
            return
        ended_s = reply.first_token_s if self.to_first_token and reply.first_token_s is not None else now_s
        took_s = ended_s - call.arrived_s
        late = took_s > self.promised_s >= took_s - reply.wait_s
        self.patience = next_patience(self.patience, late, self.late_share)


class AdmissionControl:
    """Lets calls in, or raises ``TooMany`` with the time after which it is worth asking again."""

    def __init__(
        self,
        limits: Limits,
        tenants: Mapping[str, TenantLimits],
        spent: Callable[[str], int],
        metrics: AdmissionEvents,
        clock: Callable[[], float] = time.monotonic,
        *,
        classes: Iterable[ServedClass] = (),
        wall: Callable[[], float] = time.time,
        used_up: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Take the limits; ``spent`` says what a tenant spent this month (nano-dollars), from memory: it is asked for every call.

        ``used_up`` hears of a tenant with each call that its budget has no room for, though nothing else were under way.
        """
        self._stated, self._spent, self._metrics, self._used_up = dict(tenants), spent, metrics, used_up
        self._clock, self._wall = clock, wall
        self._room = limits.waiting / FAIR_EXCESS
        classes = tuple(classes)
        self._kinds = {item.name: _kind(item) for item in classes}
        for item in classes:
            if item.asked_as and not item.follows:
                self._kinds.setdefault(item.asked_as, self._kinds[item.name])
        self._deferrable = tuple(item.name for item in classes if item.deferral is not None)
        self._least_wait_s = min((k.wait_s() for k in self._kinds.values() if k.name not in self._deferrable), default=inf)
        self._tenants: dict[str, TenantState] = {}
        self._present = self._asking = 0
        self._answer_s, self._nusd = 1.0, 0.0
        self._at: dict[str, dict[str, int]] = {}
        """Pool → tenant → its requests there."""
        self._held: set[str] = set()
        """Calls that waited for a machine to start, whose lateness says nothing of the queue."""

    # ------------------------------------------------------------------------------------------------------ gateway

    def enter(self, call: Call) -> None:
        """Let a call into the gateway; ``leave`` must follow, whatever becomes of it. Raises ``TooMany``."""
        name = call.caller.tenant
        tenant = self._tenants.get(name) or self._meet(name)
        limits = tenant.limits
        if self._present >= self._room * (1.0 if call.deadline_s is None else DEFERRABLE_SHARE):
            self._check_room(call, tenant)
        if limits.concurrency is not None and tenant.present >= limits.concurrency:
            self._refuse(
                call, "concurrency", f"this tenant has {tenant.present} requests here, all it may", self._typical_s(tenant)
            )
        if limits.budget_usd_per_month is not None:
            self._check_budget(call, tenant, limits.budget_usd_per_month)
        if tenant.rate_per_s:
            self._take_from_bucket(call, tenant)
        tenant.present += 1
        self._present += 1
        if tenant.present == 1:
            self._asking += 1

    def leave(self, call: Call, nusd: int | None, reply: Reply | None = None) -> None:
        """Note that a call has ended, what it cost (None: not known) and how it was answered, where it was."""
        tenant = self._tenants[call.caller.tenant]
        tenant.present -= 1
        self._present -= 1
        if tenant.present == 0:
            self._asking -= 1
        if reply is not None:
            self._learn(call, tenant, nusd, reply)
        self._held.discard(call.identity)
        budget = tenant.limits.budget_usd_per_month
        if budget is not None:
            self._metrics.budget_left(tenant.name, budget - self._spent(tenant.name) / NUSD_PER_USD)

    # --------------------------------------------------------------------------------------------------------- pool

    def join(self, call: Call, pool: ServedPool, load: PoolLoad) -> None:
        """Let a call into a pool's queue; ``part`` must follow. Raises ``TooMany``.

        Where no replica is ready the call is let in, to be held: how long, the pool says. Where it is not known what a replica
        sustains, nothing is known of the wait either.
        """
        here = self._at.setdefault(pool.name, {})
        kind = self._kinds.get(call.traffic_class)
        if not load.replicas_ready:
            self._held.add(call.identity)
        elif kind is not None and call.deadline_s is not None:
            self._check_deferrable(call, kind, pool, load)
        elif kind is not None:
            self._check_wait(call, kind, here, load)
        name = call.caller.tenant
        here[name] = here.get(name, 0) + 1

    def part(self, call: Call, pool: ServedPool) -> None:
        """Note that a call has ended at a pool."""
        here, name = self._at[pool.name], call.caller.tenant
        if here[name] == 1:
            del here[name]
        else:
            here[name] -= 1

    def _check_wait(self, call: Call, kind: AdmissionClass, here: dict[str, int], load: PoolLoad) -> None:
        """Refuse a call that would wait too long, unless its tenant has less than its share of the queue."""
        shed_wait_s, per_s = kind.wait_s(), load.requests_per_s
        if shed_wait_s == inf or per_s <= 0.0:
            return
        present = load.in_flight - self._waiting(load, self._deferrable)
        ahead = present // load.replicas_ready
        if may_enter(ahead, per_s, shed_wait_s):
            return
        name = call.caller.tenant
        mine, tenants = here.get(name, 0), len(here) + (name not in here)
        if not is_owed_a_place(mine, tenants, present, queue_room(load.replicas_ready, per_s, shed_wait_s)):
            after_s = max(kind.retry_after_s, ahead / per_s - shed_wait_s)
            self._refuse(call, "wait", "more is asked than can be answered in time", after_s)

    def _check_deferrable(self, call: Call, kind: AdmissionClass, pool: ServedPool, load: PoolLoad) -> None:
        """Refuse deferrable work where others wait for an engine, or would if it came in."""
        ahead, per_s = load.in_flight // load.replicas_ready, load.requests_per_s
        others_wait = sum(load.waiting.values()) > self._waiting(load, self._deferrable)
        in_time = per_s <= 0.0 or may_enter(ahead, per_s, DEFERRABLE_SHARE * self._least_wait_s)
        if others_wait or not (in_time or ahead < pool.deferrable_limit):
            self._refuse(call, "deferrable", "requests that cannot wait go first", max(kind.retry_after_s, 1.0))

    @staticmethod
    def _waiting(load: PoolLoad, classes: tuple[str, ...]) -> int:
        """Return how many requests of these classes wait: engines take them only where no other waits."""
        waiting = 0
        for name in classes:
            waiting += load.waiting.get(name, 0)
        return waiting

    # ------------------------------------------------------------------------------------------------------- tenant

    def _meet(self, name: str) -> TenantState:
        """Return a tenant not heard of lately, and forget others that ask nothing where there are too many."""
        self._forget()
        limits = self._stated.get(name) or self._stated.get("*") or TenantLimits()
        tenant = TenantState(name, limits, limits.requests_per_s or 0.0, 0.0, self._clock())
        tenant.level = tenant.capacity
        self._tenants[name] = tenant
        return tenant

    def _forget(self) -> None:
        """Forget tenants that have nothing here while there are too many; those that have are no more than there may be requests."""
        for _ in range(LOOKED_AT):
            if len(self._tenants) < MOST_TENANTS:
                return
            name = next(iter(self._tenants))
            tenant = self._tenants.pop(name)
            if tenant.present:
                self._tenants[name] = tenant

    def _check_room(self, call: Call, tenant: TenantState) -> None:
        """Refuse a call that finds the gateway full, unless its tenant has less than its share of the places."""
        asking = self._asking + (tenant.present == 0)
        if call.deadline_s is not None or not is_owed_a_place(tenant.present, asking, self._present, self._room):
            self._refuse(call, "full", "more is asked than there is room for", self._answer_s)

    def _check_budget(self, call: Call, tenant: TenantState, budget_usd: float) -> None:
        """Refuse a call that this month's budget has no room for, with all that is under way at what its like have cost."""
        each = max(1.0, tenant.nusd or self._nusd)  # before anything is known too, a budget that is spent has no room
        left = budget_usd * NUSD_PER_USD - self._spent(tenant.name)
        if each * (tenant.present + 1) > left:
            self._metrics.budget_left(tenant.name, left / NUSD_PER_USD)
            if each > left:
                self._used_up(tenant.name)
            self._refuse(call, "budget", f"this month's budget of {budget_usd:g} USD is used up", next_month_s(self._wall()))

    def _take_from_bucket(self, call: Call, tenant: TenantState) -> None:
        """Take one request out of the tenant's bucket, or refuse."""
        now_s, per_s = self._clock(), tenant.rate_per_s
        tenant.level = bucket_level(tenant.level, per_s, tenant.capacity, now_s - tenant.at_s)
        tenant.at_s = now_s
        if tenant.level < 1.0:
            self._refuse(call, "rate", f"more than {per_s:g} requests a second", bucket_wait_s(tenant.level, per_s))
        tenant.level -= 1.0

    def _typical_s(self, tenant: TenantState) -> float:
        """Return about when the next of a tenant's requests ends."""
        return (tenant.answer_s or self._answer_s) / max(1, tenant.present)

    def _learn(self, call: Call, tenant: TenantState, nusd: int | None, reply: Reply) -> None:
        """Bring the running means up to date, and the class's patience."""
        if nusd is not None:
            tenant.nusd += WEIGHT * (nusd - tenant.nusd) if tenant.nusd else nusd
            self._nusd += WEIGHT * (nusd - self._nusd) if self._nusd else nusd
        if call.deadline_s is not None:  # it waited because it can
            return
        now_s = self._clock()
        took_s = now_s - call.arrived_s
        tenant.answer_s += WEIGHT * (took_s - tenant.answer_s) if tenant.answer_s else took_s
        self._answer_s += WEIGHT * (took_s - self._answer_s)
        kind = self._kinds.get(call.traffic_class)
        if kind is not None and not reply.cached and call.identity not in self._held:
            kind.learn(call, reply, now_s)

    def _refuse(self, call: Call, reason: str, what: str, after_s: float) -> NoReturn:
        """Count a refusal, and raise it."""
        self._metrics.shed(call.traffic_class, reason)
        message = f"{what}; ask again in {max(1, ceil(after_s))} s"
        raise TooMany(message, retry_after_s=after_s, reason=reason)


def _kind(item: ServedClass) -> AdmissionClass:
    """Return how a class is treated: by the promise that leaves the least time."""
    promised = min((slo for slo in item.slos if slo.metric != "tpot"), key=lambda slo: slo.limit_s, default=None)
    if promised is None:
        return AdmissionClass(
            item.name, item.shed_wait_s, inf, to_first_token=False, late_share=0.0, retry_after_s=item.retry_after_s
        )
    late_share = LATE_MARGIN * (1.0 - promised.percentile)
    first = promised.metric == "ttft"
    return AdmissionClass(item.name, item.shed_wait_s, promised.limit_s, first, late_share, item.retry_after_s)


def next_month_s(wall_s: float) -> float:
    """Return the seconds from a Unix time to the first of the next month, UTC.

    >>> next_month_s(1_798_761_570.0)  # 2026-12-31, 23:59:30
    30.0
    """
    return month_of(int(wall_s * SECOND))[1] / SECOND - wall_s
