"""What runs in a pool's pods: image, arguments, probes, resources, and how long a pod has to go.

The command line of Tightrope's own server stands here and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.base.records import EngineModel, TokenEngine
from tightrope.render.infra.deployment import DeployedPool, engine_arguments, node_label, replica_cpu, replica_memory_mib
from tightrope.render.infra.kube.clusters import Cluster, model_key

PORT = 8000
PLAN_FILE = "/etc/tightrope/plan.json"
VLLM = "vllm/vllm-openai:v0.11.0"
"""Of 2025-10; the overlay says another."""
OTHER_VLLM = {"amd.com/gpu": "amd", "aws.amazon.com/neuron": "neuron", "google.com/tpu": "tpu", "": "cpu"}
"""Resource → what vLLM's image for chips that the one above does not run on is called here: no registry has it under this name."""
OTHER_TAG = "0.11.0"
TIGHTROPE = "tightrope:0.1.0"
"""No registry has it under this name: the overlay says where it lies."""
ACCELERATORS = {
    "nvidia.com/gpu": "a10 a10g a100 a6000 b200 b300 gb200 gh200 h100 h200 l4 l40s rtx rtx6000 t4 t4g v100",
    "amd.com/gpu": "mi300x v710",
    "aws.amazon.com/neuron": "inferentia inferentia2 trainium trainium2",
    "google.com/tpu": "tpu",
}
"""Resource of the maker's device plugin → its chips: the first word of an accelerator's name, as the price book has it."""
SPOT_TAINTS = {
    "azure": ("kubernetes.azure.com/scalesetpriority", "spot"),
    "gcp": ("cloud.google.com/gke-spot", "true"),
}
"""Cloud → taint of its spot nodes (AKS documentation, 2026; GKE documentation, 2026); EKS sets none."""
NOTICE_S = {"aws": 120, "azure": 30, "gcp": 30}
"""Seconds between the notice and the end of a spot machine (EC2, Azure and Compute Engine documentation, 2026)."""
SHORTEST_NOTICE_S = 30
LEAVES_S = 5
"""Seconds for which a pod that is to go still takes requests, until every gateway knows. Tightrope's own server sees to that itself."""
DRAIN = f"""import re, time, urllib.request
time.sleep({LEAVES_S})
while True:
    text = urllib.request.urlopen("http://127.0.0.1:{PORT}/metrics", timeout=5).read().decode()
    if not any(map(float, re.findall(r"^vllm:num_requests_(?:running|waiting).* (\\S+)$", text, re.M))):
        break
    time.sleep(1)
"""
"""vLLM drops what is on it when it is told to stop (its issue 24885): a pod waits first until nothing is, or its time is up."""
USUAL_CONTEXT_TOKENS = 8192
"""What the user's settings begin with, where the cache holds so many: plans do not say how long requests of a model may be."""
LONGEST_ANSWER_TOKENS = 2048
"""An answer that a pod may finish before it goes; a longer one begins again elsewhere. vLLM's own limit is the model's."""
LEAST_GRACE_S = 30
LOAD_MARGIN = 3.0
"""A container that has not loaded its model in so many times the time planned is started anew."""
LEAST_LOAD_S = 600.0
"""A model may have to come from far away when a machine is new; what hangs is found all the same."""
PROBE_S = 5


@dataclass(frozen=True, slots=True)
class Container:
    """How one engine runs."""

    image: str
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    model: str
    """Key of ``tightrope-settings``."""
    ready: str
    alive: str
    needs_plan: bool
    drain: tuple[str, ...] = ()
    """What a pod does before it is told to stop, so that it finishes what is on it; none where the server does so itself."""


def container(part: DeployedPool) -> Container:
    """Return the engine of a pool: vLLM for tokens, Tightrope's own server for batches of requests."""
    if isinstance(part.pool.serving.engine, TokenEngine):
        served = f"--served-model-name={argument(part.model)}"
        arguments = ("$(MODEL)", served, f"--port={PORT}", "--max-model-len=$(MAX_MODEL_LEN)", *engine_arguments(part))
        drain = ("python3", "-c", DRAIN)
        return Container(
            vllm(part), ("vllm", "serve"), arguments, model_key(part), "/health", "/health", needs_plan=False, drain=drain
        )
    arguments = ("serve", f"--plan={PLAN_FILE}", f"--pool={argument(part.pool.name)}", "--model=$(MODEL)", f"--port={PORT}")
    return Container(TIGHTROPE, ("tightrope",), arguments, model_key(part), "/readyz", "/healthz", needs_plan=True)


def vllm(part: DeployedPool) -> str:
    """Return the image of a token engine, by the chips of its machine."""
    other = OTHER_VLLM.get(resource(part) if part.node.accelerators else "")
    return f"vllm-{other}:{OTHER_TAG}" if other else VLLM


def longest_request(part: DeployedPool) -> int:
    """Return the tokens of prompt and answer that an engine takes at first, no more than fit; 0 where the model has none."""
    engine = part.pool.serving.engine
    return min(engine.kv_capacity_tokens, USUAL_CONTEXT_TOKENS) if isinstance(engine, TokenEngine) else 0


def gateway_arguments(place: Cluster) -> tuple[str, ...]:
    """Return the arguments of the gateway of a place."""
    return (
        "serve",
        f"--plan={PLAN_FILE}",
        f"--place={argument(place.cloud)}/{argument(place.region)}",
        "--upstreams=/etc/tightrope/upstreams.json",
        f"--port={PORT}",
    )


def argument(text: str) -> str:
    """Return a text in which Kubernetes puts no variable of the container.

    >>> argument("a $(HOME)")
    'a $$(HOME)'
    """
    return text.replace("$(", "$$(")


def requests(part: DeployedPool) -> dict[str, str]:
    """Return what one replica asks for: its share of what the machine's system leaves; raise ``InputError`` where that is nothing."""
    cpu, memory_mib = replica_cpu(part), replica_memory_mib(part)
    if cpu <= 0 or memory_mib <= 0:
        msg = f"pool {part.pool.name!r}: a {part.pool.machine} has nothing left for {part.replicas_per_machine} beside its system"
        raise InputError(msg, resolve="leave the machine out of the workload's `families` and plan again")
    return {"cpu": f"{cpu:g}", "memory": f"{memory_mib}Mi", **accelerators(part)}


def limits(part: DeployedPool) -> dict[str, str]:
    """Return what one replica may use: its whole share of the machine's vCPUs, which its profile is of, and what it asked for."""
    return {**requests(part), "cpu": f"{part.node.vcpu / part.replicas_per_machine:g}"}


def accelerators(part: DeployedPool) -> dict[str, str]:
    """Return the chips of one replica; one for each where replicas share a chip, which the device plugin must allow."""
    if not part.node.accelerators:
        return {}
    return {resource(part): str(max(1, part.accelerators_per_replica))}


def shares_chips(part: DeployedPool) -> bool:
    """Return whether several replicas are on one chip."""
    return bool(part.node.accelerators) and part.replicas_per_machine > part.node.accelerators


def resource(part: DeployedPool) -> str:
    """Return the name under which Kubernetes counts the chips of a pool; raise ``InputError`` where it has none."""
    chip = part.node.accelerator.split("-")[0]
    found = next((name for name, chips in ACCELERATORS.items() if chip in chips.split()), "")
    if not found:
        msg = f"pool {part.pool.name!r} is on {part.node.accelerator!r}, which no device plugin is known for"
        raise InputError(
            msg, resolve="leave the machine out of the workload's `families`, or add its chip to `render/infra/kube`"
        )
    return found


def tolerations(plan: Plan, part: DeployedPool) -> list[dict[str, str]]:
    """Return the taints that a pool's pods stand: that of its own nodes, those of spot, chips and arm64 nodes."""
    found: list[dict[str, str]] = [_taint("tightrope.dev/pool", node_label(plan, part.key))]
    if part.spot and part.pool.cloud in SPOT_TAINTS:
        found.append(_taint(*SPOT_TAINTS[part.pool.cloud]))
    if part.node.accelerators:
        found.append({"key": resource(part), "operator": "Exists", "effect": "NoSchedule"})
    if part.node.arch == "arm64":
        found.append(_taint("kubernetes.io/arch", "arm64"))
    return found


def _taint(key: str, value: str) -> dict[str, str]:
    """Return what stands one taint."""
    return {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}


def grace_s(part: DeployedPool) -> int:
    """Return the seconds that a pod has to finish what is on it: its longest answer, and of spot no more than the notice."""
    wanted = max(LEAST_GRACE_S, longest_s(part))
    return min(wanted, NOTICE_S.get(part.pool.cloud, SHORTEST_NOTICE_S)) if part.spot else wanted


def longest_s(part: DeployedPool) -> int:
    """Return the seconds from when a pod is told to go to when the last that it took is answered, however long its machine stays."""
    return LEAVES_S + ceil(part.pool.serving.max_wait_s + _longest_answer_s(part.pool.serving.engine))


def _longest_answer_s(engine: EngineModel) -> float:
    """Return the time of a long answer on a full engine."""
    if isinstance(engine, TokenEngine):
        step_s = engine.overhead_s + max(engine.weights_s, engine.max_sequences * engine.per_token_s)
        return LONGEST_ANSWER_TOKENS * (step_s + engine.kv_capacity_tokens * engine.per_cached_token_s)
    return 2 * max(engine.service_s)


def startup_failures(part: DeployedPool) -> int:
    """Return the probes that may fail while a model loads."""
    return ceil(max(LEAST_LOAD_S, LOAD_MARGIN * part.pool.serving.load_s) / PROBE_S)


def is_deferrable(plan: Plan, part: DeployedPool) -> bool:
    """Return whether all that a pool answers can wait."""
    waits: Mapping[str, bool] = {item.name: item.deferral is not None for item in plan.classes}
    return bool(part.classes) and all(waits.get(name, False) for name in part.classes)
