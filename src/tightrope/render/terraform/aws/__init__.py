"""The plan on AWS: a root module of hand-written files (``root/*.tf``), and what the plan says as data, ``plan.auto.tfvars.json``.

Comes in: a ``Plan``. Goes out: the files by their paths inside the root. A figure of the plan changes the data alone; to change what is
made of it, edit the files of ``root/``, which are Terraform as it is written out.
"""

from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render.infra.commitments import commitments_page
from tightrope.render.infra.deployment import DeployedPool, deploy_pools, notice_comment
from tightrope.render.infra.templates import fill, static
from tightrope.render.terraform.aws.readme import readme
from tightrope.render.terraform.aws.values import example, plan_data

FOLDER = "terraform/aws"
ALWAYS = ("versions.tf", "variables.tf", "main.tf", "spending.tf", "outputs.tf", "tests/caps.tftest.hcl")
FILES = {
    "machines": ("balancer.tf", "machines.tf", "kubernetes.tf", "alarms.tf", "tests/machines.tftest.hcl"),
    "container": ("balancer.tf", "containers.tf", "tests/containers.tftest.hcl"),
    "function": ("functions.tf", "tests/functions.tftest.hcl"),
}
"""What pools are made of → the files that make it; the same file is always the same."""


def files(plan: Plan) -> dict[Path, str]:
    """Return the files of the root module for what of the plan stands on AWS."""
    parts = tuple(part for part in deploy_pools(plan, "machines", "container", "function") if part.pool.cloud == "aws")
    if not parts:
        return {Path("README.md"): readme(plan, parts)}
    kinds = dict.fromkeys(part.kind for part in parts)
    names = dict.fromkeys([*ALWAYS, *(name for kind in kinds for name in FILES[kind])])
    return {
        **{Path(name): notice_comment(plan) + "\n" + static(FOLDER, f"root/{name}") for name in sorted(names)},
        Path("plan.auto.tfvars.json"): plan_data(plan, parts),
        Path("tests/example.auto.tfvars.json"): example(parts),
        Path("settings.auto.tfvars"): _settings(parts),
        Path("commitments.md"): commitments_page(plan, "aws"),
        Path("README.md"): readme(plan, parts),
    }


def _settings(parts: tuple[DeployedPool, ...]) -> str:
    """Return the settings as they are first written: the regions and variants to fill in, and all else by its default."""
    regions = dict.fromkeys(part.pool.region for part in parts)
    variants = dict.fromkeys(part.pool.variant for part in parts)
    return fill(FOLDER, "settings.auto.tfvars.j2", "hcl", {"regions": list(regions), "variants": list(variants)})
