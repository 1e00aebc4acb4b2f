"""Azure's root module: scale sets or AKS node pools, Container Instances, Functions, budgets and alerts.

Comes in: a ``Plan``. Goes out: the files below ``root/`` as they are, ``plan.auto.tfvars.json`` with what the plan decided, and
``settings.auto.tfvars`` for what is the user's. To extend: edit the ``.tf`` files; what they ask of a plan is in ``infra/azure/data.py``.
"""

import json
from base64 import b64encode
from math import ceil
from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render.infra.azure import values
from tightrope.render.infra.commitments import commitments_page
from tightrope.render.infra.deployment import DeployedPool, deploy_pools, notice_comment, select_cloud, usd_on_cloud
from tightrope.render.infra.names import label_value
from tightrope.render.infra.templates import fill, static
from tightrope.render.terraform.azure.readme import readme

FOLDER = "terraform/azure/root"
NO_KEY = b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()
"""A public key in form, which is nobody's."""
ALWAYS = (
    "alerts.tf",
    "budget.tf",
    "kubernetes.tf",
    "machines.tf",
    "main.tf",
    "network.tf",
    "outputs.tf",
    "scaling.tf",
    "variables.tf",
    "versions.tf",
    "tests/caps.tftest.hcl",
)


def files(plan: Plan) -> dict[Path, str]:
    """Return the root module's files for what of the plan stands on Azure."""
    here = select_cloud(plan, "azure")
    named = [
        *ALWAYS,
        *(["containers.tf"] if deploy_pools(here, "container") else []),
        *(["functions.tf"] if deploy_pools(here, "function") else []),
    ]
    return {
        **{Path(name): notice_comment(plan) + "\n" + static(FOLDER, name) for name in sorted(named)},
        **{Path("machine", name): text for name, text in values.scripts().items()},
        Path("plan.auto.tfvars.json"): json.dumps(variables(plan), indent=2, ensure_ascii=False) + "\n",
        Path("settings.auto.tfvars"): _settings(here),
        Path("tests/example.auto.tfvars.json"): json.dumps(_example(here), indent=2, ensure_ascii=False) + "\n",
        Path("commitments.md"): commitments_page(plan, "azure"),
        Path("README.md"): readme(plan),
    }


def variables(plan: Plan) -> values.Data:
    """Return what the plan decided, as the variables that the ``.tf`` files declare."""
    containers, functions = values.containers(plan), values.functions(plan)
    return {
        "workload": values.workload(plan),
        "workload_label": label_value(plan.workload),
        "regions": values.regions(plan),
        "disk_gb": ceil(plan.disk_gb),
        "usd_per_month": round(usd_on_cloud(plan, "azure"), 2),
        "pools": values.machines(plan),
        **({"containers": containers} if containers else {}),
        **({"functions": functions} if functions else {}),
    }


def _settings(here: Plan) -> str:
    """Return the user's file as it is at first."""
    containers = deploy_pools(here, "container")
    values = {
        "regions": _regions(deploy_pools(here, "machines", "owned")),
        "container_regions": _regions(containers),
        "variants": sorted({part.pool.variant for part in (*deploy_pools(here, "machines"), *containers)}),
    }
    return fill(FOLDER, "settings.auto.tfvars.j2", "hcl", values)


def _example(here: Plan) -> values.Data:
    """Return settings for ``terraform test``: a subnet in every region, an image for every variant, nobody let in."""
    machines, containers = deploy_pools(here, "machines"), deploy_pools(here, "container")
    group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/example"
    subnet = f"{group}/providers/Microsoft.Network/virtualNetworks/example/subnets/example"
    return {
        "team": "example",
        "environment": "test",
        "cost_centre": "example",
        "notify_emails": ["platform@example.com"],
        "subnet_ids": dict.fromkeys(_regions(machines), subnet),
        **({"container_subnet_ids": dict.fromkeys(_regions(containers), subnet)} if containers else {}),
        "images": {part.pool.variant: {"image": "example.azurecr.io/model:1"} for part in (*machines, *containers)},
        "admin_ssh_public_key": f"ssh-ed25519 {NO_KEY} example",
        "allowed_cidrs": [],
        "margin": 0.1,
        "expires_on": "",
        "metrics": None,
    }


def _regions(parts: tuple[DeployedPool, ...]) -> list[str]:
    """Return the regions of some pools, each once, in order."""
    return sorted({part.pool.region for part in parts})
