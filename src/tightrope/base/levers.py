"""Levers that are decided before the fleet: model cascades and the answer cache."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cascade:
    """A small model answers first; requests with an uncertain answer escalate to a large one."""

    small: str
    large: str
    curve: tuple[tuple[float, float], ...]
    """(share escalated, mean quality of all answers), ascending in both."""
    within_s: float
    """Time limit of the small model's answer; it is deducted from the large model's."""


@dataclass(frozen=True, slots=True)
class CascadePart:
    """A class's part in a cascade: all requests at the small model, or the share that escalates to the large one."""

    whole: str
    """The class that the workload states."""
    follows: str = ""
    """The first part, whose requests escalate to this one; empty for the first part itself."""
    share: float = 1.0
    """Share of the first part's requests that escalate to this one."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Answer cache by request key; beyond ``entries`` it evicts the least recently used."""

    entries: int
    ttl_s: float
    """Time from an answer's creation to its expiry."""
    hit_s: float = 0.0
    """Latency of a cache hit."""
    bytes_per_entry: float = 0.0
    machine: str = ""
    """The cache's machine type; empty where not stated, and then no bill includes it."""
    nodes: int = 0
    """Number of these machines."""
    auto: bool = False
    """Whether the plan decides the number of nodes, possibly 0, and with it the entries; ``entries`` is 0 until then."""
