"""The plan's own figures as series that Prometheus records: alerts and panels compare with them by workload, pool and class.

A replica is an engine, as in Kubernetes: a machine with two engines is two of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, exp

from tightrope.base.catalogue import SPOT
from tightrope.base.plan import Plan
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.render.infra.deployment import (
    DeployedPool,
    Promise,
    backed_pool,
    deploy_pools,
    max_own_machines,
    max_pool_machines,
    max_pool_replicas,
    start_minutes,
)
from tightrope.render.infra.deployment import list_promises as all_promises
from tightrope.render.infra.names import label_value
from tightrope.render.infra.schedule import HOURS, WEEK

UNUSUAL = 0.001
"""Chance of a week with more spot notices than the limit if they came at the planned rate."""
LIMITS = {
    "least_missed": 6,
    "cost_over_plan": 1.25,
    "metered_over_plan": 2.0,
    "high_utilisation": 1.1,
    "low_utilisation": 0.5,
    "shed_ratio": 0.01,
    "cache_hit_ratio": 0.5,
}
"""What holds unless the user's ``settings.rules.yaml`` says otherwise, which says what each is.

Six missed requests are the fewest with which less than one window in a thousand pages by chance alone: of a class that just keeps its
promise (p75 or more), whatever its traffic (binomial). A least number of all requests would hide that every one of a few is missed.
"""
LEAST_PATIENCE_MINUTES = 15
"""Replicas may be missing for so long whatever they take to start: a node that is replaced, an image that is pulled."""
BUDGET_MARGIN = 1.1
"""The monthly budget, as a multiple of what the plan's month costs by what the gateway meters; likewise."""


@dataclass(frozen=True, slots=True)
class PlanSeries:
    """A series: its name, its labels beside ``workload``, and the expression that gives it."""

    record: str
    labels: dict[str, str]
    expr: str


def workload(plan: Plan) -> str:
    """Return the value of the label ``workload``: letters, digits, dots and dashes."""
    return label_value(plan.workload)


def promises(plan: Plan) -> tuple[Promise, ...]:
    """Return the promises that have an error budget: one to all requests has none to burn."""
    return tuple(item for item in all_promises(plan) if item.budget > 0.0)


def windows_s(plan: Plan) -> dict[str, float]:
    """Return class → seconds from the release of its work to the deadline, of classes that can wait."""
    return {item.name: 3600.0 * item.deferral.window_h for item in plan.classes if item.deferral}


def replica_pools(plan: Plan) -> tuple[DeployedPool, ...]:
    """Return the pools that have replicas to count: all but those paid by the request."""
    return tuple(part for part in deploy_pools(plan) if not part.pool.serving.metered)


def metered_pools(plan: Plan) -> tuple[DeployedPool, ...]:
    """Return the pools paid by the request that cost anything by the plan."""
    return tuple(part for part in deploy_pools(plan) if part.pool.serving.metered and part.usd_per_month > 0)


def usd_per_day(part: DeployedPool) -> float:
    """Return what a pool costs on the plan's mean day."""
    return part.usd_per_month * HOURS / HOURS_PER_MONTH


def usd_per_replica_hour(part: DeployedPool) -> float:
    """Return what one replica costs an hour, before commitments."""
    return part.node.usd_per_hour / part.replicas_per_machine


def planned_usd_per_hour(plan: Plan, hour: int) -> float:
    """Return what the replicas of one hour of the week (0 is Monday, 00:00) cost by the plan, before commitments."""
    return sum(part.week[hour] * part.node.usd_per_hour for part in replica_pools(plan))


def most_usd_per_hour(plan: Plan) -> float:
    """Return what an hour costs where every pool has reached its cap, before commitments.

    Where a pool stands in for all of another, the more expensive of the two is there.
    """
    price = {part.pool.name: part.node.usd_per_hour for part in replica_pools(plan)}
    own = sum(max_own_machines(plan, part) * price[part.pool.name] for part in replica_pools(plan))
    pairs = [(part, other) for part in replica_pools(plan) if (other := backed_pool(plan, part))]
    dearer = [max(0.0, price[part.pool.name] - price[other.name]) for part, other in pairs]
    return own + sum(
        (max_pool_machines(plan, part) - max_own_machines(plan, part)) * usd for (part, _), usd in zip(pairs, dearer, strict=True)
    )


def metered_usd_per_month(plan: Plan) -> float:
    """Return what a month of the plan costs by what the gateway meters: replicas before commitments, what is paid by the request, egress.

    Disks, balancers, control planes and commitments are on the sellers' bills alone.
    """
    replicas = HOURS_PER_MONTH * sum(planned_usd_per_hour(plan, hour) for hour in range(WEEK)) / WEEK
    egress = sum(line.usd for line in plan.cost_lines if line.driver == "egress")
    return replicas + egress + sum(part.usd_per_month for part in metered_pools(plan))


def limits(plan: Plan) -> dict[str, float]:
    """Return the limits that hold unless the user says otherwise."""
    return {"budget_usd_per_month": round(BUDGET_MARGIN * metered_usd_per_month(plan), 2), **LIMITS}


def planned_utilisation(plan: Plan, part: DeployedPool) -> float | None:
    """Return the share of a pool's machine time that the plan's bill calls used; None where the bill does not say."""
    used, idle = (
        sum(line.usd for line in plan.cost_lines if line.pool == part.pool.name and line.driver == driver)
        for driver in ("compute", "idle")
    )
    return used / (used + idle) if used > 0 else None


def target_utilisation(part: DeployedPool) -> float:
    """Return the utilisation that the autoscaler steers to; what is sustained within the promises where there is none."""
    return part.pool.autoscaling.get("target_utilisation", 1.0)


def unusual_notices(part: DeployedPool) -> int:
    """Return how many spot notices a week has at most, but for ``UNUSUAL`` weeks of a Poisson process at the planned rate."""
    expected = part.pool.serving.interruptions_per_hour * sum(part.week)
    return poisson_quantile(expected, UNUSUAL)


def patience_minutes(plan: Plan) -> int:
    """Return for how long replicas may be missing: twice what the slowest takes to start, in steps of five minutes."""
    slowest = max((start_minutes(part) for part in replica_pools(plan)), default=0)
    return max(LEAST_PATIENCE_MINUTES, 5 * ceil(2 * slowest / 5))


def poisson_quantile(expected: float, beyond: float) -> int:
    """Return the smallest number that is exceeded with a chance of at most ``beyond``.

    >>> poisson_quantile(0.15, 0.001), poisson_quantile(0.0, 0.001), poisson_quantile(10.0, 0.001)
    (2, 0, 21)
    """
    number, term = 0, exp(-expected)
    left = 1.0 - term
    while left > beyond:
        number += 1
        term *= expected / number
        left -= term
    return number


def number(value: float) -> str:
    """Return a figure as PromQL writes it.

    >>> number(0.05), number(3.0)
    ('0.05', '3')
    """
    return f"{value:.10g}"


def list_series(plan: Plan) -> tuple[PlanSeries, ...]:
    """Return all series of the plan, those that rest on others after them."""
    return (*_of_promises(plan), *_of_pools(plan), *_of_cost(plan))


def _of_promises(plan: Plan) -> Iterator[PlanSeries]:
    """Yield what classes were promised."""
    for item in promises(plan):
        yield _constant("error_budget", item.budget, {"class": item.traffic_class, "slo": item.slo})
    for name, window in windows_s(plan).items():
        yield _constant("window_seconds", window, {"class": name})


def _of_pools(plan: Plan) -> Iterator[PlanSeries]:
    """Yield what each pool was planned to have and do."""
    for part in replica_pools(plan):
        pool = {"pool": part.pool.name}
        yield PlanSeries("tightrope:plan_replicas", pool, _by_hour(workload(plan), part))
        yield _constant("replicas_max", max_pool_replicas(plan, part), pool)
        yield _constant("concurrency", part.pool.serving.concurrency / part.replicas_per_machine, pool)
        yield _constant("utilisation_target", target_utilisation(part), pool)
        utilisation = planned_utilisation(plan, part)
        yield from () if utilisation is None else (_constant("utilisation", utilisation, pool),)
        if part.pool.offer == SPOT:
            yield _constant("spot_notices_per_week_max", unusual_notices(part), pool)


def _of_cost(plan: Plan) -> Iterator[PlanSeries]:
    """Yield what the plan costs."""
    yield _constant("usd_per_month", metered_usd_per_month(plan), {})
    for part in metered_pools(plan):
        yield _constant("usd_per_day", usd_per_day(part), {"pool": part.pool.name})
    parts = replica_pools(plan)
    for part in parts:
        yield _constant("usd_per_replica_hour", usd_per_replica_hour(part), {"pool": part.pool.name})
    if parts:
        where = f'{{workload="{workload(plan)}"}}'
        costs = f"sum without (pool) (tightrope:plan_replicas{where} * tightrope:plan_usd_per_replica_hour{where})"
        yield PlanSeries("tightrope:plan_usd_per_hour", {}, costs)
        yield _constant("usd_per_hour_mean", sum(planned_usd_per_hour(plan, hour) for hour in range(WEEK)) / WEEK, {})
        yield _constant("usd_per_hour_max", most_usd_per_hour(plan), {})


def _constant(name: str, value: float, labels: dict[str, str]) -> PlanSeries:
    """Return a figure that never changes."""
    return PlanSeries(f"tightrope:plan_{name}", labels, f"vector({number(value)})")


def _by_hour(name: str, part: DeployedPool) -> str:
    """Return the expression for the replicas that the week wants now."""
    wanted = [machines * part.replicas_per_machine for machines in part.week]
    levels = sorted(set(wanted))
    if len(levels) == 1:
        return f"vector({levels[0]})"
    terms = (_hours(name, level, (hour for hour, count in enumerate(wanted) if count == level)) for level in levels)
    return f"sum without (hour) ({' or '.join(terms)})"


def _hours(name: str, level: int, hours: Iterable[int]) -> str:
    """Return so many replicas in these hours of the week, nothing in the others."""
    return f'{level} * tightrope:hour{{workload="{name}", hour=~"{"|".join(map(str, hours))}"}}'
