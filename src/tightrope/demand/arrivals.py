"""Single requests of a ``Demand`` over a stretch of time: the recorded ones, or drawn at its rates. Same seed, same bytes."""

from dataclasses import dataclass

import numpy as np

from tightrope.base.records import Demand, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests in order: ``time_s`` is float64[n] on the demand's own clock, the token counts are int64[n]."""

    time_s: FloatArray
    input_tokens: IntArray
    output_tokens: IntArray


def draw_arrivals(demand: Demand, start_s: float, end_s: float, seed: int) -> Arrivals:
    """Return the requests in [start_s, end_s): those of the trace where it lists them, else a draw.

    The draw is a renewal process in operational time (the integral of the rate), so that the rate of every bin and
    ``interarrival_cv`` both hold: Gamma gaps, which are Poisson's where the cv is 1, and all alike where it is 0. Sizes are drawn
    from the joint sample. Raises ``ValueError`` outside the trace.
    """
    if not 0 <= start_s < end_s <= demand.duration_s * (1 + 1e-12):
        msg = f"got [{start_s:g}, {end_s:g}) s, expected a stretch of [0, {demand.duration_s:g}) s"
        raise ValueError(msg)
    if len(demand.arrival_s):
        first, last = np.searchsorted(demand.arrival_s, [start_s, end_s])
        return Arrivals(demand.arrival_s[first:last], demand.input_tokens[first:last], demand.output_tokens[first:last])
    generator = np.random.Generator(np.random.PCG64(seed))
    time_s = _times(demand, start_s, end_s, generator)
    drawn = generator.integers(len(demand.input_tokens), size=len(time_s))
    return Arrivals(time_s, demand.input_tokens[drawn], demand.output_tokens[drawn])


def _times(demand: Demand, start_s: float, end_s: float, generator: np.random.Generator) -> FloatArray:
    """Return ascending times: points of a unit-rate renewal process, mapped through the inverse of the expected count."""
    edges = np.arange(len(demand.rate_per_s) + 1) * demand.bin_s
    expected = np.concatenate([[0.0], np.cumsum(demand.rate_per_s * demand.bin_s)])
    begin, end = np.interp([start_s, end_s], edges, expected)
    points = begin + _renewals(float(end - begin), demand.interarrival_cv, generator)
    return np.clip(np.interp(points, expected, edges), start_s, np.nextafter(end_s, start_s))


def _renewals(length: float, cv: float, generator: np.random.Generator) -> FloatArray:
    """Return the points in [0, length) of a stationary renewal process of rate 1 whose gaps have this cv.

    The first point follows the forward recurrence time: a uniform share of a length-biased gap, which is Gamma(k + 1) where gaps
    are Gamma(k) (Cox, Renewal Theory, 1962, section 5.4).
    """
    if cv == 0:
        points = generator.random() + np.arange(np.ceil(length))
        return points[points < length]
    shape = 1 / cv**2
    parts = [np.array([generator.random() * generator.gamma(shape + 1) / shape])]
    reached = float(parts[0][0])
    while reached < length:
        gaps = generator.gamma(shape, 1 / shape, size=int(length - reached + 6 * cv * np.sqrt(length - reached)) + 16)
        parts.append(reached + np.cumsum(gaps))
        reached = float(parts[-1][-1])
    points = np.concatenate(parts)
    return points[: np.searchsorted(points, length)]
