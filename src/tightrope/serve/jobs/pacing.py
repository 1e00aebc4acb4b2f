"""How many items may be in flight: what is learned of rates and of refusals, put to ``policy.deferral``."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tightrope.policy import deferral
from tightrope.serve.jobs.records import Batch
from tightrope.serve.jobs.schedule import ItemRate, due, slack_s

BUSY = frozenset({429, 503})
"""Answers that say that there are too many at once."""
FIRST_LIMIT = 8.0
"""Of a tenant's items at once, before anything is learned."""
LONGEST_PAUSE_S = 30.0
"""A tenant of whom not even one item at a time is taken is asked for again after so long at the latest."""


class JobMetrics(Protocol):
    """What is told of the work, as ``serve.metrics.request_metrics.Metrics`` takes it."""

    def deferred(self, cls: str, count: int, slack_s: float | None) -> None:
        """Note a class's items that are not done, and the least time that is spare at a deadline."""
        ...


@dataclass(slots=True)
class TenantFlow:
    """What is learned of one tenant's items: those of a tenant over its rate or budget are refused, and no one else's."""

    learned: float = FIRST_LIMIT
    refused: bool = False
    cut_s: float = 0.0
    in_a_row: int = 0
    again_s: float = 0.0
    """Monotonic time before which none is begun."""

    def answered(self, status: int, answer_s: float, running: int, most: int) -> None:
        """Take note of an answer with ``running`` in flight: more at once are taken, or fewer."""
        now = time.monotonic()
        if status not in BUSY:
            self.in_a_row = 0
            if running >= int(self.learned):
                self.learned = deferral.learn_taken(self.learned, most, self.refused)
        elif now - self.cut_s > answer_s:  # once a round: those that began before it say nothing new
            self.in_a_row = self.in_a_row + 1 if self.learned <= 1.0 else 0
            self.again_s = now + min(LONGEST_PAUSE_S, deferral.retry_after_s(self.in_a_row)) if self.in_a_row else 0.0
            self.learned, self.refused, self.cut_s = deferral.learn_refused(self.learned), True, now


class BatchPace:
    """The batches in progress, and how fast they go."""

    def __init__(self, waits: Callable[[], int], most: Callable[[], int]) -> None:
        self._waits, self.most = waits, most
        self.batches: dict[str, Batch] = {}
        self._rates: defaultdict[str, ItemRate] = defaultdict(ItemRate)
        self._flows: defaultdict[str, TenantFlow] = defaultdict(TenantFlow)
        self._looked_s = time.monotonic()

    def look(self, batches: Iterable[Batch]) -> None:
        """Take note of the batches that have not ended, and of what all gateways did since the last time."""
        seconds, found = time.monotonic() - self._looked_s, {batch.id: batch for batch in batches}
        done: defaultdict[str, int] = defaultdict(int)
        for batch in self.batches.values():
            left = found[batch.id].left if batch.id in found else 0
            done[batch.traffic_class] += batch.left - left
        for name, count in done.items():
            self._rates[name].passed(seconds, count)
        self.batches = {batch.id: batch for batch in found.values() if batch.status == "in_progress"}
        self._looked_s += seconds
        tenants = {batch.tenant for batch in self.batches.values()}
        for tenant in self._flows.keys() - tenants:
            del self._flows[tenant]

    def show(self, metrics: JobMetrics, classes: Iterable[str], now_s: float) -> None:
        """Say how each class's work stands."""
        by_class = self._by_class()
        for name in {*classes, *by_class}:
            theirs = by_class.get(name, [])
            metrics.deferred(name, sum(batch.left for batch in theirs), slack_s(theirs, now_s, self._rates[name].per_s))

    @property
    def per_s(self) -> float:
        """Items a second, of all classes; 0 where it is not known."""
        return sum(rate.per_s for rate in self._rates.values())

    def limit(self, now_s: float) -> int:
        """Return how many items may be in flight now, of all tenants."""
        urgent, needed, unknown = 0.0, 0.0, False
        for name, theirs in self._by_class().items():
            rate = self._rates[name]
            slack = slack_s(theirs, now_s, rate.per_s)
            unknown = unknown or rate.per_s <= 0.0
            if slack is not None:
                left, items = due(theirs, now_s)
                this = deferral.urgency(slack, float(left[0]))
                urgent = max(urgent, this)
                needed += float(deferral.needed_per_s(left, items)) * rate.answer_s if this else 0.0
        learned = sum(self._flows[tenant].learned for tenant in {batch.tenant for batch in self.batches.values()})
        allowed = deferral.in_flight_limit(learned, self.most(), self._waits() > 0, urgent, needed)
        return max(allowed, min(1, self.most())) if unknown else allowed  # one, to learn how long it takes

    def room(self, tenant: str, running: int) -> int:
        """Return how many items of a tenant may begin, with ``running`` in flight."""
        flow = self._flows[tenant]
        return int(flow.learned) - running if flow.again_s <= time.monotonic() else 0

    def answered(self, batch: Batch, status: int, answer_s: float, running: int) -> None:
        """Take note of an answer to an item, with ``running`` of its tenant's in flight."""
        self._flows[batch.tenant].answered(status, answer_s, running, self.most())
        if status not in BUSY:
            self._rates[batch.traffic_class].answered(answer_s)

    def _by_class(self) -> Mapping[str, list[Batch]]:
        found: defaultdict[str, list[Batch]] = defaultdict(list)
        for batch in self.batches.values():
            found[batch.traffic_class].append(batch)
        return found
