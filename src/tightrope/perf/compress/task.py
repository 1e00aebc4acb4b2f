"""The task that a model is for, and what every variant of it answers on examples that are kept apart."""

from dataclasses import dataclass

import numpy as np

from tightrope.base.errors import InputError
from tightrope.base.records import FloatArray, IntArray
from tightrope.perf.compress.examples import Examples
from tightrope.perf.compress.graph import Graph, as_bytes
from tightrope.perf.compress.model_runs import Vectors, answers, open_session
from tightrope.perf.compress.quality import Head, Metric, QualityScore, cosine, fit_head, judge

CALIBRATION = 128
"""Examples that ranges, importance and sensitivity are measured on."""
ALONE = 24
"""Examples that are answered alone and in a batch, to see whether that matters."""
SAME = 1e-4
"""Answers that differ by less, as 1 - cosine, are the same but for the order of sums."""
LEAST = 40


@dataclass(frozen=True, slots=True)
class Splits:
    """Examples, disjoint: to fit on, to choose by, and to state the outcome on."""

    fit: Examples
    tune: Examples
    test: Examples

    @property
    def calibration(self) -> Examples:
        """The first of those to fit on."""
        return self.fit.take(np.arange(min(CALIBRATION, len(self.fit))))


@dataclass(slots=True)
class Task:
    """The original's answers, and how a variant's are judged beside them."""

    graph: Graph
    splits: Splits
    metric: Metric
    seed: int
    own_head: bool
    """Whether a variant gets a head of its own, as where the application is trained again; else the original's."""
    logits: bool
    """Whether the model answers with a score for each class itself."""
    head: Head | None
    vectors: dict[str, Vectors]
    """Of the original, by split."""

    def scores(self, vectors: Vectors, head: Head | None) -> FloatArray:
        """Return float64[examples, classes]: larger is likelier."""
        if self.logits or head is None:
            values = vectors.astype(np.float64)
            powers = np.exp(values - values.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)
        return head.scores(vectors)

    def original(self, split: str) -> FloatArray:
        """Return the original's scores on a split."""
        return self.scores(self.vectors[split], self.head)


def task_of(graph: Graph, splits: Splits, metric: Metric, seed: int, *, own_head: bool) -> Task:
    """Return the task of a model; raise ``InputError`` where there are too few examples to say anything."""
    sizes = {name: len(getattr(splits, name)) for name in ("fit", "tune", "test")}
    if min(sizes.values()) < LEAST:
        msg = f"too few examples: {sizes}, expected {LEAST} or more in each"
        raise InputError(msg, resolve="give more labelled examples (--data), or those to fit on apart (--train)")
    session = open_session(as_bytes(graph))
    vectors = {name: answers(session, getattr(splits, name)) for name in ("fit", "tune", "test")}
    classes = len(splits.fit.classes)
    logits = vectors["fit"].shape[1] == classes and len(graph.model.graph.output[0].type.tensor_type.shape.dim) == 2
    if logits:
        _check_order(vectors["fit"].argmax(axis=1), splits.fit)
    head = None if logits else fit_head(vectors["fit"], splits.fit.labels, classes)
    return Task(graph, splits, metric, seed, own_head, logits, head, vectors)


def _check_order(said: IntArray, examples: Examples) -> None:
    """Raise ``InputError`` where the model's scores plainly stand in another order than the labels."""
    size = len(examples.classes)
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (said, examples.labels), 1)
    seen = np.flatnonzero(counts.any(axis=1))
    order = counts.argmax(axis=1)
    if len(set(order[seen].tolist())) == len(seen) and counts[seen, order[seen]].sum() > np.trace(counts):
        place = int(seen[np.argmax(order[seen] != seen)])
        msg = (
            f"the model's scores stand in another order than the labels: number {place} is largest where the label is "
            f"{examples.classes[order[place]]!r}, and counts as {examples.classes[place]!r}"
        )
        raise InputError(
            msg, resolve="number the labels as the model does: 0 where its first score should be largest, 1 its second"
        )


@dataclass(slots=True)
class VariantTrial:
    """A variant and its answers."""

    name: str
    precision: str
    model: bytes
    how: str
    """In words: what was done to it."""
    tune: QualityScore
    test: QualityScore
    scores: dict[str, FloatArray]
    """By split, tune and test."""
    batch_variant: bool
    """Whether an answer depends on what it is batched with."""
    alone: float
    """Least cosine of an answer given alone and the same given in a batch."""
    pruned: bool = False
    """Whether parts of the original are taken out."""


def try_variant(task: Task, name: str, precision: str, graph: Graph, how: str) -> VariantTrial:
    """Return a variant with its answers judged on the examples to choose by, and on those kept apart."""
    model = as_bytes(graph)
    session = open_session(model)
    head = task.head
    if task.own_head and not task.logits and graph is not task.graph:
        head = fit_head(answers(session, task.splits.fit), task.splits.fit.labels, len(task.splits.fit.classes))
    judged: dict[str, QualityScore] = {}
    scores: dict[str, FloatArray] = {}
    for split in ("tune", "test"):
        examples: Examples = getattr(task.splits, split)
        vectors = task.vectors[split] if graph is task.graph else answers(session, examples)
        scores[split] = task.scores(vectors, head)
        ours, theirs = scores[split].argmax(axis=1), task.original(split).argmax(axis=1)
        judged[split] = judge(task.metric, examples.labels, theirs, ours, cosine(vectors, task.vectors[split]), task.seed)
    few = task.splits.tune.take(np.arange(min(ALONE, len(task.splits.tune))))
    least = float(cosine(answers(session, few, 1), answers(session, few, ALONE)).min())
    return VariantTrial(name, precision, model, how, judged["tune"], judged["test"], scores, 1.0 - least > SAME, least)
