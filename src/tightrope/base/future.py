"""What may come, as a workload states it: commitments are sized on it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """Machine-hours of one family that go to another, evenly over the months until ``by_month``, when all of them have gone."""

    source: str
    target: str
    by_month: int
    ratio: float
    """Machine-hours of the target for one of the source."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One course that the future may take; ``weight`` is how likely it is, as a share."""

    name: str
    weight: float
    growth_per_month: float
    """Compounded, of all traffic; may be negative."""
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True)
class Future:
    """What may come in the next ``months``; without scenarios, every week is like the one planned."""

    months: int = 12
    scenarios: tuple[Scenario, ...] = ()
