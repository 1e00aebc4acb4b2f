"""How the nodes of a pool are made by the cluster itself: Karpenter on AWS and Azure, a ComputeClass on Google Cloud."""

from math import ceil

from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import DeployedPool, max_pool_machines, node_label
from tightrope.render.infra.kube.autoscalers import FOLDER
from tightrope.render.infra.kube.containers import accelerators, grace_s
from tightrope.render.infra.names import slug
from tightrope.render.infra.templates import fill

NODES = {"aws": "karpenter", "azure": "karpenter", "gcp": "compute-class"}
"""Cloud → the component that makes its nodes."""
CLASSES = {
    "aws": ("karpenter.k8s.aws", "EC2NodeClass", "aws_nodes.yaml.j2"),
    "azure": ("karpenter.azure.com", "AKSNodeClass", "azure_nodes.yaml.j2"),
}
GKE_CHIPS = {
    "t4": "nvidia-tesla-t4",
    "v100": "nvidia-tesla-v100",
    "l4": "nvidia-l4",
    "a100": "nvidia-tesla-a100",
    "h100": "nvidia-h100-80gb",
    "h200": "nvidia-h200-141gb",
    "b200": "nvidia-b200",
}
"""As GKE names chips (GKE documentation, GPUs, 2026); one that is not here is the machine type's own."""
LARGE_A100_GIB = 80


def node_name(plan: Plan, part: DeployedPool) -> str:
    """Return the name of what makes a pool's nodes: it is the whole cluster's, so the workload's name is in it."""
    return f"{slug(plan.workload, 20)}-{part.key}"


def node_pool_file(plan: Plan, part: DeployedPool) -> str:
    """Return what makes the nodes of one pool, without the notice: of Karpenter a class of its own, since tags are the class's."""
    node, cloud = part.node, part.pool.cloud
    values: dict[str, object] = {
        "name": node_name(plan, part),
        "labels": part.labels(plan),
        "node_label": node_label(plan, part.key),
        "machine": part.pool.machine,
        "disk_gb": ceil(plan.disk_gb),
    }
    if cloud == "gcp":
        return fill(FOLDER, "compute_class.yaml.j2", "yaml", {**values, **_compute_class(part)})
    group, kind, template = CLASSES[cloud]
    return fill(FOLDER, template, "yaml", values) + fill(
        FOLDER,
        "node_pool.yaml.j2",
        "yaml",
        {
            **values,
            "group": group,
            "kind": kind,
            "capacity": "spot" if part.spot else "on-demand",
            "arch": node.arch,
            "grace": f"{grace_s(part)}s",
            "cpu_limit": str(node.vcpu * (max_pool_machines(plan, part) + 1)),
        },
    )


def _compute_class(part: DeployedPool) -> dict[str, object]:
    """Return what a ComputeClass says of one pool's machines."""
    node = part.node
    chip = GKE_CHIPS.get(node.accelerator.split("-")[0], "") if accelerators(part) else ""
    large = chip == GKE_CHIPS["a100"] and node.accelerator_memory_gib >= LARGE_A100_GIB
    return {
        "spot": part.spot,
        "gpu": "nvidia-a100-80gb" if large else chip,
        "gpus": node.accelerators,
    }
