"""Possible futures that a workload states; commitments are sized on them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """Migration of one family's machine-hours to another, linear over time and complete at ``by_month``."""

    source: str
    target: str
    by_month: int
    ratio: float
    """Machine-hours of the target per machine-hour of the source."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One possible future; ``weight`` is its probability, as a share."""

    name: str
    weight: float
    growth_per_month: float
    """Compound growth of all traffic; may be negative."""
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True)
class Future:
    """Scenarios of the next ``months``; without any, every week is like the planned one."""

    months: int = 12
    scenarios: tuple[Scenario, ...] = ()
