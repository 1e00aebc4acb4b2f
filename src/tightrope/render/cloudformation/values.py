"""What the templates are filled with: a plan's pools on AWS, with the logical name of everything that is made of them."""

import hashlib
import json
from math import ceil
from typing import Any

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.clouds.services import ServiceSize, find_size
from tightrope.render import words
from tightrope.render.infra.deploy import PLAN_AGAIN, Part, deploy, engine_arguments, proven, usd_on
from tightrope.render.infra.names import label_value, pascal, slug
from tightrope.render.infra.schedule import DAYS, Moment

CLOUD = "aws"
MOST_ENTRIES = 100
"""Scheduled actions of a group: Amazon takes 125 (EC2 Auto Scaling quotas, 2026)."""
MOST_RESOURCES, OF_A_STACK, OF_A_POOL = 500, 40, 20
"""Resources that a template may have (AWS CloudFormation quotas, 2026), those it has once, and those of a pool beside its schedule."""
MOST_AT_ONCE = 900
"""Requests that a function may be kept free for: an account has 1000, of which 100 stay free (AWS Lambda quotas, 2026)."""
MARGIN = 0.1
"""Part of the planned cost that a month may cost more before the budget is used up."""
FIRST_PORT = 8000
MOST_PRIORITY = 50_000
"""Of a balancer's rules (Elastic Load Balancing API reference, CreateRule, 2026)."""
NEURON = ("inferentia", "trainium")
ECS_IMAGES = "/aws/service/ecs/optimized-ami/amazon-linux-2023"
AMIS = {
    "AmiAmd64": f"{ECS_IMAGES}/recommended/image_id",
    "AmiArm64": f"{ECS_IMAGES}/arm64/recommended/image_id",
    "AmiGpu": f"{ECS_IMAGES}/gpu/recommended/image_id",
    "AmiNeuron": f"{ECS_IMAGES}/neuron/recommended/image_id",
    "AmiGpuArm64": "/aws/service/deeplearning/ami/arm64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id",
}
"""Parameter → where Amazon says which its newest machine image with Docker and drivers is (ECS and Deep Learning AMI guides, 2026)."""
IDS = (
    "logs",
    "template",
    "group",
    "expiry",
    "policy",
    "wake",
    "held",
    "nodes",
    "rule",
    "errors",
    "task",
    "service",
    "target",
    "role",
    "function",
    "version",
    "alias",
)


def parts_of(plan: Plan) -> tuple[Part, ...]:
    """Return the pools that stand on AWS."""
    return tuple(part for part in deploy(plan, "machines", "container", "function") if part.pool.cloud == CLOUD)


def region_values(plan: Plan, parts: tuple[Part, ...]) -> dict[str, Any]:
    """Return what the template of one region is filled with."""
    most = _most_entries(parts)
    machines = [_machines(plan, part, most) for part in parts if part.kind == "machines"]
    containers = [_container(plan, part) for part in parts if part.kind == "container"]
    functions = [_function(plan, part) for part in parts if part.kind == "function"]
    balanced = _with_priorities([*machines, *containers])
    amis = {pool["ami"] for pool in machines}
    promises = _promises(plan, parts)
    wakes = any(pool["from_zero"] for pool in machines)
    return {
        "description": _description(plan),
        "tags": _common(plan),
        "disk_gb": ceil(plan.disk_gb),
        "images": _images(parts),
        "amis": {name: path for name, path in AMIS.items() if name in amis},
        "machines": machines,
        "containers": containers,
        "only_machines": bool(machines) and not containers,
        "functions": functions,
        "balanced": balanced,
        "spot": any(pool["spot"] for pool in machines),
        "last_port": max((target["port"] for pool in balanced for target in pool["targets"]), default=FIRST_PORT),
        "promises": promises,
        "wakes": wakes,
        "gateway_used": wakes or bool(promises),
    }


def spending_values(plan: Plan) -> dict[str, Any]:
    """Return what the template of what an account has once is filled with."""
    workload = label_value(plan.workload)
    tagged = {"Tags": {"Key": "user:workload", "Values": [workload], "MatchOptions": ["EQUALS"]}}
    return {
        "description": _description(plan),
        "budget_usd": max(1, ceil(usd_on(plan, CLOUD) * (1 + MARGIN))),
        "tag_value": f"user:workload${workload}",
        "monitor_name": f"{slug(plan.workload)}-costs",
        "monitored": json.dumps(tagged),
    }


def settings(values: dict[str, Any]) -> dict[str, str]:
    """Return a region's parameters as they are first written: those to fill in, empty, and those that most change."""
    network = {"VpcId": "", "SubnetIds": "", "CertificateArn": "", "AllowedSecurityGroup": "none"} if values["balanced"] else {}
    cluster = {"ClusterName": "none"} if values["machines"] else {}
    return {
        "Team": "",
        "Environment": "",
        "CostCentre": "",
        "ExpiresOn": "never",
        "NotifyEmail": "",
        **{image["parameter"]: "" for image in values["images"]},
        **network,
        **cluster,
        "ModelBucket": "none",
        "ModelPrefix": "",
    }


def _description(plan: Plan) -> str:
    """Return the head of a template, at most 1024 bytes (CloudFormation quotas, 2026)."""
    said = f"Tightrope's plan of {words.clean(plan.workload)[:100]}. {words.clean(proven(plan))}"
    return said.encode("utf-8")[:1000].decode("utf-8", "ignore")


def _images(parts: tuple[Part, ...]) -> list[dict[str, str]]:
    """Return the parameters of the containers' images, one a variant."""
    variants = sorted({part.pool.variant for part in parts})
    return [
        {"parameter": image_parameter(name), "description": f"Container image that serves {words.clean(name)[:200]}"}
        for name in variants
    ]


def image_parameter(variant: str) -> str:
    """Return the parameter of a variant's image.

    >>> image_parameter("assistant-7b/int8")
    'ImageAssistant7bInt81873cae57de5'
    """
    return f"Image{pascal(slug(variant))}"


# -------------------------------------------------------------------------------------------------------------------------- tags


def _common(plan: Plan) -> dict[str, Any]:
    """Return the tags of everything."""
    return {
        "workload": label_value(plan.workload),
        "managed-by": "tightrope",
        "team": {"Ref": "Team"},
        "environment": {"Ref": "Environment"},
        "cost-centre": {"Ref": "CostCentre"},
        "expires-on": {"Ref": "ExpiresOn"},
    }


def _pool(plan: Plan, part: Part) -> dict[str, Any]:
    """Return what all kinds of pools have."""
    logical = pascal(part.key)
    return {
        "key": part.key,
        "name": part.pool.name,
        "logical": logical,
        "ids": {name: f"{logical}{name.capitalize()}" for name in IDS},
        "image": image_parameter(part.pool.variant),
        "tags": {**_common(plan), **part.labels(plan)},
        "least": min(part.week),
        "most": max(part.pool.max_replicas, *part.week),
        "per_minute": round(60 * part.requests_per_s, 6) if plan.scaling.enabled else 0,
    }


# --------------------------------------------------------------------------------------------------------------------- machines


def _most_entries(parts: tuple[Part, ...]) -> int:
    """Return the scheduled actions that each group of a template may have."""
    groups = sum(part.kind == "machines" for part in parts)
    return max(1, min(MOST_ENTRIES, (MOST_RESOURCES - OF_A_STACK - OF_A_POOL * len(parts)) // max(1, groups)))


def _machines(plan: Plan, part: Part, most: int) -> dict[str, Any]:
    """Return one pool of machines."""
    pool = _pool(plan, part)
    targets = _targets(pool["logical"], part.replicas_per_machine)
    counted = " + ".join(f"FILL({target['requests']}, 0)" for target in targets)
    start_s = part.pool.serving.start_s
    return {
        **pool,
        **_balanced(targets, "instance"),
        "machine": part.pool.machine,
        "ami": f"Ami{_image_kind(part)}",
        "ami_type": _ami_type(part),
        "capacity_type": "SPOT" if part.spot else "ON_DEMAND",
        "spot": part.spot,
        "on_demand_percent": 0 if part.spot else 100,
        "kept": min(pool["least"], pool["most"] - 1),
        "least_text": str(pool["least"]),
        "most_text": str(pool["most"]),
        "warm_s": ceil(start_s),
        "grace_s": 2 * ceil(start_s),
        "schedule": _schedule(part, pool["logical"], most, application=False),
        "load": f"IF(machines > 0, ({counted}) / machines, 0)",
        "load_alarms": _load_alarms(pool, counted),
        "from_zero": pool["least"] == 0 and part.pool.serving.cooldown_s is not None,
        "start": _start(part, pool["image"], pool["ids"]["logs"]),
    }


def _image_kind(part: Part) -> str:
    """Return which machine image it takes: by its processor, and the driver that its accelerators need."""
    node = part.node
    if node.accelerators and node.accelerator.startswith(NEURON):
        return "Neuron"
    return ("Gpu" if node.accelerators else "") + ("Arm64" if node.arch == "arm64" else "" if node.accelerators else "Amd64")


def _ami_type(part: Part) -> str:
    """Return the same as EKS calls it (Amazon EKS API reference, Nodegroup, amiType, 2026)."""
    processor = "ARM_64" if part.node.arch == "arm64" else "x86_64"
    driver = "NEURON" if _image_kind(part) == "Neuron" else "NVIDIA" if part.node.accelerators else "STANDARD"
    return f"AL2023_{processor}_{driver}"


def _targets(logical: str, engines: int) -> list[dict[str, Any]]:
    """Return a target group for each engine of a machine, by its port."""
    ports = range(FIRST_PORT, FIRST_PORT + engines)
    return [
        {"logical": f"{logical}Port{port}", "port": port, "requests": f"requests{port}", "errors": f"errors{port}"}
        for port in ports
    ]


def _balanced(targets: list[dict[str, Any]], target_type: str) -> dict[str, Any]:
    """Return what the balancer needs to know of a pool."""
    errors, requests = (" + ".join(f"FILL({target[what]}, 0)" for target in targets) for what in ("errors", "requests"))
    share = f"IF(({requests}) > 0, ({errors}) / ({requests}), 0)"
    return {"targets": targets, "target_type": target_type, "error_share": share}


def _with_priorities(pools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pools with the place of each one's rule among the balancer's, by its name: others come and go beside it."""
    taken: set[int] = set()
    for pool in sorted(pools, key=lambda pool: pool["key"]):
        place = int(hashlib.sha256(pool["key"].encode()).hexdigest()[:8], 16) % MOST_PRIORITY + 1
        while place in taken:
            place = place % MOST_PRIORITY + 1
        taken.add(place)
        pool["priority"] = place
    return pools


def _load_alarms(pool: dict[str, Any], counted: str) -> list[dict[str, Any]]:
    """Return alarms on use in both directions: more than a machine is steered to, or so little that money is lost."""
    full = "More requests a machine, for a quarter of an hour, than the plan steers it to: the group is at its most, or none come"
    idle = "Less than a tenth of the requests a machine that it sustains, for six hours: plan again with newer traffic"
    return [
        {
            "logical": f"{pool['logical']}{name}",
            "said": said,
            "comparison": comparison,
            "threshold": round(share * pool["per_minute"], 6),
            "periods": periods,
            "period_s": period_s,
            "load": f"({counted}) / (machines * {period_s // 60})",
        }
        for name, said, comparison, share, periods, period_s in (
            ("Full", full, "GreaterThanThreshold", 1.1, 15, 60),
            ("Idle", idle, "LessThanThreshold", 0.1, 6, 3600),
        )
    ]


def _start(part: Part, image: str, logs: str) -> list[Any]:
    """Return what a machine does when it starts, as pieces to be joined: cloud-init's commands as lists, so that no shell reads a value.

    Engines use the machine's own network, because with a hop limit of 1 a container with a network of its own could not ask for the
    machine's credentials. What a parameter gives stands in the pieces' place; its pattern lets no quote through.
    """
    marks = {
        "\ue000": {"Ref": image},
        "\ue001": {"Ref": logs},
        "\ue002": {"Ref": "AWS::Region"},
        "\ue003": {"Ref": "EcrRegistry"},
    }
    picture, group, region, registry = marks
    helpers = {"credHelpers": {registry: "ecr-login"}}
    commands = [
        ["systemctl", "mask", "--now", "--no-block", "ecs.service"],
        ["systemctl", "enable", "--now", "docker"],
        ["dnf", "install", "-y", "amazon-ecr-credential-helper"],
        *(
            [
                *["docker", "run", "--detach", "--restart=always", f"--name=engine-{place}", "--network=host", "--ipc=host"],
                *[
                    "--stop-timeout=60",
                    f"--env=PORT={FIRST_PORT + place}",
                    f"--env=TIGHTROPE_POOL={_unmarked(part.pool.name, marks)}",
                ],
                *["--log-driver=awslogs", f"--log-opt=awslogs-region={region}", f"--log-opt=awslogs-group={group}"],
                *_devices(part, place),
                picture,
                *_arguments(part, place),
            ]
            for place in range(part.replicas_per_machine)
        ),
    ]
    files = [{"path": "/root/.docker/config.json", "content": json.dumps(helpers, ensure_ascii=False)}]
    lines = ["#cloud-config", f"write_files: {json.dumps(files, ensure_ascii=False)}", "runcmd:"]
    lines += [f"- {json.dumps(command, ensure_ascii=False)}" for command in commands]
    return [piece for line in lines for piece in _split(f"{line}\n", marks)]


def _unmarked(text: str, marks: dict[str, Any]) -> str:
    """Return a text of the plan; raise ``InputError`` where it holds a sign that stands for a parameter."""
    if any(mark in text for mark in marks):
        msg = f"a name of the plan can not be written to a file: {text[:40]!r} holds a character for private use"
        raise InputError(msg, resolve="rename it in the workload and plan again")
    return text


def _split(text: str, marks: dict[str, Any]) -> list[Any]:
    """Return a text in pieces, with what each mark stands for between them."""
    pieces: list[Any] = [""]
    for letter in text:
        if letter in marks:
            pieces += [marks[letter], ""]
        else:
            pieces[-1] += letter
    return pieces


def _devices(part: Part, place: int) -> list[str]:
    """Return the accelerators that one engine of a machine sees; all, where engines share one."""
    if not part.node.accelerators:
        return []
    wide = part.accelerators_per_replica
    seen = range(place * wide, (place + 1) * wide) if wide else range(part.node.accelerators)
    if _image_kind(part) == "Neuron":
        return [f"--device=/dev/neuron{number}" for number in seen]
    return [f'--gpus="device={",".join(map(str, seen))}"']


def _arguments(part: Part, place: int) -> list[str]:
    """Return an engine's arguments, with its port where it takes any."""
    arguments = list(engine_arguments(part))
    return [*arguments, f"--port={FIRST_PORT + place}"] if arguments else []


def _schedule(part: Part, logical: str, most: int, *, application: bool) -> list[dict[str, Any]]:
    """Return the week as scheduled actions, each under a name that says when and how many."""
    listed = [(entry, entry.asked(part.pool.serving.start_s)) for entry in part.entries(most)]
    return [
        {
            "logical": f"{logical}{entry.machines}From{entry.hour:02}h{_days(moment)}{'Up' if entry.rises else ''}",
            "cron": _application_cron(moment) if application else moment.cron,
            "machines": entry.machines,
        }
        for entry, moment in listed
    ]


def _days(moment: Moment) -> str:
    """Return the days of a moment, as a name takes them."""
    return "Daily" if len(moment.days) == len(DAYS) else "".join(DAYS[day][:3].capitalize() for day in moment.days)


def _application_cron(moment: Moment) -> str:
    """Return a moment as Application Auto Scaling writes it."""
    days = ",".join(DAYS[day][:3].upper() for day in moment.days) if len(moment.days) < len(DAYS) else "*"
    return f"cron({moment.minute} {moment.hour} ? * {days} *)"


# --------------------------------------------------------------------------------------------------- containers and functions


def _container(plan: Plan, part: Part) -> dict[str, Any]:
    """Return one pool of container instances."""
    size, pool = _size(part), _pool(plan, part)
    return {
        **pool,
        **_balanced(_targets(pool["logical"], 1), "ip"),
        "cpu": str(int(1024 * size.vcpu)),
        "memory": str(size.memory_mib),
        "architecture": "ARM64" if size.service.arch == "arm64" else "X86_64",
        "arguments": _arguments(part, 0),
        "warm_s": ceil(part.pool.serving.start_s),
        "grace_s": 2 * ceil(part.pool.serving.start_s),
        "schedule": _schedule(part, pool["logical"], MOST_ENTRIES, application=True),
    }


def _function(plan: Plan, part: Part) -> dict[str, Any]:
    """Return one pool of function instances."""
    size, pool = _size(part), _pool(plan, part)
    alarms = (
        ("Failing", "Errors", "A function fails"),
        ("Refused", "Throttles", "More is asked at one time than the most: refused"),
    )
    return {
        **pool,
        "memory_mib": size.memory_mib,
        "architecture": "arm64" if size.service.arch == "arm64" else "x86_64",
        "at_once": min(part.pool.max_replicas, MOST_AT_ONCE),
        "alarms": [{"logical": f"{pool['logical']}{name}", "metric": metric, "said": said} for name, metric, said in alarms],
    }


def _size(part: Part) -> ServiceSize:
    """Return the size of a service; raise ``InputError`` where it is none that is sold."""
    size = find_size(part.pool.machine)
    if size is None or size.service.cloud != CLOUD:
        msg = f"pool {part.pool.name!r} runs on {part.pool.machine!r}, which AWS does not sell in this release"
        raise InputError(msg, resolve=PLAN_AGAIN)
    return size


def _promises(plan: Plan, parts: tuple[Part, ...]) -> list[dict[str, Any]]:
    """Return the promises to what pools here answer."""
    answered = {name for part in parts for name in part.classes}
    return [
        {
            "logical": f"Promise{pascal(slug(f'{item.name}-{slo.metric}-{slo.percentile:g}', 60))}",
            "name": item.name,
            "slo": slo.metric,
            "target": slo.percentile,
        }
        for item in plan.classes
        if item.name in answered
        for slo in item.slos
    ]
