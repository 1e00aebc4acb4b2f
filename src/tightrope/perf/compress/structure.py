"""Where a graph can be made narrower or shorter: its inner layers of neurons, its attention heads, its residual layers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from tightrope.perf.compress.graph import Graph

ELEMENTWISE = frozenset(
    {
        "Add",
        "Mul",
        "Div",
        "Sub",
        "Gelu",
        "FastGelu",
        "QuickGelu",
        "Relu",
        "LeakyRelu",
        "Tanh",
        "Sigmoid",
        "Erf",
        "Pow",
        "Identity",
    }
)
ATTENTION = frozenset({"Softmax", "MultiHeadAttention", "Attention"})
NORMS = frozenset({"LayerNormalization"})


@dataclass(frozen=True, slots=True)
class Neurons:
    """Neurons between two matrices: the columns of ``into`` are the rows of ``out_of``, and nothing else sees them."""

    into: tuple[str, ...]
    """Constants cut by column: matrices, and what is added to or multiplied with the neurons."""
    out_of: str
    """The matrix cut by row."""
    tensor: str
    """What ``out_of`` is multiplied with."""
    count: int
    unit: int = 1
    """Neurons that go together: a head's, where these are heads."""
    node: str = ""
    """The attention whose heads these are, by its output; empty for plain neurons."""


@dataclass(frozen=True, slots=True)
class Layer:
    """An attention and what follows it: without it, ``out`` is ``into``."""

    into: str
    out: str


def find_neurons(graph: Graph) -> list[Neurons]:
    """Return the inner layers of neurons, in the order of the graph."""
    return [found for node in graph.nodes if (found := _neurons(graph, node)) is not None]


def _neurons(graph: Graph, last: Any) -> Neurons | None:  # noqa: ANN401 - onnx has no types
    """Return the neurons that a multiplication takes; None where others see them too."""
    matrix = graph.weight(last)
    if matrix is None or len(graph.used_by[last.input[1]]) > 1 or last.input[0] in graph.constants:
        return None
    width = matrix.shape[0]
    cut: list[str] = []
    inner: list[Any] = []
    waiting = [last.input[0]]
    while waiting:
        node = graph.made_by.get(waiting.pop())
        if node is None or graph.outputs.intersection(node.output):
            return None
        inner.append(node)
        before = graph.weight(node)
        if before is not None and before.shape[1] == width:
            cut.append(node.input[1])
            continue
        parts = _parts(graph, node, width)
        if parts is None:
            return None
        cut += [name for name in parts if name in graph.constants]
        waiting += [name for name in parts if name not in graph.constants and graph.made_by.get(name) not in inner]
    seen = [user for node in inner for user in graph.used_by.get(node.output[0], [])]
    shared = any(len(graph.used_by[name]) > 1 for name in cut)
    if shared or any(user is not last and user not in inner for user in seen):
        return None
    return Neurons(tuple(dict.fromkeys(cut)), last.input[1], last.input[0], width)


def _parts(graph: Graph, node: Any, width: int) -> list[str] | None:  # noqa: ANN401
    """Return what an element-wise node takes that has ``width`` columns; None where it is not element-wise, or takes something else."""
    if node.op_type not in ELEMENTWISE:
        return None
    found: list[str] = []
    for name in node.input:
        values = graph.constants.get(name)
        if values is not None and values.size > 1 and values.shape[-1] != width:
            return None
        if values is None or values.size > 1:
            found.append(name)
    return found


def find_heads(graph: Graph) -> list[Neurons]:
    """Return the heads of every attention that is one node, in the order of the graph."""
    return [found for node in graph.nodes if node.op_type == "MultiHeadAttention" and (found := _heads(graph, node)) is not None]


def _heads(graph: Graph, node: Any) -> Neurons | None:  # noqa: ANN401
    """Return the heads of an attention; None where its inputs are not plain multiplications with a bias."""
    heads = next((item.i for item in node.attribute if item.name == "num_heads"), 0)
    last = graph.sole_user(node.output[0])
    matrix = graph.weight(last)
    if matrix is None or not heads or matrix.shape[0] % heads or len(graph.used_by[last.input[1]]) > 1 or any(node.input[3:5]):
        return None
    if any(node.input[6:]) or not _hides_alike(graph, node):
        return None
    cut: list[str] = []
    for given in node.input[:3]:
        made = graph.made_by.get(given)
        if made is not None and made.op_type == "Add":
            bias = next((name for name in made.input if name in graph.constants), None)
            if bias is None:
                return None
            cut.append(bias)
            made = graph.made_by.get(next(name for name in made.input if name != bias))
        weights = graph.weight(made)
        if made is None or weights is None or weights.shape[1] != matrix.shape[0]:
            return None
        cut.append(made.input[1])
    if len(set(cut)) < len(cut) or any(len(graph.used_by[name]) > 1 for name in cut):
        return None
    return Neurons(tuple(cut), last.input[1], node.output[0], matrix.shape[0], matrix.shape[0] // heads, node.output[0])


def _hides_alike(graph: Graph, node: Any) -> bool:  # noqa: ANN401
    """Return whether what an attention is not to see is the same for all its heads: spread out over them, or one head of that."""
    hiding = graph.made_by.get(node.input[5]) if len(node.input) > 5 and node.input[5] else None
    if hiding is not None and hiding.op_type == "Gather":
        hiding = graph.made_by.get(hiding.input[0])
    return hiding.op_type == "Expand" if hiding is not None else not any(node.input[5:6])


# -------------------------------------------------------------------------------------------------------------------- layers


@dataclass
class _Blocks:
    """The residual additions of a graph."""

    graph: Graph

    @cached_property
    def behind(self) -> dict[str, frozenset[str]]:
        """Tensor → all the tensors that it is made from."""
        found: dict[str, frozenset[str]] = {}
        for node in self.graph.nodes:
            given = [name for name in node.input if name and name not in self.graph.constants]
            together = frozenset(given).union(*(found.get(name, frozenset()) for name in given))
            found |= dict.fromkeys(node.output, together)
        return found

    def all(self) -> Iterator[tuple[str, str, bool]]:
        """Yield (what is kept, what comes out, whether an attention lies between) of every residual addition."""
        for node in self.graph.nodes:
            if node.op_type != "Add" or any(name in self.graph.constants for name in node.input):
                continue
            for kept, added in (tuple(node.input), tuple(reversed(node.input))):
                behind = self.behind.get(added, frozenset())
                if kept in behind and self.graph.made_by.get(kept) is not None:
                    between = {added, *behind} - self.behind.get(kept, frozenset()) - {kept}
                    attends = any(
                        made.op_type in ATTENTION for name in between if (made := self.graph.made_by.get(name)) is not None
                    )
                    yield kept, self._out(kept, node.output[0]), attends

    def _out(self, kept: str, added: str) -> str:
        """Return the sum, normalised where the network normalises after adding (BERT)."""
        user = self.graph.sole_user(added)
        after = self.graph.made_by[kept].op_type in NORMS and user is not None and user.op_type in NORMS
        return str(user.output[0]) if after else added


def find_layers(graph: Graph) -> list[Layer]:
    """Return the layers: an attention's residual block and the block behind it, in the order of the graph."""
    blocks = list(_Blocks(graph).all())
    found = []
    for (kept, out, attends), (kept_2, out_2, attends_2) in pairwise(blocks):
        if attends and not attends_2 and kept_2 == out:
            found.append(Layer(kept, out_2))
    return found
