"""The recommendation of the sellers' consoles, to compare with: the best commitment for the days just past.

The consoles of AWS and Azure simulate the last 7, 30 or 60 days and propose the amount that would have saved most then (AWS Cost
Explorer, "Understanding your Savings Plans recommendations", 2026; Azure Advisor likewise).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import FloatArray
from tightrope.plan.commit.outlook import Outlook
from tightrope.plan.commit.sizing import find_cheapest_commitments
from tightrope.plan.problem.arrays import CommitmentOption

DAYS = 60
HOURS_PER_DAY = 24


def known(machine_hours: FloatArray, on_demand: FloatArray) -> Outlook:
    """Return the outlook of one certain course of hours: float64[P, T] machine-hours, float64[P] US dollars an hour."""
    return Outlook(machine_hours[None], np.ones(1), np.ones(machine_hours.shape[1]), on_demand)


def look_back(
    past: FloatArray, on_demand: FloatArray, covers: Sequence[CommitmentOption], offered: NDArray[np.bool_], days: int = DAYS
) -> FloatArray:
    """Return what would have saved most in the last ``days``, float64[K] US dollars an hour, what exists included.

    ``past`` is float64[P, hours], the newest hour last; ``offered`` bool[K] says which commitments are proposed.
    """
    recent = known(past[:, -days * HOURS_PER_DAY :], on_demand)
    return find_cheapest_commitments(recent, covers, may_grow=offered).usd_per_hour
