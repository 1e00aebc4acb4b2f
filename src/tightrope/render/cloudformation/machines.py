"""Pools of machines: launch templates with what a machine does when it starts, and Auto Scaling groups or node groups."""

import json
from math import ceil
from typing import Any

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.render.cloudformation.pool import FIRST_PORT, arguments_of, balanced_values, pool_values, schedule_of, targets_of
from tightrope.render.infra.deployment import DeployedPool, engine_environment, start_minutes

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


def machine_values(plan: Plan, part: DeployedPool, most: int) -> dict[str, Any]:
    """Return one pool of machines."""
    pool = pool_values(plan, part)
    targets = targets_of(pool["logical"], part.replicas_per_machine)
    counted = " + ".join(f"FILL({target['requests']}, 0)" for target in targets)
    start_s = part.pool.serving.start_s
    return {
        **pool,
        **balanced_values(targets, "instance"),
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
        "pause": f"PT{min(60, max(1, start_minutes(part)))}M",
        "schedule": schedule_of(part, pool["logical"], most, application=False),
        "load": f"IF(machines > 0, ({counted}) / machines, 0)",
        "load_alarms": _load_alarms(pool, counted),
        "from_zero": pool["least"] == 0 and part.pool.serving.cooldown_s is not None,
        "start": _start(part, pool["image"], pool["ids"]["logs"]),
    }


def _image_kind(part: DeployedPool) -> str:
    """Return which machine image it takes: by its processor, and the driver that its accelerators need."""
    node = part.node
    if node.accelerators and node.accelerator.startswith(NEURON):
        return "Neuron"
    return ("Gpu" if node.accelerators else "") + ("Arm64" if node.arch == "arm64" else "" if node.accelerators else "Amd64")


def _ami_type(part: DeployedPool) -> str:
    """Return the same as EKS calls it (Amazon EKS API reference, Nodegroup, amiType, 2026)."""
    processor = "ARM_64" if part.node.arch == "arm64" else "x86_64"
    driver = "NEURON" if _image_kind(part) == "Neuron" else "NVIDIA" if part.node.accelerators else "STANDARD"
    return f"AL2023_{processor}_{driver}"


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


def _start(part: DeployedPool, image: str, logs: str) -> list[Any]:
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
                *["--stop-timeout=60", f"--env=PORT={FIRST_PORT + place}"],
                *[f"--env={name}={_unmarked(value, marks)}" for name, value in engine_environment(part).items()],
                *["--log-driver=awslogs", f"--log-opt=awslogs-region={region}", f"--log-opt=awslogs-group={group}"],
                *_devices(part, place),
                picture,
                *arguments_of(part, place),
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
        msg = f"a name of the plan cannot be written to a file: {text[:40]!r} holds a character for private use"
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


def _devices(part: DeployedPool, place: int) -> list[str]:
    """Return the accelerators that one engine of a machine sees; all, where engines share one."""
    if not part.node.accelerators:
        return []
    wide = part.accelerators_per_replica
    seen = range(place * wide, (place + 1) * wide) if wide else range(part.node.accelerators)
    if _image_kind(part) == "Neuron":
        return [f"--device=/dev/neuron{number}" for number in seen]
    return [f'--gpus="device={",".join(map(str, seen))}"']
