"""The Kustomize tree of one cluster: what is the same whichever way its pools run."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan, ServedClass
from tightrope.base.records import TokenEngine
from tightrope.render.infra.deployment import (
    DeployedPool,
    deploy_pools,
    max_pool_machines,
    notice_comment,
    replica_cpu,
    replica_memory_mib,
)
from tightrope.render.infra.kube import autoscalers, containers, nodes
from tightrope.render.infra.kube.autoscalers import fits_hpa
from tightrope.render.infra.kube.clusters import Cluster, gateway_labels, length_key, list_clusters, model_key
from tightrope.render.infra.kube.components import (
    CHOSEN,
    FOLDER,
    LEDGER_CLASS,
    Patch,
    component,
    from_settings,
    gateway_components,
    patch,
)
from tightrope.render.infra.names import label_value, slug
from tightrope.render.infra.schedule import HOURS
from tightrope.render.infra.templates import fill, static
from tightrope.render.plain import as_text, plain

CURL = "curlimages/curl:8.16.0"
"""Of 2025-09; the overlay says another."""
MOST_CONFIG_BYTES = 1_048_576
"""Kubernetes' limit on a ConfigMap's data (documentation, 2026)."""
GATEWAYS = 3
"""Two, and one more while a new version takes over."""
OTHER_PODS = 20
"""Jobs of the calendar and of deferrable work."""
OTHER_CPU = GATEWAYS * 1.0 + OTHER_PODS * 0.05
OTHER_MEMORY_MIB = GATEWAYS * 1024 + OTHER_PODS * 64
LONGEST_STALL_S = 30


@dataclass(frozen=True, slots=True)
class PoolRuntime:
    """How a target runs the pools of a cluster."""

    kind: str
    """Of what a pool is, for patches."""
    pool_file: Callable[[Plan, Cluster, DeployedPool], str]
    """One pool, without the notice."""
    scaled: Callable[[DeployedPool], str]
    """Name of the Deployment that an autoscaler scales."""
    address: Callable[[DeployedPool], str]
    """Where the gateway finds a pool."""
    selector_path: str
    """JSON pointer to the pods' node selector."""
    discover: bool = False
    """The address stands for every replica that is ready, so that the gateway chooses among them."""
    storage: tuple[str, ...] = ()
    """Field paths that hold where the model lies; none where the container reads it from the settings."""


def cluster_files(plan: Plan, place: Cluster, way: PoolRuntime) -> dict[Path, str]:
    """Return the files of one cluster by their paths below its folder, ``plan.json`` and the user's own overlay among them."""
    base = _base_files(plan, place, way)
    files = {Path("base") / path: text for path, text in base.items()}
    components = _components(plan, place, way)
    for name, inside in components.items():
        files |= {Path(name) / path: text for path, text in inside.items()}
    makes_nodes = nodes.NODES.get(place.cloud, "")
    waits = bool(batch_jobs(plan, place))
    left_out = {"autoscale-hpa", makes_nodes, *(name for name in CHOSEN if name != "jobs" or not waits)}
    chosen = {
        "components": [f"../{name}" for name in components if name not in left_out],
        "waits": waits,
        "nodes": f"../{makes_nodes}" if makes_nodes else "",
        "tagged": nodes.CLASSES[place.cloud][1] if place.cloud in nodes.CLASSES else "",
        "images": images(plan, place),
    }
    overlay = {
        "kustomization.yaml": fill(FOLDER, "overlay.yaml.j2", "yaml", chosen),
        "namespace.yaml": static(FOLDER, "namespace.yaml"),
        "settings.yaml": fill(FOLDER, "settings.yaml.j2", "yaml", {"settings": settings(plan, place)}),
    }
    return files | {Path("overlay") / path: text for path, text in overlay.items()}


# ------------------------------------------------------------------------------------------------------------------- base


def _base_files(plan: Plan, place: Cluster, way: PoolRuntime) -> dict[Path, str]:
    """Return the base: priorities, accounts, network, caps, gateway, pools, and what the gateway reads."""
    head, plan_text = notice_comment(plan), plan_json(plan)
    resources = {name: head + static(FOLDER, name) for name in ("priorities.yaml", "accounts.yaml", "network.yaml")}
    resources["quota.yaml"] = head + fill(
        FOLDER, "quota.yaml.j2", "yaml", {"workload": label_value(plan.workload), "hard": caps(plan, place)}
    )
    resources["gateway.yaml"] = head + _gateway(plan, place, plan_text)
    if waiting := _waiting(plan, place):
        resources["batch.yaml"] = head + fill(
            FOLDER, "batch.yaml.j2", "yaml", {"workload": label_value(plan.workload), "image": CURL, "classes": waiting}
        )
    for part in place.parts:
        resources[f"pools/{part.key}.yaml"] = head + way.pool_file(plan, place, part)
    return {
        Path("kustomization.yaml"): head + fill(FOLDER, "base.yaml.j2", "yaml", {"resources": list(resources)}),
        **{Path(name): text for name, text in resources.items()},
        Path("plan.json"): plan_text,
        Path("upstreams.json"): as_text(plain(upstreams(plan, place, way))) + "\n",
    }


def plan_json(plan: Plan) -> str:
    """Return ``plan.json`` as it was written; raise ``InputError`` where no ConfigMap can hold it."""
    text = as_text(plain(plan)) + "\n"
    if (size := len(text.encode())) > MOST_CONFIG_BYTES // 16 * 15:
        msg = f"plan.json has {size:,} bytes: a ConfigMap of Kubernetes holds 1,048,576, and what lies beside it takes a part of that"
        raise InputError(msg, resolve="plan again without `--explain`, or for fewer pools (`purchase.max_pools`)")
    return text


def digest(value: object) -> str:
    """Return a short name of a value: another value has another."""
    text = value if isinstance(value, str) else as_text(plain(value))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def caps(plan: Plan, place: Cluster) -> dict[str, str]:
    """Return the most that the namespace may ask for, by the names of Kubernetes' resources."""
    pods, cpu, memory_mib, chips = GATEWAYS + OTHER_PODS, OTHER_CPU, OTHER_MEMORY_MIB, dict[str, int]()
    for part in place.parts:
        count = max_pool_machines(plan, part) * part.replicas_per_machine + 1
        pods += count
        cpu += count * replica_cpu(part)
        memory_mib += count * replica_memory_mib(part)
        for name, each in containers.accelerators(part).items():
            chips[name] = chips.get(name, 0) + count * int(each)
    named = {f"requests.{name}": str(count) for name, count in chips.items()}
    return {"pods": str(pods), "requests.cpu": f"{round(1000 * cpu)}m", "requests.memory": f"{memory_mib}Mi", **named}


def _gateway(plan: Plan, place: Cluster, plan_text: str) -> str:
    """Return the gateway of a place."""
    names = gateway_labels(plan)
    values = {
        "labels": names,
        "selector": {name: names[name] for name in ("app.kubernetes.io/name", "app.kubernetes.io/instance")},
        "digest": digest(plan_text),
        "image": containers.TIGHTROPE,
        "arguments": containers.gateway_arguments(place),
        "port": containers.PORT,
        "leaves_s": str(containers.LEAVES_S),
        "grace_s": max(map(containers.longest_s, (*place.parts, *remote_pools(plan, place)))) + LONGEST_STALL_S,
    }
    return fill(FOLDER, "gateway.yaml.j2", "yaml", values)


def upstreams(plan: Plan, place: Cluster, way: PoolRuntime) -> dict[str, dict[str, str | bool]]:
    """Return where the gateway of a place finds each pool that it may send to: by address, or by the user's settings."""
    found = {"discover": True} if way.discover else {}
    here: dict[str, dict[str, str | bool]] = {part.pool.name: {"url": way.address(part), **found} for part in place.parts}
    there: dict[str, dict[str, str | bool]] = {
        part.pool.name: {
            "url_from": f"/etc/tightrope-settings/url-{part.key}",
            "key_from": f"/etc/tightrope-keys/{part.key}",
        }
        for part in remote_pools(plan, place)
    }
    return here | there


def remote_pools(plan: Plan, place: Cluster) -> tuple[DeployedPool, ...]:
    """Return the pools that do not stand in a place and answer what comes in there."""
    here = {part.key for part in place.parts}
    theirs = {name for part in place.parts for name in part.classes}
    came = {item.name for item in plan.classes if item.place in {None, (place.cloud, place.region)}} | theirs
    return tuple(part for part in deploy_pools(plan) if part.key not in here and came & {*part.classes})


def _waiting(plan: Plan, place: Cluster) -> list[dict[str, object]]:
    """Return the classes of deferrable work whose work is handed in at a place, each as its job."""
    found: list[dict[str, object]] = []
    for item in plan.classes:
        if item.deferral is None or _handed_in_at(plan, item) != place.folder:
            continue
        parts = _may_do(place, item)
        minute = round(60 * item.deferral.release_h) % (60 * HOURS)
        found.append(
            {
                "name": f"batch-{slug(item.name, 30)}",
                "label": label_value(item.name),
                "cron": f"{minute % 60} {minute // 60} * * *",
                "window_s": ceil(3600 * item.deferral.window_h),
                "body": _body(item, parts[0]),
                "key": _batch_key(item),
            }
        )
    return found


def batch_jobs(plan: Plan, place: Cluster) -> list[str]:
    """Return the names of the jobs that hand in a place's deferrable work."""
    return [str(item["name"]) for item in _waiting(plan, place)]


def _may_do(place: Cluster, item: ServedClass) -> list[DeployedPool]:
    """Return the pools of a place that may do a class's work."""
    return [part for part in place.parts if item.name in {*part.classes, *part.pool.serving.deferrable_classes}]


def _handed_in_at(plan: Plan, item: ServedClass) -> str:
    """Return the folder of the one place where a class's work is handed in, so that it is done once; empty where no machine may do it.

    That is where it comes in, and where no machine stands there that may do it, the first place that has one.
    """
    able = [place for place in list_clusters(plan) if _may_do(place, item)]
    able.sort(key=lambda place: (place.cloud, place.region) != item.place)
    return able[0].folder if able else ""


def _batch_key(item: ServedClass) -> str:
    """Return the key of ``tightrope-settings`` under which the user says which file holds a class's work."""
    return f"batch-{slug(item.name)}"


def _body(item: ServedClass, part: DeployedPool) -> str:
    """Return what is sent to the gateway's ``/v1/batches``, as an argument of curl."""
    assert item.deferral is not None  # noqa: S101 - only classes that can wait come here
    minutes = round(60 * item.deferral.window_h)
    tokens = isinstance(part.pool.serving.engine, TokenEngine)
    said = {
        "endpoint": "/v1/chat/completions" if tokens else "/v1/embeddings",
        "completion_window": f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m",
        "metadata": {"class": item.name},
    }
    text = containers.argument(json.dumps(said, ensure_ascii=False))
    return f'--data={{"input_file_id": "$(INPUT_FILE)", {text[1:]}'


# -------------------------------------------------------------------------------------------------------------- components


def _components(plan: Plan, place: Cluster, way: PoolRuntime) -> dict[str, dict[Path, str]]:
    """Return the components that an overlay chooses from, each a folder, in the order in which it is to name them."""
    found = {
        **({"storage": _storage(plan, place, way)} if way.storage else {}),
        "autoscale-keda": _keda(plan, place, way),
        "autoscale-hpa": _hpa(plan, place, way),
        "monitoring": {
            Path("kustomization.yaml"): component(plan, ["monitors.yaml"]),
            Path("monitors.yaml"): notice_comment(plan) + static(FOLDER, "monitors.yaml"),
        },
    }
    if place.cloud in nodes.NODES:
        found[nodes.NODES[place.cloud]] = _nodes(plan, place, way)
    return found | gateway_components(plan, batch_jobs(plan, place))


def _keda(plan: Plan, place: Cluster, way: PoolRuntime) -> dict[Path, str]:
    """Return KEDA's component."""
    scaled = [part for part in place.parts if autoscalers.is_scaled(plan, part)]
    texts = {f"{part.key}.yaml": autoscalers.keda(plan, part, way.scaled(part)) for part in scaled}
    asking = [part.key for part in scaled if "type: prometheus" in texts[f"{part.key}.yaml"]]
    path = "spec.triggers.[type=prometheus].metadata.serverAddress"
    replaced = [from_settings("prometheus", [("ScaledObject", key, [path]) for key in asking])] if asking else []
    return {
        Path("kustomization.yaml"): component(plan, list(texts), replaced),
        **{Path(name): notice_comment(plan) + text for name, text in texts.items()},
    }


def _hpa(plan: Plan, place: Cluster, way: PoolRuntime) -> dict[Path, str]:
    """Return the component of HorizontalPodAutoscalers and their calendar."""
    scaled = [part for part in place.parts if autoscalers.is_scaled(plan, part) and fits_hpa(part)]
    texts = {f"{part.key}.yaml": autoscalers.hpa(plan, part, way.scaled(part)) for part in scaled}
    if texts:
        texts["role.yaml"] = fill(FOLDER, "schedule_role.yaml.j2", "yaml", {"names": [part.key for part in scaled]})
    return {
        Path("kustomization.yaml"): component(plan, list(texts)),
        **{Path(name): notice_comment(plan) + text for name, text in texts.items()},
    }


def _storage(plan: Plan, place: Cluster, way: PoolRuntime) -> dict[Path, str]:
    """Return the component that says where each pool's model lies."""
    replaced = [from_settings(model_key(part), [(way.kind, part.key, list(way.storage))]) for part in place.parts]
    return {Path("kustomization.yaml"): component(plan, [], replaced)}


def _nodes(plan: Plan, place: Cluster, way: PoolRuntime) -> dict[Path, str]:
    """Return the component that makes nodes."""
    texts = {f"{part.key}.yaml": nodes.node_pool_file(plan, part) for part in place.parts}
    replaced: list[dict[str, object]] = []
    patches: list[Patch] = []
    if place.cloud == "aws":
        names = [nodes.node_name(plan, part) for part in place.parts]
        tags = [
            f"spec.{terms}.*.tags.[karpenter.sh/discovery]" for terms in ("subnetSelectorTerms", "securityGroupSelectorTerms")
        ]
        replaced = [
            from_settings("cluster", [("EC2NodeClass", name, tags) for name in names]),
            from_settings("node-role", [("EC2NodeClass", name, ["spec.role"]) for name in names]),
        ]
    if place.cloud == "gcp":
        patches = [_select_class(plan, part, way) for part in place.parts]
    return {
        Path("kustomization.yaml"): component(plan, list(texts), replaced, patches),
        **{Path(name): notice_comment(plan) + text for name, text in texts.items()},
    }


def _select_class(plan: Plan, part: DeployedPool, way: PoolRuntime) -> Patch:
    """Return the patch by which a pool's pods ask for its ComputeClass, beside which GKE allows no other selector."""
    wanted = {"cloud.google.com/compute-class": nodes.node_name(plan, part)}
    return patch(way.kind, part.key, {"op": "replace", "path": way.selector_path, "value": wanted})


# ----------------------------------------------------------------------------------------------------------------- overlay


def images(plan: Plan, place: Cluster) -> list[dict[str, str]]:
    """Return the images of a place, and where to find them at first."""
    used = {containers.TIGHTROPE, autoscalers.KUBECTL, *(containers.container(part).image for part in place.parts)}
    if _waiting(plan, place):
        used.add(CURL)
    found = []
    for image in sorted(used):
        name, _, tag = image.rpartition(":")
        found.append({"name": name, "where": name if "/" in name else f"registry.example.com/{name}", "tag": tag})
    return found


def settings(plan: Plan, place: Cluster) -> list[dict[str, str]]:
    """Return what only the user can say of a place: key, first value, and what it is."""
    found = [
        _setting("prometheus", "http://prometheus-operated.monitoring.svc:9090", "Where the autoscalers ask."),
        _setting(
            "traces", "", "Where traces go (OTLP over HTTP), such as http://collector.monitoring:4318; nowhere where it is empty."
        ),
        _setting(
            "serve",
            "",
            "Where a file lies that says what a plan does not: with `serve.yaml` below, /etc/tightrope-settings/serve.yaml.",
        ),
        _setting(
            LEDGER_CLASS,
            "example-shared",
            "For the component ledger: a storage class whose volumes several nodes write (NFS: EFS, Filestore, Azure Files).",
        ),
    ]
    if place.cloud == "aws":
        found += [
            _setting(
                "cluster",
                "example",
                "For Karpenter: value of the tag karpenter.sh/discovery on the subnets and security groups of its nodes.",
            ),
            _setting("node-role", "example-node-role", "For Karpenter: IAM role of its nodes, by its name."),
        ]
    models = {model_key(part): part.pool.variant for part in place.parts}
    for key, variant in models.items():
        found.append(
            _setting(
                key,
                f"s3://example-models/{key.removeprefix('model-')}",
                f"Where the files of {variant} lie: s3://, gs://, https:// or a path.",
            )
        )
    for part in place.parts:
        if tokens := containers.longest_request(part):
            found.append(
                _setting(
                    length_key(part), str(tokens), f"Most tokens of a request to {part.pool.name}, no more than its model takes."
                )
            )
    for part in remote_pools(plan, place):
        found.append(_setting(f"url-{part.key}", "https://example.com", f"Where {part.pool.name} answers ({part.pool.machine})."))
    for item in plan.classes:
        if any(waiting["key"] == _batch_key(item) for waiting in _waiting(plan, place)):
            found.append(_setting(_batch_key(item), "file-example", f"The file of {item.name}, as the gateway named it."))
    return found


def _setting(key: str, value: str, remark_text: str) -> dict[str, str]:
    """Return one entry of the user's settings."""
    return {"key": key, "value": value, "remark": remark_text}
