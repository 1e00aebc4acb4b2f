"""What the plan decided, as data that Azure's targets loop over: Terraform's variables, and what becomes an ARM template's parameters."""

import hashlib
import re
from math import ceil
from typing import Any, TypeAlias

from tightrope.base.errors import InputError
from tightrope.base.metrics import METRICS
from tightrope.base.plan import Plan
from tightrope.clouds.service_sizes import find_size
from tightrope.render.infra.deployment import (
    PLAN_AGAIN,
    DeployedPool,
    deploy_pools,
    engine_arguments,
    engine_environment,
    max_pool_machines,
    node_label,
    select_cloud,
    start_minutes,
)
from tightrope.render.infra.names import slug
from tightrope.render.infra.schedule import DAYS, ScheduleEntry
from tightrope.render.infra.templates import check_text, static

Data: TypeAlias = dict[str, Any]
"""As JSON holds it."""
ENTRIES = 18
"""Profiles of a week: Azure takes 20 (Microsoft documentation, Azure Monitor limits, 2026), and one is the default, one for expiry."""
WORKLOAD_LETTERS = 20
"""Of the workload's name, so that with a pool's it stays below the 64 letters of a scale set's."""
NODE_POOL_LETTERS = 6
"""Of a pool's name in its node pool's, which has at most 12, and as many of the SHA-256 of its label."""
HALF, DOUBLE = 1.5, 2.0
"""Loads, as multiples of the target, from which half as many machines more are asked for, and twice as many."""
FLEX_MB = (512, 2048, 4096)
"""Instances that Flex Consumption sells, MB (Microsoft documentation, Azure Functions Flex Consumption plan, 2026)."""
FLEX_LEAST, FLEX_MOST = 40, 1000
"""Limits of an app's largest number of instances (the same page)."""


ON_MACHINES = ("start.sh", "drain.sh", "tightrope.service", "tightrope-drain.service")


def scripts() -> dict[str, str]:
    """Return what the machines of a scale set run, by file name; the same for every plan, so that none is replaced for nothing."""
    return {name: static("infra/azure/machine", name) for name in ON_MACHINES}


def workload(plan: Plan) -> str:
    """Return the workload's name as the names of Azure's resources begin."""
    return slug(plan.workload, WORKLOAD_LETTERS)


def machines(plan: Plan) -> dict[str, Data]:
    """Return the pools of machines on Azure by their keys; raise ``InputError`` where one is of machines of the user's own."""
    here = select_cloud(plan, "azure")
    for part in deploy_pools(here, "owned"):
        msg = f"pool {part.pool.name!r} is of machines of your own on Azure, which no file can make"
        raise InputError(msg, resolve="leave owned machines out of the clouds' pools, or render for --target kubernetes")
    return {part.key: _machines(plan, part) for part in deploy_pools(here, "machines")}


def containers(plan: Plan) -> dict[str, Data]:
    """Return the pools of containers on Azure by their keys; raise ``InputError`` for a size that Azure does not sell."""
    return {part.key: _container(plan, part) for part in deploy_pools(select_cloud(plan, "azure"), "container")}


def functions(plan: Plan) -> dict[str, Data]:
    """Return the pools of functions on Azure by their keys; raise ``InputError`` for a size that Azure does not sell."""
    return {part.key: _function(plan, part) for part in deploy_pools(select_cloud(plan, "azure"), "function")}


def regions(plan: Plan) -> list[str]:
    """Return the regions on Azure in which the plan has pools, in order."""
    return sorted({part.pool.region for part in deploy_pools(select_cloud(plan, "azure"))})


def node_pool_name(key: str, label: str) -> str:
    """Return an AKS node pool's name: letters and digits, at most 12, beginning with a letter; it stands for ``label`` alone.

    >>> node_pool_name("int8-standard-nc4as-t4-v3-spot", "chat.int8-standard-nc4as-t4-v3-spot")
    'int8st9db479'
    """
    digest = hashlib.sha256(label.encode()).hexdigest()[:NODE_POOL_LETTERS]
    return f"{re.sub('[^a-z0-9]', '', key)[:NODE_POOL_LETTERS]}{digest}"


def _machines(plan: Plan, part: DeployedPool) -> Data:
    """Return a pool of machines."""
    pool, peak = part.pool, max(part.week)
    calendar = part.entries(ENTRIES) if len(set(part.week)) > 1 else ()
    return {
        "name": _plain(pool.name),
        "region": pool.region,
        "zones": pool.zones,
        "machine": _plain(pool.machine),
        "arch": part.node.arch,
        "spot": part.spot,
        "minimum": min(part.week),
        "maximum": max_pool_machines(plan, part),
        "peak": peak,
        "accelerators": part.node.accelerators,
        "replicas": part.replicas_per_machine,
        "variant": _plain(pool.variant),
        "arguments": list(engine_arguments(part)),
        "environment": engine_environment(part),
        "start_minutes": max(1, start_minutes(part)),
        "steady_minutes": max(1, ceil(plan.scaling.downscale_stabilization_s / 60.0)),
        "busy_above": round(HALF * _target(plan, part), 6),
        "load": _load(plan, part),
        "from_none": pool.serving.cooldown_s is not None,
        "node_pool": node_pool_name(part.key, node_label(plan, part.key)),
        "tags": part.labels(plan),
        "entries": [_entry(part, entry) for entry in calendar],
    }


def _load(plan: Plan, part: DeployedPool) -> Data | None:
    """Return what of the gateway's a pool grows and shrinks by, as it was planned; None where its calendar alone says its machines.

    The plan's autoscaler brings the load to its target at once. Azure's goes by steps: one machine more, half as many more, twice as many.
    """
    if not plan.scaling.enabled or part.requests_per_s <= 0:
        return None
    by_requests = plan.scaling.metric == "concurrency"
    target = plan.scaling.target_utilisation * part.pool.serving.concurrency if by_requests else _target(plan, part)
    return {
        "metric": METRICS["tightrope_requests_in_flight" if by_requests else "tightrope_utilisation_ratio"].name,
        "each_machine": by_requests,
        "shrink_below": round(target * (1.0 - plan.scaling.tolerance), 6),
        "grow_above": round(target * (1.0 + plan.scaling.tolerance), 6),
        "half_above": round(target * HALF, 6),
        "double_above": round(target * DOUBLE, 6),
    }


def _target(plan: Plan, part: DeployedPool) -> float:
    """Return the use that a pool is steered to."""
    return part.pool.autoscaling.get("target_utilisation", plan.scaling.target_utilisation)


def _entry(part: DeployedPool, entry: ScheduleEntry) -> Data:
    """Return one profile of the week: from when on (in UTC) so many machines are asked for."""
    asked = entry.asked(part.early_s)
    return {
        "name": f"{entry.hour:02d}:00 {' '.join(DAYS[day][:3] for day in entry.days)}: {entry.machines}",
        "days": [DAYS[day].capitalize() for day in asked.days],
        "hour": asked.hour,
        "minute": asked.minute,
        "machines": entry.machines,
    }


def _container(plan: Plan, part: DeployedPool) -> Data:
    """Return a pool of containers, of the size that the plan names."""
    size = find_size(part.pool.machine)
    if size is None:
        raise _unsold(part)
    return {
        "region": part.pool.region,
        "vcpu": float(size.vcpu),
        "memory_gb": size.memory_mib / 1024,
        "peak": max(part.week),
        "maximum": max(part.pool.max_replicas, *part.week),
        "variant": _plain(part.pool.variant),
        "arguments": list(engine_arguments(part)),
        "environment": engine_environment(part),
        "tags": part.labels(plan),
    }


def _function(plan: Plan, part: DeployedPool) -> Data:
    """Return a pool of functions: the smallest instance that is sold from the plan's memory on."""
    size = find_size(part.pool.machine)
    if size is None or size.memory_mib > FLEX_MB[-1]:
        raise _unsold(part)
    return {
        "region": part.pool.region,
        "memory_mb": next(sold for sold in FLEX_MB if sold >= size.memory_mib),
        "most_at_once": min(max(part.pool.max_replicas, FLEX_LEAST), FLEX_MOST),
        "variant": _plain(part.pool.variant),
        "environment": engine_environment(part),
        "tags": part.labels(plan),
    }


def _unsold(part: DeployedPool) -> InputError:
    """Return the error for a size that is none."""
    return InputError(f"pool {part.pool.name!r}: Azure sells no {part.pool.machine!r}", resolve=PLAN_AGAIN)


def _plain(text: str) -> str:
    """Return a text as it is; raise ``InputError`` where it holds what no file should."""
    check_text(text)
    return text
