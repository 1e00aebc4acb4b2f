"""What a smaller model lost: the task's own metric on examples that nothing was fitted to, with an interval, and its agreement."""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tightrope.base.errors import InputError, build_unknown_name_error
from tightrope.base.records import FloatArray, IntArray
from tightrope.perf.compress.graph import AnyArray
from tightrope.perf.compress.model_runs import Vectors

DRAWS = 1000
"""Of the bootstrap that the intervals come from."""
STEPS, RATE, DECAY = 300, 0.05, 1e-4
"""Of the head: steps and rate of Adam, and how much its weights are pulled to 0."""
Metric = Callable[[IntArray, IntArray], float]


@dataclass(frozen=True, slots=True)
class Head:
    """A logistic regression on a model's vectors: what an application trains on an embedding."""

    weights: FloatArray
    bias: FloatArray
    mean: FloatArray
    scale: FloatArray

    def scores(self, vectors: Vectors | FloatArray) -> FloatArray:
        """Return float64[examples, classes], probabilities."""
        return _softmax(((unit(vectors) - self.mean) / self.scale) @ self.weights + self.bias)


def unit(vectors: Vectors | FloatArray) -> FloatArray:
    """Return the vectors, each of length 1."""
    found = vectors.astype(np.float64)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def _softmax(values: AnyArray) -> FloatArray:
    """Return probabilities of float64[examples, classes]."""
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_head(vectors: Vectors | FloatArray, labels: IntArray, classes: int, *, centred: bool = True) -> Head:
    """Return the head that fits best, by so many whole steps: the same every time; ``centred`` brings every column to one scale first."""
    given = unit(vectors)
    size = given.shape[1]
    mean, scale = (given.mean(axis=0), np.maximum(given.std(axis=0), 1e-6)) if centred else (np.zeros(size), np.full(size, 0.05))
    given = ((given - mean) / scale).astype(np.float32)
    wanted = np.eye(classes, dtype=np.float32)[labels]
    parts: list[AnyArray] = [np.zeros((given.shape[1], classes), np.float32), np.zeros(classes, np.float32)]
    first, second = [np.zeros_like(part) for part in parts], [np.zeros_like(part) for part in parts]
    for step in range(1, STEPS + 1):
        error = (_softmax(given @ parts[0] + parts[1]) - wanted) / len(given)
        slopes = [given.T @ error + DECAY * parts[0], error.sum(axis=0)]
        for place, slope in enumerate(slopes):
            first[place] = 0.9 * first[place] + 0.1 * slope
            second[place] = 0.999 * second[place] + 0.001 * slope**2
            change = (first[place] / (1 - 0.9**step)) / (np.sqrt(second[place] / (1 - 0.999**step)) + 1e-12)
            parts[place] = parts[place] - RATE * change * (1 - step / (STEPS + 1))
    return Head(parts[0].astype(np.float64), parts[1].astype(np.float64), mean, scale)


def cosine(left: Vectors, right: Vectors) -> FloatArray:
    """Return float64[examples]: how nearly two answers point the same way."""
    return np.einsum("ij,ij->i", unit(left), unit(right))


# ------------------------------------------------------------------------------------------------------------------- metrics


def accuracy(labels: IntArray, predicted: IntArray) -> float:
    """Return the share that is right."""
    return float((labels == predicted).mean())


def macro_f1(labels: IntArray, predicted: IntArray) -> float:
    """Return the mean over the classes of the F1 score.

    >>> round(macro_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])), 3)
    0.733
    """
    size = int(max(labels.max(), predicted.max())) + 1
    right = np.bincount(labels[labels == predicted], minlength=size)
    total = np.bincount(labels, minlength=size) + np.bincount(predicted, minlength=size)
    there = np.bincount(labels, minlength=size) > 0
    return float((2 * right[there] / np.maximum(total[there], 1)).mean())


METRICS: dict[str, Metric] = {"accuracy": accuracy, "macro-f1": macro_f1}


def find_metric(name: str) -> Metric:
    """Return a metric by its name, or ``package.module:function`` of your own: (labels, predicted) → larger is better."""
    if name in METRICS:
        return METRICS[name]
    module, _, function = name.partition(":")
    if not function:
        raise build_unknown_name_error(name, kind="metric", known=METRICS)
    try:
        found: Metric = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        msg = f"the metric {name!r} cannot be imported: {error}"
        raise InputError(msg, resolve="give package.module:function, importable from here") from error
    return _checked(name, found)


def _checked(name: str, own: Metric) -> Metric:
    """Return a user's metric, which raises ``InputError`` where it fails or returns no finite number."""

    def metric(labels: IntArray, predicted: IntArray) -> float:
        try:
            value = float(own(labels, predicted))
        except Exception as error:
            msg = f"the metric {name!r} fails ({type(error).__name__}: {error})"
            raise InputError(
                msg, resolve="correct it: it takes two int64 arrays, labels and predicted, and returns a number"
            ) from error
        if not math.isfinite(value):
            msg = f"the metric {name!r} is {value} on {len(labels)} examples, expected a finite number"
            raise InputError(msg, resolve="let it return a number whatever it is given, such as 0 where a class is missing")
        return value

    return metric


@dataclass(frozen=True, slots=True)
class QualityScore:
    """What a variant is worth beside the original."""

    metric: float
    low: float
    high: float
    """Of the metric's 95 % interval."""
    drop: float
    """The original's metric less this one."""
    drop_low: float
    drop_high: float
    agreement: float
    """Share of the examples that both answer alike."""
    cosine: float
    examples: int


def judge(metric: Metric, labels: IntArray, original: IntArray, ours: IntArray, alike: FloatArray, seed: int) -> QualityScore:
    """Return the metric of ``ours`` and its drop, with 95 % intervals from examples drawn again and again (paired bootstrap)."""
    random = np.random.default_rng(seed)
    size = len(labels)
    figures = np.empty((DRAWS, 2))
    for draw in range(DRAWS):
        places = random.integers(0, size, size)
        figures[draw] = metric(labels[places], ours[places]), metric(labels[places], original[places])
    ends = np.percentile(figures[:, 0], [2.5, 97.5])
    drops = np.percentile(figures[:, 1] - figures[:, 0], [2.5, 97.5])
    here, there = metric(labels, ours), metric(labels, original)
    same = float((original == ours).mean())
    return QualityScore(
        here, float(ends[0]), float(ends[1]), there - here, float(drops[0]), float(drops[1]), same, float(alike.mean()), size
    )
