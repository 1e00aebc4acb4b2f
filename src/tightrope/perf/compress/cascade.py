"""When a small model's answer is good enough: by the margin between its two likeliest classes, chosen on one split, measured on another."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.perf.compress.quality import Head, Metric, fit_head
from tightrope.perf.measure.steady_part import never_falling

SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8)
"""Of the requests that go on to the large model, for which a threshold is chosen."""
MOST_WORDS = 6000
"""Commonest words that the plain model counts."""
WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True, slots=True)
class ThresholdStep:
    """One threshold: below this margin a request goes on to the large model."""

    margin: float
    escalated: float
    """Share of the held-out examples that went on."""
    metric: float
    """Of all answers together, as it was measured on them."""
    chosen_metric: float
    """The same on the examples that thresholds are chosen on."""


@dataclass(frozen=True, slots=True)
class CalibratedCascade:
    """A cascade from a small to a large model, on held-out examples."""

    small: str
    large: str
    small_metric: float
    large_metric: float
    steps: tuple[ThresholdStep, ...]
    parity: float | None
    """Share escalated at the first threshold with which the cascade is as good as the large model alone on the examples that thresholds are
    chosen on; None where it never is."""
    parity_metric: float | None
    """Of the held-out examples at that threshold: not chosen by them, so it may lie on either side of ``large_metric``."""
    notice: str

    def curve(self) -> list[dict[str, float]]:
        """Return the points that a workload's ``cascade:`` takes: quality beside the large model's, smoothed so that it never falls."""
        quality = never_falling(np.array([step.metric / self.large_metric for step in self.steps]))
        points: dict[float, float] = {}
        for step, value in zip(self.steps, quality, strict=True):
            points.setdefault(round(step.escalated, 4), round(float(value), 4))
        return [{"escalated": share, "quality": value} for share, value in points.items()]


def margins(scores: FloatArray) -> FloatArray:
    """Return float64[examples]: by how much the likeliest class is likelier than the next.

    >>> margins(np.array([[0.7, 0.2, 0.1]])).round(3).tolist()
    [0.5]
    """
    ranked = np.sort(scores, axis=1)
    return ranked[:, -1] - ranked[:, -2]


@dataclass(frozen=True, slots=True)
class PairAnswers:
    """What two models answered on one split."""

    labels: IntArray
    small: FloatArray
    """float64[examples, classes], probabilities."""
    large: FloatArray


def calibrate(names: tuple[str, str], chosen_on: PairAnswers, held_out: PairAnswers, metric: Metric) -> CalibratedCascade:
    """Return the cascade whose thresholds escalate given shares of ``chosen_on``, and what it does on ``held_out``."""
    known = margins(chosen_on.small)
    found = margins(held_out.small)
    small, large = held_out.small.argmax(axis=1), held_out.large.argmax(axis=1)
    tuned_small, tuned_large = chosen_on.small.argmax(axis=1), chosen_on.large.argmax(axis=1)
    steps: dict[float, ThresholdStep] = {}
    for share in SHARES:
        margin = float(np.quantile(known, share)) if share else -1.0
        goes = found < margin
        escalated = float(goes.mean())
        tuned = metric(chosen_on.labels, np.where(known < margin, tuned_large, tuned_small))
        stated = metric(held_out.labels, np.where(goes, large, small))
        steps.setdefault(round(escalated, 4), ThresholdStep(margin, escalated, stated, tuned))
    alone = metric(held_out.labels, large)
    ordered = tuple(steps[share] for share in sorted(steps))
    parity = next((step for step in ordered if step.chosen_metric >= metric(chosen_on.labels, tuned_large)), None)
    cheap = metric(held_out.labels, small)
    figures = (None, None) if parity is None else (parity.escalated, parity.metric)
    return CalibratedCascade(*names, cheap, alone, ordered, *figures, _notice(names, cheap, alone, parity))


def _notice(names: tuple[str, str], small: float, large: float, parity: ThresholdStep | None) -> str:
    """Return what a user should know before taking a cascade."""
    if small >= large:
        return f"{names[0]} alone is as good or better ({small:.4f} against {large:.4f}): no cascade is needed, serve it alone"
    if parity is None:
        return f"the cascade is never as good as {names[1]} alone"
    return (
        f"as good as {names[1]} alone when {parity.escalated:.1%} go on to it: {parity.metric:.4f} against {large:.4f} held out"
    )


# ---------------------------------------------------------------------------------------------------------------- plain model


@dataclass(frozen=True, slots=True)
class WordModel:
    """TF-IDF and a logistic regression: what a model of any size should beat before it is paid for."""

    places: dict[str, int]
    weights: FloatArray
    head: Head

    def scores(self, texts: Sequence[str]) -> FloatArray:
        """Return float64[texts, classes], probabilities."""
        return self.head.scores(_counted(texts, self.places, self.weights))


def fit_words(texts: Sequence[str], labels: IntArray, classes: int) -> WordModel:
    """Return the plain model of labelled texts."""
    seen = Counter(word for text in texts for word in set(WORD.findall(text.lower())))
    common = sorted(seen, key=lambda word: (-seen[word], word))[:MOST_WORDS]
    places = {word: place for place, word in enumerate(common)}
    weights = np.array([np.log((1 + len(texts)) / (1 + seen[word])) + 1 for word in common])
    return WordModel(places, weights, fit_head(_counted(texts, places, weights), labels, classes, centred=False))


def _counted(texts: Sequence[str], places: dict[str, int], weights: FloatArray) -> FloatArray:
    """Return float64[texts, words]: the logarithm of how often each word stands there, rare words counting more."""
    found = np.zeros((len(texts), len(places)))
    for row, text in enumerate(texts):
        for word, count in Counter(WORD.findall(text.lower())).items():
            if word in places:
                found[row, places[word]] = 1 + np.log(count)
    return found * weights
