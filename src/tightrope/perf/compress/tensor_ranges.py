"""Which stretch of numbers 8 bits are spent on, found on calibration examples: all of them, or less where that errs less."""

from dataclasses import dataclass

import numpy as np

from tightrope.base.records import FloatArray
from tightrope.perf.compress.examples import Examples
from tightrope.perf.compress.graph import AnyArray, Graph
from tightrope.perf.compress.model_runs import watch

METHODS = ("minmax", "percentile", "entropy")
ROWS = 1024
"""Rows of each tensor that are kept to look at."""
PERCENTILE = 99.99
"""Share of the numbers, in percent, that the percentile method keeps."""
BINS, LEVELS = 2048, 128
"""Of the histogram that entropy looks at, and what it is brought to (Migacz, 8-bit inference with TensorRT, 2017)."""


@dataclass(slots=True)
class TensorRange:
    """What was seen of one tensor: its extremes, and an even sample of its rows."""

    low: float
    high: float
    rows: AnyArray
    every: int = 1
    count: int = 0


def observe(graph: Graph, names: list[str], examples: Examples) -> dict[str, TensorRange]:
    """Return tensor → what was seen of it, the same for the same examples."""
    seen: dict[str, TensorRange] = {}

    def look(name: str, value: AnyArray) -> None:
        values = value.astype(np.float32, copy=False)
        item = seen.setdefault(name, TensorRange(0.0, 0.0, values[:0]))
        item.low, item.high = min(item.low, float(values.min())), max(item.high, float(values.max()))
        first = -item.count % item.every
        item.count += len(values)
        item.rows = np.concatenate([item.rows, values[first :: item.every]])
        while len(item.rows) > 2 * ROWS:
            item.rows, item.every = item.rows[::2], 2 * item.every

    watch(graph, names, examples, look)
    return seen


def scale_of(seen: TensorRange, method: str) -> tuple[float, int]:
    """Return scale and zero point, uint8, of a tensor."""
    if method == "percentile":
        low, high = (float(end) for end in np.percentile(seen.rows, [100 - PERCENTILE, PERCENTILE]))
    elif method == "entropy":
        most = _entropy_threshold(np.abs(seen.rows).ravel())
        low, high = max(seen.low, -most), min(seen.high, most)
    else:
        low, high = seen.low, seen.high
    return affine(low, high)


def affine(low: float, high: float) -> tuple[float, int]:
    """Return scale and zero point such that 0 is exact.

    >>> affine(-128.0, 127.0)
    (1.0, 128)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255.0 or 1.0
    return scale, round(-low / scale)


def rounded(values: AnyArray, scale: float, zero: int) -> AnyArray:
    """Return what 8 bits keep of the values."""
    return ((np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale).astype(np.float32)


def _entropy_threshold(values: AnyArray) -> float:
    """Return the threshold at which 128 levels say most about the values that stay (least Kullback-Leibler divergence)."""
    most = float(values.max(initial=0.0))
    if most == 0.0:
        return 1.0
    counts = np.histogram(values, BINS, (0.0, most))[0].astype(np.float64)
    ends = np.arange(LEVELS, BINS + 1, 16)
    return most * float(ends[int(np.argmin([_divergence(counts, int(end)) for end in ends]))]) / BINS


def _divergence(counts: FloatArray, end: int) -> float:
    """Return what is lost if bins from ``end`` on are counted in the last one, and the others brought to few levels."""
    kept = counts[:end].copy()
    level = np.arange(end) * LEVELS // end
    filled = kept > 0
    total = np.bincount(level, kept, LEVELS)
    share = np.bincount(level, filled, LEVELS)
    coarse = np.where(filled, total[level] / np.maximum(share[level], 1), 0.0)
    kept[-1] += counts[end:].sum()
    both = (kept > 0) & (coarse > 0)
    p, q = kept / kept.sum(), coarse / coarse.sum()
    return float((p[both] * np.log(p[both] / q[both])).sum() + p[(kept > 0) & ~both].sum() * 20.0)
