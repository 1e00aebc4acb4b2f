"""Fits the four coefficients of a token engine to times of single steps: closed form for each knee, and the knee by search.

With ``weights_s = knee * per_token_s`` a step is ``overhead_s + per_token_s * max(knee, tokens) + per_cached_token_s * cached``:
linear in three coefficients that cannot be negative. Squares of relative errors are summed, so that short steps count as long ones.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tightrope.base.records import FloatArray

KNEES = np.unique(np.round(np.geomspace(1, 2048, 400), 3))
"""Tokens of a step from which arithmetic takes longer than reading the weights: what is tried."""
LEAST_STEPS = 12
"""Fewer steps do not tell four coefficients apart."""


@dataclass(frozen=True, slots=True)
class ServerStep:
    """One step of a server: new tokens (prefill and decode), tokens cached before it, and how long it takes."""

    tokens: int
    cached_tokens: int
    seconds: float
    held_out: bool = False
    """Kept out of the fit, to judge it."""


@dataclass(frozen=True, slots=True)
class StepCoefficients:
    """The four numbers of ``TokenEngine``, in seconds."""

    overhead_s: float
    weights_s: float
    per_token_s: float
    per_cached_token_s: float

    def predict(self, steps: tuple[ServerStep, ...]) -> FloatArray:
        """Return the time of every step in seconds, float64[steps]."""
        tokens = np.array([step.tokens for step in steps], np.float64)
        cached = np.array([step.cached_tokens for step in steps], np.float64)
        return self.overhead_s + np.maximum(self.weights_s, tokens * self.per_token_s) + cached * self.per_cached_token_s


@dataclass(frozen=True, slots=True)
class FitError:
    """Absolute relative errors of a fit over some steps."""

    median: float
    p95: float
    worst: float


def _not_negative(columns: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the least-squares coefficients that are not negative, float64[knees, n], and their sums of squares, float64[knees].

    ``columns`` is float64[knees, steps, n]. Every set of columns is tried by its normal equations.
    """
    gram = np.einsum("ksi,ksj->kij", columns, columns)
    right = np.einsum("ksi,s->ki", columns, target)
    best = np.zeros_like(right)
    least = np.full(len(right), float(target @ target))
    for size in range(1, right.shape[1] + 1):
        for chosen in combinations(range(right.shape[1]), size):
            kept = np.array(chosen)
            ridge = 1e-12 * np.eye(size)
            found = np.linalg.solve(gram[:, kept[:, None], kept] + ridge, right[:, kept, None])[:, :, 0]
            loss = float(target @ target) - np.einsum("ki,ki->k", found, right[:, kept])
            better = (found >= 0).all(axis=1) & (loss < least)
            least = np.where(better, loss, least)
            best[better] = 0.0
            best[np.flatnonzero(better)[:, None], kept] = found[better]
    return best, least


def fit_steps(steps: tuple[ServerStep, ...]) -> StepCoefficients:
    """Return the coefficients with the least sum of squared relative errors over the steps that are not held out.

    Raises ``ValueError`` where there are too few steps to tell the coefficients apart.
    """
    used = [step for step in steps if not step.held_out]
    if len(used) < LEAST_STEPS or len({step.tokens for step in used}) < 4 or len({step.cached_tokens for step in used}) < 2:
        msg = f"got {len(used)} steps, expected at least {LEAST_STEPS} with various tokens and cached tokens"
        raise ValueError(msg)
    seconds = np.array([step.seconds for step in used])
    tokens = np.array([step.tokens for step in used], np.float64)
    cached = np.array([step.cached_tokens for step in used], np.float64)
    ones = np.broadcast_to(np.ones_like(tokens), (len(KNEES), len(tokens)))
    columns = np.stack([ones, np.maximum(KNEES[:, None], tokens), np.broadcast_to(cached, ones.shape)], axis=2) / seconds[:, None]
    scale = np.linalg.norm(columns, axis=1)
    coefficients, loss = _not_negative(columns / scale[:, None, :], np.ones_like(seconds))
    best = int(np.argmin(loss))
    overhead, per_token, per_cached = coefficients[best] / scale[best]
    knee = float(KNEES[best])
    return StepCoefficients(float(overhead), float(knee * per_token), float(per_token), float(per_cached))


def error_of(coefficients: StepCoefficients, steps: tuple[ServerStep, ...]) -> FitError:
    """Return how far the coefficients are off over the steps."""
    seconds = np.array([step.seconds for step in steps])
    off = np.abs(coefficients.predict(steps) / seconds - 1.0)
    return FitError(float(np.median(off)), float(np.quantile(off, 0.95)), float(off.max()))
