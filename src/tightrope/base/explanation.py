"""Why a plan is as it is, in figures: what binds, what would change it, what comes next. ``Plan`` holds these records."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Lever:
    """What one lever takes off the monthly bill, in the order of the waterfall, and by itself."""

    name: str
    saving_usd: float
    """With the levers before it, and none after it."""
    note: str = ""
    alone_usd: float | None = None
    """By itself: today's machines with their slack, and this lever only; left out where that is not known."""


@dataclass(frozen=True, slots=True)
class BindingLimit:
    """A stated limit that costs money, and what loosening it by one step takes off the month."""

    name: str
    """The constraint family, or the field of the workload that states the limit."""
    step: str
    """In words, such as ``one machine more``."""
    usd: float
    """Saved by that step."""
    by: Literal["duals", "relaxations", "plans"]
    """Read off the relaxation's duals, or the difference of two relaxations, or of two plans."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A plan that differs in its pools: what it does without, or where it stands, and what it costs."""

    what: str
    pools: tuple[str, ...]
    monthly_cost_usd: float
    more_usd: float
    """Beside the plan; negative where it is cheaper."""


@dataclass(frozen=True, slots=True)
class BreakEven:
    """The figure at which the answer changes."""

    what: str
    """As a sentence that ends with the figure, such as ``spot stops paying above``."""
    unit: str
    value: float | None = None
    """Left out where no figure within reach changes the answer."""
    now: float | None = None
    """The same figure as the plan has it; left out where there is none."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What the plan would cost a month if the world were different, planned again."""

    what: str
    monthly_cost_usd: float | None = None
    """Left out where no plan keeps the promises."""
    more_usd: float | None = None


@dataclass(frozen=True, slots=True)
class CostRange:
    """What the plan costs a month where every profile is as fast, or as slow, as its error band allows, with the same pools."""

    low_usd: float
    high_usd: float | None = None
    """Left out where the machines that may run do not keep the promises then."""


@dataclass(frozen=True, slots=True)
class FutureCost:
    """One of the futures that commitments are sized on."""

    name: str
    weight: float
    monthly_cost_usd: float
    """Of the machines on demand, mean over the months looked at."""
    uncommitted_monthly_cost_usd: float
    """The same with no commitment but those that exist."""
    utilisation: tuple[float, ...]
    """Share used of each of the plan's commitments."""
