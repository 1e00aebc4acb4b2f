"""What autoscalers ask Prometheus, in the gateway's own metrics, and the number of it that one replica is to carry."""

import json
from dataclasses import dataclass
from math import ceil

from tightrope.base.metrics import METRICS
from tightrope.base.plan import Plan
from tightrope.render.infra.deploy import Part
from tightrope.render.infra.names import label_value


@dataclass(frozen=True, slots=True)
class Followed:
    """What a pool's autoscaler follows."""

    metric: str
    """Of the gateway."""
    query: str
    per_replica: float


def followed(plan: Plan, part: Part) -> Followed | None:
    """Return what the autoscaler of a pool follows, as it was planned; None where only the calendar says how many there are."""
    if not plan.scaling.enabled or part.requests_per_s <= 0:
        return None
    replicas, here = part.replicas_per_machine, _of(plan, part.pool.name)
    if plan.scaling.metric == "concurrency":
        per_machine = plan.scaling.target_utilisation * part.pool.serving.concurrency
        name = METRICS["tightrope_requests_in_flight"].name
        return Followed(name, f"sum({name}{{{here}}})", per_machine / replicas)
    name = METRICS["tightrope_arrivals_total"].name
    rate = f"sum(rate({name}{{{here}{waiting(plan)}}}[{ceil(plan.scaling.metric_window_s)}s]))"
    per_replica = part.requests_per_s / replicas
    if not part.pool.serving.backs:
        return Followed(name, rate, per_replica)
    missing = f"{_missing(plan, part.pool.serving.backs)} * {replicas}"
    return Followed(name, f"{rate} / {per_replica:.9g} + {missing}", 1.0)


def waiting(plan: Plan) -> str:
    """Return the matchers that leave out work that can wait, which no autoscaler follows."""
    return "".join(f", class!={literal(item.name)}" for item in plan.classes if item.deferral is not None)


def wakes(plan: Plan, part: Part) -> str:
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


def _missing(plan: Plan, pool: str) -> str:
    """Return the query of the machines that a pool wants and has not ready; every gateway shows all of them."""
    name = METRICS["tightrope_replicas"].name
    return f'sum(max by (state) ({name}{{{_of(plan, pool)}, state=~"starting|down"}}))'
