"""A plan as it is deployed: its pools under names that every target accepts, with what runs on them and when how many.

Every target builds on these records, so that a pool has one name in all of them, and the same machines at the same hours.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Literal, TypeAlias

from tightrope.base.catalogue import ON_DEMAND, OWNED, SPOT
from tightrope.base.errors import InputError
from tightrope.base.plan import Node, Plan, Pool
from tightrope.base.records import TokenEngine
from tightrope.perf.tables import find_chip
from tightrope.render import formats
from tightrope.render.infra.names import label_value, slug
from tightrope.render.infra.schedule import ScheduleEntry, advance_rises, align_to_monday, entries, limit_entries

Kind: TypeAlias = Literal["machines", "owned", "function", "container", "api"]
KINDS: dict[str, Kind] = {
    "serverless": "function",
    "container": "container",
    "token-api": "api",
    "token-api-batch": "api",
    OWNED: "owned",
}
"""Offer → what a pool under it is made of; of machines else."""
PLAN_AGAIN = "plan again with this release: `tightrope plan workload.yaml`"


@dataclass(frozen=True, slots=True)
class DeployedPool:
    """One pool as it is deployed."""

    key: str
    """Its name in every target: a DNS label of at most 40 letters."""
    pool: Pool
    kind: Kind
    model: str
    variant: str
    """Of the model, its precision or pruning."""
    classes: tuple[str, ...]
    """Those that it answers, the largest share first."""
    week: tuple[int, ...]
    """Machines wanted in each hour of the week from Monday at 00:00 UTC: what is always there; the autoscaler adds to it."""
    usd_per_month: float
    """All lines of the plan's bill that name the pool."""

    @property
    def spot(self) -> bool:
        """Whether its machines may be taken away."""
        return self.pool.offer == SPOT

    @property
    def node(self) -> Node:
        """The machine; raise ``InputError`` where the plan was written before they were kept in it."""
        if self.pool.node is None:
            msg = f"pool {self.pool.name!r} does not say what a {self.pool.machine} is"
            raise InputError(msg, resolve=PLAN_AGAIN)
        return self.pool.node

    @property
    def replicas_per_machine(self) -> int:
        """Engines side by side on one machine, each a container of its own."""
        return self.pool.serving.engines_per_machine

    @property
    def accelerators_per_replica(self) -> int:
        """Whole accelerators of one engine, 0 where its machine has none: tensor parallel over them where they are several."""
        return self.node.accelerators // self.replicas_per_machine

    @property
    def requests_per_s(self) -> float:
        """What the autoscaler steers a machine to, requests a second; 0 where the pool is not scaled by it."""
        return self.pool.autoscaling.get("target_requests_per_s", 0.0)

    @property
    def early_s(self) -> float:
        """By how much earlier than its hour an entry that rises is asked for: less than an hour, the others are in ``asked_week``."""
        return 60.0 * (start_minutes(self) % 60)

    def asked_week(self, most: int = 10_000) -> tuple[int, ...]:
        """Return the week as a calendar of at most so many entries holds it: with the whole hours that a machine takes to start."""
        return limit_entries(advance_rises(self.week, start_minutes(self) // 60), most)

    def entries(self, most: int = 10_000) -> tuple[ScheduleEntry, ...]:
        """Return the week as a calendar of at most so many entries, of which those that rise are asked for ``early_s`` before."""
        return entries(self.asked_week(most))

    def labels(self, plan: Plan) -> dict[str, str]:
        """Return what is said of it wherever costs are allocated by tags or labels: keys and values that Kubernetes takes."""
        return {
            "workload": label_value(plan.workload),
            "pool": self.key,
            "model": label_value(self.model),
            "variant": label_value(self.variant),
            "offer": label_value(self.pool.offer),
            "managed-by": "tightrope",
        }


def node_label(plan: Plan, key: str) -> str:
    """Return the value of ``tightrope.dev/pool`` on a pool's nodes, 63 letters at most.

    A cluster may run several workloads, so the workload's name is in it; no slug has a dot, so that two never share one.
    """
    return f"{slug(plan.workload, 20)}.{key}"


def deploy_pools(plan: Plan, *kinds: Kind) -> tuple[DeployedPool, ...]:
    """Return the plan's pools as they are deployed, of these kinds (of all where none is named), in the plan's order.

    Raises ``InputError`` where two pools share a name.
    """
    parts = tuple(_deploy_pool(plan, pool) for pool in plan.pools)
    if twice := _find_duplicate(part.key for part in parts):
        msg = f"two pools of the plan are called {twice!r}"
        raise InputError(msg, resolve=PLAN_AGAIN)
    return tuple(part for part in parts if not kinds or part.kind in kinds)


def _deploy_pool(plan: Plan, pool: Pool) -> DeployedPool:
    """Return one pool as it is deployed."""
    answered = sorted(
        (rule for rule in plan.routing if rule.pool == pool.name), key=lambda rule: (-rule.share, rule.traffic_class)
    )
    return DeployedPool(
        key=slug(pool.name),
        pool=pool,
        kind=KINDS.get(pool.offer, "machines"),
        model=pool.model,
        variant=pool.form,
        classes=tuple(rule.traffic_class for rule in answered),
        week=align_to_monday(pool.schedule, plan.first_day),
        usd_per_month=sum(line.usd for line in plan.cost_lines if line.pool == pool.name),
    )


def _find_duplicate(names: Iterable[str]) -> str:
    """Return a name that stands twice, empty where none does."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), "")


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise of the plan as the gateway counts it in ``tightrope_promises_total``."""

    traffic_class: str
    """Of a cascade, the class that was asked."""
    slo: str
    target: float
    """Share of the requests that are to keep it."""

    @property
    def budget(self) -> float:
        """Share of the requests that may miss it."""
        return round(1.0 - self.target, 12)

    @property
    def key(self) -> str:
        """Return a DNS label that stands for it."""
        return slug(f"{self.traffic_class} {self.slo}", 60)


def list_promises(plan: Plan, *parts: DeployedPool) -> tuple[Promise, ...]:
    """Return the promises to classes that do not wait, each once: of those that the parts answer, where parts are given."""
    answered = {name for part in parts for name in part.classes}
    found = [
        Promise(item.asked_as or item.name, slo.label, slo.percentile)
        for item in plan.classes
        if not item.follows and (not parts or item.name in answered)
        for slo in item.slos
    ]
    return tuple(dict.fromkeys(found))


def select_cloud(plan: Plan, cloud: str) -> Plan:
    """Return what of the plan stands on one cloud, with that cloud's share of each cost that is no pool's (``usd_on``).

    Raises ``InputError`` where nothing stands there.
    """
    pools = tuple(pool for pool in plan.pools if pool.cloud == cloud)
    if not pools:
        used = ", ".join(dict.fromkeys(pool.cloud for pool in plan.pools)) or "none"
        msg = f"the plan has no pool on {cloud!r}: its clouds are {used}"
        raise InputError(msg, resolve="name one of them with --cloud, or leave it out for all")
    names = {pool.name for pool in pools}
    share = _share_on(plan, cloud)
    return replace(
        plan,
        pools=pools,
        routing=tuple(rule for rule in plan.routing if rule.pool in names),
        commitments=tuple(item for item in plan.commitments if item.cloud == cloud),
        cost_lines=tuple(
            line if line.pool else replace(line, usd=share * line.usd)
            for line in plan.cost_lines
            if line.pool in names or not line.pool
        ),
    )


def list_clouds(plan: Plan) -> tuple[str, ...]:
    """Return the clouds that the plan's pools stand on, in order."""
    return tuple(sorted({pool.cloud for pool in plan.pools}))


def usd_on_cloud(plan: Plan, cloud: str) -> float:
    """Return what the plan's part on a cloud costs a month: its pools, and of what is no pool's a share as large as theirs of all pools."""
    around = sum(line.usd for line in plan.cost_lines if not line.pool)
    here = sum(part.usd_per_month for part in deploy_pools(plan) if part.pool.cloud == cloud)
    return here + around * _share_on(plan, cloud)


def _share_on(plan: Plan, cloud: str) -> float:
    """Return the part of all pools' cost that pools on a cloud have; all of it where no pool costs anything."""
    names = {pool.name for pool in plan.pools if pool.cloud == cloud}
    pooled = sum(line.usd for line in plan.cost_lines if line.pool)
    return sum(line.usd for line in plan.cost_lines if line.pool in names) / pooled if pooled > 0 else 1.0


def backed_pool(plan: Plan, part: DeployedPool) -> Pool | None:
    """Return the pool whose missing machines this one stands in for; None where it stands in for none."""
    return next((pool for pool in plan.pools if part.pool.serving.backs and pool.name == part.pool.serving.backs), None)


def max_own_machines(plan: Plan, part: DeployedPool) -> int:
    """Return the most machines that a pool may have for itself: its ceiling, or its week's highest figure."""
    return max(part.pool.max_replicas if plan.scaling.enabled else 0, *part.week)


def max_pool_machines(plan: Plan, part: DeployedPool) -> int:
    """Return the most machines that a pool may have: for itself, and for all of the pool that it stands in for."""
    other = backed_pool(plan, part)
    return max_own_machines(plan, part) + (max(other.max_replicas, *other.schedule) if other else 0)


def max_pool_replicas(plan: Plan, part: DeployedPool) -> int:
    """Return the most replicas that a pool may have."""
    return max_pool_machines(plan, part) * part.replicas_per_machine


def is_on_demand(part: DeployedPool) -> bool:
    """Return whether the pool's machines are paid on demand, which is what commitments cover."""
    return part.pool.offer == ON_DEMAND


# ------------------------------------------------------------------------------------------------------- what a replica takes

SYSTEM_CPU = 0.1
"""Share of a node's vCPUs left to the kubelet, its daemons and the system: EKS, GKE and AKS reserve 6 % of the first and 1 % or less of the
others (GKE documentation, node sizing, 2026), and daemons ask for a tenth of a vCPU each."""
LEAST_SYSTEM_CPU = 0.5
RESERVED_GIB = ((4.0, 0.25), (4.0, 0.2), (8.0, 0.1), (112.0, 0.06), (float("inf"), 0.02))
"""What GKE reserves of its memory: so much of each GiB, in steps (the same pages)."""
GUESSED_MEMORY = 0.075
"""What Karpenter takes off the memory of a machine that it has never seen (its settings' default, 2026), beside EKS' own reserve."""
EKS_RESERVED_MIB = (255, 11, 15, 250)
"""EKS' reserve: so much, and so much for each pod (its AMI, 2026); pods by the vCPU, and their most."""
DAEMONS_MEMORY_GIB = 0.35
"""What the daemons of a node ask for, and the 100 MiB at which Kubernetes begins to evict."""


def replica_cpu(part: DeployedPool) -> float:
    """Return the vCPUs that one replica asks for: what its node has left, shared by the replicas on it, to a twentieth."""
    node = part.node
    left = node.vcpu - max(LEAST_SYSTEM_CPU, SYSTEM_CPU * node.vcpu)
    return floor(20 * left / part.replicas_per_machine) / 20


def replica_memory_mib(part: DeployedPool) -> int:
    """Return the memory that one replica asks for, MiB: what its node has left, shared, to 64 MiB.

    Raises ``InputError`` where that is none.
    """
    left_gib = part.node.memory_gib - system_memory_gib(part.node.memory_gib, part.node.vcpu)
    found = 64 * floor(1024 * left_gib / part.replicas_per_machine / 64)
    if found <= 0:
        msg = f"a {part.pool.machine} has {part.node.memory_gib:g} GiB, of which Kubernetes leaves nothing to {part.pool.name!r}"
        raise InputError(msg, resolve="plan with larger machines, or render another target")
    return found


def system_memory_gib(memory_gib: float, vcpu: int) -> float:
    """Return the memory of a node that no pod may ask for, GiB: the larger of what GKE and EKS keep back, and the daemons' own.

    >>> round(system_memory_gib(16.0, 4), 2), round(system_memory_gib(768.0, 96), 1)
    (2.95, 60.9)
    """
    gke_gib, left_gib = 0.0, memory_gib
    for step_gib, share in RESERVED_GIB:
        gke_gib += share * min(step_gib, left_gib)
        left_gib = max(0.0, left_gib - step_gib)
    least, each, per_vcpu, most = EKS_RESERVED_MIB
    eks_gib = GUESSED_MEMORY * memory_gib + (least + each * min(most, per_vcpu * vcpu)) / 1024
    return max(gke_gib, eks_gib) + DAEMONS_MEMORY_GIB


def engine_arguments(part: DeployedPool) -> tuple[str, ...]:
    """Return the arguments of a vLLM server that make it behave as it was planned and replayed; none where the model has no tokens."""
    engine = part.pool.serving.engine
    if not isinstance(engine, TokenEngine):
        return ()
    prefix = ("--enable-prefix-caching",) if part.pool.serving.prefix_block_tokens else ("--no-enable-prefix-caching",)
    block = (f"--block-size={part.pool.serving.prefix_block_tokens}",) if part.pool.serving.prefix_block_tokens else ()
    wide = part.accelerators_per_replica
    parallel = (f"--tensor-parallel-size={wide}",) if wide > 1 else ()
    # vLLM's own share leaves a smaller KV cache than the profile has, which counts on this one.
    chip = find_chip(part.node.accelerator, part.node.accelerator_memory_gib)
    memory = (f"--gpu-memory-utilization={chip.memory_utilisation:g}",) if chip else ()
    return (
        f"--max-num-seqs={engine.max_sequences}",
        f"--max-num-batched-tokens={engine.chunk_tokens}",
        *memory,
        *parallel,
        *prefix,
        *block,
    )


def engine_environment(part: DeployedPool) -> dict[str, str]:
    """Return what an engine is told of the plan beside its port: its pool, and how it batches."""
    batching = {f"TIGHTROPE_{name.upper()}": f"{figure:g}" for name, figure in sorted(part.pool.batching.items())}
    return {"TIGHTROPE_POOL": part.pool.name, **batching}


def start_minutes(part: DeployedPool) -> int:
    """Return the whole minutes from asking for a machine to its first answer."""
    return ceil(part.pool.serving.start_s / 60.0)


# ---------------------------------------------------------------------------------------------------------- said in every file


def proof_line(plan: Plan) -> str:
    """Return whether the plan is proven, and why not, in a line.

    What a plan says comes from names that users chose: control characters and line ends are taken out.
    """
    if plan.status == "proven":
        return f"PROVEN by replay on traffic that it was not sized on: {len(plan.evidence)} promises kept"
    return f"NOT PROVEN: {formats.missed_promises(plan)}. Rendered because --unproven was said"


def notice(plan: Plan) -> tuple[str, ...]:
    """Return the lines that every file which allows remarks begins with."""
    hours = "Hours are those of UTC" + (
        "." if plan.first_day else "; the traffic is of no calendar, so its first day is taken as a Monday."
    )
    return (
        formats.strip_controls(f"Written by `tightrope render` from the plan of {plan.workload}: {proof_line(plan)}."),
        "Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.",
        hours,
    )


def notice_comment(plan: Plan, sign: str = "#") -> str:
    """Return the notice as remarks of a language whose remarks begin with ``sign``, with a line end."""
    return "".join(f"{sign} {line}\n" for line in notice(plan))
