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
from tightrope.render import words
from tightrope.render.infra.deploy import clouds_of, deploy, notice

NEXT = 'for root in {out}/*/; do terraform -chdir="$root" init && terraform -chdir="$root" test; done'


@dataclass(frozen=True, slots=True)
class Terraform:
    """Writes one root module a cloud, and ``README.md``."""

    name: str = "terraform"
    next_command: str = NEXT

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the files of every cloud that the plan uses, each below a folder with the cloud's name."""
        written = [cloud for cloud in clouds_of(plan) if cloud in covered()]
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
    rows = [
        f"| {_cell(part.pool.name)} | {_cell(part.pool.cloud)} | {_cell(part.pool.machine)} | {_cell(part.pool.offer)} | "
        + (f"`{part.pool.cloud}/` |" if part.pool.cloud in written else "nothing: a service of its own, without Terraform here |")
        for part in deploy(plan)
    ]
    table = ["| pool | cloud | machine | offer | written |", "| --- | --- | --- | --- | --- |", *rows]
    roots = [
        f"- `{cloud}/`: a root module. Fill in `{cloud}/settings.auto.tfvars`, then read `{cloud}/README.md`."
        for cloud in written
    ]
    return "\n".join(
        [
            f"# {words.clean(plan.workload)} in Terraform",
            "",
            *(f"> {line}" for line in notice(plan)),
            "",
            *(roots or ["There is nothing to write: no pool of the plan stands on a cloud that has Terraform here."]),
            *(["", *table] if rows else []),
            "",
        ]
    )


def _cell(text: str) -> str:
    """Return a cell of a Markdown table; what it says can not end it."""
    return words.clean(text).replace("|", "\\|").replace("`", "'")


RENDERER = Terraform()
