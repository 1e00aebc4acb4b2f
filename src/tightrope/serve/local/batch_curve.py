"""How long a batch takes, by its size and padded length: measured at the start, then learned from every batch that runs."""

import math
from collections.abc import Sequence

import numpy as np

from tightrope.policy.batching import batch_time_s

HAND_OVER_S = 9e-5
"""Processor time to give a batch to an engine and hear of its end, measured through a pool without a model: it counts with each."""
LEARN = 0.1
"""Share of a surprise that the figures nearest to it take on."""
FORGET = 2e-4
"""Share of what was learned that is forgotten with every batch: what was once seen slow, and so avoided, is tried again."""
SLOWER = 0.05
"""Share that the latest batch has in how much slower the whole machine is than its processor time says, or than it was at the start."""
MOST_SURPRISE = 0.5
"""A batch that took more than e ** 0.5 times what was expected, or less, counts as that: what stopped it once says little."""
REBUILD = 8
"""Batches after which the learned figures are taken into the curve that decisions read."""
FIXED_SHARE = 0.3
"""Part of a batch's time that is taken not to grow with it while no batch has been seen: enough to try one."""


def sizes_up_to(most: int) -> list[int]:
    """Return the batch sizes that are measured: powers of two, and the largest.

    >>> sizes_up_to(12), sizes_up_to(1)
    ([1, 2, 4, 8, 12], [1])
    """
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), most]


class Curve:
    """The service curve of one model on one engine, as ``policy/batching.py`` reads it.

    ``service_s`` [largest batch][knots], seconds, and ``knots``, lengths, are lists, and new ones where something was learned.
    """

    def __init__(self, most: int, knots: Sequence[int], planned_s: Sequence[float] = ()) -> None:
        """Know nothing yet, or exactly ``planned_s``, the times of a batch of 1, 2, … of any length, which is then never changed."""
        self.sizes, self.knots, self.planned = sizes_up_to(most), list(knots), bool(planned_s)
        self._first = np.zeros((len(self.sizes), len(self.knots)))
        self._log: list[list[float]] = self._first.tolist()
        """Logarithms of the figures, as lists: a batch changes four of them."""
        self._known = np.zeros(self._first.shape, dtype=bool)
        self._begun = False
        self._slower, self._most, self._since = 0.0, most, 0
        self.service_s: list[list[float]] = [[1e-3 * size] * len(self.knots) for size in range(1, most + 1)]
        if planned_s:
            self.knots = [1]
            self.service_s = [[planned_s[min(size, len(planned_s)) - 1]] for size in range(1, most + 1)]

    @property
    def known(self) -> bool:
        """Whether anything has been measured or planned."""
        return self.planned or self._begun

    def seconds(self, size: int, length: int) -> float:
        """Return the expected time of a batch."""
        return float(batch_time_s(size, length, self.service_s, self.knots))

    def put(self, size: int, length: int, seconds: float) -> None:
        """Set what one of ``sizes``, padded to one of ``knots``, took an engine; ``complete`` takes it into the curve."""
        self._set(self.sizes.index(size), self.knots.index(length), seconds + HAND_OVER_S)

    def learn(self, size: int, length: int, seconds: float, busy_s: float | None = None) -> None:
        """Take a batch that ran into account; ``busy_s`` is what it took of its core, where one thread did all.

        The curve's shape follows the second where it is known: others who use the core lengthen long batches more than short ones, and
        would make those seem not to pay.
        """
        if self.planned:
            return
        seconds += HAND_OVER_S
        if busy_s is not None:
            busy_s += HAND_OVER_S
        if not self._begun:
            self._begin(size, length, busy_s or seconds)
            return
        expected = math.log(self.seconds(size, length))
        if busy_s is not None:
            surprise = math.log(busy_s) - expected + self._slower
            self._slower += SLOWER * (_bounded(math.log(seconds / busy_s)) - self._slower)
        else:
            surprise = math.log(seconds) - expected
            self._slower += SLOWER * _bounded(surprise)
        columns, learned = _weights(self.knots, length), LEARN * _bounded(surprise)
        for row, part in _weights(self.sizes, size).items():
            logs = self._log[row]
            for column, share in columns.items():
                logs[column] += learned * part * share
        self._since += 1
        if self._since >= REBUILD:
            self._rebuild()

    def complete(self) -> None:
        """Take what was ``put`` into the curve; what was not follows from the nearest that was."""
        self._first = self._completed()
        self._log, self._since = self._first.tolist(), 0
        self._rebuild()

    def _begin(self, size: int, length: int, seconds: float) -> None:
        """Take the first batch of all for what is known."""
        row, column = (
            max(shares, key=shares.__getitem__) for shares in (_weights(self.sizes, size), _weights(self.knots, length))
        )
        self._set(row, column, seconds * self._scale(row, column, size, length))
        self.complete()

    def _set(self, row: int, column: int, seconds: float) -> None:
        """Set one figure."""
        self._log[row][column] = math.log(seconds)
        self._known[row, column] = self._begun = True

    def _rebuild(self) -> None:
        """Renew ``service_s``: a larger or longer batch never takes less time. Forget a little of all that was learned."""
        log = np.array(self._log)
        log += FORGET * self._since * (self._first - log)
        self._log, self._since = log.tolist(), 0
        grid = np.exp(log + self._slower)
        grid = np.maximum.accumulate(np.maximum.accumulate(grid, axis=0), axis=1)
        every = np.arange(1, self._most + 1)
        columns = [np.interp(every, self.sizes, grid[:, column]) for column in range(len(self.knots))]
        self.service_s = np.stack(columns, axis=1).tolist()

    def _completed(self) -> np.ndarray:
        """Return the logarithms of all figures, those that are not known from the nearest that is."""
        known, stated = np.argwhere(self._known), np.array(self._log)
        if len(known) in {0, self._known.size}:
            return stated
        sizes, knots = np.log(self.sizes), np.log(self.knots)
        log = stated.copy()
        for row, column in np.argwhere(~self._known):
            apart = (sizes[known[:, 0]] - sizes[row]) ** 2 + (knots[known[:, 1]] - knots[column]) ** 2
            near, at = known[int(np.argmin(apart))]
            log[row, column] = stated[near, at] + np.log(self._scale(row, column, self.sizes[near], self.knots[at]))
        return log

    def _scale(self, row: int, column: int, size: int, length: int) -> float:
        """Return how much longer the batch of a figure is taken to last than one of ``size`` and ``length``."""
        fixed = FIXED_SHARE if size == 1 else 0.0
        more = (fixed + (1.0 - fixed) * self.sizes[row]) / (fixed + (1.0 - fixed) * size)
        return more * self.knots[column] / max(length, 1)


def _bounded(surprise: float) -> float:
    """Return a surprise, no larger than counts."""
    return max(-MOST_SURPRISE, min(MOST_SURPRISE, surprise))


def _weights(points: Sequence[int], value: int) -> dict[int, float]:
    """Return the places of the points around a value with their shares of it.

    >>> _weights([1, 2, 4, 8], 5), _weights([1, 2], 9), _weights([8, 16], 3)
    ({2: 0.75, 3: 0.25}, {1: 1.0}, {0: 1.0})
    """
    if value <= points[0]:
        return {0: 1.0}
    if value >= points[-1]:
        return {len(points) - 1: 1.0}
    right = next(place for place, point in enumerate(points) if point >= value)
    share = (value - points[right - 1]) / (points[right] - points[right - 1])
    return {right - 1: 1.0 - share, right: share} if share < 1.0 else {right: 1.0}
