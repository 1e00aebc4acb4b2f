"""The plan as KServe's InferenceServices: the same Kustomize tree as the target ``kubernetes``, whose pools KServe runs.

Comes in: a ``Plan``. Goes out: a folder for each cluster, ``<cloud>-<region>/``. What targets on Kubernetes share lies in
``render/infra/kube``; ``pool.yaml.j2`` is a pool as this target runs it: ServingRuntime, InferenceService, Service, PodDisruptionBudget.
"""

from dataclasses import dataclass
from pathlib import Path

from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import DeployedPool, max_pool_replicas
from tightrope.render.infra.kube.clusters import Cluster, list_clusters
from tightrope.render.infra.kube.containers import PORT
from tightrope.render.infra.kube.kustomization import PoolRuntime, cluster_files, digest
from tightrope.render.infra.kube.pools import engine_facts, pool_values
from tightrope.render.infra.kube.readme import readme
from tightrope.render.infra.templates import fill

REMARK = "KServe (0.15 or newer, without Knative) makes Deployment `POOL-predictor` and its Service of each InferenceService."


def pool_file(plan: Plan, place: Cluster, part: DeployedPool) -> str:  # noqa: ARG001 - the same in every place
    """Return ServingRuntime, InferenceService, Service and PodDisruptionBudget of a pool."""
    values = pool_values(plan, part)
    values["digest"] = digest(engine_facts(part)) if values["needs_plan"] else ""
    values["service"] = f"{part.key}-engines"
    values["format"] = "tightrope" if values["needs_plan"] else "vllm"
    values["least"] = min(part.week) * part.replicas_per_machine
    values["most"] = max_pool_replicas(plan, part)
    return fill("kserve", "pool.yaml.j2", "yaml", values)


WAY = PoolRuntime(
    kind="InferenceService",
    pool_file=pool_file,
    scaled=lambda part: f"{part.key}-predictor",
    address=lambda part: f"http://{part.key}-engines:{PORT}",
    selector_path="/spec/predictor/nodeSelector",
    storage=("spec.predictor.model.storageUri",),
)


@dataclass(frozen=True, slots=True)
class KServe:
    """Writes a Kustomize tree for each cluster, and ``README.md``."""

    name: str = "kserve"
    next_command: str = 'for place in {out}/*/overlay; do kubectl kustomize "$place"; done'

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the files of every cluster that the plan needs, each below a folder with its cloud and region."""
        found = list_clusters(plan)
        files = {Path("README.md"): readme(plan, found, "on KServe", (REMARK,))}
        for place in found:
            files |= {Path(place.folder) / path: text for path, text in cluster_files(plan, place, WAY).items()}
        return files


RENDERER = KServe()
