"""Models that take tensors: rows of several calls go together along the first axis, where the model says that it is one of rows."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightrope.serve.local.models import Outputs
from tightrope.serve.local.sessions import Port, Session
from tightrope.serve.local.wait_queue import CallTicket, WorkItem
from tightrope.serve.records import Call, Signature, TensorSpec
from tightrope.serve.refusals import Malformed, Unsupported

SIZES = tuple(4**power for power in range(14))
"""Numbers in a row at which the service curve is known, where rows differ."""
HEAVY = 256
"""Rows from which they are taken apart in a thread."""
Row = tuple[NDArray[Any], ...]


class TensorModel:
    """Checks what comes against the model's inputs, joins rows and takes the answers apart again.

    Where the first axis of an input is fixed, or there is none, a call is run as it is, alone.
    """

    def __init__(self, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> None:
        """Take what a session says of itself; ``join`` is taken back where a first run shows that outputs are no rows."""
        self.inputs, self._outputs = inputs, outputs
        self._wanted = tuple(port.name for port in outputs)
        self.join = all(port.shape[:1] == (None,) for port in (*inputs, *outputs))
        inner = [[size or 0 for size in port.shape[1:]] for port in inputs]
        self.flat = self.join and all(None not in port.shape[1:] for port in inputs)
        self.knots: tuple[int, ...] = (max(1, sum(map(math.prod, inner))),) if self.flat else SIZES
        self._strings = any(port.dtype == object for port in (*inputs, *outputs))

    @property
    def most(self) -> int | None:
        """Largest batch."""
        return None if self.join else 1

    @property
    def signature(self) -> Signature:
        """What it takes and gives, as the Open Inference Protocol says it."""
        inputs, outputs = (tuple(map(_spec, ports)) for ports in (self.inputs, self._outputs))
        return Signature(inputs, outputs)

    def heavy(self, call: Call) -> bool:
        """Return whether it has many rows."""
        return call.rows > HEAVY

    def items(self, ticket: CallTicket) -> Sequence[WorkItem]:
        """Return one item for each row, or one for all where they cannot be taken apart."""
        call = ticket.call
        if call.task != "infer" or isinstance(call.inputs, tuple):
            msg = f"model {call.model!r} takes tensors, it does not {call.task}"
            raise Unsupported(msg, parameter="model")
        arrays = tuple(self._checked(port, call.inputs.get(port.name)) for port in self.inputs)
        unknown = call.inputs.keys() - {port.name for port in self.inputs}
        if unknown:
            msg = f"unknown input {min(unknown)!r}; the inputs are {', '.join(port.name for port in self.inputs)}"
            raise Malformed(msg, parameter=min(unknown))
        if not self.join:
            return [WorkItem(ticket, 0, arrays, max(1, sum(array.size for array in arrays)), 0, 0)]
        rows = {len(array) for array in arrays}
        if len(rows) > 1 or rows == {0}:
            got = ", ".join(f"{port.name} {len(array)}" for port, array in zip(self.inputs, arrays, strict=True))
            msg = f"expected the same number of rows in every input, at least one; got {got}"
            raise Malformed(msg, parameter="inputs")
        group = hash(tuple(array.shape[1:] for array in arrays))
        size = max(1, sum(math.prod(array.shape[1:]) for array in arrays))
        apart = [arrays] if rows == {1} else [tuple(array[row : row + 1] for array in arrays) for row in range(rows.pop())]
        return [WorkItem(ticket, index, row, size, group, 0) for index, row in enumerate(apart)]

    def run(self, session: Session, items: Sequence[WorkItem]) -> list[Any]:
        """Return the outputs of each item."""
        rows: list[Row] = [item.payload for item in items]
        joined = rows[0] if len(rows) == 1 else tuple(np.concatenate(arrays) for arrays in zip(*rows, strict=True))
        found = session.run(self._wanted, {port.name: array for port, array in zip(self.inputs, joined, strict=True)})
        if self._strings:
            found = [_as_bytes(value) if value.dtype.kind in "OUS" else value for value in found]
        if len(rows) == 1:
            return [tuple(found)]
        if any(value.ndim == 0 or len(value) != len(rows) for value in found):
            msg = f"outputs {[value.shape for value in found]} of {len(rows)} rows"
            raise ValueError(msg)
        return [tuple(value[row : row + 1].copy() for value in found) for row in range(len(rows))]

    def raw(self, session: Session, items: Sequence[WorkItem]) -> list[NDArray[Any]]:
        """Return the numbers of all outputs of each item."""
        answers = self.run(session, items)
        numbers = [[np.asarray(value, np.float64).ravel() for value in answer if value.dtype != object] for answer in answers]
        return [np.concatenate(parts) if parts else np.zeros(0) for parts in numbers]

    def outputs(self, parts: list[Any]) -> Outputs:
        """Return a call's outputs by name, its rows together again."""
        joined = parts[0] if len(parts) == 1 else [np.concatenate(values) for values in zip(*parts, strict=True)]
        return dict(zip(self._wanted, joined, strict=True))

    def sample(self, size: int, length: int, seed: int) -> list[WorkItem]:  # noqa: ARG002 - rows have the length they have
        """Return rows of normal numbers, of whole numbers 0 and 1; none where a size is not said."""
        if not self.flat:
            return []
        random = np.random.default_rng(seed)
        rows = [tuple(_made_up(port, random) for port in self.inputs) for _ in range(size)]
        return [WorkItem(None, index, row, self.knots[0], 0, 0) for index, row in enumerate(rows)]  # type: ignore[arg-type]

    def _checked(self, port: Port, array: NDArray[Any] | None) -> NDArray[Any]:
        """Return an input as the runtime takes it; raise ``Malformed`` where it is not what the model takes."""
        if array is None:
            msg = f"input {port.name!r} is missing"
            raise Malformed(msg, parameter=port.name)
        if array.dtype != port.dtype:
            msg = f"input {port.name!r} holds {_said(array.dtype)}, expected {_said(port.dtype)}"
            raise Malformed(msg, parameter=port.name)
        fits = len(array.shape) == len(port.shape) and all(
            want in {None, got} for got, want in zip(array.shape, port.shape, strict=True)
        )
        if not fits:
            wanted = [-1 if size is None else size for size in port.shape]
            msg = f"input {port.name!r} has shape {list(array.shape)}, expected {wanted}"
            raise Malformed(msg, parameter=port.name)
        return _as_text(port.name, array) if port.dtype == object else array


def _spec(port: Port) -> TensorSpec:
    """Return a tensor as the protocol says it."""
    kind = {"f": "FP", "i": "INT", "u": "UINT"}.get(port.dtype.kind)
    name = f"{kind}{8 * port.dtype.itemsize}" if kind else {"b": "BOOL"}.get(port.dtype.kind, "BYTES")
    return TensorSpec(port.name, name, tuple(-1 if size is None else size for size in port.shape))


def _said(dtype: np.dtype[Any]) -> str:
    """Return a type's name; objects are texts."""
    return "texts" if dtype.kind == "O" else str(dtype)


def _as_text(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return texts of bytes as the runtime takes them."""
    try:
        texts = [item if isinstance(item, str) else bytes(item).decode() for item in array.ravel()]
    except (UnicodeDecodeError, TypeError, ValueError) as error:
        msg = f"input {name!r} holds a text that is not UTF-8"
        raise Malformed(msg, parameter=name) from error
    made = np.empty(array.shape, object)
    made.ravel()[:] = texts
    return made


def _as_bytes(array: NDArray[Any]) -> NDArray[Any]:
    """Return the runtime's texts as bytes."""
    made = np.empty(array.shape, object)
    made.ravel()[:] = [str(item).encode() for item in array.ravel()]
    return made


def _made_up(port: Port, random: np.random.Generator) -> NDArray[Any]:
    """Return a row of an input."""
    shape = (1, *(size or 1 for size in port.shape[1:]))
    if port.dtype == object:
        return np.full(shape, "a", object)
    if port.dtype.kind == "f":
        return random.standard_normal(shape).astype(port.dtype)
    return random.integers(0, 2, shape).astype(port.dtype)
