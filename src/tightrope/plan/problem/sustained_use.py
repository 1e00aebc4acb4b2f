"""What a seller takes off by itself, as the planner sees it: Google Cloud's sustained use (``offers/sustained_use.py``).

What comes off a machine-hour depends on all the others of the month, so that hours are solved at full rates and the sum is put right
afterwards. A bound takes all off that may come off.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tightrope.base.catalogue import ON_DEMAND
from tightrope.base.records import FloatArray, IntArray
from tightrope.offers.sustained_use import CLOUD, QUARTER_RATES, discount_share, month_discount_usd
from tightrope.plan.problem.arrays import Problem


def _find_groups(problem: Problem) -> Iterator[tuple[str, IntArray]]:
    """Yield each family and the options of one region that count together, by their places."""
    found: dict[tuple[str, str], list[int]] = {}
    for p, option in enumerate(problem.options):
        family = option.machine.family
        if (option.machine.cloud, option.terms.offer) == (CLOUD, ON_DEMAND) and family in QUARTER_RATES:
            found.setdefault((option.region, family), []).append(p)
    for (_, family), places in found.items():
        yield family, np.array(places, dtype=np.int64)


def sustained_usd(problem: Problem, left: FloatArray) -> float:
    """Return what comes off the month's machines that are paid on demand, ``left`` (float64[P, B]), US dollars."""
    own = problem.usd_per_hour - problem.disk_usd_per_hour
    return sum(month_discount_usd(family, own[mine] @ left[mine], problem.block_hours) for family, mine in _find_groups(problem))


def least_usd_per_hour(problem: Problem) -> FloatArray:
    """Return what a machine-hour costs where all that may come off does, float64[P] US dollars, disks included."""
    usd = problem.usd_per_hour.copy()
    for family, mine in _find_groups(problem):
        share = float(discount_share(family, np.ones(1))[0])
        usd[mine] -= share * (problem.usd_per_hour - problem.disk_usd_per_hour)[mine]
    return usd


def alike(problem: Problem) -> IntArray:
    """Return the group of each option, int64[P]: those of one group count together, -1 counts with none."""
    group: IntArray = np.full(len(problem.options), -1, dtype=np.int64)
    for number, (_, mine) in enumerate(_find_groups(problem)):
        group[mine] = number
    return group


def apply_full_discount(problem: Problem) -> Problem:
    """Return the problem in which every plan costs no more than it will be charged."""
    return replace(problem, usd_per_hour=least_usd_per_hour(problem))
