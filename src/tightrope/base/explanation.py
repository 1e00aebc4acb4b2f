"""Explanation of a plan in figures: binding limits, break-evens, alternatives, futures. ``Plan`` holds these records."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Lever:
    """Monthly saving of one lever, in the order of the waterfall and alone."""

    name: str
    saving_usd: float
    """With all earlier levers and no later one."""
    note: str = ""
    alone_usd: float | None = None
    """Of this lever alone, on today's machines with their slack; left out where unknown."""


@dataclass(frozen=True, slots=True)
class BindingLimit:
    """A stated limit that costs money, and the monthly saving from loosening it by one step."""

    name: str
    """The constraint family, or the field of the workload that states the limit."""
    step: str
    """In words, such as ``one machine more``."""
    usd: float
    """Saved by that step."""
    by: Literal["duals", "relaxations", "plans"]
    """Method: the relaxation's duals, the difference of two relaxations, or that of two plans."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A plan with other pools or another place, and its cost."""

    what: str
    pools: tuple[str, ...]
    monthly_cost_usd: float
    more_usd: float
    """Relative to the plan; negative where it is cheaper."""


@dataclass(frozen=True, slots=True)
class BreakEven:
    """The figure at which the best plan changes."""

    what: str
    """A sentence that the figure completes, such as ``spot stops paying above``."""
    unit: str
    value: float | None = None
    """Left out where no figure within the examined range changes the plan."""
    now: float | None = None
    """The plan's current figure; left out where there is none."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Monthly cost of a new plan under changed conditions."""

    what: str
    monthly_cost_usd: float | None = None
    """Left out where no plan meets the SLOs."""
    more_usd: float | None = None


@dataclass(frozen=True, slots=True)
class CostRange:
    """Monthly cost with the same pools when every profile is as fast, or as slow, as its error band allows."""

    low_usd: float
    high_usd: float | None = None
    """Left out where the allowed machines then miss the SLOs."""


@dataclass(frozen=True, slots=True)
class FutureCost:
    """Cost of one future that commitments are sized on."""

    name: str
    weight: float
    monthly_cost_usd: float
    """Cost of the machines, mean over the months considered."""
    uncommitted_monthly_cost_usd: float
    """The same with existing commitments only."""
    utilisation: tuple[float, ...]
    """Utilisation of each of the plan's commitments."""
