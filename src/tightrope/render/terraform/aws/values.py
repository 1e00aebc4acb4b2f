"""What the plan says to the root module, as data: ``plan.auto.tfvars.json``. Terraform reads no code in it, whatever its texts hold.

(Terraform evaluates the values of ``*.tfvars.json`` without a context, in which a JSON text is itself: ``${…}`` stays as it is.)
"""

from collections.abc import Callable
from math import ceil

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.base.records import Slo
from tightrope.clouds.service_sizes import ServiceSize, find_size
from tightrope.render.infra.deployment import (
    DeployedPool,
    engine_arguments,
    engine_environment,
    list_promises,
    max_pool_machines,
    notice,
    usd_on_cloud,
)
from tightrope.render.infra.names import label_value, slug
from tightrope.render.infra.schedule import DAYS, HOURS, WeeklyTime
from tightrope.render.infra.templates import json_file

MOST_ENTRIES = 100
"""Scheduled actions of a group: Amazon takes 125 (EC2 Auto Scaling quotas, 2026), and some are left for your own."""
MOST_TARGETS = 5
"""Target groups of one rule of a balancer (Application Load Balancer quotas, 2026)."""
NEURON = ("inferentia", "trainium")


def plan_data(plan: Plan, parts: tuple[DeployedPool, ...]) -> str:
    """Return ``plan.auto.tfvars.json``, with a line end."""
    data: dict[str, object] = {"plan": _plan(plan, parts)}
    machines = [part for part in parts if part.kind == "machines"]
    if machines:
        data["machines"] = {part.key: _machines(plan, part) for part in machines}
    containers = [part for part in parts if part.kind == "container"]
    if containers:
        data["containers"] = {part.key: _container(plan, part) for part in containers}
    functions = [part for part in parts if part.kind == "function"]
    if functions:
        data["functions"] = {part.key: _function(plan, part) for part in functions}
    data["routes"] = _routes(plan, [*machines, *containers])
    data["promises"] = _promises(plan, parts)
    return json_file(data)


def example(parts: tuple[DeployedPool, ...]) -> str:
    """Return settings for ``terraform test``: a network in every region, an image for every variant, nobody let in."""
    network = {
        "vpc_id": "vpc-example",
        "subnet_ids": ["subnet-a", "subnet-b"],
        "certificate_arn": "arn:aws:acm:::certificate/example",
    }
    return json_file(
        {
            "team": "example",
            "environment": "test",
            "cost_centre": "example",
            "notify_emails": ["platform@example.com"],
            "networks": {part.pool.region: network for part in parts},
            "images": {part.pool.variant: {"image": "registry.example.com/engine:1"} for part in parts},
            "run_on": "vm",
            "allowed_cidrs": [],
            "allowed_security_groups": {},
            "margin": 0.1,
            "expires_on": "",
            "gateway_namespace": None,
        }
    )


def _plan(plan: Plan, parts: tuple[DeployedPool, ...]) -> dict[str, object]:
    """Return what the whole plan says."""
    return {
        "notice": list(notice(plan)),
        "workload": plan.workload,
        "name": slug(plan.workload, 20),
        "workload_label": label_value(plan.workload),
        "proven": plan.status == "proven",
        "regions": list(dict.fromkeys(part.pool.region for part in parts)),
        "usd_per_month": round(usd_on_cloud(plan, "aws"), 2),
        "disk_gb": ceil(plan.disk_gb),
    }


# ------------------------------------------------------------------------------------------------------------------------ pools


def _machines(plan: Plan, part: DeployedPool) -> dict[str, object]:
    """Return one pool of machines."""
    wide = part.accelerators_per_replica
    arguments = list(engine_arguments(part))
    engines = [
        {
            "arguments": [*arguments, f"--port={8000 + place}"] if arguments else [],
            "accelerators": list(range(place * wide, (place + 1) * wide)),
        }
        for place in range(part.replicas_per_machine)
    ]
    return {
        "pool": part.pool.name,
        "region": part.pool.region,
        "machine": part.pool.machine,
        "image_kind": image_kind(part),
        "ami_type": _ami_type(part),
        "spot": part.spot,
        "backs": part.pool.serving.backs,
        "variant": part.pool.variant,
        "least": min(part.week),
        "most": max_pool_machines(plan, part),
        "week": _week(part),
        "schedule": _schedule(part, lambda moment: moment.cron),
        "requests_per_s": part.requests_per_s if plan.scaling.enabled else 0.0,
        "usual_requests_per_s": round(_used(plan, part) * part.pool.serving.requests_per_s, 9),
        "from_zero": min(part.week) == 0 and part.pool.serving.cooldown_s is not None,
        "start_s": part.pool.serving.start_s,
        "slow": _slow(plan, part),
        "engines": engines,
        "environment": engine_environment(part),
        "labels": part.labels(plan),
    }


def _used(plan: Plan, part: DeployedPool) -> float:
    """Return the share of the time its machines are paid for that they answer, by the plan's bill; 0 where that does not say."""
    usd = {
        driver: sum(line.usd for line in plan.cost_lines if line.pool == part.pool.name and line.driver == driver)
        for driver in ("compute", "idle")
    }
    return usd["compute"] / paid if (paid := sum(usd.values())) > 0 else 0.0


def image_kind(part: DeployedPool) -> str:
    """Return which of the machine images it takes: by its processor, and the driver that its accelerators need."""
    node = part.node
    if not node.accelerators:
        return node.arch
    if node.accelerator.startswith(NEURON):
        return "neuron"
    return "gpu-arm64" if node.arch == "arm64" else "gpu"


def _ami_type(part: DeployedPool) -> str:
    """Return the same as EKS calls it (API reference, Nodegroup, amiType)."""
    processor = "ARM_64" if part.node.arch == "arm64" else "x86_64"
    driver = {"neuron": "NEURON", "gpu": "NVIDIA", "gpu-arm64": "NVIDIA"}.get(image_kind(part), "STANDARD")
    return f"AL2023_{processor}_{driver}"


def _container(plan: Plan, part: DeployedPool) -> dict[str, object]:
    """Return one pool of container instances."""
    size = _size(part)
    return {
        "pool": part.pool.name,
        "region": part.pool.region,
        "cpu": int(1024 * size.vcpu),
        "memory_mib": size.memory_mib,
        "architecture": "ARM64" if size.service.arch == "arm64" else "X86_64",
        "variant": part.pool.variant,
        "least": min(part.week),
        "most": max(part.pool.max_replicas, *part.week),
        "week": _week(part),
        "schedule": _schedule(part, _application_cron),
        "requests_per_s": part.requests_per_s if plan.scaling.enabled else 0.0,
        "start_s": part.pool.serving.start_s,
        "arguments": list(engine_arguments(part)),
        "environment": engine_environment(part),
        "labels": part.labels(plan),
    }


def _function(plan: Plan, part: DeployedPool) -> dict[str, object]:
    """Return one pool of function instances."""
    size = _size(part)
    return {
        "pool": part.pool.name,
        "region": part.pool.region,
        "memory_mib": size.memory_mib,
        "architecture": "arm64" if size.service.arch == "arm64" else "x86_64",
        "variant": part.pool.variant,
        "most": part.pool.max_replicas,
        "environment": engine_environment(part),
        "labels": part.labels(plan),
    }


def _size(part: DeployedPool) -> ServiceSize:
    """Return the size of a service; raise ``InputError`` where it is none that is sold."""
    size = find_size(part.pool.machine)
    if size is None:
        msg = f"pool {part.pool.name!r}: {part.pool.machine!r} is no size of a service that can be written as Terraform for AWS"
        raise InputError(msg, resolve="plan with a size such as fargate-1vcpu-2gb or lambda-1769mb")
    return size


# ------------------------------------------------------------------------------------------------------------------ the calendar


def _week(part: DeployedPool) -> dict[str, str]:
    """Return the machines wanted in each hour of each day, for an apply to begin with."""
    week = part.asked_week(MOST_ENTRIES)
    return {name[:3].capitalize(): " ".join(map(str, week[HOURS * day : HOURS * (day + 1)])) for day, name in enumerate(DAYS)}


def _schedule(part: DeployedPool, cron: Callable[[WeeklyTime], str]) -> dict[str, dict[str, object]]:
    """Return the week as scheduled actions, each under a name that says when it acts.

    Amazon lets no two actions of a group begin at one moment, so that one whose number changes is changed where it stands.
    """
    listed = [(entry, entry.asked(part.early_s)) for entry in part.entries(MOST_ENTRIES)]
    return {_said(moment): {"cron": cron(moment), "machines": entry.machines} for entry, moment in listed}


def _said(moment: WeeklyTime) -> str:
    """Return an action's name."""
    days = " ".join(DAYS[day][:3] for day in moment.days) if len(moment.days) < len(DAYS) else "daily"
    return f"asked {moment.hour:02d}h{moment.minute:02d} {days}"


def _application_cron(moment: WeeklyTime) -> str:
    """Return a moment as Application Auto Scaling writes it."""
    days = ",".join(DAYS[day][:3].upper() for day in moment.days) if len(moment.days) < len(DAYS) else "*"
    return f"cron({moment.minute} {moment.hour} ? * {days} *)"


# ---------------------------------------------------------------------------------------------------------- routes and promises


def _slow(plan: Plan, part: DeployedPool) -> dict[str, object] | None:
    """Return the longest limit, and at which percentile, on answers (of a stream, their first part) that the pool gives; None without."""
    promised = [slo for name in part.classes for slo in _slos(plan, name) if slo.metric in {"latency", "ttft"}]
    if not promised:
        return None
    longest = max(promised, key=lambda slo: (slo.limit_s, slo.percentile))
    return {"percentile": round(100 * longest.percentile, 4), "limit_s": longest.limit_s}


def _slos(plan: Plan, name: str) -> tuple[Slo, ...]:
    """Return what is promised to a class."""
    return next((served.slos for served in plan.classes if served.name == name), ())


def _routes(plan: Plan, parts: list[DeployedPool]) -> dict[str, dict[str, object]]:
    """Return which share of a class each pool of a region answers, in hundredths."""
    return {
        f"{region}/{label_value(name)}": {
            "class": label_value(name),
            "region": region,
            "weights": {part.key: max(1, round(100 * share / _engines(part))) for part, share in taken},
        }
        for (region, name), (taken, _) in _shared(plan, parts).items()
    }


def excluded_routes(plan: Plan, parts: tuple[DeployedPool, ...]) -> list[tuple[str, str]]:
    """Return the pools, with the class, that a rule of a balancer has no room for."""
    shared = _shared(plan, [part for part in parts if part.kind in {"machines", "container"}])
    return [(part.key, name) for (_, name), (_, left) in shared.items() for part in left]


def _engines(part: DeployedPool) -> int:
    """Return the target groups of a pool: one an engine."""
    return part.replicas_per_machine if part.kind == "machines" else 1


def _shared(
    plan: Plan, parts: list[DeployedPool]
) -> dict[tuple[str, str], tuple[list[tuple[DeployedPool, float]], list[DeployedPool]]]:
    """Return, by region and class, the pools that one rule holds with their shares, the largest first, and those left over."""
    found: dict[tuple[str, str], tuple[list[tuple[DeployedPool, float]], list[DeployedPool]]] = {}
    by_name = {part.pool.name: part for part in parts}
    rules = [rule for rule in plan.routing if rule.pool in by_name and rule.share > 0]
    for rule in sorted(rules, key=lambda rule: (-rule.share, rule.pool)):
        part = by_name[rule.pool]
        taken, left = found.setdefault((part.pool.region, rule.traffic_class), ([], []))
        if sum(_engines(other) for other, _ in taken) + _engines(part) <= MOST_TARGETS:
            taken.append((part, rule.share))
        else:
            left.append(part)
    return {place: found[place] for place in sorted(found) if found[place][0]}


def _promises(plan: Plan, parts: tuple[DeployedPool, ...]) -> dict[str, dict[str, object]]:
    """Return the promises to what pools here answer, each to be watched in one region."""
    found: dict[str, dict[str, object]] = {}
    for part in parts:
        for item in list_promises(plan, part):
            what: dict[str, object] = {
                "class": item.traffic_class,
                "region": part.pool.region,
                "slo": item.slo,
                "target": item.target,
            }
            found.setdefault(item.key, what)
    return found
