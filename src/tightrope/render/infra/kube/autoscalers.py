"""The files that scale a pool: KEDA's, and HorizontalPodAutoscalers with a calendar of jobs."""

from math import ceil, floor

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.base.records import ScalingLimit
from tightrope.render.infra.deployment import DeployedPool, max_pool_replicas, replica_cpu
from tightrope.render.infra.kube.calendar import constant_machines, spans
from tightrope.render.infra.kube.clusters import labels
from tightrope.render.infra.kube.components import FOLDER
from tightrope.render.infra.kube.queries import (
    exclude_deferrable,
    keda_query,
    missing_replicas_query,
    scaling_query,
    wake_query,
    window_s,
)
from tightrope.render.infra.names import label_value, slug
from tightrope.render.infra.schedule import WeeklyTime
from tightrope.render.infra.templates import fill

KUBECTL = "registry.k8s.io/kubectl:v1.34.1"
"""Of 2025-09; the overlay says another."""
KINDS = {"pods": "Pods", "percent": "Percent"}
SELECT = {"max": "Max", "min": "Min", "disabled": "Disabled"}
LONGEST_PERIOD_S = 1800
LONGEST_WINDOW_S = 3600
"""Of Kubernetes' (HorizontalPodAutoscaler v2)."""
USUAL_TOLERANCE = 0.1
"""Kubernetes' own (documentation, 2026); another is a field of ``behavior`` since 1.33."""
USUAL_COOLDOWN_S = 300.0
"""KEDA's own."""
MOST_CPU_SHARE = 0.95
"""The CPU, where nothing else is busy, is full where the request rate is: it is followed as well in case the metric is wrong."""


def may_wake(plan: Plan, part: DeployedPool) -> bool:
    """Return whether a request that finds no machine starts one."""
    return plan.scaling.enabled and min(part.week) == 0 and _cooldown_s(plan, part) is not None and part.pool.max_replicas > 0


def is_scaled(plan: Plan, part: DeployedPool) -> bool:
    """Return whether a pool ever has a machine: by its calendar, for a request that finds none, or in the place of another's."""
    return max(part.week) > 0 or may_wake(plan, part) or bool(part.pool.serving.backs)


def _cooldown_s(plan: Plan, part: DeployedPool) -> float | None:
    """Return the time without a request after which a machine goes that a request started; None where none is started so."""
    own_s = part.pool.serving.cooldown_s
    return plan.scaling.cooldown_s if own_s is None else own_s


def keda(plan: Plan, part: DeployedPool, target: str) -> str:
    """Return the ScaledObject of a pool whose Deployment is ``target``, without the notice."""
    many, early_s = part.replicas_per_machine, part.pool.serving.start_s + plan.scaling.upscale_stabilization_s
    asked, missing, always = (
        keda_query(scaling_query(plan, part)),
        missing_replicas_query(plan, part),
        constant_machines(part.week, early_s) * many,
    )
    cooldown_s = _cooldown_s(plan, part)
    most = max_pool_replicas(plan, part)
    shown = [
        {
            "name": f"week-{number}",
            "start": span.start.cron,
            "end": span.end.cron,
            "replicas": str(raise_for_tolerance(span.machines * many, plan.scaling.tolerance)),
        }
        for number, span in enumerate(spans(part.week, early_s), start=1)
    ]
    values = {
        "key": part.key,
        "labels": labels(plan, part),
        "early_minutes": str(ceil(early_s / 60.0)),
        "replicas_per_machine": str(many),
        "target": target,
        "polling_s": max(1, ceil(plan.scaling.sync_s)),
        "cooldown_s": ceil(USUAL_COOLDOWN_S if cooldown_s is None else cooldown_s),
        "least": always,
        "floor": max(1, always),
        "most": most,
        "followed": asked,
        "threshold": f"{asked.per_replica:.9g}" if asked else "",
        "activation": f"{asked.per_replica * most:.9g}" if asked else "",
        "behavior": behaviour(plan, part),
        "lacking": missing,
        "wakes": wake_query(plan, part) if may_wake(plan, part) else "",
        "spans": shown if shown or asked or missing or may_wake(plan, part) else [unbroken(always)],
    }
    return fill(FOLDER, "keda.yaml.j2", "yaml", values)


def raise_for_tolerance(replicas: int, tolerance: float) -> int:
    """Return the number to ask for so that at least so many come: an HPA leaves out a rise within its tolerance.

    >>> raise_for_tolerance(4, 0.1), raise_for_tolerance(11, 0.1), raise_for_tolerance(50, 0.1), raise_for_tolerance(50, 0.0)
    (4, 12, 54, 50)
    """
    return max(replicas, floor((1.0 + tolerance) * (replicas - 1) + 1e-9) + 1)


def unbroken(replicas: int) -> dict[str, str]:
    """Return the span of a week that never changes: KEDA wants a trigger, and takes no span without an end."""
    return {"name": "week-1", "start": "0 0 * * *", "end": "59 23 * * *", "replicas": str(replicas)}


def behaviour(plan: Plan, part: DeployedPool) -> dict[str, object]:
    """Return the limits on change of a pool's autoscaler, as Kubernetes writes them."""
    scaling = plan.scaling
    return {
        "scaleUp": _limit(plan, part, scaling.scale_up, scaling.upscale_stabilization_s),
        "scaleDown": _limit(plan, part, scaling.scale_down, scaling.downscale_stabilization_s),
    }


def _limit(plan: Plan, part: DeployedPool, limit: ScalingLimit, window_s: float) -> dict[str, object]:
    """Return one direction; raise ``InputError`` where Kubernetes takes no window or period so long."""
    periods = [rule.period_s for rule in limit.rules]
    if window_s > LONGEST_WINDOW_S or any(period > LONGEST_PERIOD_S for period in periods):
        msg = f"the plan scales over {max(window_s, *periods):g} s: Kubernetes takes windows of 3600 s and periods of 1800 s at most"
        raise InputError(msg, resolve="shorten `scaling` in the workload and plan again")
    rules = [
        {
            "type": KINDS[rule.kind],
            "value": max(1, ceil(rule.value * (part.replicas_per_machine if rule.kind == "pods" else 1))),
            "periodSeconds": max(1, ceil(rule.period_s)),
        }
        for rule in limit.rules
    ]
    return {
        "stabilizationWindowSeconds": ceil(window_s),
        "selectPolicy": SELECT[limit.select],
        "policies": rules,
        "tolerance": f"{plan.scaling.tolerance:g}" if plan.scaling.tolerance != USUAL_TOLERANCE else "",
    }


# --------------------------------------------------------------------------------------------------------------------- HPA


def fits_hpa(part: DeployedPool) -> bool:
    """Return whether an HPA can name the pool: the label of its metric is then a label of Kubernetes, and no sum of two."""
    return label_value(part.pool.name) == part.pool.name and not part.pool.serving.backs


def adapter_metric(name: str) -> str:
    """Return the name that the rule of ``adapter_rules`` gives a metric of the gateway.

    >>> adapter_metric("tightrope_arrivals_total"), adapter_metric("tightrope_requests_in_flight")
    ('tightrope_arrivals_per_second', 'tightrope_requests_in_flight')
    """
    return f"{name.removesuffix('_total')}_per_second" if name.endswith("_total") else name


def adapter_rules(plan: Plan) -> str:
    """Return prometheus-adapter's rule (its Helm chart's ``rules.external``) for what the HPAs follow."""
    if plan.scaling.metric == "concurrency":
        series, shown = "tightrope_requests_in_flight", "sum(<<.Series>>{<<.LabelMatchers>>})"
    else:
        series = "tightrope_arrivals_total"
        shown = f"sum(rate(<<.Series>>{{<<.LabelMatchers>>{exclude_deferrable(plan)}}}[{window_s(plan)}s]))"
    values = {"series": series, "as": adapter_metric(series), "query": shown}
    return fill(FOLDER, "adapter.yaml.j2", "yaml", values)


def hpa(plan: Plan, part: DeployedPool, target: str) -> str:
    """Return the HorizontalPodAutoscaler of a pool and the jobs that follow its week, without the notice."""
    many, asked = part.replicas_per_machine, scaling_query(plan, part)
    peak = max(1, *part.week) * many
    values = {
        "key": part.key,
        "labels": labels(plan, part),
        "workload": label_value(plan.workload),
        "replicas_per_machine": str(many),
        "target": target,
        "first": peak,
        "most": max(peak, max_pool_replicas(plan, part)) if asked else peak,
        "metric": adapter_metric(asked.metric) if asked else "",
        "pool": part.pool.name,
        "per_replica": f"{ceil(1000 * asked.per_replica)}m" if asked else "",
        "cpu_percent": _cpu_percent(plan, part) if asked and not part.node.accelerators else 0,
        "behavior": behaviour(plan, part),
        "image": KUBECTL,
        "subject": f"hpa/{part.key}",
        "entries": [
            {
                "name": _job(part, moment := entry.asked(part.early_s), entry.machines),
                "cron": moment.cron,
                "patch": _patch(max(1, entry.machines) * many, follows=asked is not None),
            }
            for entry in part.entries()
        ],
    }
    return fill(FOLDER, "hpa.yaml.j2", "yaml", values)


def _cpu_percent(plan: Plan, part: DeployedPool) -> int:
    """Return the use of CPU that a pool without accelerators is steered to at most, in per cent of what a replica asks for.

    That is less than what it may use: at the planned rate the CPU must not buy machines that the request rate does not.
    """
    most = part.node.vcpu / part.replicas_per_machine
    return max(1, ceil(100 * min(MOST_CPU_SHARE, plan.scaling.target_utilisation) * most / replica_cpu(part)))


def _patch(replicas: int, *, follows: bool) -> str:
    """Return the patch that sets the least replicas of an HPA; both ends of it where nothing but the calendar counts."""
    return (
        f'{{"spec":{{"minReplicas":{replicas}}}}}'
        if follows
        else f'{{"spec":{{"minReplicas":{replicas},"maxReplicas":{replicas}}}}}'
    )


def _job(part: DeployedPool, moment: WeeklyTime, machines: int) -> str:
    """Return the name of a job of the calendar, which says its time, so that another time is another job."""
    days = "".join(str(day + 1) for day in moment.days)
    return f"{slug(part.key, 24)}-{moment.hour:02d}{moment.minute:02d}-{days}-{machines}"
