"""What the plan decided, and what is the user's, as the parameters that ``template.json`` declares."""

from base64 import b64encode
from math import ceil

from tightrope.base.plan import Plan
from tightrope.render.infra.azure import values
from tightrope.render.infra.azure.values import Data
from tightrope.render.infra.deployment import notice, usd_on_cloud
from tightrope.render.infra.names import label_value

NO_LOAD: Data = {
    "metric": "",
    "each_machine": False,
    "shrink_below": 0.0,
    "grow_above": 0.0,
    "half_above": 0.0,
    "double_above": 0.0,
}
"""What stands where a pool has no load to follow: the template reads these fields of every pool, and uses them where it is ``followed``."""


def plan_parameters(plan: Plan) -> Data:
    """Return the plan's; raise ``InputError`` for what Azure cannot run."""
    pools = values.machines(plan)
    return {
        "notice": list(notice(plan)),
        "workload": values.workload(plan),
        "workloadLabel": label_value(plan.workload),
        "regions": _regions(pools),
        "pools": [_machines(key, pool) for key, pool in pools.items()],
        "containers": _containers(values.containers(plan)),
        "scripts": {name: b64encode(text.encode()).decode() for name, text in values.scripts().items()},
        "usdPerMonth": max(1, ceil(usd_on_cloud(plan, "azure"))),
        "diskGb": ceil(plan.disk_gb),
    }


def settings_parameters(plan: Plan) -> Data:
    """Return the user's as they are at first: what has to be filled in is empty, and Azure refuses it so."""
    machines, containers = values.machines(plan).values(), values.containers(plan).values()
    return {
        "team": "",
        "environment": "",
        "costCentre": "",
        "notifyEmails": [],
        "budgetFrom": "",
        "expiresOn": "",
        "tags": {},
        "runOn": "vm",
        "subnetIds": dict.fromkeys(sorted({pool["region"] for pool in machines}), ""),
        "containerSubnetIds": dict.fromkeys(sorted({pool["region"] for pool in containers}), ""),
        "allowedCidrs": [],
        "images": {variant: {"image": ""} for variant in sorted({pool["variant"] for pool in (*machines, *containers)})},
        "registry": "",
        "identityId": "",
        "adminSshPublicKey": "",
        "marginPercent": 10,
    }


def _machines(key: str, pool: Data) -> Data:
    """Return a pool of machines with the week as profiles: the first holds where no other does."""
    usual: Data = {"name": "default", "days": [], "hour": 0, "minute": 0, "machines": pool["peak"]}
    kept = {name: value for name, value in pool.items() if name not in {"entries", "environment"}}
    followed = pool["load"] is not None
    return {
        "key": key,
        **kept,
        "told": _told(pool),
        "followed": followed,
        "load": pool["load"] or NO_LOAD,
        "profiles": [usual, *pool["entries"]],
    }


def _regions(pools: dict[str, Data]) -> list[Data]:
    """Return the regions with machines, each with its pools and their replicas: number ``n`` listens on the image's port plus ``n``."""
    found = []
    for region in sorted({pool["region"] for pool in pools.values()}):
        there = {key: pool for key, pool in pools.items() if pool["region"] == region}
        replicas = [
            {"name": f"{key}-{number}", "pool": key, "number": number, "variant": pool["variant"]}
            for key, pool in there.items()
            for number in range(pool["replicas"])
        ]
        found.append({"name": region, "pools": list(there), "replicas": replicas})
    return found


def _containers(pools: dict[str, Data]) -> list[Data]:
    """Return each replica of the pools of containers: as many as the week's largest hour wants."""
    return [
        {"name": f"{key}-{number}", **{name: value for name, value in pool.items() if name != "environment"}, "told": _told(pool)}
        for key, pool in pools.items()
        for number in range(pool["peak"])
    ]


def _told(pool: Data) -> list[Data]:
    """Return the plan's part of an engine's environment, as containers take it."""
    return [{"name": name, "value": value} for name, value in pool["environment"].items()]
