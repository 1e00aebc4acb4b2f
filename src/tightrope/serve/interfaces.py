"""What answers for a pool: engines in this process, upstream servers; and what protocols ask of the gateway."""

from dataclasses import dataclass, field
from typing import Protocol

from tightrope.serve.config.settings import ServedModel, ServedPool
from tightrope.serve.records import Call, Caller, Reply, Signature


@dataclass(slots=True)
class PoolLoad:
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
    cold_start_s: float | None = None
    """Of an engine here: what loading the model took the last time, until it was warm."""


class Backend(Protocol):
    """A pool that answers."""

    pool: ServedPool

    async def start(self) -> None:
        """Load or connect; return when it can answer, or when it is known that it answers later."""
        ...

    async def stop(self, within_s: float) -> None:
        """Take nothing more, finish what has begun within the time, then let go of everything."""
        ...

    def load(self) -> PoolLoad:
        """Return how things stand now; called for every request, so it costs nothing."""
        ...

    async def answer(self, call: Call) -> Reply:
        """Return the answer with its cost; raise ``Refusal``. Cancelling it takes the request out of the queue."""
        ...


class Exposing(Protocol):
    """Metrics."""

    def exposition(self) -> bytes:
        """Return them in Prometheus' text format."""
        ...


class GatewayLike(Protocol):
    """The gateway as protocols see it."""

    @property
    def metrics(self) -> Exposing:
        """The metrics."""
        ...

    def caller(self, authorization: str | None) -> Caller:
        """Return the caller that a request's key identifies; raise ``Unauthenticated``."""
        ...

    def models(self, caller: Caller) -> tuple[ServedModel, ...]:
        """Return the models that a caller may ask for."""
        ...

    def signature(self, model: str) -> Signature | None:
        """Return the tensors of a model of ``infer``; None where they are not known."""
        ...

    def ready(self) -> bool:
        """Return whether requests are to be sent here."""
        ...

    async def answer(self, call: Call) -> Reply:
        """Return the answer; raise ``Refusal``. A reply's ``raw.stream`` must be iterated to its end or closed."""
        ...
