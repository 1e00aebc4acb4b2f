"""Traffic that is declared and not recorded: constant, daily, nightly."""

import math

import numpy as np

from tightrope.base.records import Demand, FloatArray

PATTERN_BIN_S = 60.0
DAY_S = 86_400.0


def define_constant(rate_per_s: float, duration_s: float) -> Demand:
    """Return the same rate all the time."""
    return _demand(np.full(len(_minutes(duration_s)), rate_per_s), 1.0, f"declared: {rate_per_s:g}/s")


def define_daily(mean_per_s: float, peak_per_s: float, peak_hour: float, duration_s: float) -> Demand:
    """Return a sine of one day around ``mean_per_s`` that is ``peak_per_s`` at ``peak_hour``."""
    phase = (_minutes(duration_s) / DAY_S - peak_hour / 24) * 2 * math.pi
    note = f"declared: {mean_per_s:g}/s on the mean, {peak_per_s:g}/s at {peak_hour:g} h"
    return _demand(mean_per_s + (peak_per_s - mean_per_s) * np.cos(phase), 1.0, note)


def define_nightly(per_day: int, release_h: float, duration_s: float) -> Demand:
    """Return ``per_day`` requests a day, evenly within the minute that begins at ``release_h``."""
    released = (_minutes(duration_s) % DAY_S).astype(np.int64) == round(release_h % 24 * 60) * 60
    return _demand(np.where(released, per_day / PATTERN_BIN_S, 0.0), 0.0, f"declared: {per_day:,} a day at {release_h:g} h")


def _minutes(duration_s: float) -> FloatArray:
    """Return the start of each bin in seconds; a pattern lasts at least a day."""
    return np.arange(round(max(duration_s, DAY_S) / PATTERN_BIN_S), dtype=np.float64) * PATTERN_BIN_S


def _demand(rate_per_s: FloatArray, cv: float, source: str) -> Demand:
    """Return rates without sizes."""
    one = np.ones(1, dtype=np.int64)
    return Demand(PATTERN_BIN_S, rate_per_s, one, one, cv, np.empty(0), source)
