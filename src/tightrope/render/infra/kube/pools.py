"""The values of a pool's manifest, the same whether Kubernetes or KServe runs it."""

from dataclasses import asdict
from math import ceil

from tightrope.base.plan import Plan
from tightrope.render import formats
from tightrope.render.infra.deployment import DeployedPool, node_label, replica_memory_mib
from tightrope.render.infra.kube import containers
from tightrope.render.infra.kube.autoscalers import is_scaled
from tightrope.render.infra.kube.clusters import labels, length_key, selector

LEAST_PROGRESS_S = 600
"""Kubernetes' own."""
SHM_SHARE = 4
"""Part of a replica's memory that its processes may share: a quarter."""


def pool_values(plan: Plan, part: DeployedPool) -> dict[str, object]:
    """Return everything that a template needs to know of a pool."""
    engine = containers.container(part)
    return {
        "said": describe_pool(part),
        "key": part.key,
        "labels": labels(plan, part),
        "selector": selector(plan, part),
        "machine": part.pool.machine,
        "zones": part.pool.zones,
        "off": not is_scaled(plan, part),
        "progress_s": max(LEAST_PROGRESS_S, ceil(2 * part.pool.serving.start_s)),
        "priority": "tightrope-deferrable" if containers.is_deferrable(plan, part) else "tightrope-interactive",
        "grace_s": containers.grace_s(part),
        "node_label": node_label(plan, part.key),
        "tolerations": containers.tolerations(plan, part),
        "image": engine.image,
        "command": list(engine.command),
        "arguments": engine.arguments,
        "model": engine.model,
        "length": "" if engine.needs_plan else length_key(part),
        "ready": engine.ready,
        "alive": engine.alive,
        "needs_plan": engine.needs_plan,
        "port": containers.PORT,
        "probe_s": containers.PROBE_S,
        "startup_failures": containers.startup_failures(part),
        "leaves_s": str(containers.LEAVES_S),
        "drain": list(engine.drain),
        "requests": containers.requests(part),
        "limits": containers.limits(part),
        "replicas_per_machine": part.replicas_per_machine,
        "shm": f"{max(64, replica_memory_mib(part) // SHM_SHARE)}Mi",
    }


def describe_pool(part: DeployedPool) -> str:
    """Return the pool in a line."""
    pool = part.pool
    classes = f", answers {', '.join(part.classes)}" if part.classes else ""
    backs = f", stands in for {pool.serving.backs}" if pool.serving.backs else ""
    return formats.strip_controls(
        f"{pool.variant} on {pool.machine} ({pool.offer}), {min(part.week)} to {max(part.week)} by the calendar{classes}{backs}"
    )


def engine_facts(part: DeployedPool) -> dict[str, object]:
    """Return what an engine reads of the plan: it starts anew where any of this changes, and for nothing else."""
    return {"variant": part.pool.variant, "batching": part.pool.batching, "serving": asdict(part.pool.serving)}
