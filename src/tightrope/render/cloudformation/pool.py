"""What the templates need to know of any pool: the logical name of everything that is made of it, its tags, and its week."""

from typing import Any

from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import DeployedPool, engine_arguments, engine_environment, max_pool_machines, node_label
from tightrope.render.infra.names import label_value, pascal, slug
from tightrope.render.infra.schedule import DAYS, WeeklyTime

MOST_ENTRIES = 100
"""Scheduled actions of a group: Amazon takes 125 (EC2 Auto Scaling quotas, 2026)."""
FIRST_PORT = 8000
IDS = (
    "logs",
    "template",
    "group",
    "expiry",
    "policy",
    "wake",
    "held",
    "nodes",
    "made",
    "new",
    "rule",
    "errors",
    "task",
    "service",
    "target",
    "role",
    "function",
    "alias",
)


def image_parameter(variant: str) -> str:
    """Return the parameter of a variant's image.

    >>> image_parameter("assistant-7b/int8")
    'ImageAssistant7bInt81873cae57de5'
    """
    return f"Image{pascal(slug(variant))}"


def common_tags(plan: Plan) -> dict[str, Any]:
    """Return the tags of everything."""
    return {
        "workload": label_value(plan.workload),
        "managed-by": "tightrope",
        "team": {"Ref": "Team"},
        "environment": {"Ref": "Environment"},
        "cost-centre": {"Ref": "CostCentre"},
        "expires-on": {"Ref": "ExpiresOn"},
    }


def pool_values(plan: Plan, part: DeployedPool) -> dict[str, Any]:
    """Return what all kinds of pools have."""
    logical = f"Pool{pascal(part.key)}"  # which no name of a template's own begins with
    return {
        "key": part.key,
        "name": part.pool.name,
        "logical": logical,
        "ids": {name: f"{logical}{name.capitalize()}" for name in IDS},
        "node_label": node_label(plan, part.key),
        "image": image_parameter(part.pool.variant),
        "environment": engine_environment(part),
        "tags": {**common_tags(plan), **part.labels(plan)},
        "least": min(part.week),
        "most": max_pool_machines(plan, part),
        "per_minute": round(60 * part.requests_per_s, 6) if plan.scaling.enabled else 0,
    }


def targets_of(logical: str, engines: int) -> list[dict[str, Any]]:
    """Return a target group for each engine of a machine, by its port."""
    ports = range(FIRST_PORT, FIRST_PORT + engines)
    return [
        {"logical": f"{logical}Port{port}", "port": port, "requests": f"requests{port}", "errors": f"errors{port}"}
        for port in ports
    ]


def balanced_values(targets: list[dict[str, Any]], target_type: str) -> dict[str, Any]:
    """Return what the balancer needs to know of a pool."""
    errors, requests = (" + ".join(f"FILL({target[what]}, 0)" for target in targets) for what in ("errors", "requests"))
    share = f"IF(({requests}) > 0, ({errors}) / ({requests}), 0)"
    return {"targets": targets, "target_type": target_type, "error_share": share}


def arguments_of(part: DeployedPool, place: int) -> list[str]:
    """Return an engine's arguments, with its port where it takes any."""
    arguments = list(engine_arguments(part))
    return [*arguments, f"--port={FIRST_PORT + place}"] if arguments else []


def schedule_of(part: DeployedPool, logical: str, most: int, *, application: bool) -> list[dict[str, Any]]:
    """Return the week as scheduled actions, each under a name that says when, and after which other it is made.

    Amazon takes one action at a time, and no two of a group that begin at the same moment. So they are made one by one, and an action
    that keeps its time and changes its number is changed where it stands: a new name would be made before the old one goes.
    """
    listed = [(entry, entry.asked(part.early_s)) for entry in part.entries(most)]
    names = [f"{logical}At{moment.hour:02}{moment.minute:02}{_days(moment)}" for _, moment in listed]
    return [
        {
            "logical": name,
            "after": names[place - 1] if place else "",
            "cron": _application_cron(moment) if application else moment.cron,
            "machines": entry.machines,
        }
        for place, (name, (entry, moment)) in enumerate(zip(names, listed, strict=True))
    ]


def _days(moment: WeeklyTime) -> str:
    """Return the days of a moment, as a name takes them."""
    return "Daily" if len(moment.days) == len(DAYS) else "".join(DAYS[day][:3].capitalize() for day in moment.days)


def _application_cron(moment: WeeklyTime) -> str:
    """Return a moment as Application Auto Scaling writes it."""
    days = ",".join(DAYS[day][:3].upper() for day in moment.days) if len(moment.days) < len(DAYS) else "*"
    return f"cron({moment.minute} {moment.hour} ? * {days} *)"
