"""Pools of containers and functions: Fargate services and Lambda functions."""

from math import ceil
from typing import Any

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.clouds.service_sizes import ServiceSize, find_size
from tightrope.render.cloudformation.pool import MOST_ENTRIES, arguments_of, balanced_values, pool_values, schedule_of, targets_of
from tightrope.render.infra.deployment import PLAN_AGAIN, DeployedPool

CLOUD = "aws"
MOST_AT_ONCE = 900
"""Requests that a function may be kept free for: an account has 1000, of which 100 stay free (AWS Lambda quotas, 2026)."""


def container_values(plan: Plan, part: DeployedPool) -> dict[str, Any]:
    """Return one pool of container instances."""
    size, pool = _size(part), pool_values(plan, part)
    return {
        **pool,
        **balanced_values(targets_of(pool["logical"], 1), "ip"),
        "cpu": str(int(1024 * size.vcpu)),
        "memory": str(size.memory_mib),
        "architecture": "ARM64" if size.service.arch == "arm64" else "X86_64",
        "arguments": arguments_of(part, 0),
        "warm_s": ceil(part.pool.serving.start_s),
        "grace_s": 2 * ceil(part.pool.serving.start_s),
        "schedule": schedule_of(part, pool["logical"], MOST_ENTRIES, application=True),
    }


def function_values(plan: Plan, part: DeployedPool) -> dict[str, Any]:
    """Return one pool of function instances."""
    size, pool = _size(part), pool_values(plan, part)
    alarms = (
        ("Failing", "Errors", "A function fails"),
        ("Refused", "Throttles", "More is asked at one time than the most: refused"),
    )
    return {
        **pool,
        "memory_mib": size.memory_mib,
        "architecture": "arm64" if size.service.arch == "arm64" else "x86_64",
        "at_once": min(part.pool.max_replicas, MOST_AT_ONCE),
        "alarms": [{"logical": f"{pool['logical']}{name}", "metric": metric, "said": said} for name, metric, said in alarms],
    }


def _size(part: DeployedPool) -> ServiceSize:
    """Return the size of a service; raise ``InputError`` where it is none that is sold."""
    size = find_size(part.pool.machine)
    if size is None or size.service.cloud != CLOUD:
        msg = f"pool {part.pool.name!r} runs on {part.pool.machine!r}, which AWS does not sell in this release"
        raise InputError(msg, resolve=PLAN_AGAIN)
    return size
