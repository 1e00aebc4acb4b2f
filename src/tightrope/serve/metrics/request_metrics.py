"""``Metrics``: one method for each thing that happens, and ``/metrics`` as bytes.

Each series is there at 0 from the start, so that a first miss is an increase; a gauge that is not known is not shown. What a client may
choose (a tenant, a class) never makes series without end. Every method may be called from any thread; names, once fixed, are those of
the plan: ``cls`` a class, ``pool`` a pool, each unknown one counts as ``other``.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from threading import Lock
from typing import Literal, TypeAlias

from tightrope.base.plan import ServedClass
from tightrope.render.infra.names import label_value
from tightrope.serve.config.settings import ServedPool
from tightrope.serve.interfaces import Backend
from tightrope.serve.metrics.gauges import pool_gauges
from tightrope.serve.metrics.histogram_buckets import LADDER_S, batch_sizes, borders_for
from tightrope.serve.metrics.prometheus_text import Cell, Count, EventRate, Histogram, families, text
from tightrope.serve.metrics.slo_counts import measured, promised
from tightrope.serve.records import NUSD_PER_USD, Call, Reply

Outcome: TypeAlias = Literal["ok", "error", "shed", "late"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "error", "shed", "late")
DRIVERS = ("compute", "tokens", "egress")
"""What a request costs by."""
IDLE = "idle"
"""What machines cost while nothing is on them: of no class."""
OTHER = "other"
"""Stands for every name that is not known, or beyond a cap."""
MOST_TENANTS = 1000
REASONS = ("wait", "full", "rate", "concurrency", "budget", "deferrable")
"""Why requests are turned away (see ``access.admission``), there from the start."""
MOST_REASONS = 32
"""Of one class: words of this program."""
TIMES = ("tightrope_latency_seconds", "tightrope_time_to_first_token_seconds", "tightrope_time_per_output_token_seconds")


@dataclass(slots=True, eq=False)
class AnswerCounts:
    """What is counted of one class, as it was asked, at one pool."""

    outcomes: dict[Outcome, Count]
    times: tuple[Histogram, ...]
    """Latency, first token, later tokens: as ``measured`` returns them."""
    input_tokens: Count
    output_tokens: Count


@dataclass(slots=True, eq=False)
class PoolCounts:
    """What is counted of one class, as the plan names it, at one pool; and what is counted as it was asked."""

    arrivals: Count
    wait: Histogram
    answered: AnswerCounts


@dataclass(slots=True, eq=False)
class ClassCounts:
    """What is counted of one class, as it was asked."""

    hits: Count
    misses: Count
    shed: dict[str, Count]
    usd_per_1000: Cell
    deferred: Cell
    slack: Cell


class Metrics:
    """All that is counted and measured."""

    def __init__(
        self,
        workload: str,
        pools: Sequence[ServedPool],
        classes: Sequence[ServedClass],
        *,
        pairs: Iterable[tuple[str, str]] | None = None,
        only: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write every series down at 0; ``pairs`` of class and pool that may meet keep them few, else any may.

        ``only`` names the metrics that are shown; all are where none is named.
        """
        self._clock, self._lock = clock, Lock()
        self._families = families(label_value(workload))
        self._shown = [family for name, family in self._families.items() if not only or name in only]
        self._borders = borders_for(classes)
        self._asked = {item.name: item.asked_as or item.name for item in classes}
        self._asked |= {asked: asked for asked in self._asked.values()}
        self._rates = {pool.name: EventRate(clock()) for pool in pools}
        self._promises = promised(classes, self._families["tightrope_promises_total"])
        self._meetings: dict[tuple[str, str], PoolCounts] = {}
        self._answered: dict[tuple[str, str], AnswerCounts] = {}
        self._spent: dict[tuple[str, str, str], Count] = {}
        self._classes: dict[str, ClassCounts] = {}
        self._budgets: dict[str, Cell] = {}
        for cls, pool in pairs if pairs is not None else product(self._asked, self._rates):
            self._meet(cls, pool)
            for driver in DRIVERS:
                self._drive(cls, pool, driver)
        for cls in self._asked:
            self._of(cls)
        for pool in self._rates:
            self._drive("", pool, IDLE)
        batches, services = self._families["tightrope_batch_requests"], self._families["tightrope_service_seconds"]
        self._batches = {
            pool.name: (
                batches.histogram(pool.name, borders=batch_sizes(pool.max_batch)),
                services.histogram(pool.name, borders=LADDER_S),
            )
            for pool in pools
        }
        self._notices = {pool: self._families["tightrope_spot_notices_total"].count(pool) for pool in self._rates}
        self._months = {pool: self._families["tightrope_month_to_date_usd"].cell(pool, value=None) for pool in self._rates}
        here = {name: [cls for cls, pool in self._meetings if pool == name] for name in self._rates}
        self._gauges = [pool_gauges(self._families, pool, here[pool.name], self._rates[pool.name]) for pool in pools]
        self._reads: tuple[Callable[[], None], ...] = ()

    # --------------------------------------------------------------------------------------------------------- requests

    def arrived(self, cls: str, pool: str) -> None:
        """Count a request that is sent to a pool, whatever becomes of it."""
        rate, now_s = self._rates.get(pool), self._clock()
        with self._lock:
            sent = self._meetings.get((cls, pool)) or self._meet(cls, pool)
            sent.arrivals.value += 1
            if rate is not None:
                rate.add(now_s)

    def waited(self, cls: str, pool: str, seconds: float) -> None:
        """Count for how long a request waited for an engine."""
        with self._lock:
            sent = self._meetings.get((cls, pool)) or self._meet(cls, pool)
            sent.wait.observe(seconds)

    def batch(self, pool: str, size: int, service_s: float) -> None:
        """Count a batch of ``size`` requests, and the time that an engine worked on it."""
        sizes, services = self._batches[pool]
        with self._lock:
            sizes.observe(size)
            services.observe(service_s)

    def ended(self, call: Call, reply: Reply | None, outcome: Outcome, now_s: float, pool: str = "") -> None:
        """Count a request that ended ``now_s``, and judge what was promised to its class.

        ``reply`` is None where there is no answer; ``pool`` then says where the request was, if it had come so far.
        """
        cls, pool = call.traffic_class, pool if reply is None else reply.pool
        judged = self._promises.get(cls, ())
        with self._lock:
            counted = (self._meetings.get((cls, pool)) or self._meet(cls, pool)).answered
            counted.outcomes[outcome].value += 1
            if reply is None or outcome == "error":
                for promise in judged:
                    promise.judge_failure(call, now_s)
                return
            took = measured(call, reply, now_s)
            for promise in judged:
                promise.judge_answer(took)
            for histogram, seconds in zip(counted.times, took, strict=False):
                if seconds is not None:
                    histogram.observe(seconds)
            if not reply.cached:
                self._count_tokens(cls, reply)

    def expired(self, cls: str, count: int) -> None:
        """Count requests that can wait, were not done by their deadline, and never will be."""
        with self._lock:
            for promise in self._promises.get(cls, ()):
                promise.missed.value += count

    def shed(self, cls: str, reason: str) -> None:
        """Count a request turned away, and why in a word; ``ended`` is called for it too."""
        with self._lock:
            found = self._classes.get(cls) or self._of(cls)
            count = found.shed.get(reason) or self._reason(found, cls, reason)
            count.value += 1

    def cache(self, cls: str, hit: bool) -> None:
        """Count a request that the answer cache was asked for."""
        with self._lock:
            found = self._classes.get(cls) or self._of(cls)
            (found.hits if hit else found.misses).value += 1

    def deferred(self, cls: str, count: int, slack_s: float | None) -> None:
        """Say how many requests that can wait are not done, and the time to the first deadline less that which the work needs.

        None is where nothing waits, or the work is not known.
        """
        with self._lock:
            found = self._classes.get(cls) or self._of(cls)
        found.deferred.value, found.slack.value = count, slack_s

    # ------------------------------------------------------------------------------------------------------------ money

    def spent(self, cls: str, pool: str, driver: str, nusd: int | None) -> None:
        """Count nano-dollars spent by a class at a pool; what is idle is of no class: the empty one. None is not known."""
        if nusd is not None:
            with self._lock:
                count = self._spent.get((cls, pool, driver)) or self._drive(cls, pool, driver)
                count.value += nusd

    def budget_left(self, tenant: str, usd: float) -> None:
        """Say what is left of a tenant's budget of this month; of the tenants beyond the cap, whoever was last said."""
        with self._lock:
            cell = self._budgets.get(tenant) or self._budget_of(tenant)
        cell.value = usd

    def month_to_date(self, pool: str, usd: float | None) -> None:
        """Say what a pool has cost since the first of the month, UTC; None is not known."""
        self._months[pool].value = usd

    def usd_per_1000_requests(self, cls: str, usd: float | None) -> None:
        """Say what a thousand requests of a class cost over the last hour; None is not known, or there were none."""
        with self._lock:
            found = self._classes.get(cls) or self._of(cls)
        found.usd_per_1000.value = usd

    def spot_notice(self, pool: str) -> None:
        """Count a notice that a spot machine of a pool is to be taken away."""
        with self._lock:
            self._notices[pool].value += 1

    # ---------------------------------------------------------------------------------------------------------- reading

    def watch(self, backends: Iterable[Backend], *reads: Callable[[], None]) -> None:
        """Say what is read at each scrape: the pools' ``load``, and functions that call the methods above which set a figure."""
        found = {backend.pool.name: backend for backend in backends}
        for gauges in self._gauges:
            gauges.backend = found.get(gauges.pool.name)
        self._reads = reads

    def exposition(self) -> bytes:
        """Return all of it in Prometheus' text format, version 0.0.4."""
        for read in self._reads:
            read()
        now_s = self._clock()
        for gauges in self._gauges:
            gauges.read(now_s)
        with self._lock:
            return text(self._shown)

    # ---------------------------------------------------------------------------------------------------------- series

    def _count_tokens(self, cls: str, reply: Reply) -> None:
        """Count the tokens of an answer, and of the one before it in a cascade; those of kept answers were counted when they were made."""
        part: Reply | None = reply
        while part is not None:
            counted = (self._meetings.get((cls, part.pool)) or self._meet(cls, part.pool)).answered
            counted.input_tokens.value += part.input_tokens
            counted.output_tokens.value += part.output_tokens
            part = part.escalated_from

    def _names(self, cls: str, pool: str) -> tuple[str, str]:
        """Return the names under which a class and a pool are shown: of those that are not known, ``other``."""
        known = not cls or cls in self._asked
        return cls if known else OTHER, pool if not pool or pool in self._rates else OTHER

    def _meet(self, cls: str, pool: str) -> PoolCounts:
        """Return what is counted of a class at a pool, from now on where it was not yet."""
        cls, pool = self._names(cls, pool)
        if (cls, pool) not in self._meetings:
            arrivals, waits = self._families["tightrope_arrivals_total"], self._families["tightrope_wait_seconds"]
            answered = self._answer(self._asked.get(cls, cls), pool)
            self._meetings[cls, pool] = PoolCounts(
                arrivals.count(cls, pool), waits.histogram(cls, pool, borders=self._borders.wait), answered
            )
        return self._meetings[cls, pool]

    def _answer(self, asked: str, pool: str) -> AnswerCounts:
        """Return what is counted of a class as it was asked at a pool."""
        key = asked, pool
        if key not in self._answered:
            outcomes = {name: self._families["tightrope_requests_total"].count(*key, name) for name in OUTCOMES}
            times = (
                self._families[name].histogram(*key, borders=found) for name, found in zip(TIMES, self._borders, strict=False)
            )
            tokens = (self._families["tightrope_tokens_total"].count(*key, kind) for kind in ("input", "output"))
            self._answered[key] = AnswerCounts(outcomes, tuple(times), *tokens)
        return self._answered[key]

    def _drive(self, cls: str, pool: str, driver: str) -> Count:
        """Return what a class spends at a pool on one driver."""
        cls, pool = self._names(cls, pool)
        key = self._asked.get(cls, cls), pool, driver if driver in DRIVERS or driver == IDLE else OTHER
        if key not in self._spent:
            self._spent[key] = self._families["tightrope_usd_total"].count(*key, unit=1 / NUSD_PER_USD)
        return self._spent[key]

    def _of(self, cls: str) -> ClassCounts:
        """Return what is counted of a class as it was asked."""
        asked = self._asked.get(cls, OTHER)
        if asked not in self._classes:
            asks = self._families["tightrope_cache_requests_total"]
            named = (f"tightrope_{name}" for name in ("usd_per_1000_requests", "deferred_requests", "deferred_slack_seconds"))
            cells = (self._families[name].cell(asked, value=None) for name in named)
            shed = {reason: self._families["tightrope_shed_requests_total"].count(asked, reason) for reason in REASONS}
            self._classes[asked] = ClassCounts(asks.count(asked, "hit"), asks.count(asked, "miss"), shed, *cells)
        return self._classes[asked]

    def _budget_of(self, tenant: str) -> Cell:
        """Return what shows the budget of a tenant who was not seen yet."""
        name = tenant if len(self._budgets) < MOST_TENANTS else OTHER
        if name not in self._budgets:
            self._budgets[name] = self._families["tightrope_budget_left_usd"].cell(name)
        return self._budgets[name]

    def _reason(self, found: ClassCounts, cls: str, reason: str) -> Count:
        """Return what counts the requests of a class that are turned away for a reason, beyond the cap for any other."""
        word = reason if len(found.shed) < MOST_REASONS else OTHER
        if word not in found.shed:
            found.shed[word] = self._families["tightrope_shed_requests_total"].count(self._asked.get(cls, OTHER), word)
        return found.shed[word]
