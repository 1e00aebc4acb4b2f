"""A fleet that migrates between families over the year: what sizing on declared futures saves, beside the consoles' look-back.

Four families at this project's us-east-1 on-demand rates, each a quarter of the spend. From the day of purchase g5 moves to g6, all of
it within the year, and the others grow by 20 %. Whoever buys sees the 60 days before, in which nothing moves yet. The futures are
declared here: growth of all traffic × the month by which g5 has gone. What happens is none of them. Bills are exact, hour by hour.
Beside it: a fleet that stays as it is, with no futures declared, and with those of the migration, which then is insurance paid for
nothing; the same migration at the rates of our own price book; one faster than any that was declared; and a fleet that is mostly g5.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tightrope.base.catalogue import ON_DEMAND
from tightrope.base.records import FloatArray
from tightrope.base.units import HOURS_PER_MONTH, HOURS_PER_WEEK
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.plan.commit.futures import Path, Shift, build_steady_path, project
from tightrope.plan.commit.lookback import known, look_back
from tightrope.plan.commit.sizing import CommitmentSizing, find_cheapest_commitments
from tightrope.plan.problem.arrays import CommitmentOption
from tightrope.plan.problem.commitment_coverage import committed_bill_usd

NAME = "plan-commit"
DOC = "saving of commitments sized on futures, on a fleet that migrates; targets: 1 point from clairvoyant, 5 above the look-back"
SEEDS = (1, 2, 3)
REGION = "us-east-1"
MACHINES = ("g5.xlarge", "g6.xlarge", "c6i.4xlarge", "c7g.4xlarge")
FAMILY_OFF = np.array([0.37, 0.36, 0.35, 0.35])
EVERYTHING_OFF = np.array([0.27, 0.26, 0.25, 0.24])
"""Shares off on demand: EC2 Instance and Compute Savings Plans, one year, nothing upfront, as the case assumes them."""
QUARTERS = (50, 62, 74, 86)
MOSTLY_G5 = (100, 20, 60, 40)
"""Mean machines of each family."""
PAST_HOURS, YEAR_HOURS = 60 * 24, 364 * 24
GROWTH_PER_YEAR = (0.0, 0.1, 0.3)
GONE_BY_MONTH = (None, 9, 15, 24)
"""The declared futures: every growth with every month by which g5 has gone to g6."""
LEAST_UTILISATION = 0.95
"""Of the second sizing: every commitment is used so much in every declared future."""
POINTS_BELOW_CLAIRVOYANT, POINTS_ABOVE_LOOK_BACK, TARGET_S = 1.0, 5.0, 3.0


@dataclass(frozen=True, slots=True)
class Course:
    """What happens: machines of each family on the day of purchase, the month by which g5 has gone, growth of the others."""

    machines: tuple[int, ...] = QUARTERS
    gone_by_month: float | None = 12.0
    growth_per_year: float = 0.2


STATIONARY = Course(gone_by_month=None, growth_per_year=0.0)


def run() -> dict:
    """Return our saving in points, the median over the seeds, beside that of the look-back."""
    book = load_price_book()
    on_demand = _rates(book, ON_DEMAND)
    assumed = covers_of(on_demand, on_demand * (1.0 - FAMILY_OFF), on_demand * (1.0 - EVERYTHING_OFF))
    booked = covers_of(
        on_demand,
        _rates(book, "instance-savings-plan-1y-no-upfront"),
        _rates(book, "compute-savings-plan-1y-no-upfront"),
    )
    cases = {
        "migrating": _compare(Course(), on_demand, assumed),
        "stationary": _compare(STATIONARY, on_demand, assumed, build_steady_path()),
        "stationary_though_declared_to_migrate": _compare(STATIONARY, on_demand, assumed),
        "migrating_at_our_rates": _compare(Course(), on_demand, booked),
        "migrating_in_half_a_year": _compare(Course(gone_by_month=6.0), on_demand, assumed),
        "migrating_mostly_g5": _compare(Course(machines=MOSTLY_G5), on_demand, assumed),
    }
    main = cases["migrating"]
    return {
        "name": NAME,
        "value": main["ours"],
        "unit": "points",
        "peer": "look-back of 60 days, Compute Savings Plan only, as the consoles propose",
        "peer_value": main["look_back"],
        "ratio": main["ours"] / main["look_back"],
        "detail": {
            **main,
            "cases": {name: case for name, case in cases.items() if name != "migrating"},
            "futures": len(GROWTH_PER_YEAR) * len(GONE_BY_MONTH),
            "seeds": len(SEEDS),
            "target_points_below_clairvoyant": POINTS_BELOW_CLAIRVOYANT,
            "target_points_above_look_back": POINTS_ABOVE_LOOK_BACK,
            "target_s": TARGET_S,
        },
    }


def _rates(book: PriceBook, offer: str) -> FloatArray:
    """Return what the machines cost under an offer, float64[P] US dollars an hour."""
    rows = [book.find(machine, REGION, offer) for machine in MACHINES]
    return np.array([float(row.usd_per_hour) for row in rows if row is not None])


def covers_of(on_demand: FloatArray, family: FloatArray, everything: FloatArray) -> tuple[CommitmentOption, ...]:
    """Return a plan for each family and one for everything, at these rates (float64[P])."""
    index = np.arange(len(on_demand))
    one_family = (
        CommitmentOption("aws", "instance-savings-plan", f"{REGION}/{name}", 2, 1, np.where(index == p, family, np.inf))
        for p, name in enumerate(MACHINES)
    )
    return (*one_family, CommitmentOption("aws", "compute-savings-plan", "", 3, 1, everything))


def happen(course: Course, seed: int) -> FloatArray:
    """Return whole machines of each family in the 60 days before and the year after, float64[4, hours]: days, weekends, noise."""
    random = np.random.default_rng(seed)
    hour = np.arange(PAST_HOURS + YEAR_HOURS)
    shape = 1.0 + 0.35 * np.sin(2.0 * np.pi * (hour - 14) / 24.0) - 0.15 * (hour // 24 % 7 >= 5)
    noise = 1.0 + 0.03 * random.standard_normal((len(MACHINES), len(hour)))
    machines = np.array(course.machines, dtype=np.float64)[:, None] * shape * noise
    months = np.maximum(hour - PAST_HOURS, 0) / HOURS_PER_MONTH
    machines[2:] *= 1.0 + course.growth_per_year * months / 12.0
    if course.gone_by_month is not None:
        gone = np.minimum(months / course.gone_by_month, 1.0) * machines[0]
        machines[0] -= gone
        machines[1] += gone
    return np.round(machines)


def declared_paths() -> tuple[Path, ...]:
    """Return the declared futures, all equally likely."""
    count = len(GROWTH_PER_YEAR) * len(GONE_BY_MONTH)
    return tuple(
        Path(1.0 / count, (1.0 + growth) ** (1.0 / 12.0) - 1.0, (Shift(0, 1, float(month), 1.0),) if month else ())
        for growth in GROWTH_PER_YEAR
        for month in GONE_BY_MONTH
    )


def size_on_futures(
    past: FloatArray,
    on_demand: FloatArray,
    covers: Sequence[CommitmentOption],
    paths: Sequence[Path],
    min_utilisation: float = 0.0,
) -> CommitmentSizing:
    """Return what to commit to, knowing the past (float64[P, hours]): its last week, carried into the futures."""
    week = past[:, -HOURS_PER_WEEK:]
    weight = np.full(HOURS_PER_WEEK, HOURS_PER_MONTH / HOURS_PER_WEEK)
    return find_cheapest_commitments(project(week, weight, on_demand, paths, months=12), covers, min_utilisation)


def _compare(
    course: Course, on_demand: FloatArray, covers: tuple[CommitmentOption, ...], paths: Sequence[Path] | None = None
) -> dict[str, float]:
    """Return the savings in points, medians over the seeds, and the worst margins of any seed; ``paths`` are the declared ones."""
    runs = [saved_points(happen(course, seed), on_demand, covers, declared_paths() if paths is None else paths) for seed in SEEDS]
    middle = {key: statistics.median(each[key] for each in runs) for key in runs[0]}
    return middle | {
        "worst_points_below_clairvoyant": max(each["clairvoyant"] - each["ours"] for each in runs),
        "worst_points_above_look_back": min(each["ours"] - each["look_back"] for each in runs),
    }


def saved_points(
    machines: FloatArray, on_demand: FloatArray, covers: tuple[CommitmentOption, ...], paths: Sequence[Path]
) -> dict[str, float]:
    """Return the savings of each way to buy on one course of events."""
    past, year = machines[:, :PAST_HOURS], machines[:, PAST_HOURS:]
    weight = np.ones(YEAR_HOURS)
    uncommitted_usd = float(on_demand @ year.sum(axis=1))
    everything = np.array([not cover.scope for cover in covers])
    start = time.perf_counter()
    sized = size_on_futures(past, on_demand, covers, paths)
    seconds = time.perf_counter() - start
    bought = {
        "ours": sized.usd_per_hour,
        "ours_with_least_utilisation": size_on_futures(past, on_demand, covers, paths, LEAST_UTILISATION).usd_per_hour,
        "clairvoyant": find_cheapest_commitments(known(year, on_demand), covers).usd_per_hour,
        "look_back": look_back(past, on_demand, covers, everything),
        "look_back_family": look_back(past, on_demand, covers, ~everything),
    }
    bills = {name: committed_bill_usd(year, weight, on_demand, covers, amounts) for name, amounts in bought.items()}
    _, used = bills["ours"]
    savings = {name: 100.0 * (1.0 - usd / uncommitted_usd) for name, (usd, _) in bills.items()}
    return savings | {
        "utilisation": float(used @ sized.usd_per_hour / sized.usd_per_hour.sum()),
        "seconds": seconds,
        "gap_fraction": max(0.0, 1.0 - sized.bound_usd_per_month / sized.expected_usd_per_month),
    }
