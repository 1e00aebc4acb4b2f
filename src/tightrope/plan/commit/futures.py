"""What usage may become: a typical week carried over the months under growth and under moves between families of machines.

A few weeks of the horizon stand for all of it, in the middle of equal parts. Machine-hours follow traffic: a future that grows by
a share has that much more of them, in parts of a machine, since whole counts are not planned again for every month.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tightrope.base.records import FloatArray
from tightrope.plan.commit.outlook import Outlook

WEEKS = 6
"""Sampled weeks of the horizon."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Usage of option ``source`` that goes to option ``target``, evenly over the months until all of it has gone."""

    source: int
    target: int
    by_month: float
    """Months from the start after which nothing is left; 0 is at once."""
    ratio: float
    """Machine-hours of the target for one of the source."""


@dataclass(frozen=True, slots=True)
class Path:
    """One future: how likely it is, how much traffic grows in a month, compounded, and what moves, in this order."""

    weight: float
    growth_per_month: float
    shifts: tuple[Shift, ...] = ()


def project(
    machine_hours: FloatArray,
    hours_per_month: FloatArray,
    on_demand: FloatArray,
    paths: Sequence[Path],
    months: int,
    weeks: int = WEEKS,
) -> Outlook:
    """Return the futures of a typical week.

    ``machine_hours`` is float64[P, B] of on-demand machines in the week's blocks, ``hours_per_month`` float64[B] what each block
    stands for, ``on_demand`` float64[P] US dollars an hour. The outlook has ``weeks`` · B hours for each path.
    """
    at_months = months * (np.arange(weeks) + 0.5) / weeks
    hours = np.stack(
        [np.concatenate([_carry_forward(machine_hours, path, month) for month in at_months], axis=1) for path in paths]
    )
    weight = np.array([path.weight for path in paths])
    return Outlook(hours, weight, np.tile(hours_per_month / weeks, weeks), on_demand)


def _carry_forward(machine_hours: FloatArray, path: Path, month: float) -> FloatArray:
    """Return the week's machine-hours, float64[P, B], as one path has them after so many months."""
    hours = machine_hours * (1.0 + path.growth_per_month) ** month
    for shift in path.shifts:
        gone = 1.0 if shift.by_month <= month else month / shift.by_month
        moved = gone * hours[shift.source]
        hours[shift.source] -= moved
        hours[shift.target] += shift.ratio * moved
    return hours


def build_steady_path() -> tuple[Path, ...]:
    """Return the only future of a workload that states none: every week is like the one planned."""
    return (Path(1.0, 0.0),)
