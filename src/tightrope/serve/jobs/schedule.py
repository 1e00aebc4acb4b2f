"""Which batch is next: earliest deadline first within a tenant, and a fair turn for each tenant."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np

from tightrope.base.records import FloatArray
from tightrope.policy import deferral
from tightrope.serve.jobs.records import Batch

RATE_S = 300.0
"""What the rate of a class is learned over: older seconds count less and less."""


class ItemRate:
    """Items a second of one class while there was work of it, and the time that one took; both 0 until they are known."""

    def __init__(self) -> None:
        self._done = self._seconds = self.answer_s = 0.0

    def answered(self, answer_s: float) -> None:
        """Note the time that an item took."""
        self.answer_s += (answer_s - self.answer_s) * (0.05 if self.answer_s else 1.0)

    def passed(self, seconds: float, done: int) -> None:
        """Note that so much time passed in which there was work, and that so many items were done in it."""
        kept = math.exp(-seconds / RATE_S)
        self._done, self._seconds = self._done * kept + done, self._seconds * kept + seconds

    @property
    def per_s(self) -> float:
        """Items a second."""
        return self._done / self._seconds if self._seconds else 0.0


def due(batches: Iterable[Batch], now_s: float) -> tuple[FloatArray, FloatArray]:
    """Return the seconds to each deadline, ascending, and the items that are left of each, as ``policy.deferral`` takes them."""
    ordered = sorted(batches, key=lambda batch: batch.due_s)
    return np.array([batch.due_s - now_s for batch in ordered]), np.array([float(batch.left) for batch in ordered])


def slack_s(batches: Sequence[Batch], now_s: float, per_s: float) -> float | None:
    """Return the least time that is spare at a deadline; None where nothing is to be done, or the rate is not known."""
    if per_s <= 0.0 or not any(batch.left for batch in batches):
        return None
    return float(deferral.least_slack_s(*due(batches, now_s), per_s))


def next_batch(batches: Iterable[Batch], running: Mapping[str, int], now_s: float, per_s: float) -> Batch | None:
    """Return whose turn it is, of batches that have items to begin; ``running`` is each tenant's items in flight.

    The tenants whose work is urgent with an equal share of the rate ``per_s`` (0 is not known) go first;
    then whoever has the fewest in flight; then the earliest deadline. So a tenant that hands in more, or asks for less time, takes
    time that others can spare and no more.
    """
    by_tenant = {
        tenant: sorted(theirs, key=lambda batch: (batch.due_s, batch.id))
        for tenant, theirs in groupby(sorted(batches, key=lambda batch: batch.tenant), key=lambda batch: batch.tenant)
    }
    if not by_tenant:
        return None
    share = per_s / len(by_tenant)

    def turn(tenant: str) -> tuple[bool, int, float, str]:
        due_s, slack = by_tenant[tenant][0].due_s, slack_s(by_tenant[tenant], now_s, share)
        patient = slack is None or deferral.urgency(slack, due_s - now_s) <= 0.0
        return patient, running.get(tenant, 0), due_s, tenant

    return by_tenant[min(by_tenant, key=turn)][0]
