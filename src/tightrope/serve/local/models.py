"""How a model is asked: what a call becomes, what a batch is given, and what each of its members gets back."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from tightrope.serve.local.sessions import Arrays, Port, Session
from tightrope.serve.local.wait_queue import CallTicket, WorkItem
from tightrope.serve.records import Call, Tensors
from tightrope.serve.refusals import Malformed, Unsupported

Outputs = tuple[NDArray[Any], ...] | Tensors


class LocalModelInterface(Protocol):
    """What a pool asks of its model. ``items`` and ``outputs`` run in the event loop, ``run`` in an engine's thread."""

    @property
    def knots(self) -> tuple[int, ...]:
        """Lengths at which the service curve is known; one where all batches have the same."""
        ...

    @property
    def most(self) -> int | None:
        """Largest batch that it takes, where it is not any."""
        ...

    def heavy(self, call: Call) -> bool:
        """Return whether ``items`` takes so long that it is to run in a thread."""
        ...

    def items(self, ticket: CallTicket) -> Sequence[WorkItem]:
        """Return what a call asks for, item by item; raise ``Refusal``."""
        ...

    def run(self, session: Session, items: Sequence[WorkItem]) -> list[Any]:
        """Return the answer of each item; raise whatever the runtime raises."""
        ...

    def outputs(self, parts: list[Any]) -> Outputs:
        """Return the answers of a call's items as its reply has them."""
        ...

    def sample(self, size: int, length: int, seed: int) -> list[WorkItem]:
        """Return made-up items of a length, to warm up and to measure; none where none can be made up."""
        ...

    def raw(self, session: Session, items: Sequence[WorkItem]) -> list[NDArray[Any]]:
        """Return what the model itself says of each item, as float64[n], to compare."""
        ...


class NoSession:
    """What runs nothing."""

    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()

    def run(self, wanted: Sequence[str], feeds: Arrays) -> list[NDArray[Any]]:  # noqa: ARG002 - as the protocol has it
        """Return nothing."""
        return []


class NoModel:
    """The engine of a pool that has no model: it answers at once, to measure what is around it."""

    ANSWERS: ClassVar[dict[str, NDArray[np.float32]]] = {
        "embed": np.array([1.0, 0.0, 0.0, 0.0], np.float32),
        "classify": np.array([0.75, 0.25], np.float32),
    }

    def __init__(self, task: str) -> None:
        """Answer as a model of this task would."""
        self._answer = self.ANSWERS.get(task)
        self.knots = (1,)
        self.most: int | None = None

    def heavy(self, call: Call) -> bool:  # noqa: ARG002 - as the protocol has it
        """Return False."""
        return False

    def items(self, ticket: CallTicket) -> Sequence[WorkItem]:
        """Return one item for each text; tensors come back as they are."""
        inputs = ticket.call.inputs
        if self._answer is None:
            if isinstance(inputs, tuple):
                msg = f"model {ticket.call.model!r} takes tensors, it does not {ticket.call.task}"
                raise Unsupported(msg, parameter="model")
            return [WorkItem(ticket, 0, inputs, 1, 0, 0)]
        return [WorkItem(ticket, index, None, 1, 0, 0) for index in range(len(texts_of(ticket.call)))]

    def run(self, session: Session, items: Sequence[WorkItem]) -> list[Any]:  # noqa: ARG002 - as above
        """Return the same for all."""
        return [item.payload for item in items] if self._answer is None else [self._answer] * len(items)

    def outputs(self, parts: list[Any]) -> Outputs:
        """Return the answers."""
        return parts[0] if self._answer is None else tuple(parts)

    def sample(self, size: int, length: int, seed: int) -> list[WorkItem]:  # noqa: ARG002
        """Return nothing: there is nothing to measure."""
        return []

    def raw(self, session: Session, items: Sequence[WorkItem]) -> list[NDArray[Any]]:  # noqa: ARG002
        """Return nothing."""
        return []


def texts_of(call: Call) -> tuple[str, ...]:
    """Return the texts of a call; raise ``Refusal`` where it has none."""
    if call.task not in {"embed", "classify"}:
        msg = f"model {call.model!r} reads texts to embed or classify them, it does not {call.task}"
        raise Unsupported(msg, parameter="model")
    if not isinstance(call.inputs, tuple) or not call.inputs:
        msg = "expected at least one text"
        raise Malformed(msg, parameter="input")
    return call.inputs
