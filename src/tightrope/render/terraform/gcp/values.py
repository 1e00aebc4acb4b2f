"""The plan's values as the variables of ``variables.tf`` take them."""

from math import ceil, floor

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.clouds.service_sizes import ServiceSize, find_size
from tightrope.render.infra.deployment import (
    PLAN_AGAIN,
    DeployedPool,
    deploy_pools,
    engine_arguments,
    engine_environment,
    list_promises,
    max_pool_machines,
    node_label,
    notice,
    usd_on_cloud,
)
from tightrope.render.infra.names import slug
from tightrope.render.terraform.gcp.schedules import split_week

CLOUD = "gcp"
HYPERDISK = frozenset({"a4", "c4", "c4a", "c4d", "ct6e", "g4", "h4d", "n4", "n4d"})
"""Families that take no Persistent Disk (Compute Engine documentation, Hyperdisk machine type support, 2026)."""
ATTACHED = frozenset({"n1"})
"""Families whose accelerators are not of the machine type but attached to it."""
TIMEOUT_S = 300
"""Time that a request may take: Cloud Run's own default (Google Cloud documentation, Cloud Run: request timeout, 2026)."""


def parts_of(plan: Plan) -> tuple[DeployedPool, ...]:
    """Return the pools that stand on Google Cloud."""
    return tuple(part for part in deploy_pools(plan) if part.pool.cloud == CLOUD)


def variants_of(plan: Plan) -> list[str]:
    """Return the variants that they run, which need an image each."""
    return sorted({part.pool.variant for part in parts_of(plan) if part.kind != "api"})


def plan_values(plan: Plan) -> dict[str, object]:
    """Return the content of ``plan.auto.tfvars.json``."""
    machines = [part for part in parts_of(plan) if part.kind == "machines"]
    services = [part for part in parts_of(plan) if part.kind in {"function", "container"}]
    return {
        "notice": list(notice(plan)),
        "workload": slug(plan.workload),
        "account_id": slug(f"{plan.workload}-serve", 28),
        "monthly_usd": round(usd_on_cloud(plan, CLOUD), 2),
        "usd_per_hour": round(sum(max_pool_machines(plan, part) * part.node.usd_per_hour for part in machines), 6),
        "disk_gb": plan.disk_gb,
        "caps": {
            "machines": sum(max_pool_machines(plan, part) for part in machines),
            "spot_machines": sum(max_pool_machines(plan, part) for part in machines if part.spot),
            "instances": sum(part.pool.max_replicas for part in services),
        },
        "pools": {part.key: _machines(plan, part) for part in machines},
        "services": {part.key: _service(plan, part) for part in services},
        "promises": _promises(plan),
    }


def example_values(plan: Plan) -> dict[str, object]:
    """Return values that stand for the user's own, for ``terraform test``."""
    regions = sorted({part.pool.region for part in parts_of(plan)})
    return {
        "project_id": "example-project",
        "billing_account": "000000-000000-000000",
        "team": "example",
        "environment": "test",
        "cost_centre": "example",
        "notify_emails": ["team@example.com"],
        "images": {variant: {"image": "example.com/serve:1"} for variant in variants_of(plan)},
        "network": "example",
        "subnetworks": dict.fromkeys(regions, "example"),
        "margin": 0.1,
        "currency": "USD",
        "usd_rate": 1,
        "expires_on": "",
        "proxy_only_subnets": {region: {"cidr": "10.129.0.0/23"} for region in regions},
    }


def labels_of(plan: Plan, part: DeployedPool) -> dict[str, str]:
    """Return a pool's labels, as Google Cloud takes them: small letters, digits, hyphens and underscores.

    What everything carries is said once, in ``locals.tf``.
    """
    return {key: slug(value, 63) for key, value in part.labels(plan).items() if key not in {"workload", "managed-by"}}


def _machines(plan: Plan, part: DeployedPool) -> dict[str, object]:
    """Return one entry of ``var.pools``."""
    pool, node = part.pool, part.node
    return {
        "pool": pool.name,
        "name": slug(f"{plan.workload}-{part.key}"),
        "node_label": node_label(plan, part.key),
        "region": pool.region,
        "machine": pool.machine,
        "spot": part.spot,
        "usd_per_hour": node.usd_per_hour,
        "min": pool.min_replicas,
        "max": max_pool_machines(plan, part),
        "signal": _signal(plan, part),
        "requests_per_s": round(part.requests_per_s, 6),
        "in_flight": max(1, floor(pool.serving.concurrency * plan.scaling.target_utilisation)),
        "stabilisation_s": min(1800, ceil(plan.scaling.downscale_stabilization_s)),
        "start_s": pool.serving.start_s,
        "variant": pool.variant,
        "arguments": list(engine_arguments(part)),
        "environment": engine_environment(part),
        "replicas": part.replicas_per_machine,
        "accelerators": 0 if _is_tpu(part) else node.accelerators,
        "accelerators_per_replica": 0 if _is_tpu(part) else part.accelerators_per_replica,
        "attach": f"nvidia-tesla-{node.accelerator}" if node.family in ATTACHED and node.accelerators else "",
        "tpu": _is_tpu(part),
        "arm": node.arch == "arm64",
        "disk_type": "hyperdisk-balanced" if node.family in HYPERDISK else "pd-balanced",
        "labels": labels_of(plan, part),
        "schedules": {item.name: item.asked(pool.serving.start_s) for item in split_week(part.week)},
    }


def _is_tpu(part: DeployedPool) -> bool:
    """Return whether its accelerators are TPUs, which have neither NVIDIA's driver nor instance groups."""
    return part.node.accelerator.startswith("tpu")


def _signal(plan: Plan, part: DeployedPool) -> str:
    """Return what the group's autoscaler follows: a load balancer cannot wake a group that is empty."""
    if part.pool.max_replicas == part.pool.min_replicas or not plan.scaling.enabled:
        return "none"
    return "rate" if part.pool.min_replicas and part.requests_per_s else "in-flight"


def _service(plan: Plan, part: DeployedPool) -> dict[str, object]:
    """Return one entry of ``var.services``."""
    size = _size(part)
    changes = part.entries() if len(set(part.week)) > 1 else ()
    return {
        "pool": part.pool.name,
        "name": slug(f"{plan.workload}-{part.key}"),
        "region": part.pool.region,
        "size": size.name,
        "cpu": str(size.vcpu.normalize()),
        "memory": f"{size.memory_mib}Mi",
        "cpu_idle": part.kind == "function",
        "concurrency": min(1000, max(1, floor(part.pool.serving.concurrency))),
        "timeout_s": TIMEOUT_S,
        "min": part.pool.min_replicas,
        "max": part.pool.max_replicas,
        "variant": part.pool.variant,
        "environment": engine_environment(part),
        "labels": labels_of(plan, part),
        "schedule": {
            f"{entry.hour:02}h-{entry.machines}{'-up' if entry.rises else ''}": {
                "cron": entry.asked(part.early_s).cron,
                "machines": entry.machines,
            }
            for entry in changes
        },
    }


def _size(part: DeployedPool) -> ServiceSize:
    """Return the size of a function or container."""
    size = find_size(part.pool.machine)
    if size is None or size.service.cloud != CLOUD:
        msg = f"pool {part.pool.name!r} runs on {part.pool.machine!r}, which Google Cloud does not sell in this release"
        raise InputError(msg, resolve=PLAN_AGAIN)
    return size


def _promises(plan: Plan) -> dict[str, object]:
    """Return what is promised to each class that is answered here, by a name that alerts take."""
    found = list_promises(plan, *parts_of(plan))
    return {item.key: {"traffic_class": item.traffic_class, "slo": item.slo, "target": item.target} for item in found}
