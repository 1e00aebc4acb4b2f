"""Single requests of a ``Demand`` over a stretch of time: the recorded ones, or drawn at its rates. Same seed, same bytes.

A draw is a renewal process in operational time, which is the integral of the rate: so the rate of every bin holds, and so does the
variation between arrivals. Where the demand is known by client, every client is such a process, and they are merged in time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tightrope.base.records import ClientMix, Demand, FloatArray, IntArray
from tightrope.demand.renewal_process import GapLaw, Renewal, law_of
from tightrope.demand.request_keys import draw_keys

STEP = 262_144
"""Arrivals of all clients expected in one step of a draw: enough for arrays to pay off, few enough for a processor's cache."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests in order: ``time_s`` is float64[n] on the demand's own clock, the token counts are int64[n]."""

    time_s: FloatArray
    input_tokens: IntArray
    output_tokens: IntArray
    key: IntArray | None = None
    """What the answers are kept under; negative where one never is."""

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.time_s)


def draw_arrivals(demand: Demand, start_s: float, end_s: float, seed: int) -> Arrivals:
    """Return the requests in [start_s, end_s): those of the trace where it lists them, else a draw.

    Gaps have the demand's distribution and ``interarrival_cv``: Poisson's where the cv is 1, all alike where it is 0. Sizes are
    drawn from the joint sample. Raises ``ValueError`` outside the trace.
    """
    _check_stretch(demand, start_s, end_s)
    if len(demand.arrival_s):
        return _recorded(demand, start_s, end_s)
    if demand.clients is not None:
        return _joined(list(_client_steps(demand, demand.clients, start_s, end_s, seed)))
    generator = np.random.Generator(np.random.PCG64(seed))
    clock = _OperationalTime.of(demand, start_s, end_s)
    points = _renewals(clock.end - clock.begin, law_of(demand.interarrival_law, demand.interarrival_cv), generator)
    time_s = clock.times(clock.begin + points)
    return _sized(demand, time_s, generator)


def _check_stretch(demand: Demand, start_s: float, end_s: float) -> None:
    """Refuse a stretch that is empty or not within the demand."""
    if not 0 <= start_s < end_s <= demand.duration_s * (1 + 1e-12):
        msg = f"got [{start_s:g}, {end_s:g}) s, expected a stretch of [0, {demand.duration_s:g}) s"
        raise ValueError(msg)


def _recorded(demand: Demand, start_s: float, end_s: float) -> Arrivals:
    """Return the trace's own requests of a stretch."""
    first, last = np.searchsorted(demand.arrival_s, [start_s, end_s])
    key = None if demand.key is None else demand.key[first:last]
    return Arrivals(demand.arrival_s[first:last], demand.input_tokens[first:last], demand.output_tokens[first:last], key)


def _sized(demand: Demand, time_s: FloatArray, generator: np.random.Generator) -> Arrivals:
    """Return the requests at these times, each with the size of a random one of the sample, or of the recorded one at its time."""
    if demand.key is not None:
        at, key = draw_keys(demand, demand.key, time_s)
        return Arrivals(time_s, demand.input_tokens[at], demand.output_tokens[at], key)
    drawn = generator.integers(len(demand.input_tokens), size=len(time_s))
    return Arrivals(time_s, demand.input_tokens[drawn], demand.output_tokens[drawn])


# --------------------------------------------------------------------------------------------------------- one process in all


class _OperationalTime(NamedTuple):
    """Operational time of a stretch: ``expected`` requests by each of the bins' ``edges``; the stretch is [begin, end) of it."""

    edges: FloatArray
    expected: FloatArray
    begin: float
    end: float
    start_s: float
    end_s: float

    @classmethod
    def of(cls, demand: Demand, start_s: float, end_s: float) -> "_OperationalTime":
        """Return the clock of a demand."""
        edges = np.arange(len(demand.rate_per_s) + 1, dtype=np.float64) * demand.bin_s
        expected = np.concatenate([[0.0], np.cumsum(demand.rate_per_s * demand.bin_s)])
        begin, end = np.interp([start_s, end_s], edges, expected)
        return cls(edges, expected, float(begin), float(end), start_s, end_s)

    def times(self, points: FloatArray) -> FloatArray:
        """Return the times, float64[points], at which so many requests are expected; ascending points give ascending times."""
        if not len(points):
            return points
        first = max(int(np.searchsorted(self.expected, points[0])) - 1, 0)
        last = int(np.searchsorted(self.expected, points[-1], side="right")) + 1
        times = np.interp(points, self.expected[first:last], self.edges[first:last])
        return np.clip(times, self.start_s, np.nextafter(self.end_s, self.start_s), out=times)


def _renewals(length: float, law: GapLaw, generator: np.random.Generator) -> FloatArray:
    """Return the points in [0, length) of a stationary renewal process of rate 1."""
    parts = [np.array([law.first(generator)])]
    reached = float(parts[0][0])
    while reached < length:
        left = length - reached
        gaps = law.gaps(generator, int(left + 6 * law.cv * np.sqrt(left)) + 16)
        parts.append(reached + np.cumsum(gaps))
        reached = float(parts[-1][-1])
    points = np.concatenate(parts)
    return points[: np.searchsorted(points, length)]


# ----------------------------------------------------------------------------------------------------- a process for each client


class _Client:
    """One client's process, which begins anew where its law changes."""

    def __init__(self) -> None:
        self._process: Renewal | None = None
        self._origin = self._end = self._expected = 0.0

    def enter(self, law: GapLaw, expected: float, seed: int, place: tuple[int, int]) -> None:
        """Go on to the next bin, in which so many requests are expected."""
        if self._process is None or self._process.law != law:
            self._process, self._end = Renewal(law, _generator(seed, place)), 0.0
        self._origin, self._expected, self._end = self._end, expected, self._end + expected

    def until(self, share: float) -> FloatArray:
        """Return the points up to this share of the bin that were not returned before, as shares of the bin."""
        assert self._process is not None  # noqa: S101 - a bin is entered before its points are asked for
        points = self._process.before(self._end if share == 1 else self._origin + share * self._expected)
        return (points - self._origin) / self._expected


def _generator(seed: int, place: tuple[int, int]) -> np.random.Generator:
    """Return the generator of a place of its own: a bin, and in it the sizes (0) or a client (from 1)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=place)))


def _client_steps(demand: Demand, mix: ClientMix, start_s: float, end_s: float, seed: int) -> Iterator[Arrivals]:
    """Yield the requests of a stretch, bin by bin and within a bin about ``STEP`` at a time, all clients merged."""
    clients = [_Client() for _ in mix.share]
    for b in range(int(start_s // demand.bin_s), len(demand.rate_per_s)):
        begin_s, stop_s = max(start_s, b * demand.bin_s), min(end_s, (b + 1) * demand.bin_s)
        if stop_s <= begin_s:
            return
        expected = mix.share[:, b] * (demand.rate_per_s[b] * (stop_s - begin_s))
        active = np.flatnonzero(expected)
        for c in active:
            law = GapLaw("weibull" if mix.weibull[c, b] else "gamma", float(mix.shape[c, b]))
            clients[c].enter(law, float(expected[c]), seed, (b, int(c) + 1))
        of_sizes, steps = _generator(seed, (b, 0)), int(np.ceil(expected.sum() / STEP))
        for step in range(steps):
            points = np.concatenate([clients[c].until((step + 1) / steps) for c in active])
            low_s, high_s = (begin_s + (stop_s - begin_s) * (step + after) / steps for after in (0, 1))
            time_s = begin_s + np.sort(points) * (stop_s - begin_s)
            yield _sized(demand, np.clip(time_s, low_s, np.nextafter(high_s, low_s)), of_sizes)


def _joined(parts: list[Arrivals]) -> Arrivals:
    """Return the parts one after another."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Arrivals(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    return Arrivals(
        np.concatenate([part.time_s for part in parts]),
        np.concatenate([part.input_tokens for part in parts]),
        np.concatenate([part.output_tokens for part in parts]),
        None if (keys := [part.key for part in parts if part.key is not None]) == [] else np.concatenate(keys),
    )
