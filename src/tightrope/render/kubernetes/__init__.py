"""The plan as Kubernetes manifests: a Kustomize base, components that scale it and make its nodes, and an overlay that is the user's.

Comes in: a ``Plan``. Goes out: a folder for each cluster, ``<cloud>-<region>/``. What targets on Kubernetes share lies in
``render/infra/kube``; ``pool.yaml.j2`` is a pool as this target runs it: Deployment, Service, PodDisruptionBudget.
"""

from dataclasses import dataclass
from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import DeployedPool
from tightrope.render.infra.kube.clusters import Cluster, list_clusters
from tightrope.render.infra.kube.containers import PORT
from tightrope.render.infra.kube.kustomization import PoolRuntime, cluster_files, digest
from tightrope.render.infra.kube.pools import engine_facts, pool_values
from tightrope.render.infra.kube.readme import readme
from tightrope.render.infra.templates import fill


def pool_file(plan: Plan, place: Cluster, part: DeployedPool) -> str:  # noqa: ARG001 - the same in every place
    """Return Deployment, Service and PodDisruptionBudget of a pool."""
    values = pool_values(plan, part)
    values["digest"] = digest(engine_facts(part)) if values["needs_plan"] else ""
    return fill("kubernetes", "pool.yaml.j2", "yaml", values)


WAY = PoolRuntime(
    kind="Deployment",
    pool_file=pool_file,
    scaled=lambda part: part.key,
    address=lambda part: f"http://{part.key}:{PORT}",
    selector_path="/spec/template/spec/nodeSelector",
    discover=True,
)


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """Writes a Kustomize tree for each cluster, and ``README.md``."""

    name: str = "kubernetes"
    next_command: str = 'for place in {out}/*/overlay; do kubectl kustomize "$place"; done'

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the files of every cluster that the plan needs, each below a folder with its cloud and region."""
        found = list_clusters(plan)
        files = {Path("README.md"): readme(plan, found, "on Kubernetes", ())}
        for place in found:
            files |= {Path(place.folder) / path: text for path, text in cluster_files(plan, place, WAY).items()}
        return files


RENDERER = Kubernetes()
