"""Shorter numbers: int8 with ranges fixed beforehand or found anew for each batch, float16, and 4 or 8 bits in blocks.

What is quantised are the matrices of MatMul nodes, each column with its own scale. Activations get one scale for all, so that an answer
does not depend on what it is batched with; only ``dynamic_int8`` looks at the whole batch, and its answers do.
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from tightrope.perf.compress.graph import AnyArray, Graph, changed
from tightrope.perf.compress.tensor_ranges import TensorRange, scale_of

BLOCK = 32
"""Rows of a column that share a scale where weights have 4 bits."""
LEAST_ROWS = 1024
"""A shorter table is not worth its rounding."""


def multiplications(graph: Graph) -> list[Any]:
    """Return the MatMul nodes by a constant matrix, in the order of the graph."""
    return [node for node in graph.nodes if graph.weight(node) is not None]


def name_of(node: Any) -> str:  # noqa: ANN401 - onnx has no types
    """Return what a multiplication is called in skip-lists: the name of what it makes."""
    return str(node.output[0])


def columns_int8(weights: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return int8[n, m] and the float32[m] scales of its columns."""
    most = np.abs(weights).max(axis=0)
    scales = np.where(most > 0, most / 127.0, 1.0).astype(np.float32)
    return np.clip(np.rint(weights / scales), -127, 127).astype(np.int8), scales


def static_int8(graph: Graph, seen: dict[str, TensorRange], method: str, skip: Collection[str] = ()) -> Graph:
    """Return the model with 8-bit multiplications, their inputs rounded with a scale fixed on what was ``seen``.

    Multiplication, scaling back and bias are one ``MatMulIntegerToFloat`` of onnxruntime. From ``QuantizeLinear`` and ``DequantizeLinear``
    around a ``MatMul`` it makes that node too, but leaves the bias to a pass of its own: 8 % slower on MiniLM.
    """
    from onnx import helper

    work = _Rewriting(graph, {name_of(node) for node in multiplications(graph)} - set(skip))
    added: set[str] = set()
    for node in graph.nodes:
        if name_of(node) not in work.chosen:
            work.nodes += [node] * (name_of(node) not in added)
            continue
        source = node.input[0]
        whole, ends = f"{source}_8", [f"{source}_scale", f"{source}_zero"]
        if source not in work.rounded:
            work.rounded.add(source)
            scale, zero = scale_of(seen[source], method)
            work.constants |= {ends[0]: np.array(scale, np.float32), ends[1]: np.array(zero, np.uint8)}
            work.add("QuantizeLinear", [source, *ends], whole)
        matrix, scales = work.matrix(node.input[1])
        bias, made = _biased(graph, node)
        added.add(made)
        given = [whole, matrix, ends[0], scales, ends[1], "", bias]
        work.nodes.append(helper.make_node("MatMulIntegerToFloat", given, [made], f"{made}_product", domain="com.microsoft"))
    return with_runtime_operators(changed(graph, work.constants, work.nodes))


def _biased(graph: Graph, node: Any) -> tuple[str, str]:  # noqa: ANN401 - onnx has no types
    """Return the bias that is added to what a multiplication makes, and their sum; no bias and the product where there is none."""
    user = graph.sole_user(node.output[0])
    columns = graph.constants[node.input[1]].shape[1]
    for name in user.input if user is not None and user.op_type == "Add" else ():
        if name in graph.constants and graph.constants[name].shape == (columns,):
            return str(name), str(user.output[0])
    return "", str(node.output[0])


def dynamic_int8(graph: Graph, skip: Collection[str] = ()) -> Graph:
    """Return the model with 8-bit multiplications, their inputs rounded with the scale of each batch: answers depend on the batch."""
    from onnx import helper

    work = _Rewriting(graph, {name_of(node) for node in multiplications(graph)} - set(skip))
    for node in graph.nodes:
        if name_of(node) not in work.chosen:
            work.nodes.append(node)
            continue
        source, made = node.input[0], node.output[0]
        parts = [f"{source}_8", f"{source}_scale", f"{source}_zero"]
        if source not in work.rounded:
            work.rounded.add(source)
            work.nodes.append(helper.make_node("DynamicQuantizeLinear", [source], parts, f"{source}_round"))
        whole, scale = work.matrix(node.input[1])
        work.add("MatMulInteger", [parts[0], whole, parts[2]], f"{made}_whole")
        work.add("Cast", [f"{made}_whole"], f"{made}_float", to=1)
        work.add("Mul", [parts[1], scale], f"{made}_scale")
        work.add("Mul", [f"{made}_float", f"{made}_scale"], made)
    return changed(graph, work.constants, work.nodes)


class _Rewriting:
    """A graph in which the ``chosen`` multiplications are replaced, one after the other."""

    def __init__(self, graph: Graph, chosen: set[str]) -> None:
        self.graph, self.chosen = graph, chosen
        self.nodes: list[Any] = []
        self.constants: dict[str, AnyArray] = {}
        self.rounded: set[str] = set()
        """Tensors that have an 8-bit form already."""

    def add(self, kind: str, given: list[str], made: str, **more: Any) -> None:  # noqa: ANN401
        """Append a node."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, given, [made], f"{made}_{kind}", **more))

    def matrix(self, name: str) -> list[str]:
        """Round a matrix, each column with its own scale; return it and its scales."""
        names = [f"{name}_8", f"{name}_scale"]
        self.constants |= dict(zip(names, columns_int8(self.graph.constants[name]), strict=True))
        return names


def with_runtime_operators(graph: Graph) -> Graph:
    """Declare that the model has operators of onnxruntime's own, where it does and does not say so."""
    from onnx import helper

    own = "com.microsoft"
    if any(node.domain == own for node in graph.nodes) and all(item.domain != own for item in graph.model.opset_import):
        graph.model.opset_import.append(helper.make_opsetid(own, 1))
    return graph


def blocked(graph: Graph, bits: int, skip: Collection[str] = ()) -> Graph:
    """Return the model with weights of 4 or 8 bits, a scale for each block of a column; multiplied in 8 bits, row by row."""
    from onnx import helper

    constants: dict[str, AnyArray] = {}
    nodes: list[Any] = []
    for node in graph.nodes:
        weights = graph.weight(node)
        if weights is None or name_of(node) in skip or weights.shape[0] % BLOCK:
            nodes.append(node)
            continue
        matrix = node.input[1]
        constants[f"{matrix}_packed"], constants[f"{matrix}_scales"] = _packed(weights, bits)
        sizes: dict[str, Any] = {
            "K": weights.shape[0],
            "N": weights.shape[1],
            "bits": bits,
            "block_size": BLOCK,
            "accuracy_level": 4,
        }
        given = [node.input[0], f"{matrix}_packed", f"{matrix}_scales"]
        nodes.append(helper.make_node("MatMulNBits", given, list(node.output), node.name, domain="com.microsoft", **sizes))
    return with_runtime_operators(changed(graph, constants, nodes))


def _packed(weights: AnyArray, bits: int) -> tuple[AnyArray, AnyArray]:
    """Return uint8[m, blocks, bytes] and float32[m × blocks], as MatMulNBits lays them out; half of the range means 0."""
    rows, columns = weights.shape
    blocks = weights.T.reshape(columns, rows // BLOCK, BLOCK)
    half = 2 ** (bits - 1)
    most = np.abs(blocks).max(axis=2, keepdims=True)
    scales = np.where(most > 0, most / (half - 1), 1.0).astype(np.float32)
    whole = np.clip(np.rint(blocks / scales) + half, 0, 2 * half - 1).astype(np.uint8)
    if bits == 4:
        whole = whole[:, :, 0::2] | (whole[:, :, 1::2] << 4)
    return np.ascontiguousarray(whole), scales.reshape(-1)


def float16(graph: Graph, skip: Collection[str] = ()) -> Graph:
    """Return the model with its matrices and tables kept in 16 bits and widened when it is loaded: half the size, no faster on a CPU."""
    from onnx import helper

    constants: dict[str, AnyArray] = {}
    rename: dict[str, str] = {}
    nodes: list[Any] = []
    spared = {node.input[1] for node in multiplications(graph) if name_of(node) in skip}
    for name, value in graph.constants.items():
        if (
            value.dtype != np.float32
            or value.ndim < 2
            or name in spared
            or np.abs(value).max(initial=0.0) > np.finfo(np.float16).max
        ):
            continue
        constants[f"{name}_16"] = value.astype(np.float16)
        rename[name] = f"{name}_wide"
        nodes.append(helper.make_node("Cast", [f"{name}_16"], [f"{name}_wide"], to=1))
    return changed(graph, constants, [*nodes, *graph.nodes], rename)


def matrices_of(graph: Graph) -> Iterator[str]:
    """Yield the inputs that are multiplied by a constant matrix: what ``observe`` has to look at."""
    yield from dict.fromkeys(node.input[0] for node in multiplications(graph))


def small_tables(graph: Graph) -> Graph:
    """Return the model with the tables that ids are looked up in kept in 8 bits, each row with its own scale."""
    from onnx import helper

    constants: dict[str, AnyArray] = {}
    nodes: list[Any] = []
    for node in graph.nodes:
        table = graph.constants.get(node.input[0]) if node.op_type == "Gather" else None
        axis = next((item.i for item in node.attribute if item.name == "axis"), 0)
        if table is None or table.ndim != 2 or table.dtype != np.float32 or axis or len(table) < LEAST_ROWS:
            nodes.append(node)
            continue
        name, made = node.input[0], node.output[0]
        whole, scales = columns_int8(table.T)
        constants |= {f"{name}_8": np.ascontiguousarray(whole.T), f"{name}_scales": scales[:, None]}
        steps: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
            ("Gather", [f"{name}_8", node.input[1]], f"{made}_8", {}),
            ("Cast", [f"{made}_8"], f"{made}_wide", {"to": 1}),
            ("Gather", [f"{name}_scales", node.input[1]], f"{made}_scale", {}),
            ("Mul", [f"{made}_wide", f"{made}_scale"], made, {}),
        )
        nodes += [helper.make_node(kind, given, [out], f"{out}_{kind}", **more) for kind, given, out, more in steps]
    return changed(graph, constants, nodes)
