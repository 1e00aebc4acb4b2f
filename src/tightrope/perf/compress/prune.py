"""Smaller shapes: whole layers, attention heads and inner neurons are taken out, the least important first, and what is left re-fitted.

Importance is measured on calibration examples. A layer's is what the answers lose without it. A neuron's is the energy that it adds to what
its matrix makes, and after the cut that matrix is fitted again, by ridge regression, to make what it made with all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tightrope.base.errors import InputError
from tightrope.base.records import FloatArray
from tightrope.perf.compress.examples import Examples
from tightrope.perf.compress.graph import AnyArray, Graph, changed
from tightrope.perf.compress.model_runs import run_bytes, watch
from tightrope.perf.compress.quality import cosine
from tightrope.perf.compress.structure import Layer, Neurons, find_heads, find_layers, find_neurons

ROUND = 32
"""Neurons are kept in multiples of this, which is what the runtime's inner loops are made for."""
LAYER_EXAMPLES = 48
"""Of the calibration examples, on which every layer is left out in turn."""
RIDGE = 1e-3
"""Of the mean energy of a neuron, added before the fit."""
FIRST = "first_head"
WHERE = {
    "heads": "leave heads out of --prune: they are found where an attention is one MultiHeadAttention node, as in com.microsoft's",
    "neurons": "leave neurons out of --prune: they are found between two MatMul nodes with nothing but element-wise operators between",
}
"""What is to be taken out → what to do where there is none."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PruningCut:
    """How much is taken out."""

    layers: int = 0
    neurons: float = 0.0
    """Share of the inner neurons of every layer."""
    heads: float = 0.0
    """Share of the heads of every attention."""

    @property
    def name(self) -> str:
        """Return what a variant is called after: what was taken out of it.

        >>> PruningCut(2, 0.5).name, PruningCut(heads=0.25).name
        ('less-2l-50n', 'less-25h')
        """
        parts = [f"{self.layers}l"] * (self.layers > 0) + [f"{100 * self.neurons:.0f}n"] * (self.neurons > 0)
        return "-".join(["less", *parts, *([f"{100 * self.heads:.0f}h"] * (self.heads > 0))])

    @property
    def words(self) -> str:
        """Return what is taken out, in words.

        >>> PruningCut(2, 0.5).words
        'without 2 layers, 50% of the neurons, 0% of the heads'
        """
        return f"without {self.layers} layers, {self.neurons:.0%} of the neurons, {self.heads:.0%} of the heads"


def prune(graph: Graph, cut: PruningCut, calibration: Examples, progress: Progress = lambda _: None) -> Graph:
    """Return the model with so much taken out, and the matrices behind the cuts re-fitted."""
    graph = without_layers(graph, cut.layers, calibration, progress)
    for what, share, find in (("heads", cut.heads, find_heads), ("neurons", cut.neurons, find_neurons)):
        places = find(graph) if share else []
        if share and not places:
            msg = f"the model has no {what} that can be taken out"
            raise InputError(msg, resolve=WHERE[what])
        if places:
            graph = _narrowed(graph, places, share, calibration)
    return graph


def without_layers(graph: Graph, count: int, calibration: Examples, progress: Progress = lambda _: None) -> Graph:
    """Return the model without the layers whose loss changes the answers least, found one after the other."""
    there = len(find_layers(graph))
    if count and count >= there:
        msg = f"{count} layers are to be taken out, and the model has {there} that can be told apart"
        raise InputError(msg, resolve="take out fewer; a layer is an attention and what follows it, each added to what went in")
    calibration = calibration.take(np.arange(min(LAYER_EXAMPLES, len(calibration))))
    reference = run_bytes(graph, calibration) if count else np.zeros((0, 1), np.float32)
    for number in range(count):
        tried: list[tuple[float, Graph]] = []
        for place, layer in enumerate(find_layers(graph)):
            progress(f"layer {number + 1} of {count} to take out: try the {place + 1}th")
            shorter = _without(graph, layer)
            tried.append((float(cosine(run_bytes(shorter, calibration), reference).mean()), shorter))
        graph = max(tried, key=lambda item: item[0])[1]
    return graph


def _without(graph: Graph, layer: Layer) -> Graph:
    """Return the model without a layer: who took what came out of it takes what went in."""
    from onnx import helper

    if layer.out not in graph.outputs:
        return changed(graph, {}, rename={layer.out: layer.into})
    instead = helper.make_node("Identity", [layer.into], [layer.out])
    return changed(graph, {}, [*(node for node in graph.nodes if layer.out not in node.output), instead])


def _narrowed(graph: Graph, places: Sequence[Neurons], share: float, calibration: Examples) -> Graph:
    """Return the model with this share of each place's units taken out."""
    grams: dict[str, FloatArray] = {}

    def add(name: str, value: AnyArray) -> None:
        rows = value.astype(np.float32, copy=False)
        grams[name] = grams.get(name, 0.0) + (rows.T @ rows).astype(np.float64)

    watch(graph, [place.tensor for place in places], calibration, add)
    constants: dict[str, AnyArray] = {}
    heads: dict[str, int] = {}
    for place in places:
        kept = kept_units(importance(grams[place.tensor], graph.constants[place.out_of], place.unit), share, place.unit)
        columns = (kept[:, None] * place.unit + np.arange(place.unit)).ravel()
        for name in place.into:  # in a chain of layers the matrix behind one place, cut already, is that before the next
            constants[name] = np.ascontiguousarray(constants.get(name, graph.constants[name])[..., columns])
        constants[place.out_of] = refitted(grams[place.tensor], graph.constants[place.out_of], columns)
        heads[place.node] = len(kept)
    return changed(graph, constants | {FIRST: np.zeros(1, np.int64)}, _with_heads(graph, heads))


def _with_heads(graph: Graph, heads: dict[str, int]) -> list[Any]:
    """Return the nodes, every attention told how many heads it has; what hides tokens from all heads alike is kept once for them all."""
    import onnx

    nodes: list[Any] = []
    once: dict[str, str] = {}
    for node in graph.nodes:
        if node.output[0] not in heads:
            nodes.append(node)
            continue
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        next(item for item in copy.attribute if item.name == "num_heads").i = heads[node.output[0]]
        if len(node.input) > 5 and node.input[5]:
            name = node.input[5]
            if name not in once:
                once[name] = f"{name}_of_all"
                nodes.append(onnx.helper.make_node("Gather", [name, FIRST], [once[name]], axis=1))
            copy.input[5] = once[name]
        nodes.append(copy)
    return nodes


def importance(gram: FloatArray, matrix: AnyArray, unit: int = 1) -> FloatArray:
    """Return float64[units]: the energy that each unit adds to what the matrix makes; ``gram`` float64[n, n] is of what it takes."""
    if unit == 1:
        return np.diag(gram) * np.square(matrix.astype(np.float64)).sum(axis=1)
    parts = [slice(start, start + unit) for start in range(0, len(gram), unit)]
    return np.array([float(((gram[part, part] @ matrix[part]) * matrix[part]).sum()) for part in parts])


def kept_units(score: FloatArray, share: float, unit: int = 1) -> AnyArray:
    """Return int64[kept], rising: the most important units, at least one; single neurons in multiples of 32.

    >>> kept_units(np.array([3.0, 1.0, 2.0, 4.0]), 0.5).tolist()
    [0, 3]
    """
    count = max(1, round((1.0 - share) * len(score)))
    if unit == 1 and len(score) > 2 * ROUND:
        count = max(ROUND, round(count / ROUND) * ROUND)
    return np.sort(np.argsort(-score, kind="stable")[:count])


def refitted(gram: FloatArray, matrix: AnyArray, kept: AnyArray) -> AnyArray:
    """Return float32[kept, m]: the matrix that makes most nearly the same of the kept columns as ``matrix`` does of all (ridge)."""
    inner = gram[np.ix_(kept, kept)]
    weight = RIDGE * float(np.trace(inner)) / len(kept) or 1.0
    old = matrix.astype(np.float64)
    right = gram[kept] @ old + weight * old[kept]
    return np.linalg.solve(inner + weight * np.eye(len(kept)), right).astype(np.float32)
