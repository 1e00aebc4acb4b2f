"""Plans with pools on Azure: the help desk's, and the other examples as if their machines stood there."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from golden_tree import PLANS

from tightrope.base.plan import Node, Plan, Pool
from tightrope.clouds.book import load_price_book
from tightrope.render.plan_json.load import load_plan

REGION = "eastus"
TWINS = {
    "g4dn.xlarge": "Standard_NC4as_T4_v3",
    "g6.xlarge": "Standard_NC4as_T4_v3",
    "c7g.large": "Standard_D2ps_v5",
    "c7i.large": "Standard_F2s_v2",
    "n2-standard-2": "Standard_D2s_v5",
    "lambda-1769mb": "functions-512mb",
    "cloud-run-1vcpu-2gb": "functions-1536mb",
}
"""Machine → one of Azure with as many vCPUs and alike accelerators."""
HOSTILE = ("${file('/etc/passwd')}", "a\nb", "n" * 300, "emoji \U0001f600 %{ if true }", "[concat('a', 'b')]", "\"'`|<>")


def helpdesk() -> Plan:
    """Return the plan on three clouds, as it was planned."""
    return load_plan(PLANS / "helpdesk.json")


def on_azure(name: str) -> Plan:
    """Return an example's plan with every machine and function on Azure; its bill stays that of the plan."""
    plan = load_plan(PLANS / f"{name}.json")
    pools = tuple(_moved(pool) for pool in plan.pools if pool.machine in TWINS or pool.cloud == "azure")
    names = {pool.name for pool in pools}
    lines = tuple(line for line in plan.cost_lines if not line.pool or line.pool in names)
    return replace(plan, pools=pools, commitments=(), cost_lines=lines)


def _moved(pool: Pool) -> Pool:
    """Return a pool on Azure, under the same name."""
    if pool.cloud == "azure":
        return pool
    machine = TWINS[pool.machine]
    node = None if pool.node is None else _node(machine, pool.offer)
    return replace(pool, cloud="azure", region=REGION, machine=machine, zones=min(pool.zones, 3), node=node)


@cache
def _node(name: str, offer: str) -> Node:
    """Return a machine as the price book has it."""
    book = load_price_book()
    kind, row = book.machine_types[name], book.find(name, REGION, offer)
    assert row is not None
    return Node(
        kind.family,
        kind.vcpu,
        kind.memory_gib,
        kind.arch,
        kind.accelerator,
        kind.accelerators,
        kind.accelerator_memory_gib,
        float(row.usd_per_hour),
    )


def hostile(text: str) -> Plan:
    """Return the help desk's plan with a text in every name that a user chooses and Azure is told of."""
    plan = helpdesk()
    pools = tuple(
        replace(pool, name=f"{text}{place}", variant=f"{text}/{pool.variant}" if pool.cloud == "azure" else pool.variant)
        for place, pool in enumerate(plan.pools)
    )
    names = {old.name: new.name for old, new in zip(plan.pools, pools, strict=True)}
    lines = tuple(replace(line, pool=names.get(line.pool, "")) for line in plan.cost_lines)
    return replace(plan, workload=text, pools=pools, cost_lines=lines)


PLANS_ON_AZURE: dict[str, Callable[[], Plan]] = {
    "helpdesk": helpdesk,
    "helpdesk-moved": lambda: on_azure("helpdesk"),
    "chatgenius-moved": lambda: on_azure("chatgenius"),
    "vision-moved": lambda: on_azure("vision"),
}
