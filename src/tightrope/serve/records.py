"""What goes through the gateway: who calls, what is asked, what is answered, and what it cost.

Times are ``time.monotonic`` seconds unless their name says otherwise; money is whole nano-dollars (``nusd``), so that sums are exact.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

Task: TypeAlias = Literal["embed", "classify", "chat", "infer"]
"""``embed``: text to vector; ``classify``: text to a score for each class; ``chat``: messages to an answer; ``infer``: tensors."""
Scope: TypeAlias = Literal["infer", "batch", "metrics", "admin"]
Tensors: TypeAlias = Mapping[str, NDArray[Any]]
"""Name → array whose first axis is rows; texts are arrays of ``object`` that hold ``bytes``."""

NUSD_PER_USD = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the key says that came with the request; what a client says of itself is never believed."""

    tenant: str
    key: str = ""
    """Public name of the key, never the key; empty where none is asked for."""
    scopes: frozenset[Scope] = frozenset({"infer", "batch"})
    classes: tuple[str, ...] = ()
    """Traffic classes that it may ask for, its own first; empty is any."""


@dataclass(slots=True, eq=False)
class Call:
    """One request of one client, whatever protocol it came by."""

    identity: str
    """Shown in the answer's header, in logs and in the ledger."""
    caller: Caller
    task: Task
    model: str
    """As the client named it."""
    inputs: tuple[str, ...] | Tensors
    """Texts of ``embed`` and ``classify``; tensors of ``infer``; of ``chat`` nothing: see ``body``."""
    arrived_s: float
    traffic_class: str = ""
    """Name of a ``ServedClass``; the gateway says it where the client did not."""
    body: bytes = b""
    """The JSON as it came, which upstream servers are sent."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What the protocol lets a client say beside the inputs, and changes the answer."""
    stream: bool = False
    tag: str = ""
    """What the client wants its costs summed by (``X-Tightrope-Tag``), at most 64 letters."""
    session: str = ""
    """Calls of one session share a prefix: they go to one replica while it has room."""
    deadline_s: float | None = None
    """Of deferrable work: when it is to be done by. None is interactive."""
    gone: bool = False
    """The client hung up: nobody reads the answer."""
    lost: "list[Reply]" = field(default_factory=list)
    """What cost something and is in no reply: attempts that failed or were given up, a look-up beside. Copies of a call share it."""
    traceparent: str = ""
    """Header of the trace that it is part of (W3C Trace Context), passed on to upstream servers; empty where it is part of none."""

    @property
    def rows(self) -> int:
        """Items that it asks for."""
        if isinstance(self.inputs, tuple):
            return max(1, len(self.inputs))
        return max((len(array) for array in self.inputs.values() if array.ndim), default=1)

    @property
    def lost_nusd(self) -> int | None:
        """What was lost cost; None where a part of it is not known."""
        return add(*(reply.nusd for reply in self.lost))


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a model takes or gives, as the Open Inference Protocol says it."""

    name: str
    datatype: str
    """Such as ``FP32`` or ``BYTES``."""
    shape: tuple[int, ...]
    """-1 is any size."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The tensors of a model."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(slots=True, eq=False)
class RawAnswer:
    """An answer of an upstream server as it came, to be passed on."""

    status: int
    """Of a stream that the server broke off (its last event says so), 502 from then on."""
    content_type: str
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    """Where given, the body comes in parts; ``Reply``'s figures are right when it has ended."""


@dataclass(slots=True, eq=False)
class Reply:
    """What a backend answered, and what it took."""

    pool: str
    variant: str
    replica: str = ""
    outputs: tuple[NDArray[Any], ...] | Tensors = ()
    """Of an engine here: for each text float32[dimensions] or float32[classes] (probabilities); of ``infer`` tensors."""
    labels: tuple[str, ...] = ()
    """Names of the classes, of ``classify``, in the order of its scores; empty where the model has none: then they are numbered."""
    raw: RawAnswer | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    asked_tokens: int | None = None
    """Of all that was asked, where those are not ``input_tokens``: some of it was kept, or read by a small model first."""
    item_tokens: tuple[int, ...] = ()
    """Of the input's tokens, those of each text; empty where only their sum is known."""
    tokens_estimated: bool = False
    """The server did not say its tokens, or was broken off before: they are reckoned from bytes and events."""
    wait_s: float = 0.0
    """Longest that one of its items waited for an engine."""
    service_s: float = 0.0
    """Time of the batch that its last item was in, or of the upstream server."""
    first_token_s: float | None = None
    """``time.monotonic`` when the first token came, of a stream."""
    batch: int = 1
    """Items of that batch."""
    compute_nusd: int | None = 0
    """Its share of the machine's price; the idle share is nobody's. None where that price is not known."""
    machine_s: float = 0.0
    """Its share of the machine's time, in seconds of one machine: ``Use.machine_s`` of the meter."""
    tokens_nusd: int = 0
    """What is paid by use: a provider's tokens, or a request to a function and its time."""
    egress_nusd: int = 0
    cached: Literal["", "hit", "shared", "similar"] = ""
    """From the cache: kept, answered together with another that asked the same, or of one that asked nearly the same."""
    lost_nusd: int | None = 0
    """What was lost on the way to it: see ``Call.lost``. None where that is not known."""
    saved_nusd: int | None = 0
    """What it would have cost, where it is from the cache; None where that is not known."""
    varies: bool = False
    """The answer depends on what was in its batch: it is neither kept nor judged by its confidence."""
    escalated_from: "Reply | None" = None
    """In a cascade, the small model's answer, which was not sure enough; its cost counts too."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all that was asked."""
        return self.input_tokens if self.asked_tokens is None else self.asked_tokens

    @property
    def nusd(self) -> int | None:
        """What the answer cost in all; None where a part of it is not known."""
        if self.compute_nusd is None or self.lost_nusd is None:
            return None
        before = self.escalated_from.nusd if self.escalated_from else 0
        return None if before is None else self.compute_nusd + self.tokens_nusd + self.egress_nusd + self.lost_nusd + before


def add(*amounts: int | None) -> int | None:
    """Return a sum; None where a part of it is not known.

    >>> add(1, 2), add(1, None), add()
    (3, None, 0)
    """
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
