"""What the templates are filled with: a plan's pools on AWS, what stands around them, and what an account has once."""

import hashlib
import json
from math import ceil
from typing import Any

from tightrope.base.plan import Plan
from tightrope.render import formats
from tightrope.render.cloudformation.machines import AMIS, machine_values
from tightrope.render.cloudformation.pool import FIRST_PORT, MOST_ENTRIES, common_tags, image_parameter
from tightrope.render.cloudformation.services import CLOUD, container_values, function_values
from tightrope.render.infra.deployment import DeployedPool, deploy_pools, list_promises, proof_line, usd_on_cloud
from tightrope.render.infra.names import label_value, pascal, slug

MOST_RESOURCES, OF_A_STACK, OF_A_POOL = 500, 40, 20
"""Resources that a template may have (AWS CloudFormation quotas, 2026), those it has once, and those of a pool beside its schedule."""
MARGIN = 0.1
"""Part of the planned cost that a month may cost more before the budget is used up."""
MOST_PRIORITY = 50_000
"""Of a balancer's rules (Elastic Load Balancing API reference, CreateRule, 2026)."""


def parts_of(plan: Plan) -> tuple[DeployedPool, ...]:
    """Return the pools that stand on AWS."""
    return tuple(part for part in deploy_pools(plan, "machines", "container", "function") if part.pool.cloud == CLOUD)


def region_values(plan: Plan, parts: tuple[DeployedPool, ...]) -> dict[str, Any]:
    """Return what the template of one region is filled with."""
    most = _most_entries(parts)
    machines = [machine_values(plan, part, most) for part in parts if part.kind == "machines"]
    containers = [container_values(plan, part) for part in parts if part.kind == "container"]
    functions = [function_values(plan, part) for part in parts if part.kind == "function"]
    balanced = _with_priorities([*machines, *containers])
    amis = {pool["ami"] for pool in machines}
    promised = _promises(plan, parts)
    wakes = any(pool["from_zero"] for pool in machines)
    return {
        "description": _description(plan),
        "tags": common_tags(plan),
        "disk_gb": ceil(plan.disk_gb),
        "images": _images(parts),
        "amis": {name: path for name, path in AMIS.items() if name in amis},
        "machines": machines,
        "containers": containers,
        "only_machines": bool(machines) and not containers,
        "functions": functions,
        "balanced": balanced,
        "spot": any(pool["spot"] for pool in machines),
        "last_port": max((target["port"] for pool in balanced for target in pool["targets"]), default=FIRST_PORT),
        "promises": promised,
        "wakes": wakes,
        "gateway_used": wakes or bool(promised),
    }


def spending_values(plan: Plan) -> dict[str, Any]:
    """Return what the template of what an account has once is filled with."""
    workload = label_value(plan.workload)
    tagged = {"Tags": {"Key": "user:workload", "Values": [workload], "MatchOptions": ["EQUALS"]}}
    return {
        "description": _description(plan),
        "budget_usd": max(1, ceil(usd_on_cloud(plan, CLOUD) * (1 + MARGIN))),
        "tag_value": f"user:workload${workload}",
        "monitor_name": f"{slug(plan.workload)}-costs",
        "monitored": json.dumps(tagged),
    }


def settings(values: dict[str, Any]) -> dict[str, str]:
    """Return a region's parameters as they are first written: those to fill in, empty, and those that most change."""
    network = {"VpcId": "", "SubnetIds": "", "CertificateArn": "", "AllowedSecurityGroup": "none"} if values["balanced"] else {}
    made = {pool["ids"]["made"]: "no" for pool in values["machines"]}
    cluster = {"ClusterName": "none", **made} if made else {}
    return {
        "Team": "",
        "Environment": "",
        "CostCentre": "",
        "ExpiresOn": "never",
        "NotifyEmail": "",
        **{image["parameter"]: "" for image in values["images"]},
        **network,
        **cluster,
        "ModelBucket": "none",
        "ModelPrefix": "",
    }


def _description(plan: Plan) -> str:
    """Return the head of a template, at most 1024 bytes (CloudFormation quotas, 2026)."""
    said = f"Tightrope's plan of {formats.strip_controls(plan.workload)[:100]}. {formats.strip_controls(proof_line(plan))}"
    return said.encode("utf-8")[:1000].decode("utf-8", "ignore")


def _images(parts: tuple[DeployedPool, ...]) -> list[dict[str, str]]:
    """Return the parameters of the containers' images, one a variant."""
    variants = sorted({part.pool.variant for part in parts})
    return [
        {"parameter": image_parameter(name), "description": f"Container image that serves {formats.strip_controls(name)[:200]}"}
        for name in variants
    ]


def _most_entries(parts: tuple[DeployedPool, ...]) -> int:
    """Return the scheduled actions that each group of a template may have."""
    groups = sum(part.kind == "machines" for part in parts)
    return max(1, min(MOST_ENTRIES, (MOST_RESOURCES - OF_A_STACK - OF_A_POOL * len(parts)) // max(1, groups)))


def _with_priorities(pools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pools with the place of each one's rule among the balancer's, by its name: others come and go beside it."""
    taken: set[int] = set()
    for pool in sorted(pools, key=lambda pool: pool["key"]):
        place = int(hashlib.sha256(pool["key"].encode()).hexdigest()[:8], 16) % MOST_PRIORITY + 1
        while place in taken:
            place = place % MOST_PRIORITY + 1
        taken.add(place)
        pool["priority"] = place
    return pools


def _promises(plan: Plan, parts: tuple[DeployedPool, ...]) -> list[dict[str, Any]]:
    """Return the promises to what pools here answer."""
    return [
        {"logical": f"Promise{pascal(item.key)}", "name": item.traffic_class, "slo": item.slo, "target": item.target}
        for item in list_promises(plan, *parts)
    ]
