"""The target's files."""

import json
from dataclasses import dataclass
from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render.arm.parameters import plan_parameters, settings_parameters
from tightrope.render.arm.readme import nothing_page, readme
from tightrope.render.infra.commitments import commitments_page
from tightrope.render.infra.deployment import list_clouds
from tightrope.render.infra.templates import static

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#"
NEXT = (
    "az deployment group what-if --resource-group RESOURCE_GROUP --template-file {out}/template.json "
    "--parameters {out}/plan.parameters.json --parameters {out}/settings.parameters.json"
)


@dataclass(frozen=True, slots=True)
class Arm:
    """Writes the template and its parameters; a page alone where the plan has nothing on Azure."""

    name: str = "arm"
    next_command: str = NEXT

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the files for what of the plan stands on Azure."""
        if "azure" not in list_clouds(plan):
            return {Path("README.md"): nothing_page(plan)}
        return {
            Path("template.json"): static("arm", "template.json"),
            Path("plan.parameters.json"): _parameters(plan_parameters(plan)),
            Path("settings.parameters.json"): _parameters(settings_parameters(plan)),
            Path("commitments.md"): commitments_page(plan, "azure"),
            Path("README.md"): readme(plan),
        }


def _parameters(values: dict[str, object]) -> str:
    """Return a file of parameters: what it holds is taken as it is, no expression is evaluated in it."""
    page = {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "parameters": {name: {"value": value} for name, value in values.items()},
    }
    return json.dumps(page, indent=2, ensure_ascii=False) + "\n"


RENDERER = Arm()
