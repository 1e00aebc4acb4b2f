"""Where a plan's machines stand: one cluster for each region of a cloud, and a folder for each cluster."""

from dataclasses import dataclass

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import DeployedPool, deploy_pools
from tightrope.render.infra.names import label_value, slug

GATEWAY = "tightrope-gateway"
RENAME = "rename it in the workload and plan again"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster: the pools that stand in one region of one cloud."""

    cloud: str
    region: str
    folder: str
    """``<cloud>-<region>``, as a safe name."""
    parts: tuple[DeployedPool, ...]


def list_clusters(plan: Plan) -> tuple[Cluster, ...]:
    """Return the clusters that the plan needs, in the order of their folders; none where it has no machines.

    Raises ``InputError`` where a pool's name is one that the manifests use themselves.
    """
    found: dict[tuple[str, str], list[DeployedPool]] = {}
    for part in deploy_pools(plan, "machines", "owned"):
        if part.key.startswith("tightrope-"):
            msg = f"a pool is called {part.pool.name!r}: names that begin with 'tightrope-' are those of the gateway and what is around it"
            raise InputError(msg, resolve=RENAME)
        found.setdefault((part.pool.cloud, part.pool.region), []).append(part)
    listed = (Cluster(cloud, region, slug(f"{cloud}-{region}"), tuple(parts)) for (cloud, region), parts in found.items())
    return tuple(sorted(listed, key=lambda place: place.folder))


def labels(plan: Plan, part: DeployedPool) -> dict[str, str]:
    """Return the labels of everything that belongs to a pool: Kubernetes' own, and those that costs are allocated by."""
    return {
        "app.kubernetes.io/name": part.key,
        "app.kubernetes.io/instance": label_value(plan.workload),
        "app.kubernetes.io/component": "engine",
        **part.labels(plan),
    }


def selector(plan: Plan, part: DeployedPool) -> dict[str, str]:
    """Return the labels that a pool's pods are found by, which never change."""
    return {"app.kubernetes.io/name": part.key, "app.kubernetes.io/instance": label_value(plan.workload)}


def gateway_labels(plan: Plan) -> dict[str, str]:
    """Return the labels of the gateway."""
    return {
        "app.kubernetes.io/name": GATEWAY,
        "app.kubernetes.io/instance": label_value(plan.workload),
        "app.kubernetes.io/component": "gateway",
        "workload": label_value(plan.workload),
        "managed-by": "tightrope",
    }


def length_key(part: DeployedPool) -> str:
    """Return the key of ``tightrope-settings`` under which the user says how many tokens a request to a pool may have."""
    return f"length-{part.key}"


def model_key(part: DeployedPool) -> str:
    """Return the key of ``tightrope-settings`` under which the user says where the variant's files lie."""
    return f"model-{slug(part.pool.variant)}"
