"""Tries what makes a model smaller, one thing and then several together, and stops where it would get no better.

Everything is chosen on the examples to choose by. What is stated of a variant, and what the budget is held against, comes from examples
that nothing was chosen on.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tightrope.base.errors import InputError
from tightrope.perf.compress.cascade import CalibratedCascade, PairAnswers, calibrate, fit_words
from tightrope.perf.compress.distil import Lessons, distil
from tightrope.perf.compress.graph import Graph
from tightrope.perf.compress.model_runs import run_bytes
from tightrope.perf.compress.prune import PruningCut, prune
from tightrope.perf.compress.quality import Metric, cosine
from tightrope.perf.compress.quantize import (
    blocked,
    dynamic_int8,
    float16,
    matrices_of,
    multiplications,
    name_of,
    small_tables,
    static_int8,
)
from tightrope.perf.compress.structure import find_heads, find_layers, find_neurons
from tightrope.perf.compress.task import Splits, Task, VariantTrial, task_of, try_variant
from tightrope.perf.compress.tensor_ranges import METHODS, TensorRange, observe
from tightrope.perf.compress.variant_speed import VariantSpeed, compare_speeds

ORIGINAL = "fp32"
KINDS = ("int8", "int8-dynamic", "fp16", "int4")
NEURON_STEP, HEAD_STEP = 0.25, 0.25
FURTHER = 0.05
"""A cut that loses more than this beyond the budget is not cut further: what follows from it loses more."""
HOW = {
    "int8-dynamic": "dynamic int8, ranges of each batch, a scale for each column",
    "fp16": "matrices and tables kept in 16 bits, computed in 32",
    "int4": "weights of 4 bits in blocks of 32, multiplied in 8",
}
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """What may be tried."""

    max_drop: float = 0.005
    """Largest loss of the metric that is written, as a share: 0.5 points are 0.005."""
    kinds: tuple[str, ...] = KINDS
    cuts: tuple[PruningCut, ...] = ()
    """Cuts to try; where there are none, ``tries`` are searched for."""
    tries: int = 4
    lessons: Lessons | None = field(default_factory=Lessons)
    """None distils nothing."""
    method: str = ""
    """How ranges are found; the best of all where left out."""
    own_head: bool = False
    sure: bool = False
    """Hold the budget against the end of the interval."""
    seed: int = 1


@dataclass(slots=True)
class CompressionResult:
    """The original first, then everything that was tried."""

    trials: list[VariantTrial]
    speeds: dict[str, VariantSpeed]
    front: frozenset[str]
    """Names that nothing else beats in both speed and metric, and of what is whole those that nothing whole beats.

    A pruned model answers fewer examples as the original does, and whether it is as good is known less well: who wants none of it finds
    the best of the others.
    """
    within: frozenset[str]
    """Names within the budget."""
    cascades: tuple[CalibratedCascade, ...]
    notices: tuple[str, ...]


def compress(
    graph: Graph, splits: Splits, metric: Metric, asked: SearchLimits, shapes: dict[str, tuple[int, ...]], progress: Progress
) -> CompressionResult:
    """Return everything tried on a model, beside the original."""
    progress("run the original")
    search = _Search(graph, task_of(graph, splits, metric, asked.seed, own_head=asked.own_head), asked, shapes, progress)
    search.quantised()
    search.pruned()
    return search.found()


class _Search:
    """What has been tried so far."""

    def __init__(
        self, graph: Graph, task: Task, asked: SearchLimits, shapes: dict[str, tuple[int, ...]], progress: Progress
    ) -> None:
        self.graph, self.task, self.asked, self.shapes, self.progress = graph, task, asked, shapes, progress
        self.notices: list[str] = []
        self.method = asked.method
        self.skip: tuple[str, ...] = ()
        self.trials = [self.attempt(ORIGINAL, "fp32", graph, "the original, its constants folded")]
        if (whole := self.trials[0].test.metric) <= 0:
            msg = f"the original's metric is {whole:g}, and quality is stated as a share of it: expected more than 0"
            raise InputError(
                msg, resolve="check model and labels, or take a --metric that is 0 at the worst and larger where better"
            )

    def attempt(self, name: str, precision: str, graph: Graph, how: str) -> VariantTrial:
        """Return a variant, tried."""
        self.progress(f"try {name}")
        return try_variant(self.task, name, precision, graph, how)

    # -------------------------------------------------------------------------------------------------------------- quantise

    def quantised(self) -> None:
        """Try the original with shorter numbers."""
        if not multiplications(self.graph):
            self.notices.append("the model multiplies by no constant matrix (MatMul): there is nothing to quantise")
            return
        if "int8" in self.asked.kinds:
            self.trials.append(self.static(ORIGINAL, self.graph))
        others: dict[str, Callable[[Graph], Graph]] = {
            "int8-dynamic": dynamic_int8,
            "fp16": float16,
            "int4": lambda graph: blocked(graph, 4),
        }
        for kind, make in others.items():
            if kind in self.asked.kinds:
                precision = kind.partition("-")[0]
                made = small_tables(make(self.graph)) if precision == "int8" else make(self.graph)
                self.trials.append(self.attempt(kind, precision, made, HOW[kind]))

    def static(self, name: str, graph: Graph) -> VariantTrial:
        """Return the static int8 form of a graph, with ever more multiplications left as they are until the budget is kept."""
        calibration = self.task.splits.calibration
        self.progress(f"calibrate {name}")
        seen = observe(graph, list(matrices_of(graph)), calibration)
        method = self.method or self.best_method(graph, seen)
        self.method = method
        title = "int8" if name == ORIGINAL else f"{name}-int8"
        how = f"static int8, {method} ranges of {len(calibration)} examples, a scale for each column"
        trial = self.attempt(title, "int8", small_tables(static_int8(graph, seen, method)), how)
        if name != ORIGINAL or not self.over(trial):
            return trial
        order = self.sensitive(graph, seen, method)
        for count in (2**power for power in range(len(order).bit_length()) if 2**power < len(order)):
            skip = order[:count]
            made = small_tables(static_int8(graph, seen, method, skip))
            again = self.attempt(
                title, "int8", made, f"{how}; {count} of {len(order)} multiplications left in float32: {', '.join(skip[:4])}"
            )
            trial = again if again.tune.drop < trial.tune.drop else trial
            if not self.over(trial):
                break
        return trial

    def over(self, trial: VariantTrial) -> bool:
        """Return whether a variant loses more than the budget beyond chance: leaving multiplications in float32 costs speed."""
        return (trial.tune.drop_high if self.asked.sure else trial.tune.drop_low) > self.asked.max_drop

    def best_method(self, graph: Graph, seen: dict[str, TensorRange]) -> str:
        """Return the way of finding ranges whose answers are nearest to the graph's own."""
        calibration = self.task.splits.calibration
        reference = run_bytes(graph, calibration)
        near: dict[str, float] = {}
        for method in METHODS:
            self.progress(f"calibrate by {method}")
            near[method] = float(cosine(run_bytes(static_int8(graph, seen, method), calibration), reference).mean())
        return max(near, key=lambda method: near[method])

    def sensitive(self, graph: Graph, seen: dict[str, TensorRange], method: str) -> list[str]:
        """Return the multiplications, the one first that alone changes the answers most when it is rounded."""
        calibration = self.task.splits.calibration.take(np.arange(min(32, len(self.task.splits.calibration))))
        reference = run_bytes(graph, calibration)
        names = [name_of(node) for node in multiplications(graph)]
        near: dict[str, float] = {}
        for place, name in enumerate(names):
            self.progress(f"sensitivity of multiplication {place + 1} of {len(names)}")
            alone = static_int8(graph, seen, method, [other for other in names if other != name])
            near[name] = float(cosine(run_bytes(alone, calibration), reference).mean())
        return sorted(names, key=lambda name: near[name])

    # ----------------------------------------------------------------------------------------------------------------- prune

    def pruned(self) -> None:
        """Try cuts: those asked for, or ever deeper ones from those that no other cut beats."""
        tried: set[PruningCut] = {PruningCut()}
        front: list[tuple[int, float]] = []
        waiting = list(self.asked.cuts) or self.deeper(PruningCut())
        while waiting and len(tried) <= (len(self.asked.cuts) or self.asked.tries):
            cut = waiting.pop(0)
            if cut in tried:
                continue
            tried.add(cut)
            work, drop = self.cut(cut)
            beaten = any(less <= work and lost <= drop for less, lost in front)
            front.append((work, drop))
            if not self.asked.cuts and not beaten and drop <= self.asked.max_drop + FURTHER:
                waiting = [*self.deeper(cut), *waiting]

    def deeper(self, cut: PruningCut) -> list[PruningCut]:
        """Return the cuts that take one step more, that which shortens most first."""
        layers, neurons, heads = find_layers(self.graph), find_neurons(self.graph), find_heads(self.graph)
        steps: list[PruningCut] = []
        if cut.layers + 1 < len(layers):
            steps.append(PruningCut(cut.layers + 1, cut.neurons, cut.heads))
        if neurons and cut.neurons + NEURON_STEP < 1:
            steps.append(PruningCut(cut.layers, cut.neurons + NEURON_STEP, cut.heads))
        if heads and cut.heads + HEAD_STEP < 1:
            steps.append(PruningCut(cut.layers, cut.neurons, cut.heads + HEAD_STEP))
        return steps

    def cut(self, cut: PruningCut) -> tuple[int, float]:
        """Try one cut, alone and in int8; return the multiplications a token still takes, and the least it loses of the metric."""
        made = prune(self.graph, cut, self.task.splits.calibration, self.progress)
        how = f"{cut.words}, re-fitted"
        if self.asked.lessons is not None:
            try:
                made = distil(made, self.graph, self.task.splits.fit, self.asked.lessons, self.progress)
                how += f", distilled in {self.asked.lessons.steps} steps of {self.asked.lessons.batch}"
            except NotImplementedError as error:
                self.notices.append(f"{cut.name}: not distilled, {error}")
        trials = [self.attempt(cut.name, "fp32", made, how)]
        if "int8" in self.asked.kinds:
            trials.append(self.static(cut.name, made))
        self.trials += [replace(trial, pruned=True) for trial in trials]
        work = sum(made.constants[node.input[1]].size for node in multiplications(made))
        return work, min(trial.tune.drop for trial in trials)

    # --------------------------------------------------------------------------------------------------------------- outcome

    def found(self) -> CompressionResult:
        """Return what came out, with the speeds of all, measured in turns."""
        self.progress("measure the speed of all")
        with tempfile.TemporaryDirectory() as folder:
            files = {trial.name: Path(folder) / f"{trial.name}.onnx" for trial in self.trials}
            for trial in self.trials:
                files[trial.name].write_bytes(trial.model)
            speeds = compare_speeds(files, self.shapes)
        front = front_of(self.trials, speeds)
        within = frozenset(trial.name for trial in self.trials if self.drop(trial) <= self.asked.max_drop + 1e-12)
        if within == {ORIGINAL}:
            self.notices.append("nothing smaller keeps within the budget: allow more (--max-drop), or teach longer (--lessons)")
        return CompressionResult(self.trials, speeds, front, within, self.cascades(front), tuple(self.notices))

    def drop(self, trial: VariantTrial) -> float:
        """Return the loss that the budget is held against."""
        return 0.0 if trial.name == ORIGINAL else trial.test.drop_high if self.asked.sure else trial.test.drop

    def cascades(self, front: frozenset[str]) -> tuple[CalibratedCascade, ...]:
        """Return the cascades from everything cheaper, and from plain word counts, to the original."""
        splits = self.task.splits
        labels, original = {"tune": splits.tune.labels, "test": splits.test.labels}, self.trials[0].scores
        small = {trial.name: trial.scores for trial in self.trials[1:] if trial.name in front}
        if splits.fit.texts:
            self.progress("fit plain word counts")
            words = fit_words(splits.fit.texts, splits.fit.labels, len(splits.fit.classes))
            small["tf-idf"] = {"tune": words.scores(splits.tune.texts), "test": words.scores(splits.test.texts)}
        both = {
            name: tuple(PairAnswers(labels[split], scores[split], original[split]) for split in ("tune", "test"))
            for name, scores in small.items()
        }
        return tuple(calibrate((name, ORIGINAL), chosen, held, self.task.metric) for name, (chosen, held) in both.items())


def front_of(trials: Sequence[VariantTrial], speeds: dict[str, VariantSpeed]) -> frozenset[str]:
    """Return the names of what nothing else beats in both speed and the metric on the examples to choose by, or nothing that is whole."""
    return _unbeaten(trials, speeds) | _unbeaten([trial for trial in trials if not trial.pruned], speeds)


def _unbeaten(trials: Sequence[VariantTrial], speeds: dict[str, VariantSpeed]) -> frozenset[str]:
    """Return the names of what none of the others beats."""
    kept = [
        trial.name
        for trial in trials
        if not any(
            speeds[other.name].ratio >= speeds[trial.name].ratio
            and other.tune.metric >= trial.tune.metric
            and (speeds[other.name].ratio, other.tune.metric) != (speeds[trial.name].ratio, trial.tune.metric)
            for other in trials
        )
    ]
    return frozenset(kept)
