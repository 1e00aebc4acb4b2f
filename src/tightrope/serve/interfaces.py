"""What answers for a pool: engines in this process, servers elsewhere; a new kind is one more class of this shape."""

from dataclasses import dataclass, field
from typing import Protocol

from tightrope.serve.records import Call, Reply
from tightrope.serve.settings import ServedPool


@dataclass(slots=True)
class Load:
    """How things stand at a pool."""

    replicas_ready: int
    replicas_starting: int = 0
    replicas_draining: int = 0
    replicas_down: int = 0
    in_flight: int = 0
    """Requests that have begun or wait."""
    waiting: dict[str, int] = field(default_factory=dict)
    """Class → requests that wait for an engine."""
    held: int = 0
    """Requests that wait because nothing is there to answer them."""
    requests_per_s: float = 0.0
    """What one ready replica sustains, as it was planned or has been learned; 0 where neither is known."""


class Backend(Protocol):
    """A pool that answers."""

    pool: ServedPool

    async def start(self) -> None:
        """Load or connect; return when it can answer, or when it is known that it answers later."""
        ...

    async def stop(self, within_s: float) -> None:
        """Take nothing more, finish what has begun within the time, then let go of everything."""
        ...

    def load(self) -> Load:
        """Return how things stand now; called for every request, so it costs nothing."""
        ...

    async def answer(self, call: Call) -> Reply:
        """Return the answer with its cost; raise ``Refusal``. Cancelling it takes the request out of the queue."""
        ...
