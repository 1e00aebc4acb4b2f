"""What autoscalers ask Prometheus, in the gateway's own metrics, and the number of it that one replica is to carry."""

import json
from dataclasses import dataclass, replace
from math import ceil

from tightrope.base.metrics import METRICS
from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import DeployedPool, backed_pool
from tightrope.render.infra.names import label_value

LEAST_THRESHOLD = 0.1
LEAST_WINDOW_S = 60
"""A shorter rate has gaps: two scrapes may not be in it."""


@dataclass(frozen=True, slots=True)
class ScalingQuery:
    """What a pool's autoscaler follows."""

    metric: str
    """Of the gateway."""
    query: str
    per_replica: float


def scaling_query(plan: Plan, part: DeployedPool) -> ScalingQuery | None:
    """Return what the autoscaler of a pool follows, as it was planned: of its own, and what it stands in for.

    None where only the calendar, or only what another pool lacks, says how many there are.
    """
    if not plan.scaling.enabled or part.requests_per_s <= 0 or part.pool.max_replicas == 0:
        return None
    own, missing = _own(plan, part), missing_replicas_query(plan, part)
    return replace(own, query=f"{own.query} / {own.per_replica:.9g} + {missing}", per_replica=1.0) if missing else own


def keda_query(asked: ScalingQuery | None) -> ScalingQuery | None:
    """Return the same in replicas where it is small: KEDA reads a threshold to a thousandth, and drops what is below."""
    if asked is None or asked.per_replica >= LEAST_THRESHOLD:
        return asked
    return replace(asked, query=f"{asked.query} / {asked.per_replica:.9g}", per_replica=1.0)


def _own(plan: Plan, part: DeployedPool) -> ScalingQuery:
    """Return what the pool itself is asked to do."""
    replicas, here = part.replicas_per_machine, _of(plan, part.pool.name)
    if plan.scaling.metric == "concurrency":
        per_machine = plan.scaling.target_utilisation * part.pool.serving.concurrency
        name = METRICS["tightrope_requests_in_flight"].name
        return ScalingQuery(name, f"sum({name}{{{here}}})", per_machine / replicas)
    name = METRICS["tightrope_arrivals_total"].name
    rate = f"sum(rate({name}{{{here}{exclude_deferrable(plan)}}}[{window_s(plan)}s]))"
    return ScalingQuery(name, rate, part.requests_per_s / replicas)


def window_s(plan: Plan) -> int:
    """Return the seconds over which a rate is taken: the plan's, and what four scrapes of ``monitors.yaml`` span at least."""
    return max(LEAST_WINDOW_S, ceil(plan.scaling.metric_window_s))


def exclude_deferrable(plan: Plan) -> str:
    """Return the matchers that leave out deferrable work, which no autoscaler follows."""
    return "".join(f", class!={literal(item.name)}" for item in plan.classes if item.deferral is not None)


def wake_query(plan: Plan, part: DeployedPool) -> str:
    """Return what asks for one machine where none is scheduled: 1 while a request waits for one or is on one, else 0."""
    here = _of(plan, part.pool.name)
    held, busy = (METRICS[name].name for name in ("tightrope_held_requests", "tightrope_requests_in_flight"))
    return f"clamp_max(sum({held}{{{here}}}) + sum({busy}{{{here}}}), 1)"


def literal(text: str) -> str:
    r"""Return a string of PromQL, whose escapes JSON's are among.

    >>> print(literal('a"b\\c{'))
    "a\"b\\c{"
    """
    return json.dumps(text, ensure_ascii=False)


def _of(plan: Plan, pool: str) -> str:
    """Return the matchers of one pool: the label ``workload`` is put on by the ServiceMonitor."""
    return f"workload={literal(label_value(plan.workload))}, pool={literal(pool)}"


def missing_replicas_query(plan: Plan, part: DeployedPool) -> str:
    """Return the query of the replicas for the machines that the pool stands in for; empty where it stands in for none.

    They are those that the other wants and has not ready; every gateway shows all of them, counted in that pool's replicas.
    """
    other = backed_pool(plan, part)
    if other is None:
        return ""
    name = METRICS["tightrope_replicas"].name
    theirs = f'sum(max by (state) ({name}{{{_of(plan, other.name)}, state=~"starting|down"}}))'
    many, ours = other.serving.engines_per_machine, part.replicas_per_machine
    return theirs if many == ours else f"{theirs} * {ours} / {many}"
