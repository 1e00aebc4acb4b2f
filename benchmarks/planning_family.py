"""The planning benchmark's family of problems: a week of hours, forty deployments, four classes, every kind of commitment at once.

Ten machine types at public us-east-1 prices (on-demand, 2026-07; shares off as AWS sells them) run four variants each. Demand follows
the day and the week, each class with its own peak, with noise that makes every hour another. The seed fixes everything.
"""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import numpy as np

from tightrope.base.catalogue import MachineType, PriceRow
from tightrope.base.plan import OfferTerms
from tightrope.base.records import FloatArray, ModelVariant, Profile, Provenance, RequestEngine
from tightrope.base.units import HOURS_PER_MONTH, HOURS_PER_WEEK
from tightrope.plan.problem.arrays import CommitmentOption, PoolOption, Problem
from tightrope.plan.solve.relaxation import relax

DAY = date(2026, 7, 20)
CLASSES, VARIANTS = 4, 4
DISK_USD_PER_HOUR = 0.011
ONE_YEAR_OFF = {"reserved": 0.37, "instance": 0.36, "compute": 0.24}
"""Share off the on-demand price: Reserved Instances, EC2 Instance and Compute Savings Plans, one year, nothing upfront."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A type with its on-demand rate, the share that spot takes off, and its speed beside a g4dn.xlarge."""

    name: str
    usd_per_hour: float
    spot_off: float
    speed: float


MACHINES = (
    Machine("g4dn.xlarge", 0.526, 0.64, 1.0),
    Machine("g4dn.12xlarge", 3.912, 0.60, 7.6),
    Machine("g5.xlarge", 1.006, 0.59, 2.0),
    Machine("g5.12xlarge", 5.672, 0.55, 12.0),
    Machine("g6.xlarge", 0.8048, 0.49, 1.6),
    Machine("g6.12xlarge", 4.6016, 0.50, 9.8),
    Machine("g6e.xlarge", 1.861, 0.58, 4.0),
    Machine("inf2.xlarge", 0.7582, 0.78, 1.5),
    Machine("c6i.4xlarge", 0.68, 0.57, 1.3),
    Machine("c7g.4xlarge", 0.58, 0.71, 1.1),
)
"""Of about one value for money, so that few stand behind others in everything: what suits whom decides the draw of ``taste``."""


def make_problem(seed: int, usd_per_year: float, hours: int = HOURS_PER_WEEK) -> Problem:
    """Return one problem of the family, scaled so that its linear relaxation costs ``usd_per_year``; ``hours`` from a Monday on."""
    random = np.random.default_rng(seed)
    problem = _scaled(_problem(random, _rates(random, hours)), 1.0)
    return _scaled(problem, usd_per_year / (12.0 * relax(_first_week(problem)).usd_per_month))


def _first_week(problem: Problem) -> Problem:
    """Return the problem of its first week alone, as a whole month."""
    week = slice(0, HOURS_PER_WEEK)
    return replace(
        problem,
        rate=problem.rate[:, week],
        mean_rate=problem.mean_rate[:, week],
        mu=problem.mu[:, :, week],
        block_hours=np.full(HOURS_PER_WEEK, HOURS_PER_MONTH / HOURS_PER_WEEK),
    )


def _scaled(problem: Problem, factor: float) -> Problem:
    """Return the problem with all demand times a factor: its relaxation costs so much more."""
    return replace(problem, rate=problem.rate * factor, mean_rate=problem.mean_rate * factor)


def _rates(random: np.random.Generator, hours: int) -> FloatArray:
    """Return planned requests/s, float64[classes, hours]: a day's cycle, quieter weekends, a year's season, noise."""
    hour = np.arange(hours)
    rates = []
    for _ in range(CLASSES):
        peak, depth, weekend = random.uniform(9, 22), random.uniform(0.3, 0.8), random.uniform(0.5, 1.0)
        day = 1.0 + depth * np.cos(2 * np.pi * (hour - peak) / 24.0)
        season = 1.0 + random.uniform(0.0, 0.25) * np.cos(2 * np.pi * (hour - random.uniform(0, 8760)) / 8760.0)
        level = np.where(hour // 24 % 7 >= 5, weekend, 1.0)
        rates.append(random.uniform(0.5, 2.0) * day * level * season * np.exp(random.normal(0.0, 0.08, hours)))
    return np.stack(rates)


def _problem(random: np.random.Generator, rate: FloatArray) -> Problem:
    """Return the problem at these rates."""
    sold = [(machine, v, spot) for machine in MACHINES for v in range(VARIANTS) for spot in (False, True)]
    on_demand = np.array([machine.usd_per_hour for machine, _, _ in sold])
    spot = np.array([is_spot for _, _, is_spot in sold])
    own = on_demand * np.where(spot, [1.0 - machine.spot_off for machine, _, _ in sold], 1.0)
    # a variant's speed, each class's taste for it on each machine, and which classes it may answer: the first everything
    size = np.array([0.6, 1.0, 1.5, 2.5])
    taste = np.exp(random.normal(0.0, 0.1, (CLASSES, len(MACHINES), VARIANTS)))
    fits = random.uniform(size=(CLASSES, VARIANTS)) < 0.6
    fits[:, 0] = True
    at = np.array([(m // (2 * VARIANTS), v) for m, (_, v, _) in enumerate(sold)])
    speed = np.array([machine.speed for machine, _, _ in sold]) * size[at[:, 1]]
    mu = random.uniform(0.5, 2.0, CLASSES)[:, None] * speed * taste[:, at[:, 0], at[:, 1]] * fits[:, at[:, 1]]
    variants = [ModelVariant(f"model/v{v}", "model", "request", "int8", 1.0, 0.0, {}) for v in range(VARIANTS)]
    count, hours = len(sold), rate.shape[1]
    return Problem(
        options=tuple(_option(machine, variants[v], is_spot, usd) for (machine, v, is_spot), usd in zip(sold, own, strict=True)),
        interactive=tuple(f"class-{c}" for c in range(CLASSES)),
        deferrable=(),
        rate=rate,
        mean_rate=rate,
        mu=np.repeat(mu[:, :, None], hours, axis=2),
        work_per_s=np.zeros((0, count)),
        share_cap=np.where(fits, np.array([1.0, 0.8, 0.6, 0.4])[None, :], 0.0),
        quality=np.ones(VARIANTS),
        quality_floor=np.zeros(CLASSES),
        variant_of=np.array([v for _, v, _ in sold]),
        usd_per_hour=own + DISK_USD_PER_HOUR,
        disk_usd_per_hour=np.full(count, DISK_USD_PER_HOUR),
        usd_per_request=np.zeros((CLASSES, count)),
        usd_per_work=np.zeros((0, count)),
        metered=np.zeros(count, dtype=bool),
        only_covered=np.zeros(count, dtype=bool),
        covers=_covers(sold, own),
        block_hours=np.full(hours, HOURS_PER_MONTH / hours),
        zones=np.full(count, 3),
        interruptible=spot,
        windows=(),
        quotas=(),
        max_spot_share=0.5,
        spot_zone_loss_share=0.7,
        max_pools=count,
        pool_worth=0.0,
        refusals=(),
    )


def _covers(sold: list[tuple[Machine, int, bool]], usd_per_hour: FloatArray) -> tuple[CommitmentOption, ...]:
    """Return every commitment: one of each machine type, one of each family, one of everything."""
    names = np.array([machine.name for machine, _, _ in sold])
    families = np.array([name.partition(".")[0] for name in names])
    firm = np.array([not spot for _, _, spot in sold])
    covers = []
    for machine in MACHINES:
        rate = machine.usd_per_hour * (1.0 - ONE_YEAR_OFF["reserved"])
        rates = np.where(firm & (names == machine.name), rate, np.inf)
        covers.append(
            CommitmentOption("aws", "reserved-1y-no-upfront", f"us-east-1/{machine.name}", 1, 1, rates, step_usd_per_hour=rate)
        )
    for family in sorted(set(families)):
        rates = np.where(firm & (families == family), usd_per_hour * (1.0 - ONE_YEAR_OFF["instance"]), np.inf)
        covers.append(CommitmentOption("aws", "instance-savings-plan-1y-no-upfront", f"us-east-1/{family}", 2, 1, rates))
    rates = np.where(firm, usd_per_hour * (1.0 - ONE_YEAR_OFF["compute"]), np.inf)
    covers.append(CommitmentOption("aws", "compute-savings-plan-1y-no-upfront", "", 3, 1, rates))
    return tuple(covers)


def _option(machine: Machine, variant: ModelVariant, spot: bool, usd_per_hour: float) -> PoolOption:
    """Return the option that a workload would have given."""
    offer = "spot" if spot else "on-demand"
    kind = MachineType("aws", machine.name, machine.name.partition(".")[0], 4, 16.0, "amd64", "", 1, 16.0, "family", DAY)
    profile = Profile(variant.name, machine.name, RequestEngine((1.0,), 60.0), 1, Provenance("model", "benchmark family", 0.25))
    row = PriceRow("aws", "us-east-1", machine.name, offer, Decimal(str(usd_per_hour)), 3, None, "derived", "family", DAY)
    return PoolOption(
        variant, kind, "us-east-1", profile, OfferTerms(offer, machine.name, "us-east-1", usd_per_hour, 0.0, 3, row)
    )
