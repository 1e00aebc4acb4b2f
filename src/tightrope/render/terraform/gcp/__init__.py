"""A plan's pools on Google Cloud as Terraform: files that are alike for every plan, and ``plan.auto.tfvars.json`` with the plan's values.

To change what is made, edit the ``.tf`` files here: they are written out as they are, below a line that says whose they are.
"""

from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render.infra import templates
from tightrope.render.infra.commitments import commitments_page
from tightrope.render.infra.deployment import notice_comment
from tightrope.render.infra.readme import quote_notice
from tightrope.render.markdown import escape_text, page
from tightrope.render.terraform.gcp.values import example_values, parts_of, plan_values, variants_of

FOLDER = "terraform/gcp/root"
ALWAYS = (
    "versions.tf",
    "variables.tf",
    "locals.tf",
    "identity.tf",
    "budget.tf",
    "alerts.tf",
    "logs.tf",
    "tests/budget.tftest.hcl",
)
MACHINES = ("machines.tf", "kubernetes.tf", "tests/machines.tftest.hcl")
ON_MACHINES = ("accelerator.service", "replica.service.tftpl")
"""They come to lie on machines, so they say nothing of the plan: a machine is replaced where they change, and Terraform evaluates them."""
SERVICES = ("services.tf", "tests/services.tftest.hcl")


def files(plan: Plan) -> dict[Path, str]:
    """Return the root module's files by their paths inside it."""
    kinds = {part.kind for part in parts_of(plan)}
    machines = "machines" in kinds
    names = (*ALWAYS, *(MACHINES if machines else ()), *(SERVICES if kinds & {"function", "container"} else ()))
    starter = {"variants": variants_of(plan), "regions": sorted({part.pool.region for part in parts_of(plan)})}
    head = page(f"# {escape_text(plan.workload)} on Google Cloud", quote_notice(plan))
    return {
        **{Path(name): f"{notice_comment(plan)}\n{templates.static(FOLDER, name)}" for name in names},
        **{Path(name): templates.static(FOLDER, name) for name in (ON_MACHINES if machines else ())},
        Path("plan.auto.tfvars.json"): templates.json_file(plan_values(plan)),
        Path("settings.auto.tfvars"): templates.fill(FOLDER, "settings.auto.tfvars.j2", "hcl", starter),
        Path("tests/example.auto.tfvars.json"): templates.json_file(example_values(plan)),
        Path("commitments.md"): commitments_page(plan, "gcp"),
        Path("README.md"): page(head, templates.static(FOLDER, "README.body.md")),
    }
