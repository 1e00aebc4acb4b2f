"""Renewal processes of rate 1: points whose gaps are independent, with a Gamma or a Weibull distribution of mean 1.

A shape of 1 is Poisson; smaller shapes come in bursts, larger ones are more regular, infinity is a clock.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tightrope.base.records import FloatArray

FIRST_BLOCK, LARGEST_BLOCK = 16, 65_536
"""Gaps drawn at a time: few where few are needed, and never more than fit a processor's cache."""
SMALLEST_SHAPE, LARGEST_SHAPE = 0.02, 1e4


@dataclass(frozen=True, slots=True)
class GapLaw:
    """The distribution of gaps of mean 1, by its shape."""

    kind: Literal["gamma", "weibull"]
    shape: float

    @property
    def cv(self) -> float:
        """Coefficient of variation of the gaps.

        >>> GapLaw("gamma", 0.25).cv, round(GapLaw("weibull", 0.5).cv, 6)
        (2.0, 2.236068)
        """
        if math.isinf(self.shape):
            return 0.0
        return self.shape**-0.5 if self.kind == "gamma" else weibull_cv(self.shape)

    def gaps(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Return gaps, float64[size]."""
        if math.isinf(self.shape):
            return np.ones(size)
        if self.shape == 1:
            return generator.standard_exponential(size)
        if self.kind == "gamma":
            return generator.gamma(self.shape, 1 / self.shape, size=size)
        return generator.weibull(self.shape, size=size) / math.gamma(1 + 1 / self.shape)

    def first(self, generator: np.random.Generator) -> float:
        """Return the time to the first point of a process that has been running for long: a uniform part of a length-biased gap.

        Length-biased Gamma(k) gaps are Gamma(k + 1); the power k of a length-biased Weibull(k) gap is Gamma(1 + 1 / k). (Cox,
        Renewal Theory, 1962, sections 5.3 and 5.4.)
        """
        part = generator.random()
        if math.isinf(self.shape):
            return part
        if self.kind == "gamma":
            return part * generator.gamma(self.shape + 1) / self.shape
        return part * generator.gamma(1 + 1 / self.shape) ** (1 / self.shape) / math.gamma(1 + 1 / self.shape)


def law_of(kind: Literal["gamma", "weibull"], cv: float) -> GapLaw:
    """Return the law whose gaps have this coefficient of variation.

    >>> law_of("weibull", 5**0.5)
    GapLaw(kind='weibull', shape=0.5)
    """
    if cv == 0:
        return GapLaw(kind, math.inf)
    return GapLaw(kind, 1 / cv**2 if kind == "gamma" else weibull_shape(cv))


def weibull_cv(shape: float) -> float:
    """Return the coefficient of variation of a Weibull distribution: that of Γ(1 + 2/k) / Γ(1 + 1/k)² - 1, its square.

    >>> round(weibull_cv(0.5), 9) == round(5**0.5, 9)
    True
    """
    return math.sqrt(max(math.expm1(math.lgamma(1 + 2 / shape) - 2 * math.lgamma(1 + 1 / shape)), 0.0))


def weibull_shape(cv: float) -> float:
    """Return the shape of the Weibull distribution with this cv, by bisection; shapes stay within 0.02 and 10,000.

    >>> round(weibull_shape(1.0), 9)
    1.0
    """
    low, high = math.log(SMALLEST_SHAPE), math.log(LARGEST_SHAPE)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if weibull_cv(math.exp(middle)) > cv else (low, middle)
    return float(f"{math.exp(middle):.12g}")


class Renewal:
    """The points of a stationary renewal process on [0, ∞), taken stretch by stretch; the stretches do not change the points."""

    def __init__(self, law: GapLaw, generator: np.random.Generator) -> None:
        self.law, self._generator = law, generator
        self._left = np.array([law.first(generator)])
        self._reached, self._size = float(self._left[0]), FIRST_BLOCK

    def before(self, limit: float) -> FloatArray:
        """Return the points below ``limit`` that were not returned before, ascending."""
        parts = [self._left]
        while self._reached < limit:
            points = np.cumsum(self.law.gaps(self._generator, self._size))
            points += self._reached
            parts.append(points)
            self._reached, self._size = float(points[-1]), min(2 * self._size, LARGEST_BLOCK)
        points = np.concatenate(parts) if len(parts) > 1 else self._left
        cut = int(np.searchsorted(points, limit))
        self._left = points[cut:]
        return points[:cut]
