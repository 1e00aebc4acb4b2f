"""What is decided before the fleet: cascades of models, and the cache of answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cascade:
    """A small model asked first, and a large one for the share of its answers that are not trusted."""

    small: str
    large: str
    curve: tuple[tuple[float, float], ...]
    """(share escalated, mean quality of all answers), ascending in both."""
    within_s: float
    """Time in which the small one must have answered: taken off the large one's."""


@dataclass(frozen=True, slots=True)
class CascadePart:
    """Which part of a cascade a class is: all requests at the small model, or the share that goes on to the large one."""

    whole: str
    """The class that was stated."""
    follows: str = ""
    """The first part, whose requests go on to this one; empty for the first part itself."""
    share: float = 1.0
    """Which share of the first part's requests this one has."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Answers kept by the key of their request, the least recently used going first where ``entries`` is reached."""

    entries: int
    ttl_s: float
    """Time from an answer's making to its end."""
    hit_s: float = 0.0
    """Time that an answer from the cache takes."""
    bytes_per_entry: float = 0.0
    machine: str = ""
    """What it runs on; empty where that is not stated, and then it is on no bill."""
    nodes: int = 0
    """How many of those there are."""
    auto: bool = False
    """Whether the plan decides the nodes and with them the entries, none among them; ``entries`` is 0 until it has."""
