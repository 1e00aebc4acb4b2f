"""Recorded requests by their place in time: what an answer is kept under goes with each of them."""

from dataclasses import replace

import numpy as np

from tightrope.base.records import Demand, FloatArray, IntArray


def places_of(demand: Demand, time_s: FloatArray) -> IntArray:
    """Return which recorded request is the first at or after each time, int64[times], by the share of requests expected before it.

    Where the demand lists its requests, their own times decide.
    """
    if len(demand.arrival_s):
        return np.searchsorted(demand.arrival_s, time_s).astype(np.int64)
    edges = np.arange(len(demand.rate_per_s) + 1) * demand.bin_s
    expected = np.concatenate([[0.0], np.cumsum(demand.rate_per_s)])
    share = np.interp(time_s, edges, expected) / expected[-1]
    return np.floor(share * len(demand.input_tokens) + 1e-9).astype(np.int64)


def times_of(demand: Demand) -> FloatArray:
    """Return when each recorded request comes, float64[samples]: the inverse of ``places_of``."""
    if len(demand.arrival_s):
        return demand.arrival_s
    edges = np.arange(len(demand.rate_per_s) + 1) * demand.bin_s
    expected = np.concatenate([[0.0], np.cumsum(demand.rate_per_s)])
    count = len(demand.input_tokens)
    return np.interp((np.arange(count) + 0.5) / count * expected[-1], expected, edges)


def draw_keys(demand: Demand, key: IntArray, time_s: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the recorded request that each drawn one repeats, and its key; int64[times] each.

    A recorded request that stands for several drawn ones gives its key to the first: the others would be hits that nobody saw.
    """
    at = np.minimum(places_of(demand, time_s), len(key) - 1)
    again = np.concatenate([[False], at[1:] == at[:-1]]) if len(at) else np.zeros(0, dtype=bool)
    return at, np.where(again, -1, key[at])


def without_cached(demand: Demand, growth: float) -> Demand:
    """Return the demand without what the chosen cache answers; ``growth`` adds requests, and none of those is taken for a hit."""
    if demand.cached is None or not demand.cached.any():
        return demand
    factor = demand.requests * (1.0 + growth) / len(demand.cached)
    bins = np.minimum((times_of(demand)[demand.cached] / demand.bin_s).astype(np.int64), len(demand.rate_per_s) - 1)
    hits_per_s = np.bincount(bins, minlength=len(demand.rate_per_s)) / demand.bin_s * min(1.0, factor) / (1.0 + growth)
    asked = ~demand.cached
    some = asked if asked.any() else np.ones_like(asked)
    return replace(
        demand,
        rate_per_s=np.maximum(demand.rate_per_s - hits_per_s, 0.0),
        arrival_s=demand.arrival_s[asked] if len(demand.arrival_s) else demand.arrival_s,
        input_tokens=demand.input_tokens[some],
        output_tokens=demand.output_tokens[some],
        key=None,
        cached=None,
    )
