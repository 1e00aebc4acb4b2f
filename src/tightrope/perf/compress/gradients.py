"""The gradient of a graph, written as more nodes of the same graph, so that the runtime computes it.

For every operator that transformers and plain networks have there is one function (``RULES``): the gradient of what a node makes comes
in, the gradients of what it takes go out. To extend: add a function.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tightrope.perf.compress.graph import AnyArray, Graph

TWO_OVER_ROOT_PI = 1.1283791670955126


@dataclass(slots=True)
class Tape:
    """Nodes that are being written; ``wanted`` are the tensors that need a gradient."""

    graph: Graph
    ranks: dict[str, int]
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, AnyArray] = field(default_factory=dict)
    slopes: dict[str, str] = field(default_factory=dict)
    """Tensor → the tensor that is its gradient."""

    def put(self, kind: str, *given: str, **more: Any) -> str:  # noqa: ANN401 - attributes are numbers, lists or texts
        """Append a node and return what it makes."""
        from onnx import helper

        made = f"slope_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(given), [made], f"{made}_{kind}", **more))
        return made

    def number(self, value: float | list[int]) -> str:
        """Return the name of a constant: a float32, or int64s."""
        held = np.float32(value) if isinstance(value, float) else np.array(value, np.int64)
        name = f"number_{value}"
        self.constants[name] = np.asarray(held)
        return name

    def total(self, value: str, axis: int = -1) -> str:
        """Return a tensor's sum over one axis, which stays."""
        return self.put("ReduceSum", value, self.number([axis]), keepdims=1)

    def flat(self, value: str) -> str:
        """Return a tensor as rows of its last axis."""
        shape = self.put(
            "Concat", self.number([-1]), self.put("Slice", self.put("Shape", value), *map(self.number, ([-1], [2**31]))), axis=0
        )
        return self.put("Reshape", value, shape)

    def add(self, name: str, slope: str) -> None:
        """Add to a tensor's gradient."""
        self.slopes[name] = self.put("Add", self.slopes[name], slope) if name in self.slopes else slope


def trainable(graph: Graph) -> list[str]:
    """Return the constants that can be learned: matrices, biases, and what norms scale and shift by; never tables."""
    found: dict[str, None] = {}
    for node in graph.nodes:
        if node.op_type in {"MatMul", "Add", "LayerNormalization"}:
            for name in node.input[1:] if node.op_type != "Add" else node.input:
                value = graph.constants.get(name)
                if value is not None and value.dtype == np.float32 and value.size > 1 and _learned(node.op_type, value):
                    found[name] = None
    return list(found)


def _learned(kind: str, value: AnyArray) -> bool:
    """Return whether a constant's gradient is known: a vector's, one row's that is added, a matrix' that is multiplied by."""
    return value.ndim == 1 or (value.ndim == 2 and (kind == "MatMul" or len(value) == 1))


def backward(graph: Graph, output: str, seed: str) -> Tape:
    """Return the nodes that compute the gradient of every constant of ``trainable``; ``seed`` is the gradient of ``output``.

    Raises ``NotImplementedError`` where an operator on the way has no rule.
    """
    needs = set(trainable(graph))
    for node in graph.nodes:
        if needs.intersection(node.input):
            needs.update(node.output)
    tape = Tape(graph, _ranks(graph), slopes={output: seed})
    for node in reversed(graph.nodes):
        if node.output[0] not in tape.slopes or not needs.intersection(node.input):
            continue
        if node.op_type not in RULES:
            msg = f"{node.op_type} has no rule for its gradient"
            raise NotImplementedError(msg)
        RULES[node.op_type](tape, node, tape.slopes[node.output[0]], needs)
    return tape


def _ranks(graph: Graph) -> dict[str, int]:
    """Return tensor → how many axes it has, where that can be told."""
    import onnx

    shown = onnx.shape_inference.infer_shapes(graph.model)
    items = [*shown.graph.value_info, *shown.graph.input, *shown.graph.output]
    return {item.name: len(item.type.tensor_type.shape.dim) for item in items} | {n: v.ndim for n, v in graph.constants.items()}


def _attribute(node: Any, name: str, otherwise: Any = None) -> Any:  # noqa: ANN401 - onnx has no types
    """Return an attribute's value."""
    from onnx import helper

    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), otherwise)


# --------------------------------------------------------------------------------------------------------------------- rules


def _give(tape: Tape, name: str, slope: str, needs: set[str]) -> None:
    """Add a gradient to a tensor, summed over the rows where it is a vector that was added to each of them."""
    if name not in needs:
        return
    value = tape.graph.constants.get(name)
    if value is not None and value.ndim <= 2:
        slope = tape.put("ReduceSum", tape.flat(slope), tape.number([0]), keepdims=value.ndim - 1)
    tape.add(name, slope)


def _matmul(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """d(x w) = dx w + x dw."""
    left, right = node.input
    if right in tape.graph.constants:
        if left in needs:
            tape.add(left, tape.put("MatMul", slope, tape.put("Transpose", right, perm=[1, 0])))
        tape.add(right, tape.put("MatMul", tape.put("Transpose", tape.flat(left), perm=[1, 0]), tape.flat(slope)))
        return
    rank = tape.ranks.get(right) or 4
    turn = [*range(rank - 2), rank - 1, rank - 2]
    if left in needs:
        tape.add(left, tape.put("MatMul", slope, tape.put("Transpose", right, perm=turn)))
    if right in needs:
        tape.add(right, tape.put("MatMul", tape.put("Transpose", left, perm=turn), slope))


def _add(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """Give both summands the gradient of their sum."""
    for name in node.input:
        _give(tape, name, slope, needs)


def _sub(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """Give one the gradient of the difference, and the other the opposite."""
    _give(tape, node.input[0], slope, needs)
    _give(tape, node.input[1], tape.put("Neg", slope), needs)


def _mul(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """d(a b) = b da + a db."""
    for name, other in (tuple(node.input), tuple(reversed(node.input))):
        if name in needs:
            _give(tape, name, tape.put("Mul", slope, other), needs)


def _div(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """d(a / b) = da / b - (a / b) db / b."""
    part = tape.put("Div", slope, node.input[1])
    _give(tape, node.input[0], part, needs)
    if node.input[1] in needs:
        _give(tape, node.input[1], tape.put("Neg", tape.put("Mul", part, node.output[0])), needs)


def _relu(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """Let pass what is above 0."""
    above = tape.put("Cast", tape.put("Greater", node.input[0], tape.number(0.0)), to=1)
    _give(tape, node.input[0], tape.put("Mul", slope, above), needs)


def _tanh(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """1 - tanh²."""
    rest = tape.put("Sub", tape.number(1.0), tape.put("Mul", node.output[0], node.output[0]))
    _give(tape, node.input[0], tape.put("Mul", slope, rest), needs)


def _erf(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """2 / √π · exp(-x²)."""
    bell = tape.put("Exp", tape.put("Neg", tape.put("Mul", node.input[0], node.input[0])))
    _give(tape, node.input[0], tape.put("Mul", slope, tape.put("Mul", bell, tape.number(TWO_OVER_ROOT_PI))), needs)


def _gelu(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """Φ(x) + x φ(x); the approximation by tanh differs from it by less than 0.001."""
    x = node.input[0]
    normal = tape.put(
        "Mul", tape.put("Add", tape.put("Erf", tape.put("Mul", x, tape.number(0.5**0.5))), tape.number(1.0)), tape.number(0.5)
    )
    bell = tape.put("Exp", tape.put("Mul", tape.put("Mul", x, x), tape.number(-0.5)))
    curve = tape.put("Mul", tape.put("Mul", x, bell), tape.number(TWO_OVER_ROOT_PI / 8**0.5))
    _give(tape, x, tape.put("Mul", slope, tape.put("Add", normal, curve)), needs)


def _softmax(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """Return y (dy - Σ y dy)."""
    axis = _attribute(node, "axis", -1)
    _give(tape, node.input[0], _through_softmax(tape, node.output[0], slope, axis), needs)


def _through_softmax(tape: Tape, shares: str, slope: str, axis: int = -1) -> str:
    """Return the gradient of what became ``shares``."""
    weighed = tape.put("Mul", shares, slope)
    return tape.put("Sub", weighed, tape.put("Mul", shares, tape.total(weighed, axis)))


def _layer_norm(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """Of y = (x - mean) / deviation · scale + shift over the last axis."""
    x, scale = node.input[0], node.input[1]
    size = float(tape.graph.constants[scale].shape[-1])
    centred = tape.put("Sub", x, tape.put("Mul", tape.total(x), tape.number(1.0 / size)))
    square = tape.put("Mul", tape.total(tape.put("Mul", centred, centred)), tape.number(1.0 / size))
    deviation = tape.put("Sqrt", tape.put("Add", square, tape.number(float(_attribute(node, "epsilon", 1e-5)))))
    normal = tape.put("Div", centred, deviation)
    _give(tape, scale, tape.put("Mul", slope, normal), needs)
    if len(node.input) > 2:
        _give(tape, node.input[2], slope, needs)
    inner = tape.put("Mul", slope, scale)
    mean = tape.put("Mul", tape.total(inner), tape.number(1.0 / size))
    along = tape.put("Mul", normal, tape.put("Mul", tape.total(tape.put("Mul", inner, normal)), tape.number(1.0 / size)))
    _give(tape, x, tape.put("Div", tape.put("Sub", tape.put("Sub", inner, mean), along), deviation), needs)


def _transpose(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """Turn back."""
    turn = list(_attribute(node, "perm"))
    _give(tape, node.input[0], tape.put("Transpose", slope, perm=[turn.index(axis) for axis in range(len(turn))]), needs)


def _reshape(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """Give the gradient the shape that there was."""
    _give(tape, node.input[0], tape.put("Reshape", slope, tape.put("Shape", node.input[0])), needs)


def _identity(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """Nothing happens."""
    _give(tape, node.input[0], slope, needs)


def _attention(tape: Tape, node: Any, slope: str, needs: set[str]) -> None:  # noqa: ANN401
    """Of one node of attention: its shares are computed again, head by head, and led through."""
    heads = _attribute(node, "num_heads")
    hiding = node.input[5] if len(node.input) > 5 else ""
    if any(node.input[3:5]) or any(node.input[6:]):
        msg = "MultiHeadAttention with a bias or a cache has no rule for its gradient"
        raise NotImplementedError(msg)

    def parted(name: str) -> str:
        return tape.put("Transpose", tape.put("Reshape", name, tape.number([0, 0, heads, -1])), perm=[0, 2, 1, 3])

    def joined(name: str) -> str:
        return tape.put("Reshape", tape.put("Transpose", name, perm=[0, 2, 1, 3]), tape.number([0, 0, -1]))

    query, key, value, above = (parted(name) for name in (*node.input[:3], slope))
    width = next(iter(_widths(tape.graph, node)), 0) // heads
    scale = tape.number(float(_attribute(node, "scale", 0.0) or width**-0.5))
    score = tape.put("Mul", tape.put("MatMul", query, tape.put("Transpose", key, perm=[0, 1, 3, 2])), scale)
    shares = tape.put("Softmax", tape.put("Add", score, hiding) if hiding else score, axis=-1)
    down = _through_softmax(tape, shares, tape.put("MatMul", above, tape.put("Transpose", value, perm=[0, 1, 3, 2])))
    down = tape.put("Mul", down, scale)
    _give(tape, node.input[0], joined(tape.put("MatMul", down, key)), needs)
    _give(tape, node.input[1], joined(tape.put("MatMul", tape.put("Transpose", down, perm=[0, 1, 3, 2]), query)), needs)
    _give(tape, node.input[2], joined(tape.put("MatMul", tape.put("Transpose", shares, perm=[0, 1, 3, 2]), above)), needs)


def _widths(graph: Graph, node: Any) -> list[int]:  # noqa: ANN401
    """Return the width of what an attention takes, from the constants of what made it."""
    made = graph.made_by.get(node.input[0])
    return [] if made is None else [graph.constants[name].shape[-1] for name in made.input if name in graph.constants]


RULES: dict[str, Callable[[Tape, Any, str, set[str]], None]] = {
    "MatMul": _matmul,
    "Add": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Relu": _relu,
    "Tanh": _tanh,
    "Erf": _erf,
    "Gelu": _gelu,
    "Softmax": _softmax,
    "LayerNormalization": _layer_norm,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Identity": _identity,
    "Cast": _identity,
    "MultiHeadAttention": _attention,
}
