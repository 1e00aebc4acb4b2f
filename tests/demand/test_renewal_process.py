"""Renewal processes: their gaps against analytic distributions, their counts, and that they are stationary from the start.

The statistical tests use fixed seeds; bounds are those that a right generator fails once in 1,000 (Kolmogorov) or 100,000 tries
(4.5 standard deviations).
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.records import FloatArray
from tightrope.demand.renewal_process import GapLaw, Renewal, law_of, weibull_cv, weibull_shape

SIGMAS = 4.5
KOLMOGOROV = 1.95
DRAWS = 200_000


def exponential(x: FloatArray) -> FloatArray:
    return 1 - np.exp(-x)


def gamma_half(x: FloatArray) -> FloatArray:
    """Return the distribution of Gamma(1/2) with mean 1, that of a squared normal variable."""
    return np.vectorize(math.erf)(np.sqrt(x / 2))


def gamma_two(x: FloatArray) -> FloatArray:
    return 1 - np.exp(-2 * x) * (1 + 2 * x)


def weibull(shape: float) -> Callable[[FloatArray], FloatArray]:
    return lambda x: 1 - np.exp(-((x * math.gamma(1 + 1 / shape)) ** shape))


CASES = [
    (GapLaw("gamma", 1.0), exponential),
    (GapLaw("weibull", 1.0), exponential),
    (GapLaw("gamma", 0.5), gamma_half),
    (GapLaw("gamma", 2.0), gamma_two),
    (GapLaw("weibull", 0.4), weibull(0.4)),
    (GapLaw("weibull", 2.5), weibull(2.5)),
]


def distance(values: FloatArray, distribution: Callable[[FloatArray], FloatArray]) -> float:
    """Return the Kolmogorov-Smirnov distance of a sample to a distribution."""
    expected, ranks = distribution(np.sort(values)), np.arange(len(values) + 1) / len(values)
    return float(max((ranks[1:] - expected).max(), (expected - ranks[:-1]).max()))


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize(("law", "distribution"), CASES)
def test_gaps_have_their_distribution_and_no_other(law: GapLaw, distribution: Callable[[FloatArray], FloatArray]) -> None:
    gaps = np.diff(Renewal(law, generator(3)).before(DRAWS))
    bound = KOLMOGOROV / math.sqrt(len(gaps))
    assert distance(gaps, distribution) < bound
    for other, wrong in CASES:
        if other.shape != law.shape:
            assert distance(gaps, wrong) > 5 * bound


@pytest.mark.parametrize("law", [GapLaw("gamma", 0.25), GapLaw("gamma", 1.0), GapLaw("gamma", 4.0), GapLaw("weibull", 0.6)])
def test_counts_are_as_dispersed_as_the_square_of_the_cv(law: GapLaw) -> None:
    """The index of dispersion of counts over long windows (Cox, Renewal Theory, 1962, section 4.5)."""
    window, windows = 100 * max(law.cv, 1.0) ** 2, 4000
    counts = np.bincount((Renewal(law, generator(5)).before(window * windows) / window).astype(int), minlength=windows)
    dispersion = counts.var() / counts.mean()
    assert dispersion == pytest.approx(law.cv**2, rel=SIGMAS * math.sqrt(2 / windows) + 0.02)
    assert (dispersion > 1.2) == (law.cv > 1)
    assert (dispersion < 0.8) == (law.cv < 1)


@pytest.mark.parametrize("law", [GapLaw("gamma", 0.1), GapLaw("weibull", 0.4), GapLaw("weibull", 3.0), GapLaw("gamma", math.inf)])
def test_a_process_is_stationary_from_its_start(law: GapLaw) -> None:
    """Half a point is expected in half a unit of time, however bursty the process; and in the half after it."""
    counts = np.zeros((20_000, 2))
    for run in range(len(counts)):
        process = Renewal(law, generator(run))
        counts[run] = len(process.before(0.5)), len(process.before(1.0))
    assert (np.abs(counts.mean(axis=0) - 0.5) <= SIGMAS * counts.std(axis=0) / math.sqrt(len(counts))).all()


@given(
    limits=st.lists(st.floats(0, 3000), max_size=8),
    kind=st.sampled_from(["gamma", "weibull"]),
    cv=st.sampled_from([0.0, 0.7, 1, 5]),
)
def test_taking_points_in_stretches_does_not_change_them(limits: list[float], kind: str, cv: float) -> None:
    law = law_of("gamma" if kind == "gamma" else "weibull", cv)
    process = Renewal(law, generator(9))
    parts = [process.before(limit) for limit in [*sorted(limits), 3000.0]]
    whole = Renewal(law, generator(9)).before(3000)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert (np.diff(whole) >= 0).all()


@pytest.mark.parametrize(
    ("shape", "cv"), [(0.5, math.sqrt(5)), (1.0, 1.0), (2.0, math.sqrt(4 / math.pi - 1)), (1 / 3, math.sqrt(19))]
)
def test_known_weibull_shapes(shape: float, cv: float) -> None:
    assert weibull_cv(shape) == pytest.approx(cv, rel=1e-12)
    assert weibull_shape(cv) == pytest.approx(shape, rel=1e-9)


@given(st.floats(0.01, 100))
def test_the_shape_of_a_cv_has_that_cv(cv: float) -> None:
    for kind in ("gamma", "weibull"):
        assert law_of("gamma" if kind == "gamma" else "weibull", cv).cv == pytest.approx(cv, rel=1e-6)


@pytest.mark.parametrize("shape", [1e6, 1e9])
def test_a_very_regular_weibull_has_a_cv_near_0(shape: float) -> None:
    assert 0 <= weibull_cv(shape) < 2e-5
