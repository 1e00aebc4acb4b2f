"""Teaches a smaller model to answer as the original does, without labels: Adam on the gradient that ``gradients.py`` writes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tightrope.base.errors import InputError
from tightrope.base.records import IntArray
from tightrope.perf.compress.examples import Examples
from tightrope.perf.compress.gradients import backward, trainable
from tightrope.perf.compress.graph import AnyArray, Graph, as_bytes, changed, graph_of
from tightrope.perf.compress.model_runs import open_session, valid

Progress = Callable[[str], None]
TARGET, WEIGHT, LOSS = "taught_target", "taught_weight", "taught_loss"


@dataclass(frozen=True, slots=True)
class Lessons:
    """How long and how fast is learned."""

    steps: int = 150
    batch: int = 16
    rate: float = 3e-4
    """Of Adam, rising over the first tenth and falling to 0 along a cosine."""
    whole: float = 20.0
    """How much the mean over the tokens counts beside each token, where the answer is that mean."""
    seed: int = 1


def distil(student: Graph, teacher: Graph, examples: Examples, lessons: Lessons, progress: Progress = lambda _: None) -> Graph:
    """Return the student after its lessons. Raises ``NotImplementedError`` where an operator has no gradient here."""
    original = open_session(as_bytes(teacher))
    try:
        model, names = _training(student, lessons, _rank(original, examples))
        session = open_session(as_bytes(model))
    except InputError as error:
        msg = f"its gradient is no graph that runs: {str(error).splitlines()[0]}"
        raise NotImplementedError(msg) from error
    weights = {name: student.constants[name].copy() for name in names}
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    for step, (part, places, feeds) in enumerate(_batches(examples, lessons), 1):
        target = original.run(None, feeds)[0]
        given = feeds | weights | {TARGET: target, WEIGHT: _weight(part, places, feeds, target)}
        loss, *slopes = _slopes(session, names, given)
        if step % 10 == 0:
            progress(f"lesson {step} of {lessons.steps}: error {float(loss):.4g}")
        rate = lessons.rate * min(1.0, 10 * step / lessons.steps) * 0.5 * (1 + np.cos(np.pi * step / (lessons.steps + 1)))
        for name, slope in zip(names, slopes, strict=True):
            _step(weights[name], slope, first[name], second[name], step, float(rate))
    return changed(student, dict(weights))


def _slopes(session: Any, names: list[str], given: dict[str, AnyArray]) -> list[AnyArray]:  # noqa: ANN401 - onnxruntime has no types
    """Return the error and every weight's gradient; raise ``NotImplementedError`` where they do not fit each other."""
    try:
        found: list[AnyArray] = session.run([LOSS, *(f"{name}_slope" for name in names)], given)
    except Exception as error:  # the runtime raises kinds of its own
        msg = f"its gradient cannot be computed: {str(error).splitlines()[0][:200]}"
        raise NotImplementedError(msg) from error
    for name, slope in zip(names, found[1:], strict=True):
        if slope.shape != given[name].shape:
            msg = f"the gradient of {name!r} has the shape {slope.shape}, expected {given[name].shape}"
            raise NotImplementedError(msg)
    return found


def _rank(session: Any, examples: Examples) -> int:  # noqa: ANN401 - onnxruntime has no types
    """Return how many axes the model's answer has: three where it has a vector for each token."""
    _, feeds = next(examples.batches(1))
    return int(session.run(None, feeds)[0].ndim)


def _weight(part: Examples, places: IntArray, feeds: dict[str, AnyArray], target: AnyArray) -> AnyArray:
    """Return float32[batch, length, 1]: what each token counts, 1 for a text; ones where answers are not of tokens."""
    if target.ndim != 3:
        return np.ones((len(target), *([1] * (target.ndim - 1))), np.float32)
    mask = valid(part, places, feeds)
    one = np.ones(target.shape[:2]) if mask is None or mask.shape != target.shape[:2] else mask.astype(np.float64)
    return (one / one.sum(axis=1, keepdims=True))[..., None].astype(np.float32)


def _step(weight: AnyArray, slope: AnyArray, first: AnyArray, second: AnyArray, step: int, rate: float) -> None:
    """Take one step of Adam (Kingma and Ba, 2015), in place."""
    first *= 0.9
    first += 0.1 * slope
    second *= 0.999
    second += 0.001 * np.square(slope)
    root = np.sqrt(second)
    root /= np.float32((1 - 0.999**step) ** 0.5)
    root += 1e-8
    weight -= np.float32(rate / (1 - 0.9**step)) * first / root


def _batches(examples: Examples, lessons: Lessons) -> Iterator[tuple[Examples, IntArray, dict[str, AnyArray]]]:
    """Yield as many batches as there are steps, in an order that the seed draws."""
    random = np.random.default_rng(lessons.seed)
    left: list[tuple[Examples, IntArray, dict[str, AnyArray]]] = []
    for _ in range(lessons.steps):
        if not left:
            part = examples.take(random.permutation(len(examples)))
            found = [(part, places, feeds) for places, feeds in part.batches(lessons.batch)]
            left = [found[place] for place in random.permutation(len(found))]
        yield left.pop()


def _training(student: Graph, lessons: Lessons, rank: int) -> tuple[Graph, list[str]]:
    """Return the graph of a step, and what it learns: these weights are inputs, and outputs are the error and their gradients.

    What leads to other outputs than the first alone has no gradient, and is left as it is.
    """
    import onnx
    from onnx import helper

    output = student.model.graph.output[0].name
    tape = backward(student, output, "taught_seed")
    names = [name for name in trainable(student) if name in tape.slopes]
    extra = dict(tape.constants)
    rest = helper.make_node("Sub", [output, TARGET], ["taught_rest"])
    each = helper.make_node("Mul", ["taught_rest", WEIGHT], ["taught_each"])
    error = helper.make_node("Mul", ["taught_rest", "taught_each"], ["taught_square"])
    loss = helper.make_node("ReduceSum", ["taught_square"], [LOSS], keepdims=0)
    ends = [rest, each, error, loss]
    if rank == 3:
        extra["taught_axis"] = np.array([1], np.int64)
        extra["taught_whole"] = np.array(lessons.whole, np.float32)
        ends += [
            helper.make_node("ReduceSum", ["taught_each", "taught_axis"], ["taught_mean"], keepdims=1),
            helper.make_node("Mul", ["taught_mean", "taught_whole"], ["taught_heavy"]),
            helper.make_node("Mul", ["taught_heavy", WEIGHT], ["taught_spread"]),
            helper.make_node("Add", ["taught_each", "taught_spread"], ["taught_seed"]),
        ]
    else:
        ends.append(helper.make_node("Identity", ["taught_each"], ["taught_seed"]))
    slopes = [helper.make_node("Identity", [tape.slopes[name]], [f"{name}_slope"]) for name in names]
    model = onnx.ModelProto()
    model.CopyFrom(student.model)
    model.graph.node.extend([*ends, *tape.nodes, *slopes])
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in [LOSS, *(f"{name}_slope" for name in names)])
    kept = [item for item in model.graph.initializer if item.name not in names]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in extra.items())
    model.graph.input.extend(helper.make_tensor_value_info(name, 1, student.constants[name].shape) for name in names)
    model.graph.input.extend(helper.make_tensor_value_info(name, 1, [None] * rank) for name in (TARGET, WEIGHT))
    return graph_of(model), names
