"""The plan as Terraform: one root module a cloud, each checked by Terraform itself.

A cloud is a sub-package named as the cloud is, with ``files(plan) -> dict[Path, str]``: the files of its root module by their paths inside
it (``main.tf``, not ``aws/main.tf``). It is asked only where the plan has pools there, and is found by its name alone: to add a cloud, add
its folder. What has no Terraform is said in ``README.md``.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import DeployedPool, deploy_pools, list_clouds
from tightrope.render.infra.readme import quote_notice
from tightrope.render.markdown import escape_text, page, table

NEXT = 'for root in {out}/*/; do terraform -chdir="$root" init && terraform -chdir="$root" test; done'


@dataclass(frozen=True, slots=True)
class Terraform:
    """Writes one root module a cloud, and ``README.md``."""

    name: str = "terraform"
    next_command: str = NEXT

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the files of every cloud that the plan uses, each below a folder with the cloud's name."""
        written = [cloud for cloud in list_clouds(plan) if cloud in covered()]
        files = {Path("README.md"): _readme(plan, written)}
        for cloud in written:
            root = importlib.import_module(f"{__name__}.{cloud}")
            files |= {Path(cloud) / path: text for path, text in root.files(plan).items()}
        return files


def covered() -> tuple[str, ...]:
    """Return the clouds that there is a root module for."""
    return tuple(sorted(info.name for info in pkgutil.iter_modules(__path__) if info.ispkg))


def _readme(plan: Plan, written: list[str]) -> str:
    """Return what was written for which pools, and for which nothing was."""
    roots = [
        f"- `{cloud}/`: a root module. Fill in `{cloud}/settings.auto.tfvars`, then read `{cloud}/README.md`."
        for cloud in written
    ]
    rows = [
        (*map(escape_text, (part.pool.name, part.pool.cloud, part.pool.machine, part.pool.offer)), _place(part, written))
        for part in deploy_pools(plan)
    ]
    return page(
        f"# {escape_text(plan.workload)} in Terraform",
        quote_notice(plan),
        "\n".join(roots) or "There is nothing to write: no pool of the plan stands on a cloud that has Terraform here.",
        table(("pool", "cloud", "machine", "offer", "written"), rows) if rows else "",
    )


def _place(part: DeployedPool, written: list[str]) -> str:
    """Return the folder that a pool is written to."""
    cloud = part.pool.cloud
    return f"`{cloud}/`" if cloud in written else "nothing: no Terraform is written for what it stands on"


RENDERER = Terraform()
